//! Slices that are no volume together, parted into some that are.

use super::super::marks::{MARKS, Meaning};
use super::super::tags;
use super::{Part, by_values, order, places};

/// Attributes that are tried together.
const MOST: usize = 10;
/// Slices of a part, and parts, where they lie apart from each other: fewer or more are one volume with gaps.
const APART: [usize; 2] = [4, 4];

/// The groups by as few attributes as possible; none if none makes volumes.
pub(super) fn groups(parts: &[Part], members: &[usize]) -> Option<Vec<Vec<usize>>> {
    let places = places(parts, members);
    let one_place = places.len() == 1;
    let mut place_of = vec![0; parts.len()];
    for (at, place) in places.iter().enumerate() {
        place.iter().for_each(|&i| place_of[i] = at);
    }
    let sound = |group: &[usize]| one_place && group.len() == 1 || group.len() > 1 && order(parts, group).is_ok();
    let twin_free = |group: &[usize]| super::places(parts, group).iter().all(|p| p.len() == 1);
    let fits = |groups: &[Vec<usize>]| {
        let small = groups.len() > APART[1] || groups.iter().any(|g| g.len() < APART[0]);
        (!small || mixed(&place_of, groups)) && groups.iter().all(|g| sound(g))
    };
    // Of volumes of which one lacks slices, the others can be chosen.
    let mut nearly = None;
    for set in sets(parts, members) {
        let groups = by_values(parts, members, &set);
        if groups.len() < 2 || groups.iter().any(|g| !one_place && g.len() < 2) {
            continue;
        }
        if fits(&groups) {
            return Some(groups);
        }
        if nearly.is_none()
            && mixed(&place_of, &groups)
            && groups.iter().all(|g| twin_free(g))
            && groups.iter().any(|g| sound(g))
        {
            nearly = Some(groups);
        }
    }
    by_turn(parts, &places).filter(|groups| fits(groups)).or(nearly)
}

/// One, two and three of the attributes that differ.
fn sets(parts: &[Part], members: &[usize]) -> Vec<Vec<usize>> {
    let differ = |mark: usize| members.iter().any(|&i| parts[i].marks[mark] != parts[members[0]].marks[mark]);
    let differing: Vec<usize> = (0..MARKS.len()).filter(|&mark| differ(mark)).take(MOST).collect();
    let mut sets = Vec::new();
    let mut last: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in 0..3 {
        let longer = |set: &Vec<usize>| {
            let end = set.last().copied();
            let more = differing.iter().filter(move |&&m| end.is_none_or(|end| m > end));
            more.map(|&m| [&set[..], &[m]].concat()).collect::<Vec<_>>()
        };
        last = last.iter().flat_map(longer).collect();
        sets.extend(last.iter().cloned());
    }
    sets
}

/// True if groups reach into each other.
fn mixed(place_of: &[usize], groups: &[Vec<usize>]) -> bool {
    let range = |g: &Vec<usize>| {
        g.iter().map(|&i| place_of[i]).fold([usize::MAX, 0], |[low, high], p| [low.min(p), high.max(p)])
    };
    let mut ranges: Vec<[usize; 2]> = groups.iter().map(range).collect();
    ranges.sort_unstable();
    ranges.windows(2).any(|w| w[1][0] <= w[0][1])
}

/// As many images at each place: the first of each, the second of each, where a clock or a number has them one volume after
/// the other, or one place after the other.
fn by_turn(parts: &[Part], places: &[Vec<usize>]) -> Option<Vec<Vec<usize>>> {
    let count = places.first().map(Vec::len).filter(|n| *n > 1)?;
    if places.iter().any(|p| p.len() != count) {
        return None;
    }
    for (at, mark) in MARKS.iter().enumerate().filter(|(_, m)| m.meaning != Meaning::Setting) {
        let sorted: Option<Vec<Vec<(f64, usize)>>> = places
            .iter()
            .map(|place| {
                let numbers: Option<Vec<(f64, usize)>> =
                    place.iter().map(|&i| Some((parts[i].marks[at].as_ref()?.parse().ok()?, i))).collect();
                let mut numbers = numbers?;
                numbers.sort_by(|a, b| a.0.total_cmp(&b.0));
                numbers.windows(2).all(|w| w[0].0 < w[1].0).then_some(numbers)
            })
            .collect();
        let Some(sorted) = sorted else { continue };
        let turn = |r: usize| sorted.iter().map(move |p| p[r]);
        let low = |r: usize| turn(r).map(|p| p.0).fold(f64::MAX, f64::min);
        let high = |r: usize| turn(r).map(|p| p.0).fold(f64::MIN, f64::max);
        let by_volume = (1..count).all(|r| high(r - 1) < low(r));
        let next_to = |p: &[(f64, usize)]| p.windows(2).all(|w| w[1].0 - w[0].0 == 1.0);
        let by_place = mark.attribute == tags::INSTANCE_NUMBER && sorted.iter().all(|p| next_to(p));
        if by_volume || by_place {
            return Some((0..count).map(|r| turn(r).map(|p| p.1).collect()).collect());
        }
    }
    None
}

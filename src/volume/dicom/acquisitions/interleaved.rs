//! Volumes that lie evenly between each other, so that together they look like one.

use super::super::marks::{MARKS, Meaning};
use super::super::tags;
use super::Part;

/// The groups of slices, in `order` along the stack, of which a value alternates; none if it is one volume.
///
/// Scanners for MR acquire every second slice first: there, times that alternate are those of one volume, as far as their
/// acquisition and all settings are one.
pub(super) fn groups(
    parts: &[Part],
    order: &[usize],
    modality: &str,
    warnings: &mut Vec<String>,
) -> Option<Vec<Vec<usize>>> {
    let mr = modality == "MR";
    for (at, mark) in MARKS.iter().enumerate().filter(|(_, m)| m.meaning != Meaning::Order) {
        let values: Vec<Option<&str>> = order.iter().map(|&i| parts[i].marks[at].as_deref()).collect();
        let Some(count) = period(&values) else { continue };
        let slices = values.len() / count;
        // Slices that are excited together share their time, in many small groups.
        let timed = mr && mark.attribute == tags::TRIGGER_TIME || mark.meaning == Meaning::Clock;
        if slices < if timed { 2 * count } else { count.max(2) } {
            continue;
        }
        if mr && mark.attribute == tags::ACQUISITION_TIME {
            warnings.push(format!(
                "{} alternates between {count} values along the slices, as it does where slices are acquired in turns: \
                 taken as one volume",
                mark.attribute
            ));
            continue;
        }
        return Some(every(order, count));
    }
    if mr { None } else { passes(parts, order) }
}

/// After how many values, all different, they repeat from end to end.
fn period(values: &[Option<&str>]) -> Option<usize> {
    let first = values.first()?;
    let count = 1 + values.iter().skip(1).position(|v| v == first)?;
    let different = (0..count).all(|i| !values[..i].contains(&values[i]));
    (count > 1 && different && values.iter().zip(&values[count..]).all(|(a, b)| a == b)).then_some(count)
}

/// Every second slice counted after all the others: one pass of the scanner, and another between.
fn passes(parts: &[Part], order: &[usize]) -> Option<Vec<Vec<usize>>> {
    for (at, _) in MARKS.iter().enumerate().filter(|(_, m)| m.meaning != Meaning::Setting) {
        let numbers: Option<Vec<f64>> = order.iter().map(|&i| parts[i].marks[at].as_ref()?.parse().ok()).collect();
        let Some(numbers) = numbers else { continue };
        let one_after_the_other = |count: usize| {
            let pass = |r: usize| numbers.iter().skip(r).step_by(count);
            let monotone = |r: usize| {
                let all: Vec<&f64> = pass(r).collect();
                all.windows(2).all(|w| w[0] < w[1]) || all.windows(2).all(|w| w[0] > w[1])
            };
            let mut ranges: Vec<[f64; 2]> = (0..count)
                .map(|r| pass(r).fold([f64::MAX, f64::MIN], |[low, high], v| [low.min(*v), high.max(*v)]))
                .collect();
            ranges.sort_by(|a, b| a[0].total_cmp(&b[0]));
            (0..count).all(monotone) && ranges.windows(2).all(|w| w[0][1] < w[1][0])
        };
        if let Some(count) = (2..=4).find(|&count| order.len() / count >= 3 && one_after_the_other(count)) {
            return Some(every(order, count));
        }
    }
    None
}

fn every(order: &[usize], count: usize) -> Vec<Vec<usize>> {
    (0..count).map(|r| order.iter().skip(r).step_by(count).copied().collect()).collect()
}

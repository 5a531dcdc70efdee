//! The volumes that a series holds: one, or several acquisitions that must not become one.
//!
//! Slices of one shape that lie evenly are one volume, unless a setting of the scanner or a moment alternates along them:
//! that is two volumes, half a step apart. Slices that lie twice at one place, or unevenly, are parted by the attributes that
//! make even volumes of them ([`super::marks`]), as few as possible.

mod interleaved;
mod parted;

use std::cmp::Ordering;
use std::fmt::Write;

use super::error::DicomError;
use super::marks::{MARKS, Marks, Meaning};
use super::stack::{SAME_PLACE, Slice, dot, stack};

/// A slice, with what tells it from others.
#[derive(Debug)]
pub(super) struct Part {
    /// In the source, and which of its frames.
    pub file: usize,
    pub frame: usize,
    pub instance: String,
    /// Columns and rows.
    pub size: [usize; 2],
    pub slice: Slice,
    pub marks: Marks,
}

/// Slices of one volume.
#[derive(Debug)]
pub(super) struct Acquisition {
    pub members: Vec<usize>,
    /// What tells it from the others, in words.
    pub name: String,
}

/// The volumes of a series.
#[derive(Debug)]
pub(super) struct Split {
    pub acquisitions: Vec<Acquisition>,
    /// What is doubtful where it is one.
    pub warnings: Vec<String>,
}

/// # Errors
/// Slices that make no volume, nor several.
pub(super) fn split(parts: &[Part], modality: &str) -> Result<Split, DicomError> {
    let shapes = shapes(parts);
    let mut warnings = Vec::new();
    let mut acquisitions = Vec::new();
    for members in &shapes {
        let mut found = of_one_shape(parts, members, modality, &mut warnings);
        if let (Ok(found), [first, ..], true) = (&mut found, &members[..], shapes.len() > 1) {
            found.iter_mut().for_each(|a| a.name = join(&shape(&parts[*first]), &a.name));
        }
        match found {
            Ok(found) => acquisitions.extend(found),
            Err(error) => return Err(no_shape(parts).unwrap_or(error)),
        }
    }
    if shapes.len() > 1 && acquisitions.iter().all(|a| a.members.len() == 1) {
        return Err(no_shape(parts).unwrap_or(DicomError::Slices { problem: "no two slices belong together".into() }));
    }
    Ok(Split { acquisitions, warnings })
}

fn of_one_shape(
    parts: &[Part],
    members: &[usize],
    modality: &str,
    warnings: &mut Vec<String>,
) -> Result<Vec<Acquisition>, DicomError> {
    let groups = match order(parts, members) {
        Ok(order) => interleaved::groups(parts, &order, modality, warnings),
        // What one slice lacks is told where it is read.
        Err(_) if members.len() == 1 => None,
        Err(error) => Some(parted::groups(parts, members).ok_or(error)?),
    };
    Ok(match groups {
        Some(groups) => named(parts, groups),
        None => vec![Acquisition { members: members.to_vec(), name: String::new() }],
    })
}

/// The members from the lowest to the highest slice.
///
/// # Errors
/// They make no volume.
fn order(parts: &[Part], members: &[usize]) -> Result<Vec<usize>, DicomError> {
    let slices: Vec<&Slice> = members.iter().map(|&i| &parts[i].slice).collect();
    let stack = stack(&slices, |a, b| twins(&parts[members[a]], &parts[members[b]]))?;
    Ok(stack.order.into_iter().map(|i| members[i]).collect())
}

/// What tells two images at one place apart.
pub(super) fn twins(a: &Part, b: &Part) -> String {
    let mut text = String::new();
    if a.file != b.file && a.instance == b.instance && !a.instance.is_empty() {
        text.push_str(" and share one SOP Instance UID, but not their pixels");
    }
    for ((mark, a), b) in MARKS.iter().zip(&a.marks).zip(&b.marks) {
        if let (Some(a), Some(b)) = (a, b)
            && a != b
        {
            // Writing to a String cannot fail.
            let _ = write!(text, "; {} is {a} and {b}", mark.attribute.name);
        }
    }
    text
}

/// The members at each place, from the lowest to the highest.
fn places(parts: &[Part], members: &[usize]) -> Vec<Vec<usize>> {
    let Some(normal) = members.first().map(|&i| parts[i].slice.plane.normal()) else { return Vec::new() };
    let mut all: Vec<(f64, usize)> = members.iter().map(|&i| (dot(parts[i].slice.plane.origin, normal), i)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.chunk_by(|a, b| b.0 - a.0 < SAME_PLACE).map(|same| same.iter().map(|p| p.1).collect()).collect()
}

/// Members of one size, direction and pixel size.
fn shapes(parts: &[Part]) -> Vec<Vec<usize>> {
    let mut shapes: Vec<Vec<usize>> = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        let plane = &part.slice.plane;
        let alike = |first: &Part| {
            first.size == part.size && first.slice.plane.parallel(plane) && first.slice.plane.same_pixels(plane)
        };
        match shapes.iter_mut().find(|shape| shape.first().is_some_and(|&first| alike(&parts[first]))) {
            Some(shape) => shape.push(i),
            None => shapes.push(vec![i]),
        }
    }
    shapes
}

fn shape(part: &Part) -> String {
    let [columns, rows] = part.size;
    let plane = &part.slice.plane;
    let letter = |v: [f64; 3]| {
        let axis = (0..3).max_by(|a, b| v[*a].abs().total_cmp(&v[*b].abs())).unwrap_or(0);
        ["sagittal", "coronal", "axial"][axis]
    };
    let [x, y] = plane.spacing;
    format!("{}, {columns} x {rows} pixels of {x} x {y} mm", letter(plane.normal()))
}

/// Why slices of several shapes are no volume.
fn no_shape(parts: &[Part]) -> Option<DicomError> {
    let first = parts.first()?;
    if let Some(other) = parts.iter().find(|p| p.size != first.size) {
        let ([a, b], [c, d]) = (first.size, other.size);
        let (one, two) = (&first.slice.name, &other.slice.name);
        let problem = format!("{one} has {a} x {b} pixels and {two} {c} x {d}: they are no volume");
        return Some(DicomError::Slices { problem });
    }
    let all: Vec<usize> = (0..parts.len()).collect();
    order(parts, &all).err()
}

/// Members by the values of some marks.
fn by_values(parts: &[Part], members: &[usize], marks: &[usize]) -> Vec<Vec<usize>> {
    let values = |i: usize| marks.iter().map(move |&m| parts[i].marks[m].as_deref());
    let mut sorted = members.to_vec();
    sorted.sort_by(|&a, &b| {
        let ordering = values(a).zip(values(b)).map(|(a, b)| by_number(a, b));
        ordering.fold(Ordering::Equal, Ordering::then)
    });
    sorted.chunk_by(|&a, &b| values(a).eq(values(b))).map(<[usize]>::to_vec).collect()
}

fn by_number(a: Option<&str>, b: Option<&str>) -> Ordering {
    let number = |text: Option<&str>| text.and_then(|t| t.split('\\').next()?.parse::<f64>().ok());
    match (number(a), number(b)) {
        (Some(x), Some(y)) => x.total_cmp(&y).then(a.cmp(&b)),
        _ => a.cmp(&b),
    }
}

/// Names groups by what is one in each and differs between them.
fn named(parts: &[Part], groups: Vec<Vec<usize>>) -> Vec<Acquisition> {
    let common = |members: &[usize], mark: usize| {
        let first = parts[*members.first()?].marks[mark].as_deref();
        members.iter().all(|&i| parts[i].marks[mark].as_deref() == first).then_some(first)
    };
    let telling: Vec<usize> = (0..MARKS.len())
        .filter(|&mark| {
            let values: Option<Vec<_>> = groups.iter().map(|g| common(g, mark)).collect();
            values.is_some_and(|v| v.windows(2).any(|w| w[0] != w[1]))
        })
        .take(3)
        .collect();
    let name = |members: &[usize]| {
        let mut name = String::new();
        for &mark in &telling {
            let value = common(members, mark).flatten().unwrap_or("absent");
            name = join(&name, &format!("{} {value}", MARKS[mark].attribute.name));
        }
        if telling.is_empty() {
            for (mark, of) in MARKS.iter().enumerate().filter(|(_, m)| m.meaning != Meaning::Setting) {
                let mut all: Vec<&str> = members.iter().filter_map(|&i| parts[i].marks[mark].as_deref()).collect();
                all.sort_by(|a, b| by_number(Some(a), Some(b)));
                if let (Some(low), Some(high)) = (all.first(), all.last()) {
                    name = join(&name, &format!("{} {low} to {high}", of.attribute.name));
                }
            }
        }
        name
    };
    groups.into_iter().map(|members| Acquisition { name: name(&members), members }).collect()
}

fn join(a: &str, b: &str) -> String {
    if a.is_empty() || b.is_empty() { format!("{a}{b}") } else { format!("{a}, {b}") }
}

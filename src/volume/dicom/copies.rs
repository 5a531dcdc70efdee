//! Images that are there twice.

use std::collections::BTreeMap;

use super::image::Header;
use super::marks::{MARKS, Meaning};
use super::pixels;
use super::read::{Source, with_image};
use super::stack::SAME_PLACE;
use crate::volume::VolumeError;

/// Takes copies out, the first of each kept: images of one place and one moment with the same values, whether their
/// SOP Instance UID, their number or the packing of their pixels is the same or not. Gives which is a copy of which.
///
/// # Errors
/// A file that cannot be read again.
pub(super) fn take_out(
    source: &dyn Source,
    images: &mut Vec<(usize, Header)>,
) -> Result<Vec<(usize, usize)>, VolumeError> {
    let mut kept: BTreeMap<Vec<i64>, Vec<usize>> = BTreeMap::new();
    for (at, (_, header)) in images.iter().enumerate() {
        kept.entry(place(header)).or_default().push(at);
    }
    let mut copies = Vec::new();
    for same in kept.values().filter(|same| same.len() > 1) {
        let mut values: BTreeMap<usize, Option<Vec<u32>>> = BTreeMap::new();
        let mut originals: Vec<usize> = Vec::new();
        for &at in same {
            let mut of = None;
            for &first in originals.iter().filter(|&&first| one_moment(&images[first].1, &images[at].1)) {
                for i in [first, at] {
                    if let std::collections::btree_map::Entry::Vacant(entry) = values.entry(i) {
                        entry.insert(bits(source, images[i].0)?);
                    }
                }
                if values[&first].is_some() && values[&first] == values[&at] {
                    of = Some(first);
                    break;
                }
            }
            match of {
                Some(first) => copies.push((at, first)),
                None => originals.push(at),
            }
        }
    }
    copies.sort_unstable();
    let names = copies.iter().map(|&(copy, first)| (images[copy].0, images[first].0)).collect();
    for (copy, _) in copies.iter().rev() {
        images.remove(*copy);
    }
    Ok(names)
}

/// Where the frames lie, to a thousandth of a millimetre.
fn place(header: &Header) -> Vec<i64> {
    let ends = [header.frames.first(), header.frames.last()];
    let numbers = ends.into_iter().flatten().flat_map(|f| f.plane.origin);
    let mut place: Vec<i64> = numbers.map(|v| (v / SAME_PLACE).round() as i64).collect();
    place.extend([header.frames.len(), header.format.columns, header.format.rows].map(|n| n as i64));
    place
}

fn one_moment(a: &Header, b: &Header) -> bool {
    a.frames.iter().zip(&b.frames).all(|(a, b)| {
        let mut pairs = MARKS.iter().zip(&a.marks).zip(&b.marks);
        a.plane == b.plane && pairs.all(|((mark, a), b)| mark.meaning == Meaning::Order || a == b)
    })
}

/// The values; none if they cannot be decoded.
fn bits(source: &dyn Source, file: usize) -> Result<Option<Vec<u32>>, VolumeError> {
    let mut all = Vec::new();
    let decoded = with_image(source, file, |_, image| {
        Ok(pixels::decode(image, |_, values| all.extend(values.iter().map(|v| v.to_bits()))).is_ok())
    })?;
    Ok(decoded.then_some(all))
}

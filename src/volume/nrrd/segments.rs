//! Segmentations of 3D Slicer whose segments overlap: a volume for each layer, and for each segment its layer and value there.

use std::collections::BTreeMap;

use super::FORMAT;
use crate::volume::stored::Stored;
use crate::volume::study::{FileRecord, LabelImage};
use crate::volume::{LabelMap, VolumeError};

/// Most segments of a file.
const MAX_SEGMENTS: usize = 4096;

struct Segment {
    name: String,
    layer: usize,
    value: u32,
}

/// One label map of all layers. A segment keeps its value where no other has it; else segments count from 1 as the file lists
/// them. Where segments overlap the later one is taken, which is told.
///
/// # Errors
/// Several volumes that are no segmentation, or a segment whose layer is not there.
pub(super) fn flatten(
    pairs: &BTreeMap<String, String>,
    mut stored: Stored,
    voxels: &[u8],
    file: FileRecord,
) -> Result<LabelImage, VolumeError> {
    let segments = segments(pairs, stored.channels)?;
    if segments.is_empty() {
        return Err(VolumeError::shape("channels of a label map", 1, stored.channels));
    }
    let mut values: Vec<u32> = segments.iter().map(|s| s.value).collect();
    values.sort_unstable();
    values.dedup();
    let own = values.len() == segments.len();
    let layers = stored.label_values(voxels)?;
    let count = layers.len() / stored.channels;
    let mut data = vec![0_u32; count];
    let mut overlapping = 0_usize;
    for (at, segment) in segments.iter().enumerate() {
        let label = if own { segment.value } else { at as u32 + 1 };
        let layer = layers.get(segment.layer * count..(segment.layer + 1) * count).unwrap_or_default();
        for (to, _) in data.iter_mut().zip(layer).filter(|(_, value)| **value == segment.value) {
            overlapping += usize::from(*to != 0);
            *to = label;
        }
    }
    if !own {
        let list: Vec<String> = segments.iter().enumerate().map(|(at, s)| format!("{} {}", at + 1, s.name)).collect();
        stored.warnings.push(format!("segments share values between layers, so they are counted: {}", list.join(", ")));
    }
    if overlapping > 0 {
        stored.warnings.push(format!("{overlapping} voxels are of several segments; the last of them is taken"));
    }
    let labels = LabelMap::new(data, stored.dims, stored.affine)?;
    Ok(LabelImage { labels, warnings: stored.warnings, file, partial: false })
}

fn segments(pairs: &BTreeMap<String, String>, layers: usize) -> Result<Vec<Segment>, VolumeError> {
    let get = |n: usize, key: &str| pairs.get(&format!("Segment{n}_{key}"));
    let mut out = Vec::new();
    for n in (0..MAX_SEGMENTS).take_while(|n| get(*n, "ID").or(get(*n, "LabelValue")).is_some()) {
        let number = |key: &str, default: u32| match get(n, key).map(|text| text.trim().parse::<u32>()) {
            None => Ok(default),
            Some(Ok(value)) => Ok(value),
            Some(Err(_)) => {
                let text = get(n, key).map_or("", String::as_str);
                Err(VolumeError::field(FORMAT, format!("Segment{n}_{key}"), text, "it is a whole number"))
            }
        };
        let (layer, value) = (number("Layer", 0)? as usize, number("LabelValue", 1)?);
        if layer >= layers {
            let problem = format!("the file has {layers} layers");
            return Err(VolumeError::field(FORMAT, format!("Segment{n}_Layer"), layer, problem));
        }
        let name = get(n, "Name").cloned().unwrap_or_else(|| format!("segment {n}"));
        out.push(Segment { name, layer, value });
    }
    Ok(out)
}

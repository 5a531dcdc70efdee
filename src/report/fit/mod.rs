//! Whether a scan, and what became of it, is like what the model was trained on.
//!
//! A network answers to anything: a model of the hippocampus finds one in a liver. The package says what its training scans
//! were like ([`TrainedOn`]); here a scan is compared with that before the work, and the labels after it. What differs is
//! told and recorded, and stops nothing.
//!
//! | compared | told if |
//! | --- | --- |
//! | modality | it is known and another; or it is not known and the values are Hounsfield units, or should be and are not |
//! | field of view, per axis of the patient | beyond [`LENGTH`] times the largest, or below the least by that factor |
//! | voxel size, per axis | the same; smaller ones only where the model takes voxels as they are |
//! | volume of a label | beyond [`VOLUME`] times the largest, or below the least by that factor |
//!
//! # Units
//! mm along right-left, front-back, head-foot; millilitres.

mod survey;

pub use survey::{SeenScan, modality_of, patient_lengths, trained_on};

use super::Statistics;
use crate::volume::Volume;
use crate::weights::Metadata;
use crate::weights::package::{Lengths, TrainedOn};

/// Lengths may leave the range of the training scans by this factor.
pub const LENGTH: f64 = 1.5;
/// Volumes may leave the range of the training scans by this factor: persons differ more than protocols do.
pub const VOLUME: f64 = 2.0;

/// Air in Hounsfield units is near -1000; no other modality has values as low in so many voxels.
const AIR_HU: f32 = -500.0;
/// Share of voxels that must be as low.
const AIR_SHARE: f64 = 0.01;

/// What is unlike the training scans, before the work; `None` if the package does not say what these were like.
/// `modalities`: DICOM's codes of the scan's channels, empty where the files do not tell.
pub fn scan_doubts(metadata: &Metadata, modalities: &[String], scan: &Volume) -> Option<Vec<String>> {
    let seen = metadata.trained_on.as_ref()?;
    let mut doubts = Vec::new();
    doubts.extend(modality(seen, modalities, scan));
    let (view, spacing) = patient_lengths(scan.dims, &scan.affine);
    if leaves(view, &seen.field_of_view_mm, true) {
        doubts.push(format!(
            "the scan covers {} mm (right-left, front-back, head-foot); {} covered {} mm",
            three(view),
            scans(seen),
            range(&seen.field_of_view_mm)
        ));
    }
    let as_they_are = metadata.input.preprocess.spacing().is_none();
    if leaves(spacing, &seen.spacing_mm, as_they_are) {
        doubts.push(format!(
            "the scan's voxels are {} mm (right-left, front-back, head-foot); in {} they were {} mm",
            three(spacing),
            scans(seen),
            range(&seen.spacing_mm)
        ));
    }
    if !doubts.is_empty() && !metadata.not_for.is_empty() {
        doubts.push(format!("the model is not for: {}", metadata.not_for.join("; ")));
    }
    Some(doubts)
}

/// Labels whose volume is unlike that in the training scans; `None` if the package does not say what these were like.
pub fn label_doubts(metadata: &Metadata, numbers: &Statistics) -> Option<Vec<String>> {
    let seen = metadata.trained_on.as_ref()?;
    let doubt = |label: &super::LabelStatistics| {
        let known = seen.volumes.iter().find(|v| v.value == label.value)?;
        let (ml, min, max) = (label.volume_ml, known.min_ml, known.max_ml);
        if (min / VOLUME..=max * VOLUME).contains(&ml) {
            return None;
        }
        let cut = if label.touches_border && ml < min { ", and it touches the scan's border" } else { "" };
        let found = if ml > 0.0 { format!("is {} ml", short(ml)) } else { "was not found".to_owned() };
        Some(format!("{} {found}; in {} it was {} to {} ml{cut}", label.name, scans(seen), short(min), short(max)))
    };
    Some(numbers.labels.iter().filter_map(doubt).collect())
}

fn modality(seen: &TrainedOn, found: &[String], scan: &Volume) -> Option<String> {
    let wanted = seen.modality.as_deref()?;
    if let Some(other) = found.iter().find(|m| !m.is_empty() && m.as_str() != wanted) {
        return Some(format!("the scan is {other}, and the model was trained on {wanted}"));
    }
    if found.iter().any(|m| m == wanted) {
        return None;
    }
    let low = scan.data.iter().filter(|v| **v <= AIR_HU).count() as f64;
    let hounsfield = low >= AIR_SHARE * scan.data.len() as f64 && low > 0.0;
    match (wanted, hounsfield) {
        ("CT", false) if !scan.data.iter().any(|v| *v < 0.0) => Some(
            "no value is below 0, and CT in Hounsfield units, on which the model was trained, has air near -1000"
                .to_owned(),
        ),
        ("MR" | "US", true) => Some(format!(
            "values as low as {} look like CT in Hounsfield units, and the model was trained on {wanted}",
            short(f64::from(scan.data.iter().copied().fold(f32::INFINITY, f32::min)))
        )),
        _ => None,
    }
}

/// Whether a length lies far beside the range; `both`: also where it is smaller.
fn leaves(lengths: [f64; 3], known: &Lengths, both: bool) -> bool {
    (0..3).any(|a| lengths[a] > known.max[a] * LENGTH || (both && lengths[a] < known.min[a] / LENGTH))
}

fn scans(seen: &TrainedOn) -> String {
    match seen.cases {
        1 => "the training scan".to_owned(),
        n => format!("the {n} training scans"),
    }
}

/// Three digits, and no zeros behind them.
fn short(value: f64) -> String {
    let digits = if value.abs() >= 100.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else {
        2
    };
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

fn three(lengths: [f64; 3]) -> String {
    lengths.map(short).join(" x ")
}

fn range(lengths: &Lengths) -> String {
    let (min, max) = (three(lengths.min), three(lengths.max));
    if min == max { min } else { format!("{min} to {max}") }
}

//! What training scans were like, from their label maps, which lie on the scans' grids.

use std::collections::BTreeMap;

use crate::volume::{Affine, LabelMap};
use crate::weights::package::{LabelVolume, Lengths, OutputSection, TrainedOn};

/// One training scan.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenScan {
    /// Its size, mm along the patient's axes.
    pub field_of_view_mm: [f64; 3],
    /// Size of its voxels, likewise.
    pub spacing_mm: [f64; 3],
    /// Millilitres of each label value in it.
    pub volumes_ml: BTreeMap<u16, f64>,
}

impl SeenScan {
    /// The scan under these labels, whose values are the network's.
    pub fn of(labels: &LabelMap) -> Self {
        let (field_of_view_mm, spacing_mm) = patient_lengths(labels.dims, &labels.affine);
        let voxel_ml = labels.affine.voxel_mm3() / 1000.0;
        let volumes_ml = labels.counts().into_iter().map(|(value, n)| (value, n as f64 * voxel_ml)).collect();
        Self { field_of_view_mm, spacing_mm, volumes_ml }
    }
}

/// The section that describes these scans; `None` for none. Labels that occur nowhere are left out.
pub fn trained_on(scans: &[SeenScan], modality: Option<&str>, output: &OutputSection) -> Option<TrainedOn> {
    if scans.is_empty() {
        return None;
    }
    let volumes = output.labels.iter().filter_map(|label| {
        let ml = |scan: &SeenScan| scan.volumes_ml.get(&label.value).copied().unwrap_or(0.0);
        let least = scans.iter().map(ml).fold(f64::INFINITY, f64::min);
        let largest = scans.iter().map(ml).fold(0.0, f64::max);
        let volume = LabelVolume { value: label.value, min_ml: rounded(least), max_ml: rounded(largest) };
        (label.value > 0 && largest > 0.0).then_some(volume)
    });
    Some(TrainedOn {
        cases: scans.len(),
        modality: modality.map(str::to_owned),
        field_of_view_mm: lengths(scans.iter().map(|s| s.field_of_view_mm)),
        spacing_mm: lengths(scans.iter().map(|s| s.spacing_mm)),
        volumes: volumes.collect(),
    })
}

/// (Size of a scan, size of its voxels) in mm along right-left, front-back, head-foot.
pub fn patient_lengths(dims: [usize; 3], affine: &Affine) -> ([f64; 3], [f64; 3]) {
    let spacing = affine.spacing();
    let (mut view, mut voxel) = ([0.0; 3], [0.0; 3]);
    for (i, code) in affine.axis_codes().chars().enumerate().take(3) {
        let axis = match code {
            'R' | 'L' => 0,
            'A' | 'P' => 1,
            _ => 2,
        };
        view[axis] = dims[i] as f64 * spacing[i];
        voxel[axis] = spacing[i];
    }
    (view, voxel)
}

/// DICOM's code of the modality that all these names of channels or datasets mean, if they mean one.
pub fn modality_of<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<&'static str> {
    let mut found = None;
    for name in names {
        let one = code(name)?;
        if found.is_some_and(|other| other != one) {
            return None;
        }
        found = Some(one);
    }
    found
}

fn code(name: &str) -> Option<&'static str> {
    const MR: [&str; 20] = [
        "mr", "mri", "t1", "t1w", "t1n", "t1c", "t1ce", "t1gd", "t1wgd", "t2", "t2w", "t2f", "flair", "dwi", "adc",
        "swi", "pd", "pdw", "bold", "dti",
    ];
    name.to_ascii_lowercase().split(|c: char| !c.is_ascii_alphanumeric()).find_map(|word| match word {
        "ct" | "cta" | "cbct" => Some("CT"),
        "pet" | "pt" | "fdg" => Some("PT"),
        "us" | "ultrasound" => Some("US"),
        word => MR.contains(&word).then_some("MR"),
    })
}

fn lengths(all: impl Iterator<Item = [f64; 3]> + Clone) -> Lengths {
    let fold = |start: f64, pick: fn(f64, f64) -> f64| {
        let folded = all.clone().fold([start; 3], |acc, v| [0, 1, 2].map(|a| pick(acc[a], v[a])));
        folded.map(rounded)
    };
    Lengths { min: fold(f64::INFINITY, f64::min), max: fold(0.0, f64::max) }
}

/// To thousandths: more would be noise of the files' 32-bit affines.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

//! What is told about a segmentation: numbers per label, a picture, and where it comes from.
//!
//! | module | makes |
//! | --- | --- |
//! | [`color_table`] | names and colours of labels for other programs |
//! | [`fit`] | whether scan and labels are like what the model was trained on |
//! | [`mod@statistics`] | volume, place and intensity of each label; JSON and CSV |
//! | [`preview`] | a PNG of three planes with the labels over the scan (features `cli` and `train`) |
//! | [`provenance`] | the record of model, inputs, geometry, settings and device |
//!
//! Everything is made in memory; nothing here prints or writes files.

pub mod color_table;
pub mod fit;
#[cfg(any(feature = "cli", feature = "train"))]
pub mod preview;
pub mod provenance;
pub mod statistics;

pub use provenance::Provenance;
pub use statistics::{LabelStatistics, Statistics, statistics};

use crate::volume::VolumeError;
use crate::volume::nifti::LabelName;
use crate::weights::package::OutputSection;

/// Stands under everything that could be taken for a diagnosis.
pub const NOTICE: &str = "Research use only. Not a medical device.";

/// What can go wrong in a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// Scan and labels lie on different grids.
    #[error("the labels have {labels:?} voxels and the scan {scan:?}: they must lie on one grid")]
    Grid {
        /// Voxels of the labels.
        labels: [usize; 3],
        /// Voxels of the scan.
        scan: [usize; 3],
    },
    /// The affine has no inverse.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The picture could not be encoded.
    #[error("cannot encode the picture: {0}")]
    Picture(String),
}

/// Name and colour of every label value that this model can give, without the background.
///
/// A value that the package does not name is called `class_N` and gets a colour of its own.
pub fn label_names(output: &OutputSection, out_channels: usize) -> Vec<LabelName> {
    let mut values: Vec<u16> = match output.regions.is_empty() {
        true => (1..out_channels.min(usize::from(u16::MAX))).map(|v| v as u16).collect(),
        false => output.regions.iter().map(|r| r.value).collect(),
    };
    values.extend(output.labels.iter().map(|l| l.value));
    values.sort_unstable();
    values.dedup();
    values
        .into_iter()
        .filter(|&v| v != 0)
        .map(|value| {
            let named = output.labels.iter().find(|l| l.value == value);
            LabelName {
                value,
                name: output.label_name(value),
                color: named.map_or_else(|| distinct_color(value), |l| l.color.0),
                codes: named.and_then(|l| l.codes.clone()),
            }
        })
        .collect()
}

/// A colour unlike those of neighbouring values: hues a golden ratio of the circle apart.
pub fn distinct_color(value: u16) -> [u8; 3] {
    let hue = (f64::from(value) * 0.618_033_988_75).fract() * 6.0;
    let channel = |shift: f64| {
        let distance = ((hue + shift).rem_euclid(6.0) - 3.0).abs() - 1.0;
        (80.0 + 160.0 * distance.clamp(0.0, 1.0)) as u8
    };
    [channel(0.0), channel(4.0), channel(2.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_differ() {
        let colors: Vec<_> = (1..=20).map(distinct_color).collect();
        for (i, a) in colors.iter().enumerate() {
            for b in &colors[i + 1..] {
                let apart: i32 = (0..3).map(|c| (i32::from(a[c]) - i32::from(b[c])).abs()).sum();
                assert!(apart > 15, "{a:?} and {b:?}");
            }
        }
    }
}

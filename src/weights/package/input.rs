//! The package's `input` section: what a scan must be made into before the network sees it.
//!
//! The steps run in the order orientation, spacing, intensity, foreground crop; null switches one off.

use serde::{Deserialize, Serialize};

use crate::volume::Preprocess;
pub use crate::volume::{Intensity, PerChannel};

use super::super::error::WeightsError;
use crate::fields::Section;

/// Channels and preprocessing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputSection {
    /// What each channel shows, in the network's order.
    pub channels: Vec<String>,
    /// Axis codes such as `RAS`, or null to keep the scan's axes.
    pub orientation: Option<String>,
    /// Voxel size in mm along X, Y, Z, or null to keep the scan's.
    pub spacing: Option<[f64; 3]>,
    /// Whether to crop to the box of voxels above zero in any channel.
    pub crop_foreground: bool,
    /// What to do with the values, or null to keep them.
    pub intensity: Option<Intensity>,
}

impl InputSection {
    /// The steps that make a scan ready for the network.
    pub fn preprocess(&self) -> Preprocess {
        Preprocess {
            orientation: self.orientation.clone(),
            spacing: self.spacing,
            crop_foreground: self.crop_foreground,
            intensity: self.intensity.clone(),
        }
    }

    pub(super) fn read(fields: &Section<'_>) -> Result<Self, WeightsError> {
        let section = Self {
            channels: fields.required("channels")?,
            orientation: fields.required("orientation")?,
            spacing: fields.required("spacing")?,
            crop_foreground: fields.required("crop_foreground")?,
            intensity: fields.required("intensity")?,
        };
        fields.finish()?;
        Ok(section)
    }

    pub(super) fn validate(&self, in_channels: usize) -> Result<(), WeightsError> {
        if self.channels.len() != in_channels {
            let problem = format!("it names {} channels, network.in_channels is {in_channels}", self.channels.len());
            return Err(WeightsError::field("input.channels", problem));
        }
        if let Some(codes) = &self.orientation
            && !is_orientation(codes)
        {
            let problem = format!("{codes:?} is no orientation: use one letter each of L/R, P/A and I/S, as in RAS");
            return Err(WeightsError::field("input.orientation", problem));
        }
        if let Some(spacing) = self.spacing
            && !spacing.iter().all(|mm| (1e-3..=1e3).contains(mm))
        {
            let problem = format!("{spacing:?} must be three lengths between 0.001 and 1000 mm");
            return Err(WeightsError::field("input.spacing", problem));
        }
        match &self.intensity {
            Some(Intensity::ScaleRange { a_min, a_max, .. }) if a_min >= a_max => {
                let problem = format!("a_min {a_min} must be less than a_max {a_max}");
                Err(WeightsError::field("input.intensity", problem))
            }
            Some(intensity) => {
                intensity.check(in_channels).map_err(|error| WeightsError::field("input.intensity", error.to_string()))
            }
            None => Ok(()),
        }
    }
}

fn is_orientation(codes: &str) -> bool {
    codes.len() == 3 && ["LR", "PA", "IS"].iter().all(|axis| codes.chars().any(|code| axis.contains(code)))
}

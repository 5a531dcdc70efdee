//! The range of a scan's own values to another, as MONAI's `ScaleIntensity`.
//!
//! `y = (x - min) / (max - min) * (maxv - minv) + minv`; values that are all the same become `minv` times themselves.

use serde::{Deserialize, Serialize};

use super::{Frame, Transform};
use crate::volume::VolumeError;

/// Maps least and greatest value to `minv` and `maxv`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleIntensity {
    /// What the least value becomes.
    #[serde(default)]
    pub minv: f64,
    /// What the greatest value becomes.
    #[serde(default = "one")]
    pub maxv: f64,
    /// Whether each channel has its own range.
    #[serde(default)]
    pub channel_wise: bool,
}

fn one() -> f64 {
    1.0
}

impl Default for ScaleIntensity {
    fn default() -> Self {
        Self { minv: 0.0, maxv: 1.0, channel_wise: false }
    }
}

impl Transform for ScaleIntensity {
    fn check(&self, _channels: usize) -> Result<(), VolumeError> {
        if (self.minv as f32).is_finite() && (self.maxv as f32).is_finite() {
            return Ok(());
        }
        let value = format!("[{}, {}]", self.minv, self.maxv);
        Err(VolumeError::Setting { setting: "ScaleIntensity minv and maxv", value, problem: "both must be finite" })
    }

    fn apply(&self, frame: &mut Frame<'_>) -> Result<(), VolumeError> {
        self.check(frame.volume.channels)?;
        let volume = frame.volume.to_mut();
        let group = if self.channel_wise { volume.voxels() } else { volume.data.len() };
        let (minv, range) = (self.minv as f32, (self.maxv - self.minv) as f32);
        for values in volume.data.chunks_mut(group.max(1)) {
            let least = values.iter().copied().fold(f32::INFINITY, f32::min);
            let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            for v in values.iter_mut() {
                *v = if least == most { *v * minv } else { (*v - least) / (most - least) * range + minv };
            }
        }
        Ok(())
    }

    fn background(&self) -> Option<f32> {
        Some(0.0)
    }
}

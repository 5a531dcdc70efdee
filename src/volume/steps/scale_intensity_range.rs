//! One range of values to another, as MONAI's `ScaleIntensityRange`.
//!
//! `y = (x - a_min) / (a_max - a_min) * (b_max - b_min) + b_min`, then clipped to `[b_min, b_max]` if `clip`; in f32 as in
//! MONAI.

use serde::{Deserialize, Serialize};

use super::{Frame, Transform};
use crate::volume::VolumeError;

/// Maps `[a_min, a_max]` to `[b_min, b_max]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleIntensityRange {
    /// Becomes `b_min`.
    pub a_min: f64,
    /// Becomes `b_max`.
    pub a_max: f64,
    /// Lower end of the result.
    pub b_min: f64,
    /// Upper end of the result.
    pub b_max: f64,
    /// Whether values beyond the range end with it.
    #[serde(default)]
    pub clip: bool,
}

impl Transform for ScaleIntensityRange {
    fn check(&self, _channels: usize) -> Result<(), VolumeError> {
        let Self { a_min, a_max, b_min, b_max, .. } = *self;
        let bad = |problem| VolumeError::Setting {
            setting: "intensity scale_range",
            value: format!("[{a_min}, {a_max}] to [{b_min}, {b_max}]"),
            problem,
        };
        if ![a_min, a_max, b_min, b_max].iter().all(|v| v.is_finite()) {
            return Err(bad("all four bounds must be finite"));
        }
        if a_min == a_max {
            return Err(bad("a_min and a_max must differ"));
        }
        Ok(())
    }

    fn apply(&self, frame: &mut Frame<'_>) -> Result<(), VolumeError> {
        self.check(frame.volume.channels)?;
        let Self { a_min, a_max, b_min, b_max, clip } = *self;
        let (a, b) = (a_min as f32, b_min as f32);
        // Differences in f64, then rounded once, as Python computes its scalars.
        let (width, range) = ((a_max - a_min) as f32, (b_max - b_min) as f32);
        let top = b_max as f32;
        for v in &mut frame.volume.to_mut().data {
            let scaled = (*v - a) / width * range + b;
            // `min` and `max` would turn NaN into a bound; NaN stays NaN.
            *v = if !clip || scaled.is_nan() { scaled } else { scaled.max(b).min(top) };
        }
        Ok(())
    }

    /// What becomes the lower bound.
    fn background(&self) -> Option<f32> {
        Some(self.a_min as f32)
    }
}

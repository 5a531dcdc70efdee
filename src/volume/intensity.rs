//! Intensity scaling, as MONAI's `ScaleIntensityRange` and `NormalizeIntensity`.
//!
//! `scale_range`: `y = (x - a_min) / (a_max - a_min) * (b_max - b_min) + b_min`, then clipped to
//! `[b_min, b_max]` if `clip`. `normalize`: `y = (x - mean) / std` with the population standard
//! deviation, over non-zero voxels only if `nonzero`, per channel if `channel_wise`; a standard
//! deviation of 0 counts as 1. Arithmetic is f32 as in MONAI; means are accumulated in f64.

use serde::{Deserialize, Serialize};

use super::{Volume, VolumeError};

/// What is done to the intensities, as in a model package's `input.intensity`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Intensity {
    ScaleRange {
        a_min: f64,
        a_max: f64,
        b_min: f64,
        b_max: f64,
        #[serde(default)]
        clip: bool,
    },
    Normalize {
        #[serde(default)]
        nonzero: bool,
        #[serde(default)]
        channel_wise: bool,
    },
}

impl Intensity {
    /// # Errors
    /// A bound that is not finite, or `a_min` equal to `a_max`.
    pub fn check(&self) -> Result<(), VolumeError> {
        let Self::ScaleRange { a_min, a_max, b_min, b_max, .. } = *self else {
            return Ok(());
        };
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

    /// The value a voxel without a measurement gets before scaling: what becomes the lower bound
    /// under `scale_range`, and 0 (background of MR) under `normalize`.
    #[must_use]
    pub fn background(&self) -> f32 {
        match *self {
            Self::ScaleRange { a_min, .. } => a_min as f32,
            Self::Normalize { .. } => 0.0,
        }
    }

    /// Scales in place.
    ///
    /// # Errors
    /// As [`Intensity::check`].
    pub fn apply(&self, volume: &mut Volume) -> Result<(), VolumeError> {
        self.check()?;
        match *self {
            Self::ScaleRange { a_min, a_max, b_min, b_max, clip } => {
                let (a, b) = (a_min as f32, b_min as f32);
                // Differences in f64, then rounded once, as Python computes its scalars.
                let (width, range) = ((a_max - a_min) as f32, (b_max - b_min) as f32);
                let top = b_max as f32;
                for v in &mut volume.data {
                    let scaled = (*v - a) / width * range + b;
                    // `min` and `max` would turn NaN into a bound; NaN stays NaN.
                    *v = if !clip || scaled.is_nan() { scaled } else { scaled.max(b).min(top) };
                }
            }
            Self::Normalize { nonzero, channel_wise } => {
                let len = if channel_wise { volume.voxels() } else { volume.data.len() };
                for part in volume.data.chunks_mut(len.max(1)) {
                    normalize(part, nonzero);
                }
            }
        }
        Ok(())
    }
}

fn normalize(values: &mut [f32], nonzero: bool) {
    let counts = |v: &f32| !nonzero || *v != 0.0;
    // Welford's update: exact for a constant image, whose deviation must be 0 and not rounding.
    let (mut n, mut mean, mut squares) = (0.0_f64, 0.0_f64, 0.0_f64);
    for v in values.iter().filter(|v| counts(v)).map(|&v| f64::from(v)) {
        n += 1.0;
        let delta = v - mean;
        mean += delta / n;
        squares += delta * (v - mean);
    }
    if n == 0.0 {
        return;
    }
    let deviation = (squares / n).sqrt() as f32;
    let divisor = if deviation == 0.0 { 1.0 } else { deviation };
    let mean = mean as f32;
    for v in values.iter_mut().filter(|v| counts(v)) {
        *v = (*v - mean) / divisor;
    }
}

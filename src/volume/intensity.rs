//! Intensity scaling, as MONAI's `ScaleIntensityRange` and `NormalizeIntensity`.
//!
//! `scale_range`: `y = (x - a_min) / (a_max - a_min) * (b_max - b_min) + b_min`, then clipped to
//! `[b_min, b_max]` if `clip`. `normalize`: `y = (x - subtrahend) / divisor`, over non-zero voxels only if
//! `nonzero`; where they are not given, the subtrahend is the mean and the divisor the population standard
//! deviation of these voxels, per channel if `channel_wise`; a standard deviation of 0 counts as 1.
//! Arithmetic is f32 as in MONAI; means are accumulated in f64.

use serde::{Deserialize, Serialize};

use super::{Volume, VolumeError};

/// What is done to the intensities, as in a model package's `input.intensity`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
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
        /// What is subtracted; the mean where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subtrahend: Option<PerChannel>,
        /// What is divided by; the standard deviation where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        divisor: Option<PerChannel>,
    },
}

/// A number for all channels, or one for each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a number, or a list of one number per channel, is needed")]
pub enum PerChannel {
    All(f64),
    Each(Vec<f64>),
}

impl PerChannel {
    /// The number of channel `c`.
    #[must_use]
    pub fn of(&self, c: usize) -> Option<f64> {
        match self {
            Self::All(value) => Some(*value),
            Self::Each(values) => values.get(c).copied(),
        }
    }

    fn check(&self, name: &'static str, channels: usize) -> Result<(), VolumeError> {
        let (values, fit) = match self {
            Self::All(value) => (std::slice::from_ref(value), true),
            Self::Each(values) => (values.as_slice(), values.len() == channels),
        };
        let bad = |problem| Err(VolumeError::Setting { setting: name, value: format!("{values:?}"), problem });
        if !fit {
            return bad("one number for each channel is needed, or a single number for all");
        }
        if !values.iter().all(|v| (*v as f32).is_finite()) {
            return bad("numbers must be finite");
        }
        if name == DIVISOR && values.iter().any(|v| *v as f32 == 0.0) {
            return bad("nothing can be divided by 0");
        }
        Ok(())
    }
}

const SUBTRAHEND: &str = "intensity normalize subtrahend";
const DIVISOR: &str = "intensity normalize divisor";

impl Intensity {
    /// # Errors
    /// A number that is not finite, `a_min` equal to `a_max`, a divisor of 0, or lists that are not one per channel.
    pub fn check(&self, channels: usize) -> Result<(), VolumeError> {
        let (a_min, a_max, b_min, b_max) = match self {
            Self::ScaleRange { a_min, a_max, b_min, b_max, .. } => (*a_min, *a_max, *b_min, *b_max),
            Self::Normalize { subtrahend, divisor, .. } => {
                subtrahend.as_ref().map_or(Ok(()), |s| s.check(SUBTRAHEND, channels))?;
                return divisor.as_ref().map_or(Ok(()), |d| d.check(DIVISOR, channels));
            }
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
        self.check(volume.channels)?;
        match self {
            &Self::ScaleRange { a_min, a_max, b_min, b_max, clip } => {
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
            Self::Normalize { nonzero, channel_wise, subtrahend, divisor } => {
                let len = volume.voxels().max(1);
                let channels = volume.channels;
                let group = if *channel_wise { len } else { len * channels.max(1) };
                for (at, part) in volume.data.chunks_mut(group).enumerate() {
                    // Fixed statistics need no look at the voxels.
                    let measured = match (subtrahend, divisor) {
                        (Some(_), Some(_)) => None,
                        _ => mean_and_deviation(part, *nonzero),
                    };
                    for (c, channel) in part.chunks_mut(len).enumerate() {
                        let of = |given: &Option<PerChannel>| given.as_ref()?.of(at + c).map(|v| v as f32);
                        let sub = of(subtrahend).or(measured.map(|m| m.0));
                        let div = of(divisor).or(measured.map(|m| m.1));
                        if let (Some(sub), Some(div)) = (sub, div) {
                            normalize(channel, *nonzero, sub, div);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// Mean and what to divide by; nothing where no voxel counts.
fn mean_and_deviation(values: &[f32], nonzero: bool) -> Option<(f32, f32)> {
    // Welford's update: exact for a constant image, whose deviation must be 0 and not rounding.
    let (mut n, mut mean, mut squares) = (0.0_f64, 0.0_f64, 0.0_f64);
    for v in values.iter().filter(|v| !nonzero || **v != 0.0).map(|&v| f64::from(v)) {
        n += 1.0;
        let delta = v - mean;
        mean += delta / n;
        squares += delta * (v - mean);
    }
    if n == 0.0 {
        return None;
    }
    let deviation = (squares / n).sqrt() as f32;
    Some((mean as f32, if deviation == 0.0 { 1.0 } else { deviation }))
}

fn normalize(values: &mut [f32], nonzero: bool, subtrahend: f32, divisor: f32) {
    for v in values.iter_mut().filter(|v| !nonzero || **v != 0.0) {
        *v = (*v - subtrahend) / divisor;
    }
}

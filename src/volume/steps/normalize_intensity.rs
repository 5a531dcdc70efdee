//! A mean subtracted and a deviation divided by, as MONAI's `NormalizeIntensity`.
//!
//! `y = (x - subtrahend) / divisor`, over non-zero voxels only if `nonzero`; where they are not given, the subtrahend is
//! the mean and the divisor the population standard deviation of these voxels, per channel if `channel_wise`; a
//! standard deviation of 0 counts as 1. Arithmetic is f32 as in MONAI; means are accumulated in f64.

use serde::{Deserialize, Serialize};

use super::{Frame, Transform};
use crate::volume::VolumeError;

/// Subtracts and divides.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NormalizeIntensity {
    /// Whether voxels of 0 stay 0 and do not count.
    #[serde(default)]
    pub nonzero: bool,
    /// Whether each channel has its own mean and deviation.
    #[serde(default)]
    pub channel_wise: bool,
    /// What is subtracted; the mean where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subtrahend: Option<PerChannel>,
    /// What is divided by; the standard deviation where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divisor: Option<PerChannel>,
}

/// A number for all channels, or one for each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a number, or a list of one number per channel, is needed")]
pub enum PerChannel {
    /// The same for every channel.
    All(f64),
    /// In the channels' order.
    Each(Vec<f64>),
}

const SUBTRAHEND: &str = "intensity normalize subtrahend";
const DIVISOR: &str = "intensity normalize divisor";

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

impl Transform for NormalizeIntensity {
    fn check(&self, channels: usize) -> Result<(), VolumeError> {
        self.subtrahend.as_ref().map_or(Ok(()), |s| s.check(SUBTRAHEND, channels))?;
        self.divisor.as_ref().map_or(Ok(()), |d| d.check(DIVISOR, channels))
    }

    fn apply(&self, frame: &mut Frame<'_>) -> Result<(), VolumeError> {
        self.check(frame.volume.channels)?;
        let Self { nonzero, channel_wise, subtrahend, divisor } = self;
        let volume = frame.volume.to_mut();
        let len = volume.voxels().max(1);
        let group = if *channel_wise { len } else { len * volume.channels.max(1) };
        for (at, part) in volume.data.chunks_mut(group).enumerate() {
            // Fixed statistics need no look at the voxels.
            let measured = match (subtrahend, divisor) {
                (Some(_), Some(_)) => None,
                _ => mean_and_deviation(part.iter().copied().filter(|v| !nonzero || *v != 0.0)),
            };
            for (c, channel) in part.chunks_mut(len).enumerate() {
                let of = |given: &Option<PerChannel>| given.as_ref()?.of(at + c).map(|v| v as f32);
                let sub = of(subtrahend).or(measured.map(|m| m.0 as f32));
                let div = of(divisor).or(measured.map(|m| if m.1 as f32 == 0.0 { 1.0 } else { m.1 as f32 }));
                if let (Some(sub), Some(div)) = (sub, div) {
                    for v in channel.iter_mut().filter(|v| !nonzero || **v != 0.0) {
                        *v = (*v - sub) / div;
                    }
                }
            }
        }
        Ok(())
    }

    /// Background of MR.
    fn background(&self) -> Option<f32> {
        Some(0.0)
    }
}

/// Mean and population standard deviation; nothing where there is no value.
pub(super) fn mean_and_deviation(values: impl Iterator<Item = f32>) -> Option<(f64, f64)> {
    // Welford's update: exact for a constant image, whose deviation must be 0 and not rounding.
    let (mut n, mut mean, mut squares) = (0.0_f64, 0.0_f64, 0.0_f64);
    for v in values.map(f64::from) {
        n += 1.0;
        let delta = v - mean;
        mean += delta / n;
        squares += delta * (v - mean);
    }
    (n > 0.0).then(|| (mean, (squares / n).sqrt()))
}

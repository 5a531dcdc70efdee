//! A scheme for each channel, as nnU-Net's classes of these names (`default_normalization_schemes.py`).
//!
//! | scheme | value |
//! | --- | --- |
//! | `CTNormalization` | `(clip(x, percentile_00_5, percentile_99_5) - mean) / max(std, 1e-8)`, of the training scans |
//! | `ZScoreNormalization` | `(x - mean) / max(std, 1e-8)` of the channel; with `use_mask_for_norm` within the mask alone |
//! | `NoNormalization` | `x` |
//! | `RescaleTo01Normalization` | `(x - min) / max(max - min, 1e-8)` |
//! | `RGBTo01Normalization` | `x / 255`, for values from 0 to 255 |
//!
//! The mask is of voxels that are not 0 in any channel as they come to this step, and of the holes in them.

use serde::{Deserialize, Serialize};

use super::normalize_intensity::mean_and_deviation;
use super::{Frame, Transform};
use crate::volume::VolumeError;
use crate::volume::crop::filled_nonzero;

/// The least that is divided by.
const EPSILON: f64 = 1e-8;

/// How one channel is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheme {
    /// By percentiles, mean and deviation of the training scans' foreground.
    CTNormalization,
    /// By the scan's own mean and deviation.
    ZScoreNormalization,
    /// Not.
    NoNormalization,
    /// By the scan's own range.
    RescaleTo01Normalization,
    /// By 255.
    RGBTo01Normalization,
}

/// What the training scans' foreground was like in one channel.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntensityProperties {
    pub mean: f64,
    pub std: f64,
    /// What 0.5 % of the values lie below.
    pub percentile_00_5: f64,
    /// What 99.5 % of the values lie below.
    pub percentile_99_5: f64,
}

/// Scales each channel by its scheme.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// In the channels' order.
    pub normalization_schemes: Vec<Scheme>,
    /// Whether a channel's mean and deviation are those of the mask.
    pub use_mask_for_norm: Vec<bool>,
    /// Of each channel; null where its scheme needs none.
    pub foreground_intensity_properties_per_channel: Vec<Option<IntensityProperties>>,
}

impl Normalization {
    fn channels(&self) -> impl Iterator<Item = (Scheme, bool, Option<IntensityProperties>)> {
        let properties = &self.foreground_intensity_properties_per_channel;
        let each = self.normalization_schemes.iter().zip(&self.use_mask_for_norm).zip(properties);
        each.map(|((scheme, mask), properties)| (*scheme, *mask, *properties))
    }

    /// The range that the first channel is clipped to, if it is.
    pub(crate) fn window(&self) -> Option<[f64; 2]> {
        let (scheme, _, properties) = self.channels().next()?;
        let properties = properties.filter(|_| scheme == Scheme::CTNormalization)?;
        Some([properties.percentile_00_5, properties.percentile_99_5])
    }
}

impl Transform for Normalization {
    fn check(&self, channels: usize) -> Result<(), VolumeError> {
        let bad = |setting, value: String, problem| Err(VolumeError::Setting { setting, value, problem });
        let each = "one for each channel is needed";
        if self.normalization_schemes.len() != channels {
            return bad("normalization_schemes", format!("{:?}", self.normalization_schemes), each);
        }
        if self.use_mask_for_norm.len() != channels {
            return bad("use_mask_for_norm", format!("{:?}", self.use_mask_for_norm), each);
        }
        let name = "foreground_intensity_properties_per_channel";
        if self.foreground_intensity_properties_per_channel.len() != channels {
            return bad(name, format!("{} of them", self.foreground_intensity_properties_per_channel.len()), each);
        }
        for (c, (scheme, _, properties)) in self.channels().enumerate() {
            let Some(p) = properties else {
                if scheme == Scheme::CTNormalization {
                    return bad(name, format!("null for channel {c}"), "CTNormalization needs them");
                }
                continue;
            };
            let values = [p.mean, p.std, p.percentile_00_5, p.percentile_99_5];
            let fit = values.iter().all(|v| (*v as f32).is_finite()) && p.percentile_00_5 <= p.percentile_99_5;
            if scheme == Scheme::CTNormalization && !(fit && p.std >= 0.0) {
                return bad(name, format!("{p:?} for channel {c}"), "they must be finite and in order");
            }
        }
        Ok(())
    }

    fn apply(&self, frame: &mut Frame<'_>) -> Result<(), VolumeError> {
        self.check(frame.volume.channels)?;
        let masked = |(scheme, mask, _)| scheme == Scheme::ZScoreNormalization && mask;
        let mask = self.channels().any(masked).then(|| filled_nonzero(&frame.volume));
        let volume = frame.volume.to_mut();
        let len = volume.voxels().max(1);
        for (values, (scheme, masked, properties)) in volume.data.chunks_mut(len).zip(self.channels()) {
            let range = |values: &[f32]| {
                values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(*v), high.max(*v)))
            };
            match (scheme, properties) {
                (Scheme::CTNormalization, Some(p)) => {
                    let (low, high) = (p.percentile_00_5 as f32, p.percentile_99_5 as f32);
                    let (mean, std) = (p.mean as f32, p.std.max(EPSILON) as f32);
                    values.iter_mut().for_each(|v| *v = (v.max(low).min(high) - mean) / std);
                }
                (Scheme::ZScoreNormalization, _) => z_score(values, mask.as_deref().filter(|_| masked)),
                (Scheme::RescaleTo01Normalization, _) => {
                    let (low, high) = range(values);
                    let width = (high - low).max(EPSILON as f32);
                    values.iter_mut().for_each(|v| *v = (*v - low) / width);
                }
                (Scheme::RGBTo01Normalization, _) => {
                    let (low, high) = range(values);
                    if low < 0.0 || high > 255.0 {
                        return Err(VolumeError::Setting {
                            setting: "the range of values",
                            value: format!("[{low}, {high}]"),
                            problem: "RGBTo01Normalization takes values of 8 bits, from 0 to 255",
                        });
                    }
                    values.iter_mut().for_each(|v| *v /= 255.0);
                }
                (Scheme::NoNormalization | Scheme::CTNormalization, _) => {}
            }
        }
        Ok(())
    }

    /// What the first channel's values end with below, else 0.
    fn background(&self) -> Option<f32> {
        Some(self.window().map_or(0.0, |[low, _]| low as f32))
    }
}

fn z_score(values: &mut [f32], mask: Option<&[bool]>) {
    let inside = |i: usize| mask.is_none_or(|mask| mask.get(i) == Some(&true));
    let counted = values.iter().enumerate().filter(|(i, _)| inside(*i)).map(|(_, v)| *v);
    let Some((mean, deviation)) = mean_and_deviation(counted) else {
        return;
    };
    let (mean, deviation) = (mean as f32, deviation.max(EPSILON) as f32);
    for (i, v) in values.iter_mut().enumerate() {
        if inside(i) {
            *v = (*v - mean) / deviation;
        }
    }
}

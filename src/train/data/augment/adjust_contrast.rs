//! `y = ((x - low) / (high - low + 1e-7))^g (high - low) + low`, `g` uniform in `gamma`; `low` and `high` are the smallest
//! and largest value of the channel in the window.
//!
//! # Source
//! MONAI `RandAdjustContrast`, whose range is that of all channels together.

use serde::{Deserialize, Serialize};

use super::check;
use crate::train::data::error::DataError;
use crate::train::data::random::{self, Rng};

/// `[augment] adjust_contrast`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdjustContrast {
    pub prob: f64,
    /// Smallest and largest exponent.
    pub gamma: [f64; 2],
}

impl AdjustContrast {
    pub(super) fn validate(&self) -> Result<(), DataError> {
        let field = "augment.adjust_contrast";
        check::prob(field, self.prob)?;
        check::range(&format!("{field}.gamma"), self.gamma, 0.05, 20.0)
    }

    /// `image` has channels of `voxels` values.
    pub(super) fn apply(&self, rng: &mut Rng, image: &mut [f32], voxels: usize) {
        if random::happens(rng, self.prob) {
            let gamma = random::uniform(rng, self.gamma[0], self.gamma[1]) as f32;
            image.chunks_exact_mut(voxels.max(1)).for_each(|channel| adjust(channel, gamma));
        }
    }
}

fn adjust(channel: &mut [f32], gamma: f32) {
    let low = channel.iter().copied().fold(f32::INFINITY, f32::min);
    let high = channel.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let range = high - low;
    for value in channel {
        *value = ((*value - low) / (range + 1e-7)).powf(gamma) * range + low;
    }
}

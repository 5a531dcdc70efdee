//! `y = x + s e`, `e` a normal deviate per voxel, `s` uniform in `[0, std]`.
//!
//! # Source
//! MONAI `RandGaussianNoise` with mean 0 and `sample_std`.

use rand::RngExt;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::check;
use crate::train::data::error::DataError;
use crate::train::data::random::{self, Rng};

/// `[augment] gaussian_noise`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaussianNoise {
    pub prob: f64,
    /// Largest standard deviation, in units of the preprocessed image.
    pub std: f64,
}

impl GaussianNoise {
    pub(super) fn validate(&self) -> Result<(), DataError> {
        let field = "augment.gaussian_noise";
        check::prob(field, self.prob)?;
        check::within(format!("{field}.std"), self.std, 0.0, 1e6)
    }

    pub(super) fn apply(&self, rng: &mut Rng, image: &mut [f32]) {
        if random::happens(rng, self.prob) {
            let std = random::uniform(rng, 0.0, self.std) as f32;
            image.iter_mut().for_each(|value| *value += std * rng.sample::<f32, _>(StandardNormal));
        }
    }
}

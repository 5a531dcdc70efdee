//! `y = x (1 + u)`, `u` uniform in +-`factors`.
//!
//! # Source
//! MONAI `RandScaleIntensity`.

use serde::{Deserialize, Serialize};

use super::check;
use crate::train::data::error::DataError;
use crate::train::data::random::{self, Rng};

/// `[augment] scale_intensity`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleIntensity {
    pub prob: f64,
    /// Largest factor.
    pub factors: f64,
}

impl ScaleIntensity {
    pub(super) fn validate(&self) -> Result<(), DataError> {
        let field = "augment.scale_intensity";
        check::prob(field, self.prob)?;
        check::within(format!("{field}.factors"), self.factors, 0.0, 10.0)
    }

    pub(super) fn apply(&self, rng: &mut Rng, image: &mut [f32]) {
        if random::happens(rng, self.prob) {
            let factor = (1.0 + random::uniform(rng, -self.factors, self.factors)) as f32;
            image.iter_mut().for_each(|value| *value *= factor);
        }
    }
}

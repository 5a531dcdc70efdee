//! `y = x + u`, `u` uniform in +-`offsets`.
//!
//! # Source
//! MONAI `RandShiftIntensity`.

use serde::{Deserialize, Serialize};

use super::check;
use crate::train::data::error::DataError;
use crate::train::data::random::{self, Rng};

/// `[augment] shift_intensity`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShiftIntensity {
    pub prob: f64,
    /// Largest offset, in units of the preprocessed image.
    pub offsets: f64,
}

impl ShiftIntensity {
    pub(super) fn validate(&self) -> Result<(), DataError> {
        let field = "augment.shift_intensity";
        check::prob(field, self.prob)?;
        check::within(format!("{field}.offsets"), self.offsets, 0.0, 1e6)
    }

    pub(super) fn apply(&self, rng: &mut Rng, image: &mut [f32]) {
        if random::happens(rng, self.prob) {
            let offset = random::uniform(rng, -self.offsets, self.offsets) as f32;
            image.iter_mut().for_each(|value| *value += offset);
        }
    }
}

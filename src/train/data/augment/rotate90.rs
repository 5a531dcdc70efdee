//! Rotation by `k` quarter turns in the plane of two axes `(a, b)`, from `a` towards `b`: for k = 1, `y` at `(i_a, i_b)` is
//! `x` at `a = i_b`, `b = W - 1 - i_a`.
//!
//! # Source
//! MONAI `RandRotate90` (`prob`, `max_k`, `spatial_axes`); `k` is uniform in `1..=max_k`.

use serde::{Deserialize, Serialize};

use super::check;
use crate::train::data::error::DataError;
use crate::train::data::random::{self, Rng};
use crate::volume::orientation::Turn;

/// `[augment] rotate90`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotate90 {
    pub prob: f64,
    /// Most quarter turns.
    #[serde(default = "three")]
    pub max_k: u8,
    /// The plane. The window has to be a square in it.
    #[serde(default = "first_two")]
    pub spatial_axes: [usize; 2],
}

fn three() -> u8 {
    3
}

fn first_two() -> [usize; 2] {
    [0, 1]
}

impl Rotate90 {
    pub(super) fn validate(&self, window: [usize; 3], spacing: Option<[f64; 3]>) -> Result<(), DataError> {
        let field = "augment.rotate90";
        check::prob(field, self.prob)?;
        check::within(format!("{field}.max_k"), f64::from(self.max_k), 1.0, 3.0)?;
        let [a, b] = self.spatial_axes;
        let (Some(wa), Some(wb)) = (window.get(a), window.get(b).filter(|_| a != b)) else {
            let problem = "two different axes out of 0, 1, 2 are needed";
            return Err(DataError::recipe(format!("{field}.spatial_axes"), format!("{:?}", [a, b]), problem));
        };
        if wa != wb {
            let problem = format!(
                "the window (inference.roi_size) has {wa} voxels along axis {a} and {wb} along axis {b}: a quarter turn \
                 does not fit; choose a plane with equal sizes or leave rotate90 out"
            );
            return Err(DataError::recipe(format!("{field}.spatial_axes"), format!("{:?}", [a, b]), problem));
        }
        if let Some((sa, sb)) = spacing.map(|mm| (mm[a], mm[b])).filter(|(sa, sb)| sa != sb) {
            let problem = format!(
                "voxels (input.spacing) are {sa} mm along axis {a} and {sb} mm along axis {b}: a quarter turn would \
                 stretch what it turns; choose a plane with equal voxels or leave rotate90 out"
            );
            return Err(DataError::recipe(format!("{field}.spatial_axes"), format!("{:?}", [a, b]), problem));
        }
        Ok(())
    }

    /// The rotation, if there is one this time.
    pub(super) fn draw(&self, rng: &mut Rng) -> Option<Turn> {
        random::happens(rng, self.prob).then(|| {
            let k = 1 + random::below(rng, u64::from(self.max_k));
            quarter_turns(k, self.spatial_axes)
        })
    }
}

/// `numpy.rot90(x, k, axes)` as a turn.
fn quarter_turns(k: u64, [a, b]: [usize; 2]) -> Turn {
    let mut one = Turn::NONE;
    one.source.swap(a, b);
    one.flip[a] = true;
    (0..k % 4).fold(Turn::NONE, |all, _| super::then(all, one))
}

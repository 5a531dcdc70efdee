//! Mirroring along each axis: `y[i] = x[W - 1 - i]`, with its own probability per axis.
//!
//! A mirror along the patient's left-right axis makes the left kidney a right one: see [`super::mirror`].
//!
//! # Source
//! MONAI `RandFlip`, once per axis.

use crate::train::data::random::{self, Rng};
use crate::volume::orientation::Turn;

/// Which axes are mirrored.
pub(super) fn draw(rng: &mut Rng, probs: [f64; 3]) -> [bool; 3] {
    probs.map(|prob| random::happens(rng, prob))
}

/// The mirror as a turn.
pub(super) fn turn(flip: [bool; 3]) -> Turn {
    Turn { flip, ..Turn::NONE }
}

//! Axes turned to axis codes, as MONAI's `Orientation`.

use serde::{Deserialize, Serialize};

use super::{Frame, Transform};
use crate::volume::VolumeError;
use crate::volume::geometry::Move;
use crate::volume::orientation::{Orientation, Turn};

/// Turns the volume so that its axes point where the codes say; no value is interpolated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Orient {
    /// Axis codes such as `RAS`.
    pub axcodes: String,
}

impl Orient {
    /// To these codes.
    #[must_use]
    pub fn to(axcodes: impl Into<String>) -> Self {
        Self { axcodes: axcodes.into() }
    }
}

impl Transform for Orient {
    fn check(&self, _channels: usize) -> Result<(), VolumeError> {
        Orientation::from_codes(&self.axcodes).map(|_| ())
    }

    fn apply(&self, frame: &mut Frame<'_>) -> Result<(), VolumeError> {
        let turn = Orientation::of(&frame.volume.affine).turn_to(&Orientation::from_codes(&self.axcodes)?);
        frame.turn(turn);
        Ok(())
    }
}

impl Frame<'_> {
    pub(super) fn turn(&mut self, turn: Turn) {
        if turn == Turn::NONE {
            return;
        }
        let (dims, affine) = (self.volume.dims, self.volume.affine);
        let grid = (turn.dims(dims), turn.affine(&affine, dims));
        self.place(Move::Turn(turn), grid, |channel, dims| turn.apply(channel, dims));
    }
}

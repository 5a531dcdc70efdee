//! Axes in another order, as MONAI's `Transpose`; with nnU-Net's, which counts the stored axes backwards (z, y, x), the
//! order of its arrays.

use serde::{Deserialize, Serialize};

use super::{Frame, Transform};
use crate::volume::VolumeError;
use crate::volume::orientation::Turn;

/// For each axis of the result, the axis it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transpose {
    /// A permutation of 0, 1, 2.
    pub indices: [usize; 3],
}

impl Transform for Transpose {
    fn check(&self, _channels: usize) -> Result<(), VolumeError> {
        if (0..3).all(|axis| self.indices.contains(&axis)) {
            return Ok(());
        }
        let value = format!("{:?}", self.indices);
        Err(VolumeError::Setting { setting: "Transpose indices", value, problem: "0, 1 and 2 are needed, each once" })
    }

    fn apply(&self, frame: &mut Frame<'_>) -> Result<(), VolumeError> {
        self.check(frame.volume.channels)?;
        frame.turn(Turn { source: self.indices, flip: [false; 3] });
        Ok(())
    }
}

//! The smallest box around voxels that are not 0 in any channel, as nnU-Net's `crop_to_nonzero`; an image of zeros stays.

use serde::{Deserialize, Serialize};

use super::{Frame, Transform};
use crate::volume::VolumeError;
use crate::volume::crop::{Box3, bounds};
use crate::volume::geometry::Move;

/// Crops to the box of voxels that are not 0. Holes need not be filled for it: no hole reaches beyond the box.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CropToNonzero {}

impl Transform for CropToNonzero {
    fn check(&self, _channels: usize) -> Result<(), VolumeError> {
        Ok(())
    }

    fn apply(&self, frame: &mut Frame<'_>) -> Result<(), VolumeError> {
        match bounds(&frame.volume, |v| v != 0.0) {
            Some(tight) => frame.crop(tight),
            None => Ok(()),
        }
    }
}

impl Frame<'_> {
    /// Crops to a box, which may reach beyond the grid.
    pub(super) fn crop(&mut self, to: Box3) -> Result<(), VolumeError> {
        let dims = self.volume.dims;
        if to != Box3::whole(dims) {
            crate::volume::checked_len(self.volume.channels, to.dims)?;
            let affine = to.affine(&self.volume.affine);
            self.place(Move::Crop(to), (to.dims, affine), |channel, dims| to.cut(channel, dims));
        }
        Ok(())
    }
}

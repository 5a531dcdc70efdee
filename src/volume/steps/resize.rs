//! Resampling to a number of voxels, as MONAI's `Resize`.
//!
//! Along each axis voxel `i` of `n` reads index `(i + 0.5) m / n - 0.5` of `m`, within the border: trilinear as PyTorch's
//! `interpolate` with `align_corners=False`, or its `nearest`, index `floor(i m / n)`.

use serde::{Deserialize, Serialize};

use super::spline::{Line, resample_axes};
use super::{Frame, Transform};
use crate::volume::VolumeError;
use crate::volume::geometry::{Move, Resized};

/// How values between voxels are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResizeMode {
    /// Linear along each axis.
    Trilinear,
    /// The voxel at or before the place.
    Nearest,
}

/// Resamples to `spatial_size` voxels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resize {
    /// Voxels along X, Y, Z.
    pub spatial_size: [usize; 3],
    /// How values between voxels are found.
    pub mode: ResizeMode,
}

impl Transform for Resize {
    fn check(&self, _channels: usize) -> Result<(), VolumeError> {
        if self.spatial_size.iter().all(|n| (1..=4096).contains(n)) {
            return Ok(());
        }
        let value = format!("{:?}", self.spatial_size);
        let problem = "three numbers of voxels between 1 and 4096 are needed";
        Err(VolumeError::Setting { setting: "Resize spatial_size", value, problem })
    }

    fn apply(&self, frame: &mut Frame<'_>) -> Result<(), VolumeError> {
        self.check(frame.volume.channels)?;
        let (from, affine) = (frame.volume.dims, frame.volume.affine);
        if from == self.spatial_size {
            return Ok(());
        }
        let resized = Resized { dims: self.spatial_size, nearest: [self.mode == ResizeMode::Nearest; 3] };
        let line = match self.mode {
            ResizeMode::Trilinear => Line::Linear,
            ResizeMode::Nearest => Line::Before,
        };
        frame.place(Move::Resize(resized), (resized.dims, resized.affine(&affine, from)), |channel, dims| {
            resample_axes(channel, dims, resized.dims, [line; 3])
        });
        Ok(())
    }
}

//! Resampling to a voxel size in world space, as MONAI's `Spacing`; see [`crate::volume::resample`].

use serde::{Deserialize, Serialize};

use super::{Frame, Transform};
use crate::volume::geometry::Move;
use crate::volume::resample::{sample_linear, sample_nearest, spacing_grid};
use crate::volume::{Affine, VolumeError};

/// How values between voxels are found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpacingMode {
    /// Trilinear.
    #[default]
    Bilinear,
    /// The nearest voxel's.
    Nearest,
}

/// Resamples to voxels of `pixdim`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spacing {
    /// Voxel size in mm along X, Y, Z.
    pub pixdim: [f64; 3],
    /// How values between voxels are found.
    #[serde(default)]
    pub mode: SpacingMode,
}

impl Spacing {
    /// Trilinear, to voxels of `pixdim` mm.
    #[must_use]
    pub fn to(pixdim: [f64; 3]) -> Self {
        Self { pixdim, mode: SpacingMode::Bilinear }
    }
}

impl Transform for Spacing {
    fn check(&self, _channels: usize) -> Result<(), VolumeError> {
        spacing_grid(&Affine::IDENTITY, [1; 3], self.pixdim).map(|_| ())
    }

    fn apply(&self, frame: &mut Frame<'_>) -> Result<(), VolumeError> {
        let grid = spacing_grid(&frame.volume.affine, frame.volume.dims, self.pixdim)?;
        let Some(map) = grid.to_source else {
            return Ok(());
        };
        frame.place(Move::Resample(grid), (grid.dims, grid.affine), |channel, dims| match self.mode {
            SpacingMode::Bilinear => sample_linear(channel, dims, grid.dims, &map),
            SpacingMode::Nearest => sample_nearest(channel, dims, grid.dims, &map),
        });
        Ok(())
    }
}

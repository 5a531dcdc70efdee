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

/// What lies beyond the scan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PaddingMode {
    /// The voxels at the border, over and over.
    #[default]
    Border,
    /// Zeros.
    Zeros,
}

fn is_border(mode: &PaddingMode) -> bool {
    *mode == PaddingMode::Border
}

/// Resamples to voxels of `pixdim`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spacing {
    /// Voxel size in mm along X, Y, Z; -1 where an axis keeps its own.
    pub pixdim: [f64; 3],
    /// How values between voxels are found.
    #[serde(default)]
    pub mode: SpacingMode,
    /// What lies beyond the scan, and on the way back beyond the model's grid.
    #[serde(default, skip_serializing_if = "is_border")]
    pub padding_mode: PaddingMode,
}

impl Spacing {
    /// Trilinear, to voxels of `pixdim` mm.
    #[must_use]
    pub fn to(pixdim: [f64; 3]) -> Self {
        Self { pixdim, mode: SpacingMode::Bilinear, padding_mode: PaddingMode::Border }
    }
}

impl Transform for Spacing {
    fn check(&self, _channels: usize) -> Result<(), VolumeError> {
        spacing_grid(&Affine::IDENTITY, [1; 3], self.pixdim).map(|_| ())
    }

    fn apply(&self, frame: &mut Frame<'_>) -> Result<(), VolumeError> {
        let mut grid = spacing_grid(&frame.volume.affine, frame.volume.dims, self.pixdim)?;
        if grid.to_source.is_none() {
            return Ok(());
        }
        grid.zeros = self.padding_mode == PaddingMode::Zeros;
        frame.place(Move::Resample(grid), (grid.dims, grid.affine), |channel, dims| match self.mode {
            SpacingMode::Bilinear => sample_linear(channel, dims, &grid),
            SpacingMode::Nearest => sample_nearest(channel, dims, &grid),
        });
        Ok(())
    }
}

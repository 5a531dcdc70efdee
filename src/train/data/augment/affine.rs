//! A small rotation, shear, scaling and shift about the window's centre `c`.
//!
//! The window's voxel `w` shows the volume at `start + c + M (w - c) + t`, `M = S^-1 R_x R_y R_z H Z S` with
//! - `R`: rotations about the three axes, each uniform in +-`rotate_range` degrees;
//! - `H`: ones on the diagonal, off it (row by row) uniform in +-`shear_range`;
//! - `Z`: diagonal, 1 + uniform in +-`scale_range`; above 1 shows more of the volume, smaller;
//! - `S`: the voxel size, so that bodies turn without deforming on anisotropic grids (MONAI turns in voxels);
//! - `t`: uniform in +-`translate_range` voxels.
//!
//! Crop and transform are one interpolation, straight from the volume: turning brings in what really lies beside the
//! window, and no voxel is interpolated twice.
//!
//! # Source
//! MONAI `RandAffine` (`AffineGrid`: `create_rotate`, `create_shear`, `create_scale`), padding mode zeros.

use serde::{Deserialize, Serialize};

use super::check;
use crate::train::data::error::DataError;
use crate::train::data::random::{self, Rng};
use crate::volume::affine::multiply3;

/// `[augment] affine`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandAffine {
    pub prob: f64,
    /// Largest rotation about X, Y, Z in degrees.
    #[serde(default)]
    pub rotate_range: [f64; 3],
    /// Largest shear of X by Y, X by Z, Y by X, Y by Z, Z by X, Z by Y.
    #[serde(default)]
    pub shear_range: [f64; 6],
    /// Largest shift along X, Y, Z in voxels.
    #[serde(default)]
    pub translate_range: [f64; 3],
    /// Largest change of scale along X, Y, Z; 0.1 is from 0.9 to 1.1.
    #[serde(default)]
    pub scale_range: [f64; 3],
}

/// One draw: the matrix and the shift in voxels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moved {
    pub matrix: [[f64; 3]; 3],
    pub shift: [f64; 3],
}

impl Moved {
    pub(super) const NONE: Self = Self { matrix: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], shift: [0.0; 3] };
}

impl RandAffine {
    pub(super) fn validate(&self) -> Result<(), DataError> {
        let field = "augment.affine";
        check::prob(field, self.prob)?;
        check::each_within(&format!("{field}.rotate_range"), &self.rotate_range, 0.0, 180.0)?;
        // Up to here the determinant stays positive: no hidden mirror.
        check::each_within(&format!("{field}.shear_range"), &self.shear_range, 0.0, 0.3)?;
        check::each_within(&format!("{field}.scale_range"), &self.scale_range, 0.0, 0.9)?;
        check::each_within(&format!("{field}.translate_range"), &self.translate_range, 0.0, 1e4)
    }

    /// The transform for voxels of `spacing` mm, if there is one this time.
    pub(super) fn draw(&self, rng: &mut Rng, spacing: [f64; 3]) -> Option<Moved> {
        if !random::happens(rng, self.prob) {
            return None;
        }
        let mut symmetric = |range: f64| random::uniform(rng, -range, range);
        let angles = self.rotate_range.map(|degrees| symmetric(degrees).to_radians());
        let shear = self.shear_range.map(&mut symmetric);
        let scale = self.scale_range.map(|range| 1.0 + symmetric(range));
        let shift = self.translate_range.map(symmetric);
        Some(Moved { matrix: matrix(angles, shear, scale, spacing), shift })
    }
}

/// `S^-1 R_x R_y R_z H Z S`.
fn matrix(angles: [f64; 3], shear: [f64; 6], scale: [f64; 3], spacing: [f64; 3]) -> [[f64; 3]; 3] {
    let [(sx, cx), (sy, cy), (sz, cz)] = angles.map(f64::sin_cos);
    let rx = [[1.0, 0.0, 0.0], [0.0, cx, -sx], [0.0, sx, cx]];
    let ry = [[cy, 0.0, sy], [0.0, 1.0, 0.0], [-sy, 0.0, cy]];
    let rz = [[cz, -sz, 0.0], [sz, cz, 0.0], [0.0, 0.0, 1.0]];
    let [a, b, c, d, e, f] = shear;
    let h = [[1.0, a, b], [c, 1.0, d], [e, f, 1.0]];
    let m = multiply3(&multiply3(&multiply3(&rx, &ry), &rz), &h);
    std::array::from_fn(|r| std::array::from_fn(|c| m[r][c] * scale[c] * spacing[c] / spacing[r]))
}

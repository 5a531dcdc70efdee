//! The 4 x 4 map from voxel index to millimetres.
//!
//! `world = M * (i, j, k, 1)`, in RAS+ mm: x to the patient's right, y to the front, z up.

use serde::{Deserialize, Serialize};

use super::{Orientation, VolumeError};

/// Voxel index to mm (RAS+), row-major, last row 0 0 0 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Affine(pub [[f64; 4]; 4]);

/// Columns this close to lying in one plane (relative volume) span no grid.
const SINGULAR: f64 = 1e-6;

impl Affine {
    /// 1 mm voxels, axes along x, y, z, voxel 0 at the origin.
    pub const IDENTITY: Self =
        Self([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]);

    /// From the three rows that vary.
    #[must_use]
    pub fn from_rows(rows: [[f64; 4]; 3]) -> Self {
        Self([rows[0], rows[1], rows[2], [0.0, 0.0, 0.0, 1.0]])
    }

    /// From the 3 x 3 part and the position of voxel 0.
    #[must_use]
    pub fn from_parts(m: [[f64; 3]; 3], origin: [f64; 3]) -> Self {
        Self::from_rows(std::array::from_fn(|r| [m[r][0], m[r][1], m[r][2], origin[r]]))
    }

    /// The 3 x 3 part: column `a` is the step of voxel axis `a` in mm.
    #[must_use]
    pub fn linear(&self) -> [[f64; 3]; 3] {
        std::array::from_fn(|r| std::array::from_fn(|c| self.0[r][c]))
    }

    /// Position of voxel (0, 0, 0) in mm.
    #[must_use]
    pub fn origin(&self) -> [f64; 3] {
        [self.0[0][3], self.0[1][3], self.0[2][3]]
    }

    /// Position of a (continuous) voxel index in mm.
    #[must_use]
    pub fn apply(&self, index: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|r| {
            let m = &self.0[r];
            m[0] * index[0] + m[1] * index[1] + m[2] * index[2] + m[3]
        })
    }

    /// `self * other`: first `other`, then `self`.
    #[must_use]
    pub fn then_after(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|r| std::array::from_fn(|c| (0..4).map(|k| self.0[r][k] * other.0[k][c]).sum())))
    }

    /// Distance between neighbouring voxels along each axis, in mm (column norms).
    #[must_use]
    pub fn spacing(&self) -> [f64; 3] {
        std::array::from_fn(|c| (0..3).map(|r| self.0[r][c].powi(2)).sum::<f64>().sqrt())
    }

    /// Determinant of the 3 x 3 part: volume of a voxel in mm3, negative for left-handed axes.
    #[must_use]
    pub fn determinant(&self) -> f64 {
        determinant(&self.linear())
    }

    /// Volume of a voxel in mm3.
    #[must_use]
    pub fn voxel_mm3(&self) -> f64 {
        self.determinant().abs()
    }

    /// The map from mm to voxel index.
    ///
    /// # Errors
    /// The affine is singular or not finite.
    pub fn inverse(&self) -> Result<Self, VolumeError> {
        self.check("inverse")?;
        let m = inverse3(&self.linear());
        let t = self.origin();
        let origin = std::array::from_fn(|r| -(0..3).map(|c| m[r][c] * t[c]).sum::<f64>());
        Ok(Self::from_parts(m, origin))
    }

    /// Where each voxel axis points: for example `RAS` if i goes right, j to the front, k up.
    #[must_use]
    pub fn axis_codes(&self) -> String {
        Orientation::of(self).codes()
    }

    /// The largest distance in mm between the positions both give to a corner of the grid.
    #[must_use]
    pub fn max_displacement(&self, other: &Self, dims: [usize; 3]) -> f64 {
        corners(dims)
            .map(|corner| {
                let (a, b) = (self.apply(corner), other.apply(corner));
                (0..3).map(|r| (a[r] - b[r]).powi(2)).sum::<f64>().sqrt()
            })
            .fold(0.0, |worst, d| if d.is_nan() { f64::INFINITY } else { f64::max(worst, d) })
    }

    /// # Errors
    /// A value is not finite, or the three axes do not span space; the message names `origin`.
    pub fn check(&self, origin: &'static str) -> Result<(), VolumeError> {
        let problem = |problem: String| Err(VolumeError::Affine { origin, problem });
        if let Some(v) = self.0.iter().flatten().find(|v| !v.is_finite()) {
            return problem(format!("holds {v}, which is no position"));
        }
        if self.0[3] != [0.0, 0.0, 0.0, 1.0] {
            return problem(format!("last row is {:?} instead of 0 0 0 1", self.0[3]));
        }
        let spacing = self.spacing();
        let relative = self.determinant().abs() / spacing.iter().product::<f64>();
        if !(relative.is_finite() && relative > SINGULAR) {
            return problem(format!("is singular: voxel axes of {spacing:?} mm do not span space"));
        }
        Ok(())
    }
}

/// The eight corner indices of a grid, axis 0 slowest.
pub(crate) fn corners(dims: [usize; 3]) -> impl Iterator<Item = [f64; 3]> {
    let last = dims.map(|d| d.saturating_sub(1) as f64);
    (0..8_u8).map(move |bits| std::array::from_fn(|a| if bits >> (2 - a) & 1 == 1 { last[a] } else { 0.0 }))
}

pub(crate) fn determinant(m: &[[f64; 3]; 3]) -> f64 {
    m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
        + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
}

/// Inverse by cofactors; the caller has checked that `m` is not singular.
pub(crate) fn inverse3(m: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let d = determinant(m);
    std::array::from_fn(|r| {
        std::array::from_fn(|c| {
            // Cyclic indices give the cofactor its sign.
            let (a, b) = ((c + 1) % 3, (c + 2) % 3);
            let (p, q) = ((r + 1) % 3, (r + 2) % 3);
            (m[a][p] * m[b][q] - m[a][q] * m[b][p]) / d
        })
    })
}

pub(crate) fn multiply3(a: &[[f64; 3]; 3], b: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    std::array::from_fn(|r| std::array::from_fn(|c| (0..3).map(|k| a[r][k] * b[k][c]).sum()))
}

/// The orthogonal matrix closest to `m` (its polar factor), by Newton's iteration
/// `R <- (R + R^-T) / 2`; equal to `U V^T` of the singular value decomposition.
pub(crate) fn closest_rotation(m: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let mut r = *m;
    // Converges quadratically; 60 steps also cover badly scaled axes near the singular limit.
    for _ in 0..60 {
        let inverse = inverse3(&r);
        let next: [[f64; 3]; 3] = std::array::from_fn(|i| std::array::from_fn(|j| (r[i][j] + inverse[j][i]) / 2.0));
        let change = (0..9).map(|k| (next[k / 3][k % 3] - r[k / 3][k % 3]).abs()).fold(0.0, f64::max);
        r = next;
        if change < 1e-15 {
            break;
        }
    }
    r
}

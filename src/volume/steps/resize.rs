//! Resampling to a number of voxels, as MONAI's `Resize`.
//!
//! Along each axis voxel `i` of `n` reads index `(i + 0.5) m / n - 0.5` of `m`, within the border: trilinear as PyTorch's
//! `interpolate` with `align_corners=False`, or its `nearest`, index `floor(i m / n)`. Its `area` is the mean of voxels
//! `floor(i m / n)` to below `ceil((i + 1) m / n)`; on the way back from a coarser grid that is of one voxel or two.

use serde::{Deserialize, Serialize};

use super::spline::{Line, resample_axes};
use super::{Frame, Transform};
use crate::volume::VolumeError;
use crate::volume::geometry::{Move, Resized, Taken};

/// How values between voxels are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResizeMode {
    /// Linear along each axis.
    Trilinear,
    /// The voxel at or before the place.
    Nearest,
    /// The mean of the voxels that a voxel covers, in part or whole.
    Area,
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
        let back = match self.mode {
            ResizeMode::Trilinear => Taken::Linear,
            ResizeMode::Nearest => Taken::Before,
            ResizeMode::Area => Taken::Mean,
        };
        let resized = Resized { dims: self.spatial_size, back: [back; 3], labels: Taken::Before };
        frame.place(Move::Resize(resized), (resized.dims, resized.affine(&affine, from)), |channel, dims| {
            match self.mode {
                ResizeMode::Trilinear => resample_axes(channel, dims, resized.dims, [Line::Linear; 3]),
                ResizeMode::Nearest => resample_axes(channel, dims, resized.dims, [Line::Before; 3]),
                ResizeMode::Area => means(channel, dims, resized.dims),
            }
        });
        Ok(())
    }
}

/// Means of what each voxel covers, axis by axis: a mean of boxes is one of means along lines.
fn means(source: &[f32], dims: [usize; 3], to: [usize; 3]) -> Vec<f32> {
    let (mut data, mut size) = (source.to_vec(), dims);
    for a in 0..3 {
        let (n, m, inner) = (size[a], to[a], size[a + 1..].iter().product::<usize>());
        let outer = data.len() / (n * inner).max(1);
        let mut out = Vec::with_capacity(outer * m * inner);
        for o in 0..outer {
            for i in 0..m {
                let covered = i * n / m..((i + 1) * n).div_ceil(m);
                let count = covered.len() as f64;
                out.extend((0..inner).map(|k| {
                    let sum: f64 = covered.clone().map(|at| f64::from(data[(o * n + at) * inner + k])).sum();
                    (sum / count) as f32
                }));
            }
        }
        (data, size[a]) = (out, m);
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn area_is_the_mean_of_what_is_covered() {
        let line: Vec<f32> = (0..5).map(|v| v as f32).collect();
        // PyTorch: adaptive_avg_pool1d of 0 to 4.
        assert_eq!(means(&line, [5, 1, 1], [2, 1, 1]), [1.0, 3.0]);
        assert_eq!(means(&line, [1, 1, 5], [1, 1, 3]), [0.5, 2.0, 3.5]);
        assert_eq!(means(&[1.0, 3.0], [1, 2, 1], [1, 3, 1]), [1.0, 2.0, 3.0]);
    }
}

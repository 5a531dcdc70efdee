//! Resampling to a voxel size in index space, as nnU-Net's `resample_data_or_seg_to_shape`.
//!
//! `n` voxels of `s` mm become `round(s / spacing n)`, half to even. Data are resampled by splines and stay within the range
//! they had (skimage's `resize` clips). Where voxels are much longer along one axis (more than the threshold; looked at in
//! the scan, and if not there in the target), slices across it are resampled each for itself, and then along it by
//! `order_z`. The way back is the same with the rule for `probabilities`, from the target to the scan.

use serde::{Deserialize, Serialize};

use super::spline::{Line, clip, ranges, resample_axes};
use super::{Frame, Transform};
use crate::volume::geometry::{Move, Resized, Taken};
use crate::volume::{VolumeError, checked_len};

/// How values between voxels are found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interpolation {
    /// Order of the spline: 0, 1 or 3.
    pub order: u8,
    /// Order along the axis of long voxels.
    pub order_z: u8,
    /// Whether slices are resampled apart: always along the longest axis, never, or (null) by the threshold.
    pub force_separate_z: Option<bool>,
    /// How many times longer than the shortest the longest axis must be.
    #[serde(default = "three")]
    pub separate_z_anisotropy_threshold: f64,
}

fn three() -> f64 {
    3.0
}

impl Interpolation {
    /// The default rule with this order in slices.
    #[must_use]
    pub fn of_order(order: u8) -> Self {
        Self { order, order_z: 0, force_separate_z: None, separate_z_anisotropy_threshold: three() }
    }

    /// The axis across which slices are resampled apart, if any.
    fn separate(&self, current: [f64; 3], target: [f64; 3]) -> Option<usize> {
        let anisotropic = |s: [f64; 3]| {
            let (low, high) = s.iter().fold((f64::INFINITY, 0.0_f64), |(l, h), v| (l.min(*v), h.max(*v)));
            high / low > self.separate_z_anisotropy_threshold
        };
        let judged = match self.force_separate_z {
            Some(true) => current,
            Some(false) => return None,
            None if anisotropic(current) => current,
            None if anisotropic(target) => target,
            None => return None,
        };
        let longest = judged.into_iter().fold(0.0, f64::max);
        let mut axes = (0..3).filter(|&a| judged[a] == longest);
        // Two long axes are no slices.
        axes.next().filter(|_| axes.next().is_none())
    }

    /// The rule along each axis.
    fn lines(&self, separate: Option<usize>) -> [Line; 3] {
        let line = |order| match order {
            0 => Line::Nearest,
            1 => Line::Linear,
            _ => Line::Cubic,
        };
        std::array::from_fn(|a| line(if separate == Some(a) { self.order_z } else { self.order }))
    }

    fn check(&self, setting: &'static str, orders: &[u8], problem: &'static str) -> Result<(), VolumeError> {
        let threshold = self.separate_z_anisotropy_threshold;
        if orders.contains(&self.order) && orders.contains(&self.order_z) && threshold >= 1.0 {
            return Ok(());
        }
        Err(VolumeError::Setting { setting, value: format!("{self:?}"), problem })
    }
}

/// Resamples to voxels of `spacing`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resampling {
    /// Voxel size in mm along X, Y, Z.
    pub spacing: [f64; 3],
    /// For the scan.
    pub data: Interpolation,
    /// For what is brought back.
    pub probabilities: Interpolation,
}

impl Transform for Resampling {
    fn check(&self, _channels: usize) -> Result<(), VolumeError> {
        if !self.spacing.iter().all(|mm| (1e-3..=1e3).contains(mm)) {
            let problem = "three lengths between 0.001 and 1000 mm are needed";
            return Err(VolumeError::Setting {
                setting: "Resampling spacing",
                value: format!("{:?}", self.spacing),
                problem,
            });
        }
        let problem = "orders 0, 1 and 3 and a threshold of at least 1 can be applied";
        self.data.check("Resampling data", &[0, 1, 3], problem)?;
        let problem = "orders 0 and 1 and a threshold of at least 1 can be applied";
        self.probabilities.check("Resampling probabilities", &[0, 1], problem)
    }

    fn apply(&self, frame: &mut Frame<'_>) -> Result<(), VolumeError> {
        self.check(frame.volume.channels)?;
        let (from, affine) = (frame.volume.dims, frame.volume.affine);
        // Files keep voxel sizes in 32 bits, and ties are decided by them.
        let current = affine.spacing().map(|mm| f64::from(mm as f32));
        let size: [f64; 3] = std::array::from_fn(|a| (current[a] / self.spacing[a] * from[a] as f64).round_ties_even());
        let dims = size.map(|n| (n as usize).max(1));
        if dims == from {
            return Ok(());
        }
        let needed = 4.0 * size.iter().product::<f64>();
        let limit = crate::volume::resample::MAX_GRID_BYTES;
        if needed > limit as f64 {
            return Err(VolumeError::TooLarge { needed: needed as u64, limit });
        }
        checked_len(frame.volume.channels, dims)?;
        let separate = self.data.separate(current, self.spacing);
        let back = self.probabilities.lines(self.probabilities.separate(self.spacing, current));
        let back = back.map(|line| if line == Line::Nearest { Taken::Nearest } else { Taken::Linear });
        let resized = Resized { dims, back, labels: Taken::Nearest };
        frame.place(Move::Resize(resized), (dims, resized.affine(&affine, from)), |channel, from| {
            self.channel(channel, from, dims, separate)
        });
        Ok(())
    }
}

impl Resampling {
    fn channel(&self, source: &[f32], from: [usize; 3], to: [usize; 3], separate: Option<usize>) -> Vec<f32> {
        let lines = self.data.lines(separate);
        let mut within = to;
        if let Some(axis) = separate {
            within[axis] = from[axis];
        }
        let mut data = resample_axes(source, from, within, lines);
        if self.data.order == 3 && within != from {
            clip(&mut data, within, separate, &ranges(source, from, separate));
        }
        resample_axes(&data, within, to, lines)
    }
}

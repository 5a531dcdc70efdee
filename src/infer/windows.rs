//! Where the windows of a volume lie, and how much each of their voxels counts: MONAI's `sliding_window_inference`.
//!
//! Interval `max(1, trunc(roi (1 - overlap)))` in f64 (the whole axis if it is as long as the window); the last window is
//! pulled back to the end; a volume smaller than the window is padded with zeros, the smaller half in front.
//! Gaussian weight: product over the axes of `exp(-x² / (2 σ²))`, `σ = sigma_scale roi`, `x = i - (roi - 1) / 2`, at least
//! `max(its minimum, 1e-3)`. Source: MONAI 1.1 and later, `monai/inferers/utils.py`.

use super::InferError;
use crate::weights::package::Blend;

/// Windows over a volume.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowGrid {
    /// Size of a window in voxels.
    pub roi: [usize; 3],
    /// Size of the volume.
    pub image: [usize; 3],
    /// Size of the volume padded to at least one window.
    pub padded: [usize; 3],
    /// Padding in front of each axis.
    pub before: [usize; 3],
    /// First voxel of the windows along each axis, in the padded volume.
    pub starts: [Vec<usize>; 3],
}

impl WindowGrid {
    /// Windows of `roi` voxels that overlap by the fraction `overlap`.
    ///
    /// # Errors
    /// [`InferError::Option`] unless `0 <= overlap < 1`.
    pub fn new(image: [usize; 3], roi: [usize; 3], overlap: f64) -> Result<Self, InferError> {
        if !(0.0..1.0).contains(&overlap) {
            return Err(InferError::Option {
                option: "overlap",
                value: overlap.to_string(),
                rule: "must be at least 0 and less than 1".to_owned(),
            });
        }
        let axes = [0, 1, 2];
        let padded = axes.map(|a| image[a].max(roi[a]));
        Ok(Self {
            roi,
            image,
            padded,
            before: axes.map(|a| (padded[a] - image[a]) / 2),
            starts: axes.map(|a| starts(padded[a], roi[a], overlap)),
        })
    }

    /// First voxel of the window number `index < count()`, in MONAI's order: Z fastest.
    pub(super) fn start(&self, index: usize) -> [usize; 3] {
        let [x, y, z] = &self.starts;
        [x[index / z.len() / y.len()], y[index / z.len() % y.len()], z[index % z.len()]]
    }

    /// Number of windows.
    pub fn count(&self) -> usize {
        self.starts.iter().map(Vec::len).product()
    }
}

fn starts(size: usize, roi: usize, overlap: f64) -> Vec<usize> {
    let interval = if roi == size { roi } else { ((roi as f64 * (1.0 - overlap)) as usize).max(1) };
    let count = (size - roi).div_ceil(interval) + 1;
    (0..count).map(|i| (i * interval).min(size - roi)).collect()
}

/// Weights of a window's voxels: `max(x y z, floor)` with a factor per axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Importance {
    /// Factors along X, then Y, then Z.
    pub axes: Vec<f32>,
    /// The least weight.
    pub floor: f32,
}

/// The weights of a window of `roi` voxels.
pub fn importance(roi: [usize; 3], blend: Blend, sigma_scale: f64) -> Importance {
    if blend == Blend::Constant {
        return Importance { axes: vec![1.0; roi.iter().sum()], floor: 0.0 };
    }
    let factors = roi.map(|n| {
        let sigma = sigma_scale * n as f64;
        let weight = |i: usize| {
            let x = i as f64 - (n as f64 - 1.0) / 2.0;
            (-x * x / (2.0 * sigma * sigma)).exp() as f32
        };
        (0..n).map(weight).collect::<Vec<f32>>()
    });
    let least: f32 = factors.iter().map(|f| f.first().copied().unwrap_or(1.0)).product();
    Importance { axes: factors.concat(), floor: least.max(1e-3) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_a_known_volume() {
        // Reference values of MONAI for 314 x 214 x 234 and windows of 96.
        for (overlap, count) in [(0.25, 45), (0.5, 96), (0.7, 324), (0.8, 936)] {
            let grid = WindowGrid::new([314, 214, 234], [96; 3], overlap).expect("valid");
            assert_eq!(grid.count(), count, "overlap {overlap}");
        }
        let grid = WindowGrid::new([314, 214, 234], [96; 3], 0.5).expect("valid");
        assert_eq!(grid.starts[0], [0, 48, 96, 144, 192, 218]);
    }

    #[test]
    fn intervals_truncate_in_double_precision() {
        assert_eq!(starts(400, 160, 0.9)[1], 15);
        assert_eq!(starts(400, 96, 0.8)[1], 19);
        assert_eq!(starts(5, 2, 0.99), [0, 1, 2, 3]);
        assert_eq!(starts(96, 96, 0.5), [0]);
    }

    #[test]
    fn every_voxel_is_covered_and_small_volumes_are_padded() {
        for size in 1..60 {
            for (roi, overlap) in [(16, 0.0), (16, 0.25), (16, 0.5), (7, 0.9)] {
                let grid = WindowGrid::new([size, 20, 20], [roi, 16, 16], overlap).expect("valid");
                let covered = (0..grid.padded[0]).all(|x| grid.starts[0].iter().any(|&s| (s..s + roi).contains(&x)));
                assert!(covered, "size {size}, roi {roi}, overlap {overlap}");
                assert!(grid.before[0] + size <= grid.padded[0], "padding of size {size}");
            }
        }
        assert!(WindowGrid::new([9; 3], [3; 3], 1.0).is_err(), "overlap 1 would never advance");
        assert!(WindowGrid::new([9; 3], [3; 3], f64::NAN).is_err(), "NaN is no overlap");
    }

    #[test]
    fn gaussian_peaks_in_the_middle() {
        let weights = importance([96; 3], Blend::Gaussian, 0.125);
        assert!((weights.axes[47].powi(3) - 0.9974).abs() < 1e-4, "peak {}", weights.axes[47].powi(3));
        assert_eq!(weights.floor, 1e-3);
    }
}

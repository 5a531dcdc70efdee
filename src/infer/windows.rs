//! Where the windows of a volume lie, and how much each of their voxels counts.
//!
//! MONAI's `sliding_window_inference`: interval `max(1, trunc(roi (1 - overlap)))` in f64 (the whole axis if it is as long as the window); the last window is
//! pulled back to the end; a volume smaller than the window is padded with zeros, the smaller half in front.
//! Gaussian weight: product over the axes of `exp(-x² / (2 σ²))`, `σ = sigma_scale roi`, `x = i - (roi - 1) / 2`, at least
//! `max(its minimum, 1e-3)`.
//!
//! nnU-Net's `nnUNetPredictor`: `n = ceil((size - roi) / (roi step)) + 1` windows with `step = 1 - overlap`, their first voxels
//! at `round(i (size - roi) / (n - 1))`, half to even; the same padding. Gaussian weight: 10 times the product of
//! `exp(-x² / (2 σ²))`, `x = i - floor(roi / 2)`, at least `2^-24`, which is what half precision makes of less.
//!
//! # Source
//! MONAI 1.1 and later, `monai/inferers/utils.py`; nnU-Net 2.8.1, `nnunetv2/inference/sliding_window_prediction.py`.

use super::InferError;
use crate::weights::package::{Blend, InferenceSection, Rule};

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
    pub fn new(image: [usize; 3], roi: [usize; 3], overlap: f64, rule: Rule) -> Result<Self, InferError> {
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
            starts: axes.map(|a| match rule {
                Rule::Monai => starts(padded[a], roi[a], overlap),
                Rule::Nnunet => even_starts(padded[a], roi[a], 1.0 - overlap),
            }),
        })
    }

    /// First voxel of the window number `index < count()`: slowest along `axis`, else in MONAI's order, Z fastest.
    pub(super) fn start(&self, index: usize, axis: usize) -> [usize; 3] {
        let order = [[0, 1, 2], [1, 0, 2], [2, 0, 1]][axis];
        let [a, b, c] = order.map(|axis| &self.starts[axis]);
        let firsts = [a[index / c.len() / b.len()], b[index / c.len() % b.len()], c[index % c.len()]];
        let mut start = [0; 3];
        order.iter().zip(firsts).for_each(|(&axis, first)| start[axis] = first);
        start
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

/// nnU-Net's rule: as many windows as steps of this fraction of a window need, spread evenly.
fn even_starts(size: usize, roi: usize, step: f64) -> Vec<usize> {
    let last = size - roi;
    let steps = (last as f64 / (roi as f64 * step)).ceil() as usize;
    let apart = if steps > 0 { last as f64 / steps as f64 } else { 0.0 };
    (0..=steps).map(|i| (apart * i as f64).round_ties_even() as usize).collect()
}

/// Weights of a window's voxels: `max(x y z, floor)` with a factor per axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Importance {
    /// Factors along X, then Y, then Z.
    pub axes: Vec<f32>,
    /// The least weight.
    pub floor: f32,
}

/// The weights of a window of `roi` voxels, blended as `blend` says and otherwise as the package does.
pub fn importance(roi: [usize; 3], blend: Blend, inference: &InferenceSection) -> Importance {
    if blend == Blend::Constant {
        return Importance { axes: vec![1.0; roi.iter().sum()], floor: 0.0 };
    }
    let nnunet = inference.importance == Rule::Nnunet;
    let factors = roi.map(|n| {
        let sigma = inference.sigma_scale * n as f64;
        let middle = if nnunet { (n / 2) as f64 } else { (n as f64 - 1.0) / 2.0 };
        let weight = |i: usize| {
            let x = i as f64 - middle;
            (-x * x / (2.0 * sigma * sigma)).exp() as f32
        };
        (0..n).map(weight).collect::<Vec<f32>>()
    });
    if nnunet {
        let mut axes = factors.concat();
        axes.iter_mut().take(roi[0]).for_each(|v| *v *= 10.0);
        return Importance { axes, floor: 2.0_f32.powi(-24) };
    }
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
            let grid = WindowGrid::new([314, 214, 234], [96; 3], overlap, Rule::Monai).expect("valid");
            assert_eq!(grid.count(), count, "overlap {overlap}");
        }
        let grid = WindowGrid::new([314, 214, 234], [96; 3], 0.5, Rule::Monai).expect("valid");
        assert_eq!(grid.starts[0], [0, 48, 96, 144, 192, 218]);
    }

    #[test]
    fn windows_of_planes_along_an_axis_follow_one_another() {
        let grid = WindowGrid::new([5, 6, 7], [4; 3], 0.5, Rule::Monai).expect("valid");
        for axis in 0..3 {
            let starts: Vec<[usize; 3]> = (0..grid.count()).map(|i| grid.start(i, axis)).collect();
            assert!(starts.is_sorted_by_key(|start| start[axis]), "{starts:?}");
            let distinct: std::collections::BTreeSet<_> = starts.iter().collect();
            assert_eq!(distinct.len(), grid.count());
        }
        assert_eq!([grid.start(1, 0), grid.start(2, 0)], [[0, 0, 2], [0, 0, 3]], "MONAI's order");
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
                let grid = WindowGrid::new([size, 20, 20], [roi, 16, 16], overlap, Rule::Monai).expect("valid");
                let covered = (0..grid.padded[0]).all(|x| grid.starts[0].iter().any(|&s| (s..s + roi).contains(&x)));
                assert!(covered, "size {size}, roi {roi}, overlap {overlap}");
                assert!(grid.before[0] + size <= grid.padded[0], "padding of size {size}");
            }
        }
        assert!(WindowGrid::new([9; 3], [3; 3], 1.0, Rule::Monai).is_err(), "overlap 1 would never advance");
        assert!(WindowGrid::new([9; 3], [3; 3], f64::NAN, Rule::Monai).is_err(), "NaN is no overlap");
    }

    /// `compute_steps_for_sliding_window` of nnunetv2 2.8.1.
    #[test]
    fn windows_of_nnunet_are_spread_evenly() {
        assert_eq!(even_starts(110, 64, 0.5), [0, 23, 46]);
        assert_eq!(even_starts(64, 64, 0.5), [0]);
        assert_eq!(even_starts(65, 64, 0.5), [0, 1]);
        assert_eq!(even_starts(33, 12, 0.5), [0, 5, 10, 16, 21]);
        assert_eq!(even_starts(200, 64, 1.0), [0, 45, 91, 136]);
        assert_eq!(even_starts(45, 20, 0.3), [0, 5, 10, 15, 20, 25]);
    }

    #[test]
    fn gaussian_of_nnunet_peaks_at_a_voxel() {
        let rules = InferenceSection { importance: Rule::Nnunet, ..InferenceSection::default_for(WINDOW) };
        let weights = importance([8, 5, 4], Blend::Gaussian, &rules);
        let peak = weights.axes[4] * weights.axes[8 + 2] * weights.axes[13 + 2];
        assert_eq!((peak, weights.floor), (10.0, 2.0_f32.powi(-24)));
        assert!((weights.axes[0] / 10.0 - (-8.0_f32).exp()).abs() < 1e-9, "{}", weights.axes[0]);
    }

    const WINDOW: crate::nets::Window = crate::nets::Window::Fixed([96; 3]);

    #[test]
    fn gaussian_peaks_in_the_middle() {
        let weights = importance([96; 3], Blend::Gaussian, &InferenceSection::default_for(WINDOW));
        assert!((weights.axes[47].powi(3) - 0.9974).abs() < 1e-4, "peak {}", weights.axes[47].powi(3));
        assert_eq!(weights.floor, 1e-3);
    }
}

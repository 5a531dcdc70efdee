//! Smoothing with a gaussian along each axis: `y[i] = sum_j g[j] x[i + j]`, `g[j] ~ exp(-j^2 / (2 s^2))` with sum 1 and
//! `|j| <= int(max(4 s, 0.5) + 0.5)`; `s` is uniform in `sigma` voxels, for each axis anew.
//!
//! Beyond the window its outermost voxels are repeated. MONAI takes zeros there, which darkens the faces of a window
//! whose background is not 0.
//!
//! # Source
//! MONAI `RandGaussianSmooth`, `GaussianFilter` with `approx="sampled"`, normalised.

use serde::{Deserialize, Serialize};

use super::check;
use crate::train::data::error::DataError;
use crate::train::data::random::{self, Rng};

/// `[augment] gaussian_smooth`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaussianSmooth {
    pub prob: f64,
    /// Smallest and largest standard deviation in voxels.
    pub sigma: [f64; 2],
}

impl GaussianSmooth {
    pub(super) fn validate(&self) -> Result<(), DataError> {
        let field = "augment.gaussian_smooth";
        check::prob(field, self.prob)?;
        check::range(&format!("{field}.sigma"), self.sigma, 0.01, 16.0)
    }

    /// `image` `(C, dims...)`.
    pub(super) fn apply(&self, rng: &mut Rng, image: &mut [f32], dims: [usize; 3]) {
        if random::happens(rng, self.prob) {
            let sigma: [f64; 3] = std::array::from_fn(|_| random::uniform(rng, self.sigma[0], self.sigma[1]));
            smooth(image, dims, sigma);
        }
    }
}

fn smooth(image: &mut [f32], dims: [usize; 3], sigma: [f64; 3]) {
    let [_, ny, nz] = dims;
    let kernels = sigma.map(kernel);
    // An axis of n steps of `stride` values, as rows of that length: every axis is one case.
    for (axis, stride) in [(0, ny * nz), (1, nz), (2, 1)] {
        let block = dims[axis] * stride;
        let mut source = vec![0.0; block];
        for values in image.chunks_exact_mut(block.max(1)) {
            source.copy_from_slice(values);
            if stride == 1 {
                along_row(&source, values, &kernels[axis]);
            } else {
                across_rows(&source, values, stride, &kernels[axis]);
            }
        }
    }
}

/// Weights for 0, 1, 2, ... voxels away.
fn kernel(sigma: f64) -> Vec<f32> {
    let tail = ((4.0 * sigma).max(0.5) + 0.5) as usize;
    let weight = |j: usize| (-0.5 * (j as f64 / sigma).powi(2)).exp();
    let sum = weight(0) + 2.0 * (1..=tail).map(weight).sum::<f64>();
    (0..=tail).map(|j| (weight(j) / sum) as f32).collect()
}

/// Where `i + j` and `i - j` fall in `n` steps whose ends are repeated.
fn neighbours(i: usize, j: usize, n: usize) -> [usize; 2] {
    [(i + j).min(n.saturating_sub(1)), i.saturating_sub(j)]
}

fn across_rows(source: &[f32], out: &mut [f32], stride: usize, kernel: &[f32]) {
    let n = source.len() / stride;
    let row = |i: usize| source.get(i * stride..(i + 1) * stride).unwrap_or_default();
    for (i, out) in out.chunks_exact_mut(stride).enumerate() {
        for (j, &weight) in kernel.iter().enumerate() {
            let [after, before] = neighbours(i, j, n);
            if j == 0 {
                out.iter_mut().zip(row(i)).for_each(|(to, a)| *to = weight * a);
                continue;
            }
            for ((to, a), b) in out.iter_mut().zip(row(after)).zip(row(before)) {
                *to += weight * (a + b);
            }
        }
    }
}

fn along_row(source: &[f32], out: &mut [f32], kernel: &[f32]) {
    let n = source.len();
    let value = |i: usize| source.get(i).copied().unwrap_or(0.0);
    for (i, to) in out.iter_mut().enumerate() {
        let sum = |sum: f32, (j, weight): (usize, &f32)| {
            let [after, before] = neighbours(i, j, n);
            sum + weight * if j == 0 { value(i) } else { value(after) + value(before) }
        };
        *to = kernel.iter().enumerate().fold(0.0, sum);
    }
}

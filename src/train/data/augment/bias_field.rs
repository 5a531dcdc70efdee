//! The smooth brightness of a receive coil: `y = x exp(b)`, `b(x, y, z)` the sum of `c_ijk P_i(x) P_j(y) P_k(z)` over
//! `i + j + k <= degree`, P being Legendre's polynomials on [-1, 1] across the window and each `c` uniform in
//! `coeff_range`. All channels share the field.
//!
//! # Source
//! MONAI `RandBiasField`; Van Leemput et al. 1999, IEEE TMI 18(10).

use serde::{Deserialize, Serialize};

use super::check;
use crate::train::data::error::DataError;
use crate::train::data::random::{self, Rng};

/// `[augment] bias_field`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BiasField {
    pub prob: f64,
    /// Degree of the polynomial.
    #[serde(default = "three")]
    pub degree: usize,
    /// Smallest and largest coefficient.
    pub coeff_range: [f64; 2],
}

fn three() -> usize {
    3
}

impl BiasField {
    pub(super) fn validate(&self) -> Result<(), DataError> {
        let field = "augment.bias_field";
        check::prob(field, self.prob)?;
        check::within(format!("{field}.degree"), self.degree as f64, 1.0, 8.0)?;
        check::range(&format!("{field}.coeff_range"), self.coeff_range, -2.0, 2.0)
    }

    /// `image` `(C, dims...)`.
    pub(super) fn apply(&self, rng: &mut Rng, image: &mut [f32], dims: [usize; 3]) {
        if !random::happens(rng, self.prob) {
            return;
        }
        let n = self.degree + 1;
        // (i, j, k), k fastest; those of a higher degree stay 0.
        let mut coefficients = vec![0.0; n * n * n];
        for (at, coefficient) in coefficients.iter_mut().enumerate() {
            if at / (n * n) + at / n % n + at % n <= self.degree {
                *coefficient = random::uniform(rng, self.coeff_range[0], self.coeff_range[1]);
            }
        }
        multiply(image, dims, &coefficients, n);
    }
}

/// Multiplies each channel by the exponential of the polynomial with `n` coefficients per axis.
fn multiply(image: &mut [f32], dims: [usize; 3], coefficients: &[f64], n: usize) {
    let [bx, by, bz] = dims.map(|size| basis(size, n));
    let mut field = Vec::with_capacity(dims.iter().product());
    for px in &bx {
        let plane = mix(coefficients, px, n * n);
        for py in &by {
            let line = mix(&plane, py, n);
            for pz in &bz {
                let exponent: f64 = line.iter().zip(pz).map(|(c, p)| c * p).sum();
                field.push((exponent as f32).exp());
            }
        }
    }
    for channel in image.chunks_exact_mut(field.len().max(1)) {
        channel.iter_mut().zip(&field).for_each(|(value, factor)| *value *= factor);
    }
}

/// The first axis of `coefficients`, of rows of `len`, summed with `weights`.
fn mix(coefficients: &[f64], weights: &[f64], len: usize) -> Vec<f64> {
    let mut sum = vec![0.0; len];
    for (row, weight) in coefficients.chunks_exact(len).zip(weights) {
        sum.iter_mut().zip(row).for_each(|(to, c)| *to += weight * c);
    }
    sum
}

/// P_0 to P_(n-1) at each of `size` places from -1 to 1.
fn basis(size: usize, n: usize) -> Vec<Vec<f64>> {
    let step = 2.0 / (size.max(2) - 1) as f64;
    (0..size).map(|i| legendre(-1.0 + i as f64 * step, n)).collect()
}

/// Bonnet's recursion: `(m + 1) P_(m+1) = (2 m + 1) x P_m - m P_(m-1)`.
fn legendre(x: f64, n: usize) -> Vec<f64> {
    let (mut before, mut now) = (0.0, 1.0);
    (0..n)
        .map(|m| {
            let m = m as f64;
            let next = ((2.0 * m + 1.0) * x * now - m * before) / (m + 1.0);
            before = std::mem::replace(&mut now, next);
            before
        })
        .collect()
}

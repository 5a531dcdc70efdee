//! An elastic deformation: every voxel `w` of the window shows the place of `w + d(w)`.
//!
//! `d` is a cubic B-spline whose control points lie `spacing` voxels apart and move by normal deviates times one
//! magnitude, uniform in `magnitude_range` voxels, along each axis.
//!
//! # Source
//! MONAI `RandDeformGrid`, in three dimensions; Rueckert et al. 1999, IEEE TMI 18(8), equation 1 for the spline.

use rand::RngExt;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::check;
use crate::train::data::error::DataError;
use crate::train::data::random::{self, Rng};

/// `[augment] elastic`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Elastic {
    pub prob: f64,
    /// Voxels between control points.
    pub spacing: f64,
    /// Smallest and largest magnitude in voxels.
    pub magnitude_range: [f64; 2],
}

impl Elastic {
    pub(super) fn validate(&self) -> Result<(), DataError> {
        let field = "augment.elastic";
        check::prob(field, self.prob)?;
        check::within(format!("{field}.spacing"), self.spacing, 2.0, 1e4)?;
        // Beyond 0.4 of the distance a deformation folds (Choi and Lee 2000).
        check::range(&format!("{field}.magnitude_range"), self.magnitude_range, 0.0, 0.4 * self.spacing)
    }

    /// The deformation of a window, if there is one this time.
    pub(super) fn draw(&self, rng: &mut Rng, window: [usize; 3]) -> Option<Deformation> {
        if !random::happens(rng, self.prob) {
            return None;
        }
        let magnitude = random::uniform(rng, self.magnitude_range[0], self.magnitude_range[1]);
        let taps = window.map(|w| taps(w, self.spacing));
        let grid = taps.each_ref().map(|taps| taps.last().map_or(0, |last| last.first + 4));
        let mut control = || std::array::from_fn(|_| magnitude * rng.sample::<f64, _>(StandardNormal));
        let control = (0..grid.iter().product()).map(|_| control()).collect();
        Some(Deformation { control, grid, taps })
    }
}

/// A drawn deformation.
#[derive(Clone, Debug)]
pub(super) struct Deformation {
    /// Movements of the control points, in the order of `grid`.
    control: Vec<[f64; 3]>,
    grid: [usize; 3],
    taps: [Vec<Taps>; 3],
}

/// The four control points that move an index along one axis.
#[derive(Clone, Copy, Debug)]
struct Taps {
    first: usize,
    weights: [f64; 4],
}

fn taps(size: usize, spacing: f64) -> Vec<Taps> {
    (0..size)
        .map(|i| {
            let t = i as f64 / spacing;
            let first = t as usize;
            let u = t - first as f64;
            let v = 1.0 - u;
            let weights = [
                v * v * v / 6.0,
                (3.0 * u * u * u - 6.0 * u * u + 4.0) / 6.0,
                (3.0 * v * v * v - 6.0 * v * v + 4.0) / 6.0,
                u * u * u / 6.0,
            ];
            Taps { first, weights }
        })
        .collect()
}

/// The sum of the first four rows, weighted.
fn mix<'a>(rows: impl Iterator<Item = &'a [[f64; 3]]>, weights: [f64; 4], out: &mut [[f64; 3]]) {
    out.fill([0.0; 3]);
    for (row, weight) in rows.zip(weights) {
        for (sum, value) in out.iter_mut().zip(row) {
            (0..3).for_each(|a| sum[a] += weight * value[a]);
        }
    }
}

impl Deformation {
    /// Calls `visit` with `(x, y)` and the movements of that row's voxels, in order.
    pub(super) fn each_row(&self, mut visit: impl FnMut(usize, usize, &[[f64; 3]])) {
        let [_, gy, gz] = self.grid;
        let mut plane = vec![[0.0; 3]; gy * gz];
        let mut line = vec![[0.0; 3]; gz];
        let mut row = vec![[0.0; 3]; self.taps[2].len()];
        for (x, tx) in self.taps[0].iter().enumerate() {
            mix(self.control.chunks_exact(gy * gz).skip(tx.first), tx.weights, &mut plane);
            for (y, ty) in self.taps[1].iter().enumerate() {
                mix(plane.chunks_exact(gz).skip(ty.first), ty.weights, &mut line);
                for (moved, tz) in row.iter_mut().zip(&self.taps[2]) {
                    if let Some([p, q, r, s]) = line.get(tz.first..tz.first + 4) {
                        let [a, b, c, d] = tz.weights;
                        *moved = std::array::from_fn(|n| a * p[n] + b * q[n] + c * r[n] + d * s[n]);
                    }
                }
                visit(x, y, &row);
            }
        }
    }
}

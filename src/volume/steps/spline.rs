//! Resampling of one channel axis by axis, in index space: voxel `i` of `n` reads index `c = (i + 0.5) m / n - 0.5` of `m`.
//!
//! A cubic spline is found as scipy's `ndimage.zoom(order=3, mode="nearest", grid_mode=True)` finds it: the border is repeated
//! 12 times, the line is filtered (pole `sqrt(3) - 2`, half-sample symmetric ends) and cubic B-splines are added up. The
//! arithmetic along a line is f64; what lies between the axes is kept in f32.

use crate::volume::geometry::before;

/// How values between the voxels of a line are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// The voxel at or before `i m / n`: PyTorch's `nearest`.
    Before,
    /// The nearest voxel, `floor(c + 0.5)`: order 0.
    Nearest,
    /// Order 1.
    Linear,
    /// Order 3.
    Cubic,
}

/// Times that the border is repeated for a cubic spline.
const PAD: usize = 12;
/// Lines filtered side by side.
const SIDE: usize = 16;

/// One channel of `dims` resampled to `to`, along each axis by its own rule; axes that keep their size are left alone.
///
/// # Shapes
/// `source` has the product of `dims` values, the result that of `to`.
#[must_use]
pub fn resample_axes(source: &[f32], dims: [usize; 3], to: [usize; 3], lines: [Line; 3]) -> Vec<f32> {
    let mut order = [0, 1, 2];
    // What shrinks comes first: less is left to do, and less is held.
    order.sort_by(|&a, &b| (to[a] * dims[b]).cmp(&(to[b] * dims[a])));
    let (mut data, mut size) = (source.to_vec(), dims);
    for a in order {
        if size[a] != to[a] {
            data = along(&data, size, a, to[a], lines[a]);
            size[a] = to[a];
        }
    }
    data
}

/// Limits each value to a range, one for each slice across `axis`, or the same for all.
pub(super) fn clip(data: &mut [f32], dims: [usize; 3], across: Option<usize>, ranges: &[(f32, f32)]) {
    for (at, v) in data.iter_mut().enumerate() {
        let (low, high) = ranges[across.map_or(0, |a| slice_of(at, dims, a))];
        *v = v.max(low).min(high);
    }
}

/// Least and greatest value of each slice across `axis`, or of all.
pub(super) fn ranges(data: &[f32], dims: [usize; 3], across: Option<usize>) -> Vec<(f32, f32)> {
    let mut ranges = vec![(f32::INFINITY, f32::NEG_INFINITY); across.map_or(1, |a| dims[a])];
    for (at, v) in data.iter().enumerate() {
        let (low, high) = &mut ranges[across.map_or(0, |a| slice_of(at, dims, a))];
        (*low, *high) = (low.min(*v), high.max(*v));
    }
    ranges
}

fn slice_of(at: usize, dims: [usize; 3], axis: usize) -> usize {
    at / dims[axis + 1..].iter().product::<usize>() % dims[axis]
}

fn along(source: &[f32], dims: [usize; 3], axis: usize, to: usize, line: Line) -> Vec<f32> {
    let (n, inner) = (dims[axis], dims[axis + 1..].iter().product::<usize>());
    let outer = source.len() / (n * inner).max(1);
    let taps: Vec<Taps> = (0..to).map(|i| Taps::new(i, n, to, line)).collect();
    let pad = if line == Line::Cubic { PAD } else { 0 };
    let mut out = vec![0.0; outer * to * inner];
    let mut lines = vec![[0.0; SIDE]; n + 2 * pad];
    for o in 0..outer {
        for first in (0..inner).step_by(SIDE) {
            let width = SIDE.min(inner - first);
            for (i, row) in lines.iter_mut().enumerate() {
                let from = (o * n + i.saturating_sub(pad).min(n - 1)) * inner + first;
                row.iter_mut().zip(&source[from..from + width]).for_each(|(v, s)| *v = f64::from(*s));
            }
            if line == Line::Cubic {
                filter(&mut lines);
            }
            for (i, t) in taps.iter().enumerate() {
                let at = (o * to + i) * inner + first;
                for (side, v) in out[at..at + width].iter_mut().enumerate() {
                    let sum: f64 =
                        t.weights[..t.count].iter().zip(&lines[t.first..]).map(|(w, row)| w * row[side]).sum();
                    *v = sum as f32;
                }
            }
        }
    }
    out
}

/// The voxels that one place on a line is made of.
struct Taps {
    first: usize,
    count: usize,
    weights: [f64; 4],
}

impl Taps {
    fn new(i: usize, n: usize, to: usize, line: Line) -> Self {
        let c = (i as f64 + 0.5) * (n as f64 / to as f64) - 0.5;
        let inside = c.clamp(0.0, (n - 1) as f64);
        let one = |first: usize| Self { first: first.min(n - 1), count: 1, weights: [1.0, 0.0, 0.0, 0.0] };
        match line {
            Line::Before => one(before(i as f64, n as f64 / to as f64) as usize),
            Line::Nearest => one((inside + 0.5).floor() as usize),
            Line::Linear => {
                let (low, t) = (inside.floor(), inside - inside.floor());
                match t {
                    0.0 => one(low as usize),
                    t => Self { first: low as usize, count: 2, weights: [1.0 - t, t, 0.0, 0.0] },
                }
            }
            Line::Cubic => {
                let place = c + PAD as f64;
                let t = place - place.floor();
                let (u, s) = (1.0 - t, |x: f64| (x * x * (x - 2.0) * 3.0 + 4.0) / 6.0);
                let weights = [u * u * u / 6.0, s(t), s(u), t * t * t / 6.0];
                Self { first: place.floor() as usize - 1, count: 4, weights }
            }
        }
    }
}

/// Values to coefficients of cubic B-splines, along the first axis.
fn filter(lines: &mut [[f64; SIDE]]) {
    let pole = 3.0_f64.sqrt() - 2.0;
    let gain = (1.0 - pole) * (1.0 - 1.0 / pole);
    let last = lines.len() - 1;
    for side in 0..SIDE {
        // Beyond 40 terms the powers of the pole are below rounding.
        let mut power = pole;
        let mut start = lines[0][side];
        for row in lines.iter().take(40) {
            start += power * row[side];
            power *= pole;
        }
        lines[0][side] = gain * start;
    }
    for i in 1..=last {
        let before = lines[i - 1];
        for (value, before) in lines[i].iter_mut().zip(before) {
            *value = gain * *value + pole * before;
        }
    }
    for value in &mut lines[last] {
        *value *= pole / (pole - 1.0);
    }
    for i in (0..last).rev() {
        let after = lines[i + 1];
        for (value, after) in lines[i].iter_mut().zip(after) {
            *value = pole * (after - *value);
        }
    }
}

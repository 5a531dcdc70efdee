//! Cutting a window through a map: the image trilinear, the labels nearest, both in one pass over the window.
//!
//! What lies outside of the volume is 0, also as a neighbour of a voxel on its face (PyTorch's `grid_sample` with
//! padding mode zeros).

use super::elastic::Deformation;
use crate::train::data::prepare::PreparedCase;

/// Where the window's voxels lie in the volume: `linear (w + d(w)) + offset`.
#[derive(Clone, Debug)]
pub(super) struct Map {
    pub linear: [[f64; 3]; 3],
    pub offset: [f64; 3],
    pub deformation: Option<Deformation>,
}

impl Map {
    /// Calls `visit` for each voxel of a window in order with its place in the volume.
    fn each(&self, size: [usize; 3], mut visit: impl FnMut([f64; 3])) {
        let m = &self.linear;
        let at = |w: [f64; 3]| -> [f64; 3] {
            std::array::from_fn(|r| m[r][0] * w[0] + m[r][1] * w[1] + m[r][2] * w[2] + self.offset[r])
        };
        if let Some(deformation) = &self.deformation {
            deformation.each_row(|x, y, row| {
                for (z, d) in row.iter().enumerate() {
                    visit(at([x as f64 + d[0], y as f64 + d[1], z as f64 + d[2]]));
                }
            });
            return;
        }
        for x in 0..size[0] {
            for y in 0..size[1] {
                let first = at([x as f64, y as f64, 0.0]);
                (0..size[2]).for_each(|z| visit(std::array::from_fn(|r| first[r] + m[r][2] * z as f64)));
            }
        }
    }
}

/// Appends the image `(C, size...)` of the window; gives its labels `(size...)`.
pub(super) fn warp(case: &PreparedCase, size: [usize; 3], map: &Map, image: &mut Vec<f32>) -> Vec<u16> {
    let voxels: usize = size.iter().product();
    let volume: usize = case.dims.iter().product();
    let first = image.len();
    image.resize(first + case.channels * voxels, 0.0);
    let window = image.get_mut(first..).unwrap_or_default();
    let mut label = Vec::with_capacity(voxels);
    map.each(size, |p| {
        let n = label.len();
        if let Some(cell) = Cell::of(p, case.dims) {
            let channels = window.chunks_exact_mut(voxels).zip(case.image.chunks_exact(volume));
            for (to, from) in channels {
                if let Some(to) = to.get_mut(n) {
                    *to = cell.blend(from);
                }
            }
        }
        label.push(nearest(p, case.dims).and_then(|at| case.label.get(at)).copied().unwrap_or(0));
    });
    label
}

/// The voxel nearest to `p`, halves upwards, if it lies in the volume.
fn nearest(p: [f64; 3], dims: [usize; 3]) -> Option<usize> {
    let mut at = 0;
    for a in 0..3 {
        let shifted = p[a] + 0.5;
        // Truncation is floor here, and NaN fails the comparison.
        let inside = shifted >= 0.0 && shifted < dims[a] as f64;
        at = at * dims[a] + inside.then_some(shifted as usize)?;
    }
    Some(at)
}

/// The eight voxels around a place, and its position between them.
struct Cell {
    /// Offset of the lowest voxel in a channel, plus one step along each axis, so that it may lie before the volume.
    upper: [usize; 3],
    fraction: [f32; 3],
    dims: [usize; 3],
    /// All eight lie in the volume.
    inner: bool,
}

impl Cell {
    /// `None`: all eight lie outside.
    #[inline]
    fn of(p: [f64; 3], dims: [usize; 3]) -> Option<Self> {
        let (mut upper, mut fraction, mut inner) = ([0; 3], [0.0; 3], true);
        for a in 0..3 {
            let shifted = p[a] + 1.0;
            if !(shifted > 0.0 && shifted < dims[a] as f64 + 1.0) {
                return None;
            }
            upper[a] = shifted as usize;
            fraction[a] = (shifted - upper[a] as f64) as f32;
            inner &= upper[a] >= 1 && upper[a] < dims[a];
        }
        Some(Self { upper, fraction, dims, inner })
    }

    #[inline]
    fn blend(&self, channel: &[f32]) -> f32 {
        let [fx, fy, fz] = self.fraction;
        let mix = |a: f32, b: f32, f: f32| a + (b - a) * f;
        let along_z = |x: usize, y: usize| {
            let row = (x * self.dims[1] + y) * self.dims[2] + self.upper[2];
            match channel.get(row - 1..=row) {
                Some(&[a, b]) => mix(a, b, fz),
                _ => 0.0,
            }
        };
        let [ux, uy, _] = self.upper;
        if self.inner {
            let low = mix(along_z(ux - 1, uy - 1), along_z(ux - 1, uy), fy);
            let high = mix(along_z(ux, uy - 1), along_z(ux, uy), fy);
            return mix(low, high, fx);
        }
        // On a face: neighbours outside count as 0.
        let value = |corner: [usize; 3]| {
            let axes = self.upper.iter().zip(corner).zip(self.dims);
            let at = axes.into_iter().try_fold(0, |at, ((upper, corner), size)| {
                let index = (upper + corner).checked_sub(1).filter(|index| *index < size)?;
                Some(at * size + index)
            });
            at.and_then(|at| channel.get(at)).copied()
        };
        let line = |x, y| mix(value([x, y, 0]).unwrap_or(0.0), value([x, y, 1]).unwrap_or(0.0), fz);
        mix(mix(line(0, 0), line(0, 1), fy), mix(line(1, 0), line(1, 1), fy), fx)
    }
}

//! Boxes of voxels, and the smallest around what counts.

use super::{Affine, Volume};

/// A box of voxels: `start` inclusive, `start + dims` exclusive. It may reach beyond the grid it is cut from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Box3 {
    pub start: [isize; 3],
    pub dims: [usize; 3],
}

impl Box3 {
    /// All of a grid.
    #[must_use]
    pub fn whole(dims: [usize; 3]) -> Self {
        Self { start: [0; 3], dims }
    }

    /// A box within a grid.
    #[must_use]
    pub fn within(start: [usize; 3], dims: [usize; 3]) -> Self {
        Self { start: start.map(|s| s as isize), dims }
    }

    /// The affine of the box within a grid of `affine`.
    #[must_use]
    pub fn affine(&self, affine: &Affine) -> Affine {
        Affine::from_parts(affine.linear(), affine.apply(self.start.map(|s| s as f64)))
    }

    /// Copies the box out of one channel `(X, Y, Z)` of `dims`; beyond the grid is zero.
    #[must_use]
    pub fn cut<T: Copy + Default>(&self, source: &[T], dims: [usize; 3]) -> Vec<T> {
        let mut out = vec![T::default(); self.dims.iter().product()];
        self.overlap(dims, |inside, outside, length| {
            out[inside..inside + length].copy_from_slice(&source[outside..outside + length]);
        });
        out
    }

    /// Puts one channel of the box back into one of `dims`; what lies beyond the grid is dropped, the rest is zero.
    #[must_use]
    pub fn paste<T: Copy + Default>(&self, source: &[T], dims: [usize; 3]) -> Vec<T> {
        let mut out = vec![T::default(); dims.iter().product()];
        self.overlap(dims, |inside, outside, length| {
            out[outside..outside + length].copy_from_slice(&source[inside..inside + length]);
        });
        out
    }

    /// Visits the rows along Z that box and grid share: place in the box, place in the grid, length.
    fn overlap(&self, dims: [usize; 3], mut visit: impl FnMut(usize, usize, usize)) {
        let shared = |a: usize| {
            let from = self.start[a].max(0);
            let to = self.start[a].saturating_add_unsigned(self.dims[a]).min(dims[a] as isize);
            from..to.max(from)
        };
        let (row, length) = (shared(2).start, shared(2).len());
        if length == 0 {
            return;
        }
        for x in shared(0) {
            for y in shared(1) {
                let own = [x - self.start[0], y - self.start[1], row - self.start[2]].map(|i| i as usize);
                let grid = [x, y, row].map(|i| i as usize);
                visit(position(own, self.dims), position(grid, dims), length);
            }
        }
    }
}

fn position([x, y, z]: [usize; 3], dims: [usize; 3]) -> usize {
    (x * dims[1] + y) * dims[2] + z
}

/// The smallest box of voxels that count in any channel, or `None` if none does.
#[must_use]
pub fn bounds(volume: &Volume, counts: impl Fn(f32) -> bool) -> Option<Box3> {
    let [_, ny, nz] = volume.dims;
    let (mut low, mut high) = ([usize::MAX; 3], [0_usize; 3]);
    for (row, values) in volume.data.chunks_exact(nz).enumerate() {
        let Some(first) = values.iter().position(|v| counts(*v)) else {
            continue;
        };
        let last = values.iter().rposition(|v| counts(*v)).unwrap_or(first);
        let row = row % (volume.dims[0] * ny);
        for (a, (from, to)) in [(row / ny, row / ny), (row % ny, row % ny), (first, last)].into_iter().enumerate() {
            low[a] = low[a].min(from);
            high[a] = high[a].max(to);
        }
    }
    (low[0] != usize::MAX)
        .then(|| Box3 { start: low.map(|l| l as isize), dims: std::array::from_fn(|a| high[a] + 1 - low[a]) })
}

/// Which voxels are not 0 in any channel, or lie in a hole between such: they reach the border only through them, face by
/// face. Source: scipy's `binary_fill_holes`, which nnU-Net's `create_nonzero_mask` calls.
#[must_use]
pub fn filled_nonzero(volume: &Volume) -> Vec<bool> {
    let (dims, n) = (volume.dims, volume.voxels());
    // Everything is inside until the flood from the border has reached it.
    let mut inside = vec![true; n];
    let solid = |at: usize| (0..volume.channels).any(|c| volume.data[c * n + at] != 0.0);
    let mut reached = Vec::new();
    let flood = |at: usize, inside: &mut Vec<bool>, reached: &mut Vec<usize>| {
        if inside[at] && !solid(at) {
            inside[at] = false;
            reached.push(at);
        }
    };
    let stride = [dims[1] * dims[2], dims[2], 1];
    for at in 0..n {
        if (0..3).any(|a| matches!(at / stride[a] % dims[a], i if i == 0 || i + 1 == dims[a])) {
            flood(at, &mut inside, &mut reached);
        }
    }
    while let Some(at) = reached.pop() {
        for a in 0..3 {
            let i = at / stride[a] % dims[a];
            if i > 0 {
                flood(at - stride[a], &mut inside, &mut reached);
            }
            if i + 1 < dims[a] {
                flood(at + stride[a], &mut inside, &mut reached);
            }
        }
    }
    inside
}

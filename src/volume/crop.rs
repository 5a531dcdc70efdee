//! The foreground crop: the smallest box around voxels above 0 in any channel.
//!
//! Source: MONAI's `CropForeground` with margin 0 and `k_divisible` 1.

use super::{Affine, Volume};

/// A box of voxels: `start` inclusive, `start + dims` exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Box3 {
    pub start: [usize; 3],
    pub dims: [usize; 3],
}

impl Box3 {
    /// All of a grid.
    #[must_use]
    pub fn whole(dims: [usize; 3]) -> Self {
        Self { start: [0; 3], dims }
    }

    /// The affine of the box within a grid of `affine`.
    #[must_use]
    pub fn affine(&self, affine: &Affine) -> Affine {
        Affine::from_parts(affine.linear(), affine.apply(self.start.map(|s| s as f64)))
    }

    /// Copies the box out of one channel `(X, Y, Z)` of `dims`; the box lies within.
    #[must_use]
    pub fn cut<T: Copy>(&self, source: &[T], dims: [usize; 3]) -> Vec<T> {
        let mut out = Vec::with_capacity(self.dims.iter().product());
        for x in self.start[0]..self.start[0] + self.dims[0] {
            for y in self.start[1]..self.start[1] + self.dims[1] {
                let row = (x * dims[1] + y) * dims[2] + self.start[2];
                out.extend_from_slice(&source[row..row + self.dims[2]]);
            }
        }
        out
    }
}

/// The box of voxels above 0 in any channel, or `None` if there is none.
#[must_use]
pub fn foreground(volume: &Volume) -> Option<Box3> {
    let [_, ny, nz] = volume.dims;
    let (mut low, mut high) = ([usize::MAX; 3], [0_usize; 3]);
    for (row, values) in volume.data.chunks_exact(nz).enumerate() {
        let above = |v: &f32| *v > 0.0;
        let Some(first) = values.iter().position(above) else {
            continue;
        };
        let last = values.iter().rposition(above).unwrap_or(first);
        let row = row % (volume.dims[0] * ny);
        for (a, (from, to)) in [(row / ny, row / ny), (row % ny, row % ny), (first, last)].into_iter().enumerate() {
            low[a] = low[a].min(from);
            high[a] = high[a].max(to);
        }
    }
    (low[0] != usize::MAX).then(|| Box3 { start: low, dims: std::array::from_fn(|a| high[a] + 1 - low[a]) })
}

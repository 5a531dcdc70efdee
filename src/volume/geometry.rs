//! The way between a scan's grid and the model's grid, recorded once and followed both ways.
//!
//! ```text
//! scan grid --turn (permute, flip)--> turned grid --resample--> full grid --crop--> model grid
//! ```
//! The way back equals MONAI's `Invertd`: outside of the crop is background, then each voxel of the
//! scan reads the full grid at `M * (i, j, k, 1)`, clamped to the grid's border, either the nearest
//! label or the trilinear mix of the class probabilities, and the label is decided on the scan.

use super::crop::Box3;
use super::orientation::Turn;
use super::resample::{Grid, Points, grid_between, nearest, sample_nearest, tap};
use super::{Affine, LabelMap, VolumeError, VoxelGrid, checked_len};

/// What preprocessing did to the grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Geometry {
    pub scan_dims: [usize; 3],
    pub scan_affine: Affine,
    pub turn: Turn,
    /// The full grid after resampling, before the crop.
    pub grid: Grid,
    /// The model's grid within the full grid.
    pub crop: Box3,
}

/// The map from scan voxels to the full grid, as plain numbers for a kernel.
///
/// For a scan voxel `v`, `c = clamp(matrix * (v, 1), 0, grid_dims - 1)` is its continuous index on
/// the full grid. Of its eight neighbours those inside the crop box hold the model's values (at
/// index minus `crop_start`), all others hold 0 for every class. If no neighbour of non-zero weight
/// is inside, the voxel is background.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScanToGrid {
    pub scan_dims: [usize; 3],
    pub grid_dims: [usize; 3],
    pub crop_start: [usize; 3],
    pub crop_dims: [usize; 3],
    /// Rows: grid axes; columns: scan axes i, j, k and the constant.
    pub matrix: [[f64; 4]; 3],
    /// The same, one scan axis per grid axis; `None` for sheared or rotated maps.
    pub axes: Option<[AxisMap; 3]>,
}

/// `grid index = scale * scan index[scan_axis] + offset` along one axis of the grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AxisMap {
    pub scan_axis: usize,
    /// Negative where the axis is flipped.
    pub scale: f64,
    pub offset: f64,
}

/// Cross terms below this many voxels over the whole grid are rounding of the stored affine.
const SEPARABLE_VOXELS: f64 = 1e-3;

impl Geometry {
    /// The geometry of a volume used as it is.
    #[must_use]
    pub fn identity(dims: [usize; 3], affine: Affine) -> Self {
        Self {
            scan_dims: dims,
            scan_affine: affine,
            turn: Turn::NONE,
            grid: Grid { dims, affine, to_source: None },
            crop: Box3::whole(dims),
        }
    }

    /// Dimensions of the model's grid.
    #[must_use]
    pub fn model_dims(&self) -> [usize; 3] {
        self.crop.dims
    }

    /// Affine of the model's grid.
    #[must_use]
    pub fn model_affine(&self) -> Affine {
        self.crop.affine(&self.grid.affine)
    }

    /// The turned scan seen from the full grid: turned index to full-grid index.
    fn turned_to_full(&self) -> Grid {
        let dims = self.turn.dims(self.scan_dims);
        let affine = self.turn.affine(&self.scan_affine, self.scan_dims);
        grid_between(&self.grid.affine, self.grid.dims, affine, dims)
    }

    /// The map a kernel needs to bring probabilities back to the scan.
    #[must_use]
    pub fn scan_to_grid(&self) -> ScanToGrid {
        let full = self.turned_to_full().to_source.unwrap_or(Affine::IDENTITY);
        let map = full.then_after(&self.turn.to_result(self.scan_dims));
        let matrix = [map.0[0], map.0[1], map.0[2]];
        ScanToGrid {
            scan_dims: self.scan_dims,
            grid_dims: self.grid.dims,
            crop_start: self.crop.start,
            crop_dims: self.crop.dims,
            matrix,
            axes: separate(&matrix, &self.turn, self.scan_dims),
        }
    }

    /// Labels of the scan's grid brought to the model's grid: the same turn, nearest neighbour, and
    /// the same crop. For training and evaluation on the model's grid.
    ///
    /// # Errors
    /// The labels lie on another grid than the scan.
    pub fn apply_labels(&self, labels: &LabelMap) -> Result<LabelMap, VolumeError> {
        let scan = VoxelGrid { dims: self.scan_dims, affine: self.scan_affine };
        let (place, _) = scan.join(&labels.grid(), ["the scan", "the label map"])?;
        let placed = place.apply(&labels.data, labels.dims);
        let turned = self.turn.apply(&placed, self.scan_dims);
        let full = match &self.grid.to_source {
            Some(map) => sample_nearest(&turned, self.turn.dims(self.scan_dims), self.grid.dims, map),
            None => turned,
        };
        let data = self.crop.cut(&full, self.grid.dims);
        LabelMap::new(data, self.crop.dims, self.model_affine())
    }

    /// Labels decided on the model's grid, brought back by nearest neighbour.
    ///
    /// # Errors
    /// The labels do not have the model grid's dimensions.
    pub fn invert_labels(&self, labels: &LabelMap) -> Result<LabelMap, VolumeError> {
        expect_dims("label map on the model's grid", self.crop.dims, labels.dims)?;
        let turned_dims = self.turn.dims(self.scan_dims);
        let on_full = |index| self.in_crop(index).map_or(0, |at| labels.data[at]);
        let mut turned = Vec::with_capacity(checked_len(1, turned_dims)?);
        match self.turned_to_full().to_source {
            Some(map) => Points::new(self.grid.dims, turned_dims, &map)
                .each(turned_dims, |p| turned.push(on_full(nearest(p, self.grid.dims)))),
            None => {
                for x in 0..turned_dims[0] {
                    for y in 0..turned_dims[1] {
                        turned.extend((0..turned_dims[2]).map(|z| on_full([x, y, z])));
                    }
                }
            }
        }
        let back = self.turn.inverse();
        LabelMap::new(back.apply(&turned, turned_dims), self.scan_dims, self.scan_affine)
    }

    /// Position in a model-grid channel of a full-grid index, if it lies in the crop.
    fn in_crop(&self, index: [usize; 3]) -> Option<usize> {
        let [_, ny, nz] = self.crop.dims;
        let mut at = [0; 3];
        for a in 0..3 {
            at[a] = index[a].checked_sub(self.crop.start[a])?;
            if at[a] >= self.crop.dims[a] {
                return None;
            }
        }
        Some((at[0] * ny + at[1]) * nz + at[2])
    }

    /// Class probabilities brought back trilinearly, the label decided voxel by voxel on the scan.
    ///
    /// `decide` gets the K probabilities of one scan voxel. Memory beyond the result: K values.
    /// This is the reference for a kernel that does the same.
    ///
    /// # Shapes
    /// `probabilities`: `(K, X, Y, Z)` on the model's grid.
    ///
    /// # Errors
    /// The length is not `channels` times the model grid's voxels.
    pub fn invert_probabilities(
        &self,
        probabilities: &[f32],
        channels: usize,
        mut decide: impl FnMut(&[f32]) -> u16,
    ) -> Result<LabelMap, VolumeError> {
        let n = checked_len(channels, self.crop.dims)? / channels;
        expect_len("probabilities on the model's grid", n * channels, probabilities.len())?;
        let mut mixed = vec![0.0_f32; channels];
        let mut labels = Vec::with_capacity(checked_len(1, self.scan_dims)?);
        self.each_scan_voxel(|neighbours| {
            if neighbours.is_empty() {
                labels.push(0);
                return;
            }
            for (class, value) in probabilities.chunks_exact(n).zip(&mut mixed) {
                let sum: f64 = neighbours.iter().map(|&(at, w)| w * f64::from(class[at])).sum();
                *value = sum as f32;
            }
            labels.push(decide(&mixed));
        });
        LabelMap::new(labels, self.scan_dims, self.scan_affine)
    }

    /// One channel brought back trilinearly; 0 outside of the crop.
    ///
    /// # Errors
    /// The length is not that of the model's grid.
    pub fn invert_channel(&self, channel: &[f32]) -> Result<Vec<f32>, VolumeError> {
        expect_len("channel on the model's grid", checked_len(1, self.crop.dims)?, channel.len())?;
        let mut out = Vec::with_capacity(checked_len(1, self.scan_dims)?);
        self.each_scan_voxel(|neighbours| {
            let sum: f64 = neighbours.iter().map(|&(at, w)| w * f64::from(channel[at])).sum();
            out.push(sum as f32);
        });
        Ok(out)
    }

    /// Calls `visit` for each scan voxel in order with its neighbours inside the crop: position in a
    /// model-grid channel and weight.
    fn each_scan_voxel(&self, mut visit: impl FnMut(&[(usize, f64)])) {
        let map = self.scan_to_grid();
        let m = Affine::from_rows(map.matrix);
        let mut neighbours: Vec<(usize, f64)> = Vec::with_capacity(8);
        for i in 0..self.scan_dims[0] {
            for j in 0..self.scan_dims[1] {
                for k in 0..self.scan_dims[2] {
                    let p = m.apply([i as f64, j as f64, k as f64]);
                    let taps: [_; 3] = std::array::from_fn(|a| tap(p[a], map.grid_dims[a]));
                    neighbours.clear();
                    for corner in 0..8_usize {
                        let mut weight = 1.0;
                        let index = std::array::from_fn(|a| {
                            let upper = corner >> a & 1 == 1;
                            weight *= if upper { taps[a].weight } else { 1.0 - taps[a].weight };
                            if upper { taps[a].high } else { taps[a].low }
                        });
                        if weight > 0.0
                            && let Some(at) = self.in_crop(index)
                        {
                            neighbours.push((at, weight));
                        }
                    }
                    visit(&neighbours);
                }
            }
        }
    }
}

/// The map axis by axis, if what crosses axes is below [`SEPARABLE_VOXELS`].
fn separate(matrix: &[[f64; 4]; 3], turn: &Turn, dims: [usize; 3]) -> Option<[AxisMap; 3]> {
    let mut axes = [AxisMap { scan_axis: 0, scale: 0.0, offset: 0.0 }; 3];
    for (t, row) in matrix.iter().enumerate() {
        let own = turn.source[t];
        let crossing: f64 = (0..3).filter(|&a| a != own).map(|a| row[a].abs() * dims[a] as f64).sum();
        if crossing > SEPARABLE_VOXELS {
            return None;
        }
        axes[t] = AxisMap { scan_axis: own, scale: row[own], offset: row[3] };
    }
    Some(axes)
}

fn expect_dims(what: &'static str, expected: [usize; 3], got: [usize; 3]) -> Result<(), VolumeError> {
    if expected == got {
        return Ok(());
    }
    Err(VolumeError::shape(what, format!("{expected:?}"), format!("{got:?}")))
}

fn expect_len(what: &'static str, expected: usize, got: usize) -> Result<(), VolumeError> {
    if expected == got {
        return Ok(());
    }
    Err(VolumeError::shape(what, format!("{expected} values"), format!("{got} values")))
}

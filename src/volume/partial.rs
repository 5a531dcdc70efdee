//! Label maps of a part of a scan: frames that hold no label are left out of a DICOM segmentation, and what is left out is
//! background.

use super::grid::{CLOSE_VOXELS, SAME_VOXELS, VoxelGrid};
use super::study::LabelImage;
use super::{Affine, LabelMap, VolumeError, checked_len};

/// Along each axis of a part: the axis of the whole that it follows, and by how many voxels a step.
struct Steps {
    axis: [usize; 3],
    step: [i64; 3],
    /// Index of the part's first voxel in the whole.
    first: [i64; 3],
    /// The largest distance of a voxel's centre from one of the whole, in voxels.
    apart: f64,
}

/// How a part lies on a whole: its voxels are voxels of it, its slices perhaps some of its slices.
fn steps(part: &VoxelGrid, whole: &Affine) -> Option<Steps> {
    let to_index = whole.inverse().ok()?.then_after(&part.affine);
    let linear = to_index.linear();
    let (mut axis, mut step) = ([0; 3], [0_i64; 3]);
    for a in 0..3 {
        let largest = (0..3).max_by(|&r, &s| linear[r][a].abs().total_cmp(&linear[s][a].abs()))?;
        axis[a] = largest;
        // An axis of one voxel has no step.
        step[a] = if part.dims[a] == 1 { 1 } else { linear[largest][a].round() as i64 };
        let within_plane = a < 2 && step[a].abs() > 1;
        if step[a] == 0 || within_plane {
            return None;
        }
    }
    // Where the slice axis has one voxel, the others say which axis is left.
    if part.dims[2] == 1 && axis[0] != axis[1] {
        axis[2] = 3 - axis[0] - axis[1];
    }
    if axis[0] == axis[1] || axis[0] == axis[2] || axis[1] == axis[2] {
        return None;
    }
    let origin = to_index.origin();
    let first = origin.map(|v| v.round() as i64);
    let mut apart = 0.0_f64;
    for corner in super::affine::corners(part.dims) {
        let found = to_index.apply(corner);
        for a in 0..3 {
            let want = first[axis[a]] as f64 + step[a] as f64 * corner[a];
            apart = apart.max((found[axis[a]] - want).abs());
        }
    }
    apart.is_finite().then_some(Steps { axis, step, first, apart })
}

impl LabelImage {
    /// These labels on the grid of a scan, turned if need be, with background where they say nothing; and what the user is to
    /// be told. `names` are the scan's and the labels'.
    ///
    /// # Errors
    /// They lie on another grid, or a part of a scan has labels outside of it.
    pub fn on_grid(self, grid: &VoxelGrid, names: [&str; 2]) -> Result<(LabelMap<u32>, Option<String>), VolumeError> {
        if !self.partial {
            return self.labels.on_grid(grid, names);
        }
        let other =
            |problem: String| VolumeError::Grids { first: names[0].to_owned(), second: names[1].to_owned(), problem };
        let part = self.labels;
        let steps = steps(&part.grid(), &grid.affine).filter(|steps| steps.apart <= CLOSE_VOXELS);
        let steps = steps.ok_or_else(|| other("the voxels of its frames are not voxels of the first".into()))?;
        let mut data = vec![0_u32; checked_len(1, grid.dims)?];
        let [_, ny, nz] = part.dims;
        let mut outside = 0_usize;
        for (at, value) in part.data.iter().enumerate().filter(|(_, value)| **value != 0) {
            let index = [at / (ny * nz), at / nz % ny, at % nz];
            let mut to = [0_i64; 3];
            for a in 0..3 {
                to[steps.axis[a]] = steps.first[steps.axis[a]] + steps.step[a] * index[a] as i64;
            }
            let inside = (0..3).all(|a| (0..grid.dims[a] as i64).contains(&to[a]));
            match inside {
                true => {
                    let [x, y, z] = to.map(|v| v as usize);
                    data[(x * grid.dims[1] + y) * grid.dims[2] + z] = *value;
                }
                false => outside += 1,
            }
        }
        if outside > 0 {
            return Err(other(format!("{outside} voxels with labels lie outside of the first")));
        }
        let told = (steps.apart > SAME_VOXELS).then(|| {
            format!(
                "{} lies up to {:.2} of a voxel beside {}: they are taken as one grid",
                names[1], steps.apart, names[0]
            )
        });
        Ok((LabelMap { data, dims: grid.dims, affine: grid.affine }, told))
    }

    /// The smallest grid that holds both parts of a scan, with the voxels of whichever has the nearer slices.
    ///
    /// # Errors
    /// They are parts of different grids. `names` are theirs.
    pub fn joint_grid(&self, other: &Self, names: [&str; 2]) -> Result<VoxelGrid, VolumeError> {
        let (a, b) = (self.labels.grid(), other.labels.grid());
        // A single slice has no distance to a neighbour.
        let fine = |grid: &VoxelGrid| if grid.dims[2] == 1 { f64::INFINITY } else { grid.affine.spacing()[2] };
        let (base, part) = if fine(&b) < fine(&a) { (b, a) } else { (a, b) };
        let found = steps(&part, &base.affine).filter(|steps| steps.apart <= CLOSE_VOXELS);
        let Some(steps) = found else {
            let problem = "they are parts of different grids".to_owned();
            return Err(VolumeError::Grids { first: names[0].into(), second: names[1].into(), problem });
        };
        let (mut low, mut high) = ([0_i64; 3], base.dims.map(|n| n as i64 - 1));
        for a in 0..3 {
            let at = steps.axis[a];
            let end = steps.first[at] + steps.step[a] * (part.dims[a] as i64 - 1);
            low[at] = low[at].min(steps.first[at]).min(end);
            high[at] = high[at].max(steps.first[at]).max(end);
        }
        let dims: [usize; 3] = std::array::from_fn(|a| (high[a] - low[a]) as usize + 1);
        let origin = base.affine.apply(low.map(|v| v as f64));
        Ok(VoxelGrid { dims, affine: Affine::from_parts(base.affine.linear(), origin) })
    }
}

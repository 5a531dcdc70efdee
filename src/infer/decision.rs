//! From finished planes of the model's grid to labels on the scan: which scan voxels can be decided when, and how.

use crate::kernels::decide::Decide;
use crate::volume::{AxisMap, Geometry, ScanToGrid};
use crate::weights::package::{Activation, OutputSection};

/// A class's label and, for regions, its rank: the region painted last wins.
pub(super) fn channel_table(output: &OutputSection, classes: usize) -> Vec<[f32; 2]> {
    match output.activation {
        Activation::Softmax => (0..classes).map(|k| [k as f32, 0.0]).collect(),
        Activation::Sigmoid => {
            // A channel that no region names has rank 0 and never wins.
            let mut table = vec![[0.0, 0.0]; classes];
            for (rank, region) in output.regions.iter().enumerate() {
                if let Some(entry) = table.get_mut(region.channel) {
                    *entry = [f32::from(region.value), rank as f32 + 1.0];
                }
            }
            table
        }
    }
}

/// The label of one voxel's probabilities: what the kernel does, for scans that it cannot map.
pub(super) fn label(table: &[[f32; 2]], regions: bool, probabilities: &[f32]) -> u16 {
    let mut winner = (0.0, 0.0);
    for (&value, &[label, rank]) in probabilities.iter().zip(table) {
        if regions && value > 0.5 && rank > winner.0 {
            winner = (rank, label);
        } else if !regions && value > winner.0 {
            winner = (value, label);
        }
    }
    winner.1 as u16
}

/// The way from the model's grid to the labels' grid, and the axis along which labels become ready.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decision {
    /// The kernel, with box and part still open.
    pub op: Decide,
    /// Size of the labels' grid.
    pub dims: [usize; 3],
    /// The labels' grid is the scan's.
    pub on_scan: bool,
    axis: AxisMap,
    ready: usize,
}

impl Decision {
    /// Labels on the model's own grid.
    pub fn on_model_grid(dims: [usize; 3], shift: [usize; 3], regions: bool) -> Self {
        let identity = Geometry::identity(dims, crate::volume::Affine::IDENTITY).scan_to_grid();
        let axis = AxisMap { scan_axis: 0, scale: 1.0, offset: 0.0 };
        Self { on_scan: false, ..Self::new(&identity, axis, shift, regions) }
    }

    /// Labels on the scan's grid; `None` if the map does not follow the axes.
    pub fn on_scan(map: &ScanToGrid, shift: [usize; 3], regions: bool) -> Option<Self> {
        map.axes.map(|axes| Self::new(map, axes[0], shift, regions))
    }

    fn new(map: &ScanToGrid, axis: AxisMap, shift: [usize; 3], regions: bool) -> Self {
        let op = Decide {
            first: true,
            regions,
            matrix: map.matrix.map(|row| row.map(|v| v as f32)),
            grid: map.grid_dims,
            crop: map.crop_start,
            size: map.crop_dims,
            shift,
            begin: [0; 3],
            extent: [0; 3],
        };
        Self { op, dims: map.scan_dims, on_scan: true, axis, ready: 0 }
    }

    /// Voxels of one slice across the axis of progress.
    pub fn slice_voxels(&self) -> usize {
        self.dims.iter().product::<usize>() / self.dims[self.axis.scan_axis].max(1)
    }

    /// Boxes of at most `most` voxels that can be decided once the ring's first `planes` planes are finished, and that
    /// were not handed out before. Slices become ready from the end where the model's X begins.
    pub fn boxes(&mut self, planes: usize, most: usize) -> Vec<([usize; 3], [usize; 3])> {
        let a = self.axis.scan_axis;
        let slices = self.dims[a];
        let from = self.ready;
        while self.ready < slices && self.needs(self.slice(self.ready)) <= planes {
            self.ready += 1;
        }
        let per_box = (most / self.slice_voxels().max(1)).max(1);
        (from..self.ready)
            .step_by(per_box)
            .map(|first| {
                let last = (first + per_box).min(self.ready) - 1;
                let (low, high) = (self.slice(first).min(self.slice(last)), self.slice(first).max(self.slice(last)));
                let (mut begin, mut extent) = ([0; 3], self.dims);
                (begin[a], extent[a]) = (low, high - low + 1);
                (begin, extent)
            })
            .collect()
    }

    /// The slice handed out as number `order`.
    fn slice(&self, order: usize) -> usize {
        if self.axis.scale < 0.0 { self.dims[self.axis.scan_axis] - 1 - order } else { order }
    }

    /// How many planes of the padded volume must be finished before this slice can be decided.
    fn needs(&self, slice: usize) -> usize {
        // In f32 as the kernel computes it: a coordinate just below a plane must not be taken for one just above.
        let row = self.op.matrix[0];
        let c = row[self.axis.scan_axis] * slice as f32 + row[3];
        let c = c.clamp(0.0, (self.op.grid[0] - 1) as f32);
        let far = c.ceil() as usize + usize::from(c.ceil() - c < 1e-3);
        let inside = (far + 1).saturating_sub(self.op.crop[0]).min(self.op.size[0]);
        self.op.shift[0] + inside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(scale: f64, offset: f64, slices: usize) -> Decision {
        let axis = |scan_axis, scale, offset| AxisMap { scan_axis, scale, offset };
        let map = ScanToGrid {
            scan_dims: [3, slices, 2],
            grid_dims: [20, 3, 2],
            crop_start: [2, 0, 0],
            crop_dims: [15, 3, 2],
            matrix: [[0.0, scale, 0.0, offset], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]],
            axes: Some([axis(1, scale, offset), axis(0, 1.0, 0.0), axis(2, 1.0, 0.0)]),
        };
        Decision::on_scan(&map, [1, 0, 0], false).expect("axes")
    }

    #[test]
    fn every_slice_is_handed_out_once_when_its_planes_are_there() {
        for (scale, offset, slices) in [(0.7, 0.0, 28), (-1.3, 19.0, 15), (1.0, 0.0, 20)] {
            let mut d = decision(scale, offset, slices);
            let mut seen = vec![0; slices];
            for planes in 1..=16 {
                for (begin, extent) in d.boxes(planes, 12) {
                    for (slice, count) in seen.iter_mut().enumerate().skip(begin[1]).take(extent[1]) {
                        *count += 1;
                        let c = (scale * slice as f64 + offset).clamp(0.0, 19.0);
                        let last = (c.ceil() as usize).min(16).saturating_sub(2) + 1;
                        assert!(c.ceil() < 2.0 || last < planes, "slice {slice} at {c} after {planes} planes");
                    }
                    assert!(extent.iter().product::<usize>() <= 12, "box {extent:?}");
                }
            }
            assert_eq!(seen, vec![1; slices], "scale {scale}");
        }
    }

    #[test]
    fn later_regions_are_painted_over_earlier_ones() {
        let table = [[2.0, 1.0], [1.0, 2.0], [4.0, 3.0], [0.0, 0.0]];
        assert_eq!(label(&table, true, &[0.9, 0.6, 0.5, 0.9]), 1);
        assert_eq!(label(&table, true, &[0.9, 0.6, 0.51, 0.9]), 4);
        assert_eq!(label(&table, true, &[0.1, 0.2, 0.3, 0.9]), 0);
        assert_eq!(label(&[[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]], false, &[0.2, 0.4, 0.4]), 1);
    }
}

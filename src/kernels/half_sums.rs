//! Sums of windows in half precision, as nnU-Net adds them up: what two programs may differ by otherwise, where few windows or
//! only the corner of one lie over a voxel.
//!
//! `HalfAdd`: `weight = half(max(product of axes, floor))`, `sums[k] = half(sums[k] + weight passes[k] / count)`, the weight
//! itself added up behind the classes. `HalfMean`: of each fold `half(sums[k] / weights)`, added up and divided by the folds'
//! number, rounded each time. Shapes: `passes (K, X, Y, Z)`, `axes (X + Y + Z)`, `sums (folds (K + 1), RX, RY, RZ)` a ring of
//! planes along one axis, `mean (K, RX, RY, RZ)`.
//! Source: nnU-Net 2.8.1, `nnunetv2/inference/predict_from_raw_data.py`.

use super::blend::{Planes, Ring};
use super::head::Placement;
use super::{bind_read, bind_write, kernel_name};
use crate::graph::{Case, Cost, Dispatch, GraphError, Io, Kernel, Target};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(AddParams {
    x: u32,
    y: u32,
    z: u32,
    floor: f32,
    start_x: u32,
    start_y: u32,
    start_z: u32,
    ring: u32,
    volume_y: u32,
    volume_z: u32,
    classes: u32,
    first: u32,
    count: f32,
});
params!(MeanParams { classes: u32, outer: u32, inner: u32, ring: u32, start: u32, planes: u32, folds: u32 });

/// To the nearest number of half precision.
fn rounded(value: f64) -> f64 {
    half::f16::from_f64(value).to_f64()
}

/// Adds a window; arguments `passes, axes, sums`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HalfAdd {
    /// Where the window is.
    pub at: Placement,
    /// Of which fold.
    pub fold: usize,
    /// How many passes were added up.
    pub count: usize,
}

/// The mean of all folds; arguments `sums, mean`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HalfMean {
    /// How many there are.
    pub folds: usize,
    pub planes: Planes,
}

impl Kernel for HalfAdd {
    kernel_name!("half_sums");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let fits = |passes: &Shape, axes: &Shape, sums: &Shape| match (passes.dims(), sums.dims()) {
            ([k, x, y, z], [channels, ..]) if sums.rank() == 4 => {
                axes.elements() == x + y + z && (self.fold + 1) * (k + 1) <= *channels
            }
            _ => false,
        };
        match inputs {
            [passes, axes, sums] if fits(passes, axes, sums) => Ok(vec![sums.clone()]),
            _ => Err(GraphError::new(format!("passes and sums do not fit: {inputs:?}"))),
        }
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let (d, sums) = (io.input(0).dims(), io.output(0).dims());
        let [x, y, z] = [d[1], d[2], d[3]].map(|n| n as u32);
        let [start_x, start_y, start_z] = self.at.start.map(|v| v as u32);
        let params = AddParams {
            x,
            y,
            z,
            floor: self.at.floor,
            start_x,
            start_y,
            start_z,
            ring: sums[1] as u32,
            volume_y: sums[2] as u32,
            volume_z: sums[3] as u32,
            classes: d[0] as u32,
            first: (self.fold * (d[0] + 1)) as u32,
            count: self.count as f32,
        };
        vec![Dispatch {
            shader: "half_add",
            entry: "forward",
            constants: Vec::new(),
            params: params.block(),
            bindings: vec![bind_read(0), bind_read(1), bind_write(0)],
            groups: groups(((d[0] + 1) * d[1] * d[2] * d[3]).div_ceil(64)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (passes, axes, mut sums) = (inputs[0], inputs[1], inputs[2].clone());
        let (d, s) = (passes.shape.dims(), sums.shape.dims().to_vec());
        let voxels = d[1] * d[2] * d[3];
        for index in 0..(d[0] + 1) * voxels {
            let (k, v) = (index / voxels, index % voxels);
            let p = [v / d[3] / d[2], v / d[3] % d[2], v % d[3]];
            let product = axes.data[p[0]] * axes.data[d[1] + p[1]] * axes.data[d[1] + d[2] + p[2]];
            let weight = rounded(product.max(f64::from(self.at.floor)));
            let value = if k < d[0] { passes.data[index] / self.count as f64 * weight } else { weight };
            let q = [0, 1, 2].map(|a| p[a] + self.at.start[a]);
            let plane = (self.fold * (d[0] + 1) + k) * s[1] + q[0] % s[1];
            let at = (plane * s[2] + q[1] % s[2]) * s[3] + q[2] % s[3];
            sums.data[at] = rounded(sums.data[at] + value);
        }
        vec![sums]
    }

    fn cost(&self, io: &Io) -> Cost {
        let values = io.input(0).elements() as f64;
        Cost { flops: 3.0 * values, bytes: 12.0 * values }
    }
}

impl Kernel for HalfMean {
    kernel_name!("half_sums");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        match inputs {
            [sums, mean]
                if mean.rank() == 4
                    && sums.rank() == 4
                    && sums.dims()[0] == self.folds * (mean.dims()[0] + 1)
                    && sums.dims()[1..] == mean.dims()[1..] =>
            {
                Ok(vec![mean.clone()])
            }
            _ => Err(GraphError::new(format!("sums and mean do not fit: {inputs:?}"))),
        }
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let Ring { channels, outer, ring, inner } = Ring::new(io.output(0), self.planes.axis);
        let params = MeanParams {
            classes: channels as u32,
            outer: outer as u32,
            inner: inner as u32,
            ring: ring as u32,
            start: (self.planes.start % ring.max(1)) as u32,
            planes: self.planes.count as u32,
            folds: self.folds as u32,
        };
        vec![Dispatch {
            shader: "half_mean",
            entry: "forward",
            constants: Vec::new(),
            params: params.block(),
            bindings: vec![bind_read(0), bind_write(0)],
            groups: groups((channels * self.planes.count * outer * inner).div_ceil(64)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (sums, mut mean) = (inputs[0], inputs[1].clone());
        let ring = Ring::new(&mean.shape, self.planes.axis);
        let (channels, size) = (ring.channels, ring.channel());
        for k in 0..channels {
            for at in ring.positions(self.planes) {
                let of = |fold: usize| {
                    let first = fold * (channels + 1);
                    rounded(sums.data[(first + k) * size + at] / sums.data[(first + channels) * size + at])
                };
                let sum = (1..self.folds).fold(of(0), |sum, fold| rounded(sum + of(fold)));
                mean.data[k * size + at] = if self.folds > 1 { rounded(sum / self.folds as f64) } else { sum };
            }
        }
        vec![mean]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

/// A window that wraps around the ring, weights below the normal range, several folds.
pub fn cases() -> Vec<Case> {
    let passes = HostTensor::noise([2, 4, 3, 5], 1).map(|v| 8.0 * v);
    let axes = HostTensor::noise([12], 2).map(|v| v.abs() * 0.02);
    let sums = |folds: usize| HostTensor::noise([folds * 3, 5, 6, 7], 3).map(|v| rounded(v.abs() + 0.1));
    let at = Placement { start: [3, 2, 1], floor: 2.0_f32.powi(-24), ..Placement::default() };
    let planes = Planes { axis: 0, start: 8, count: 4 };
    let along_y = Planes { axis: 1, start: 4, count: 5 };
    let mean = || HostTensor::noise([2, 5, 6, 7], 4);
    vec![
        Case::new("add", HalfAdd { at, fold: 1, count: 4 }, vec![passes, axes, sums(2)]).updating(),
        Case::new("mean of one", HalfMean { folds: 1, planes }, vec![sums(1), mean()]).updating(),
        Case::new("mean along Y", HalfMean { folds: 1, planes: along_y }, vec![sums(1), mean()]).updating(),
        Case::new("mean of three", HalfMean { folds: 3, planes }, vec![sums(3), mean()]).updating(),
    ]
}

//! Stitching of windows: sums of weights, and sums of weighted logits to means and class probabilities.
//!
//! `mean = Σ w logits / Σ w` over the windows that cover a voxel, then softmax or sigmoid. The sums lie in rings of
//! planes along one axis: `acc (classes, RX, RY, RZ)`, `count (RX, RY, RZ)`, as long as the volume along the other two.
//! Classes may be spread over several buffers, so a softmax first takes the logarithm of its denominator over all of them:
//! `lse (RX, RY, RZ)`.
//! Source: MONAI `sliding_window_inference`.

use super::head::Placement;
use super::{bind_read, bind_write, constant, kernel_name};
use crate::graph::{Case, Cost, Dispatch, GraphError, Io, Kernel, Target};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(WeightParams {
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
});
params!(PlaneParams { classes: u32, outer: u32, inner: u32, ring: u32, start: u32, planes: u32 });
params!(ClearParams { channels: u32, outer: u32, inner: u32, ring: u32, start: u32, planes: u32 });

/// Planes of a ring, by their place in the volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planes {
    /// The axis that they are counted along.
    pub axis: usize,
    /// First plane.
    pub start: usize,
    pub count: usize,
}

/// Adds a window's weights; arguments `axes, count`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlendWeights {
    /// Size of the window.
    pub size: [usize; 3],
    /// Where it is.
    pub at: Placement,
}

/// Logarithm of a softmax's denominator, one part of the classes; arguments `acc, count, lse`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlendDenominator {
    /// Whether this is the first part.
    pub first: bool,
    pub planes: Planes,
}

/// What becomes of the mean logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// They stay.
    None,
    /// Probabilities that sum to 1.
    Softmax,
    /// A probability each.
    Sigmoid,
}

/// Sums to means and probabilities in place; arguments `count, [lse], acc`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlendNormalise {
    /// What follows the mean.
    pub activation: Activation,
    pub planes: Planes,
}

/// Zeroes planes; argument `acc` of (channels, ring, plane).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClearPlanes {
    pub planes: Planes,
}

/// A ring of planes in memory, channel by channel.
pub(super) struct Ring {
    pub channels: usize,
    /// Runs of planes in a channel.
    pub outer: usize,
    /// Planes in a run.
    pub ring: usize,
    /// Voxels of a plane in a run.
    pub inner: usize,
}

impl Ring {
    /// Of `(C, RX, RY, RZ)` or `(RX, RY, RZ)`, its planes across an axis.
    pub fn new(shape: &Shape, axis: usize) -> Self {
        let (channels, size) = match *shape.dims() {
            [c, x, y, z] => (c, [x, y, z]),
            [x, y, z] => (1, [x, y, z]),
            _ => (0, [1; 3]),
        };
        let product = |part: &[usize]| part.iter().product();
        let axis = axis.min(2);
        Self { channels, outer: product(&size[..axis]), ring: size[axis], inner: product(&size[axis + 1..]) }
    }

    /// Voxels of one plane.
    pub fn plane(&self) -> usize {
        self.outer * self.inner
    }

    /// Voxels of a channel.
    pub fn channel(&self) -> usize {
        self.plane() * self.ring
    }

    /// Flat positions of some planes within one channel.
    pub fn positions(&self, planes: Planes) -> impl Iterator<Item = usize> {
        let Self { outer, ring, inner, .. } = *self;
        (0..planes.count * outer * inner).map(move |i| {
            let (run, plane) = (i / inner / planes.count, i / inner % planes.count);
            (run * ring + (planes.start + plane) % ring) * inner + i % inner
        })
    }
}

fn last(inputs: &[Shape], count: usize) -> Result<Vec<Shape>, GraphError> {
    match inputs.last() {
        Some(state) if inputs.len() == count => Ok(vec![state.clone()]),
        _ => Err(GraphError::new(format!("{count} arguments are needed: {inputs:?}"))),
    }
}

fn dispatch(
    shader: &'static str,
    constants: Vec<(&'static str, u32)>,
    params: crate::graph::Params,
    io: &Io,
    invocations: usize,
) -> Dispatch {
    let mut bindings: Vec<_> = (0..io.inputs.len() - 1).map(bind_read).collect();
    bindings.push(bind_write(0));
    Dispatch { shader, entry: "forward", constants, params, bindings, groups: groups(invocations.div_ceil(64)) }
}

fn plane_params(planes: Planes, acc: &Shape) -> crate::graph::Params {
    let Ring { channels, outer, ring, inner } = Ring::new(acc, planes.axis);
    PlaneParams {
        classes: channels as u32,
        outer: outer as u32,
        inner: inner as u32,
        ring: ring as u32,
        start: (planes.start % ring.max(1)) as u32,
        planes: planes.count as u32,
    }
    .block()
}

impl Kernel for BlendWeights {
    kernel_name!("blend");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        last(inputs, 2)
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let count = io.output(0).dims();
        let [x, y, z] = self.size.map(|v| v as u32);
        let [start_x, start_y, start_z] = self.at.start.map(|v| v as u32);
        let params = WeightParams {
            x,
            y,
            z,
            floor: self.at.floor,
            start_x,
            start_y,
            start_z,
            ring: count[0] as u32,
            volume_y: count[1] as u32,
            volume_z: count[2] as u32,
        };
        vec![dispatch("blend_weights", Vec::new(), params.block(), io, self.size.iter().product())]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (axes, mut count) = (inputs[0], inputs[1].clone());
        let d = count.shape.dims().to_vec();
        let s = self.size;
        for v in 0..s.iter().product() {
            let p = [v / s[2] / s[1], v / s[2] % s[1], v % s[2]];
            let product = axes.data[p[0]] * axes.data[s[0] + p[1]] * axes.data[s[0] + s[1] + p[2]];
            let q = [0, 1, 2].map(|a| p[a] + self.at.start[a]);
            count.data[(q[0] % d[0] * d[1] + q[1] % d[1]) * d[2] + q[2] % d[2]] +=
                product.max(f64::from(self.at.floor));
        }
        vec![count]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 4.0 * self.size.iter().product::<usize>() as f64, bytes: io.bytes() }
    }
}

impl Kernel for BlendDenominator {
    kernel_name!("blend");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        last(inputs, 3)
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let constants = vec![("FIRST", constant(self.first))];
        let plane = Ring::new(io.input(0), self.planes.axis).plane();
        let params = plane_params(self.planes, io.input(0));
        vec![dispatch("blend_denominator", constants, params, io, self.planes.count * plane)]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (acc, count, mut lse) = (inputs[0], inputs[1], inputs[2].clone());
        let ring = Ring::new(&acc.shape, self.planes.axis);
        for at in ring.positions(self.planes) {
            let mean = |c: usize| acc.data[c * ring.channel() + at] / count.data[at];
            let mut terms: Vec<f64> = (0..ring.channels).map(mean).collect();
            terms.extend((!self.first).then_some(lse.data[at]));
            let most = terms.iter().copied().fold(f64::MIN, f64::max);
            lse.data[at] = most + terms.iter().map(|t| (t - most).exp()).sum::<f64>().ln();
        }
        vec![lse]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 8.0 * io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

impl Kernel for BlendNormalise {
    kernel_name!("blend");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        last(inputs, 2 + usize::from(self.activation == Activation::Softmax))
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let constants = vec![
            ("SOFTMAX", constant(self.activation == Activation::Softmax)),
            ("SIGMOID", constant(self.activation == Activation::Sigmoid)),
        ];
        let ring = Ring::new(io.output(0), self.planes.axis);
        let params = plane_params(self.planes, io.output(0));
        vec![dispatch("blend_normalise", constants, params, io, ring.channels * self.planes.count * ring.plane())]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (count, mut acc) = (inputs[0], inputs[inputs.len() - 1].clone());
        let ring = Ring::new(&acc.shape, self.planes.axis);
        for c in 0..ring.channels {
            for at in ring.positions(self.planes) {
                let v = &mut acc.data[c * ring.channel() + at];
                *v /= count.data[at];
                match self.activation {
                    Activation::None => {}
                    Activation::Softmax => *v = (*v - inputs[1].data[at]).exp(),
                    Activation::Sigmoid => *v = 1.0 / (1.0 + (-*v).exp()),
                }
            }
        }
        vec![acc]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 4.0 * io.output(0).elements() as f64, bytes: io.bytes() }
    }
}

impl Kernel for ClearPlanes {
    kernel_name!("blend");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        last(inputs, 1)
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let Ring { channels, outer, ring, inner } = Ring::new(io.output(0), self.planes.axis);
        let params = ClearParams {
            channels: channels as u32,
            outer: outer as u32,
            inner: inner as u32,
            ring: ring as u32,
            start: (self.planes.start % ring.max(1)) as u32,
            planes: self.planes.count as u32,
        };
        vec![dispatch("clear_planes", Vec::new(), params.block(), io, channels * self.planes.count * outer * inner)]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let mut acc = inputs[0].clone();
        let ring = Ring::new(&acc.shape, self.planes.axis);
        for c in 0..ring.channels {
            for at in ring.positions(self.planes) {
                acc.data[c * ring.channel() + at] = 0.0;
            }
        }
        vec![acc]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 0.0, bytes: io.bytes() }
    }
}

/// Planes that wrap around the ring, classes in one and several parts, logits large enough to overflow exp.
pub fn cases() -> Vec<Case> {
    let acc = |seed| HostTensor::noise([3, 5, 4, 3], seed).map(|v| v * 90.0);
    let count = HostTensor::noise([5, 4, 3], 1).map(|v| v.abs() + 0.5);
    let planes = Planes { axis: 0, start: 8, count: 4 };
    let (middle, last) = (Planes { axis: 1, start: 6, count: 3 }, Planes { axis: 2, start: 5, count: 2 });
    let lse = HostTensor::noise([5, 4, 3], 2).map(|v| v * 90.0);
    let at = Placement { start: [7, 1, 0], floor: 0.2, ..Placement::default() };
    let axes = HostTensor::noise([8], 3).map(f64::abs);
    let normalise = |activation| BlendNormalise { activation, planes };
    vec![
        Case::new("weights", BlendWeights { size: [4, 2, 2], at }, vec![axes.clone(), count.clone()]).updating(),
        Case::new(
            "weights on a ring along Z",
            BlendWeights { size: [4, 2, 2], at: Placement { start: [1, 1, 5], ..at } },
            vec![axes, count.clone()],
        )
        .updating(),
        Case::new("first part", BlendDenominator { first: true, planes }, vec![acc(4), count.clone(), lse.clone()])
            .updating(),
        Case::new("second part", BlendDenominator { first: false, planes }, vec![acc(5), count.clone(), lse.clone()])
            .updating(),
        Case::new("mean", normalise(Activation::None), vec![count.clone(), acc(6)]).updating(),
        Case::new(
            "softmax",
            normalise(Activation::Softmax),
            vec![count.clone(), lse.map(|v| v.abs() / 9.0 + 9.0), acc(7).map(|v| v / 9.0)],
        )
        .updating(),
        Case::new("sigmoid", normalise(Activation::Sigmoid), vec![count, acc(8).map(|v| v / 9.0)]).updating(),
        Case::new(
            "along Y",
            BlendDenominator { first: true, planes: middle },
            vec![acc(4), HostTensor::noise([5, 4, 3], 1).map(|v| v.abs() + 0.5), HostTensor::noise([5, 4, 3], 2)],
        )
        .updating(),
        Case::new(
            "along Z",
            BlendNormalise { activation: Activation::None, planes: last },
            vec![HostTensor::noise([5, 4, 3], 1).map(|v| v.abs() + 0.5), acc(6)],
        )
        .updating(),
        Case::new("clear", ClearPlanes { planes }, vec![acc(9)]).updating(),
        Case::new("clear along Y", ClearPlanes { planes: middle }, vec![acc(9)]).updating(),
        Case::new("clear nothing", ClearPlanes { planes: Planes::default() }, vec![acc(10)]).updating(),
    ]
}

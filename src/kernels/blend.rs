//! Stitching of windows: sums of weights, and sums of weighted logits to means and class probabilities.
//!
//! `mean = Σ w logits / Σ w` over the windows that cover a voxel, then softmax or sigmoid. The sums lie in rings of
//! planes along X: `acc (classes, ring, VY, VZ)`, `count (ring, VY, VZ)`. Classes may be spread over several buffers, so
//! a softmax first takes the logarithm of its denominator over all of them: `lse (ring, VY, VZ)`.
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
params!(PlaneParams { classes: u32, plane: u32, ring: u32, start: u32, planes: u32 });
params!(ClearParams { channels: u32, plane: u32, ring: u32, start: u32, planes: u32 });

/// Planes of a ring, by their place in the volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planes {
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

/// (channels, ring, voxels of a plane) of `(C, ring, VY, VZ)` or `(ring, VY, VZ)`.
fn ring(shape: &Shape) -> (usize, usize, usize) {
    match *shape.dims() {
        [c, r, y, z] => (c, r, y * z),
        [r, y, z] => (1, r, y * z),
        _ => (0, 1, 0),
    }
}

/// Flat positions of some planes within one channel.
fn positions(planes: Planes, ring: usize, plane: usize) -> impl Iterator<Item = usize> {
    (0..planes.count * plane).map(move |i| (planes.start + i / plane) % ring * plane + i % plane)
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
    let (classes, ring, plane) = ring(acc);
    PlaneParams {
        classes: classes as u32,
        plane: plane as u32,
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
            count.data[(q[0] % d[0] * d[1] + q[1]) * d[2] + q[2]] += product.max(f64::from(self.at.floor));
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
        let (_, _, plane) = ring(io.input(0));
        let params = plane_params(self.planes, io.input(0));
        vec![dispatch("blend_denominator", constants, params, io, self.planes.count * plane)]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (acc, count, mut lse) = (inputs[0], inputs[1], inputs[2].clone());
        let (classes, ring, plane) = ring(&acc.shape);
        for at in positions(self.planes, ring, plane) {
            let mut terms: Vec<f64> = (0..classes).map(|c| acc.data[c * ring * plane + at] / count.data[at]).collect();
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
        let (classes, _, plane) = ring(io.output(0));
        let params = plane_params(self.planes, io.output(0));
        vec![dispatch("blend_normalise", constants, params, io, classes * self.planes.count * plane)]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (count, mut acc) = (inputs[0], inputs[inputs.len() - 1].clone());
        let (classes, ring, plane) = ring(&acc.shape);
        for c in 0..classes {
            for at in positions(self.planes, ring, plane) {
                let v = &mut acc.data[c * ring * plane + at];
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
        let (channels, ring, plane) = ring(io.output(0));
        let params = ClearParams {
            channels: channels as u32,
            plane: plane as u32,
            ring: ring as u32,
            start: (self.planes.start % ring.max(1)) as u32,
            planes: self.planes.count as u32,
        };
        vec![dispatch("clear_planes", Vec::new(), params.block(), io, channels * self.planes.count * plane)]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let mut acc = inputs[0].clone();
        let (channels, ring, plane) = ring(&acc.shape);
        for c in 0..channels {
            for at in positions(self.planes, ring, plane) {
                acc.data[c * ring * plane + at] = 0.0;
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
    let planes = Planes { start: 8, count: 4 };
    let lse = HostTensor::noise([5, 4, 3], 2).map(|v| v * 90.0);
    let at = Placement { start: [7, 1, 0], floor: 0.2, ..Placement::default() };
    let axes = HostTensor::noise([8], 3).map(f64::abs);
    let normalise = |activation| BlendNormalise { activation, planes };
    vec![
        Case::new("weights", BlendWeights { size: [4, 2, 2], at }, vec![axes, count.clone()]).updating(),
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
        Case::new("clear", ClearPlanes { planes }, vec![acc(9)]).updating(),
        Case::new("clear nothing", ClearPlanes { planes: Planes::default() }, vec![acc(10)]).updating(),
    ]
}

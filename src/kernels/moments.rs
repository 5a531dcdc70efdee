//! Mean and biased variance of each channel over its voxels, in two stages of fixed order: what a norm needs. Convolutions
//! append these dispatches to their own; behind anything else they are an op, whose argument is `x (N, C, X, Y, Z)` and whose
//! result `(N, C, 2)`.

use super::{constant, kernel_name};
use crate::gpu::Access;
use crate::graph::{Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Operand, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { channels: u32, voxels: u32, parts: u32 });

/// Invocations per channel in the first stage. llvmpipe ends every invocation after 65,535 loop iterations without a
/// word, so no invocation may take long: here at most 8,192 in the first stage and 8,192 in the second.
fn parts(voxels: usize, shared: bool) -> usize {
    let voxels_each = if shared { 512 } else { 4096 };
    (voxels / voxels_each).next_power_of_two().clamp(16, 8192)
}

fn sizes(y: &Shape) -> (usize, usize) {
    let (n, c, size) = y.volume().expect("a volume");
    (n * c, size.iter().product())
}

/// One invocation per channel merges the parts, or a group with workgroup memory.
const SHARED: &[bool] = &[false, true];

/// Bytes of (count, mean, sum of squares, unused) for `parts` parts of each channel of `y`.
pub(super) fn parts_bytes(y: &Shape, parts: usize) -> u64 {
    (sizes(y).0 * parts) as u64 * 16
}

/// Bytes of the first stage's results.
pub(super) fn scratch(y: &Shape, target: &Target) -> u64 {
    parts_bytes(y, parts(sizes(y).1, *target.choose(SHARED)))
}

/// The two stages for tensor `y`, into result `moments`, through temporary `scratch`.
pub(super) fn dispatches(shape: &Shape, y: Operand, moments: usize, scratch: usize, target: &Target) -> [Dispatch; 2] {
    let (channels, voxels) = sizes(shape);
    let parts = parts(voxels, *target.choose(SHARED));
    let params = Params { channels: channels as u32, voxels: voxels as u32, parts: parts as u32 };
    let collect = Dispatch {
        shader: "moments",
        entry: "forward",
        constants: vec![("MERGE", 0), ("SHARED", 0), ("LANES", 64)],
        params: params.block(),
        bindings: vec![(y, Access::Read), (Operand::Scratch(scratch), Access::Write)],
        groups: groups((channels * parts).div_ceil(64)),
    };
    [collect, merge(shape, moments, scratch, parts, target)]
}

/// The second stage alone, where another kernel has left `parts` parts of each channel in temporary `scratch`.
pub(super) fn merge(shape: &Shape, moments: usize, scratch: usize, parts: usize, target: &Target) -> Dispatch {
    let (channels, voxels) = sizes(shape);
    let shared = *target.choose(SHARED);
    let lanes = if shared { 256 } else { 64 };
    Dispatch {
        shader: "moments",
        entry: "forward",
        constants: vec![("MERGE", 1), ("SHARED", constant(shared)), ("LANES", lanes)],
        params: Params { channels: channels as u32, voxels: voxels as u32, parts: parts as u32 }.block(),
        bindings: vec![(Operand::Scratch(scratch), Access::Read), (Operand::Output(moments), Access::Write)],
        groups: groups(if shared { channels } else { channels.div_ceil(64) }),
    }
}

/// In double precision, `(N, C, 2)`.
pub(super) fn reference(y: &HostTensor) -> HostTensor {
    let (n, c, _) = y.shape.volume().expect("a volume");
    let (_, voxels) = sizes(&y.shape);
    let data = y
        .data
        .chunks(voxels)
        .flat_map(|v| {
            let mean = v.iter().sum::<f64>() / voxels as f64;
            [mean, v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / voxels as f64]
        })
        .collect();
    HostTensor::new([n, c, 2], data)
}

/// The op; argument `x`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments;

impl Kernel for Moments {
    kernel_name!("moments");

    fn variants(&self) -> usize {
        SHARED.len()
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        match inputs {
            [x] => x.volume().map(|(n, c, _)| vec![Shape::from([n, c, 2])]),
            _ => None,
        }
        .ok_or_else(|| GraphError::new(format!("moments of {inputs:?}: one volume is needed")))
    }

    fn scratch(&self, io: &Io, target: &Target) -> Vec<u64> {
        vec![scratch(io.input(0), target)]
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        dispatches(io.input(0), Operand::Input(0), 0, 0, target).into()
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        vec![reference(inputs[0])]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 4.0 * io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

impl Graph {
    /// Mean and biased variance of each channel of `x`, `(N, C, 2)`: those that the op that made it left beside it, else made
    /// here.
    ///
    /// # Errors
    /// [`GraphError`] if `x` is no volume.
    pub fn moments(&mut self, name: &str, x: TensorId) -> Result<TensorId, GraphError> {
        let beside = self.nodes().iter().rev().find_map(|node| {
            let output = node.outputs.iter().position(|&o| o == x)?;
            node.kernel.moments_of(output).map(|at| node.outputs[at])
        });
        match beside {
            Some(moments) => Ok(moments),
            None => self.add_one_op(name, Moments, &[x]),
        }
    }
}

/// One voxel, odd extents, a mean far from zero, many voxels and many channels.
pub fn cases() -> Vec<Case> {
    let case = |n, c, [x, y, z]: [usize; 3], mean: f64| {
        let values = HostTensor::noise([n, c, x, y, z], (c + z) as u64).map(|v| f64::from((v + mean) as f32));
        Case::new(format!("{n}x{c}x{x}x{y}x{z} about {mean}"), Moments, vec![values])
    };
    vec![
        case(1, 1, [1, 1, 1], 0.0),
        case(2, 3, [3, 5, 7], 0.0),
        case(1, 2, [40, 41, 43], 100.0),
        case(1, 67, [1, 2, 3], 1.0),
        case(1, 66_000, [1, 1, 2], 0.0),
    ]
}

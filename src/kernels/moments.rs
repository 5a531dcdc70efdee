//! Mean and biased variance of each channel over its voxels, in two stages of fixed order: what a convolution leaves
//! behind for the norm that follows. Not an op of its own: `conv3d` appends these dispatches to its own.

use super::constant;
use crate::gpu::Access;
use crate::graph::{Dispatch, Operand, Target};
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

/// The two stages for result `y`, into result `moments`, through temporary `scratch`.
pub(super) fn dispatches(shape: &Shape, y: usize, moments: usize, scratch: usize, target: &Target) -> [Dispatch; 2] {
    let (channels, voxels) = sizes(shape);
    let parts = parts(voxels, *target.choose(SHARED));
    let params = Params { channels: channels as u32, voxels: voxels as u32, parts: parts as u32 };
    let collect = Dispatch {
        shader: "moments",
        entry: "forward",
        constants: vec![("MERGE", 0), ("SHARED", 0), ("LANES", 64)],
        params: params.block(),
        bindings: vec![(Operand::Output(y), Access::Read), (Operand::Scratch(scratch), Access::Write)],
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

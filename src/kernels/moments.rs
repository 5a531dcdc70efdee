//! Mean and biased variance of each channel over its voxels, in two stages of fixed order: what a convolution leaves
//! behind for the norm that follows. Not an op of its own: `conv3d` appends these dispatches to its own.

use crate::gpu::Access;
use crate::graph::{Dispatch, Operand};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { channels: u32, voxels: u32, parts: u32 });

/// Invocations per channel in the first stage. llvmpipe ends every invocation after 65,535 loop iterations without a
/// word, so no invocation may take long: here at most 8,192 in the first stage and 8,192 in the second.
fn parts(voxels: usize) -> usize {
    (voxels / 4096).next_power_of_two().clamp(16, 8192)
}

fn sizes(y: &Shape) -> (usize, usize) {
    let (n, c, size) = y.volume().expect("a volume");
    (n * c, size.iter().product())
}

/// Bytes of the first stage's results.
pub(super) fn scratch(y: &Shape) -> u64 {
    let (channels, voxels) = sizes(y);
    (channels * parts(voxels)) as u64 * 16
}

/// The two stages for result `y`, into result `moments`, through temporary `scratch`.
pub(super) fn dispatches(shape: &Shape, y: usize, moments: usize, scratch: usize) -> [Dispatch; 2] {
    let (channels, voxels) = sizes(shape);
    let params = Params { channels: channels as u32, voxels: voxels as u32, parts: parts(voxels) as u32 }.block();
    let stage = |merge: u32, from: Operand, to: Operand, invocations: usize| Dispatch {
        shader: "moments",
        entry: "forward",
        constants: vec![("MERGE", merge)],
        params: params.clone(),
        bindings: vec![(from, Access::Read), (to, Access::Write)],
        groups: groups(invocations.div_ceil(64)),
    };
    [
        stage(0, Operand::Output(y), Operand::Scratch(scratch), channels * parts(voxels)),
        stage(1, Operand::Scratch(scratch), Operand::Output(moments), channels),
    ]
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

//! Gradients of the transposed convolution, whose outputs do not overlap:
//! `dx[n, c, v] = Σ_{k, phase} w[c, k, phase] dy[n, k, 2v + phase]`,
//! `dw[c, k, phase] = Σ_{n, v} x[n, c, v] dy[n, k, 2v + phase]`, the latter in two stages of fixed order.
//!
//! Shapes: `x, dx (N, C, X, Y, Z)`, `w, dw (C, K, 2, 2, 2)`, `dy (N, K, 2X, 2Y, 2Z)`.

use super::conv_transpose3d::ConvTranspose3d;
use super::sum_parts::Parts;
use super::{bind_read, bind_write, constant, kernel_name};
use crate::gpu::{Access, AdapterClass};
use crate::graph::{Applied, Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Op, Operand, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { samples: u32, channels: u32, k: u32, x: u32, y: u32, z: u32, parts: u32 });

/// A gradient; arguments `dy, w` (gradient of `x`) or `dy, x` (gradient of the weight).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvTranspose3dBackward {
    /// The weight's gradient is wanted, not that of `x`.
    pub weight: bool,
}

/// Samples, channels, output channels and input extents.
fn sizes(weight: bool, dy: &Shape, other: &Shape) -> Option<(usize, usize, usize, [usize; 3])> {
    let (n, k, size) = dy.volume()?;
    if size.iter().any(|s| s % 2 != 0) {
        return None;
    }
    let half = size.map(|s| s / 2);
    match *other.dims() {
        [c, wk, 2, 2, 2] if !weight && wk == k => Some((n, c, k, half)),
        [xn, c, x, y, z] if weight && xn == n && [x, y, z] == half => Some((n, c, k, half)),
        _ => None,
    }
}

/// Input channels per invocation, and whether four values are loaded at a time where rows are whole blocks of four
/// voxels. The first suits software adapters, whose loads cost more than arithmetic.
const VARIANTS: &[(usize, bool)] = &[(8, true), (4, false), (8, false)];

/// Whether rows of `z` voxels get long loads on this target.
fn wide(z: usize, target: &Target) -> bool {
    target.choose(VARIANTS).1 && z.is_multiple_of(4)
}

/// Invocations per block of weights; each takes at least 64 voxels, and few enough iterations for llvmpipe.
fn parts(voxels: usize, channels: usize, k: usize, target: &Target) -> usize {
    let wanted = if target.class == AdapterClass::Software { 1024 } else { 8192 };
    let blocks = channels.div_ceil(target.choose(VARIANTS).0) * k.div_ceil(2);
    (wanted / blocks.max(1)).min(voxels / 64).max(voxels.div_ceil(32_768)).max(1)
}

impl Kernel for ConvTranspose3dBackward {
    kernel_name!("conv_transpose3d_backward");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let made = match inputs {
            [dy, other] => sizes(self.weight, dy, other),
            _ => None,
        };
        let (n, c, k, [x, y, z]) =
            made.ok_or_else(|| GraphError::new(format!("gradient and factor do not fit: {inputs:?}")))?;
        Ok(vec![if self.weight { Shape::from([c, k, 2, 2, 2]) } else { Shape::from([n, c, x, y, z]) }])
    }

    fn scratch(&self, io: &Io, target: &Target) -> Vec<u64> {
        let (n, c, k, [x, y, z]) = sizes(self.weight, io.input(0), io.input(1)).expect("checked by infer");
        if self.weight { vec![(parts(n * x * y * z, c, k, target) * c * k * 8) as u64 * 4] } else { Vec::new() }
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let (n, c, k, [x, y, z]) = sizes(self.weight, io.input(0), io.input(1)).expect("checked by infer");
        let parts = parts(n * x * y * z, c, k, target);
        let (partials, held, wide) = (Operand::Scratch(0), target.choose(VARIANTS).0, wide(z, target));
        let (sums, second) = Parts { count: c * k * 8, parts }.finish(partials, Operand::Output(0));
        let (to, invocations) = if self.weight {
            ((sums, Access::Write), parts * c.div_ceil(held) * k.div_ceil(2))
        } else {
            (bind_write(0), n * (x * y * z).div_ceil(if wide { 8 } else { 4 }) * c.div_ceil(held))
        };
        let first = Dispatch {
            shader: if wide { "conv_transpose3d_backward_wide" } else { "conv_transpose3d_backward" },
            entry: "forward",
            constants: vec![("WEIGHTS", constant(self.weight)), ("HELD", held as u32)],
            params: Params {
                samples: n as u32,
                channels: c as u32,
                k: k as u32,
                x: x as u32,
                y: y as u32,
                z: z as u32,
                parts: parts as u32,
            }
            .block(),
            bindings: vec![bind_read(0), bind_read(1), to],
            groups: groups(invocations.div_ceil(64)),
        };
        let mut work = vec![first];
        work.extend(second.filter(|_| self.weight));
        work
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (dy, other) = (inputs[0], inputs[1]);
        let shapes = [dy.shape.clone(), other.shape.clone()];
        let (_, c, k, [sx, sy, sz]) = sizes(self.weight, &shapes[0], &shapes[1]).expect("checked by infer");
        let mut result = HostTensor::zeros(self.infer(&shapes).expect("checked by infer").remove(0));
        let voxels = sx * sy * sz;
        for (i, &d) in dy.data.iter().enumerate() {
            let (z, y, x) = (i % (2 * sz), i / (2 * sz) % (2 * sy), i / (4 * sz * sy) % (2 * sx));
            let (sample, o) = (i / (8 * voxels) / k, i / (8 * voxels) % k);
            let voxel = (x / 2 * sy + y / 2) * sz + z / 2;
            let phase = (x % 2 * 2 + y % 2) * 2 + z % 2;
            for channel in 0..c {
                let (at, weight) = ((sample * c + channel) * voxels + voxel, (channel * k + o) * 8 + phase);
                if self.weight {
                    result.data[weight] += d * other.data[at];
                } else {
                    result.data[at] += d * other.data[weight];
                }
            }
        }
        vec![result]
    }

    fn cost(&self, io: &Io) -> Cost {
        let (_, c, _, _) = sizes(self.weight, io.input(0), io.input(1)).expect("checked by infer");
        Cost { flops: 2.0 * io.input(0).elements() as f64 * c as f64, bytes: io.bytes() }
    }
}

impl Op for ConvTranspose3d {
    fn backward(
        &self,
        g: &mut Graph,
        node: &Applied,
        dy: &[Option<TensorId>],
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        let mut grads = vec![None; 2];
        if let Some(dy) = dy[0] {
            for (i, (name, weight)) in [("input", false), ("weight", true)].into_iter().enumerate() {
                if node.needs[i] {
                    let other = node.inputs[1 - i];
                    grads[i] = Some(g.add_one(name, ConvTranspose3dBackward { weight }, &[dy, other])?);
                }
            }
        }
        Ok(grads)
    }
}

/// Both gradients: channel counts off the block, odd extents, a batch, many voxels.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let sizes: [(usize, usize, usize, [usize; 3]); 7] = [
        (1, 1, 1, [1, 1, 1]),
        (2, 3, 5, [3, 2, 5]),
        (1, 7, 2, [6, 6, 6]),
        (1, 2, 3, [13, 11, 7]),
        (1, 1, 1, [40, 40, 41]),
        (2, 9, 3, [3, 1, 4]),
        (1, 10, 4, [2, 15, 12]),
    ];
    for (i, (n, c, k, s)) in sizes.into_iter().enumerate() {
        let seed = 7 * i as u64;
        let dy = HostTensor::noise([n, k, 2 * s[0], 2 * s[1], 2 * s[2]], seed);
        let x = HostTensor::noise([n, c, s[0], s[1], s[2]], seed + 1);
        let w = HostTensor::noise([c, k, 2, 2, 2], seed + 2);
        let name = format!("{n}x{c}to{k}x{s:?}");
        cases.push(Case::new(format!("input {name}"), ConvTranspose3dBackward { weight: false }, vec![dy.clone(), w]));
        cases.push(Case::new(format!("weight {name}"), ConvTranspose3dBackward { weight: true }, vec![dy, x]));
    }
    cases
}

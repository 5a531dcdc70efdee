//! Gradients of the end of a block, `y = leaky_relu(norm(u) + r)`; with [`Shortcut::None`] those of a norm on load.
//!
//! `dt = dy leaky_relu'(..)`, `du = dt scale_u`, `dr = dt` or `dt scale_r`. The gradient of a norm `(N, C, 4)` is kept as
//! `(N, C, 2)` of `(Σ dt x̂, Σ dt)`, `x̂ = (x - mean) / std`: those of the norm's factor and offset per sample. It stays
//! accurate where the mean is large, and all that `norm_parameters` needs follows from it. Two stages of fixed order.

use super::residual::{Residual, Shortcut, example};
use super::{bind_read, bind_write, constant, kernel_name, leaky_relu};
use crate::gpu::Access;
use crate::graph::{Applied, Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Op, Operand, Target, TensorId};
use crate::graph::{groups, params, values};
use crate::tensor::{HostTensor, Shape};

params!(Params { channels: u32, values: u32, parts: u32 });

/// The op; arguments `dy, u, norm_u, [r, [norm_r]]`, results `du, sums_u, [dr, [sums_r]]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResidualBackward {
    /// What was added.
    pub shortcut: Shortcut,
}

fn sizes(u: &Shape) -> (usize, usize) {
    let (n, c, size) = u.volume().expect("a volume");
    (n * c, size.iter().product())
}

/// Invocations per channel, in whole groups: no loop may be long, neither theirs nor that over their sums.
fn parts(voxels: usize) -> usize {
    values(voxels).1.div_ceil(256).next_multiple_of(64).min(8192)
}

impl Kernel for ResidualBackward {
    kernel_name!("residual_backward");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let Some((dy, rest)) = inputs.split_first() else {
            return Err(GraphError::new("a gradient is needed"));
        };
        self.shortcut.check(rest)?;
        let (n, c, _) = dy
            .volume()
            .filter(|_| *dy == rest[0])
            .ok_or_else(|| GraphError::new(format!("gradient {dy} of a block's end {}", rest[0])))?;
        let sums = Shape::from([n, c, 2]);
        let all = [dy.clone(), sums.clone(), dy.clone(), sums];
        Ok(all.into_iter().take(self.shortcut.arguments()).collect())
    }

    fn scratch(&self, io: &Io, _target: &Target) -> Vec<u64> {
        let (channels, voxels) = sizes(io.input(0));
        vec![(channels * parts(voxels)) as u64 * 16]
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let (channels, voxels) = sizes(io.input(0));
        let parts = parts(voxels);
        let (wide, values) = values(voxels);
        let partials = Operand::Scratch(0);
        let mut first: Vec<_> = (0..io.inputs.len()).map(bind_read).collect();
        first.extend([(partials, Access::Write), bind_write(0)]);
        first.extend((self.shortcut != Shortcut::None).then(|| bind_write(2)));
        let mut second = vec![(partials, Access::Read), bind_write(1)];
        second.extend((self.shortcut == Shortcut::Normalised).then(|| bind_write(3)));
        let stage = |merge: bool, bindings, invocations: usize| {
            let mut constants = self.shortcut.constants().to_vec();
            constants.extend([("MERGE", constant(merge)), ("WIDE", constant(wide)), ("RUN", target.run())]);
            Dispatch {
                shader: "residual_backward",
                entry: "forward",
                constants,
                params: Params { channels: channels as u32, values: values as u32, parts: parts as u32 }.block(),
                bindings,
                groups: groups(invocations.div_ceil(64)),
            }
        };
        vec![stage(false, first, channels * parts), stage(true, second, channels)]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (dy, rest) = (inputs[0], &inputs[1..]);
        let (n, c, _) = dy.shape.volume().expect("a volume");
        let (_, voxels) = sizes(&dy.shape);
        let dt: Vec<f64> = dy
            .data
            .iter()
            .enumerate()
            // The sign of a leaky ReLU's value is that of its argument.
            .map(|(i, d)| if self.shortcut.reference(rest, i) > 0.0 { *d } else { leaky_relu(-1.0) * -d })
            .collect();
        let mut results = Vec::new();
        for branch in rest.chunks(2) {
            let mut dx = HostTensor::new(dy.shape.clone(), dt.clone());
            if let [x, norm] = branch {
                let mut sums = HostTensor::zeros([n, c, 2]);
                for (i, v) in dx.data.iter_mut().enumerate() {
                    let p = &norm.data[i / voxels * 4..][..4];
                    sums.data[i / voxels * 2] += *v * (x.data[i] - p[0]) * p[1];
                    sums.data[i / voxels * 2 + 1] += *v;
                    *v *= p[2];
                }
                results.extend([dx, sums]);
            } else {
                results.push(dx);
            }
        }
        results
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 5.0 * io.input(0).elements() as f64 * self.shortcut.arguments() as f64 / 2.0, bytes: io.bytes() }
    }
}

impl Op for Residual {
    fn backward(
        &self,
        g: &mut Graph,
        node: &Applied,
        dy: &[Option<TensorId>],
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        let Some(dy) = dy[0] else {
            return Ok(vec![None; node.inputs.len()]);
        };
        let inputs = [&[dy], &node.inputs[..]].concat();
        let made = g.add("", ResidualBackward { shortcut: self.shortcut }, &inputs)?;
        Ok(made.into_iter().map(Some).collect())
    }
}

/// Every kind of shortcut, odd extents, a mean far from zero, a large volume.
pub fn cases() -> Vec<Case> {
    let case = |shortcut, n, c, size: [usize; 3], seed| {
        let mut inputs = vec![HostTensor::noise([n, c, size[0], size[1], size[2]], seed + 10)];
        inputs.extend(example(shortcut, n, c, size, seed));
        Case::new(format!("{shortcut:?} {n}x{c}x{size:?}"), ResidualBackward { shortcut }, inputs)
    };
    vec![
        case(Shortcut::None, 1, 1, [1, 1, 1], 1),
        case(Shortcut::None, 1, 3, [4, 4, 5], 5),
        case(Shortcut::Identity, 2, 3, [3, 5, 7], 2),
        case(Shortcut::Normalised, 2, 5, [4, 3, 2], 3),
        case(Shortcut::Normalised, 1, 2, [64, 64, 64], 4),
        case(Shortcut::Identity, 1, 1, [31, 37, 41], 6),
    ]
}

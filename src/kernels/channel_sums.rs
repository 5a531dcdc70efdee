//! `y[c] = Σ x[o, c, i]` over the axes before and after the channel: the gradient of a bias. Two stages of fixed order.
//!
//! Shapes: `x (N, C, X, Y, Z)` or `(..., C)` with the channel last; `y (C)`.

use super::sum_parts::Parts;
use super::{constant, kernel_name};
use crate::gpu::Access;
use crate::graph::{Case, Cost, Dispatch, GraphError, Io, Kernel, Operand, Target};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { outer: u32, channels: u32, inner: u32, parts: u32 });

/// The op.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChannelSums {
    /// The channel is the last axis, not the second.
    pub last: bool,
}

impl ChannelSums {
    /// Outer, channels, inner.
    fn sizes(self, x: &Shape) -> Option<(usize, usize, usize)> {
        match x.dims() {
            [.., c] if self.last => Some((x.rows(), *c, 1)),
            [n, c, inner @ ..] if !self.last => Some((*n, *c, inner.iter().product())),
            _ => None,
        }
    }
}

/// Invocations per channel; each takes about 256 values, so that no loop is long.
fn parts(items: usize) -> usize {
    items.div_ceil(256).clamp(1, 4096)
}

impl Kernel for ChannelSums {
    kernel_name!("channel_sums");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        match inputs.first().and_then(|x| self.sizes(x)) {
            Some((_, c, _)) => Ok(vec![Shape::from([c])]),
            None => Err(GraphError::new(format!("{inputs:?} has no channels"))),
        }
    }

    fn scratch(&self, io: &Io, _target: &Target) -> Vec<u64> {
        let (outer, c, inner) = self.sizes(io.input(0)).expect("checked by infer");
        vec![(parts(outer * inner) * c) as u64 * 4]
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let (outer, c, inner) = self.sizes(io.input(0)).expect("checked by infer");
        let parts = parts(outer * inner);
        let (to, second) = Parts { count: c, parts }.finish(Operand::Scratch(0), Operand::Output(0));
        let mut work = vec![Dispatch {
            shader: "channel_sums",
            entry: "forward",
            constants: vec![("COLUMNS", constant(self.last))],
            params: Params { outer: outer as u32, channels: c as u32, inner: inner as u32, parts: parts as u32 }
                .block(),
            bindings: vec![(Operand::Input(0), Access::Read), (to, Access::Write)],
            groups: groups((c * parts).div_ceil(64)),
        }];
        work.extend(second);
        work
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (_, c, inner) = self.sizes(&inputs[0].shape).expect("checked by infer");
        let mut y = HostTensor::zeros([c]);
        inputs[0].data.iter().enumerate().for_each(|(i, v)| y.data[i / inner % c] += v);
        vec![y]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

/// Both places of the channel, single elements, sizes off the part.
pub fn cases() -> Vec<Case> {
    let case = |shape: Shape, last: bool| {
        let name = format!("{shape} {last}");
        Case::new(name, ChannelSums { last }, vec![HostTensor::noise(shape, 3).map(|v| v + 0.5)])
    };
    vec![
        case(Shape::from([1, 1, 1, 1, 1]), false),
        case(Shape::from([2, 3, 5, 7, 11]), false),
        case(Shape::from([1, 14, 40, 33, 31]), false),
        case(Shape::from([1, 1]), true),
        case(Shape::from([2, 300, 7]), true),
    ]
}

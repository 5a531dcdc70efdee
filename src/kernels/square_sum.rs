//! `sums[slot] = Σ x²`: a gradient's part of the length of all gradients. Two stages of fixed order; the other slots stay. A
//! value that is NaN or infinite, by its bits, makes the slot NaN; squares that overflow make it infinite.

use super::{bind_read, bind_write, constant, kernel_name};
use crate::gpu::Access;
use crate::graph::{Case, Cost, Dispatch, GraphError, Io, Kernel, Operand, Target};
use crate::graph::{groups, params, values};
use crate::tensor::{HostTensor, Shape};

params!(Params { count: u32, parts: u32, slot: u32 });

/// The op; arguments `x, sums`, the latter updated in place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SquareSum {
    /// Which element of `sums`.
    pub slot: usize,
}

/// Invocations of the first stage, in whole groups; enough that no loop is long for a whole binding.
fn parts(count: usize) -> usize {
    values(count).1.div_ceil(128).next_multiple_of(64).min(8192)
}

impl Kernel for SquareSum {
    kernel_name!("square_sum");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        match inputs {
            [_, sums] if self.slot < sums.elements() => Ok(vec![sums.clone()]),
            _ => Err(GraphError::new(format!("{inputs:?} has no slot {}", self.slot))),
        }
    }

    fn scratch(&self, io: &Io, _target: &Target) -> Vec<u64> {
        vec![parts(io.inputs[0].written()) as u64 * 4]
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let count = io.inputs[0].written();
        let parts = parts(count);
        let (wide, count) = values(count);
        let stage = |merge: bool, bindings, invocations: usize| Dispatch {
            shader: "square_sum",
            entry: "forward",
            constants: vec![("MERGE", constant(merge)), ("WIDE", constant(wide)), ("RUN", target.run())],
            params: Params { count: count as u32, parts: parts as u32, slot: self.slot as u32 }.block(),
            bindings,
            groups: groups(invocations.div_ceil(64)),
        };
        let partials = Operand::Scratch(0);
        vec![
            stage(false, vec![bind_read(0), (partials, Access::Write)], parts),
            stage(true, vec![(partials, Access::Read), bind_write(0)], 1),
        ]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let mut sums = inputs[1].clone();
        sums.data[self.slot] = inputs[0].data.iter().map(|v| v * v).sum();
        vec![sums]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 2.0 * io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

/// Lengths around the part, and another slot that stays.
pub fn cases() -> Vec<Case> {
    let case = |count: usize, slot| {
        let inputs = vec![HostTensor::noise([count], 1), HostTensor::noise([3], 2)];
        Case::new(format!("{count} to {slot}"), SquareSum { slot }, inputs).updating()
    };
    vec![case(1, 0), case(257, 2), case(2 * 64 * 128, 0), case(300_001, 1), case(4_000_004, 2)]
}

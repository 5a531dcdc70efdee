//! `y[i] = Σ_part x[part, i]`: the second stage of reductions, and the gradient of a tensor that was repeated over the
//! leading axes.

use super::{constant, kernel_name};
use crate::gpu::Access;
use crate::graph::{Case, Cost, Dispatch, GraphError, Io, Kernel, Operand, Target};
use crate::graph::{groups, params, values};
use crate::tensor::{HostTensor, Shape};

params!(Params { count: u32, parts: u32 });

/// Sums `parts` rows of `count` values.
pub(super) struct Parts {
    pub count: usize,
    pub parts: usize,
}

impl Parts {
    /// Where the first stage writes, and the second stage: a single part needs none.
    pub(super) fn finish(&self, partials: Operand, to: Operand) -> (Operand, Option<Dispatch>) {
        if self.parts == 1 { (to, None) } else { (partials, Some(self.dispatch(partials, to))) }
    }

    fn dispatch(&self, from: Operand, to: Operand) -> Dispatch {
        let (wide, count) = values(self.count);
        Dispatch {
            shader: "sum_parts",
            entry: "forward",
            constants: vec![("WIDE", constant(wide))],
            params: Params { count: count as u32, parts: self.parts as u32 }.block(),
            bindings: vec![(from, Access::Read), (to, Access::Write)],
            groups: groups(count.div_ceil(64)),
        }
    }
}

/// The op: `x` to `shape`, whose elements are repeated in `x`.
#[derive(Clone, Debug, PartialEq)]
pub struct SumRepeats {
    /// Shape of the result.
    pub shape: Shape,
}

impl Kernel for SumRepeats {
    kernel_name!("sum_parts");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        match inputs {
            [x] if self.shape.elements() > 0 && x.elements() % self.shape.elements() == 0 => {
                Ok(vec![self.shape.clone()])
            }
            _ => Err(GraphError::new(format!("{inputs:?} does not repeat {}", self.shape))),
        }
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let count = self.shape.elements();
        vec![Parts { count, parts: io.input(0).elements() / count }.dispatch(Operand::Input(0), Operand::Output(0))]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let mut y = HostTensor::zeros(self.shape.clone());
        let count = y.data.len();
        inputs[0].data.iter().enumerate().for_each(|(i, v)| y.data[i % count] += v);
        vec![y]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

/// One repeat, and several.
pub fn cases() -> Vec<Case> {
    let case = |repeats: usize, shape: [usize; 3]| {
        let x = HostTensor::noise([repeats, shape[1], shape[2]], repeats as u64);
        Case::new(format!("{repeats} of {shape:?}"), SumRepeats { shape: Shape::from(shape) }, vec![x])
    };
    vec![case(1, [1, 1, 1]), case(2, [1, 6, 5]), case(3, [1, 27, 48])]
}

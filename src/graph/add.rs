//! `y = x_0 + x_1 + ...` of equal shapes: where gradients of one tensor meet.

use super::kernel::{groups, params, values};
use super::{Case, Cost, Dispatch, GraphError, Io, Kernel, Layout, Operand, Target};
use crate::gpu::Access;
use crate::tensor::{HostTensor, Shape};

params!(Params { count: u32 });

/// The op; arguments are its terms, at most four.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Add {
    pub terms: usize,
    /// Order of the elements of all of them.
    pub layout: Layout,
}

impl Kernel for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let fits = (1..=4).contains(&self.terms) && inputs.len() == self.terms;
        if !fits || inputs.iter().any(|s| *s != inputs[0]) {
            return Err(GraphError::new(format!("gradients of different shapes meet: {inputs:?}")));
        }
        Ok(vec![inputs[0].clone()])
    }

    fn output_layout(&self, _i: usize) -> Layout {
        self.layout
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let (wide, count) = values(self.layout.stored_elements(io.input(0)));
        let mut bindings: Vec<_> = (0..self.terms).map(|i| (Operand::Input(i), Access::Read)).collect();
        bindings.push((Operand::Output(0), Access::Write));
        vec![Dispatch {
            shader: "add",
            entry: "forward",
            constants: vec![("TERMS", self.terms as u32), ("WIDE", u32::from(wide)), ("RUN", target.run())],
            params: Params { count: count as u32 }.block(),
            bindings,
            groups: groups(count.div_ceil(256)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let mut sum = inputs[0].clone();
        for term in &inputs[1..] {
            sum.data.iter_mut().zip(&term.data).for_each(|(s, t)| *s += t);
        }
        vec![sum]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: io.input(0).elements() as f64 * (self.terms - 1) as f64, bytes: io.bytes() }
    }
}

/// One to four terms, a length off the block, padded storage, more than 65,535 groups.
pub fn cases() -> Vec<Case> {
    let case = |shape: [usize; 2], terms: usize| {
        let inputs = (0..terms).map(|i| HostTensor::noise(shape, i as u64)).collect();
        Case::new(format!("{terms} of {shape:?}"), Add { terms, layout: Layout::Natural }, inputs)
    };
    let weights = (0..2).map(|i| HostTensor::noise([5, 3, 1, 1, 1], i)).collect();
    let packed = Case::new("weights", Add { terms: 2, layout: Layout::TapMajor }, weights)
        .stored(0, Layout::TapMajor, super::DType::F32)
        .stored(1, Layout::TapMajor, super::DType::F32);
    vec![case([1, 1], 1), case([3, 7], 2), case([16, 9], 3), case([5, 1000], 4), case([4201, 4001], 2), packed]
}

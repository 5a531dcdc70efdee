//! `y[n, i] = x[n, i] + r[i]`: what is the same for every sample is added to each, such as the positions of tokens.
//!
//! Shapes: `x, y (N, ..)`, `r (1, ..)`. Source: `torch.add` with a leading axis of 1.

use super::{bind_read, bind_write, kernel_name};
use crate::graph::{Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { count: u32, repeated: u32 });

/// The op; arguments `x, r`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AddRepeated;

impl Kernel for AddRepeated {
    kernel_name!("add_repeated");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        match inputs {
            [x, r] if x.dims().get(1..) == r.dims().get(1..) && r.dims().first() == Some(&1) => Ok(vec![x.clone()]),
            _ => Err(GraphError::new(format!("the second is not one sample of the first: {inputs:?}"))),
        }
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let (count, repeated) = (io.input(0).elements(), io.input(1).elements());
        vec![Dispatch {
            shader: "add_repeated",
            entry: "forward",
            constants: Vec::new(),
            params: Params { count: count as u32, repeated: repeated as u32 }.block(),
            bindings: vec![bind_read(0), bind_read(1), bind_write(0)],
            groups: groups(count.div_ceil(64)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let mut y = inputs[0].clone();
        let repeated = inputs[1].data.iter().cycle();
        y.data.iter_mut().zip(repeated).for_each(|(y, r)| *y += r);
        vec![y]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

#[cfg(feature = "train")]
impl crate::graph::Op for AddRepeated {
    fn backward(
        &self,
        g: &mut Graph,
        node: &crate::graph::Applied,
        dy: &[Option<TensorId>],
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        let Some(dy) = dy[0] else {
            return Ok(vec![None; 2]);
        };
        let shape = g.shape(node.inputs[1]).clone();
        let dr = match node.needs[1] {
            true if *g.shape(dy) == shape => Some(dy),
            true => Some(g.add_one("repeated", super::sum_parts::SumRepeats { shape }, &[dy])?),
            false => None,
        };
        Ok(vec![node.needs[0].then_some(dy), dr])
    }
}

impl Graph {
    /// `x (N, ..)` plus `r (1, ..)` for each sample.
    ///
    /// # Errors
    /// [`GraphError`] if the shapes do not fit.
    pub fn add_repeated(&mut self, name: &str, x: TensorId, r: TensorId) -> Result<TensorId, GraphError> {
        self.add_one_op(name, AddRepeated, &[x, r])
    }
}

/// One sample, several, one value, more than 65,535 groups.
pub fn cases() -> Vec<Case> {
    let case = |n: usize, rest: [usize; 2]| {
        let inputs = vec![HostTensor::noise([n, rest[0], rest[1]], 1), HostTensor::noise([1, rest[0], rest[1]], 2)];
        Case::new(format!("{n} of {rest:?}"), AddRepeated, inputs)
    };
    vec![case(1, [1, 1]), case(1, [5, 7]), case(3, [13, 11]), case(2, [2099, 1000])]
}

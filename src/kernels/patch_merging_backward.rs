//! The gradient of joined tokens: each token's is the sum over the places where it was joined, in their order.

use super::kernel_name;
use super::patch_merging::{ORDERS, PatchMerging};
use crate::graph::{Applied, Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Op, Target, TensorId};
use crate::tensor::{HostTensor, Shape};

/// The op: joined tokens to `tokens`.
#[derive(Clone, Debug, PartialEq)]
pub struct PatchMergingBackward {
    /// How they were joined.
    pub forward: PatchMerging,
    /// Shape of what was joined.
    pub tokens: Shape,
}

impl Kernel for PatchMergingBackward {
    kernel_name!("patch_merging_backward");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        match inputs {
            [y] if self.forward.joined(&self.tokens).as_ref() == Some(y) => Ok(vec![self.tokens.clone()]),
            _ => Err(GraphError::new(format!("{inputs:?} were not joined of {}", self.tokens))),
        }
    }

    fn dispatches(&self, _io: &Io, _target: &Target) -> Vec<Dispatch> {
        vec![self.forward.dispatch(&self.tokens, true)]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let mut x = HostTensor::zeros(self.tokens.clone());
        self.forward.sources(&self.tokens).into_iter().zip(&inputs[0].data).for_each(|(i, v)| x.data[i] += v);
        vec![x]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

impl Op for PatchMerging {
    fn backward(
        &self,
        g: &mut Graph,
        node: &Applied,
        dy: &[Option<TensorId>],
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        let Some(dy) = dy[0] else {
            return Ok(vec![None]);
        };
        let op = PatchMergingBackward { forward: *self, tokens: g.shape(node.inputs[0]).clone() };
        Ok(vec![Some(g.add_one("", op, &[dy])?)])
    }
}

/// Unequal axes, a batch, widths that are no multiple of four; every corner once, and some twice.
pub fn cases() -> Vec<Case> {
    let case = |n, grid: [usize; 3], width, order: usize| {
        let cells: usize = grid.iter().product();
        let forward = PatchMerging { grid, corners: ORDERS[order] };
        let y = HostTensor::noise([n, cells / 8, 8 * width], order as u64);
        let op = PatchMergingBackward { forward, tokens: Shape::from([n, cells, width]) };
        Case::new(format!("{n}x{grid:?}x{width} {order}"), op, vec![y])
    };
    vec![case(1, [2, 2, 2], 1, 0), case(2, [4, 6, 10], 3, 1), case(2, [6, 2, 4], 8, 0), case(1, [10, 4, 2], 12, 1)]
}

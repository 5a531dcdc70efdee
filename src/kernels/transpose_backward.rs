//! The gradient of a transposition is the transposition back: `dx[n, i, j] = dy[n, j, i]`, channels first to tokens.

use super::kernel_name;
use super::transpose::{self, Transpose};
use crate::graph::{Applied, Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Op, Target, TensorId};
use crate::tensor::{HostTensor, Shape};

/// The op: `dy (N, E, grid...)` to `dx (N, L, E)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TransposeBackward;

impl Kernel for TransposeBackward {
    kernel_name!("transpose_backward");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        match inputs.first().map(Shape::dims) {
            Some([n, e, grid @ ..]) => Ok(vec![Shape::from([*n, grid.iter().product(), *e])]),
            _ => Err(GraphError::new(format!("{inputs:?} is no volume"))),
        }
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let x = io.output(0).dims();
        vec![transpose::dispatch(x[0], x[2], x[1])]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let shape = self.infer(&[inputs[0].shape.clone()]).expect("checked by infer").remove(0);
        let (l, e) = (shape.dims()[1], shape.dims()[2]);
        let mut y = HostTensor::zeros(shape);
        for (i, v) in y.data.iter_mut().enumerate() {
            *v = inputs[0].data[(i / (l * e) * e + i % e) * l + i / e % l];
        }
        vec![y]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 0.0, bytes: io.bytes() }
    }
}

impl Op for Transpose {
    fn backward(
        &self,
        g: &mut Graph,
        _node: &Applied,
        dy: &[Option<TensorId>],
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        let Some(dy) = dy[0] else {
            return Ok(vec![None]);
        };
        Ok(vec![Some(g.add_one("", TransposeBackward, &[dy])?)])
    }
}

/// Odd extents and a batch.
pub fn cases() -> Vec<Case> {
    let case = |n, e, grid: [usize; 3], seed| {
        let x = HostTensor::noise([n, e, grid[0], grid[1], grid[2]], seed);
        Case::new(format!("{n}x{e}x{grid:?}"), TransposeBackward, vec![x])
    };
    vec![case(1, 1, [1, 1, 1], 0), case(2, 7, [2, 3, 5], 1)]
}

//! The gradients of a concatenation are its parts: `dx = dy[first .. first + count]` along the channels.

use super::concat::{Channels, Concat, copy};
use super::{bind_read, bind_write, kernel_name};
use crate::graph::{Applied, Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Op, Target, TensorId};
use crate::tensor::{HostTensor, Shape};

/// The op: `dy (N, C, X, Y, Z)` to `dx (N, count, X, Y, Z)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConcatBackward {
    /// First channel.
    pub first: usize,
    pub count: usize,
}

impl Kernel for ConcatBackward {
    kernel_name!("concat_backward");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        match inputs.first().and_then(Shape::volume) {
            Some((n, c, [x, y, z])) if self.first + self.count <= c => Ok(vec![Shape::from([n, self.count, x, y, z])]),
            _ => Err(GraphError::new(format!(
                "{inputs:?} has no channels {} to {}",
                self.first,
                self.first + self.count
            ))),
        }
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let from = Channels { of: io.input(0), first: self.first };
        vec![copy(from, Channels { of: io.output(0), first: 0 }, self.count, [bind_read(0), bind_write(0)])]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let dy = inputs[0];
        let shape = self.infer(std::slice::from_ref(&dy.shape)).expect("checked by infer").remove(0);
        let (n, c) = (dy.shape.dims()[0], dy.shape.dims()[1]);
        let voxels = dy.data.len() / (n * c).max(1);
        let part = |sample: usize| {
            let start = (sample * c + self.first) * voxels;
            dy.data[start..start + self.count * voxels].to_vec()
        };
        vec![HostTensor::new(shape, (0..n).flat_map(part).collect())]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 0.0, bytes: io.bytes() }
    }
}

impl Op for Concat {
    fn backward(
        &self,
        g: &mut Graph,
        node: &Applied,
        dy: &[Option<TensorId>],
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        let Some(dy) = dy[0] else {
            return Ok(vec![None; node.inputs.len()]);
        };
        let mut first = 0;
        let mut gradients = Vec::with_capacity(node.inputs.len());
        for (input, needed) in node.inputs.iter().zip(&node.needs) {
            let count = g.shape(*input).dims()[1];
            let op = ConcatBackward { first, count };
            gradients.push(if *needed { Some(g.add_one("", op, &[dy])?) } else { None });
            first += count;
        }
        Ok(gradients)
    }
}

/// The first, a middle and the last channels of a batch.
pub fn cases() -> Vec<Case> {
    let case = |first, count| {
        let dy = HostTensor::noise([2, 7, 3, 2, 5], first as u64);
        Case::new(format!("{count} from {first}"), ConcatBackward { first, count }, vec![dy])
    };
    vec![case(0, 1), case(2, 3), case(6, 1), case(0, 7)]
}

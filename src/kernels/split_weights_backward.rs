//! The gradient of a weight that was split into parts: theirs, put together. Every element is in one part.

use super::kernel_name;
use super::split_weights::{SplitWeights, examples};
use super::{bind_read, bind_write};
use crate::graph::{Applied, Case, Cost, DType, Dispatch, Graph, GraphError, Io, Kernel, Layout, Op, Target, TensorId};
use crate::tensor::{HostTensor, Shape};

/// The op: the parts' gradients to that of the whole.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitWeightsBackward {
    /// How it was split.
    pub forward: SplitWeights,
    /// Shape of the whole.
    pub whole: Shape,
}

impl Kernel for SplitWeightsBackward {
    kernel_name!("split_weights_backward");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let parts = self.forward.infer(std::slice::from_ref(&self.whole))?;
        if inputs == parts {
            Ok(vec![self.whole.clone()])
        } else {
            Err(GraphError::new(format!("{inputs:?} are no parts of {}", self.whole)))
        }
    }

    fn output_layout(&self, _i: usize) -> Layout {
        self.forward.layout
    }

    fn dispatches(&self, _io: &Io, _target: &Target) -> Vec<Dispatch> {
        let packs = self.forward.packs(&self.whole, 0);
        packs.iter().enumerate().map(|(i, pack)| pack.unpack(bind_read(i), bind_write(0))).collect()
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let mut w = HostTensor::zeros(self.whole.clone());
        for (places, part) in self.forward.sources(&self.whole).into_iter().zip(inputs) {
            places.into_iter().zip(&part.data).for_each(|(i, v)| w.data[i] = *v);
        }
        vec![w]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 0.0, bytes: io.bytes() }
    }
}

impl Op for SplitWeights {
    fn backward(
        &self,
        g: &mut Graph,
        node: &Applied,
        dy: &[Option<TensorId>],
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        if dy.iter().all(Option::is_none) {
            return Ok(vec![None]);
        }
        let parts: Option<Vec<TensorId>> = dy.iter().copied().collect();
        let parts = parts.ok_or_else(|| GraphError::new("a part of a weight is not used"))?;
        let op = SplitWeightsBackward { forward: *self, whole: g.shape(node.inputs[0]).clone() };
        Ok(vec![Some(g.add_one("", op, &parts)?)])
    }
}

/// One channel, channels that are no multiple of four, both orders.
pub fn cases() -> Vec<Case> {
    let case = |(seed, (forward, whole)): (u64, (SplitWeights, Shape))| {
        let shapes = forward.infer(std::slice::from_ref(&whole)).expect("a weight that can be split");
        let parts: Vec<HostTensor> =
            (0..).zip(shapes).map(|(i, shape)| HostTensor::noise(shape, 10 * seed + i)).collect();
        let name = format!("{forward:?} of {whole}");
        let count = parts.len();
        let case = Case::new(name, SplitWeightsBackward { forward, whole }, parts);
        (0..count).fold(case, |case, i| case.stored(i, forward.layout, DType::F32))
    };
    (0..).zip(examples()).map(case).collect()
}

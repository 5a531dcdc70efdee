//! The gradient of patches with respect to the volume they were cut from: every voxel is in one patch.

use super::kernel_name;
use super::patchify::Patchify;
use crate::graph::{Applied, Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Op, Target, TensorId};
use crate::tensor::{HostTensor, Shape};

/// The op: rows `(N, L, C P³)` to a volume.
#[derive(Clone, Debug, PartialEq)]
pub struct PatchifyBackward {
    /// How the patches were cut.
    pub forward: Patchify,
    /// Shape of the volume.
    pub volume: Shape,
}

impl Kernel for PatchifyBackward {
    kernel_name!("patchify_backward");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let rows = self.forward.infer(std::slice::from_ref(&self.volume))?;
        if inputs == rows {
            Ok(vec![self.volume.clone()])
        } else {
            Err(GraphError::new(format!("{inputs:?} are no rows of {}", self.volume)))
        }
    }

    fn dispatches(&self, _io: &Io, _target: &Target) -> Vec<Dispatch> {
        vec![self.forward.dispatch(&self.volume, true)]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let mut x = HostTensor::zeros(self.volume.clone());
        let numbered = HostTensor::new(self.volume.clone(), (0..x.data.len()).map(|i| i as f64).collect());
        let places = self.forward.reference(&[&numbered]).remove(0);
        places.data.iter().zip(&inputs[0].data).for_each(|(at, v)| x.data[*at as usize] = *v);
        vec![x]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 0.0, bytes: io.bytes() }
    }
}

impl Op for Patchify {
    fn backward(
        &self,
        g: &mut Graph,
        node: &Applied,
        dy: &[Option<TensorId>],
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        let Some(dy) = dy[0] else {
            return Ok(vec![None]);
        };
        let op = PatchifyBackward { forward: *self, volume: g.shape(node.inputs[0]).clone() };
        Ok(vec![Some(g.add_one("", op, &[dy])?)])
    }
}

/// Both orders, unequal axes, a batch.
pub fn cases() -> Vec<Case> {
    let case = |channel_last, patch: usize| {
        let forward = Patchify { patch, channel_last };
        let rows = HostTensor::noise([2, 30, 3 * patch.pow(3)], 1);
        let volume = Shape::from([2, 3, 2 * patch, 3 * patch, 5 * patch]);
        Case::new(format!("by {patch}, channel last {channel_last}"), PatchifyBackward { forward, volume }, vec![rows])
    };
    vec![case(false, 2), case(true, 2), case(false, 4)]
}

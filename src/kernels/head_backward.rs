//! Gradients of the head, from those of its parts: the value is computed again, then `dw` and its gradient are those of a
//! 1x1x1 convolution, `db` sums over voxels, and the rest is the value's.

use super::channel_sums::ChannelSums;
use super::conv3d::Geometry;
use super::conv3d_backward::{Conv3dData, Conv3dWeights};
use super::head::Head;
use super::lazy::Term;
use super::residual::Residual;
use super::residual_backward;
use crate::graph::{Applied, Case, Graph, GraphError, Op, TensorId};

impl Op for Head {
    fn backward(
        &self,
        g: &mut Graph,
        node: &Applied,
        dy: &[Option<TensorId>],
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        let mut grads = vec![None; node.inputs.len()];
        let Some(dy) = dy[0] else {
            return Ok(grads);
        };
        let at = self.form.arguments();
        let branches = &node.inputs[..at];
        let w = node.inputs[at];
        let geometry = Geometry::same([1; 3]);
        if node.needs[at] {
            let a = g.add_one("activation", Residual { form: self.form }, branches)?;
            let op = Conv3dWeights { sources: vec![Term::PLAIN], geometry };
            grads[at] = Some(g.add_one("weight", op, &[a, dy])?);
        }
        if node.needs[at + 1] {
            grads[at + 1] = Some(g.add_one("bias", ChannelSums { last: false }, &[dy])?);
        }
        if node.needs[..at].contains(&true) {
            let (_, channels, size) = g.shape(branches[0]).volume().expect("checked by infer");
            let op = Conv3dData { geometry, size, first: 0, channels, shortcut: false };
            let da = g.add_one("data", op, &[dy, w])?;
            let made = g.scope("end", |g| residual_backward::value(g, self.form, da, branches))?;
            grads[..at].copy_from_slice(&made);
        }
        Ok(grads)
    }
}

/// None of its own: it is made of other ops.
pub fn cases() -> Vec<Case> {
    Vec::new()
}

//! Gradients of the head, from those of its parts: `a = leaky_relu(norm(u) + r)` is computed again, then
//! `dw` and `da` are those of a 1x1x1 convolution of `a`, `db` sums over voxels, and `du`, `dr` are the block end's.

use super::channel_sums::ChannelSums;
use super::conv3d_backward::{Conv3dData, Conv3dWeights};
use super::head::Head;
use super::residual::Residual;
use super::residual_backward::ResidualBackward;
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
        let at = self.shortcut.arguments();
        let branches = &node.inputs[..at];
        let w = node.inputs[at];
        if node.needs[at] {
            let a = g.add_one("activation", Residual { shortcut: self.shortcut }, branches)?;
            let op = Conv3dWeights { sources: vec![false], side: 1 };
            grads[at] = Some(g.add_one("weight", op, &[a, dy])?);
        }
        if node.needs[at + 1] {
            grads[at + 1] = Some(g.add_one("bias", ChannelSums { last: false }, &[dy])?);
        }
        if node.needs[..at].contains(&true) {
            let op = Conv3dData { first: 0, channels: g.shape(w).dims()[1], shortcut: false };
            let da = g.add_one("data", op, &[dy, w])?;
            let made = g.add("end", ResidualBackward { shortcut: self.shortcut }, &[&[da], branches].concat())?;
            grads[..at].copy_from_slice(&made.into_iter().map(Some).collect::<Vec<_>>());
        }
        Ok(grads)
    }
}

/// None of its own: it is made of other ops.
pub fn cases() -> Vec<Case> {
    Vec::new()
}

//! Residual blocks that normalise and activate before each convolution: `x + conv2(act(norm2(conv1(act(norm1(x))))))`.
//! Source: MONAI `monai/networks/blocks/segresnet_block.py`, `monai/networks/nets/segresnet_ds.py` (1.6.1); He et al., ECCV 2016.

use super::super::builder::Net;
use super::act::{ActName, act};
use super::conv::{ConvLayer, conv};
use super::norm::{NormName, norm};
use crate::graph::{GraphError, TensorId};
use crate::kernels::lazy::{Act, Lazy};

/// What a block is made of, and what its modules are called.
#[derive(Clone, Copy, Debug)]
pub struct PreActivation {
    pub norm: NormName,
    pub act: ActName,
    /// Extents of its kernels.
    pub kernel: [usize; 3],
    /// Whether its convolutions have a bias.
    pub bias: bool,
    /// Names of both norms.
    pub norms: [&'static str; 2],
    /// Names of both activations; one name is one activation, whose slopes are shared.
    pub acts: [&'static str; 2],
    /// Names of both convolutions.
    pub convs: [&'static str; 2],
}

/// A block `name` that keeps the channels of `x`.
///
/// # Errors
/// [`GraphError`] if the shapes do not fit.
pub fn pre_activation(n: &mut Net, name: &str, x: TensorId, block: PreActivation) -> Result<TensorId, GraphError> {
    let [act1, act2] = block.acts;
    n.scope(name, |n| {
        let layer = ConvLayer { bias: block.bias, ..ConvLayer::new(n.channels(x), block.kernel) };
        let first = act(n, block.act, act1);
        let second = if act1 == act2 { first } else { act(n, block.act, act2) };
        let norm1 = norm(n, block.norm, block.norms[0], x)?;
        let before_norm = ConvLayer { moments: block.norm.needs_moments(n), ..layer };
        let y = conv(n, block.convs[0], &[Lazy::new(x, Some(norm1), first)], before_norm)?;
        let norm2 = norm(n, block.norm, block.norms[1], y)?;
        let y = conv(n, block.convs[1], &[Lazy::new(y, Some(norm2), second)], layer)?;
        n.graph().sum("", &y.into(), &x.into(), Act::None)
    })
}

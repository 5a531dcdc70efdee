//! The convolution blocks that MONAI builds its decoders and its DynUNet of.
//!
//! `UnetResBlock`: `act(N(conv2(act(N(conv1 x)))) + r)` with `r = x`, or `N(conv3 x)` where channels or size change.
//! `UnetBasicBlock`: the same without `r`. A block's end is not stored, so that the head can take it as it is.
//! Source: MONAI `monai/networks/blocks/dynunet_block.py`.

use super::super::builder::Net;
use super::super::parameter::Init;
use super::conv::{ConvLayer, conv};
use super::convolution::dropped;
use super::norm::{NormName, norm};
use crate::graph::{GraphError, Layout, TensorId};
use crate::kernels::conv_transpose3d::ConvTranspose;
use crate::kernels::conv3d::Conv;
use crate::kernels::lazy::{Act, Lazy};

/// What a block is made of.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Channels of the result.
    pub out: usize,
    /// Extents of both convolutions' kernels, odd.
    pub kernel: [usize; 3],
    /// Strides of the first convolution.
    pub stride: [usize; 3],
    /// Whether it has a residual connection.
    pub residual: bool,
    pub norm: NormName,
    pub act: Act,
    /// Whether first weights are He's.
    pub he: bool,
    /// Share of each convolution's result that training drops.
    pub dropout: f32,
}

impl Block {
    /// As UNETR has it: kernels of 3, stride 1, leaky ReLU of 0.01.
    pub fn new(out: usize, residual: bool, norm: NormName) -> Self {
        Self { out, kernel: [3; 3], stride: [1; 3], residual, norm, act: Act::LeakyRelu(0.01), he: false, dropout: 0.0 }
    }
}

/// A block's result, and what its convolutions gave.
#[derive(Clone, Debug)]
pub struct Made {
    pub end: Lazy,
    /// Name and result of each convolution.
    pub convs: Vec<(&'static str, TensorId)>,
}

/// A convolution block on one source or two, whose channels follow one another.
///
/// # Errors
/// [`GraphError`] if the shapes do not fit.
pub fn unet_block(n: &mut Net, name: &str, sources: &[Lazy], block: Block) -> Result<Made, GraphError> {
    n.scope(name, |n| {
        let channels: usize = sources.iter().map(|source| n.channels(source.x)).sum();
        let Block { out, kernel, stride, he, .. } = block;
        let projected = block.residual && (channels != out || stride != [1; 3]);
        let layer = ConvLayer { bias: false, moments: block.norm.needs_moments(n), he, ..ConvLayer::new(out, kernel) };
        let (u1, shortcut) = match projected {
            // One kernel reads the sources once for both.
            true if stride == [1; 3] && kernel == [3; 3] => {
                let conv = |w: TensorId| Conv { moments: layer.moments, ..Conv::new(w) };
                let w1 = weight(n, "conv1", [out, channels], 3, he);
                let w3 = weight(n, "conv3", [out, channels], 1, he);
                let (u1, r) = n.graph().conv3d_with_shortcut("conv1.conv", sources, &conv(w1), w3)?;
                (u1, Some(r))
            }
            true => {
                let u1 = conv(n, "conv1.conv", sources, ConvLayer { stride, ..layer })?;
                (u1, Some(conv(n, "conv3.conv", sources, ConvLayer { stride, kernel: [1; 3], ..layer })?))
            }
            false => (conv(n, "conv1.conv", sources, ConvLayer { stride, ..layer })?, None),
        };
        let u1 = dropped(n, "conv1", u1, block.dropout)?;
        let shortcut = shortcut.map(|r| dropped(n, "conv3", r, block.dropout)).transpose()?;
        let norm1 = norm(n, block.norm, "norm1", u1)?;
        let u2 = conv(n, "conv2.conv", &[Lazy::new(u1, Some(norm1), block.act)], layer)?;
        let u2 = dropped(n, "conv2", u2, block.dropout)?;
        let end = Lazy::new(u2, Some(norm(n, block.norm, "norm2", u2)?), block.act);
        let mut convs = vec![("conv1", u1), ("conv2", u2)];
        convs.extend(shortcut.map(|r| ("conv3", r)));
        let end = match (shortcut, sources.first()) {
            (Some(r), _) => end.plus(r, Some(norm(n, block.norm, "norm3", r)?)),
            (None, Some(x)) if block.residual => end.plus(n.graph().store("input", x)?, None),
            _ => end,
        };
        Ok(Made { end, convs })
    })
}

/// The transposed convolution that doubles each axis, `name.conv.weight (in, out, 2, 2, 2)`.
///
/// # Errors
/// [`GraphError`] if the shapes do not fit.
pub fn up(n: &mut Net, name: &str, x: TensorId, out: usize) -> Result<TensorId, GraphError> {
    let w = up_weight(n, name, x, out);
    let conv = ConvTranspose::without_overlap(n.graph(), w, None);
    n.graph().conv_transpose3d(name, &[x.into()], &conv)
}

/// The weight of [`up`].
pub(super) fn up_weight(n: &mut Net, name: &str, x: TensorId, out: usize) -> TensorId {
    let shape = [n.channels(x), out, 2, 2, 2];
    n.matrix(&format!("{name}.conv.weight"), shape, Layout::Natural, Init::Uniform { fan_in: out * 8 })
}

/// The weight of a cubic convolution.
pub(super) fn weight(n: &mut Net, name: &str, [out, channels]: [usize; 2], side: usize, he: bool) -> TensorId {
    let fan_in = channels * side.pow(3);
    let init = if he { Init::he(fan_in) } else { Init::Uniform { fan_in } };
    n.matrix(&format!("{name}.conv.weight"), [out, channels, side, side, side], Layout::TapMajor, init)
}

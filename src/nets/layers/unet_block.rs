//! The convolution blocks that MONAI builds its decoders of.
//!
//! `UnetResBlock`: `lrelu(N(conv2(lrelu(N(conv1 x)))) + r)` with `r = x`, or `N(conv3 x)` where the channels change.
//! `UnetBasicBlock`: the same without `r`. A block's end is not stored, so that the head can take it as it is.
//! Source: MONAI `monai/networks/blocks/dynunet_block.py`.

use super::super::builder::Net;
use super::super::parameter::Init;
use super::norm::{NormName, norm};
use crate::graph::{GraphError, Layout, TensorId};
use crate::kernels::conv_transpose3d::ConvTranspose;
use crate::kernels::conv3d::Conv;
use crate::kernels::lazy::{Act, Lazy};

/// MONAI's activation in these blocks.
const ACT: Act = Act::LeakyRelu(0.01);

/// What a block is made of.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Channels of the result.
    pub out: usize,
    /// Whether it has a residual connection.
    pub residual: bool,
    /// Its norms.
    pub norm: NormName,
}

/// A convolution block on one or two plain inputs (their channels follow one another).
///
/// # Errors
/// [`GraphError`] if the shapes do not fit.
pub fn unet_block(n: &mut Net, name: &str, inputs: &[TensorId], block: Block) -> Result<Lazy, GraphError> {
    n.scope(name, |n| {
        let channels: usize = inputs.iter().map(|&x| n.channels(x)).sum();
        let projected = block.residual && channels != block.out;
        let sources: Vec<Lazy> = inputs.iter().map(|&x| x.into()).collect();
        let moments = block.norm.needs_moments(n);
        let conv = |w: TensorId| Conv { moments, ..Conv::new(w) };
        let w1 = weight(n, "conv1", block.out, channels, 3);
        let (u1, shortcut) = match projected {
            true => {
                let w3 = weight(n, "conv3", block.out, channels, 1);
                let (u1, r) = n.graph().conv3d_with_shortcut("conv1", &sources, &conv(w1), w3)?;
                (u1, Some(r))
            }
            false => (n.graph().conv3d("conv1", &sources, &conv(w1))?, None),
        };
        let norm1 = norm(n, block.norm, "norm1", u1)?;
        let w2 = weight(n, "conv2", block.out, block.out, 3);
        let u2 = n.graph().conv3d("conv2", &[Lazy::new(u1, Some(norm1), ACT)], &conv(w2))?;
        let end = Lazy::new(u2, Some(norm(n, block.norm, "norm2", u2)?), ACT);
        Ok(match (shortcut, inputs.first()) {
            (Some(r), _) => end.plus(r, Some(norm(n, block.norm, "norm3", r)?)),
            (None, Some(&x)) if block.residual => end.plus(x, None),
            _ => end,
        })
    })
}

/// The transposed convolution that doubles each axis, `name.conv.weight (in, out, 2, 2, 2)`.
///
/// # Errors
/// [`GraphError`] if the shapes do not fit.
pub fn up(n: &mut Net, name: &str, x: TensorId, out: usize) -> Result<TensorId, GraphError> {
    let shape = [n.channels(x), out, 2, 2, 2];
    let w = n.matrix(&format!("{name}.conv.weight"), shape, Layout::Natural, Init::Uniform { fan_in: out * 8 });
    let conv = ConvTranspose::without_overlap(n.graph(), w, None);
    n.graph().conv_transpose3d(name, &[x.into()], &conv)
}

fn weight(n: &mut Net, name: &str, out: usize, channels: usize, side: usize) -> TensorId {
    let init = Init::Uniform { fan_in: channels * side.pow(3) };
    n.matrix(&format!("{name}.conv.weight"), [out, channels, side, side, side], Layout::TapMajor, init)
}

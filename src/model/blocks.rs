//! The convolutional blocks of the decoder.
//!
//! `UnetResBlock`: `lrelu(IN(conv2(lrelu(IN(conv1 x)))) + r)` with `r = x`, or `IN(conv3 x)` where the channels change.
//! `UnetBasicBlock`: the same without `r`. A block's end is not stored, so that the head can take it as it is.
//! Source: MONAI `UnetResBlock`, `UnetBasicBlock`.

use super::config::{NormName, UnetrConfig};
use crate::graph::{Graph, GraphError, Layout, TensorId};
use crate::kernels::conv_transpose3d::ConvTranspose;
use crate::kernels::conv3d::Conv;
use crate::kernels::lazy::{Act, Lazy};

/// MONAI's activation in these blocks.
const ACT: Act = Act::LeakyRelu(0.01);

/// A convolution block on one or two plain inputs (their channels follow one another).
pub(super) fn conv_block(
    g: &mut Graph,
    config: &UnetrConfig,
    name: &str,
    inputs: &[TensorId],
    out: usize,
) -> Result<Lazy, GraphError> {
    g.scope(name, |g| {
        let channels: usize = inputs.iter().map(|&x| g.shape(x).dims()[1]).sum();
        let projected = config.res_block && channels != out;
        let sources: Vec<Lazy> = inputs.iter().map(|&x| x.into()).collect();
        let w1 = weight(g, "conv1", out, channels, 3);
        let w3 = projected.then(|| weight(g, "conv3", out, channels, 1));
        let conv1 = Conv::before_norm(w1);
        let (u1, shortcut) = match w3 {
            Some(w3) => {
                let (u, r) = g.conv3d_with_shortcut("conv1", &sources, &conv1, w3)?;
                (u, Some(r))
            }
            None => (g.conv3d("conv1", &sources, &conv1)?, None),
        };
        let norm1 = norm(g, config, "norm1", u1)?;
        let w2 = weight(g, "conv2", out, out, 3);
        let u2 = g.conv3d("conv2", &[Lazy::new(u1, Some(norm1), ACT)], &Conv::before_norm(w2))?;
        let end = Lazy::new(u2, Some(norm(g, config, "norm2", u2)?), ACT);
        Ok(match shortcut {
            Some(r) => end.plus(r, Some(norm(g, config, "norm3", r)?)),
            None if config.res_block => end.plus(inputs[0], None),
            None => end,
        })
    })
}

/// The transposed convolution that doubles each axis.
pub(super) fn up(g: &mut Graph, name: &str, x: TensorId, out: usize) -> Result<TensorId, GraphError> {
    let channels = g.shape(x).dims()[1];
    let shape = [channels, out, 2, 2, 2];
    let w = g.matrix_parameter(&format!("{name}.conv.weight"), shape, Layout::Natural);
    let conv = ConvTranspose::without_overlap(g, w, None);
    g.conv_transpose3d(name, &[x.into()], &conv)
}

fn weight(g: &mut Graph, name: &str, out: usize, channels: usize, side: usize) -> TensorId {
    let shape = [out, channels, side, side, side];
    g.matrix_parameter(&format!("{name}.conv.weight"), shape, Layout::TapMajor)
}

fn norm(g: &mut Graph, config: &UnetrConfig, name: &str, x: TensorId) -> Result<TensorId, GraphError> {
    let moments = g.moments(&format!("{name}.moments"), x)?;
    let channels = g.shape(moments).dims()[1];
    let group = match config.norm_name {
        NormName::Instance { .. } => 1,
        NormName::Group { num_groups, .. } => channels / num_groups.max(1),
        NormName::Batch { .. } => {
            return Err(GraphError::new(
                "norm_name \"batch\" needs statistics over many scans, which this program does not run. Use a model \
                 trained with norm_name \"instance\" or \"group\"",
            ));
        }
    };
    let affine = config.norm_name.affine().then(|| {
        let gamma = g.parameter(&format!("{name}.weight"), [channels]);
        (gamma, g.parameter(&format!("{name}.bias"), [channels]))
    });
    g.norm_parameters(name, moments, group, affine)
}

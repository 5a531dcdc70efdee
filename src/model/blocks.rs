//! The convolutional blocks of the decoder.
//!
//! `UnetResBlock`: `lrelu(IN(conv2(lrelu(IN(conv1 x)))) + r)` with `r = x`, or `IN(conv3 x)` where the channels change.
//! `UnetBasicBlock`: the same without `r`. A block's end stays unmerged ([`BlockEnd`]) so that the head can merge it.
//! Source: MONAI `UnetResBlock`, `UnetBasicBlock`.

use super::config::{NormName, UnetrConfig};
use crate::graph::{Graph, GraphError, Layout, TensorId};
use crate::kernels::conv3d::{Convolved, Source};
use crate::kernels::residual::BlockEnd;

/// A convolution block on one or two plain inputs (their channels follow one another).
pub(super) fn conv_block(
    g: &mut Graph,
    config: &UnetrConfig,
    name: &str,
    inputs: &[TensorId],
    out: usize,
) -> Result<BlockEnd, GraphError> {
    g.scope(name, |g| {
        let channels: usize = inputs.iter().map(|&x| g.shape(x).dims()[1]).sum();
        let projected = config.res_block && channels != out;
        let sources: Vec<Source> = inputs.iter().map(|&x| Source::plain(x)).collect();
        let w1 = weight(g, "conv1", out, channels, 3);
        let w3 = projected.then(|| weight(g, "conv3", out, channels, 1));
        let (u1, shortcut) = g.conv3d("conv1", &sources, w1, w3)?;
        let norm1 = norm(g, config, "norm1", u1)?;
        let w2 = weight(g, "conv2", out, out, 3);
        let activated = Source { x: u1.y, norm: Some(norm1) };
        let (u2, _) = g.conv3d("conv2", &[activated], w2, None)?;
        let norm2 = norm(g, config, "norm2", u2)?;
        let r = match shortcut {
            Some(r) => Some((r.y, Some(norm(g, config, "norm3", r)?))),
            None if config.res_block => Some((inputs[0], None)),
            None => None,
        };
        Ok(BlockEnd { u: (u2.y, norm2), r })
    })
}

/// The transposed convolution that doubles each axis.
pub(super) fn up(g: &mut Graph, name: &str, x: TensorId, out: usize) -> Result<TensorId, GraphError> {
    let channels = g.shape(x).dims()[1];
    let shape = [channels, out, 2, 2, 2];
    let w = g.matrix_parameter(&format!("{name}.conv.weight"), shape, Layout::Natural);
    g.conv_transpose3d(name, x, w)
}

fn weight(g: &mut Graph, name: &str, out: usize, channels: usize, side: usize) -> TensorId {
    let shape = [out, channels, side, side, side];
    g.matrix_parameter(&format!("{name}.conv.weight"), shape, Layout::TapMajor)
}

fn norm(g: &mut Graph, config: &UnetrConfig, name: &str, x: Convolved) -> Result<TensorId, GraphError> {
    let channels = g.shape(x.moments).dims()[1];
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
    g.norm_parameters(name, x.moments, group, affine)
}

//! The network as the paper's figure 1 draws it: hidden states of the transformer, brought to each scale by transposed
//! convolutions, and a decoder that doubles its way up and takes them in. Source: MONAI `UNETR.forward`.

use super::blocks::{conv_block, up};
use super::config::{SKIP_LAYERS, UnetrConfig};
use super::dropout::{DropoutOptions, Sites};
use super::vit::vit;
use crate::graph::{Graph, GraphError, Layout, TensorId};
use crate::kernels::lazy::Lazy;

/// The tensors of a network in a graph.
pub struct Network {
    /// The window, `(N, C, X, Y, Z)`.
    pub input: TensorId,
    /// The end of `decoder2`, from which the head makes logits.
    pub end: Lazy,
    /// `out.conv.conv.weight` and `.bias`.
    pub out: (TensorId, TensorId),
    /// The tensors that MONAI's modules of these names give, for comparison with a reference.
    pub stages: Vec<(String, TensorId)>,
    /// Number of the step `(1)`, where values are dropped: what is dropped changes with it.
    pub dropout_step: Option<TensorId>,
}

/// Adds the network to `g` for windows of `config.img_size` in batches of `batch`.
///
/// # Errors
/// [`GraphError`] if the configuration asks for a norm that is not built.
pub fn unetr(g: &mut Graph, config: &UnetrConfig, batch: usize) -> Result<Network, GraphError> {
    unetr_with_dropout(g, config, batch, None)
}

/// The network as it is trained with dropout.
///
/// # Errors
/// As [`unetr`]; also if the rate is not in [0, 1).
pub fn unetr_with_dropout(
    g: &mut Graph,
    config: &UnetrConfig,
    batch: usize,
    dropout: Option<DropoutOptions>,
) -> Result<Network, GraphError> {
    let [x, y, z] = config.img_size;
    let f = config.feature_size;
    let input = g.input("input", [batch, config.in_channels, x, y, z]);
    let mut sites = Sites::new(g, dropout);
    let encoded = vit(g, config, input, &mut sites)?;
    let mut stages = vec![("vit.patch_embedding".to_owned(), encoded.embedded)];
    stages.extend(SKIP_LAYERS.iter().map(|i| (format!("vit.blocks.{i}"), encoded.hidden[*i])));
    stages.push(("vit".to_owned(), encoded.normed));

    let grid = config.grid();
    let skip = |g: &mut Graph, i: usize| {
        g.transpose(&format!("proj_feat.{}", SKIP_LAYERS[i]), encoded.hidden[SKIP_LAYERS[i]], &grid)
    };
    let (x2, x3, x4) = (skip(g, 0)?, skip(g, 1)?, skip(g, 2)?);
    let enc4 = up(g, "encoder4.transp_conv_init", x4, 8 * f)?;
    let bottleneck = g.transpose("proj_feat", encoded.normed, &grid)?;
    let dec4 = stage(g, config, 5, bottleneck, enc4, 8 * f)?;
    let enc3 = encoder(g, config, 3, x3, 4 * f, 1)?;
    let dec3 = stage(g, config, 4, dec4, enc3, 4 * f)?;
    let enc2 = encoder(g, config, 2, x2, 2 * f, 2)?;
    let dec2 = stage(g, config, 3, dec3, enc2, 2 * f)?;
    // Last, so that the largest tensors do not wait through the rest of the network.
    let enc1 = g.segment(|g| {
        let end = conv_block(g, config, "encoder1.layer", &[input], f)?;
        g.store("encoder1", &end)
    })?;
    let end = g.segment(|g| decoder(g, config, 2, dec2, enc1, f))?;

    let made = [("encoder1", enc1), ("encoder2", enc2), ("encoder3", enc3), ("encoder4", enc4)];
    stages.extend(made.map(|(name, t)| (name.to_owned(), t)));
    let made = [("decoder5", dec4), ("decoder4", dec3), ("decoder3", dec2)];
    stages.extend(made.map(|(name, t)| (name.to_owned(), t)));
    let w = g.matrix_parameter("out.conv.conv.weight", [config.out_channels, f, 1, 1, 1], Layout::TapMajor);
    let b = g.parameter("out.conv.conv.bias", [config.out_channels]);
    Ok(Network { input, end, out: (w, b), stages, dropout_step: sites.step() })
}

/// `UnetrPrUpBlock`: up, then `doublings` times up again, each followed by a block if `conv_block` says so.
fn encoder(
    g: &mut Graph,
    config: &UnetrConfig,
    number: usize,
    x: TensorId,
    out: usize,
    doublings: usize,
) -> Result<TensorId, GraphError> {
    g.scope(&format!("encoder{number}"), |g| {
        let mut x = up(g, "transp_conv_init", x, out)?;
        for i in 0..doublings {
            if config.conv_block {
                x = g.segment(|g| {
                    let x = up(g, &format!("blocks.{i}.0"), x, out)?;
                    let end = conv_block(g, config, &format!("blocks.{i}.1"), &[x], out)?;
                    g.store(&format!("blocks.{i}"), &end)
                })?;
            } else {
                x = up(g, &format!("blocks.{i}"), x, out)?;
            }
        }
        Ok(x)
    })
}

/// A whole `UnetrUpBlock`.
fn stage(
    g: &mut Graph,
    config: &UnetrConfig,
    number: usize,
    x: TensorId,
    skip: TensorId,
    out: usize,
) -> Result<TensorId, GraphError> {
    g.segment(|g| {
        let end = decoder(g, config, number, x, skip, out)?;
        g.store(&format!("decoder{number}"), &end)
    })
}

/// `UnetrUpBlock` without its end: up, then a block on (upsampled, skip).
fn decoder(
    g: &mut Graph,
    config: &UnetrConfig,
    number: usize,
    x: TensorId,
    skip: TensorId,
    out: usize,
) -> Result<Lazy, GraphError> {
    g.scope(&format!("decoder{number}"), |g| {
        let x = up(g, "transp_conv", x, out)?;
        conv_block(g, config, "conv_block", &[x, skip], out)
    })
}

//! The encoder: a vision transformer with pre-norm blocks.
//!
//! `z = E x + E_pos`; twelve times `z = z + Attn(LN(z))`, `z = z + MLP(LN(z))`; the bottleneck is `LN(z)`. The skips are
//! the raw outputs of blocks 3, 6 and 9 counted from 0. Source: MONAI `ViT`, `TransformerBlock`; paper section 3.1.

use super::config::{NUM_LAYERS, PATCH_SIZE, ProjType, UnetrConfig};
use super::dropout::Sites;
use crate::graph::{Graph, GraphError, Layout, TensorId};

/// Token tensors `(N, L, H)` of the encoder.
pub(super) struct Encoded {
    /// After the embedding.
    pub embedded: TensorId,
    /// After each block.
    pub hidden: Vec<TensorId>,
    /// After the final norm.
    pub normed: TensorId,
}

pub(super) fn vit(g: &mut Graph, config: &UnetrConfig, x: TensorId, sites: &mut Sites) -> Result<Encoded, GraphError> {
    g.scope("vit", |g| {
        let embedded = patch_embedding(g, config, x, sites)?;
        let mut hidden = Vec::with_capacity(NUM_LAYERS);
        let mut z = embedded;
        for block in 0..NUM_LAYERS {
            z = g.segment(|g| g.scope(&format!("blocks.{block}"), |g| transformer_block(g, config, z, sites)))?;
            hidden.push(z);
        }
        let normed = layer_norm(g, config, "norm", z)?;
        Ok(Encoded { embedded, hidden, normed })
    })
}

fn patch_embedding(
    g: &mut Graph,
    config: &UnetrConfig,
    x: TensorId,
    sites: &mut Sites,
) -> Result<TensorId, GraphError> {
    g.scope("patch_embedding", |g| {
        let (h, c, p) = (config.hidden_size, config.in_channels, PATCH_SIZE);
        let position = g.parameter("position_embeddings", [1, config.tokens(), h]);
        let perceptron = config.proj_type == ProjType::Perceptron;
        let (w, b) = if perceptron {
            let w = g.matrix_parameter("patch_embeddings.1.weight", [h, config.patch_values()], Layout::Natural);
            (w, g.parameter("patch_embeddings.1.bias", [h]))
        } else {
            let w = g.matrix_parameter("patch_embeddings.weight", [h, c, p, p, p], Layout::Natural);
            (w, g.parameter("patch_embeddings.bias", [h]))
        };
        let patches = g.patchify("patches", x, PATCH_SIZE, perceptron)?;
        let embedded = g.linear("", patches, w, Some(b), false, Some(position))?;
        sites.drop(g, "dropout", embedded)
    })
}

fn transformer_block(
    g: &mut Graph,
    config: &UnetrConfig,
    z: TensorId,
    sites: &mut Sites,
) -> Result<TensorId, GraphError> {
    let (h, mlp) = (config.hidden_size, config.mlp_dim);
    let normed = layer_norm(g, config, "norm1", z)?;
    let z = g.scope("attn", |g| {
        let w = g.matrix_parameter("qkv.weight", [3 * h, h], Layout::Natural);
        let b = config.qkv_bias.then(|| g.parameter("qkv.bias", [3 * h]));
        let qkv = g.linear("qkv", normed, w, b, false, None)?;
        let (o, _) = g.attention("attention", qkv, config.num_heads, sites.next())?;
        last(g, "out_proj", o, (h, h), z, ("drop_output", sites))
    })?;
    let normed = layer_norm(g, config, "norm2", z)?;
    g.scope("mlp", |g| {
        let inner = linear(g, "linear1", normed, (mlp, h), true, None)?;
        let inner = sites.drop(g, "drop1", inner)?;
        last(g, "linear2", inner, (h, mlp), z, ("drop2", sites))
    })
}

/// The linear layer before a residual, which it adds itself unless its own result is dropped first.
fn last(
    g: &mut Graph,
    name: &str,
    x: TensorId,
    shape: (usize, usize),
    residual: TensorId,
    (drop, sites): (&str, &mut Sites),
) -> Result<TensorId, GraphError> {
    let Some((mask, step)) = sites.next() else {
        return linear(g, name, x, shape, false, Some(residual));
    };
    let y = linear(g, name, x, shape, false, None)?;
    g.dropout(drop, y, step, mask, Some(residual))
}

/// A linear layer with bias, weight of `shape` (out, in).
fn linear(
    g: &mut Graph,
    name: &str,
    x: TensorId,
    shape: (usize, usize),
    gelu: bool,
    residual: Option<TensorId>,
) -> Result<TensorId, GraphError> {
    let w = g.matrix_parameter(&format!("{name}.weight"), [shape.0, shape.1], Layout::Natural);
    let b = g.parameter(&format!("{name}.bias"), [shape.0]);
    g.linear(name, x, w, Some(b), gelu, residual)
}

fn layer_norm(g: &mut Graph, config: &UnetrConfig, name: &str, z: TensorId) -> Result<TensorId, GraphError> {
    let w = g.parameter(&format!("{name}.weight"), [config.hidden_size]);
    let b = g.parameter(&format!("{name}.bias"), [config.hidden_size]);
    g.layer_norm(name, z, w, b)
}

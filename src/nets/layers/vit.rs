//! The vision transformer with pre-norm blocks that UNETR and SETR share.
//!
//! `z = E x + E_pos`; for each block `z = z + Attn(LN(z))`, `z = z + MLP(LN(z))`; the result is `LN(z)`. Source: MONAI `ViT`,
//! `PatchEmbeddingBlock`, `TransformerBlock`; Hatamizadeh et al., arXiv 2103.10504, section 3.1.

use serde::{Deserialize, Serialize};

use super::super::builder::Net;
use super::super::network::Stage;
use super::super::parameter::{Init, Kind};
use super::linear::{Linear, layer_norm, linear};
use crate::graph::{GraphError, Layout, TensorId};

/// The patch embedding's operator; both compute the same map from different weight layouts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProjType {
    /// A convolution with kernel and stride 16: weight (H, C, 16, 16, 16).
    #[default]
    Conv,
    /// A linear layer on flattened patches, channel fastest: weight (H, 16 * 16 * 16 * C).
    Perceptron,
}

/// Sizes of a vision transformer.
#[derive(Clone, Copy, Debug)]
pub struct Vit {
    /// Voxels of a patch along each axis.
    pub patch_size: usize,
    /// Width of a token, H.
    pub hidden_size: usize,
    /// Width inside the MLP.
    pub mlp_dim: usize,
    pub num_layers: usize,
    pub num_heads: usize,
    /// Whether the query, key and value projection has a bias.
    pub qkv_bias: bool,
    /// Layout of the patch embedding's weight.
    pub proj_type: ProjType,
}

/// Token tensors `(N, L, H)`.
pub struct Encoded {
    /// What the patches' linear layer gives, before the position table is added.
    pub patches: Stage,
    /// After the embedding.
    pub embedded: TensorId,
    /// After each block.
    pub hidden: Vec<TensorId>,
    /// After the final norm.
    pub normed: TensorId,
    /// Tokens along X, Y, Z.
    pub grid: [usize; 3],
}

/// The transformer under the name `vit`, on windows `x`.
///
/// # Errors
/// [`GraphError`] if the window is no multiple of the patch.
pub fn vit(n: &mut Net, config: &Vit, x: TensorId) -> Result<Encoded, GraphError> {
    n.scope("vit", |n| {
        let grid = match *n.graph().shape(x).dims() {
            [_, _, x, y, z] => [x, y, z].map(|size| size / config.patch_size.max(1)),
            _ => return Err(GraphError::new("a window has five axes")),
        };
        let (embedded, patches) = patch_embedding(n, config, x, grid)?;
        let mut hidden = Vec::with_capacity(config.num_layers);
        let mut z = embedded;
        for block in 0..config.num_layers {
            z = n.segment(|n| n.scope(&format!("blocks.{block}"), |n| transformer_block(n, config, z)))?;
            hidden.push(z);
        }
        let normed = layer_norm(n, "norm", z)?;
        Ok(Encoded { patches, embedded, hidden, normed, grid })
    })
}

fn patch_embedding(n: &mut Net, config: &Vit, x: TensorId, grid: [usize; 3]) -> Result<(TensorId, Stage), GraphError> {
    n.scope("patch_embedding", |n| {
        let (h, c, p) = (config.hidden_size, n.channels(x), config.patch_size);
        let fan_in = p.pow(3) * c;
        let tokens: usize = grid.iter().product();
        let position = n.vector("position_embeddings", [1, tokens, h], Kind::Position, Init::Normal(0.02));
        let (w, b) = match config.proj_type {
            ProjType::Perceptron => (
                n.matrix("patch_embeddings.1.weight", [h, fan_in], Layout::Natural, Init::Normal(0.02)),
                n.vector("patch_embeddings.1.bias", [h], Kind::Bias, Init::Constant(0.0)),
            ),
            ProjType::Conv => (
                n.matrix("patch_embeddings.weight", [h, c, p, p, p], Layout::Natural, Init::Uniform { fan_in }),
                n.vector("patch_embeddings.bias", [h], Kind::Bias, Init::Uniform { fan_in }),
            ),
        };
        let patches = n.graph().patchify("patches", x, p, config.proj_type == ProjType::Perceptron)?;
        let embedded = n.graph().linear("", patches, w, Some(b), false, Some(position))?;
        let (dropout, g) = n.dropout();
        let stage = Stage::Linear { x: patches, weight: w, bias: b };
        Ok((dropout.drop(g, "dropout", embedded)?, stage))
    })
}

fn transformer_block(n: &mut Net, config: &Vit, z: TensorId) -> Result<TensorId, GraphError> {
    let (h, mlp) = (config.hidden_size, config.mlp_dim);
    let normed = layer_norm(n, "norm1", z)?;
    let z = n.scope("attn", |n| {
        let qkv = linear(n, "qkv", normed, Linear { no_bias: !config.qkv_bias, ..Linear::new(3 * h) })?;
        let (dropout, g) = n.dropout();
        let (o, _) = g.attention("attention", qkv, config.num_heads, dropout.next())?;
        last(n, "out_proj", o, h, z, "drop_output")
    })?;
    let normed = layer_norm(n, "norm2", z)?;
    n.scope("mlp", |n| {
        let inner = linear(n, "linear1", normed, Linear { gelu: true, ..Linear::new(mlp) })?;
        let (dropout, g) = n.dropout();
        let inner = dropout.drop(g, "drop1", inner)?;
        last(n, "linear2", inner, h, z, "drop2")
    })
}

/// The linear layer before a residual, which it adds itself unless its own result is dropped first.
fn last(
    n: &mut Net,
    name: &str,
    x: TensorId,
    out: usize,
    residual: TensorId,
    drop: &str,
) -> Result<TensorId, GraphError> {
    let Some((mask, step)) = n.dropout().0.next() else {
        return linear(n, name, x, Linear { residual: Some(residual), ..Linear::new(out) });
    };
    let y = linear(n, name, x, Linear::new(out))?;
    n.graph().dropout(drop, y, step, mask, Some(residual))
}

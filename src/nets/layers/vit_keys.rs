//! What MONAI's versions call the tensors of their vision transformer.
//!
//! | MONAI | unused tensors |
//! | --- | --- |
//! | 0.6 to 0.8 | class token |
//! | 0.9 to 1.3 | none |
//! | 1.4, 1.5 | cross-attention and its norm in every block |
//! | 1.6 | the norm of the cross-attention |
//!
//! Source: `state_dict()` of each version. 1.6.1 does refuse a dict without `norm_cross_attn` under `strict=True`.

use super::super::dialect::{DialectError, MonaiVersion, Shapes, Undetermined, Unused};
use super::vit::{ProjType, Vit};
use crate::fields::Section;

/// Every vision transformer of MONAI has it.
pub(in crate::nets) const ANCHOR: &str = "vit.patch_embedding.position_embeddings";

/// What shapes tell of a transformer: all but its heads (0).
pub(in crate::nets) struct Found {
    pub vit: Vit,
    pub in_channels: usize,
    pub tokens: usize,
}

/// Reads the transformer off its shapes.
pub(in crate::nets) fn infer(shapes: &Shapes, patch_size: usize) -> Result<Found, DialectError> {
    let embedding = "vit.patch_embedding";
    let linear = format!("{embedding}.patch_embeddings.1.weight");
    let volume = patch_size.pow(3);
    let (proj_type, in_channels) = if shapes.has(&linear) {
        let values = shapes.axis(&linear, 1, 2)?;
        if values % volume != 0 {
            let p = patch_size;
            let problem =
                format!("its {values} inputs are no multiple of {p} * {p} * {p}; only patches of {p} are supported");
            return Err(DialectError::Tensor { name: linear, problem });
        }
        (ProjType::Perceptron, values / volume)
    } else {
        (ProjType::Conv, shapes.axis(&format!("{embedding}.patch_embeddings.weight"), 1, 5)?)
    };
    let blocks = (0..).take_while(|block| shapes.has(&format!("vit.blocks.{block}.norm1.weight")));
    let vit = Vit {
        patch_size,
        hidden_size: shapes.axis("vit.norm.weight", 0, 1)?,
        mlp_dim: shapes.axis("vit.blocks.0.mlp.linear1.weight", 0, 2)?,
        num_layers: blocks.count(),
        num_heads: 0,
        qkv_bias: shapes.has("vit.blocks.0.attn.qkv.bias") || shapes.has("vit.blocks.0.attn.to_q.bias"),
        proj_type,
    };
    Ok(Found { vit, in_channels, tokens: shapes.axis(ANCHOR, 1, 3)? })
}

/// Whether the file holds a transformer and nothing else of a network.
pub(in crate::nets) fn is_encoder(shapes: &Shapes) -> bool {
    let encoder = ["patch_embedding.position_embeddings", "patch_embedding.pos_embed", "pos_embed"];
    shapes.names().any(|name| encoder.iter().any(|end| name.ends_with(end)))
}

/// What is told of such a file.
pub(in crate::nets) fn encoder_only() -> String {
    "it is only the transformer encoder, as pre-training saves it; the decoder's weights are not in it".to_owned()
}

/// The fields that only the caller can know, among those that `given` does not have.
pub(in crate::nets) fn undetermined(found: &Found, given: &Section<'_>) -> Result<Vec<Undetermined>, DialectError> {
    if let Some(slip) = ["img_size", "num_heads", "norm_name"].iter().find_map(|key| given.slip(key)) {
        return Err(DialectError::Config(slip.into()));
    }
    let mut fields = Vec::new();
    let mut ask = |field: &str, hint: String| {
        if !given.has(field) {
            fields.push(Undetermined { field: format!("network.{field}"), hint });
        }
    };
    let (tokens, patch) = (found.tokens, found.vit.patch_size);
    let side = (1..=tokens).take_while(|side| side.saturating_pow(3) <= tokens).last().unwrap_or(0);
    let cube = match side.saturating_pow(3) == tokens {
        true => format!(", as in [{0}, {0}, {0}]", side.saturating_mul(patch)),
        false => String::new(),
    };
    ask("img_size", format!("voxels along X, Y, Z, multiples of {patch} with {tokens} patches together{cube}"));
    let hidden = found.vit.hidden_size;
    let usual = if hidden == 768 { "; 12 is usual" } else { "" };
    ask("num_heads", format!("attention heads, a divisor of {hidden}{usual}"));
    Ok(fields)
}

/// Checks that an image size has the checkpoint's number of patches.
pub(in crate::nets) fn check_tokens(found: &Found, img_size: [usize; 3]) -> Result<(), DialectError> {
    let patch = found.vit.patch_size;
    let tokens = img_size.iter().try_fold(1usize, |n, &size| n.checked_mul(size / patch));
    if tokens == Some(found.tokens) {
        return Ok(());
    }
    let problem =
        format!("{img_size:?} does not have the checkpoint's {} patches of {patch} x {patch} x {patch}", found.tokens);
    Err(DialectError::Contradiction { field: "img_size".to_owned(), problem })
}

/// Query, key and value, where they are kept apart.
pub(in crate::nets) fn parts(parameter: &str) -> Vec<String> {
    match parameter.split_once(".attn.qkv.") {
        Some((block, kind)) => ["to_q", "to_k", "to_v"].map(|part| format!("{block}.attn.{part}.{kind}")).to_vec(),
        None => Vec::new(),
    }
}

/// Whether some version stores `name` without using it.
pub(in crate::nets) fn is_unused(name: &str) -> bool {
    if let Some(rest) = name.strip_prefix("vit.blocks.") {
        let part = rest.split_once('.').map_or("", |(_, part)| part);
        return part.starts_with("cross_attn.") || part.starts_with("norm_cross_attn.");
    }
    name == "vit.patch_embedding.cls_token"
}

/// The tensors that `version` stores without using them.
pub(in crate::nets) fn unused(vit: &Vit, version: MonaiVersion) -> Vec<Unused> {
    let mut list = Vec::new();
    let mut push = |name: String, shape: &[usize], value| list.push(Unused { name, shape: shape.to_vec(), value });
    let h = vit.hidden_size;
    let cross_attention = version == MonaiVersion::V1_4;
    for block in 0..vit.num_layers {
        let block = format!("vit.blocks.{block}");
        if cross_attention || version == MonaiVersion::V1_6 {
            push(format!("{block}.norm_cross_attn.weight"), &[h], 1.0);
            push(format!("{block}.norm_cross_attn.bias"), &[h], 0.0);
        }
        if cross_attention {
            push(format!("{block}.cross_attn.out_proj.weight"), &[h, h], 0.0);
            push(format!("{block}.cross_attn.out_proj.bias"), &[h], 0.0);
            for part in ["to_q", "to_k", "to_v"] {
                push(format!("{block}.cross_attn.{part}.weight"), &[h, h], 0.0);
                if vit.qkv_bias {
                    push(format!("{block}.cross_attn.{part}.bias"), &[h], 0.0);
                }
            }
        }
    }
    if version == MonaiVersion::V0_6 {
        push("vit.patch_embedding.cls_token".into(), &[1, 1, h], 0.0);
    }
    list
}

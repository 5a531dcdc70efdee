//! UNETR in MONAI 0.6 to 1.6: how it is known by its tensors, and what versions store without using it.
//!
//! Shapes tell everything but the number of heads, how the tokens are laid out in space, and (with affine norms) whether
//! channels are normalised in groups. Those are asked for, never guessed. MONAI 0.6 to 0.8 store a projection (and its norm)
//! in every residual block, needed or not; see also the vision transformer's keys. Source: `state_dict()` of each version.

use super::UnetrConfig;
use super::config::{NUM_LAYERS, PATCH_SIZE};
use crate::fields::Section;
use crate::nets::config::ConfigError;
use crate::nets::dialect::{Dialect, DialectError, MonaiVersion, Shapes, Undetermined, Unused, check_given};
use crate::nets::layers::norm::NormName;
use crate::nets::layers::vit_keys;
use crate::nets::network::{Architecture, Network};

/// Modules in the order in which MONAI registers them.
pub(super) const MODULES: &[&str] = &[
    "vit",
    "encoder1",
    "encoder2",
    "encoder3",
    "encoder4",
    "decoder5",
    "decoder4",
    "decoder3",
    "decoder2",
    "out",
    "patch_embedding",
    "position_embeddings",
    "patch_embeddings",
    "transp_conv_init",
    "transp_conv",
    "blocks",
    "conv_block",
    "mlp",
    "linear1",
    "linear2",
    "layer",
    "conv1",
    "conv2",
    "norm1",
    "attn",
    "out_proj",
    "qkv",
    "norm2",
    "conv3",
    "norm3",
    "norm",
    "weight",
    "bias",
    "running_mean",
    "running_var",
];

/// MONAI's names.
pub struct Monai;

impl Dialect for Monai {
    fn anchors(&self) -> &'static [&'static str] {
        &[vit_keys::ANCHOR]
    }

    fn recognise(&self, shapes: &Shapes) -> bool {
        shapes.has("encoder1.layer.conv1.conv.weight")
    }

    fn near_miss(&self, shapes: &Shapes) -> Option<String> {
        vit_keys::is_encoder(shapes).then(vit_keys::encoder_only)
    }

    fn out_channels(&self, shapes: &Shapes) -> Result<usize, DialectError> {
        shapes.axis("out.conv.conv.weight", 0, 5)
    }

    fn infer(&self, shapes: &Shapes, given: &Section<'_>) -> Result<Architecture, DialectError> {
        let found = vit_keys::infer(shapes, PATCH_SIZE)?;
        let norm = "decoder5.conv_block.norm1";
        let affine = shapes.has(&format!("{norm}.weight"));
        let batch = shapes.has(&format!("{norm}.running_mean"));
        if found.vit.num_layers != NUM_LAYERS {
            let problem = format!("it has {} transformer blocks, UNETR has {NUM_LAYERS}", found.vit.num_layers);
            return Err(DialectError::Other { problem });
        }
        let mut open = vit_keys::undetermined(&found, given)?;
        if affine && !batch && !given.has("norm_name") {
            let hint = r#"["instance", {"affine": true}] or ["group", {"num_groups": ...}]"#;
            open.push(Undetermined { field: "network.norm_name".to_owned(), hint: hint.to_owned() });
        }
        if !open.is_empty() {
            return Err(DialectError::Undetermined(open));
        }
        let norm_name = if batch { NormName::Batch { affine } } else { NormName::Instance { affine } };
        let network = UnetrConfig {
            in_channels: found.in_channels,
            out_channels: self.out_channels(shapes)?,
            img_size: given.required("img_size").map_err(ConfigError::from)?,
            patch_size: PATCH_SIZE,
            feature_size: shapes.axis("encoder1.layer.conv1.conv.weight", 0, 5)?,
            hidden_size: found.vit.hidden_size,
            mlp_dim: found.vit.mlp_dim,
            num_heads: given.required("num_heads").map_err(ConfigError::from)?,
            num_layers: found.vit.num_layers,
            qkv_bias: found.vit.qkv_bias,
            conv_block: shapes.has("encoder2.blocks.0.1.conv1.conv.weight"),
            res_block: shapes.has("decoder5.conv_block.conv3.conv.weight"),
            proj_type: found.vit.proj_type,
            norm_name: given.or("norm_name", norm_name).map_err(ConfigError::from)?,
        };
        vit_keys::check_tokens(&found, network.img_size)?;
        // Equal norms can be spelled differently; the tensors' names decide whether it fits.
        check_given(given, &network.arguments(), &["norm_name"])?;
        Ok(Architecture::new(network)?)
    }

    fn parts(&self, parameter: &str) -> Vec<String> {
        vit_keys::parts(parameter)
    }
}

/// Whether some MONAI stores `name` for this network without using it.
pub(super) fn is_unused(network: &UnetrConfig, name: &str) -> bool {
    vit_keys::is_unused(name)
        || identity_blocks(network).iter().any(|(block, _)| {
            let part = name.strip_prefix(block).unwrap_or_default();
            part.starts_with(".conv3.") || part.starts_with(".norm3.")
        })
}

/// The tensors that `version` stores without using them.
pub(super) fn unused(network: &UnetrConfig, version: MonaiVersion) -> Vec<Unused> {
    let mut list = vit_keys::unused(&network.vit(), version);
    if version != MonaiVersion::V0_6 {
        return list;
    }
    let mut push = |name: String, shape: &[usize], value| list.push(Unused { name, shape: shape.to_vec(), value });
    for (block, channels) in identity_blocks(network) {
        push(format!("{block}.conv3.conv.weight"), &[channels, channels, 1, 1, 1], 0.0);
        if network.norm_name.affine() {
            push(format!("{block}.norm3.weight"), &[channels], 1.0);
            push(format!("{block}.norm3.bias"), &[channels], 0.0);
        }
        if let NormName::Batch { .. } = network.norm_name {
            push(format!("{block}.norm3.running_mean"), &[channels], 0.0);
            push(format!("{block}.norm3.running_var"), &[channels], 1.0);
        }
    }
    list
}

/// Residual blocks that keep their channels, whose residual is the identity.
fn identity_blocks(network: &UnetrConfig) -> Vec<(&'static str, usize)> {
    let f = network.feature_size;
    let mut blocks = Vec::new();
    if !network.res_block {
        return blocks;
    }
    if network.in_channels == f {
        blocks.push(("encoder1.layer", f));
    }
    if network.conv_block {
        blocks.extend([("encoder2.blocks.0.1", 2 * f), ("encoder2.blocks.1.1", 2 * f), ("encoder3.blocks.0.1", 4 * f)]);
    }
    blocks
}

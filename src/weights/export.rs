//! Packages to plain state dicts, and the tensors that some MONAI versions store and never use.
//!
//! `load_state_dict(strict=True)` wants exactly the keys of the MONAI that loads, and versions differ in tensors
//! that UNETR never executes. Those are written with the values of a fresh module (norms 1 and 0, the rest 0).
//!
//! | MONAI | unused tensors |
//! | --- | --- |
//! | 0.6 to 0.8 | class token; a projection (and its norm) in every residual block, needed or not |
//! | 0.9 to 1.3 | none |
//! | 1.4, 1.5 | cross-attention and its norm in every transformer block |
//! | 1.6 | the norm of the cross-attention |
//!
//! # Source
//! `state_dict()` of each version. 1.6.1 does refuse a dict without `norm_cross_attn` under `strict=True`.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::dtype::{Dtype, FloatType};
use super::error::{WeightsError, quoted};
use super::package::Package;
use super::safetensors::{Tensors, TensorsBuilder};
use crate::model::config::{NUM_LAYERS, NormName, UnetrConfig};
use crate::model::names;

/// Versions of MONAI that differ in their UNETR's keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MonaiVersion {
    /// 0.6 to 0.8.
    V0_6,
    /// 0.9 to 1.3.
    V0_9,
    /// 1.4 and 1.5.
    V1_4,
    /// 1.6 and later.
    #[default]
    V1_6,
}

impl FromStr for MonaiVersion {
    type Err = String;

    /// Reads a version number such as `1.3` or `1.5.0`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('.').map(|part| part.parse::<u32>().ok());
        match (parts.next().flatten(), parts.next().flatten()) {
            (Some(0), Some(6..=8)) => Ok(Self::V0_6),
            (Some(0), Some(9..)) | (Some(1), Some(0..=3)) => Ok(Self::V0_9),
            (Some(1), Some(4 | 5)) => Ok(Self::V1_4),
            (Some(1), Some(6..)) | (Some(2..), _) => Ok(Self::V1_6),
            _ => Err(format!("{} is no version of MONAI with a UNETR: use 0.6 to 1.6", quoted(text))),
        }
    }
}

/// The package's weights as a safetensors state dict for one MONAI version.
///
/// # Errors
/// A weight beyond the range of `dtype`.
pub fn export(package: &Package, version: MonaiVersion, dtype: FloatType) -> Result<Tensors, WeightsError> {
    let network = &package.metadata().network;
    let mut file = TensorsBuilder::new();
    for spec in names::parameters(network) {
        let tensor = package.tensors().get(&spec.name);
        let tensor = tensor
            .ok_or_else(|| WeightsError::MissingTensor { name: quoted(&spec.name), shape: spec.shape.clone() })?;
        file.push(&spec.name, dtype.dtype(), &spec.shape, &tensor.to_bytes(dtype)?)?;
    }
    for unused in unused(network, version) {
        let count = unused.shape.iter().product();
        file.push_f32(&unused.name, &unused.shape, &vec![unused.value; count], dtype)?;
    }
    if let NormName::Batch { .. } = network.norm_name {
        let tracked = names::parameters(network)
            .into_iter()
            .filter_map(|spec| Some(format!("{}.num_batches_tracked", spec.name.strip_suffix(".running_var")?)));
        for name in tracked {
            file.push(&name, Dtype::I64, &[], &0i64.to_le_bytes())?;
        }
    }
    file.finish(&BTreeMap::from([("format".to_string(), "pt".to_string())]))
}

/// A tensor that is stored and never used, with the value a fresh module has.
struct Unused {
    name: String,
    shape: Vec<usize>,
    value: f32,
}

fn unused(network: &UnetrConfig, version: MonaiVersion) -> Vec<Unused> {
    let mut list = Vec::new();
    let mut push = |name: String, shape: &[usize], value| list.push(Unused { name, shape: shape.to_vec(), value });
    let h = network.hidden_size;
    let cross_attention = version == MonaiVersion::V1_4;
    for block in 0..NUM_LAYERS {
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
                if network.qkv_bias {
                    push(format!("{block}.cross_attn.{part}.bias"), &[h], 0.0);
                }
            }
        }
    }
    if version == MonaiVersion::V0_6 {
        push("vit.patch_embedding.cls_token".into(), &[1, 1, h], 0.0);
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

/// Whether some MONAI stores `name` for this network without using it. Its presence means nothing: an old file has
/// a projection in blocks whose residual is the identity.
pub(super) fn is_unused(network: &UnetrConfig, name: &str) -> bool {
    if let Some(rest) = name.strip_prefix("vit.blocks.") {
        let part = rest.split_once('.').map_or("", |(_, part)| part);
        return part.starts_with("cross_attn.") || part.starts_with("norm_cross_attn.");
    }
    if name == "vit.patch_embedding.cls_token" {
        return true;
    }
    if matches!(network.norm_name, NormName::Batch { .. }) && name.ends_with(".num_batches_tracked") {
        return true;
    }
    identity_blocks(network).iter().any(|(block, _)| {
        let part = name.strip_prefix(block).unwrap_or_default();
        part.starts_with(".conv3.") || part.starts_with(".norm3.")
    })
}

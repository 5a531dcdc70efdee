//! What defines a Swin UNETR: the arguments of MONAI's `SwinUNETR`, in three dimensions, and which voxels its merging of patches
//! joins, which MONAI's versions differ in. Source: `monai/networks/nets/swin_unetr.py` (0.8 to 1.6.1); Hatamizadeh et al., arXiv
//! 2201.01266; He et al., "SwinUNETR-V2", MICCAI 2023.

use serde::{Deserialize, Serialize};

use crate::fields::Section;
use crate::kernels::patch_merging::Corners;
use crate::nets::config::{ConfigError, MOST_CLASSES, PerAxis, check_dims, check_range};
use crate::nets::layers::norm::NormName;
use crate::nets::network::{Architecture, MAX_SIDE, MAX_TENSOR_BYTES};

/// `network.type`.
pub(super) const KIND: &str = "SwinUNETR";

/// MONAI's for abdominal organs: 62.2 million parameters.
pub(in crate::nets) const PUBLISHED: &str = r#"{"in_channels": 1, "out_channels": 14, "feature_size": 48}"#;

/// Stages of the transformer, each of which halves the grid.
pub(super) const STAGES: usize = 4;
/// Voxels of a patch along each axis: the decoder's last doubling undoes it.
pub(super) const PATCH_SIZE: usize = 2;
/// The window's axes are multiples of the patch times the stages' halvings.
pub(super) const MULTIPLE: usize = PATCH_SIZE << STAGES;

/// Which module merges patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Downsample {
    /// `PatchMerging`.
    Merging,
    /// `PatchMergingV2`.
    MergingV2,
}

/// Which MONAI's `PatchMerging`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum MergingVersion {
    /// Up to 1.4: two of eight voxels are joined twice and two never.
    #[serde(rename = "1.4")]
    V1_4,
    /// From 1.5 on: each voxel once.
    #[serde(rename = "1.5")]
    V1_5,
}

impl<'de> Deserialize<'de> for MergingVersion {
    /// A version of MONAI: `1.4`, `1.6.1`.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut parts = text.split('.').map(|part| part.parse::<u32>().ok());
        match (parts.next().flatten(), parts.next().flatten()) {
            (Some(0), Some(_)) | (Some(1), Some(0..=4)) => Ok(Self::V1_4),
            (Some(1), Some(_)) | (Some(2..), _) => Ok(Self::V1_5),
            _ => {
                Err(serde::de::Error::custom(format!("\"{text}\" is no version of MONAI, such as \"1.4\" or \"1.5\"")))
            }
        }
    }
}

/// The arguments of MONAI's `SwinUNETR`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SwinUnetrConfig {
    /// Axes of a volume, always 3.
    pub spatial_dims: usize,
    /// Channels of the image.
    pub in_channels: usize,
    /// Channels of the logits.
    pub out_channels: usize,
    /// Voxels along X, Y, Z that it was trained on, which older MONAIs ask for: the window taken where nobody chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub img_size: Option<[usize; 3]>,
    /// Voxels of a patch along each axis, always 2.
    pub patch_size: usize,
    /// Transformer blocks of each stage; every second one moves its windows.
    pub depths: [usize; STAGES],
    /// Attention heads of each stage.
    pub num_heads: [usize; STAGES],
    /// Tokens of a window along X, Y, Z.
    pub window_size: [usize; 3],
    /// Whether the query, key and value projection has a bias.
    pub qkv_bias: bool,
    /// Width inside the MLP, in widths of a token.
    pub mlp_ratio: f64,
    /// Channels of the finest level, f, and width of the first stage's tokens; coarser ones have 2f, 4f, 8f, 16f.
    pub feature_size: usize,
    /// Normalisation in the encoders' and decoders' convolution blocks.
    pub norm_name: NormName,
    /// Share of the values dropped in training after the embedding, the attention's projection and in the MLP.
    pub drop_rate: f64,
    /// Share of the attention weights dropped in training.
    pub attn_drop_rate: f64,
    /// Share of samples for which the last block's branches are dropped in training; earlier blocks have less.
    pub dropout_path_rate: f64,
    /// Whether hidden states are normalised over their channels before the decoder takes them.
    pub normalize: bool,
    /// Whether the embedding is normalised.
    pub patch_norm: bool,
    /// The module that merges patches.
    pub downsample: Downsample,
    /// The MONAI whose `merging` it is; of `mergingv2` there is one.
    pub merging_version: MergingVersion,
    /// Whether a residual convolution block stands before each stage.
    pub use_v2: bool,
}

/// The corners of a cell in the order in which a module joins them.
fn corners(downsample: Downsample, version: MergingVersion) -> Corners {
    match (downsample, version) {
        (Downsample::MergingV2, _) => {
            [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 1, 1]]
        }
        (Downsample::Merging, MergingVersion::V1_5) => {
            [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]]
        }
        (Downsample::Merging, MergingVersion::V1_4) => {
            [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 1]]
        }
    }
}

impl SwinUnetrConfig {
    /// Reads the arguments; MONAI's defaults fill what is absent.
    ///
    /// # Errors
    /// One is missing, of a wrong type or out of its range.
    pub fn read(arguments: &Section<'_>) -> Result<Architecture, ConfigError> {
        // How it is computed, not what.
        arguments.or("use_checkpoint", false)?;
        arguments.or("use_flash_attention", false)?;
        if arguments.or("use_hyena", false)? {
            let rule = "attention alone is built";
            return Err(ConfigError::value("use_hyena", true, rule, "there is no way to run this network here"));
        }
        Architecture::new(Self {
            spatial_dims: arguments.or("spatial_dims", 3)?,
            in_channels: arguments.required("in_channels")?,
            out_channels: arguments.required("out_channels")?,
            img_size: arguments.or::<Option<PerAxis>>("img_size", None)?.map(PerAxis::each),
            patch_size: arguments.or("patch_size", PATCH_SIZE)?,
            depths: arguments.or("depths", [2; STAGES])?,
            num_heads: arguments.or("num_heads", [3, 6, 12, 24])?,
            window_size: arguments.or("window_size", PerAxis::One(7))?.each(),
            qkv_bias: arguments.or("qkv_bias", true)?,
            mlp_ratio: arguments.or("mlp_ratio", 4.0)?,
            feature_size: arguments.or("feature_size", 24)?,
            norm_name: arguments.or("norm_name", NormName::default())?,
            drop_rate: arguments.or("drop_rate", 0.0)?,
            attn_drop_rate: arguments.or("attn_drop_rate", 0.0)?,
            dropout_path_rate: arguments.or("dropout_path_rate", 0.0)?,
            normalize: arguments.or("normalize", true)?,
            patch_norm: arguments.or("patch_norm", false)?,
            downsample: arguments.or("downsample", Downsample::Merging)?,
            merging_version: arguments.or("merging_version", MergingVersion::V1_5)?,
            use_v2: arguments.or("use_v2", false)?,
        })
    }

    /// Width of a stage's tokens.
    pub(super) fn width(&self, stage: usize) -> usize {
        self.feature_size << stage
    }

    /// Width inside a stage's MLP.
    pub(super) fn mlp_width(&self, stage: usize) -> usize {
        (self.width(stage) as f64 * self.mlp_ratio) as usize
    }

    /// The corners of a cell in the order in which they are joined.
    pub(super) fn corners(&self) -> Corners {
        corners(self.downsample, self.merging_version)
    }

    /// Channels of the largest tensor, counted as if it had the window's voxels.
    pub(super) fn widest(&self) -> usize {
        let tokens = self.feature_size.saturating_mul(3).max(self.mlp_width(0)).div_ceil(PATCH_SIZE.pow(3));
        self.feature_size.max(self.in_channels).max(self.out_channels).max(tokens)
    }

    /// Checks every argument, so that every size derived from them is exact on 32-bit targets.
    ///
    /// # Errors
    /// The first that breaks a rule.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        check_dims(self.spatial_dims)?;
        if self.patch_size != PATCH_SIZE {
            let rule = "the decoder's last doubling undoes it";
            return Err(ConfigError::value("patch_size", self.patch_size, rule, format!("use {PATCH_SIZE}")));
        }
        check_range("in_channels", self.in_channels, 256)?;
        check_range("out_channels", self.out_channels, MOST_CLASSES)?;
        check_range("feature_size", self.feature_size, 240)?;
        if !self.feature_size.is_multiple_of(12) {
            let near = self.feature_size.next_multiple_of(12);
            return Err(ConfigError::value(
                "feature_size",
                self.feature_size,
                "it is a multiple of 12",
                format!("use {near}"),
            ));
        }
        for (axis, &size) in self.window_size.iter().enumerate() {
            check_range(&format!("window_size[{axis}]"), size, 16)?;
        }
        for (stage, (&depth, &heads)) in self.depths.iter().zip(&self.num_heads).enumerate() {
            check_range(&format!("depths[{stage}]"), depth, 64)?;
            let (field, width) = (format!("num_heads[{stage}]"), self.width(stage));
            check_range(&field, heads, width)?;
            if !width.is_multiple_of(heads) {
                let rule = format!("it must divide the stage's width {width}");
                return Err(ConfigError::value(field, heads, &rule, "give the heads it was trained with"));
            }
        }
        let rates = [
            ("drop_rate", self.drop_rate),
            ("attn_drop_rate", self.attn_drop_rate),
            ("dropout_path_rate", self.dropout_path_rate),
        ];
        if let Some((field, rate)) = rates.into_iter().find(|(_, rate)| !(0.0..1.0).contains(rate)) {
            return Err(ConfigError::value(field, rate, "it must be in [0, 1)", "use 0"));
        }
        if let NormName::Group { num_groups, .. } = self.norm_name
            && (num_groups == 0 || !self.feature_size.is_multiple_of(num_groups))
        {
            let rule = format!("num_groups must divide network.feature_size {}", self.feature_size);
            return Err(ConfigError::value("norm_name", self.norm_name.to_json(), &rule, "change num_groups"));
        }
        self.check_sizes()
    }

    /// The window, and the largest weights.
    fn check_sizes(&self) -> Result<(), ConfigError> {
        if !(1.0 / self.feature_size as f64..=64.0).contains(&self.mlp_ratio) {
            let rule = "the MLP is at least one and at most 64 times as wide as a token";
            return Err(ConfigError::value("mlp_ratio", self.mlp_ratio, rule, "use 4"));
        }
        let f = self.feature_size as u64;
        let weights = [27 * 256 * f * f, self.width(STAGES - 1) as u64 * self.mlp_width(STAGES - 1) as u64];
        if weights.iter().any(|values| values * 4 > MAX_TENSOR_BYTES) {
            let rule = "one weight would need more than 2 GiB";
            return Err(ConfigError::value("feature_size", self.feature_size, rule, "use a smaller network"));
        }
        for (axis, &size) in self.img_size.iter().flatten().enumerate() {
            check_range(&format!("img_size[{axis}]"), size, MAX_SIDE)?;
            if !size.is_multiple_of(MULTIPLE) {
                let near = size.next_multiple_of(MULTIPLE).min(MAX_SIDE);
                let rule = format!("every axis must be a multiple of {MULTIPLE}");
                return Err(ConfigError::value(format!("img_size[{axis}]"), size, &rule, format!("use {near}")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    fn corners(arguments: &serde_json::Value) -> Result<Corners, ConfigError> {
        let map = arguments.as_object().cloned().unwrap_or_default();
        let network = SwinUnetrConfig::read(&Section::at("network", &map))?;
        let section = network.to_json();
        // What it says of itself is read as the same.
        let again = SwinUnetrConfig::read(&Section::at("network", &section))?;
        assert_eq!(network, again);
        let version = section.get("merging_version").and_then(serde_json::Value::as_str);
        let downsample = section.get("downsample").and_then(serde_json::Value::as_str);
        Ok(match (downsample, version) {
            (Some("mergingv2"), _) => super::corners(Downsample::MergingV2, MergingVersion::V1_5),
            (_, Some("1.4")) => super::corners(Downsample::Merging, MergingVersion::V1_4),
            _ => super::corners(Downsample::Merging, MergingVersion::V1_5),
        })
    }

    #[test]
    fn merging_follows_the_version_of_monai() {
        let small = |more: serde_json::Value| {
            let mut arguments = json!({"in_channels": 1, "out_channels": 2, "feature_size": 12, "img_size": 64});
            arguments.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
            corners(&arguments)
        };
        let distinct = |more| small(more).expect("a network").into_iter().collect::<BTreeSet<_>>().len();
        assert_eq!(distinct(json!({})), 8);
        assert_eq!(distinct(json!({"merging_version": "1.6.1"})), 8);
        assert_eq!(distinct(json!({"merging_version": "1.3.2"})), 6);
        assert_eq!(distinct(json!({"merging_version": "0.9", "downsample": "mergingv2"})), 8);
        assert!(small(json!({"merging_version": "latest"})).is_err_and(|e| e.to_string().contains("1.5")));
        assert!(small(json!({"use_hyena": true})).is_err());
        assert!(small(json!({"img_size": 48})).is_err_and(|e| e.to_string().contains("64")));
    }
}

//! What defines a UNETR: the arguments of MONAI's `UNETR`, and the sizes that follow from them.
//!
//! Field names are MONAI's. A configuration that passes `UnetrConfig::check` describes a network whose
//! every size fits in memory arithmetic on 32-bit targets, so code that builds graphs may multiply freely.
//!
//! # Units
//! Image sizes are voxels along X, Y, Z; everything else is a count of channels or features.
//!
//! # Errors
//! [`ConfigError`] names the field, its value, the rule and what to do.
//!
//! # Source
//! MONAI `monai/networks/nets/unetr.py`; Hatamizadeh et al., "UNETR", arXiv 2103.10504.

use serde::Serialize;

use super::super::config::{ConfigError, MOST_CLASSES, check_range};
use super::super::layers::norm::NormName;
use super::super::layers::vit::{ProjType, Vit};
use super::super::network::{Architecture, MAX_SIDE, MAX_TENSOR_BYTES};
use crate::fields::Section;

/// `network.type`.
pub(super) const KIND: &str = "UNETR";

/// The paper's network.
pub(in crate::nets) const PUBLISHED: &str = r#"{"in_channels": 1, "out_channels": 14, "img_size": [96, 96, 96],
    "feature_size": 16, "hidden_size": 768, "mlp_dim": 3072, "num_heads": 12}"#;

/// Voxels of one patch along each axis: the decoder has four doublings, so no other size closes the network.
pub const PATCH_SIZE: usize = 16;
/// Transformer blocks. The skips are taken after blocks 4, 7 and 10, the bottleneck after block 12.
pub const NUM_LAYERS: usize = 12;
/// Blocks (counted from 0) whose output feeds `encoder2`, `encoder3` and `encoder4`.
pub const SKIP_LAYERS: [usize; 3] = [3, 6, 9];

/// Parameters of the largest network accepted, 40 times the standard one.
const MAX_PARAMETERS: u64 = 1 << 32;

/// The arguments of MONAI's `UNETR`. The default is the published network for 13 abdominal organs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnetrConfig {
    /// Channels of the image, C.
    pub in_channels: usize,
    /// Channels of the logits, K: classes with background (softmax) or regions (sigmoid).
    pub out_channels: usize,
    /// Voxels along X, Y, Z. The position table is made for exactly this size.
    pub img_size: [usize; 3],
    /// Voxels of a patch along each axis, always 16.
    pub patch_size: usize,
    /// Channels of the finest decoder level, f; coarser levels have 2f, 4f, 8f.
    pub feature_size: usize,
    /// Width of a token, H.
    pub hidden_size: usize,
    /// Width inside the transformer's MLP, M.
    pub mlp_dim: usize,
    /// Attention heads, each H / heads wide.
    pub num_heads: usize,
    /// Transformer blocks, always 12.
    pub num_layers: usize,
    /// Whether the query, key and value projection has a bias.
    pub qkv_bias: bool,
    /// Whether `encoder2` and `encoder3` convolve after each doubling.
    pub conv_block: bool,
    /// Whether convolution blocks have a residual connection.
    pub res_block: bool,
    /// Layout of the patch embedding's weight.
    pub proj_type: ProjType,
    /// Normalisation in the convolution blocks.
    pub norm_name: NormName,
}

impl Default for UnetrConfig {
    fn default() -> Self {
        Self {
            in_channels: 1,
            out_channels: 14,
            img_size: [96; 3],
            patch_size: PATCH_SIZE,
            feature_size: 16,
            hidden_size: 768,
            mlp_dim: 3072,
            num_heads: 12,
            num_layers: NUM_LAYERS,
            qkv_bias: false,
            conv_block: true,
            res_block: true,
            proj_type: ProjType::Conv,
            norm_name: NormName::default(),
        }
    }
}

impl UnetrConfig {
    /// Patches along X, Y, Z.
    pub fn grid(&self) -> [usize; 3] {
        self.img_size.map(|size| size / PATCH_SIZE)
    }

    /// Tokens of one image, N.
    pub fn tokens(&self) -> usize {
        self.grid().iter().product()
    }

    /// Values of one patch, 16^3 * C.
    pub fn patch_values(&self) -> usize {
        PATCH_SIZE.pow(3) * self.in_channels
    }

    /// The transformer.
    pub(super) fn vit(&self) -> Vit {
        Vit {
            patch_size: PATCH_SIZE,
            hidden_size: self.hidden_size,
            mlp_dim: self.mlp_dim,
            num_layers: NUM_LAYERS,
            num_heads: self.num_heads,
            qkv_bias: self.qkv_bias,
            proj_type: self.proj_type,
        }
    }

    /// Reads the arguments; MONAI's defaults fill what is absent, the position table's own sizes must be there.
    ///
    /// # Errors
    /// One is missing, of a wrong type or out of its range.
    pub fn read(arguments: &Section<'_>) -> Result<Architecture, ConfigError> {
        let default = Self::default();
        Architecture::new(Self {
            in_channels: arguments.required("in_channels")?,
            out_channels: arguments.required("out_channels")?,
            img_size: arguments.required("img_size")?,
            patch_size: arguments.or("patch_size", default.patch_size)?,
            feature_size: arguments.required("feature_size")?,
            hidden_size: arguments.required("hidden_size")?,
            mlp_dim: arguments.required("mlp_dim")?,
            num_heads: arguments.required("num_heads")?,
            num_layers: arguments.or("num_layers", default.num_layers)?,
            qkv_bias: arguments.or("qkv_bias", default.qkv_bias)?,
            conv_block: arguments.or("conv_block", default.conv_block)?,
            res_block: arguments.or("res_block", default.res_block)?,
            proj_type: arguments.or("proj_type", default.proj_type)?,
            norm_name: arguments.or("norm_name", default.norm_name)?,
        })
    }

    /// Checks every field, so that every size derived from them is exact on 32-bit targets.
    ///
    /// # Errors
    /// The first field that breaks a rule.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.check_ranges()?;
        for (axis, &size) in self.img_size.iter().enumerate() {
            if size % PATCH_SIZE != 0 {
                let below = size / PATCH_SIZE * PATCH_SIZE;
                let above = below + PATCH_SIZE;
                let remedy = if below == 0 { format!("use {above}") } else { format!("use {below} or {above}") };
                let rule = "every axis must be a multiple of the patch size 16";
                return Err(ConfigError::value(format!("img_size[{axis}]"), size, rule, remedy));
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_heads) {
            let rule = format!("it must divide network.hidden_size {}", self.hidden_size);
            return Err(ConfigError::value("num_heads", self.num_heads, &rule, "give the heads it was trained with"));
        }
        if let NormName::Group { num_groups, .. } = self.norm_name
            && (num_groups == 0 || !self.feature_size.is_multiple_of(num_groups))
        {
            let rule = format!("num_groups must divide network.feature_size {}", self.feature_size);
            return Err(ConfigError::value("norm_name", self.norm_name.to_json(), &rule, "change num_groups"));
        }
        self.check_sizes()
    }

    /// Fixed values, zeros and values no network has.
    fn check_ranges(&self) -> Result<(), ConfigError> {
        let fixed = [("patch_size", self.patch_size, PATCH_SIZE), ("num_layers", self.num_layers, NUM_LAYERS)];
        for (field, value, only) in fixed {
            if value != only {
                return Err(ConfigError::value(field, value, "UNETR fixes it", format!("use {only}")));
            }
        }
        let [x, y, z] = self.img_size;
        let ranges = [
            ("in_channels", self.in_channels, 256),
            ("out_channels", self.out_channels, MOST_CLASSES),
            ("img_size[0]", x, MAX_SIDE),
            ("img_size[1]", y, MAX_SIDE),
            ("img_size[2]", z, MAX_SIDE),
            ("feature_size", self.feature_size, 1024),
            ("hidden_size", self.hidden_size, 16_384),
            ("mlp_dim", self.mlp_dim, 65_536),
            ("num_heads", self.num_heads, 16_384),
        ];
        ranges.into_iter().try_for_each(|(field, value, most)| check_range(field, value, most))
    }

    /// Largest activations and weights; the ranges above keep every product far below 2^64.
    fn check_sizes(&self) -> Result<(), ConfigError> {
        let voxels: u64 = self.img_size.iter().map(|&size| size as u64).product();
        let tokens = self.tokens() as u64;
        let widest = self.feature_size.max(self.in_channels).max(self.out_channels) as u64;
        let activations = [voxels * widest, tokens * 3 * self.hidden_size as u64, tokens * self.mlp_dim as u64];
        if activations.iter().any(|values| values * 4 > MAX_TENSOR_BYTES) {
            let size = format!("{:?}", self.img_size);
            let rule = "one activation would need more than 2 GiB";
            return Err(ConfigError::value("img_size", size, rule, "use a smaller image or fewer features"));
        }
        let [hidden, mlp, feature] = [self.hidden_size, self.mlp_dim, self.feature_size].map(|size| size as u64);
        let patch = self.patch_values() as u64;
        let weights =
            [hidden * patch, hidden * mlp, 3 * hidden * hidden, 64 * hidden * feature, 27 * 128 * feature * feature];
        let total = 12 * (4 * hidden * hidden + 2 * hidden * mlp) + hidden * (patch + tokens + 240 * feature);
        if weights.iter().any(|values| values * 4 > MAX_TENSOR_BYTES) || total > MAX_PARAMETERS {
            let rule = "one weight would need more than 2 GiB or the network more than 2^32 parameters";
            return Err(ConfigError::value("hidden_size", self.hidden_size, rule, "use a smaller network"));
        }
        Ok(())
    }
}

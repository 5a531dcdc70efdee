//! What defines a UNETR: the arguments of MONAI's `UNETR`, and the sizes that follow from them.
//!
//! Field names are MONAI's. A configuration that passes [`UnetrConfig::validate`] describes a network whose
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

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

/// Voxels of one patch along each axis: the decoder has four doublings, so no other size closes the network.
pub const PATCH_SIZE: usize = 16;
/// Transformer blocks. The skips are taken after blocks 4, 7 and 10, the bottleneck after block 12.
pub const NUM_LAYERS: usize = 12;
/// Blocks (counted from 0) whose output feeds `encoder2`, `encoder3` and `encoder4`.
pub const SKIP_LAYERS: [usize; 3] = [3, 6, 9];

/// Bytes of the largest single tensor or activation accepted: what a signed 32-bit size can count.
const MAX_TENSOR_BYTES: u64 = i32::MAX as u64;
/// Parameters of the largest network accepted, 40 times the standard one.
const MAX_PARAMETERS: u64 = 1 << 32;

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

/// Normalisation inside the decoder's convolution blocks, as MONAI's `norm_name` spells it.
///
/// In JSON a string (`"instance"`) or a pair of name and options (`["group", {"num_groups": 4}]`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormName {
    /// Per sample and channel. MONAI's default has no weights.
    Instance {
        /// Whether it has a weight and a bias per channel.
        affine: bool,
    },
    /// Per sample and group of channels.
    Group {
        /// Groups the channels are divided into.
        num_groups: usize,
        /// Whether it has a weight and a bias per channel.
        affine: bool,
    },
    /// Per channel with running statistics.
    Batch {
        /// Whether it has a weight and a bias per channel.
        affine: bool,
    },
}

impl Default for NormName {
    fn default() -> Self {
        Self::Instance { affine: false }
    }
}

impl NormName {
    /// Whether each normalisation stores a weight and a bias.
    pub fn affine(self) -> bool {
        match self {
            Self::Instance { affine } | Self::Group { affine, .. } | Self::Batch { affine } => affine,
        }
    }

    /// Reads MONAI's spelling: a name, or `[name, {option: value}]`.
    ///
    /// # Errors
    /// A sentence that names the part that is not understood.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        let none = Map::new();
        let (name, options) = match value {
            Value::String(name) => (name.as_str(), &none),
            Value::Array(pair) => match pair.as_slice() {
                [Value::String(name)] => (name.as_str(), &none),
                [Value::String(name), Value::Object(options)] => (name.as_str(), options),
                _ => return Err("a list must hold a name and an object of options".into()),
            },
            _ => return Err("expected a name or a list of a name and its options".into()),
        };
        let name = name.to_ascii_lowercase();
        let known: &[&str] = if name == "group" { &["affine", "num_groups"] } else { &["affine"] };
        if let Some(other) = options.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(format!("option \"{other}\" of \"{name}\" is not supported"));
        }
        let affine = |default| match options.get("affine") {
            None => Ok(default),
            Some(Value::Bool(affine)) => Ok(*affine),
            Some(other) => Err(format!("option \"affine\" must be true or false, not {other}")),
        };
        match name.as_str() {
            "instance" | "instance_nvfuser" => Ok(Self::Instance { affine: affine(false)? }),
            "batch" => Ok(Self::Batch { affine: affine(true)? }),
            "group" => {
                let groups = options.get("num_groups").and_then(Value::as_u64);
                let num_groups = groups
                    .and_then(|groups| usize::try_from(groups).ok())
                    .ok_or("\"group\" needs the option \"num_groups\", a whole number")?;
                Ok(Self::Group { num_groups, affine: affine(true)? })
            }
            other => Err(format!("\"{other}\" is not one of instance, group, batch")),
        }
    }

    /// MONAI's spelling, without options that have their default value.
    pub fn to_json(self) -> Value {
        match self {
            Self::Instance { affine: false } => json!("instance"),
            Self::Instance { affine: true } => json!(["instance", {"affine": true}]),
            Self::Batch { affine: true } => json!("batch"),
            Self::Batch { affine: false } => json!(["batch", {"affine": false}]),
            Self::Group { num_groups, affine: true } => json!(["group", {"num_groups": num_groups}]),
            Self::Group { num_groups, affine: false } => {
                json!(["group", {"num_groups": num_groups, "affine": false}])
            }
        }
    }
}

impl Serialize for NormName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for NormName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

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

/// A field of [`UnetrConfig`] that cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("network.{field} is {value}: {rule}; {remedy}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The field, as in the model package (`img_size[1]`).
    pub field: String,
    /// Its value.
    pub value: String,
    /// The rule it breaks.
    pub rule: String,
    /// What to do about it.
    pub remedy: String,
}

impl ConfigError {
    fn new(field: impl Into<String>, value: impl ToString, rule: &str, remedy: impl Into<String>) -> Self {
        Self { field: field.into(), value: value.to_string(), rule: rule.into(), remedy: remedy.into() }
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

    /// Width of one attention head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_heads
    }

    /// Checks every field, so that every size derived from them is exact on 32-bit targets.
    ///
    /// # Errors
    /// The first field that breaks a rule.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.check_ranges()?;
        for (axis, &size) in self.img_size.iter().enumerate() {
            if size % PATCH_SIZE != 0 {
                let below = size / PATCH_SIZE * PATCH_SIZE;
                let above = below + PATCH_SIZE;
                let remedy = if below == 0 { format!("use {above}") } else { format!("use {below} or {above}") };
                let rule = "every axis must be a multiple of the patch size 16";
                return Err(ConfigError::new(format!("img_size[{axis}]"), size, rule, remedy));
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_heads) {
            let rule = format!("it must divide network.hidden_size {}", self.hidden_size);
            return Err(ConfigError::new("num_heads", self.num_heads, &rule, "give the heads it was trained with"));
        }
        if let NormName::Group { num_groups, .. } = self.norm_name
            && (num_groups == 0 || !self.feature_size.is_multiple_of(num_groups))
        {
            let rule = format!("num_groups must divide network.feature_size {}", self.feature_size);
            return Err(ConfigError::new("norm_name", self.norm_name.to_json(), &rule, "change num_groups"));
        }
        self.check_sizes()
    }

    /// Fixed values, zeros and values no network has.
    fn check_ranges(&self) -> Result<(), ConfigError> {
        let fixed = [("patch_size", self.patch_size, PATCH_SIZE), ("num_layers", self.num_layers, NUM_LAYERS)];
        for (field, value, only) in fixed {
            if value != only {
                return Err(ConfigError::new(field, value, "UNETR fixes it", format!("use {only}")));
            }
        }
        let [x, y, z] = self.img_size;
        let ranges = [
            ("in_channels", self.in_channels, 256),
            ("out_channels", self.out_channels, 256),
            ("img_size[0]", x, 2048),
            ("img_size[1]", y, 2048),
            ("img_size[2]", z, 2048),
            ("feature_size", self.feature_size, 1024),
            ("hidden_size", self.hidden_size, 16_384),
            ("mlp_dim", self.mlp_dim, 65_536),
            ("num_heads", self.num_heads, 16_384),
        ];
        for (field, value, most) in ranges {
            if value == 0 {
                return Err(ConfigError::new(field, value, "it must not be zero", format!("use 1 to {most}")));
            }
            if value > most {
                return Err(ConfigError::new(field, value, "it is too large", format!("use at most {most}")));
            }
        }
        Ok(())
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
            return Err(ConfigError::new("img_size", size, rule, "use a smaller image or fewer features"));
        }
        let [hidden, mlp, feature] = [self.hidden_size, self.mlp_dim, self.feature_size].map(|size| size as u64);
        let patch = self.patch_values() as u64;
        let weights =
            [hidden * patch, hidden * mlp, 3 * hidden * hidden, 64 * hidden * feature, 27 * 128 * feature * feature];
        let total = 12 * (4 * hidden * hidden + 2 * hidden * mlp) + hidden * (patch + tokens + 240 * feature);
        if weights.iter().any(|values| values * 4 > MAX_TENSOR_BYTES) || total > MAX_PARAMETERS {
            let rule = "one weight would need more than 2 GiB or the network more than 2^32 parameters";
            return Err(ConfigError::new("hidden_size", self.hidden_size, rule, "use a smaller network"));
        }
        Ok(())
    }
}

//! What defines a SETR: the vision transformer of MONAI's `ViT` and one of three decoders. Source: Zheng et al., CVPR 2021,
//! arXiv 2012.15840, in three dimensions as the tables of UNETR's paper use it.

use serde::{Deserialize, Serialize};

use crate::fields::Section;
use crate::nets::config::{ConfigError, MOST_CLASSES, check_range};
use crate::nets::layers::vit::{ProjType, Vit};
use crate::nets::network::{Architecture, MAX_SIDE, MAX_TENSOR_BYTES};

/// `network.type`.
pub(super) const KIND: &str = "SETR";

/// The tables' network with the decoder that costs least.
pub(in crate::nets) const PUBLISHED: &str = r#"{"decoder": "nup", "in_channels": 1, "out_channels": 14,
    "img_size": [96, 96, 96], "features": 256, "hidden_size": 768, "mlp_dim": 3072, "num_heads": 12}"#;

/// Voxels of a patch along each axis: the decoders enlarge by 16.
pub(super) const PATCH_SIZE: usize = 16;

/// From tokens to logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decoder {
    /// Two 1x1x1 convolutions, then 16 times as many voxels along each axis.
    Nup,
    /// Four times a convolution and twice as many voxels.
    Pup,
    /// Four levels of the transformer, added from the deepest upwards, concatenated.
    Mla,
}

/// The arguments of the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetrConfig {
    pub decoder: Decoder,
    /// Channels of the image.
    pub in_channels: usize,
    /// Channels of the logits.
    pub out_channels: usize,
    /// Voxels along X, Y, Z. The position table is made for exactly this size.
    pub img_size: [usize; 3],
    /// Channels of the decoder.
    pub features: usize,
    /// Width of a token.
    pub hidden_size: usize,
    /// Width inside the transformer's MLP.
    pub mlp_dim: usize,
    pub num_heads: usize,
    /// Transformer blocks, a multiple of 4.
    pub num_layers: usize,
    /// Voxels of a patch along each axis, always 16.
    pub patch_size: usize,
    /// Layout of the patch embedding's weight.
    pub proj_type: ProjType,
}

impl SetrConfig {
    /// Reads the arguments.
    ///
    /// # Errors
    /// One is missing, of a wrong type or out of its range.
    pub fn read(arguments: &Section<'_>) -> Result<Architecture, ConfigError> {
        Architecture::new(Self {
            decoder: arguments.required("decoder")?,
            in_channels: arguments.required("in_channels")?,
            out_channels: arguments.required("out_channels")?,
            img_size: arguments.required("img_size")?,
            features: arguments.required("features")?,
            hidden_size: arguments.required("hidden_size")?,
            mlp_dim: arguments.required("mlp_dim")?,
            num_heads: arguments.required("num_heads")?,
            num_layers: arguments.or("num_layers", 12)?,
            patch_size: arguments.or("patch_size", PATCH_SIZE)?,
            proj_type: arguments.or("proj_type", ProjType::Conv)?,
        })
    }

    /// The transformer.
    pub(super) fn vit(&self) -> Vit {
        Vit {
            patch_size: PATCH_SIZE,
            hidden_size: self.hidden_size,
            mlp_dim: self.mlp_dim,
            num_layers: self.num_layers,
            num_heads: self.num_heads,
            qkv_bias: false,
            proj_type: self.proj_type,
        }
    }

    /// Checks every argument, so that every size derived from them is exact on 32-bit targets.
    ///
    /// # Errors
    /// The first that breaks a rule.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let [x, y, z] = self.img_size;
        let ranges = [
            ("in_channels", self.in_channels, 256),
            ("out_channels", self.out_channels, MOST_CLASSES),
            ("img_size[0]", x, MAX_SIDE),
            ("img_size[1]", y, MAX_SIDE),
            ("img_size[2]", z, MAX_SIDE),
            ("features", self.features, 4096),
            ("hidden_size", self.hidden_size, 16_384),
            ("mlp_dim", self.mlp_dim, 65_536),
            ("num_heads", self.num_heads, 16_384),
            ("num_layers", self.num_layers, 96),
        ];
        ranges.into_iter().try_for_each(|(field, value, most)| check_range(field, value, most))?;
        if self.patch_size != PATCH_SIZE {
            return Err(ConfigError::value("patch_size", self.patch_size, "the decoders enlarge by 16", "use 16"));
        }
        if !self.num_layers.is_multiple_of(4) {
            let rule = "the decoder takes four levels of equal distance";
            return Err(ConfigError::value("num_layers", self.num_layers, rule, "use a multiple of 4"));
        }
        if let Some(axis) = (0..3).find(|&a| !self.img_size[a].is_multiple_of(PATCH_SIZE)) {
            let (size, above) = (self.img_size[axis], self.img_size[axis].next_multiple_of(PATCH_SIZE));
            let rule = "every axis must be a multiple of the patch size 16";
            return Err(ConfigError::value(format!("img_size[{axis}]"), size, rule, format!("use {above}")));
        }
        if !self.hidden_size.is_multiple_of(self.num_heads) {
            let rule = format!("it must divide network.hidden_size {}", self.hidden_size);
            return Err(ConfigError::value("num_heads", self.num_heads, &rule, "give the heads it was trained with"));
        }
        self.check_sizes()
    }

    fn check_sizes(&self) -> Result<(), ConfigError> {
        let voxels: u64 = self.img_size.iter().map(|&size| size as u64).product();
        let [hidden, mlp, features] = [self.hidden_size, self.mlp_dim, self.features].map(|size| size as u64);
        let channels = self.in_channels.max(self.out_channels) as u64;
        let tokens = voxels >> 12;
        // The last of four doublings is at full size where the decoder is PUP, at a quarter where it is MLA.
        let decoded = match self.decoder {
            Decoder::Nup => tokens * features,
            Decoder::Pup => voxels * features,
            Decoder::Mla => voxels / 64 * 4 * features,
        };
        if [voxels * channels, tokens * 3 * hidden, tokens * mlp, decoded].iter().any(|v| v * 4 > MAX_TENSOR_BYTES) {
            let size = format!("{:?}", self.img_size);
            let rule = "one activation would need more than 2 GiB";
            return Err(ConfigError::value("img_size", size, rule, "use a smaller image or fewer features"));
        }
        let patch = (PATCH_SIZE.pow(3) * self.in_channels) as u64;
        let weights =
            [hidden * patch, hidden * mlp, 3 * hidden * hidden, 27 * hidden * features, 27 * features * features];
        if weights.iter().any(|values| values * 4 > MAX_TENSOR_BYTES) {
            let rule = "one weight would need more than 2 GiB";
            return Err(ConfigError::value("hidden_size", self.hidden_size, rule, "use a smaller network"));
        }
        Ok(())
    }
}

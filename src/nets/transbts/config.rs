//! What defines a TransBTS: the arguments of its authors' class. Source: Wang et al., MICCAI 2021, arXiv 2103.04430.

use serde::Serialize;

use crate::fields::Section;
use crate::nets::config::{ConfigError, MOST_CLASSES, check_range};
use crate::nets::network::{Architecture, MAX_SIDE, MAX_TENSOR_BYTES};

/// `network.type`.
pub(super) const KIND: &str = "TransBTS";

/// The paper's, for BraTS: 33.0 million parameters.
pub(in crate::nets) const PUBLISHED: &str = r#"{"img_dim": 128, "num_channels": 4, "num_classes": 4, "embedding_dim": 512,
    "num_heads": 8, "num_layers": 4, "hidden_dim": 4096, "dropout_rate": 0.1, "attn_dropout_rate": 0.1}"#;

/// Voxels of a token along each axis: three strides of 2.
pub(super) const PATCH_DIM: usize = 8;
/// Channels of the finest level, one part in so many of a token's width.
const WIDTHS: usize = 32;
/// Groups of the encoder's norms.
pub(super) const GROUPS: usize = 8;

/// The arguments of the network.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TransBtsConfig {
    /// Voxels along each axis. The position table is made for exactly this size.
    pub img_dim: usize,
    /// Voxels of a token along each axis, always 8.
    pub patch_dim: usize,
    /// Channels of the image.
    pub num_channels: usize,
    /// Channels of the logits.
    pub num_classes: usize,
    /// Width of a token, a multiple of 256; the finest level has a 32nd of it as channels.
    pub embedding_dim: usize,
    pub num_heads: usize,
    pub num_layers: usize,
    /// Width inside the transformer's MLP.
    pub hidden_dim: usize,
    /// Share of the transformer's values dropped in training.
    pub dropout_rate: f64,
    /// Share of the attention's weights, and of its projection's values, dropped in training.
    pub attn_dropout_rate: f64,
}

impl TransBtsConfig {
    /// Reads the arguments; the class's defaults fill what is absent.
    ///
    /// # Errors
    /// One is missing, of a wrong type or out of its range.
    pub fn read(arguments: &Section<'_>) -> Result<Architecture, ConfigError> {
        if !arguments.or("conv_patch_representation", true)? {
            let rule = "tokens are made by convolutions alone";
            return Err(ConfigError::value("conv_patch_representation", false, rule, "use true"));
        }
        let positions = arguments.or("positional_encoding_type", "learned".to_owned())?;
        if positions != "learned" {
            let rule = "positions are learned alone";
            return Err(ConfigError::value("positional_encoding_type", format!("{positions:?}"), rule, "use learned"));
        }
        Architecture::new(Self {
            img_dim: arguments.required("img_dim")?,
            patch_dim: arguments.or("patch_dim", PATCH_DIM)?,
            num_channels: arguments.required("num_channels")?,
            num_classes: arguments.required("num_classes")?,
            embedding_dim: arguments.required("embedding_dim")?,
            num_heads: arguments.required("num_heads")?,
            num_layers: arguments.required("num_layers")?,
            hidden_dim: arguments.required("hidden_dim")?,
            dropout_rate: arguments.or("dropout_rate", 0.0)?,
            attn_dropout_rate: arguments.or("attn_dropout_rate", 0.0)?,
        })
    }

    /// Channels of a level, the finest being 0.
    pub(super) fn channels(&self, level: usize) -> usize {
        (self.embedding_dim / WIDTHS) << level
    }

    /// Tokens along each axis.
    pub(super) fn grid(&self) -> [usize; 3] {
        [self.img_dim / PATCH_DIM; 3]
    }

    /// Checks every argument, so that every size derived from them is exact on 32-bit targets.
    ///
    /// # Errors
    /// The first that breaks a rule.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let ranges = [
            ("img_dim", self.img_dim, MAX_SIDE),
            ("num_channels", self.num_channels, 256),
            ("num_classes", self.num_classes, MOST_CLASSES),
            ("embedding_dim", self.embedding_dim, 8192),
            ("num_heads", self.num_heads, 8192),
            ("num_layers", self.num_layers, 96),
            ("hidden_dim", self.hidden_dim, 65_536),
        ];
        ranges.into_iter().try_for_each(|(field, value, most)| check_range(field, value, most))?;
        if self.patch_dim != PATCH_DIM {
            return Err(ConfigError::value("patch_dim", self.patch_dim, "the encoder halves three times", "use 8"));
        }
        if !self.img_dim.is_multiple_of(PATCH_DIM) {
            let above = self.img_dim.next_multiple_of(PATCH_DIM);
            let rule = "it must be a multiple of the patch size 8";
            return Err(ConfigError::value("img_dim", self.img_dim, rule, format!("use {above}")));
        }
        if !self.embedding_dim.is_multiple_of(WIDTHS * GROUPS) {
            let rule = "the finest level has a 32nd of it as channels, in 8 groups";
            return Err(ConfigError::value("embedding_dim", self.embedding_dim, rule, "use a multiple of 256"));
        }
        if !self.embedding_dim.is_multiple_of(self.num_heads) {
            let rule = format!("it must divide network.embedding_dim {}", self.embedding_dim);
            return Err(ConfigError::value("num_heads", self.num_heads, &rule, "give the heads it was trained with"));
        }
        for (field, rate) in [("dropout_rate", self.dropout_rate), ("attn_dropout_rate", self.attn_dropout_rate)] {
            if !(0.0..1.0).contains(&rate) {
                return Err(ConfigError::value(field, rate, "it must be in [0, 1)", "use 0"));
            }
        }
        let voxels = (self.img_dim as u64).pow(3);
        let [width, hidden] = [self.embedding_dim, self.hidden_dim].map(|size| size as u64);
        let tokens = voxels / 512;
        let fine = voxels * self.num_channels.max(self.num_classes).max(self.channels(0)) as u64;
        if [fine, tokens * 3 * width, tokens * hidden].iter().any(|values| values * 4 > MAX_TENSOR_BYTES) {
            let rule = "one activation would need more than 2 GiB";
            return Err(ConfigError::value("img_dim", self.img_dim, rule, "use a smaller image or width"));
        }
        if [27 * width * width / 4, hidden * width].iter().any(|values| values * 4 > MAX_TENSOR_BYTES) {
            let rule = "one weight would need more than 2 GiB";
            return Err(ConfigError::value("embedding_dim", self.embedding_dim, rule, "use a smaller network"));
        }
        Ok(())
    }
}

//! What defines a BasicUNet: the arguments of MONAI's `BasicUNet`, in three dimensions. Source: `monai/networks/nets/basic_unet.py`
//! (1.6.1).

use serde::Serialize;

use crate::fields::Section;
use crate::nets::config::{ConfigError, MOST_CLASSES, check_dims, check_dropout, check_range};
use crate::nets::layers::act::ActName;
use crate::nets::layers::norm::NormName;
use crate::nets::network::{Architecture, MAX_TENSOR_BYTES};

/// `network.type`.
pub(super) const KIND: &str = "BasicUNet";

/// MONAI's default: 5.75 million parameters.
pub(in crate::nets) const PUBLISHED: &str = r#"{"in_channels": 1, "out_channels": 2}"#;

/// The arguments of MONAI's `BasicUNet`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BasicUNetConfig {
    /// Axes of a volume, always 3.
    pub spatial_dims: usize,
    /// Channels of the image.
    pub in_channels: usize,
    /// Channels of the logits.
    pub out_channels: usize,
    /// Channels of the five levels, the finest first, and of the last block on the way up.
    pub features: [usize; 6],
    pub act: ActName,
    pub norm: NormName,
    /// Whether convolutions before a norm have a bias.
    pub bias: bool,
    /// Share of the values dropped in training.
    pub dropout: f64,
    /// How levels are enlarged, always `deconv`: by a transposed convolution.
    pub upsample: String,
}

impl BasicUNetConfig {
    /// Reads the arguments; MONAI's defaults fill what is absent.
    ///
    /// # Errors
    /// One is of a wrong type or out of its range.
    pub fn read(arguments: &Section<'_>) -> Result<Architecture, ConfigError> {
        let leaky = ActName::LeakyRelu { negative_slope: 0.1 };
        Architecture::new(Self {
            spatial_dims: arguments.or("spatial_dims", 3)?,
            in_channels: arguments.or("in_channels", 1)?,
            out_channels: arguments.or("out_channels", 2)?,
            features: arguments.or("features", [32, 32, 64, 128, 256, 32])?,
            act: arguments.or("act", leaky)?,
            norm: arguments.or("norm", NormName::Instance { affine: true })?,
            bias: arguments.or("bias", true)?,
            dropout: arguments.or("dropout", 0.0)?,
            upsample: arguments.or("upsample", "deconv".to_owned())?,
        })
    }

    /// Channels of the largest tensor, counted as if it had the window's voxels.
    pub(super) fn widest(&self) -> usize {
        let level = |(i, c): (usize, &usize)| c.div_ceil(1 << (3 * i));
        let levels = self.features[..5].iter().enumerate().map(level).max().unwrap_or(1);
        // The finest level's enlarged channels are those of the level below.
        levels.max(self.features[1]).max(self.features[5]).max(self.in_channels).max(self.out_channels)
    }

    /// Checks every argument, so that every size derived from them is exact on 32-bit targets.
    ///
    /// # Errors
    /// The first that breaks a rule.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        check_dims(self.spatial_dims)?;
        check_range("in_channels", self.in_channels, 256)?;
        check_range("out_channels", self.out_channels, MOST_CLASSES)?;
        for (i, &channels) in self.features.iter().enumerate() {
            check_range(&format!("features[{i}]"), channels, 2048)?;
        }
        // The three lower steps up halve their channels.
        if let Some(i) = (2..5).find(|&i| self.features[i] < 2) {
            let rule = "half of it is the number of enlarged channels";
            return Err(ConfigError::value(format!("features[{i}]"), self.features[i], rule, "use at least 2"));
        }
        if self.upsample != "deconv" {
            let rule = "only \"deconv\" is built, a transposed convolution";
            return Err(ConfigError::value("upsample", format!("{:?}", self.upsample), rule, "use deconv"));
        }
        check_dropout(self.dropout)?;
        self.norm.check("norm", &self.features)?;
        self.act.check("act", &self.features)?;
        let most = self.features.iter().max().map_or(0, |c| *c as u64);
        if 4 * 2 * most * most * 27 > MAX_TENSOR_BYTES {
            let (rule, value) = ("one weight would need more than 2 GiB", format!("{:?}", self.features));
            return Err(ConfigError::value("features", value, rule, "use a smaller network"));
        }
        Ok(())
    }
}

//! What defines a SegResNet: the arguments of MONAI's `SegResNet`, in three dimensions. Source:
//! `monai/networks/nets/segresnet.py` (1.6.1).

use serde::Serialize;
use serde_json::Value;

use crate::fields::Section;
use crate::nets::config::{ConfigError, MOST_CLASSES, check_range};
use crate::nets::layers::act::ActName;
use crate::nets::layers::norm::NormName;
use crate::nets::network::{Architecture, MAX_TENSOR_BYTES};

/// `network.type`.
pub(super) const KIND: &str = "SegResNet";

/// MONAI's segmentation of brain tumours: 4.7 million parameters.
pub(in crate::nets) const PUBLISHED: &str = r#"{"init_filters": 16, "in_channels": 4, "out_channels": 3, "dropout_prob": 0.2,
    "blocks_down": [1, 2, 2, 4], "blocks_up": [1, 1, 1]}"#;

/// How a level is brought to twice its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UpsampleMode {
    /// Trilinear, without aligned corners.
    Nontrainable,
    /// A transposed convolution of 2x2x2 with bias.
    Deconv,
}

impl UpsampleMode {
    /// Reads MONAI's spelling, for the argument `field`.
    pub(in crate::nets) fn read(arguments: &Section<'_>, field: &str, default: Self) -> Result<Self, ConfigError> {
        let Some(value) = arguments.or::<Option<Value>>(field, None)? else {
            return Ok(default);
        };
        match value.as_str() {
            Some("nontrainable") => Ok(Self::Nontrainable),
            Some("deconv") => Ok(Self::Deconv),
            Some("pixelshuffle" | "deconvgroup") => {
                Err(ConfigError::value(field, value, "this mode is not built", "use nontrainable or deconv"))
            }
            _ => Err(ConfigError::value(field, value, "it is no mode of enlargement", "use nontrainable or deconv")),
        }
    }
}

/// The arguments of MONAI's `SegResNet`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SegResNetConfig {
    /// Axes of a volume, always 3.
    pub spatial_dims: usize,
    /// Channels of the finest level; each below has twice as many.
    pub init_filters: usize,
    /// Channels of the image.
    pub in_channels: usize,
    /// Channels of the output convolution.
    pub out_channels: usize,
    /// Share of the first convolution's channels dropped in training.
    pub dropout_prob: Option<f64>,
    pub act: ActName,
    pub norm: NormName,
    /// Whether it ends with norm, activation and the output convolution; else with the finest level's channels.
    pub use_conv_final: bool,
    /// Residual blocks of each level on the way down, the finest first.
    pub blocks_down: Vec<usize>,
    /// Residual blocks of each level on the way up, the coarsest first.
    pub blocks_up: Vec<usize>,
    /// How levels are enlarged.
    pub upsample_mode: UpsampleMode,
}

impl SegResNetConfig {
    /// Reads the arguments; MONAI's defaults fill what is absent. `norm_name` and `num_groups` are older spellings of `norm`.
    ///
    /// # Errors
    /// One is missing, of a wrong type or out of its range.
    pub fn read(arguments: &Section<'_>) -> Result<Architecture, ConfigError> {
        let group = |num_groups| NormName::Group { num_groups, affine: true };
        let mut norm = arguments.or("norm", group(8))?;
        let (name, num_groups) = (arguments.or("norm_name", String::new())?, arguments.or("num_groups", 8)?);
        match name.to_ascii_lowercase().as_str() {
            "" => {}
            "group" => norm = group(num_groups),
            _ => {
                let value = format!("{name:?}");
                return Err(ConfigError::value(
                    "norm_name",
                    value,
                    "this older argument knows group alone",
                    "use norm",
                ));
            }
        }
        Architecture::new(Self {
            spatial_dims: arguments.or("spatial_dims", 3)?,
            init_filters: arguments.or("init_filters", 8)?,
            in_channels: arguments.or("in_channels", 1)?,
            out_channels: arguments.or("out_channels", 2)?,
            dropout_prob: arguments.or("dropout_prob", None)?,
            act: arguments.or("act", ActName::Relu)?,
            norm,
            use_conv_final: arguments.or("use_conv_final", true)?,
            blocks_down: arguments.or("blocks_down", vec![1, 2, 2, 4])?,
            blocks_up: arguments.or("blocks_up", vec![1, 1, 1])?,
            upsample_mode: UpsampleMode::read(arguments, "upsample_mode", UpsampleMode::Nontrainable)?,
        })
    }

    /// Channels of a level, the finest being 0.
    pub(super) fn filters(&self, level: usize) -> usize {
        self.init_filters << level
    }

    /// Checks every argument, so that every size derived from them is exact on 32-bit targets.
    ///
    /// # Errors
    /// The first that breaks a rule.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        check_dims(self.spatial_dims)?;
        check_range("in_channels", self.in_channels, 256)?;
        check_range("out_channels", self.out_channels, MOST_CLASSES)?;
        check_levels(self.init_filters, &self.blocks_down)?;
        check_blocks("blocks_up", &self.blocks_up, self.blocks_down.len() - 1)?;
        if self.dropout_prob.is_some_and(|rate| !(0.0..1.0).contains(&rate)) {
            let value = self.dropout_prob.unwrap_or_default();
            return Err(ConfigError::value("dropout_prob", value, "it must be in [0, 1)", "use 0 or null"));
        }
        check_norm(self.norm, self.init_filters)?;
        check_act(self.act, self.init_filters, self.blocks_down.len())
    }
}

/// Volumes have three axes.
pub(in crate::nets) fn check_dims(spatial_dims: usize) -> Result<(), ConfigError> {
    match spatial_dims {
        3 => Ok(()),
        _ => {
            let rule = "this program has three-dimensional networks alone";
            Err(ConfigError::value("spatial_dims", spatial_dims, rule, "use 3"))
        }
    }
}

/// Levels on the way down, each with twice the channels of the one above.
pub(in crate::nets) fn check_levels(init_filters: usize, blocks_down: &[usize]) -> Result<(), ConfigError> {
    check_range("init_filters", init_filters, 4096)?;
    let levels = blocks_down.len();
    if !(1..=8).contains(&levels) {
        let value = format!("a list of {levels}");
        return Err(ConfigError::value("blocks_down", value, "1 to 8 levels are possible", "give one number a level"));
    }
    check_blocks("blocks_down", blocks_down, levels)?;
    let most = (init_filters as u64) << (levels - 1);
    if most * most * 27 * 4 > MAX_TENSOR_BYTES {
        let rule =
            format!("the lowest of {levels} levels has {most} channels, and one weight would need more than 2 GiB");
        return Err(ConfigError::value("init_filters", init_filters, &rule, "use fewer filters or levels"));
    }
    Ok(())
}

/// So many levels of a sensible number of blocks.
pub(in crate::nets) fn check_blocks(field: &str, blocks: &[usize], levels: usize) -> Result<(), ConfigError> {
    if blocks.len() != levels {
        let (value, rule) = (format!("a list of {}", blocks.len()), "it needs one number for each level".to_owned());
        return Err(ConfigError::value(field, value, &rule, format!("give {levels} numbers")));
    }
    match blocks.iter().position(|count| *count > 32) {
        Some(i) => {
            Err(ConfigError::value(format!("{field}[{i}]"), blocks[i], "these are too many blocks", "use at most 32"))
        }
        None => Ok(()),
    }
}

/// Groups divide the finest level's channels, and so all others'.
pub(in crate::nets) fn check_norm(norm: NormName, init_filters: usize) -> Result<(), ConfigError> {
    match norm {
        NormName::Group { num_groups, .. } if num_groups == 0 || !init_filters.is_multiple_of(num_groups) => {
            let rule = format!("num_groups must divide network.init_filters {init_filters}");
            Err(ConfigError::value("norm", norm.to_json(), &rule, "change num_groups"))
        }
        _ => Ok(()),
    }
}

/// One activation serves levels of all widths, so that its trained slopes are one.
pub(in crate::nets) fn check_act(act: ActName, init_filters: usize, levels: usize) -> Result<(), ConfigError> {
    match act {
        ActName::Prelu { num_parameters, .. }
            if num_parameters != 1 && (levels > 1 || num_parameters != init_filters) =>
        {
            let rule = "its layers have different numbers of channels";
            Err(ConfigError::value("act", act.to_json(), rule, "use one slope"))
        }
        _ => Ok(()),
    }
}

//! What defines a UNet: the arguments of MONAI's `UNet`, in three dimensions. Source: `monai/networks/nets/unet.py` (1.6.1).

use serde::Serialize;

use crate::fields::Section;
use crate::nets::config::{ConfigError, MOST_CLASSES, PerAxis, check_dims, check_dropout, check_kernel, check_range};
use crate::nets::layers::act::ActName;
use crate::nets::layers::norm::NormName;
use crate::nets::network::{Architecture, MAX_TENSOR_BYTES};

/// `network.type`.
pub(super) const KIND: &str = "UNet";

/// MONAI's spleen segmentation: 4.8 million parameters.
pub(in crate::nets) const PUBLISHED: &str = r#"{"in_channels": 1, "out_channels": 2, "channels": [16, 32, 64, 128, 256],
    "strides": [2, 2, 2, 2], "num_res_units": 2, "norm": "batch"}"#;

/// The arguments of MONAI's `UNet`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UNetConfig {
    /// Axes of a volume, always 3.
    pub spatial_dims: usize,
    /// Channels of the image.
    pub in_channels: usize,
    /// Channels of the logits.
    pub out_channels: usize,
    /// Channels of each level, the finest first, the bottom last.
    pub channels: Vec<usize>,
    /// Strides from each level to the next, along X, Y, Z.
    pub strides: Vec<[usize; 3]>,
    /// Extents of the convolutions' kernels.
    pub kernel_size: [usize; 3],
    /// Extents of the transposed convolutions' kernels.
    pub up_kernel_size: [usize; 3],
    /// Convolutions in a residual unit; 0 for plain convolutions.
    pub num_res_units: usize,
    pub act: ActName,
    pub norm: NormName,
    /// Share of the normalised values that training drops before they are activated.
    pub dropout: f64,
    /// Whether convolutions have a bias.
    pub bias: bool,
    /// Order of norm, dropout and activation, always `NDA`.
    pub adn_ordering: String,
}

impl UNetConfig {
    /// Reads the arguments; MONAI's defaults fill what is absent.
    ///
    /// # Errors
    /// One is missing, of a wrong type or out of its range.
    pub fn read(arguments: &Section<'_>) -> Result<Architecture, ConfigError> {
        Architecture::new(Self {
            spatial_dims: arguments.or("spatial_dims", 3)?,
            in_channels: arguments.required("in_channels")?,
            out_channels: arguments.required("out_channels")?,
            channels: arguments.required("channels")?,
            strides: arguments.required::<Vec<PerAxis>>("strides")?.into_iter().map(PerAxis::each).collect(),
            kernel_size: arguments.or("kernel_size", PerAxis::One(3))?.each(),
            up_kernel_size: arguments.or("up_kernel_size", PerAxis::One(3))?.each(),
            num_res_units: arguments.or("num_res_units", 0)?,
            act: arguments.or("act", ActName::default())?,
            norm: arguments.or("norm", NormName::default())?,
            dropout: arguments.or("dropout", 0.0)?,
            bias: arguments.or("bias", true)?,
            adn_ordering: arguments.or("adn_ordering", "NDA".to_owned())?,
        })
    }

    /// Product of the strides down to each level, voxel for voxel: `[1, ..]` for the window itself.
    pub(super) fn scales(&self) -> Vec<[usize; 3]> {
        let mut scales = vec![[1; 3]];
        for stride in &self.strides {
            let last = scales.last().copied().unwrap_or([1; 3]);
            scales.push([0, 1, 2].map(|a| last[a] * stride[a]));
        }
        scales
    }

    /// Channels of the largest tensor, counted as if it had the window's voxels.
    pub(super) fn widest(&self) -> usize {
        let scales = self.scales();
        let level = |(i, &c): (usize, &usize)| {
            let scale = scales.get(i + 1).or(scales.last()).map_or(1, |s| s.iter().product());
            c.div_ceil(scale)
        };
        let levels = self.channels.iter().enumerate().map(level).max().unwrap_or(1);
        levels.max(self.in_channels).max(self.out_channels)
    }

    /// Checks every argument, so that every size derived from them is exact on 32-bit targets.
    ///
    /// # Errors
    /// The first that breaks a rule.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        check_dims(self.spatial_dims)?;
        check_range("in_channels", self.in_channels, 256)?;
        check_range("out_channels", self.out_channels, MOST_CLASSES)?;
        let levels = self.channels.len();
        if !(2..=8).contains(&levels) {
            let value = format!("a list of {levels}");
            return Err(ConfigError::value("channels", value, "2 to 8 levels are possible", "give one number a level"));
        }
        for (i, &channels) in self.channels.iter().enumerate() {
            check_range(&format!("channels[{i}]"), channels, 4096)?;
        }
        if self.strides.len() != levels - 1 {
            let rule = format!("network.channels has {levels} levels");
            let value = format!("a list of {}", self.strides.len());
            return Err(ConfigError::value("strides", value, &rule, format!("give {} strides", levels - 1)));
        }
        for (i, stride) in self.strides.iter().enumerate() {
            if stride.iter().any(|s| !(1..=2).contains(s)) {
                let field = format!("strides[{i}]");
                return Err(ConfigError::value(
                    field,
                    format!("{stride:?}"),
                    "strides of 1 and 2 are built",
                    "use those",
                ));
            }
        }
        check_kernel("kernel_size", self.kernel_size)?;
        check_kernel("up_kernel_size", self.up_kernel_size)?;
        if self.num_res_units > 16 {
            return Err(ConfigError::value("num_res_units", self.num_res_units, "it is too large", "use at most 16"));
        }
        if self.adn_ordering != "NDA" {
            let value = format!("{:?}", self.adn_ordering);
            return Err(ConfigError::value("adn_ordering", value, "only \"NDA\" is built", "use NDA"));
        }
        check_dropout(self.dropout)?;
        self.check_channels()
    }

    /// Norms and activations that depend on channels, and the largest weight.
    fn check_channels(&self) -> Result<(), ConfigError> {
        let counts = self.channels.iter().copied();
        // The output layer has a norm and an activation of its own where residual units follow it.
        let counts: Vec<usize> = counts.chain((self.num_res_units > 0).then_some(self.out_channels)).collect();
        self.norm.check("norm", &counts)?;
        self.act.check("act", &counts)?;
        let most = self.channels.iter().max().map_or(0, |c| *c as u64);
        let taps = |kernel: [usize; 3]| kernel.iter().product::<usize>() as u64;
        if 4 * 2 * most * most * taps(self.kernel_size).max(taps(self.up_kernel_size)) > MAX_TENSOR_BYTES {
            let rule = "one weight would need more than 2 GiB";
            return Err(ConfigError::value("channels", format!("{:?}", self.channels), rule, "use a smaller network"));
        }
        Ok(())
    }
}

//! What defines an AttentionUnet: the arguments of MONAI's `AttentionUnet`, in three dimensions. Source:
//! `monai/networks/nets/attentionunet.py` (1.6.1).

use serde::Serialize;

use crate::fields::Section;
use crate::nets::config::{ConfigError, MOST_CLASSES, PerAxis, check_dims, check_dropout, check_kernel, check_range};
use crate::nets::network::{Architecture, MAX_TENSOR_BYTES};

/// `network.type`.
pub(super) const KIND: &str = "AttentionUnet";

/// Five levels: 5.91 million parameters.
pub(in crate::nets) const PUBLISHED: &str = r#"{"in_channels": 1, "out_channels": 2, "channels": [16, 32, 64, 128, 256],
    "strides": [2, 2, 2, 2]}"#;

/// The arguments of MONAI's `AttentionUnet`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttentionUnetConfig {
    /// Axes of a volume, always 3.
    pub spatial_dims: usize,
    /// Channels of the image.
    pub in_channels: usize,
    /// Channels of the logits.
    pub out_channels: usize,
    /// Channels of each level, the finest first.
    pub channels: Vec<usize>,
    /// Strides from each level to the next, along X, Y, Z.
    pub strides: Vec<[usize; 3]>,
    /// Extents of the convolutions' kernels.
    pub kernel_size: [usize; 3],
    /// Extents of the transposed convolutions' kernels.
    pub up_kernel_size: [usize; 3],
    /// Share of the values dropped in training.
    pub dropout: f64,
}

impl AttentionUnetConfig {
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
            dropout: arguments.or("dropout", 0.0)?,
        })
    }

    /// Window voxels per voxel of each level, along each axis.
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
        let level = |(c, s): (&usize, [usize; 3])| c.div_ceil(s.iter().product());
        let widest = self.channels.iter().zip(self.scales()).map(level).max().unwrap_or(1);
        widest.max(self.in_channels).max(self.out_channels)
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
        let list = |count: usize| format!("a list of {count}");
        if !(2..=8).contains(&levels) {
            let rule = "2 to 8 levels are possible";
            return Err(ConfigError::value("channels", list(levels), rule, "give one number a level"));
        }
        for (i, &channels) in self.channels.iter().enumerate() {
            check_range(&format!("channels[{i}]"), channels, 2048)?;
            // A gate between two levels has half as many channels as the finer one.
            if i + 1 < levels && channels < 2 {
                let rule = "half of it is the number of a gate's channels";
                return Err(ConfigError::value(format!("channels[{i}]"), channels, rule, "use at least 2"));
            }
        }
        if self.strides.len() != levels - 1 {
            let rule = format!("network.channels has {levels} levels");
            return Err(ConfigError::value("strides", list(self.strides.len()), &rule, format!("give {}", levels - 1)));
        }
        for (i, stride) in self.strides.iter().enumerate() {
            if stride.iter().any(|s| !(1..=2).contains(s)) {
                let (field, rule) = (format!("strides[{i}]"), "strides of 1 and 2 are built");
                return Err(ConfigError::value(field, format!("{stride:?}"), rule, "use those"));
            }
        }
        check_kernel("kernel_size", self.kernel_size)?;
        check_kernel("up_kernel_size", self.up_kernel_size)?;
        check_dropout(self.dropout)?;
        let most = self.channels.iter().max().map_or(0, |c| *c as u64);
        let taps = |kernel: [usize; 3]| kernel.iter().product::<usize>() as u64;
        // The convolution that merges two levels always has 27 taps.
        let taps = taps(self.kernel_size).max(taps(self.up_kernel_size)).max(27);
        if 4 * 2 * most * most * taps > MAX_TENSOR_BYTES {
            let (rule, value) = ("one weight would need more than 2 GiB", format!("{:?}", self.channels));
            return Err(ConfigError::value("channels", value, rule, "use a smaller network"));
        }
        Ok(())
    }
}

//! What defines a DynUNet: the arguments of MONAI's `DynUNet`, in three dimensions. Source: `monai/networks/nets/dynunet.py`
//! (1.6.1).

use serde::Serialize;

use crate::fields::Section;
use crate::nets::config::{ConfigError, MOST_CLASSES, PerAxis, check_dims, check_dropout, check_kernel, check_range};
use crate::nets::layers::act::ActName;
use crate::nets::layers::norm::NormName;
use crate::nets::network::{Architecture, MAX_TENSOR_BYTES};

/// `network.type`.
pub(super) const KIND: &str = "DynUNet";

/// nnU-Net's default in MONAI: 31 million parameters.
pub(in crate::nets) const PUBLISHED: &str = r#"{"in_channels": 1, "out_channels": 2, "kernel_size": [3, 3, 3, 3, 3, 3],
    "strides": [1, 2, 2, 2, 2, 2], "upsample_kernel_size": [2, 2, 2, 2, 2]}"#;

/// The arguments of MONAI's `DynUNet`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DynUNetConfig {
    /// Axes of a volume, always 3.
    pub spatial_dims: usize,
    /// Channels of the image.
    pub in_channels: usize,
    /// Channels of the logits.
    pub out_channels: usize,
    /// Extents of each level's kernels along X, Y, Z, the finest first.
    pub kernel_size: Vec<[usize; 3]>,
    /// Strides at the beginning of each level; the first has none.
    pub strides: Vec<[usize; 3]>,
    /// Kernels and strides of the transposed convolutions: the strides from the second level on.
    pub upsample_kernel_size: Vec<[usize; 3]>,
    /// Channels of each level.
    pub filters: Vec<usize>,
    /// Share of the values dropped in training; this network is trained with none.
    pub dropout: f64,
    pub norm_name: NormName,
    pub act_name: ActName,
    /// Whether training has heads at coarser levels.
    pub deep_supervision: bool,
    pub deep_supr_num: usize,
    /// Whether blocks of the way down have residual connections.
    pub res_block: bool,
    /// Whether transposed convolutions have a bias.
    pub trans_bias: bool,
}

impl DynUNetConfig {
    /// Reads the arguments; MONAI's defaults fill what is absent.
    ///
    /// # Errors
    /// One is missing, of a wrong type or out of its range.
    pub fn read(arguments: &Section<'_>) -> Result<Architecture, ConfigError> {
        let lengths = |field: &str| -> Result<Vec<[usize; 3]>, ConfigError> {
            Ok(arguments.required::<Vec<PerAxis>>(field)?.into_iter().map(PerAxis::each).collect())
        };
        let strides = lengths("strides")?;
        let filters: Option<Vec<usize>> = arguments.or("filters", None)?;
        let mut filters = filters.unwrap_or_else(|| (0..strides.len()).map(|i| 320usize.min(32 << i.min(4))).collect());
        // More than there are levels is allowed, and not used.
        filters.truncate(strides.len());
        let leaky = ActName::LeakyRelu { negative_slope: 0.01 };
        Architecture::new(Self {
            spatial_dims: arguments.or("spatial_dims", 3)?,
            in_channels: arguments.required("in_channels")?,
            out_channels: arguments.required("out_channels")?,
            kernel_size: lengths("kernel_size")?,
            strides,
            upsample_kernel_size: lengths("upsample_kernel_size")?,
            filters,
            dropout: arguments.or::<Option<f64>>("dropout", None)?.unwrap_or(0.0),
            norm_name: arguments.or("norm_name", NormName::Instance { affine: true })?,
            act_name: arguments.or("act_name", leaky)?,
            deep_supervision: arguments.or("deep_supervision", false)?,
            deep_supr_num: arguments.or("deep_supr_num", 1)?,
            res_block: arguments.or("res_block", false)?,
            trans_bias: arguments.or("trans_bias", false)?,
        })
    }

    /// Window voxels per voxel of each level, along each axis.
    pub(super) fn scales(&self) -> Vec<[usize; 3]> {
        let mut scale = [1; 3];
        let next = |stride: &[usize; 3]| {
            scale = [0, 1, 2].map(|a| scale[a] * stride[a]);
            scale
        };
        self.strides.iter().map(next).collect()
    }

    /// Heads of coarser levels.
    pub(super) fn heads(&self) -> usize {
        if self.deep_supervision { self.deep_supr_num } else { 0 }
    }

    /// Channels of the largest tensor, counted as if it had the window's voxels.
    pub(super) fn widest(&self) -> usize {
        let level = |(c, s): (&usize, [usize; 3])| c.div_ceil(s.iter().product());
        let widest = self.filters.iter().zip(self.scales()).map(level).max().unwrap_or(1);
        // In training, logits of coarser levels are enlarged to the window.
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
        let levels = self.strides.len();
        let list = |count: usize| format!("a list of {count}");
        if !(3..=10).contains(&levels) {
            let rule = "3 to 10 levels are possible";
            return Err(ConfigError::value("strides", list(levels), rule, "give one for each level"));
        }
        let counts = [
            ("kernel_size", self.kernel_size.len(), levels),
            ("upsample_kernel_size", self.upsample_kernel_size.len(), levels - 1),
            ("filters", self.filters.len(), levels),
        ];
        if let Some((field, found, wanted)) = counts.into_iter().find(|(_, found, wanted)| found != wanted) {
            let rule = format!("network.strides has {levels} levels");
            return Err(ConfigError::value(field, list(found), &rule, format!("give {wanted}")));
        }
        for (i, kernel) in self.kernel_size.iter().enumerate() {
            check_kernel(&format!("kernel_size[{i}]"), *kernel)?;
        }
        for (i, stride) in self.strides.iter().enumerate() {
            let (field, value) = (format!("strides[{i}]"), format!("{stride:?}"));
            if i == 0 && *stride != [1; 3] {
                let rule = "the logits would be coarser than the window";
                return Err(ConfigError::value(field, value, rule, "use 1"));
            }
            if stride.iter().any(|s| !(1..=2).contains(s)) {
                return Err(ConfigError::value(field, value, "strides of 1 and 2 are built", "use those"));
            }
        }
        if let Some(i) = (1..levels).find(|&i| self.upsample_kernel_size[i - 1] != self.strides[i]) {
            let field = format!("upsample_kernel_size[{}]", i - 1);
            let rule = format!("it must be network.strides[{i}]");
            let value = format!("{:?}", self.upsample_kernel_size[i - 1]);
            return Err(ConfigError::value(field, value, &rule, format!("use {:?}", self.strides[i])));
        }
        for (i, &channels) in self.filters.iter().enumerate() {
            check_range(&format!("filters[{i}]"), channels, 2048)?;
        }
        if self.deep_supervision && !(1..levels - 1).contains(&self.deep_supr_num) {
            let rule = format!("{} levels have 1 to {} coarser heads", levels, levels - 2);
            return Err(ConfigError::value("deep_supr_num", self.deep_supr_num, &rule, "use one of these"));
        }
        check_dropout(self.dropout)?;
        self.norm_name.check("norm_name", &self.filters)?;
        self.act_name.check("act_name", &self.filters)?;
        let most = self.filters.iter().max().map_or(0, |c| *c as u64);
        let taps = self.kernel_size.iter().map(|k| k.iter().product::<usize>()).max().unwrap_or(1) as u64;
        if 4 * 2 * most * most * taps > MAX_TENSOR_BYTES {
            let (rule, value) = ("one weight would need more than 2 GiB", format!("{:?}", self.filters));
            return Err(ConfigError::value("filters", value, rule, "use a smaller network"));
        }
        Ok(())
    }
}

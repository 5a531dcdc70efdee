//! What defines nnU-Net's networks: the arguments of `PlainConvUNet` and `ResidualEncoderUNet`, in three dimensions. Arguments
//! that are absent are those that nnU-Net's experiment planner writes (biases, affine instance norms, leaky ReLU of 0.01).
//! Source: `dynamic_network_architectures/architectures/unet.py` (0.4.4).

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::fields::Section;
use crate::nets::config::{ConfigError, MOST_CLASSES, PerAxis, PerStage, check_kernel, check_range};
use crate::nets::layers::act::ActName;
use crate::nets::layers::norm::NormName;
use crate::nets::network::{Architecture, MAX_TENSOR_BYTES};

/// `network.type` with a plain encoder and with a residual one.
pub(super) const KINDS: [&str; 2] = ["PlainConvUNet", "ResidualEncoderUNet"];

/// nnU-Net's default for isotropic data: 31.2 million parameters.
pub(in crate::nets) const PUBLISHED_PLAIN: &str = r#"{"input_channels": 1, "n_stages": 6,
    "features_per_stage": [32, 64, 128, 256, 320, 320], "kernel_sizes": 3, "strides": [1, 2, 2, 2, 2, 2],
    "n_conv_per_stage": 2, "num_classes": 2, "n_conv_per_stage_decoder": 2, "deep_supervision": true}"#;

/// The preset ResEnc-L: 102 million parameters.
pub(in crate::nets) const PUBLISHED_RESIDUAL: &str = r#"{"input_channels": 1, "n_stages": 6,
    "features_per_stage": [32, 64, 128, 256, 320, 320], "kernel_sizes": 3, "strides": [1, 2, 2, 2, 2, 2],
    "n_blocks_per_stage": [1, 3, 4, 6, 6, 6], "num_classes": 2, "n_conv_per_stage_decoder": 1, "deep_supervision": true}"#;

/// The way down, with the number of its units in each stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Encoder {
    #[serde(rename = "n_conv_per_stage")]
    Plain(Vec<usize>),
    /// Residual blocks of two convolutions, behind a stem.
    #[serde(rename = "n_blocks_per_stage")]
    Residual(Vec<usize>),
}

impl Encoder {
    /// Units of each stage.
    pub fn units(&self) -> &[usize] {
        match self {
            Self::Plain(units) | Self::Residual(units) => units,
        }
    }

    fn field(&self) -> &'static str {
        match self {
            Self::Plain(_) => "n_conv_per_stage",
            Self::Residual(_) => "n_blocks_per_stage",
        }
    }
}

/// The arguments that both networks have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NnUNetConfig {
    /// Channels of the image.
    pub input_channels: usize,
    /// Stages of the encoder, the finest first, the bottleneck last.
    pub n_stages: usize,
    /// Channels of each stage.
    pub features_per_stage: Vec<usize>,
    /// Extents of each stage's kernels along X, Y, Z.
    pub kernel_sizes: Vec<[usize; 3]>,
    /// Strides at the beginning of each stage; the first has none.
    pub strides: Vec<[usize; 3]>,
    /// The way down.
    #[serde(flatten)]
    pub encoder: Encoder,
    /// Channels of the logits.
    pub num_classes: usize,
    /// Convolutions in each stage of the way up, the coarsest first.
    pub n_conv_per_stage_decoder: Vec<usize>,
    /// Whether convolutions have a bias, but for the head, which always has one, and shortcuts, which never have.
    pub conv_bias: bool,
    /// Norm: `norm_op` with `norm_op_kwargs`.
    #[serde(flatten, serialize_with = "norm_op")]
    pub norm: NormName,
    /// Activation: `nonlin` with `nonlin_kwargs`.
    #[serde(flatten, serialize_with = "nonlin")]
    pub act: ActName,
    /// Whether training has a head at every stage of the way up.
    pub deep_supervision: bool,
    /// Channels of the residual encoder's stem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stem_channels: Option<usize>,
}

fn norm_op<S: Serializer>(norm: &NormName, serializer: S) -> Result<S::Ok, S::Error> {
    let class = match norm {
        NormName::Batch { .. } => "torch.nn.modules.batchnorm.BatchNorm3d",
        _ => "torch.nn.modules.instancenorm.InstanceNorm3d",
    };
    json!({"norm_op": class, "norm_op_kwargs": {"eps": EPS, "affine": norm.affine()}}).serialize(serializer)
}

fn nonlin<S: Serializer>(act: &ActName, serializer: S) -> Result<S::Ok, S::Error> {
    let (class, options) = match act {
        ActName::Relu => ("torch.nn.ReLU", json!({})),
        ActName::Gelu => ("torch.nn.GELU", json!({})),
        ActName::LeakyRelu { negative_slope } => {
            let slope: f64 = negative_slope.to_string().parse().unwrap_or(f64::from(*negative_slope));
            ("torch.nn.LeakyReLU", json!({"negative_slope": slope}))
        }
        ActName::Prelu { num_parameters, init } => {
            ("torch.nn.PReLU", json!({"num_parameters": num_parameters, "init": init}))
        }
    };
    json!({"nonlin": class, "nonlin_kwargs": options}).serialize(serializer)
}

/// PyTorch's epsilon of norms, the only one that is built.
const EPS: f64 = 1e-5;

/// The last part of a Python path, `InstanceNorm3d`.
fn class(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// A class that must be this one, or absent, or null where that means the same.
fn expect_class(arguments: &Section<'_>, key: &str, only: Option<&str>) -> Result<(), ConfigError> {
    let given: Option<String> = arguments.or(key, None)?;
    match given {
        Some(path) if only != Some(class(&path)) => {
            let (rule, remedy) = match only {
                Some(only) => (format!("only {only} is built"), format!("use {only}")),
                None => ("it is not built".to_owned(), "use null".to_owned()),
            };
            Err(ConfigError::value(key, format!("{path:?}"), &rule, remedy))
        }
        _ => Ok(()),
    }
}

fn read_norm(arguments: &Section<'_>) -> Result<NormName, ConfigError> {
    let path: String = arguments.or("norm_op", "InstanceNorm3d".to_owned())?;
    let none = Map::new();
    let options: Option<Map<String, Value>> = arguments.or("norm_op_kwargs", None)?;
    let options = options.as_ref().unwrap_or(&none);
    let section = Section::at("network.norm_op_kwargs", options);
    let batch = match class(&path) {
        "InstanceNorm3d" => false,
        "BatchNorm3d" => true,
        _ => {
            let rule = "only InstanceNorm3d and BatchNorm3d are built";
            return Err(ConfigError::value("norm_op", format!("{path:?}"), rule, "use one of them"));
        }
    };
    let eps: f64 = section.or("eps", EPS)?;
    if eps != EPS {
        return Err(ConfigError::value("norm_op_kwargs.eps", eps, "only 1e-5 is built", "use 1e-5"));
    }
    let affine: bool = section.or("affine", true)?;
    // Without effect on an instance norm that keeps no running averages, and on a batch norm that segments.
    let _: f64 = section.or("momentum", 0.1)?;
    if section.or("track_running_stats", batch)? != batch {
        let rule = "instance norms keep no running averages, batch norms do";
        return Err(ConfigError::value("norm_op_kwargs.track_running_stats", !batch, rule, "leave it out"));
    }
    section.finish()?;
    Ok(if batch { NormName::Batch { affine } } else { NormName::Instance { affine } })
}

fn read_act(arguments: &Section<'_>) -> Result<ActName, ConfigError> {
    let path: String = arguments.or("nonlin", "LeakyReLU".to_owned())?;
    let options: Option<Map<String, Value>> = arguments.or("nonlin_kwargs", None)?;
    let spelled = json!([class(&path), options.unwrap_or_default()]);
    match ActName::from_json(&spelled) {
        Ok(ActName::Prelu { .. }) => {
            Err(ConfigError::value("nonlin", format!("{path:?}"), "it has weights", "use LeakyReLU, ReLU or GELU"))
        }
        Ok(act) => Ok(act),
        Err(problem) => Err(ConfigError::value("nonlin", spelled, &problem, "use LeakyReLU, ReLU or GELU")),
    }
}

impl NnUNetConfig {
    /// Reads the arguments of `PlainConvUNet`.
    ///
    /// # Errors
    /// One is missing, of a wrong type or out of its range.
    pub fn read_plain(arguments: &Section<'_>) -> Result<Architecture, ConfigError> {
        if arguments.or("nonlin_first", false)? {
            let rule = "the activation follows the norm here";
            return Err(ConfigError::value("nonlin_first", true, rule, "use false"));
        }
        Self::read(arguments, Encoder::Plain(Vec::new()))
    }

    /// Reads the arguments of `ResidualEncoderUNet`.
    ///
    /// # Errors
    /// As [`NnUNetConfig::read_plain`].
    pub fn read_residual(arguments: &Section<'_>) -> Result<Architecture, ConfigError> {
        expect_class(arguments, "block", Some("BasicBlockD"))?;
        let bottleneck: Option<Value> = arguments.or("bottleneck_channels", None)?;
        if let Some(value) = bottleneck {
            return Err(ConfigError::value("bottleneck_channels", value, "only BasicBlockD is built", "use null"));
        }
        Self::read(arguments, Encoder::Residual(Vec::new()))
    }

    fn read(arguments: &Section<'_>, encoder: Encoder) -> Result<Architecture, ConfigError> {
        expect_class(arguments, "conv_op", Some("Conv3d"))?;
        expect_class(arguments, "dropout_op", None)?;
        let _: Option<Map<String, Value>> = arguments.or("dropout_op_kwargs", None)?;
        let n_stages: usize = arguments.required("n_stages")?;
        if !(2..=10).contains(&n_stages) {
            return Err(ConfigError::value("n_stages", n_stages, "2 to 10 stages are built", "use one of these"));
        }
        let counts = |field: &str, stages| -> Result<Vec<usize>, ConfigError> {
            arguments.required::<PerStage<usize>>(field)?.each(field, stages)
        };
        let sizes = |field: &str| -> Result<Vec<[usize; 3]>, ConfigError> {
            let each = arguments.required::<PerStage<PerAxis>>(field)?.each(field, n_stages)?;
            Ok(each.into_iter().map(PerAxis::each).collect())
        };
        let features_per_stage = counts("features_per_stage", n_stages)?;
        let units = counts(encoder.field(), n_stages)?;
        let stem: Option<usize> = match encoder {
            Encoder::Plain(_) => None,
            Encoder::Residual(_) => {
                let given: Option<usize> = arguments.or("stem_channels", None)?;
                given.or(features_per_stage.first().copied())
            }
        };
        Architecture::new(Self {
            input_channels: arguments.required("input_channels")?,
            n_stages,
            features_per_stage,
            kernel_sizes: sizes("kernel_sizes")?,
            strides: sizes("strides")?,
            encoder: match encoder {
                Encoder::Plain(_) => Encoder::Plain(units),
                Encoder::Residual(_) => Encoder::Residual(units),
            },
            num_classes: arguments.required("num_classes")?,
            n_conv_per_stage_decoder: counts("n_conv_per_stage_decoder", n_stages - 1)?,
            conv_bias: arguments.or("conv_bias", true)?,
            norm: read_norm(arguments)?,
            act: read_act(arguments)?,
            deep_supervision: arguments.or("deep_supervision", false)?,
            stem_channels: stem,
        })
    }

    /// Window voxels per voxel of each stage, along each axis.
    pub(super) fn scales(&self) -> Vec<[usize; 3]> {
        let mut scale = [1; 3];
        let next = |stride: &[usize; 3]| {
            scale = [0, 1, 2].map(|a| scale[a] * stride[a]);
            scale
        };
        self.strides.iter().map(next).collect()
    }

    /// Channels of the largest tensor, counted as if it had the window's voxels.
    pub(super) fn widest(&self) -> usize {
        let scales = self.scales();
        let stage = |(c, s): (&usize, &[usize; 3])| c.div_ceil(s.iter().product());
        let widest = self.features_per_stage.iter().zip(&scales).map(stage).max().unwrap_or(1);
        widest.max(self.input_channels).max(self.num_classes).max(self.stem_channels.unwrap_or(1))
    }

    /// Checks every argument, so that every size derived from them is exact on 32-bit targets.
    ///
    /// # Errors
    /// The first that breaks a rule.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        check_range("input_channels", self.input_channels, 256)?;
        check_range("num_classes", self.num_classes, MOST_CLASSES)?;
        let each = |field: &str, values: &[usize], most: usize| {
            let one = |(i, value): (usize, &usize)| check_range(&format!("{field}[{i}]"), *value, most);
            values.iter().enumerate().try_for_each(one)
        };
        each("features_per_stage", &self.features_per_stage, 2048)?;
        each(self.encoder.field(), self.encoder.units(), 64)?;
        each("n_conv_per_stage_decoder", &self.n_conv_per_stage_decoder, 64)?;
        self.stem_channels.map_or(Ok(()), |channels| check_range("stem_channels", channels, 2048))?;
        for (i, kernel) in self.kernel_sizes.iter().enumerate() {
            check_kernel(&format!("kernel_sizes[{i}]"), *kernel)?;
        }
        for (i, stride) in self.strides.iter().enumerate() {
            let (field, value) = (format!("strides[{i}]"), format!("{stride:?}"));
            if i == 0 && *stride != [1; 3] {
                let rule = "the logits would be coarser than the window";
                return Err(ConfigError::value(field, value, rule, "use 1"));
            }
            if stride.iter().any(|s| !(1..=4).contains(s)) {
                return Err(ConfigError::value(field, value, "strides of 1 to 4 are built", "use those"));
            }
        }
        let most = self.features_per_stage.iter().max().map_or(0, |c| *c as u64);
        let taps = self.kernel_sizes.iter().map(|k| k.iter().product::<usize>()).max().unwrap_or(1) as u64;
        if 4 * 2 * most * most * taps > MAX_TENSOR_BYTES {
            let (rule, value) = ("one weight would need more than 2 GiB", format!("{:?}", self.features_per_stage));
            return Err(ConfigError::value("features_per_stage", value, rule, "use a smaller network"));
        }
        Ok(())
    }
}

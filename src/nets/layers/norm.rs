//! Norms of volumes `(N, C, X, Y, Z)`, as MONAI's `norm` arguments spell them.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::super::builder::Net;
use super::super::config::ConfigError;
use super::super::parameter::{Init, Kind};
use crate::graph::{GraphError, TensorId};
use crate::kernels::norm_parameters::Norm;

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

impl NormName {
    /// Checks it against the channels of the tensors that it is to normalise.
    ///
    /// # Errors
    /// Channels that make no whole groups.
    pub(in crate::nets) fn check(self, field: &str, channels: &[usize]) -> Result<(), ConfigError> {
        if let Self::Group { num_groups, .. } = self
            && let Some(c) = channels.iter().find(|c| num_groups == 0 || !c.is_multiple_of(num_groups))
        {
            let rule = format!("num_groups must divide {c} channels");
            return Err(ConfigError::value(field, self.to_json(), &rule, "change num_groups"));
        }
        Ok(())
    }

    /// Whether a convolution before it had better leave moments: a batch norm takes its running averages outside training.
    pub(in crate::nets) fn needs_moments(self, n: &mut Net) -> bool {
        !matches!(self, Self::Batch { .. }) || n.graph().training()
    }
}

/// What whoever loads `x` needs to normalise it: the parameters of the norm `name`.
///
/// # Errors
/// [`GraphError`] if the channels are no multiple of the groups.
pub fn norm(n: &mut Net, norm: NormName, name: &str, x: TensorId) -> Result<TensorId, GraphError> {
    norm_from(n, norm, name, x, 1.0)
}

/// The same, with another first weight than 1.
///
/// # Errors
/// As [`norm`].
pub fn norm_from(n: &mut Net, norm: NormName, name: &str, x: TensorId, first: f32) -> Result<TensorId, GraphError> {
    let channels = n.channels(x);
    let affine = norm.affine().then(|| {
        let gamma = n.vector(&format!("{name}.weight"), [channels], Kind::Scale, Init::Constant(first));
        (gamma, n.vector(&format!("{name}.bias"), [channels], Kind::Scale, Init::Constant(0.0)))
    });
    let norm = match norm {
        NormName::Instance { .. } => Norm::Instance,
        NormName::Group { num_groups, .. } => Norm::Group(num_groups),
        NormName::Batch { .. } => Norm::Batch {
            mean: n.vector(&format!("{name}.running_mean"), [channels], Kind::Statistic, Init::Constant(0.0)),
            variance: n.vector(&format!("{name}.running_var"), [channels], Kind::Statistic, Init::Constant(1.0)),
        },
    };
    n.graph().norm(name, x, norm, affine)
}

/// The same for channels that lie in several tensors, each normalised for itself; see [`super::parts::divides`].
///
/// # Errors
/// [`GraphError`] if the norm is of another kind, or the channels cannot be divided so.
pub fn norm_parts(
    n: &mut Net,
    norm: NormName,
    name: &str,
    parts: &[TensorId],
    first: f32,
) -> Result<Vec<TensorId>, GraphError> {
    if let [whole] = parts {
        return Ok(vec![norm_from(n, norm, name, *whole, first)?]);
    }
    if !super::parts::divides(norm) {
        return Err(GraphError::new(format!("{} norms are of whole volumes", norm.to_json())));
    }
    let channels: usize = parts.iter().map(|&x| n.channels(x)).sum();
    let mut vector = |end: &str, init: f32| {
        let whole = n.vector(&format!("{name}.{end}"), [channels], Kind::Scale, Init::Constant(init));
        n.graph().split_vector(&format!("{name}.{end}.parts"), whole, parts.len())
    };
    let affine: Vec<(TensorId, TensorId)> = match norm.affine() {
        true => vector("weight", first)?.into_iter().zip(vector("bias", 0.0)?).collect(),
        false => Vec::new(),
    };
    let one =
        |(i, &x): (usize, &TensorId)| n.graph().norm(&format!("{name}.{i}"), x, Norm::Instance, affine.get(i).copied());
    parts.iter().enumerate().map(one).collect()
}

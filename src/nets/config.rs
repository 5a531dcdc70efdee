//! What can be wrong with a network's arguments.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::fields::FieldError;

/// A `network` section that describes no network that can be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// An argument breaks a rule.
    #[error("network.{field} is {value}: {rule}; {remedy}")]
    Value {
        /// The argument, as in the model package (`img_size[1]`).
        field: String,
        value: String,
        /// The rule it breaks.
        rule: String,
        /// What to do about it.
        remedy: String,
    },
    /// An argument is missing, unknown or of a wrong type.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The arguments are fine one by one, and the layers do not fit together.
    #[error("the network cannot be built: {problem}")]
    Unbuildable {
        /// The layer, and what does not fit.
        problem: String,
    },
}

impl ConfigError {
    /// An argument that breaks a rule.
    pub fn value(field: impl Into<String>, value: impl ToString, rule: &str, remedy: impl Into<String>) -> Self {
        Self::Value { field: field.into(), value: value.to_string(), rule: rule.into(), remedy: remedy.into() }
    }
}

/// The fields of a configuration, as JSON.
pub(super) fn to_map(config: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// Checks MONAI's `spatial_dims`.
pub(super) fn check_dims(spatial_dims: usize) -> Result<(), ConfigError> {
    match spatial_dims {
        3 => Ok(()),
        other => {
            let rule = "this program has three-dimensional networks alone";
            Err(ConfigError::value("spatial_dims", other, rule, "use 3"))
        }
    }
}

/// Checks a share of dropped values.
pub(super) fn check_dropout(dropout: f64) -> Result<(), ConfigError> {
    match (0.0..1.0).contains(&dropout) {
        true => Ok(()),
        false => Err(ConfigError::value("dropout", dropout, "it must be in [0, 1)", "use 0")),
    }
}

/// Checks a kernel's extents.
pub(super) fn check_kernel(field: &str, kernel: [usize; 3]) -> Result<(), ConfigError> {
    match kernel.iter().all(|k| k % 2 == 1 && *k <= 7) {
        true => Ok(()),
        false => {
            let rule = "kernels have 1, 3, 5 or 7 voxels along an axis";
            Err(ConfigError::value(field, format!("{kernel:?}"), rule, "use those"))
        }
    }
}

/// One length for all axes, or one each.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
pub(super) enum PerAxis {
    One(usize),
    Each([usize; 3]),
}

impl PerAxis {
    pub fn each(self) -> [usize; 3] {
        match self {
            Self::One(length) => [length; 3],
            Self::Each(lengths) => lengths,
        }
    }
}

/// One value for all stages, or one each.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum PerStage<T> {
    One(T),
    Each(Vec<T>),
}

impl<T: Clone> PerStage<T> {
    /// The value of each of so many stages.
    pub fn each(self, field: &str, stages: usize) -> Result<Vec<T>, ConfigError> {
        match self {
            Self::One(value) => Ok(vec![value; stages]),
            Self::Each(values) if values.len() == stages => Ok(values),
            Self::Each(values) => {
                let value = format!("a list of {}", values.len());
                Err(ConfigError::value(field, value, "it has one value a stage", format!("give {stages}")))
            }
        }
    }
}

/// Channels of the logits, at most: beyond every atlas, and small enough that sizes multiply freely.
pub(super) const MOST_CLASSES: usize = 4096;

/// Checks that a count is neither zero nor beyond what any network has.
pub(super) fn check_range(field: &str, value: usize, most: usize) -> Result<(), ConfigError> {
    match value {
        0 => Err(ConfigError::value(field, value, "it must not be zero", format!("use 1 to {most}"))),
        _ if value > most => Err(ConfigError::value(field, value, "it is too large", format!("use at most {most}"))),
        _ => Ok(()),
    }
}

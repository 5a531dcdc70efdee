//! What can be wrong with a network's arguments.

use serde::Serialize;
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
        /// Its value.
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

/// Checks that a count is neither zero nor beyond what any network has.
pub(super) fn check_range(field: &str, value: usize, most: usize) -> Result<(), ConfigError> {
    match value {
        0 => Err(ConfigError::value(field, value, "it must not be zero", format!("use 1 to {most}"))),
        _ if value > most => Err(ConfigError::value(field, value, "it is too large", format!("use at most {most}"))),
        _ => Ok(()),
    }
}

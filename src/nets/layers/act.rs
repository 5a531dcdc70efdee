//! Activations, as MONAI's `act` arguments spell them.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::super::builder::Net;
use super::super::config::ConfigError;
use super::super::parameter::{Init, Kind};
use crate::kernels::lazy::Act;

/// In JSON a string (`"PRELU"`) or a pair of name and options (`["leakyrelu", {"negative_slope": 0.1}]`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ActName {
    /// One trained slope, or one per channel.
    Prelu {
        /// Slopes: 1, or as many as there are channels.
        num_parameters: usize,
        /// Their first value.
        init: f32,
    },
    /// `max(x, 0)`.
    Relu,
    /// With a fixed slope.
    LeakyRelu {
        /// The slope.
        negative_slope: f32,
    },
    /// `x Φ(x)`.
    Gelu,
}

impl Default for ActName {
    fn default() -> Self {
        Self::Prelu { num_parameters: 1, init: 0.25 }
    }
}

impl ActName {
    /// Reads MONAI's spelling.
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
        let known: &[&str] = match name.as_str() {
            "prelu" => &["num_parameters", "init"],
            "leakyrelu" => &["negative_slope", "inplace"],
            "relu" => &["inplace"],
            "gelu" => &[],
            other => return Err(format!("\"{other}\" is not one of prelu, relu, leakyrelu, gelu")),
        };
        if let Some(other) = options.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(format!("option \"{other}\" of \"{name}\" is not supported"));
        }
        let number = |key: &str, default: f32| match options.get(key) {
            None => Ok(default),
            Some(value) => {
                let slope = value.as_f64().map(|v| v as f32).filter(|v| v.is_finite());
                slope.ok_or_else(|| format!("option \"{key}\" must be a number, not {value}"))
            }
        };
        Ok(match name.as_str() {
            "prelu" => {
                let count = options.get("num_parameters").map_or(Some(1), Value::as_u64);
                let num_parameters = count
                    .and_then(|count| usize::try_from(count).ok())
                    .filter(|&count| count > 0)
                    .ok_or("option \"num_parameters\" must be a whole number above 0")?;
                Self::Prelu { num_parameters, init: number("init", 0.25)? }
            }
            "leakyrelu" => Self::LeakyRelu { negative_slope: number("negative_slope", 0.01)? },
            "relu" => Self::Relu,
            _ => Self::Gelu,
        })
    }

    /// MONAI's spelling, without options that have their default value.
    pub fn to_json(self) -> Value {
        let slope = |v: f32| json!(f64::from(v));
        match self {
            Self::Prelu { num_parameters: 1, init: 0.25 } => json!("PRELU"),
            Self::Prelu { num_parameters, init } => {
                json!(["PRELU", {"num_parameters": num_parameters, "init": slope(init)}])
            }
            Self::Relu => json!("RELU"),
            Self::LeakyRelu { negative_slope: 0.01 } => json!("LEAKYRELU"),
            Self::LeakyRelu { negative_slope } => json!(["LEAKYRELU", {"negative_slope": slope(negative_slope)}]),
            Self::Gelu => json!("GELU"),
        }
    }
}

impl ActName {
    /// Checks it against the channels of the tensors that it is to activate.
    ///
    /// # Errors
    /// Slopes that are neither one nor one a channel.
    pub(in crate::nets) fn check(self, field: &str, channels: &[usize]) -> Result<(), ConfigError> {
        if let Self::Prelu { num_parameters, .. } = self
            && let Some(c) = channels.iter().find(|c| num_parameters != 1 && **c != num_parameters)
        {
            let rule = format!("a layer of {c} channels takes 1 slope or {c}");
            return Err(ConfigError::value(field, self.to_json(), &rule, "use one slope"));
        }
        Ok(())
    }
}

impl Serialize for ActName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ActName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The activation `name`, whose slopes, if it has any, are `name.weight`.
pub fn act(n: &mut Net, act: ActName, name: &str) -> Act {
    match act {
        ActName::Prelu { num_parameters, init } => {
            Act::PRelu(n.vector(&format!("{name}.weight"), [num_parameters], Kind::Scale, Init::Constant(init)))
        }
        ActName::Relu => Act::RELU,
        ActName::LeakyRelu { negative_slope } => Act::LeakyRelu(negative_slope),
        ActName::Gelu => Act::Gelu,
    }
}

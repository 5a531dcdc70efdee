//! JSON with two rules more than `serde_json` has: no object has two equal keys, and every error names its field.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::super::error::{WeightsError, quoted};

/// Parses an object, refusing duplicate keys at every level. `what` names it in errors.
pub(crate) fn parse_object(what: &str, text: &str) -> Result<Map<String, Value>, WeightsError> {
    let strict: Strict =
        serde_json::from_str(text).map_err(|error| WeightsError::field(what, format!("not valid JSON: {error}")))?;
    match strict.0 {
        Value::Object(map) => Ok(map),
        other => Err(WeightsError::field(what, format!("expected an object, found {}", kind(&other)))),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// One object of the package, with the path to it.
#[derive(Clone)]
pub(crate) struct Fields<'a> {
    path: String,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// The package's outermost object.
    pub fn root(map: &'a Map<String, Value>) -> Self {
        Self { path: String::new(), map }
    }

    /// The path of `key` in this object.
    pub fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_string() } else { format!("{}.{key}", self.path) }
    }

    /// The object under `key`.
    pub fn section(&self, key: &str) -> Result<Self, WeightsError> {
        match self.map.get(key) {
            None => Err(WeightsError::MissingField { field: self.path(key) }),
            Some(Value::Object(map)) => Ok(Self { path: self.path(key), map }),
            Some(other) => {
                let problem = format!("expected an object, found {}", kind(other));
                Err(WeightsError::field(self.path(key), problem))
            }
        }
    }

    /// The value under `key`, which must be there; null is for the type to accept or refuse.
    pub fn required<T: DeserializeOwned>(&self, key: &str) -> Result<T, WeightsError> {
        let value = self.map.get(key).ok_or_else(|| WeightsError::MissingField { field: self.path(key) })?;
        self.convert(key, value)
    }

    /// The value under `key`, or `default` where it is absent.
    pub fn or<T: DeserializeOwned>(&self, key: &str, default: T) -> Result<T, WeightsError> {
        self.map.get(key).map_or(Ok(default), |value| self.convert(key, value))
    }

    /// The list under `key`, each item converted by itself so that errors name it. Absent or null is empty.
    pub fn list<T: DeserializeOwned>(&self, key: &str) -> Result<Vec<T>, WeightsError> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(items)) => {
                let item = |(index, item)| self.convert(&format!("{key}[{index}]"), item);
                items.iter().enumerate().map(item).collect()
            }
            Some(other) => {
                let problem = format!("expected a list, found {}", kind(other));
                Err(WeightsError::field(self.path(key), problem))
            }
        }
    }

    /// Whether `key` is there.
    pub fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    fn convert<T: DeserializeOwned>(&self, key: &str, value: &Value) -> Result<T, WeightsError> {
        T::deserialize(value).map_err(|error| WeightsError::field(self.path(key), error.to_string()))
    }
}

/// Removes from `object` every key that `known` has; of objects in both, only what is in both.
pub(super) fn remove_known(object: &mut Map<String, Value>, known: &Map<String, Value>) {
    object.retain(|key, value| match (value, known.get(key)) {
        (_, None) => true,
        (Value::Object(inner), Some(Value::Object(known))) => {
            remove_known(inner, known);
            !inner.is_empty()
        }
        _ => false,
    });
}

/// Adds to `object` the keys of `other` that it does not have; objects in both are completed likewise.
pub(super) fn add_unknown(object: &mut Map<String, Value>, other: &Map<String, Value>) {
    for (key, value) in other {
        match (object.get_mut(key), value) {
            (None, value) => {
                object.insert(key.clone(), value.clone());
            }
            (Some(Value::Object(inner)), Value::Object(other)) => add_unknown(inner, other),
            _ => {}
        }
    }
}

/// A JSON value whose objects had no two equal keys.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let Strict(value) = entries.next_value()?;
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("duplicate key {}", quoted(&key))));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

//! One object of a file, read key by key.

use std::cell::RefCell;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::FieldError;
use super::json::kind;
use super::nearest::is_slip;
use super::reader::from_json;

/// One object, the path to it, and the keys that were asked for.
#[derive(Clone)]
pub struct Section<'a> {
    path: String,
    map: &'a Map<String, Value>,
    asked: RefCell<Vec<String>>,
}

impl<'a> Section<'a> {
    /// The outermost object.
    pub fn root(map: &'a Map<String, Value>) -> Self {
        Self::at("", map)
    }

    /// The object at `path`.
    pub fn at(path: &str, map: &'a Map<String, Value>) -> Self {
        Self { path: path.to_owned(), map, asked: RefCell::default() }
    }

    /// The object itself.
    pub fn map(&self) -> &'a Map<String, Value> {
        self.map
    }

    /// The path of `key` in this object.
    pub fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The object under `key`.
    ///
    /// # Errors
    /// It is missing, or no object.
    pub fn section(&self, key: &str) -> Result<Self, FieldError> {
        match self.get(key) {
            None => Err(FieldError::missing(self.path(key))),
            Some(Value::Object(map)) => Ok(Self::at(&self.path(key), map)),
            Some(other) => {
                Err(FieldError::value(self.path(key), format_args!("expected an object, found {}", kind(other))))
            }
        }
    }

    /// The value under `key`, which must be there; null is for the type to accept or refuse.
    ///
    /// # Errors
    /// It is missing or of a wrong type.
    pub fn required<T: DeserializeOwned>(&self, key: &str) -> Result<T, FieldError> {
        match self.get(key) {
            Some(value) => self.convert(key, value),
            None => Err(self.slip(key).unwrap_or_else(|| FieldError::missing(self.path(key)))),
        }
    }

    /// The error for a required key that is there, under a name that is nearly right.
    pub fn slip(&self, key: &str) -> Option<FieldError> {
        let slip = self.map.keys().find(|other| !self.map.contains_key(key) && is_slip(other, key))?;
        let problem = format_args!("unknown key; the nearest known key is `{key}`, which is required");
        Some(FieldError::value(self.path(slip), problem))
    }

    /// The value under `key`, or `default` where it is absent.
    ///
    /// # Errors
    /// It is of a wrong type.
    pub fn or<T: DeserializeOwned>(&self, key: &str, default: T) -> Result<T, FieldError> {
        self.get(key).map_or(Ok(default), |value| self.convert(key, value))
    }

    /// The list under `key`. Absent or null is empty.
    ///
    /// # Errors
    /// It is no list, or an item is of a wrong type.
    pub fn list<T: DeserializeOwned>(&self, key: &str) -> Result<Vec<T>, FieldError> {
        match self.get(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(value @ Value::Array(_)) => self.convert(key, value),
            Some(other) => {
                Err(FieldError::value(self.path(key), format_args!("expected a list, found {}", kind(other))))
            }
        }
    }

    /// Whether `key` is there.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Refuses keys that were never asked for.
    ///
    /// # Errors
    /// The first of them, with the nearest of those that were.
    pub fn finish(&self) -> Result<(), FieldError> {
        let asked = self.asked.borrow();
        match self.map.keys().find(|key| !asked.contains(*key)) {
            None => Ok(()),
            Some(key) => Err(FieldError::unknown(&self.path, key, asked.iter().map(String::as_str))),
        }
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        let mut asked = self.asked.borrow_mut();
        if !asked.iter().any(|known| known == key) {
            asked.push(key.to_owned());
        }
        self.map.get(key)
    }

    fn convert<T: DeserializeOwned>(&self, key: &str, value: &Value) -> Result<T, FieldError> {
        from_json(value).map_err(|e| e.within(&self.path(key)))
    }
}

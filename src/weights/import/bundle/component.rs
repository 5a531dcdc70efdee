//! A component of the configuration, a class with its arguments, read so that none is passed over unseen.

use std::cell::RefCell;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::super::error::WeightsError;
use super::config::Node;
use super::operators::truth;
use crate::fields::{from_json, nearest};

/// Arguments of every component that say nothing of what it does.
const ALWAYS: [&str; 6] = ["_target_", "_desc_", "_requires_", "_disabled_", "_mode_", "lazy"];

/// A class and its arguments.
pub(super) struct Component<'c> {
    node: Node<'c>,
    /// The class, without its module.
    pub class: String,
    /// The place of the key of interest among `keys`, where each argument may be a list with one value a key.
    pub place: Option<usize>,
    asked: RefCell<Vec<String>>,
}

impl<'c> Component<'c> {
    /// A component of MONAI.
    ///
    /// # Errors
    /// It is none, or a class of the bundle's own scripts or of another library.
    pub fn of(node: Node<'c>) -> Result<Self, WeightsError> {
        let Some(path) = node.target()? else {
            return Err(node.refused("a component with a _target_ is expected here"));
        };
        let (module, class) = path.rsplit_once('.').unwrap_or(("", path.as_str()));
        if !module.is_empty() && module != "monai" && !module.starts_with("monai.") {
            return Err(
                node.refused(format_args!("{path:?} is a class that comes with the bundle, whose code is not run"))
            );
        }
        let class = class.to_owned();
        Ok(Self { node, class, place: None, asked: RefCell::default() })
    }

    /// Where it stands.
    pub fn node(&self) -> &Node<'c> {
        &self.node
    }

    /// Names arguments that change nothing here.
    pub fn ignore(&self, names: &[&str]) {
        self.asked.borrow_mut().extend(names.iter().map(|name| (*name).to_owned()));
    }

    /// The argument as it is given, followed; `None` where it is absent.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn given(&self, name: &str) -> Result<Option<Node<'c>>, WeightsError> {
        self.ignore(&[name]);
        self.node.child(name)
    }

    /// The argument, for the key of interest; `None` where it is absent or null.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn value(&self, name: &str) -> Result<Option<Value>, WeightsError> {
        let Some(node) = self.given(name)? else { return Ok(None) };
        Ok(Some(node.whole()?).filter(|value| !value.is_null()))
    }

    /// As [`Component::value`], where dictionary transforms may give one value for each key.
    ///
    /// # Errors
    /// It cannot be read, or the list has no value for the key.
    pub fn each(&self, name: &str) -> Result<Option<Value>, WeightsError> {
        match (self.value(name)?, self.place) {
            (Some(Value::Array(values)), Some(place)) => {
                let one = values.get(place).or(values.first().filter(|_| values.len() == 1)).cloned();
                match one {
                    Some(value) => Ok(Some(value).filter(|value| !value.is_null())),
                    None => Err(self.bad(name, format_args!("it has no value for key number {place}"))),
                }
            }
            (value, _) => Ok(value),
        }
    }

    /// A switch. Text counts as true, as in Python, but for words that mean the opposite.
    ///
    /// # Errors
    /// It is neither true nor false.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool, WeightsError> {
        match self.each(name)? {
            None => Ok(default),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(other @ (Value::Bool(_) | Value::Number(_))) => Ok(truth(&other)),
            Some(other) => Err(self.bad(name, format_args!("true or false is needed, not {other}"))),
        }
    }

    /// A value of `T`; `None` where it is absent or null.
    ///
    /// # Errors
    /// It is of another type.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, WeightsError> {
        self.value(name)?.map(|value| self.convert(name, &value)).transpose()
    }

    /// A number, or another value that is no list; `None` where it is absent or null.
    ///
    /// # Errors
    /// It is of another type.
    pub fn read_each<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, WeightsError> {
        self.each(name)?.map(|value| self.convert(name, &value)).transpose()
    }

    fn convert<T: DeserializeOwned>(&self, name: &str, value: &Value) -> Result<T, WeightsError> {
        from_json(value).map_err(|e| self.bad(name, e.words()))
    }

    /// A value that must be there.
    ///
    /// # Errors
    /// It is absent.
    pub fn needed<T>(&self, name: &str, value: Option<T>) -> Result<T, WeightsError> {
        value.ok_or_else(|| self.bad(name, "it is missing"))
    }

    /// A number for all three axes, or a list with one for each.
    ///
    /// # Errors
    /// It is neither.
    pub fn axes<T: DeserializeOwned + Copy>(&self, name: &str) -> Result<Option<[T; 3]>, WeightsError> {
        let Some(value) = self.value(name)? else { return Ok(None) };
        if value.is_number() {
            return self.convert::<T>(name, &value).map(|one| Some([one; 3]));
        }
        self.convert(name, &value).map(Some)
    }

    /// Refuses an argument unless it has one of these values, or is absent or null.
    ///
    /// # Errors
    /// It has another.
    pub fn only(&self, name: &str, values: &[Value]) -> Result<(), WeightsError> {
        match self.each(name)? {
            Some(value) if !values.contains(&value) => {
                let list: Vec<String> = values.iter().map(Value::to_string).collect();
                let only = if list.is_empty() { "null".to_owned() } else { list.join(" or ") };
                Err(self.bad(name, format_args!("{value} is not done here, only {only}")))
            }
            _ => Ok(()),
        }
    }

    /// The error for an argument.
    pub fn bad(&self, name: &str, problem: impl std::fmt::Display) -> WeightsError {
        self.node.refused(format_args!("{}, {name}: {problem}", self.class))
    }

    /// Refuses arguments that were never asked for.
    ///
    /// # Errors
    /// The first of them.
    pub fn finish(&self) -> Result<(), WeightsError> {
        let asked = self.asked.borrow();
        let Some(map) = self.node.value.as_object() else { return Ok(()) };
        let strange = |key: &&String| !ALWAYS.contains(&key.as_str()) && !asked.contains(*key);
        match map.keys().find(strange) {
            None => Ok(()),
            Some(key) => {
                let near = nearest(key, asked.iter().map(String::as_str));
                let hint = near.map_or(String::new(), |near| format!("; the nearest that is known is {near:?}"));
                Err(self.bad(key, format_args!("this argument is not known here{hint}")))
            }
        }
    }
}

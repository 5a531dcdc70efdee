//! What is wrong with a key, and where it is.

use std::fmt;

use serde::de::{self, Unexpected};

use super::nearest::nearest;

/// A key that is missing, unknown, or has a wrong value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The path to it from the outermost object.
    pub path: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It must be there and is not.
    Missing,
    /// Nothing has this name here.
    Unknown {
        /// What has a name here.
        known: Vec<String>,
    },
    /// Its value cannot be used, in words.
    Value(String),
}

/// Known keys told at most.
const TOLD: usize = 24;

impl FieldError {
    /// A wrong value, or one in a wrong place.
    pub fn value(path: impl Into<String>, problem: impl fmt::Display) -> Self {
        Self { path: path.into(), problem: Problem::Value(shown(&problem.to_string(), 500)) }
    }

    /// A key that is not there.
    pub fn missing(path: impl Into<String>) -> Self {
        Self { path: path.into(), problem: Problem::Missing }
    }

    /// A key of the object at `path` that nothing asks for.
    pub fn unknown<'k>(path: &str, key: &str, known: impl IntoIterator<Item = &'k str>) -> Self {
        let known = known.into_iter().map(str::to_owned).collect();
        Self { path: String::new(), problem: Problem::Unknown { known } }.within(key).within(path)
    }

    /// A word that is none of those known.
    pub fn unknown_value(given: &str, known: &[&str]) -> Self {
        let meant = meant(given, known.iter().copied(), "known value");
        Self::value("", format_args!("unknown value `{}`{meant}", shown(given, 120)))
    }

    /// This error, seen from the object that holds it under `key`; an empty key changes nothing.
    #[must_use]
    pub fn within(mut self, key: &str) -> Self {
        let key = shown(key, 120);
        self.path = match (key.is_empty(), self.path.is_empty(), self.path.starts_with('[')) {
            (true, ..) => self.path,
            (_, true, _) => key,
            (_, _, true) => key + &self.path,
            _ => format!("{key}.{}", self.path),
        };
        self
    }

    /// What is wrong, without the path.
    pub fn words(&self) -> String {
        match &self.problem {
            Problem::Missing => "this required key is missing".into(),
            Problem::Unknown { known } => {
                let key = self.path.rsplit('.').next().unwrap_or_default();
                format!("unknown key{}", meant(key, known.iter().map(String::as_str), "known key"))
            }
            Problem::Value(words) => words.clone(),
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.words()),
            path => write!(f, "{path}: {}", self.words()),
        }
    }
}

impl std::error::Error for FieldError {}

impl de::Error for FieldError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::value("", message)
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        match found {
            Unexpected::Unit => Self::custom(format_args!("invalid type: null, expected {expected}")),
            found => Self::custom(format_args!("invalid type: {found}, expected {expected}")),
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::missing(field)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::unknown("", field, expected.iter().copied())
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::unknown_value(variant, expected)
    }
}

/// `; the nearest known key is ... (known: ...)`.
fn meant<'k>(given: &str, known: impl Iterator<Item = &'k str> + Clone, what: &str) -> String {
    let Some(near) = nearest(given, known.clone()) else {
        return "; there is none here".into();
    };
    let all: Vec<&str> = known.collect();
    let more = if all.len() > TOLD { ", ..." } else { "" };
    let list = all.iter().take(TOLD).copied().collect::<Vec<_>>().join(", ");
    match all.len() {
        1 => format!("; the only {what} is `{near}`"),
        _ => format!("; the nearest {what} is `{near}` (known: {list}{more})"),
    }
}

/// Text that may come from a file, safe to print: control characters escaped, shortened.
fn shown(text: &str, longest: usize) -> String {
    let mut out = String::new();
    for c in text.chars().take(longest) {
        match c.is_control() {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    if text.chars().nth(longest).is_some() {
        out.push_str("...");
    }
    out
}

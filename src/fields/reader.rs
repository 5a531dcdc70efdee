//! Any type that `serde` knows, from JSON or TOML; errors have the path of what is wrong.

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Number, Value};

use super::error::FieldError;

/// Reads a value of `T` from JSON that was parsed.
///
/// # Errors
/// The first key that is unknown, missing or has a wrong value, with its path below this value.
pub fn from_json<T: DeserializeOwned>(value: &Value) -> Result<T, FieldError> {
    T::deserialize(Node::Json(value))
}

/// Reads a value of `T` from TOML that was parsed.
///
/// # Errors
/// As [`from_json`].
#[cfg(feature = "train")]
pub fn from_toml<T: DeserializeOwned>(value: &toml::Value) -> Result<T, FieldError> {
    T::deserialize(Node::Toml(value))
}

/// A value in either language.
#[derive(Clone, Copy)]
enum Node<'a> {
    Json(&'a Value),
    #[cfg(feature = "train")]
    Toml(&'a toml::Value),
}

impl<'de> Deserializer<'de> for Node<'de> {
    type Error = FieldError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self {
            Self::Json(Value::Null) => visitor.visit_unit(),
            Self::Json(Value::Bool(value)) => visitor.visit_bool(*value),
            Self::Json(Value::Number(number)) => visit_number(number, visitor),
            Self::Json(Value::String(text)) => visitor.visit_str(text),
            Self::Json(Value::Array(items)) => visitor.visit_seq(Items(items.iter().map(Node::Json).enumerate())),
            Self::Json(Value::Object(map)) => {
                visitor.visit_map(Entries::new(map.iter().map(|(k, v)| (k, Node::Json(v)))))
            }
            #[cfg(feature = "train")]
            Self::Toml(value) => match value {
                toml::Value::Boolean(value) => visitor.visit_bool(*value),
                toml::Value::Integer(value) => visitor.visit_i64(*value),
                toml::Value::Float(value) => visitor.visit_f64(*value),
                toml::Value::String(text) => visitor.visit_str(text),
                toml::Value::Datetime(moment) => visitor.visit_string(moment.to_string()),
                toml::Value::Array(items) => visitor.visit_seq(Items(items.iter().map(Node::Toml).enumerate())),
                toml::Value::Table(map) => visitor.visit_map(Entries::new(map.iter().map(|(k, v)| (k, Node::Toml(v))))),
            },
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self {
            Self::Json(Value::Null) => visitor.visit_none(),
            some => visitor.visit_some(some),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        match self {
            Self::Json(Value::String(text)) => visitor.visit_enum(StrDeserializer::new(text)),
            Self::Json(Value::Object(map)) => visitor
                .visit_enum(MapAccessDeserializer::new(Entries::new(map.iter().map(|(k, v)| (k, Node::Json(v)))))),
            #[cfg(feature = "train")]
            Self::Toml(toml::Value::String(text)) => visitor.visit_enum(StrDeserializer::new(text)),
            #[cfg(feature = "train")]
            Self::Toml(toml::Value::Table(map)) => visitor
                .visit_enum(MapAccessDeserializer::new(Entries::new(map.iter().map(|(k, v)| (k, Node::Toml(v)))))),
            other => other.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

fn visit_number<'de, V: Visitor<'de>>(number: &Number, visitor: V) -> Result<V::Value, FieldError> {
    match (number.as_u64(), number.as_i64()) {
        (Some(value), _) => visitor.visit_u64(value),
        (_, Some(value)) => visitor.visit_i64(value),
        _ => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
    }
}

/// The items of a list with their places.
struct Items<I>(I);

impl<'de, I: Iterator<Item = (usize, Node<'de>)>> SeqAccess<'de> for Items<I> {
    type Error = FieldError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, FieldError> {
        let Some((at, node)) = self.0.next() else { return Ok(None) };
        seed.deserialize(node).map(Some).map_err(|e| e.within(&format!("[{at}]")))
    }
}

/// The keys of an object with their values.
struct Entries<'de, I> {
    entries: I,
    open: Option<(&'de String, Node<'de>)>,
}

impl<I> Entries<'_, I> {
    fn new(entries: I) -> Self {
        Self { entries, open: None }
    }
}

impl<'de, I: Iterator<Item = (&'de String, Node<'de>)>> MapAccess<'de> for Entries<'de, I> {
    type Error = FieldError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, FieldError> {
        self.open = self.entries.next();
        let Some((key, _)) = self.open else { return Ok(None) };
        seed.deserialize(StrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, FieldError> {
        let Some((key, node)) = self.open.take() else {
            return Err(FieldError::value("", "a value without a key"));
        };
        seed.deserialize(node).map_err(|e| e.within(key))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        list: Vec<Inner>,
        #[serde(default)]
        choice: Option<Choice>,
        #[serde(default)]
        tagged: Option<Tagged>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        size: u8,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Choice {
        One,
        Two { size: f64 },
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
    enum Tagged {
        Plain { nonzero: bool },
    }

    #[test]
    fn what_is_right_is_read_from_both() {
        let value = json!({"list": [{"size": 3}], "choice": {"two": {"size": 1}}, "tagged": {"kind": "plain", "nonzero": true}});
        let expected = Outer {
            list: vec![Inner { size: 3 }],
            choice: Some(Choice::Two { size: 1.0 }),
            tagged: Some(Tagged::Plain { nonzero: true }),
        };
        assert_eq!(from_json::<Outer>(&value), Ok(expected));
        #[cfg(feature = "train")]
        {
            let table: toml::Value = toml::from_str("list = [{ size = 3 }]\nchoice = 'one'").expect("TOML");
            let read: Outer = from_toml(&table).expect("the same");
            assert_eq!((read.list, read.choice), (vec![Inner { size: 3 }], Some(Choice::One)));
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_path() {
        for (value, words) in [
            (json!({}), "list: this required key is missing"),
            (json!({"list": null}), "list: invalid type: null, expected a sequence"),
            (json!({"list": [{"size": 3}, {"size": 300}]}), "list[1].size: invalid value: integer `300`, expected u8"),
            (json!({"list": [{"sise": 3}]}), "list[0].sise: unknown key; the only known key is `size`"),
            (
                json!({"list": [], "tagged": {"kind": "plain", "non_zero": true}}),
                "tagged.non_zero: unknown key; the only known key is `nonzero`",
            ),
            (
                json!({"list": [], "choice": "tow"}),
                "choice: unknown value `tow`; the nearest known value is `two` (known: one, two)",
            ),
            (
                json!({"list": [], "choise": 1}),
                "choise: unknown key; the nearest known key is `choice` (known: list, choice, tagged)",
            ),
            (json!({"list": [], "a\u{1b}[31m": 1}), "a\\u{1b}[31m: unknown key;"),
        ] {
            let error = from_json::<Outer>(&value).expect_err(words).to_string();
            assert!(error.starts_with(words), "{error}\nis not: {words}");
        }
    }
}

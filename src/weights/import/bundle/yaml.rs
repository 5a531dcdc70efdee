//! YAML as PyYAML's safe loader reads it, which MONAI uses: the scalars of YAML 1.1, anchors, aliases and merge keys.
//!
//! Depth and number of values are bounded, aliases included. Keys become text; what is neither number, boolean nor null is
//! text, dates too. Source: PyYAML's `resolver.py`; <https://yaml.org/type/>.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::{Map, Number, Value};

/// Levels within each other at most, as `serde_json` has a limit too.
const MAX_DEPTH: usize = 100;
/// Values at most, those that an alias repeats counted again.
const MAX_VALUES: usize = 200_000;

/// Reads the one document of a text, which must be a mapping.
///
/// # Errors
/// What is wrong, with the line where that is known.
pub(super) fn parse(text: &str) -> Result<Map<String, Value>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| format!("not valid YAML: {e}"))?;
        builder.take(event).map_err(|problem| format!("line {}: {problem}", span.start.line()))?;
    }
    match builder.root {
        Some(Value::Object(map)) => Ok(map),
        Some(_) => Err("expected a mapping of names to values".to_owned()),
        None => Err("there is nothing in it".to_owned()),
    }
}

/// A list or mapping that is not complete yet.
enum Open {
    List(Vec<Value>),
    Map { map: Map<String, Value>, key: Option<String>, merged: Vec<Map<String, Value>> },
}

#[derive(Default)]
struct Builder {
    open: Vec<(Open, usize)>,
    anchors: BTreeMap<usize, (Value, usize)>,
    root: Option<Value>,
    documents: usize,
    values: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err("a second document begins; one is expected".to_owned());
                }
            }
            Event::Alias(anchor) => {
                let (value, size) = self.anchors.get(&anchor).cloned().ok_or("an alias of what is not complete yet")?;
                self.count(size)?;
                return self.put(value);
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1)?;
                let value = scalar(&text, style, tag.as_deref())?;
                self.keep(anchor, &value, 1);
                return self.put(value);
            }
            Event::SequenceStart(anchor, _) => self.begin(Open::List(Vec::new()), anchor)?,
            Event::MappingStart(anchor, _) => {
                self.begin(Open::Map { map: Map::new(), key: None, merged: Vec::new() }, anchor)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some((open, anchor)) = self.open.pop() else { return Ok(()) };
                let value = match open {
                    Open::List(items) => Value::Array(items),
                    Open::Map { mut map, merged, .. } => {
                        for (key, value) in merged.into_iter().flatten() {
                            map.entry(key).or_insert(value);
                        }
                        Value::Object(map)
                    }
                };
                if anchor > 0 {
                    let size = size(&value);
                    self.keep(anchor, &value, size);
                }
                return self.put(value);
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn count(&mut self, values: usize) -> Result<(), String> {
        self.values = self.values.saturating_add(values);
        match self.values > MAX_VALUES {
            true => Err(format!("more than {MAX_VALUES} values, aliases counted")),
            false => Ok(()),
        }
    }

    fn keep(&mut self, anchor: usize, value: &Value, size: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, (value.clone(), size));
        }
    }

    fn begin(&mut self, open: Open, anchor: usize) -> Result<(), String> {
        self.count(1)?;
        if self.open.len() >= MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} levels within each other"));
        }
        self.open.push((open, anchor));
        Ok(())
    }

    fn put(&mut self, value: Value) -> Result<(), String> {
        match self.open.last_mut() {
            None => self.root = Some(value),
            Some((Open::List(items), _)) => items.push(value),
            Some((Open::Map { map, key, merged }, _)) => match key.take() {
                None => *key = Some(text_of(value)?),
                Some(key) if key == "<<" => merged.extend(maps(value)?),
                Some(key) => {
                    if map.contains_key(&key) {
                        return Err(format!("duplicate key {key:?}"));
                    }
                    map.insert(key, value);
                }
            },
        }
        Ok(())
    }
}

fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(map) => map.values().map(size).sum(),
        _ => 0,
    }
}

fn text_of(key: Value) -> Result<String, String> {
    match key {
        Value::String(text) => Ok(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(key.to_string()),
        Value::Array(_) | Value::Object(_) => Err("a key that is a list or a mapping".to_owned()),
    }
}

fn maps(value: Value) -> Result<Vec<Map<String, Value>>, String> {
    let list = match value {
        Value::Array(items) => items,
        one => vec![one],
    };
    let map = |value| match value {
        Value::Object(map) => Ok(map),
        _ => Err("<< merges mappings alone".to_owned()),
    };
    list.into_iter().map(map).collect()
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let asked = tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str());
    match (asked, tag, style) {
        (Some("str"), ..) => Ok(text.into()),
        (Some("int" | "float" | "bool" | "null"), ..) | (None, None, ScalarStyle::Plain) => Ok(plain(text)),
        (None, None, _) => Ok(text.into()),
        (_, Some(tag), _) if tag.handle.is_empty() && tag.suffix == "!" => Ok(text.into()),
        (_, Some(tag), _) => Err(format!("the tag {tag} is not read")),
        _ => Ok(text.into()),
    }
}

/// What a word without quotes is.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => true.into(),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => false.into(),
        _ => integer(text).or_else(|| float(text)).map_or_else(|| text.into(), Value::Number),
    }
}

fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = digits.starts_with(|c: char| c.is_ascii_digit()).then(|| digits.replace('_', ""))?;
    let value = match digits.as_str() {
        "0" => 0,
        other => match (other.strip_prefix("0b"), other.strip_prefix("0x"), other.strip_prefix('0')) {
            (Some(binary), ..) => i64::from_str_radix(binary, 2).ok()?,
            (_, Some(hex), _) => i64::from_str_radix(hex, 16).ok()?,
            (_, _, Some(octal)) => i64::from_str_radix(octal, 8).ok()?,
            _ => other.parse().ok()?,
        },
    };
    Some(if negative { -value } else { value }.into())
}

/// With a point, and a sign in the exponent: `1e-3` is text in YAML 1.1.
fn float(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, part) = mantissa.split_once('.')?;
    let digits = |s: &str| s.chars().all(|c| c.is_ascii_digit() || c == '_');
    let begins = if whole.is_empty() { part } else { whole };
    let signed = exponent.is_none_or(|e| {
        e.strip_prefix(['-', '+']).is_some_and(|e| !e.is_empty() && e.chars().all(|c| c.is_ascii_digit()))
    });
    if !begins.starts_with(|c: char| c.is_ascii_digit()) || !digits(whole) || !digits(part) || !signed {
        return None;
    }
    Number::from_f64(text.replace('_', "").parse().ok()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_are_those_of_pyyaml() {
        for (text, value) in [
            ("1", json!(1)),
            ("-12", json!(-12)),
            ("0x1F", json!(31)),
            ("010", json!(8)),
            ("1_000", json!(1000)),
            ("1.5", json!(1.5)),
            ("1.", json!(1.0)),
            (".5", json!(0.5)),
            ("1.0e-3", json!(0.001)),
            ("1e-3", json!("1e-3")),
            ("1.5e3", json!("1.5e3")),
            ("yes", json!(true)),
            ("Off", json!(false)),
            ("~", json!(null)),
            ("", json!(null)),
            ("'1'", json!("1")),
            ("!!str 1", json!("1")),
            ("! 1", json!("1")),
            ("2022-03-24", json!("2022-03-24")),
            ("1.2.3", json!("1.2.3")),
            ("$@bundle_root + '/models/model.pt'", json!("$@bundle_root + '/models/model.pt'")),
            ("\"@image_key\"", json!("@image_key")),
            ("[1, {a: b}]", json!([1, {"a": "b"}])),
            (".inf", json!(".inf")),
            ("9223372036854775808", json!("9223372036854775808")),
        ] {
            assert_eq!(parse(&format!("a: {text}\n")).map(|map| map["a"].clone()), Ok(value), "{text}");
        }
    }

    #[test]
    fn blocks_comments_anchors_and_merges_are_read() {
        let text =
            "---\n# said\nbase: &b\n  x: 1\n  y: [1, 2]\nkind:\n  <<: *b\n  x: 2\nlist:\n- *b\n-\n  - 3\n0: zero\n";
        let expected = json!({
            "base": {"x": 1, "y": [1, 2]}, "kind": {"x": 2, "y": [1, 2]}, "list": [{"x": 1, "y": [1, 2]}, [3]], "0": "zero",
        });
        assert_eq!(parse(text).map(Value::Object), Ok(expected));
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let mut laughs = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
        for level in 1..12 {
            let of = format!("*a{}", level - 1);
            laughs += &format!("a{level}: &a{level} [{}]\n", [of.as_str(); 10].join(", "));
        }
        let deep = format!("a: {}", "[".repeat(5000));
        for (text, words) in [
            ("a: 1\na: 2\n", "line 2: duplicate key \"a\""),
            ("a: [1\n", "not valid YAML"),
            ("- 1\n", "expected a mapping"),
            ("", "there is nothing in it"),
            ("a: 1\n---\nb: 2\n", "a second document"),
            ("a: !!python/object:os.system x\n", "is not read"),
            ("a: &x [*x]\n", "an alias of what is not complete"),
            (laughs.as_str(), "more than 200000 values"),
            (deep.as_str(), ""),
        ] {
            let error = parse(text).expect_err(words);
            assert!(error.contains(words), "{error}\nis not: {words}");
        }
    }
}

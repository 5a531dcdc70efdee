//! What a dataset calls its channels and labels.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::fields::FieldError;

/// Label values with their names, and regions with their values.
type Labels = (BTreeMap<u16, String>, Vec<(String, Vec<u16>)>);

/// `{"0": "FLAIR", "1": "T1w"}` or `["FLAIR", "T1w"]`.
pub(super) fn channels(map: &Map<String, Value>) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match map.get("modality").or_else(|| map.get("channel_names")) {
        Some(Value::Array(names)) => names.iter().filter_map(text).collect(),
        Some(Value::Object(names)) => {
            let numbered = names.iter().filter_map(|(number, name)| Some((number.parse::<u32>().ok()?, text(name)?)));
            numbered.collect::<BTreeMap<_, _>>().into_values().collect()
        }
        _ => Vec::new(),
    }
}

/// `{"1": "anterior"}` as the Decathlon writes it, `{"anterior": 1}` as nnU-Net does, or `{"whole tumor": [1, 2, 3]}` of
/// its regions.
///
/// # Errors
/// A value that is neither; a label above 65535.
pub(super) fn labels(map: &Map<String, Value>) -> Result<Labels, FieldError> {
    let (mut labels, mut regions) = (BTreeMap::new(), Vec::new());
    let Some(Value::Object(named)) = map.get("labels") else {
        return Ok((labels, regions));
    };
    let number = |value: &Value| value.as_u64().and_then(|n| u16::try_from(n).ok());
    for (key, value) in named {
        let bad = |problem: &str| FieldError::value(format!("labels.{key}"), format_args!("{value}: {problem}"));
        match value {
            Value::String(text) => {
                let (value, name) = match (key.parse(), text.parse()) {
                    (Ok(value), _) => (value, text),
                    (_, Ok(value)) => (value, key),
                    _ => return Err(bad("a label is a number with its name, or a name with its number")),
                };
                labels.insert(value, name.clone());
            }
            Value::Number(_) => {
                let value = number(value).ok_or_else(|| bad("labels are whole numbers from 0 to 65535"))?;
                if let Some(other) = labels.insert(value, key.clone()) {
                    return Err(bad(&format!("'{other}' has this number too")));
                }
            }
            Value::Array(values) => {
                let values: Option<Vec<u16>> = values.iter().map(number).collect();
                let values =
                    values.filter(|v| !v.is_empty()).ok_or_else(|| bad("a region is a list of label values"))?;
                regions.push((key.clone(), values));
            }
            _ => return Err(bad("a number, or a list of numbers for a region, is needed")),
        }
    }
    Ok((labels, regions))
}

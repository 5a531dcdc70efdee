//! `dataset.json`: what the channels show, and the labels or regions that come out.

use serde_json::{Map, Value, json};

use super::super::super::error::WeightsError;
use super::super::fields::palette;
use super::{DATASET, field};

/// The parts that a package needs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dataset {
    /// Names of the channels, in their order.
    pub channels: Vec<String>,
    labels: Labels,
}

#[derive(Clone, Debug, PartialEq)]
enum Labels {
    /// Names of the values 0, 1, 2...
    Classes(Vec<String>),
    /// Name of each channel's region, and the value it paints.
    Regions(Vec<(String, u64)>),
}

impl Dataset {
    /// # Errors
    /// A key that is missing or has a value that it cannot have.
    pub fn read(json: &Map<String, Value>) -> Result<Self, WeightsError> {
        Ok(Self { channels: channels(json)?, labels: labels(json)? })
    }

    /// Channels of the logits.
    pub fn heads(&self) -> usize {
        match &self.labels {
            Labels::Classes(names) => names.len(),
            Labels::Regions(regions) => regions.len(),
        }
    }

    /// The package's `output`.
    pub fn output(&self) -> Value {
        let label = |value: u64, name: &str| json!({"value": value, "name": name, "color": palette(value)});
        match &self.labels {
            Labels::Classes(names) => {
                let named = (0..).zip(names).skip(1);
                let labels: Vec<Value> = named.map(|(value, name)| label(value, name)).collect();
                json!({"activation": "softmax", "labels": labels, "resample": "logits"})
            }
            Labels::Regions(regions) => {
                let painted: Vec<Value> = (0..)
                    .zip(regions)
                    .map(|(channel, (_, value)): (usize, _)| json!({"channel": channel, "value": value}))
                    .collect();
                let mut labels: Vec<(u64, &str)> = Vec::new();
                // A value that several regions paint has the name of the last.
                for (name, value) in regions.iter().rev() {
                    if !labels.iter().any(|(known, _)| known == value) {
                        labels.push((*value, name));
                    }
                }
                labels.sort_unstable();
                let labels: Vec<Value> = labels.into_iter().map(|(value, name)| label(value, name)).collect();
                json!({"activation": "sigmoid", "regions": painted, "labels": labels, "resample": "logits"})
            }
        }
    }
}

fn channels(json: &Map<String, Value>) -> Result<Vec<String>, WeightsError> {
    let key = if json.contains_key("channel_names") { "channel_names" } else { "modality" };
    let names = json.get(key).and_then(Value::as_object);
    let names = names.ok_or_else(|| field(DATASET, "channel_names", "an object of numbers and names is needed"))?;
    let mut numbered = Vec::new();
    for (number, name) in names {
        let number: usize =
            number.parse().map_err(|_| field(DATASET, &format!("{key}.{number}"), "it is no number"))?;
        let name = name.as_str().ok_or_else(|| field(DATASET, &format!("{key}.{number}"), "a name is needed"))?;
        numbered.push((number, name.to_owned()));
    }
    numbered.sort();
    if numbered.is_empty() || numbered.iter().enumerate().any(|(at, (number, _))| at != *number) {
        return Err(field(DATASET, key, "the channels are numbered from 0 without a gap"));
    }
    Ok(numbered.into_iter().map(|(_, name)| name).collect())
}

/// A label's value, or the values of a region.
fn values(path: &str, value: &Value) -> Result<Vec<u64>, WeightsError> {
    let one = |value: &Value| {
        let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
        number.ok_or_else(|| field(DATASET, path, format_args!("{value} is no label: whole numbers from 0 are")))
    };
    match value {
        Value::Array(list) if list.is_empty() => Err(field(DATASET, path, "the region is empty")),
        Value::Array(list) => list.iter().map(one).collect(),
        other => Ok(vec![one(other)?]),
    }
}

fn labels(json: &Map<String, Value>) -> Result<Labels, WeightsError> {
    let object = json.get("labels").and_then(Value::as_object);
    let object = object.ok_or_else(|| field(DATASET, "labels", "an object of names and values is needed"))?;
    let mut named = Vec::new();
    for (name, value) in object.iter().filter(|(name, _)| *name != "ignore") {
        named.push((name.clone(), values(&format!("labels.{name}"), value)?));
    }
    match named.iter().find(|(name, _)| name == "background") {
        Some((_, values)) if *values == [0] => {}
        Some(_) => return Err(field(DATASET, "labels.background", "the background is 0")),
        None => {
            return Err(field(DATASET, "labels.background", "it is missing: a label of this name with the value 0"));
        }
    }
    let regions =
        object.iter().any(|(name, value)| name != "ignore" && value.as_array().is_some_and(|list| list.len() > 1));
    if regions { regions_of(json, &named) } else { classes_of(&named) }
}

/// Classes with the background: the channel of the largest logit is the label.
fn classes_of(named: &[(String, Vec<u64>)]) -> Result<Labels, WeightsError> {
    let mut sorted: Vec<(u64, &str)> =
        named.iter().filter_map(|(name, values)| Some((*values.first()?, name.as_str()))).collect();
    sorted.sort_unstable();
    sorted.dedup_by_key(|(value, _)| *value);
    if sorted.iter().enumerate().any(|(at, (value, _))| at as u64 != *value) {
        let list: Vec<String> = sorted.iter().map(|(value, _)| value.to_string()).collect();
        let problem = format!("the values {} have a gap: the label is the number of the channel", list.join(", "));
        return Err(field(DATASET, "labels", problem));
    }
    Ok(Labels::Classes(sorted.into_iter().map(|(_, name)| name.to_owned()).collect()))
}

/// Regions without the background, painted one after the other.
fn regions_of(json: &Map<String, Value>, named: &[(String, Vec<u64>)]) -> Result<Labels, WeightsError> {
    let key = "regions_class_order";
    let order = json.get(key).and_then(Value::as_array);
    let order = order
        .ok_or_else(|| field(DATASET, key, "it is missing: labels that are regions need the value each paints"))?;
    let regions: Vec<&str> =
        named.iter().filter(|(_, values)| values.iter().any(|v| *v != 0)).map(|(name, _)| name.as_str()).collect();
    if order.len() != regions.len() {
        let problem =
            format!("it has {} values, and there are {} regions: {}", order.len(), regions.len(), regions.join(", "));
        return Err(field(DATASET, key, problem));
    }
    let paint = |(at, (name, value)): (usize, (&str, &Value))| {
        let path = format!("{key}[{at}]");
        let value = values(&path, value)?.first().copied().filter(|value| (1..65535).contains(value));
        let value = value.ok_or_else(|| field(DATASET, &path, "a value from 1 to 65534 is painted"))?;
        Ok((name.to_owned(), value))
    };
    Ok(Labels::Regions(regions.into_iter().zip(order).enumerate().map(paint).collect::<Result<_, WeightsError>>()?))
}

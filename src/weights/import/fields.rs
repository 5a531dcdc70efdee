//! The package's fields that a state dict cannot tell: as given, else neutral and reported.

use serde_json::{Map, Value, json};

use super::super::package::{BratsOrder, Format};
use crate::nets::Architecture;

/// The object of the whole package: `given`, the resolved network, and neutral values for the rest.
///
/// Values of a wrong type are left for the package's own reader to refuse.
pub(super) fn complete(
    given: Map<String, Value>,
    network: &Architecture,
    warnings: &mut Vec<String>,
) -> Map<String, Value> {
    let mut object = given;
    let format = Format::needed_by(&object);
    object.entry("format").or_insert_with(|| json!(format.name()));
    let mut section = take_section(&mut object, "network");
    if let (Some(section), Value::Object(network)) = (section.as_object_mut(), json!(network)) {
        section.extend(network);
    }
    object.insert("network".into(), section);

    let texts = [("name", "imported"), ("version", "0.0.0"), ("licence", "unknown"), ("citation", "")];
    for (key, neutral) in texts {
        fill(&mut object, "", key, json!(neutral), warnings);
    }
    let channels: Vec<String> = (1..=network.in_channels()).map(|channel| format!("channel_{channel}")).collect();
    let mut input = vec![("channels", json!(channels))];
    input.extend(match object.get("format").and_then(Value::as_str) {
        Some(name) if name == Format::Steps.name() => vec![("steps", json!([]))],
        _ => vec![
            ("orientation", Value::Null),
            ("spacing", Value::Null),
            ("crop_foreground", json!(false)),
            ("intensity", Value::Null),
        ],
    });
    fill_section(&mut object, "input", input, warnings);
    if let Some(Value::Object(intensity)) = object.get_mut("input").and_then(|input| input.get_mut("intensity")) {
        let switches: &[&str] = match intensity.get("kind").and_then(Value::as_str) {
            Some("scale_range") => &["clip"],
            Some("normalize") => &["nonzero", "channel_wise"],
            _ => &[],
        };
        for key in switches {
            fill(intensity, "input.intensity", key, json!(false), warnings);
        }
    }
    fill_output(&mut object, network, warnings);
    let inference = [
        ("roi_size", json!(network.window().default_size())),
        ("overlap", json!(0.5)),
        ("blend", json!("gaussian")),
        ("sigma_scale", json!(0.125)),
    ];
    fill_section(&mut object, "inference", inference.to_vec(), warnings);
    object
}

/// Softmax over the channels, or, for a single channel, a sigmoid that paints 1.
fn fill_output(object: &mut Map<String, Value>, network: &Architecture, warnings: &mut Vec<String>) {
    let classes = network.out_channels();
    if let Some(output) = object.get_mut("output").and_then(Value::as_object_mut)
        && let Some(order) = output.get("regions").and_then(Value::as_str).and_then(BratsOrder::named)
        && classes == order.regions.len()
    {
        output.insert("regions".into(), order.regions());
        if !output.contains_key("labels") {
            let names: Vec<String> = order.regions.iter().map(|r| format!("{} {}", r.value, r.label)).collect();
            warnings.push(format!("output.labels is not given; taken as {} of {}", names.join(", "), order.name));
            output.insert("labels".into(), order.labels());
        }
    }
    let neutral = if classes == 1 { "sigmoid" } else { "softmax" };
    let activation = object.get("output").and_then(|output| output.get("activation"));
    let sigmoid = activation.map_or(classes == 1, |activation| activation == "sigmoid");
    let mut output = vec![("activation", json!(neutral))];
    let mut values: Vec<u64> = (1..classes as u64).collect();
    if sigmoid {
        let each: Vec<Value> = (0..classes).map(|channel| json!({"channel": channel, "value": channel + 1})).collect();
        let given = object.get("output").and_then(|output| output.get("regions")).and_then(Value::as_array);
        let painted = given.unwrap_or(&each).iter().filter_map(|region| region.get("value")?.as_u64());
        values = painted.filter(|&value| value > 0).collect();
        values.sort_unstable();
        values.dedup();
        output.push(("regions", json!(each)));
    }
    let label = |&value: &u64| json!({"value": value, "name": format!("class_{value}"), "color": palette(value)});
    output.push(("labels", values.iter().map(label).collect()));
    fill_section(object, "output", output, warnings);
}

/// Colours far apart for neighbouring values: hues by the golden angle.
pub(super) fn palette(value: u64) -> String {
    let hue = (value as f64 * 0.618_033_988_749_895).fract() * 6.0;
    let channel = |shift: f64| {
        let distance = (hue + shift).rem_euclid(6.0) - 3.0;
        (64.0 + 176.0 * (distance.abs() - 1.0).clamp(0.0, 1.0)).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", channel(0.0), channel(4.0), channel(2.0))
}

fn take_section(object: &mut Map<String, Value>, key: &str) -> Value {
    object.remove(key).unwrap_or_else(|| Value::Object(Map::new()))
}

fn fill_section(object: &mut Map<String, Value>, name: &str, neutral: Vec<(&str, Value)>, warnings: &mut Vec<String>) {
    let mut section = take_section(object, name);
    if let Some(section) = section.as_object_mut() {
        for (key, value) in neutral {
            fill(section, name, key, value, warnings);
        }
    }
    object.insert(name.into(), section);
}

fn fill(object: &mut Map<String, Value>, section: &str, key: &str, neutral: Value, warnings: &mut Vec<String>) {
    if !object.contains_key(key) {
        let dot = if section.is_empty() { "" } else { "." };
        let shown = match key {
            "labels" => "class_1 and so on".to_string(),
            _ => neutral.to_string(),
        };
        warnings.push(format!("{section}{dot}{key} is not given; taken as {shown}"));
        object.insert(key.into(), neutral);
    }
}

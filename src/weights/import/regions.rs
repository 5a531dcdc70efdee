//! What a sigmoid network's channels paint: no shape tells it, and no guess is made.

use serde_json::{Map, Value};

use super::super::error::WeightsError;
use super::super::package::BRATS_ORDERS;
use crate::fields::nearest;
use crate::nets::Undetermined;

/// What to ask for, where a sigmoid network of several channels is given without regions.
pub(super) fn undetermined(given: &Map<String, Value>, channels: usize) -> Result<Option<Undetermined>, WeightsError> {
    let output = given.get("output");
    let regions = output.and_then(|output| output.get("regions"));
    let known = BRATS_ORDERS.each_ref().map(|order| order.name);
    if let Some(name) = regions.and_then(Value::as_str) {
        let problem = match known.contains(&name) {
            true if channels == 3 => None,
            true => Some(format!("\"{name}\" is of 3 channels, the checkpoint has {channels}")),
            false => {
                let near = nearest(name, known).unwrap_or_default();
                Some(format!("unknown name; the nearest is \"{near}\" (known: {})", known.join(", ")))
            }
        };
        return problem.map_or(Ok(None), |problem| Err(WeightsError::field("output.regions", problem)));
    }
    let sigmoid = output.and_then(|output| output.get("activation")).is_some_and(|a| a == "sigmoid");
    if !sigmoid || channels < 2 || regions.is_some() {
        return Ok(None);
    }
    let mut hint = format!(
        r#"the value that each of the {channels} channels paints, later over earlier, as [{{"channel": 0, "value": 1}}, ...]"#
    );
    if channels == 3 {
        let names = known.map(|name| format!("\"{name}\""));
        hint += &format!(
            "; of BraTS by name: {}: MONAI's channels are tumour core, whole tumour, enhancing tumour, nnU-Net's whole, core, enhancing",
            names.join(", ")
        );
    }
    Ok(Some(Undetermined { field: "output.regions".into(), hint }))
}

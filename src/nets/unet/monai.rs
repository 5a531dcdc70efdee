//! UNet in MONAI: how it is known by its tensors, and what its shapes tell. They tell all but the strides; those are asked for,
//! and so are options that leave the shapes as they are (`act` without slopes, affine norms of instances or groups).

use serde_json::json;

use super::UNetConfig;
use crate::fields::Section;
use crate::nets::dialect::{Dialect, DialectError, Shapes, Undetermined, completed, count, extents};
use crate::nets::layers::act::ActName;
use crate::nets::layers::norm::NormName;
use crate::nets::network::Architecture;

/// MONAI's names.
pub struct Monai;

/// Path of the topmost way down's first convolution, plain or in a residual unit.
fn first_conv(shapes: &Shapes, level: &str) -> Option<String> {
    ["0.conv", "0.conv.unit0.conv"]
        .iter()
        .map(|end| format!("{level}{end}"))
        .find(|p| shapes.has(&format!("{p}.weight")))
}

impl Dialect for Monai {
    fn anchors(&self) -> &'static [&'static str] {
        &["model.2.conv.weight", "model.2.0.conv.weight"]
    }

    fn recognise(&self, shapes: &Shapes) -> bool {
        first_conv(shapes, "model.").is_some() && shapes.names().any(|name| name.starts_with("model.1.submodule."))
    }

    fn out_channels(&self, shapes: &Shapes) -> Result<usize, DialectError> {
        let up = if shapes.has("model.2.conv.weight") { "model.2.conv.weight" } else { "model.2.0.conv.weight" };
        shapes.axis(up, 1, 5)
    }

    fn infer(&self, shapes: &Shapes, given: &Section<'_>) -> Result<Architecture, DialectError> {
        let missing = || DialectError::Other { problem: "its levels are not those of a UNet".to_owned() };
        let mut channels = Vec::new();
        let mut level = "model.".to_owned();
        while let Some(path) = first_conv(shapes, &level) {
            channels.push(shapes.axis(&format!("{path}.weight"), 0, 5)?);
            level.push_str("1.submodule.");
        }
        let bottom = ["conv", "conv.unit0.conv"].iter().map(|end| format!("{level}{end}.weight"));
        let bottom = bottom.into_iter().find(|name| shapes.has(name)).ok_or_else(missing)?;
        channels.push(shapes.axis(&bottom, 0, 5)?);
        let first = first_conv(shapes, "model.").ok_or_else(missing)?;
        let residual = first.contains("unit0");
        let units = count(shapes, |u| format!("model.0.conv.unit{u}.conv.weight"));
        let up = if residual { "model.2.0.conv" } else { "model.2.conv" };
        let adn = first.trim_end_matches(".conv").to_owned() + ".adn";
        let affine = shapes.has(&format!("{adn}.N.weight"));
        let batch = shapes.has(&format!("{adn}.N.running_mean"));
        let mut open = Vec::new();
        let mut ask = |field: &str, hint: &str| {
            if !given.has(field) {
                open.push(Undetermined { field: format!("network.{field}"), hint: hint.to_owned() });
            }
        };
        ask("strides", &format!("{} strides, one from each level to the next, such as 2", channels.len() - 1));
        if affine && !batch {
            ask("norm", r#"["instance", {"affine": true}] or ["group", {"num_groups": ...}]"#);
        }
        let slopes = shapes.get(&format!("{adn}.A.weight")).map(|s| s.iter().product());
        if slopes.is_none() {
            ask("act", "its activation has no weights: RELU, LEAKYRELU or GELU");
        }
        if !open.is_empty() {
            return Err(DialectError::Undetermined(open));
        }
        let norm = if batch { NormName::Batch { affine } } else { NormName::Instance { affine } };
        let act = slopes.map_or_else(ActName::default, |num_parameters| ActName::Prelu { num_parameters, init: 0.25 });
        let found = json!({
            "in_channels": shapes.axis(&format!("{first}.weight"), 1, 5)?,
            "out_channels": self.out_channels(shapes)?,
            "channels": channels, "num_res_units": units, "bias": shapes.has(&format!("{first}.bias")),
            "kernel_size": extents(shapes, &format!("{first}.weight"))?,
            "up_kernel_size": extents(shapes, &format!("{up}.weight"))?,
            "norm": norm, "act": act,
        });
        Ok(UNetConfig::read(&Section::at("network", &completed(given, found)))?)
    }
}

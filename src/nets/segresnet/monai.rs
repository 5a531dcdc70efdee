//! SegResNet in MONAI: how it is known by its tensors, and what its shapes tell: all but what leaves the shapes as they are, which
//! is asked for (`act` without slopes, affine norms of instances or groups).

use serde_json::{Map, Value, json};

use super::config::{SegResNetConfig, UpsampleMode};
use crate::fields::Section;
use crate::nets::dialect::{Dialect, DialectError, Shapes, Undetermined, Unused};
use crate::nets::layers::act::ActName;
use crate::nets::layers::norm::NormName;
use crate::nets::network::Architecture;

/// Modules in the order in which MONAI registers them.
pub(super) const MODULES: &[&str] = &[
    "convInit",
    "down_layers",
    "up_layers",
    "up_samples",
    "conv_final",
    "norm1",
    "norm2",
    "act",
    "conv1",
    "conv2",
    "conv",
    "deconv",
    "weight",
    "bias",
    "running_mean",
    "running_var",
];

/// MONAI's names.
pub struct Monai;

/// Number of residual blocks in `level`, from block `first` on.
pub(in crate::nets) fn blocks(shapes: &Shapes, level: &str, first: usize) -> usize {
    (first..).take_while(|i| shapes.has(&format!("{level}.{i}.conv1.conv.weight"))).count()
}

/// What norm and activation are, and what of them is open. `norm` is the path of any norm, `slopes` of its activation's slopes.
pub(in crate::nets) fn norm_and_act(
    shapes: &Shapes,
    given: &Section<'_>,
    norm: &str,
    slopes: &str,
    hints: [&str; 2],
) -> Result<(NormName, ActName), DialectError> {
    let affine = shapes.has(&format!("{norm}.weight"));
    let batch = shapes.has(&format!("{norm}.running_mean"));
    let slopes = shapes.get(slopes).map(|s| s.iter().product());
    let mut open = Vec::new();
    let mut ask = |field: &str, hint: &str| {
        open.push(Undetermined { field: format!("network.{field}"), hint: hint.to_owned() });
    };
    if affine && !batch && !given.has("norm") && !given.has("norm_name") {
        ask("norm", hints[0]);
    }
    if slopes.is_none() && !given.has("act") {
        ask("act", hints[1]);
    }
    if !open.is_empty() {
        return Err(DialectError::Undetermined(open));
    }
    let norm = if batch { NormName::Batch { affine } } else { NormName::Instance { affine } };
    let act = slopes.map_or_else(ActName::default, |num_parameters| ActName::Prelu { num_parameters, init: 0.25 });
    Ok((norm, act))
}

impl Dialect for Monai {
    fn anchors(&self) -> &'static [&'static str] {
        &["convInit.conv.weight"]
    }

    fn recognise(&self, shapes: &Shapes) -> bool {
        shapes.has("convInit.conv.weight") && shapes.has("conv_final.2.conv.weight")
    }

    fn out_channels(&self, shapes: &Shapes) -> Result<usize, DialectError> {
        shapes.axis("conv_final.2.conv.weight", 0, 5)
    }

    fn infer(&self, shapes: &Shapes, given: &Section<'_>) -> Result<Architecture, DialectError> {
        let hints = [
            r#"["group", {"num_groups": 8}] as MONAI has it, or ["instance", {"affine": true}]"#,
            "its activation has no weights: RELU as MONAI has it, LEAKYRELU or GELU",
        ];
        let (norm, act) = norm_and_act(shapes, given, "conv_final.0", "conv_final.1.weight", hints)?;
        let level = |i: usize| format!("down_layers.{i}");
        let below = (1..).take_while(|&i| shapes.has(&format!("{}.0.conv.weight", level(i)))).count();
        let ups = (0..).take_while(|i| shapes.has(&format!("up_samples.{i}.0.conv.weight"))).count();
        let upsample_mode = match () {
            () if shapes.has("up_samples.0.1.deconv.weight") => json!(UpsampleMode::Deconv),
            () if shapes.has("up_samples.0.1.deconvgroup.weight") => json!("deconvgroup"),
            () if shapes.has("up_samples.0.1.pixelshuffle.conv_block.weight") => json!("pixelshuffle"),
            () => json!(UpsampleMode::Nontrainable),
        };
        let found = json!({
            "init_filters": shapes.axis("convInit.conv.weight", 0, 5)?,
            "in_channels": shapes.axis("convInit.conv.weight", 1, 5)?,
            "out_channels": self.out_channels(shapes)?,
            "blocks_down": (0..=below).map(|i| blocks(shapes, &level(i), 1)).collect::<Vec<_>>(),
            "blocks_up": (0..ups).map(|i| blocks(shapes, &format!("up_layers.{i}"), 0)).collect::<Vec<_>>(),
            "upsample_mode": upsample_mode, "norm": norm, "act": act,
        });
        Ok(SegResNetConfig::read(&Section::at("network", &filled(given, found)))?)
    }
}

/// What was given, and what the shapes tell of the rest. What contradicts the shapes is found where the tensors are.
pub(in crate::nets) fn filled(given: &Section<'_>, found: Value) -> Map<String, Value> {
    let mut arguments = given.map().clone();
    if let Value::Object(found) = found {
        for (key, value) in found {
            arguments.entry(key).or_insert(value);
        }
    }
    arguments
}

/// Whether MONAI stores `name` for this network without using it: an activation's slopes a second time, and an output
/// convolution that is left out.
pub(super) fn is_unused(network: &SegResNetConfig, name: &str) -> bool {
    name == "act_mod.weight" || (!network.use_conv_final && name.starts_with("conv_final."))
}

/// The tensors that MONAI stores without using them.
pub(super) fn unused(network: &SegResNetConfig) -> Vec<Unused> {
    let mut list = Vec::new();
    let mut push = |name: &str, shape: &[usize], value| {
        list.push(Unused { name: name.to_owned(), shape: shape.to_vec(), value });
    };
    let slopes =
        if let ActName::Prelu { num_parameters, init } = network.act { Some((num_parameters, init)) } else { None };
    if let Some((count, init)) = slopes {
        push("act_mod.weight", &[count], init);
    }
    if network.use_conv_final {
        return list;
    }
    let filters = network.init_filters;
    if network.norm.affine() {
        push("conv_final.0.weight", &[filters], 1.0);
        push("conv_final.0.bias", &[filters], 0.0);
    }
    if let NormName::Batch { .. } = network.norm {
        push("conv_final.0.running_mean", &[filters], 0.0);
        push("conv_final.0.running_var", &[filters], 1.0);
    }
    if let Some((count, init)) = slopes {
        push("conv_final.1.weight", &[count], init);
    }
    push("conv_final.2.conv.weight", &[network.out_channels, filters, 1, 1, 1], 0.0);
    push("conv_final.2.conv.bias", &[network.out_channels], 0.0);
    list
}

//! nnU-Net's networks by their tensors. A state dict holds every convolution and norm twice (`convs.0.conv`,
//! `convs.0.all_modules.0`) and the encoder once more below `decoder.encoder`. Shapes tell everything but the activation,
//! which is nnU-Net's leaky ReLU unless something else is given, and whether coarser heads are to be trained: they are where
//! they are stored.

use serde_json::json;

use super::NnUNetConfig;
use crate::fields::Section;
use crate::nets::dialect::{Dialect, DialectError, Shapes, Undetermined, Unused, completed, count, extents};
use crate::nets::layers::norm::NormName;
use crate::nets::network::Architecture;

/// Modules in the order in which they are registered.
pub(super) const MODULES: &[&str] = &[
    "encoder",
    "stem",
    "decoder",
    "stages",
    "transpconvs",
    "seg_layers",
    "convs",
    "blocks",
    "conv1",
    "conv2",
    "skip",
    "conv",
    "norm",
    "weight",
    "bias",
    "running_mean",
    "running_var",
];

/// Place of `conv` and `norm` in `all_modules`.
const INNER: [(&str, &str); 2] = [(".conv.", ".all_modules.0."), (".norm.", ".all_modules.1.")];

/// The other names of a parameter.
pub(super) fn copies(parameter: &str) -> Vec<String> {
    let mut names = vec![parameter.to_owned()];
    for (own, other) in INNER {
        names.extend(parameter.rfind(own).map(|at| {
            let (before, after) = parameter.split_at(at);
            format!("{before}{other}{}", &after[own.len()..])
        }));
    }
    if parameter.starts_with("encoder.") {
        names.extend(names.clone().into_iter().map(|name| format!("decoder.{name}")));
    }
    names.split_off(1)
}

/// Heads of coarser stages, which every state dict holds, where they are not trained.
pub(super) fn unused_heads(network: &NnUNetConfig) -> Vec<Unused> {
    let heads = if network.deep_supervision { 0 } else { network.n_stages.saturating_sub(2) };
    let head = |s: usize| {
        let channels = network.features_per_stage.get(network.n_stages - 2 - s).copied().unwrap_or(0);
        let unused =
            |end: &str, shape: Vec<usize>| Unused { name: format!("decoder.seg_layers.{s}.{end}"), shape, value: 0.0 };
        [unused("weight", vec![network.num_classes, channels, 1, 1, 1]), unused("bias", vec![network.num_classes])]
    };
    (0..heads).flat_map(head).collect()
}

/// The tensors under their first names.
fn first_names(shapes: &Shapes) -> Shapes {
    let first = |name: &str| {
        let name = match name.strip_prefix("decoder.") {
            Some(copy) if copy.starts_with("encoder.") => copy,
            _ => name,
        };
        INNER.iter().fold(name.to_owned(), |name, (own, other)| name.replace(other, own))
    };
    shapes.iter().map(|(name, shape)| (first(name), shape.to_vec())).collect()
}

/// `PlainConvUNet`.
pub struct Plain;

/// `ResidualEncoderUNet`.
pub struct Residual;

/// Path of a stage's first convolution.
fn first_conv(residual: bool, stage: usize) -> String {
    let inner = if residual { "blocks.0.conv1" } else { "0.convs.0" };
    format!("encoder.stages.{stage}.{inner}.conv.weight")
}

const ANCHOR: &str = "decoder.transpconvs.0.weight";

fn recognise(residual: bool, shapes: &Shapes) -> bool {
    let shapes = first_names(shapes);
    shapes.has(&first_conv(residual, 0)) && shapes.has("decoder.stages.0.convs.0.conv.weight")
}

/// The last head: the one that evaluation has.
fn head(shapes: &Shapes) -> String {
    let stages = count(shapes, |s| format!("decoder.transpconvs.{s}.weight"));
    format!("decoder.seg_layers.{}.weight", stages.saturating_sub(1))
}

fn infer(residual: bool, shapes: &Shapes, given: &Section<'_>) -> Result<Architecture, DialectError> {
    let shapes = &first_names(shapes);
    if shapes.has("encoder.stages.0.blocks.0.conv3.conv.weight") {
        let problem = "its residual blocks have three convolutions (BottleneckD); those of two are built".to_owned();
        return Err(DialectError::Other { problem });
    }
    let n_stages = count(shapes, |s| first_conv(residual, s));
    let (mut features, mut kernels, mut units) = (Vec::new(), Vec::new(), Vec::new());
    for stage in 0..n_stages {
        let conv = first_conv(residual, stage);
        features.push(shapes.axis(&conv, 0, 5)?);
        kernels.push(extents(shapes, &conv)?);
        units.push(count(shapes, |unit| match residual {
            true => format!("encoder.stages.{stage}.blocks.{unit}.conv1.conv.weight"),
            false => format!("encoder.stages.{stage}.0.convs.{unit}.conv.weight"),
        }));
    }
    let mut strides = vec![[1; 3]];
    let mut decoder = Vec::new();
    for s in (0..n_stages.saturating_sub(1)).rev() {
        // A transposed convolution's kernel is its stride; the last is that of the second stage.
        strides.push(extents(shapes, &format!("decoder.transpconvs.{s}.weight"))?);
        decoder.insert(0, count(shapes, |i| format!("decoder.stages.{s}.convs.{i}.conv.weight")));
    }
    let stem = "encoder.stem.convs.0.conv.weight";
    let first = if residual { stem.to_owned() } else { first_conv(false, 0) };
    let norm = first.replace(".conv.weight", ".norm");
    let affine = shapes.has(&format!("{norm}.weight"));
    if !affine && !given.has("norm_op_kwargs") {
        let hint = r#"its norms have no weights: {"affine": false}"#.to_owned();
        return Err(DialectError::Undetermined(vec![Undetermined {
            field: "network.norm_op_kwargs".to_owned(),
            hint,
        }]));
    }
    let batch = shapes.has(&format!("{norm}.running_mean"));
    let norm = if batch { NormName::Batch { affine } } else { NormName::Instance { affine } };
    let norm_op = if let NormName::Batch { .. } = norm { "BatchNorm3d" } else { "InstanceNorm3d" };
    let deep = n_stages > 2 && (0..n_stages - 2).all(|s| shapes.has(&format!("decoder.seg_layers.{s}.weight")));
    let mut found = json!({
        "input_channels": shapes.axis(&first, 1, 5)?, "n_stages": n_stages, "features_per_stage": features,
        "kernel_sizes": kernels, "strides": strides, "num_classes": shapes.axis(&head(shapes), 0, 5)?,
        "n_conv_per_stage_decoder": decoder, "conv_bias": shapes.has(&first.replace(".weight", ".bias")),
        "norm_op": norm_op, "norm_op_kwargs": {"affine": affine}, "deep_supervision": deep,
    });
    found[if residual { "n_blocks_per_stage" } else { "n_conv_per_stage" }] = json!(units);
    if residual {
        found["stem_channels"] = json!(shapes.axis(stem, 0, 5)?);
    }
    let arguments = completed(given, found);
    let arguments = Section::at("network", &arguments);
    Ok(if residual { NnUNetConfig::read_residual(&arguments) } else { NnUNetConfig::read_plain(&arguments) }?)
}

impl Dialect for Plain {
    fn anchors(&self) -> &'static [&'static str] {
        &[ANCHOR]
    }

    fn recognise(&self, shapes: &Shapes) -> bool {
        recognise(false, shapes)
    }

    fn out_channels(&self, shapes: &Shapes) -> Result<usize, DialectError> {
        shapes.axis(&head(shapes), 0, 5)
    }

    fn infer(&self, shapes: &Shapes, given: &Section<'_>) -> Result<Architecture, DialectError> {
        infer(false, shapes, given)
    }
}

impl Dialect for Residual {
    fn anchors(&self) -> &'static [&'static str] {
        &[ANCHOR]
    }

    fn recognise(&self, shapes: &Shapes) -> bool {
        recognise(true, shapes)
    }

    fn out_channels(&self, shapes: &Shapes) -> Result<usize, DialectError> {
        shapes.axis(&head(shapes), 0, 5)
    }

    fn infer(&self, shapes: &Shapes, given: &Section<'_>) -> Result<Architecture, DialectError> {
        infer(true, shapes, given)
    }
}

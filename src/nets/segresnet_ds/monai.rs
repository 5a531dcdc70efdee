//! SegResNetDS in MONAI: how it is known by its tensors, and what its shapes tell: all but what leaves the shapes as they are,
//! which is asked for (`act` without slopes, affine norms of instances or groups). Which axes are halved is told by kernels, and
//! gives a `resolution` of the same strides.

use serde_json::{Value, json};

use super::config::SegResNetDsConfig;
use crate::fields::Section;
use crate::nets::dialect::{Dialect, DialectError, Shapes};
use crate::nets::network::Architecture;
use crate::nets::segresnet::config::UpsampleMode;
use crate::nets::segresnet::monai::{filled, norm_and_act};

/// Modules in the order in which MONAI registers them.
pub(super) const MODULES: &[&str] = &[
    "encoder",
    "up_layers",
    "conv_init",
    "layers",
    "upsample",
    "blocks",
    "downsample",
    "head",
    "norm1",
    "act1",
    "conv1",
    "norm2",
    "act2",
    "conv2",
    "weight",
    "bias",
    "running_mean",
    "running_var",
];

/// MONAI's names.
pub struct Monai;

/// The last level on the way up, which has the head that always is.
fn last_up(shapes: &Shapes) -> usize {
    let heads = shapes.names().filter_map(|name| name.strip_prefix("up_layers.")?.strip_suffix(".head.weight"));
    heads.filter_map(|i| i.parse().ok()).max().unwrap_or(0)
}

/// Number of residual blocks in a level.
fn blocks(shapes: &Shapes, level: &str) -> usize {
    (0..).take_while(|i| shapes.has(&format!("{level}.blocks.{i}.conv1.weight"))).count()
}

fn has_second_decoder(shapes: &Shapes) -> bool {
    shapes.names().any(|name| name.starts_with("up_layers_auto."))
}

/// Extents of the kernels of each level, as far as the level has any.
fn kernels(shapes: &Shapes, levels: usize) -> Vec<[usize; 3]> {
    let of = |level: usize| {
        let ends = ["blocks.0.conv1.weight", "downsample.weight"];
        let shape = ends.iter().find_map(|end| shapes.get(&format!("encoder.layers.{level}.{end}")));
        match shape {
            Some([_, _, x, y, z]) => [*x, *y, *z],
            _ => [3; 3],
        }
    };
    (0..levels).map(of).collect()
}

/// Edges of voxels that give these kernels: `null` where every axis is halved on every level.
fn resolution(kernels: &[[usize; 3]]) -> Value {
    let uneven = kernels.iter().take_while(|kernel| kernel.contains(&1)).count();
    if uneven == 0 {
        return Value::Null;
    }
    let halvings = [0, 1, 2].map(|a| kernels[..uneven].iter().filter(|kernel| kernel[a] > 1).count());
    json!(halvings.map(|times| 2f64.powi((uneven - times) as i32)))
}

impl Dialect for Monai {
    fn anchors(&self) -> &'static [&'static str] {
        &["encoder.conv_init.weight"]
    }

    fn recognise(&self, shapes: &Shapes) -> bool {
        shapes.has(&format!("up_layers.{}.head.weight", last_up(shapes))) && !has_second_decoder(shapes)
    }

    fn near_miss(&self, shapes: &Shapes) -> Option<String> {
        has_second_decoder(shapes)
            .then(|| "it is a SegResNetDS2, whose second decoder this program does not have".to_owned())
    }

    fn out_channels(&self, shapes: &Shapes) -> Result<usize, DialectError> {
        shapes.axis(&format!("up_layers.{}.head.weight", last_up(shapes)), 0, 5)
    }

    fn infer(&self, shapes: &Shapes, given: &Section<'_>) -> Result<Architecture, DialectError> {
        let hints = [
            r#"["instance", {"affine": true}] or ["group", {"num_groups": ...}]"#,
            "its activation has no weights: RELU as MONAI has it, LEAKYRELU or GELU",
        ];
        let level = |i: usize| format!("encoder.layers.{i}");
        let downs = (0..).take_while(|&i| shapes.has(&format!("{}.downsample.weight", level(i)))).count();
        let up = |i: usize| format!("up_layers.{i}");
        let counts: Vec<usize> = (0..=downs).map(|i| blocks(shapes, &level(i))).collect();
        let ups: Vec<usize> = (0..downs).map(|i| blocks(shapes, &up(i))).collect();
        let firsts = [counts.iter().position(|c| *c > 0).map(level), ups.iter().position(|c| *c > 0).map(up)];
        let first = firsts.into_iter().flatten().next().map_or_else(String::new, |level| format!("{level}.blocks.0"));
        let (norm, act) =
            norm_and_act(shapes, given, &format!("{first}.norm1"), &format!("{first}.act1.weight"), hints)?;
        let mode = if shapes.has("up_layers.0.upsample.preconv.weight") {
            json!(UpsampleMode::Nontrainable)
        } else if shapes.names().any(|name| name.starts_with("up_layers.0.upsample.pixelshuffle")) {
            json!("pixelshuffle")
        } else {
            json!(UpsampleMode::Deconv)
        };
        let heads = (0..downs.max(1)).filter(|&i| shapes.has(&format!("{}.head.weight", up(i)))).count();
        let found = json!({
            "init_filters": shapes.axis("encoder.conv_init.weight", 0, 5)?,
            "in_channels": shapes.axis("encoder.conv_init.weight", 1, 5)?,
            "out_channels": self.out_channels(shapes)?,
            "blocks_down": counts, "blocks_up": ups, "dsdepth": heads, "upsample_mode": mode,
            "resolution": resolution(&kernels(shapes, downs + 1)), "norm": norm, "act": act,
        });
        Ok(SegResNetDsConfig::read(&Section::at("network", &filled(given, found)))?)
    }
}

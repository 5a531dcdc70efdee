//! DynUNet in MONAI: its tensors, which a state dict holds twice, by their levels and again below `skip_layers`. Shapes tell
//! all but a norm of groups and an activation without weights; those are taken as MONAI's defaults unless given.

use serde_json::json;

use super::DynUNetConfig;
use crate::fields::Section;
use crate::nets::dialect::{Dialect, DialectError, Shapes, completed, count, extents};
use crate::nets::layers::act::ActName;
use crate::nets::layers::norm::NormName;
use crate::nets::network::Architecture;

/// Modules in the order in which they are registered.
pub(super) const MODULES: &[&str] = &[
    "input_block",
    "downsamples",
    "bottleneck",
    "upsamples",
    "output_block",
    "deep_supervision_heads",
    "transp_conv",
    "conv_block",
    "conv1",
    "conv2",
    "lrelu",
    "norm1",
    "norm2",
    "conv3",
    "norm3",
    "conv",
    "weight",
    "bias",
    "running_mean",
    "running_var",
];

/// The other name of a parameter of a network with so many steps up.
pub(super) fn copy(parameter: &str, ups: usize) -> Option<String> {
    let at =
        |level: usize, module: &str, rest: &str| format!("skip_layers{}.{module}{rest}", ".next_layer".repeat(level));
    let numbered = |list: &str| {
        let (number, rest) = parameter.strip_prefix(list)?.split_once('.')?;
        Some((number.parse::<usize>().ok()?, rest))
    };
    if let Some(rest) = parameter.strip_prefix("input_block.") {
        return Some(at(0, "downsample.", rest));
    }
    if let Some(rest) = parameter.strip_prefix("bottleneck.") {
        return Some(at(ups, "", rest));
    }
    if let Some((i, rest)) = numbered("downsamples.") {
        return Some(at(i + 1, "downsample.", rest));
    }
    if let Some((i, rest)) = numbered("upsamples.") {
        return Some(at(ups.checked_sub(i + 1)?, "upsample.", rest));
    }
    let (i, rest) = numbered("deep_supervision_heads.")?;
    Some(at(i + 1, "super_head.", rest))
}

/// MONAI's names.
pub struct Monai;

const FIRST: &str = "input_block.conv1.conv.weight";
const OUT: &str = "output_block.conv.conv.weight";

impl Dialect for Monai {
    fn anchors(&self) -> &'static [&'static str] {
        &[FIRST]
    }

    fn recognise(&self, shapes: &Shapes) -> bool {
        ["bottleneck.conv1.conv.weight", "upsamples.0.transp_conv.conv.weight", OUT].iter().all(|name| shapes.has(name))
    }

    fn out_channels(&self, shapes: &Shapes) -> Result<usize, DialectError> {
        shapes.axis(OUT, 0, 5)
    }

    fn infer(&self, shapes: &Shapes, given: &Section<'_>) -> Result<Architecture, DialectError> {
        let listed = |list: &str, end: &str| count(shapes, |i| format!("{list}.{i}.{end}"));
        let mut blocks = vec!["input_block".to_owned()];
        blocks.extend((0..listed("downsamples", "conv1.conv.weight")).map(|i| format!("downsamples.{i}")));
        blocks.push("bottleneck".to_owned());
        let (mut filters, mut kernels) = (Vec::new(), Vec::new());
        for block in &blocks {
            let conv = format!("{block}.conv1.conv.weight");
            filters.push(shapes.axis(&conv, 0, 5)?);
            kernels.push(extents(shapes, &conv)?);
        }
        // The strides of the way down are those of the way up.
        let mut ups = Vec::new();
        for i in (0..blocks.len() - 1).rev() {
            ups.push(extents(shapes, &format!("upsamples.{i}.transp_conv.conv.weight"))?);
        }
        let strides = [vec![[1; 3]], ups.clone()].concat();
        let affine = shapes.has("input_block.norm1.weight");
        let norm = match shapes.has("input_block.norm1.running_mean") {
            true => NormName::Batch { affine },
            false => NormName::Instance { affine },
        };
        let heads = listed("deep_supervision_heads", "conv.conv.weight");
        let mut found = json!({
            "in_channels": shapes.axis(FIRST, 1, 5)?, "out_channels": self.out_channels(shapes)?,
            "kernel_size": kernels, "strides": strides, "upsample_kernel_size": ups, "filters": filters,
            "norm_name": norm, "deep_supervision": heads > 0, "deep_supr_num": heads.max(1),
            "res_block": shapes.has("bottleneck.conv3.conv.weight"),
            "trans_bias": shapes.has("upsamples.0.transp_conv.conv.bias"),
        });
        if let Some(slopes) = shapes.get("input_block.lrelu.weight") {
            found["act_name"] = json!(ActName::Prelu { num_parameters: slopes.iter().product(), init: 0.25 });
        }
        Ok(DynUNetConfig::read(&Section::at("network", &completed(given, found)))?)
    }
}

//! Swin UNETR in MONAI 0.8 to 1.6: how it is known by its tensors, and what they tell.
//!
//! Shapes tell all but which voxels the merging of patches joins (MONAI's versions differ, and `mergingv2` is a third rule), whether
//! hidden states are normalised, and (with affine norms) whether channels are normalised in groups. Affine norms are asked for; the
//! rest is taken as MONAI 1.5 and later do, which the import says. Every block stores an index of its pairs' distances, which
//! follows from the window. Source: `state_dict()`.

use serde_json::{Map, Value, json};

use super::SwinUnetrConfig;
use super::config::{PATCH_SIZE, STAGES};
use crate::fields::Section;
use crate::kernels::window_attention::Windows;
use crate::nets::dialect::{Dialect, DialectError, Index, Shapes, Undetermined};
use crate::nets::layers::norm::NormName;
use crate::nets::network::Architecture;

/// Modules in the order in which MONAI registers them.
pub(super) const MODULES: &[&str] = &[
    "swinViT",
    "encoder1",
    "encoder2",
    "encoder3",
    "encoder4",
    "encoder10",
    "decoder5",
    "decoder4",
    "decoder3",
    "decoder2",
    "decoder1",
    "out",
    "patch_embed",
    "layers1",
    "layers2",
    "layers3",
    "layers4",
    "layers1c",
    "layers2c",
    "layers3c",
    "layers4c",
    "blocks",
    "downsample",
    "relative_position_bias_table",
    "qkv",
    "proj",
    "reduction",
    "norm",
    "transp_conv",
    "conv_block",
    "layer",
    "conv1",
    "conv2",
    "norm1",
    "attn",
    "norm2",
    "mlp",
    "linear1",
    "linear2",
    "conv3",
    "norm3",
    "weight",
    "bias",
    "running_mean",
    "running_var",
];

/// What a block stores of its pairs' distances.
const INDEX: &str = "relative_position_index";

const EMBEDDING: &str = "swinViT.patch_embed.proj.weight";
const FIRST_BLOCK: &str = "swinViT.layers1.0.blocks.0";

/// MONAI's names.
pub struct Monai;

impl Dialect for Monai {
    fn anchors(&self) -> &'static [&'static str] {
        &[EMBEDDING]
    }

    fn recognise(&self, shapes: &Shapes) -> bool {
        shapes.has("encoder10.layer.conv1.conv.weight") && shapes.has("out.conv.conv.weight")
    }

    fn near_miss(&self, shapes: &Shapes) -> Option<String> {
        let encoder = |name: &str| name.ends_with("layers1.0.blocks.0.attn.relative_position_bias_table");
        let only = !shapes.names().any(|name| name.ends_with("encoder10.layer.conv1.conv.weight"));
        (only && shapes.names().any(encoder)).then(|| {
            "it is only Swin's transformer, as pre-training saves it; the decoder's weights are not in it".to_owned()
        })
    }

    fn out_channels(&self, shapes: &Shapes) -> Result<usize, DialectError> {
        shapes.axis("out.conv.conv.weight", 0, 5)
    }

    fn assumed(&self, given: &Section<'_>) -> Vec<String> {
        let mut sentences = Vec::new();
        let downsample = given.map().get("downsample").and_then(Value::as_str);
        if !given.has("merging_version") && downsample != Some("mergingv2") {
            let told = "the voxels that its merging of patches joins are not told by its tensors";
            sentences.push(format!(
                "network.merging_version is not given; taken as \"1.5\": {told}, and MONAI up to 1.4 joined others"
            ));
        }
        if !given.has("normalize") {
            sentences.push("network.normalize is not given; taken as true".to_owned());
        }
        sentences
    }

    fn infer(&self, shapes: &Shapes, given: &Section<'_>) -> Result<Architecture, DialectError> {
        let width = shapes.axis(EMBEDDING, 0, 5)?;
        let patch = shapes.axis(EMBEDDING, 2, 5)?;
        if patch != PATCH_SIZE {
            let problem = format!("its patches are {patch} voxels wide; only patches of {PATCH_SIZE} are supported");
            return Err(DialectError::Tensor { name: EMBEDDING.to_owned(), problem });
        }
        let (mut depths, mut num_heads) = ([0; STAGES], [0; STAGES]);
        for (stage, (depth, heads)) in depths.iter_mut().zip(&mut num_heads).enumerate() {
            let layer = format!("swinViT.layers{}.0", stage + 1);
            let block = |block: usize| format!("{layer}.blocks.{block}.attn.relative_position_bias_table");
            *depth = (0..).take_while(|i| shapes.has(&block(*i))).count();
            *heads = shapes.axis(&block(0), 1, 2)?;
        }
        // The widest tokens tell most of a ratio, whose products are rounded down.
        let last = format!("swinViT.layers{STAGES}.0.blocks.0.mlp.linear1.weight");
        let (mlp, of) = (shapes.axis(&last, 0, 2)?, shapes.axis(&last, 1, 2)?.max(1) as f64);
        let exact = mlp as f64 / of;
        let mlp_ratio = if (of * exact) as usize == mlp { exact } else { (mlp as f64 + 0.5) / of };
        let norm = "encoder10.layer.norm1";
        let affine = shapes.has(&format!("{norm}.weight"));
        let batch = shapes.has(&format!("{norm}.running_mean"));
        let mut open = Vec::new();
        let mut ask = |field: &str, hint: &str| {
            if !given.has(field) {
                open.push(Undetermined { field: format!("network.{field}"), hint: hint.to_owned() });
            }
        };
        if affine && !batch {
            ask("norm_name", r#"["instance", {"affine": true}] or ["group", {"num_groups": ...}]"#);
        }
        let distances = shapes.axis(&format!("{FIRST_BLOCK}.attn.relative_position_bias_table"), 0, 2)?;
        let side = (1..=31).step_by(2).find(|side: &usize| side.pow(3) == distances);
        if side.is_none() {
            ask("window_size", "tokens of a window along X, Y, Z, which is no cube");
        }
        if !open.is_empty() {
            return Err(DialectError::Undetermined(open));
        }
        let norm_name = if batch { NormName::Batch { affine } } else { NormName::Instance { affine } };
        let mut found = json!({
            "in_channels": shapes.axis(EMBEDDING, 1, 5)?,
            "out_channels": self.out_channels(shapes)?,
            "feature_size": width, "depths": depths, "num_heads": num_heads,
            "qkv_bias": shapes.has(&format!("{FIRST_BLOCK}.attn.qkv.bias")),
            "mlp_ratio": mlp_ratio,
            "patch_norm": shapes.has("swinViT.patch_embed.norm.weight"),
            "use_v2": shapes.has("swinViT.layers1c.0.layer.conv1.conv.weight"),
            "norm_name": norm_name,
        });
        if let (Some(side), Some(found)) = (side, found.as_object_mut()) {
            found.insert("window_size".to_owned(), json!(side.div_ceil(2)));
        }
        let mut arguments: Map<String, Value> = given.map().clone();
        if let Value::Object(found) = found {
            for (key, value) in found {
                arguments.entry(key).or_insert(value);
            }
        }
        // What was given and contradicts the shapes is found where the tensors are.
        Ok(SwinUnetrConfig::read(&Section::at("network", &arguments))?)
    }
}

/// Whether `name` is that of a block's index.
pub(super) fn is_index(name: &str) -> bool {
    name.strip_prefix("swinViT.layers").is_some_and(|rest| rest.ends_with(&format!(".attn.{INDEX}")))
}

/// The index of every block.
pub(super) fn indices(network: &SwinUnetrConfig) -> Vec<Index> {
    let windows = Windows { grid: network.window_size, window: network.window_size, shifted: false };
    let tokens = windows.tokens();
    let values: Vec<i64> = windows.index().into_iter().map(|distance| distance as i64).collect();
    let depths = network.depths.iter().enumerate();
    let blocks = depths.flat_map(|(stage, depth)| (0..*depth).map(move |block| (stage + 1, block)));
    let name = |(stage, block)| format!("swinViT.layers{stage}.0.blocks.{block}.attn.{INDEX}");
    blocks.map(|at| Index { name: name(at), shape: vec![tokens, tokens], values: values.clone() }).collect()
}

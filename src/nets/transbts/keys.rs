//! How a TransBTS is known by its tensors, which are named as in its authors' program. It stores two layers that it does not use: a
//! linear embedding, and a layer norm behind the transformer, whose last block is what the decoder takes.

use serde_json::json;

use super::config::TransBtsConfig;
use crate::fields::Section;
use crate::nets::dialect::{Dialect, DialectError, Shapes, Undetermined, Unused};
use crate::nets::network::Architecture;
use crate::nets::segresnet::monai::filled;

/// Modules in the order in which they are registered.
pub(super) const MODULES: &[&str] = &[
    "position_encoding",
    "transformer",
    "conv_x",
    "Unet",
    "bn",
    "Enblock8_1",
    "Enblock8_2",
    "DeUp4",
    "DeBlock4",
    "DeUp3",
    "DeBlock3",
    "DeUp2",
    "DeBlock2",
    "endconv",
    "InitConv",
    "EnBlock1",
    "EnDown1",
    "EnBlock2_1",
    "EnBlock2_2",
    "EnDown2",
    "EnBlock3_1",
    "EnBlock3_2",
    "EnDown3",
    "EnBlock4_1",
    "EnBlock4_2",
    "EnBlock4_3",
    "EnBlock4_4",
    "net",
    "norm",
    "fn",
    "qkv",
    "proj",
    "bn1",
    "conv1",
    "bn2",
    "conv2",
    "conv3",
    "conv",
    "position_embeddings",
    "weight",
    "bias",
    "running_mean",
    "running_var",
];

/// The authors' names.
pub struct Keys;

impl Dialect for Keys {
    fn anchors(&self) -> &'static [&'static str] {
        &["Unet.InitConv.conv.weight"]
    }

    fn recognise(&self, shapes: &Shapes) -> bool {
        shapes.has("Enblock8_1.conv1.weight") && shapes.has("endconv.weight")
    }

    fn out_channels(&self, shapes: &Shapes) -> Result<usize, DialectError> {
        shapes.axis("endconv.weight", 0, 5)
    }

    fn infer(&self, shapes: &Shapes, given: &Section<'_>) -> Result<Architecture, DialectError> {
        if !given.has("num_heads") {
            let hint = "it must divide embedding_dim; the paper's has 8".to_owned();
            return Err(DialectError::Undetermined(vec![Undetermined { field: "network.num_heads".to_owned(), hint }]));
        }
        let positions = "position_encoding.position_embeddings";
        let tokens = shapes.axis(positions, 1, 3)?;
        // Tokens fill a cube.
        let Some(side) = (1..=256usize).find(|side| side.pow(3) == tokens) else {
            let problem = format!("its {tokens} positions are those of no cube");
            return Err(DialectError::Tensor { name: positions.to_owned(), problem });
        };
        let block = |i: usize| format!("transformer.net.{}.fn.fn.qkv.weight", 2 * i);
        let found = json!({
            "img_dim": side * super::config::PATCH_DIM,
            "num_channels": shapes.axis("Unet.InitConv.conv.weight", 1, 5)?,
            "num_classes": self.out_channels(shapes)?,
            "embedding_dim": shapes.axis(positions, 2, 3)?,
            "num_layers": (0..).take_while(|&i| shapes.has(&block(i))).count(),
            "hidden_dim": shapes.axis("transformer.net.1.fn.fn.net.0.weight", 0, 2)?,
        });
        Ok(TransBtsConfig::read(&Section::at("network", &filled(given, found)))?)
    }
}

/// Whether the authors' program stores `name` without using it.
pub(super) fn is_unused(name: &str) -> bool {
    ["linear_encoding.weight", "linear_encoding.bias", "pre_head_ln.weight", "pre_head_ln.bias"].contains(&name)
}

/// The tensors that the authors' program stores without using them.
pub(super) fn unused(network: &TransBtsConfig) -> Vec<Unused> {
    let width = network.embedding_dim;
    let tensor = |name: &str, shape: &[usize], value| Unused { name: name.to_owned(), shape: shape.to_vec(), value };
    vec![
        tensor("linear_encoding.weight", &[width, 128 * network.num_channels], 0.0),
        tensor("linear_encoding.bias", &[width], 0.0),
        tensor("pre_head_ln.weight", &[width], 1.0),
        tensor("pre_head_ln.bias", &[width], 0.0),
    ]
}

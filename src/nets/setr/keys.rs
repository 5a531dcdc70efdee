//! How a SETR is known by its tensors, which are named as in PyTorch: `vit` as in MONAI, `decoder` and `out`.

use super::config::{Decoder, PATCH_SIZE, SetrConfig};
use crate::fields::Section;
use crate::nets::config::ConfigError;
use crate::nets::dialect::{Dialect, DialectError, Shapes, check_given};
use crate::nets::layers::vit_keys;
use crate::nets::network::{Architecture, Network};

/// Modules in the order in which they are registered.
pub(super) const MODULES: &[&str] = &[
    "vit",
    "decoder",
    "out",
    "patch_embedding",
    "position_embeddings",
    "patch_embeddings",
    "blocks",
    "mlp",
    "linear1",
    "linear2",
    "norm1",
    "attn",
    "out_proj",
    "qkv",
    "norm2",
    "norm",
    "project0",
    "project1",
    "project2",
    "project3",
    "conv",
    "conv0",
    "conv1",
    "conv2",
    "conv3",
    "weight",
    "bias",
];

/// PyTorch's names.
pub struct Keys;

fn decoder(shapes: &Shapes) -> Option<Decoder> {
    let has = |name: &str| shapes.has(name);
    match () {
        () if has("decoder.conv.0.weight") => Some(Decoder::Nup),
        () if has("decoder.project0.weight") => Some(Decoder::Mla),
        () if has("decoder.conv0.0.weight") => Some(Decoder::Pup),
        () => None,
    }
}

impl Dialect for Keys {
    fn anchors(&self) -> &'static [&'static str] {
        &[vit_keys::ANCHOR]
    }

    fn recognise(&self, shapes: &Shapes) -> bool {
        decoder(shapes).is_some() && shapes.has("out.weight")
    }

    fn out_channels(&self, shapes: &Shapes) -> Result<usize, DialectError> {
        shapes.axis("out.weight", 0, 5)
    }

    fn infer(&self, shapes: &Shapes, given: &Section<'_>) -> Result<Architecture, DialectError> {
        let found = vit_keys::infer(shapes, PATCH_SIZE)?;
        let open = vit_keys::undetermined(&found, given)?;
        if !open.is_empty() {
            return Err(DialectError::Undetermined(open));
        }
        let missing = || DialectError::Other { problem: "its decoder is none of SETR's".to_owned() };
        let decoder = decoder(shapes).ok_or_else(missing)?;
        let first = if decoder == Decoder::Nup { "decoder.conv.0.weight" } else { "decoder.conv0.0.weight" };
        let network = SetrConfig {
            decoder,
            in_channels: found.in_channels,
            out_channels: self.out_channels(shapes)?,
            img_size: given.required("img_size").map_err(ConfigError::from)?,
            features: shapes.axis(first, 0, 5)?,
            hidden_size: found.vit.hidden_size,
            mlp_dim: found.vit.mlp_dim,
            num_heads: given.required("num_heads").map_err(ConfigError::from)?,
            num_layers: found.vit.num_layers,
            patch_size: PATCH_SIZE,
            proj_type: found.vit.proj_type,
        };
        vit_keys::check_tokens(&found, network.img_size)?;
        check_given(given, &network.arguments(), &[])?;
        Ok(Architecture::new(network)?)
    }

    fn parts(&self, parameter: &str) -> Vec<String> {
        vit_keys::parts(parameter)
    }
}

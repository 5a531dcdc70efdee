//! AttentionUnet in MONAI: how it is known by its tensors, and what its shapes tell: all but the strides.

use serde_json::json;

use super::AttentionUnetConfig;
use crate::fields::Section;
use crate::nets::dialect::{Dialect, DialectError, Shapes, Undetermined, completed, extents};
use crate::nets::network::Architecture;

/// Modules in the order in which they are registered.
pub(super) const MODULES: &[&str] = &[
    "model",
    "attention",
    "upconv",
    "merge",
    "submodule",
    "W_g",
    "W_x",
    "psi",
    "up",
    "conv",
    "adn",
    "N",
    "A",
    "weight",
    "bias",
    "running_mean",
    "running_var",
];

/// MONAI's names.
pub struct Monai;

const FIRST: &str = "model.0.conv.0.conv.weight";
const OUT: &str = "model.2.conv.weight";
const UP: &str = "model.1.upconv.up.conv.weight";

impl Dialect for Monai {
    fn anchors(&self) -> &'static [&'static str] {
        &[FIRST]
    }

    fn recognise(&self, shapes: &Shapes) -> bool {
        [OUT, UP, "model.1.attention.psi.0.conv.weight"].iter().all(|name| shapes.has(name))
    }

    fn out_channels(&self, shapes: &Shapes) -> Result<usize, DialectError> {
        shapes.axis(OUT, 0, 5)
    }

    fn infer(&self, shapes: &Shapes, given: &Section<'_>) -> Result<Architecture, DialectError> {
        let mut channels = vec![shapes.axis(FIRST, 0, 5)?];
        let mut level = "model.1.".to_owned();
        loop {
            let between = format!("{level}submodule.0.conv.0.conv.weight");
            if !shapes.has(&between) {
                channels.push(shapes.axis(&format!("{level}submodule.conv.0.conv.weight"), 0, 5)?);
                break;
            }
            channels.push(shapes.axis(&between, 0, 5)?);
            level.push_str("submodule.1.");
        }
        if !given.has("strides") {
            let hint = format!("{} strides, one from each level to the next, such as 2", channels.len() - 1);
            return Err(DialectError::Undetermined(vec![Undetermined { field: "network.strides".to_owned(), hint }]));
        }
        let found = json!({
            "in_channels": shapes.axis(FIRST, 1, 5)?, "out_channels": self.out_channels(shapes)?, "channels": channels,
            "kernel_size": extents(shapes, FIRST)?, "up_kernel_size": extents(shapes, UP)?,
        });
        Ok(AttentionUnetConfig::read(&Section::at("network", &completed(given, found)))?)
    }
}

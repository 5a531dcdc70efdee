//! BasicUNet in MONAI: how it is known by its tensors, and what its shapes tell: all but a norm of groups and an activation
//! without weights, which are taken as MONAI's defaults unless given.

use serde_json::json;

use super::BasicUNetConfig;
use crate::fields::Section;
use crate::nets::dialect::{Dialect, DialectError, Shapes, completed};
use crate::nets::layers::act::ActName;
use crate::nets::layers::norm::NormName;
use crate::nets::network::Architecture;

/// MONAI's names.
pub struct Monai;

const FIRST: &str = "conv_0.conv_0.conv.weight";
const OUT: &str = "final_conv.weight";

impl Dialect for Monai {
    fn anchors(&self) -> &'static [&'static str] {
        &[OUT]
    }

    fn recognise(&self, shapes: &Shapes) -> bool {
        [FIRST, "down_4.convs.conv_1.conv.weight", "upcat_4.convs.conv_0.conv.weight"]
            .iter()
            .all(|name| shapes.has(name))
    }

    fn out_channels(&self, shapes: &Shapes) -> Result<usize, DialectError> {
        shapes.axis(OUT, 0, 5)
    }

    fn infer(&self, shapes: &Shapes, given: &Section<'_>) -> Result<Architecture, DialectError> {
        let mut features = vec![shapes.axis(FIRST, 0, 5)?];
        for level in 1..5 {
            features.push(shapes.axis(&format!("down_{level}.convs.conv_0.conv.weight"), 0, 5)?);
        }
        features.push(shapes.axis("upcat_1.convs.conv_1.conv.weight", 0, 5)?);
        let affine = shapes.has("conv_0.conv_0.adn.N.weight");
        let norm = match shapes.has("conv_0.conv_0.adn.N.running_mean") {
            true => NormName::Batch { affine },
            false => NormName::Instance { affine },
        };
        let upsample = ["deconv", "preconv", "conv_block"]
            .into_iter()
            .find(|module| shapes.has(&format!("upcat_4.upsample.{module}.weight")));
        let upsample = match upsample {
            Some("deconv") => "deconv",
            Some("conv_block") => "pixelshuffle",
            _ => "nontrainable",
        };
        let mut found = json!({
            "in_channels": shapes.axis(FIRST, 1, 5)?, "out_channels": self.out_channels(shapes)?, "features": features,
            "norm": norm, "bias": shapes.has("conv_0.conv_0.conv.bias"), "upsample": upsample,
        });
        if let Some(slopes) = shapes.get("conv_0.conv_0.adn.A.weight") {
            found["act"] = json!(ActName::Prelu { num_parameters: slopes.iter().product(), init: 0.25 });
        }
        Ok(BasicUNetConfig::read(&Section::at("network", &completed(given, found)))?)
    }
}

//! UNETR as the paper's figure 1 draws it: hidden states of a vision transformer, brought to each scale by transposed
//! convolutions, and a decoder that doubles its way up and takes them in. Source: MONAI `UNETR.forward`.

pub mod config;
pub mod monai;

pub use config::UnetrConfig;

use serde_json::{Map, Value};

use super::builder::Net;
use super::config::ConfigError;
use super::dialect::{MonaiVersion, Unused};
use super::layers::unet_block::{Block, unet_block, up};
use super::layers::vit::vit;
use super::network::{Network, Output, Stage, Tail, Window, first_parts};
use super::parameter::{Init, Kind};
use crate::graph::{GraphError, Layout, TensorId};
use crate::kernels::lazy::Lazy;
use config::SKIP_LAYERS;

impl Network for UnetrConfig {
    fn kind(&self) -> &'static str {
        config::KIND
    }

    fn in_channels(&self) -> usize {
        self.in_channels
    }

    fn out_channels(&self) -> usize {
        self.out_channels
    }

    fn window(&self) -> Window {
        Window::Fixed(self.img_size)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        self.check()
    }

    fn arguments(&self) -> Map<String, Value> {
        super::config::to_map(self)
    }

    fn unshaped(&self) -> Vec<(&'static str, usize)> {
        vec![("num_heads", self.num_heads)]
    }

    fn registered(&self) -> &'static [&'static str] {
        monai::MODULES
    }

    fn is_unused(&self, name: &str) -> bool {
        monai::is_unused(self, name)
    }

    fn unused(&self, version: MonaiVersion) -> Vec<Unused> {
        monai::unused(self, version)
    }

    fn module<'a>(&self, node: &'a str) -> &'a str {
        let depth = if node.starts_with("vit.blocks.") { 3 } else { 1 + usize::from(node.starts_with("vit.")) };
        first_parts(node, depth)
    }

    fn build(&self, n: &mut Net, input: TensorId) -> Result<Output, GraphError> {
        let f = self.feature_size;
        let encoded = vit(n, &self.vit(), input)?;
        let mut stages: Vec<(String, Stage)> = vec![("vit.patch_embedding".to_owned(), encoded.embedded.into())];
        stages.extend(SKIP_LAYERS.iter().map(|i| (format!("vit.blocks.{i}"), encoded.hidden[*i].into())));
        stages.push(("vit".to_owned(), encoded.normed.into()));

        let volume = |n: &mut Net, name: &str, z| n.graph().transpose(name, z, &encoded.grid);
        let [x2, x3, x4] = SKIP_LAYERS.map(|i| volume(n, &format!("proj_feat.{i}"), encoded.hidden[i]));
        let enc4 = up(n, "encoder4.transp_conv_init", x4?, 8 * f)?;
        let bottleneck = volume(n, "proj_feat", encoded.normed)?;
        let dec4 = self.stage(n, 5, bottleneck, enc4, 8 * f)?;
        let enc3 = self.encoder(n, 3, x3?, 4 * f, 1)?;
        let dec3 = self.stage(n, 4, dec4, enc3, 4 * f)?;
        let enc2 = self.encoder(n, 2, x2?, 2 * f, 2)?;
        let dec2 = self.stage(n, 3, dec3, enc2, 2 * f)?;
        // Last, so that the largest tensors do not wait through the rest of the network.
        let enc1 = n.segment(|n| {
            let end = unet_block(n, "encoder1.layer", &[input.into()], self.block(f))?.end;
            n.graph().store("encoder1", &end)
        })?;
        let end = n.segment(|n| self.decoder(n, 2, dec2, enc1, f))?;

        let made = [
            ("encoder1", enc1),
            ("encoder2", enc2),
            ("encoder3", enc3),
            ("encoder4", enc4),
            ("decoder5", dec4),
            ("decoder4", dec3),
            ("decoder3", dec2),
        ];
        stages.extend(made.map(|(name, t)| (name.to_owned(), t.into())));
        stages.extend([("decoder2".to_owned(), end.into()), ("out".to_owned(), Stage::Logits)]);
        let k = self.out_channels;
        let init = Init::Uniform { fan_in: f };
        let weight = n.matrix("out.conv.conv.weight", [k, f, 1, 1, 1], Layout::TapMajor, init);
        let bias = n.vector("out.conv.conv.bias", [k], Kind::Bias, init);
        Ok(Output { tail: Tail::Head { end, weight, bias }, deep: Vec::new(), stages })
    }
}

impl UnetrConfig {
    fn block(&self, out: usize) -> Block {
        Block::new(out, self.res_block, self.norm_name)
    }

    /// `UnetrPrUpBlock`: up, then `doublings` times up again, each followed by a block if `conv_block` says so.
    fn encoder(
        &self,
        n: &mut Net,
        number: usize,
        x: TensorId,
        out: usize,
        doublings: usize,
    ) -> Result<TensorId, GraphError> {
        n.scope(&format!("encoder{number}"), |n| {
            let mut x = up(n, "transp_conv_init", x, out)?;
            for i in 0..doublings {
                if self.conv_block {
                    x = n.segment(|n| {
                        let x = up(n, &format!("blocks.{i}.0"), x, out)?;
                        let end = unet_block(n, &format!("blocks.{i}.1"), &[x.into()], self.block(out))?.end;
                        n.graph().store(&format!("blocks.{i}"), &end)
                    })?;
                } else {
                    x = up(n, &format!("blocks.{i}"), x, out)?;
                }
            }
            Ok(x)
        })
    }

    /// A whole `UnetrUpBlock`.
    fn stage(
        &self,
        n: &mut Net,
        number: usize,
        x: TensorId,
        skip: TensorId,
        out: usize,
    ) -> Result<TensorId, GraphError> {
        n.segment(|n| {
            let end = self.decoder(n, number, x, skip, out)?;
            n.graph().store(&format!("decoder{number}"), &end)
        })
    }

    /// `UnetrUpBlock` without its end: up, then a block on (upsampled, skip).
    fn decoder(&self, n: &mut Net, number: usize, x: TensorId, skip: TensorId, out: usize) -> Result<Lazy, GraphError> {
        n.scope(&format!("decoder{number}"), |n| {
            let x = up(n, "transp_conv", x, out)?;
            Ok(unet_block(n, "conv_block", &[x.into(), skip.into()], self.block(out))?.end)
        })
    }
}

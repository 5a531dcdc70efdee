//! SETR: a vision transformer and a plain decoder, of which there are three. Instance norm without weights, ReLU, convolutions
//! with bias, trilinear enlargement without aligned corners. Source: Zheng et al., CVPR 2021, section 3.2.

pub mod config;
pub mod keys;

pub use config::{Decoder, SetrConfig};

use serde_json::{Map, Value};

use super::builder::Net;
use super::config::ConfigError;
use super::dialect::{MonaiVersion, Unused};
use super::layers::conv::{ConvLayer, conv};
use super::layers::norm::{NormName, norm};
use super::layers::vit::{Encoded, vit};
use super::layers::vit_keys;
use super::network::{Network, Output, Stage, Tail, Window, first_parts};
use super::parameter::{Init, Kind};
use crate::graph::{GraphError, Layout, TensorId};
use crate::kernels::lazy::{Act, Lazy};

impl Network for SetrConfig {
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
        keys::MODULES
    }

    fn is_unused(&self, name: &str) -> bool {
        vit_keys::is_unused(name)
    }

    fn unused(&self, version: MonaiVersion) -> Vec<Unused> {
        vit_keys::unused(&self.vit(), version)
    }

    fn module<'a>(&self, node: &'a str) -> &'a str {
        first_parts(node, if node.starts_with("vit.blocks.") { 3 } else { 2 })
    }

    fn build(&self, n: &mut Net, input: TensorId) -> Result<Output, GraphError> {
        let encoded = vit(n, &self.vit(), input)?;
        let mut stages = vec![
            ("vit.patch_embedding.patch_embeddings".to_owned(), encoded.patches.clone()),
            ("vit.patch_embedding".to_owned(), encoded.embedded.into()),
        ];
        let blocks = encoded.hidden.iter().enumerate();
        stages.extend(blocks.map(|(i, z)| (format!("vit.blocks.{i}"), Stage::from(*z))));
        let tail = match self.decoder {
            Decoder::Nup => self.nup(n, &encoded, &mut stages)?,
            Decoder::Pup => self.pup(n, &encoded, &mut stages)?,
            Decoder::Mla => self.mla(n, &encoded, &mut stages)?,
        };
        Ok(Output { tail, deep: Vec::new(), stages })
    }
}

impl SetrConfig {
    fn fold(&self, n: &mut Net, name: &str, z: TensorId, encoded: &Encoded) -> Result<TensorId, GraphError> {
        n.graph().transpose(name, z, &encoded.grid)
    }

    /// Convolution, instance norm, ReLU; the convolution is `name`.
    fn block(&self, n: &mut Net, name: &str, x: Lazy, side: usize) -> Result<Lazy, GraphError> {
        let layer = ConvLayer { moments: true, ..ConvLayer::new(self.features, [side; 3]) };
        let y = conv(n, name, &[x], layer)?;
        let normed = norm(n, NormName::default(), &format!("{name}.norm"), y)?;
        Ok(Lazy::new(y, Some(normed), Act::RELU))
    }

    /// The output convolution as a tensor, enlarged.
    fn enlarged(&self, n: &mut Net, x: Lazy, factor: usize) -> Result<Tail, GraphError> {
        let y = conv(n, "out", &[x], ConvLayer::new(self.out_channels, [1; 3]))?;
        Ok(Tail::Logits(n.graph().resample("logits", &y.into(), [factor; 3])?))
    }

    fn nup(&self, n: &mut Net, encoded: &Encoded, stages: &mut Vec<(String, Stage)>) -> Result<Tail, GraphError> {
        let x = self.fold(n, "fold", encoded.normed, encoded)?;
        let y = self.block(n, "decoder.conv.0", x.into(), 1)?;
        stages.push(("decoder.conv".to_owned(), y.into()));
        self.enlarged(n, y, 16)
    }

    fn pup(&self, n: &mut Net, encoded: &Encoded, stages: &mut Vec<(String, Stage)>) -> Result<Tail, GraphError> {
        let mut y = self.fold(n, "fold", encoded.normed, encoded)?;
        for i in 0..4 {
            y = n.segment(|n| {
                let block = self.block(n, &format!("decoder.conv{i}.0"), y.into(), 3)?;
                stages.push((format!("decoder.conv{i}"), block.into()));
                n.graph().resample(&format!("decoder.up{i}"), &block, [2; 3])
            })?;
        }
        let (k, features) = (self.out_channels, self.features);
        let init = Init::Uniform { fan_in: features };
        let weight = n.matrix("out.weight", [k, features, 1, 1, 1], Layout::TapMajor, init);
        let bias = n.vector("out.bias", [k], Kind::Bias, init);
        Ok(Tail::Head { end: y.into(), weight, bias })
    }

    fn mla(&self, n: &mut Net, encoded: &Encoded, stages: &mut Vec<(String, Stage)>) -> Result<Tail, GraphError> {
        let step = self.num_layers / 4;
        let mut levels: Vec<TensorId> = (1..4).map(|i| encoded.hidden[i * step - 1]).collect();
        levels.push(encoded.normed);
        let mut projected = Vec::with_capacity(4);
        for (i, z) in levels.into_iter().enumerate() {
            let x = self.fold(n, &format!("fold{i}"), z, encoded)?;
            let layer = ConvLayer::new(self.features, [1; 3]);
            projected.push(conv(n, &format!("decoder.project{i}"), &[x.into()], layer)?);
        }
        for i in (0..3).rev() {
            let (own, below) = (projected[i].into(), projected[i + 1].into());
            projected[i] = n.graph().sum(&format!("decoder.sum{i}"), &own, &below, Act::None)?;
        }
        let mut enlarged = Vec::with_capacity(4);
        for (i, p) in projected.into_iter().enumerate() {
            let name = format!("decoder.conv{i}");
            let y = self.block(n, &format!("{name}.0"), p.into(), 3)?;
            let y = self.block(n, &format!("{name}.3"), y, 3)?;
            stages.push((name, y.into()));
            enlarged.push(n.graph().resample(&format!("decoder.up{i}"), &y, [4; 3])?);
        }
        let all = n.graph().concat("decoder.levels", &enlarged)?;
        self.enlarged(n, all.into(), 4)
    }
}

//! nnU-Net's networks: an encoder of plain or residual stages, a decoder that doubles what lies below and takes the encoder's
//! stage beside it, and a head on each of the decoder's stages, of which evaluation has the last.
//! Source: `dynamic_network_architectures` 0.4.4, `architectures/unet.py` and `building_blocks`; Isensee et al., Nature Methods
//! 2021, and MICCAI 2024.

pub mod config;
pub mod state_dict;

pub use config::{Encoder, NnUNetConfig};

use serde_json::{Map, Value};

use super::builder::Net;
use super::config::ConfigError;
use super::dialect::{MonaiVersion, Unused};
use super::layers::act::act;
use super::layers::conv::{ConvLayer, conv, conv_transpose};
use super::layers::norm::norm_from;
use super::network::{Network, Output, Stage, Tail, Window, first_parts};
use super::parameter::{Init, Kind};
use crate::graph::{GraphError, Layout, TensorId};
use crate::kernels::conv3d::Geometry;
use crate::kernels::lazy::{Act, Lazy};
use crate::kernels::pool::Pooling;

type Stages = Vec<(String, Stage)>;

impl Network for NnUNetConfig {
    fn kind(&self) -> &'static str {
        let [plain, residual] = config::KINDS;
        if let Encoder::Plain(_) = self.encoder { plain } else { residual }
    }

    fn in_channels(&self) -> usize {
        self.input_channels
    }

    fn out_channels(&self) -> usize {
        self.num_classes
    }

    fn window(&self) -> Window {
        let multiple_of = self.scales().last().copied().unwrap_or([1; 3]);
        Window::Any { multiple_of, default: multiple_of.map(|m| 96usize.div_ceil(m) * m), channels: self.widest() }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        self.check()
    }

    fn arguments(&self) -> Map<String, Value> {
        super::config::to_map(self)
    }

    fn registered(&self) -> &'static [&'static str] {
        state_dict::MODULES
    }

    fn copies(&self, parameter: &str) -> Vec<String> {
        state_dict::copies(parameter)
    }

    fn is_unused(&self, name: &str) -> bool {
        self.unused(MonaiVersion::default()).iter().any(|unused| unused.name == name)
    }

    fn unused(&self, _version: MonaiVersion) -> Vec<Unused> {
        state_dict::unused_heads(self)
    }

    fn module<'a>(&self, node: &'a str) -> &'a str {
        first_parts(node, 3)
    }

    fn build(&self, n: &mut Net, input: TensorId) -> Result<Output, GraphError> {
        let mut stages = Stages::new();
        let skips = self.encode(n, input.into(), &mut stages)?;
        let mut heads = self.decode(n, &skips, &mut stages)?;
        let tail = heads.pop().ok_or_else(|| GraphError::new("a decoder without stages"))?;
        heads.reverse();
        stages.push(("decoder".to_owned(), Stage::Logits));
        Ok(Output { tail, deep: heads, stages })
    }
}

impl NnUNetConfig {
    fn layer(&self, stage: usize, stride: [usize; 3]) -> ConvLayer {
        let layer = ConvLayer::new(self.features_per_stage[stage], self.kernel_sizes[stage]);
        ConvLayer { stride, bias: self.conv_bias, he: true, ..layer }
    }

    /// `PlainConvEncoder`, `ResidualEncoder`: what each stage gives.
    fn encode(&self, n: &mut Net, input: Lazy, stages: &mut Stages) -> Result<Vec<Lazy>, GraphError> {
        let mut x = input;
        if let Some(channels) = self.stem_channels {
            let layer = ConvLayer { out: channels, ..self.layer(0, [1; 3]) };
            x = n.segment(|n| self.conv_norm(n, "encoder.stem.convs.0", &[x], layer, true))?;
            stages.push(("encoder.stem.convs".to_owned(), x.into()));
            stages.push(("encoder.stem".to_owned(), x.into()));
        }
        let mut skips = Vec::with_capacity(self.n_stages);
        for (stage, &units) in self.encoder.units().iter().enumerate() {
            let name = format!("encoder.stages.{stage}");
            x = n.segment(|n| n.scope(&name, |n| self.encoder_stage(n, x, stage, units)))?;
            stages.push((name, x.into()));
            skips.push(x);
        }
        Ok(skips)
    }

    fn encoder_stage(&self, n: &mut Net, mut x: Lazy, stage: usize, units: usize) -> Result<Lazy, GraphError> {
        for unit in 0..units {
            let stride = if unit == 0 { self.strides[stage] } else { [1; 3] };
            x = match self.encoder {
                Encoder::Plain(_) => {
                    self.conv_norm(n, &format!("0.convs.{unit}"), &[x], self.layer(stage, stride), true)?
                }
                Encoder::Residual(_) => {
                    n.scope(&format!("blocks.{unit}"), |n| self.residual_block(n, x, stage, stride))?
                }
            };
        }
        Ok(x)
    }

    /// `UNetDecoder`: the heads, the finest last.
    fn decode(&self, n: &mut Net, skips: &[Lazy], stages: &mut Stages) -> Result<Vec<Tail>, GraphError> {
        let mut heads = Vec::new();
        let mut from_below = *skips.last().ok_or_else(|| GraphError::new("an encoder without stages"))?;
        for (s, &convs) in self.n_conv_per_stage_decoder.iter().enumerate() {
            let below = self.n_stages - 1 - s;
            let (own, stride) = (below - 1, self.strides[below]);
            from_below = n.segment(|n| {
                let name = format!("decoder.transpconvs.{s}");
                let layer = ConvLayer { kernel: stride, ..self.layer(own, stride) };
                let up = conv_transpose(n, &name, &[from_below], layer)?;
                stages.push((name, up.into()));
                let mut sources = vec![up.into(), skips[own]];
                for i in 0..convs {
                    let name = format!("decoder.stages.{s}.convs.{i}");
                    sources = vec![self.conv_norm(n, &name, &sources, self.layer(own, [1; 3]), true)?];
                }
                sources.first().copied().ok_or_else(|| GraphError::new("a stage without convolutions"))
            })?;
            stages.push((format!("decoder.stages.{s}"), from_below.into()));
            if self.deep_supervision || own == 0 {
                let name = format!("decoder.seg_layers.{s}");
                let head = self.head(n, &name, from_below);
                stages.push((name, Stage::Tail(head.clone())));
                heads.push(head);
            }
        }
        Ok(heads)
    }

    fn head(&self, n: &mut Net, name: &str, end: Lazy) -> Tail {
        let (k, channels) = (self.num_classes, n.channels(end.x));
        let init = Init::he(channels);
        let weight = n.matrix(&format!("{name}.weight"), [k, channels, 1, 1, 1], Layout::TapMajor, init);
        let bias = n.vector(&format!("{name}.bias"), [k], Kind::Bias, Init::Constant(0.0));
        Tail::Head { end, weight, bias }
    }

    /// `ConvDropoutNormReLU`, whose dropout is never there.
    fn conv_norm(
        &self,
        n: &mut Net,
        name: &str,
        sources: &[Lazy],
        layer: ConvLayer,
        nonlin: bool,
    ) -> Result<Lazy, GraphError> {
        n.scope(name, |n| {
            let layer = ConvLayer { moments: self.norm.needs_moments(n), ..layer };
            let y = conv(n, "conv", sources, layer)?;
            // A residual block begins as its shortcut.
            let first = if name == "conv2" { 0.0 } else { 1.0 };
            let normed = norm_from(n, self.norm, "norm", y, first)?;
            Ok(Lazy::new(y, Some(normed), if nonlin { act(n, self.act, "nonlin") } else { Act::None }))
        })
    }

    /// `BasicBlockD`: two convolutions, and beside them the input, its mean where they stride, its 1x1x1 convolution where
    /// channels change.
    fn residual_block(&self, n: &mut Net, x: Lazy, stage: usize, stride: [usize; 3]) -> Result<Lazy, GraphError> {
        let y = self.conv_norm(n, "conv1", &[x], self.layer(stage, stride), true)?;
        let y = self.conv_norm(n, "conv2", &[y], self.layer(stage, [1; 3]), false)?;
        let strided = stride != [1; 3];
        let mut shortcut = x;
        if strided {
            let geometry = Geometry::new(stride, stride, [0; 3]);
            shortcut = n.graph().pool("skip.0", &x, Pooling::Average, geometry)?.into();
        }
        let out = self.features_per_stage[stage];
        if n.channels(x.x) != out {
            let layer = ConvLayer { bias: false, he: true, ..ConvLayer::new(out, [1; 3]) };
            let name = format!("skip.{}", usize::from(strided));
            shortcut = self.conv_norm(n, &name, &[shortcut], layer, false)?;
        }
        let last = act(n, self.act, "nonlin2");
        Ok(n.graph().sum("", &y, &shortcut, last)?.into())
    }
}

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
use super::layers::conv::{ConvLayer, conv_parts, conv_transpose_parts};
use super::layers::norm::norm_parts;
use super::layers::parts;
use super::network::{Network, Output, Stage, Tail, Window, first_parts};
use super::parameter::{Init, Kind};
use crate::graph::{GraphError, Layout, TensorId};
use crate::kernels::conv3d::Geometry;
use crate::kernels::lazy::{Act, Lazy};
use crate::kernels::pool::Pooling;

type Stages = Vec<(String, Stage)>;

/// One value; several tensors, whose channels follow one another, where it is too large for one binding.
type Values = Vec<Lazy>;

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

    /// In how many tensors lie so many channels of the voxels that `sources` have, seen through a stride.
    fn parts(&self, n: &mut Net, sources: &[Lazy], layer: &ConvLayer) -> usize {
        let Some(source) = sources.first().filter(|_| parts::divides(self.norm)) else { return 1 };
        let (samples, _, size) = n.graph().shape(source.x).volume().unwrap_or((1, 1, [1; 3]));
        let voxels: usize = size.iter().zip(layer.stride).map(|(side, stride)| side.div_ceil(stride)).product();
        parts::parts(layer.out, samples * voxels)
    }

    /// `PlainConvEncoder`, `ResidualEncoder`: what each stage gives.
    fn encode(&self, n: &mut Net, input: Lazy, stages: &mut Stages) -> Result<Vec<Values>, GraphError> {
        let mut x = vec![input];
        if let Some(channels) = self.stem_channels {
            let layer = ConvLayer { out: channels, ..self.layer(0, [1; 3]) };
            x = n.segment(|n| self.conv_norm(n, "encoder.stem.convs.0", &x, layer, true))?;
            stages.push(("encoder.stem.convs".to_owned(), Stage::Values(x.clone())));
            stages.push(("encoder.stem".to_owned(), Stage::Values(x.clone())));
        }
        let mut skips = Vec::with_capacity(self.n_stages);
        for (stage, &units) in self.encoder.units().iter().enumerate() {
            let name = format!("encoder.stages.{stage}");
            x = n.segment(|n| n.scope(&name, |n| self.encoder_stage(n, x, stage, units)))?;
            stages.push((name, Stage::Values(x.clone())));
            skips.push(x.clone());
        }
        Ok(skips)
    }

    fn encoder_stage(&self, n: &mut Net, mut x: Values, stage: usize, units: usize) -> Result<Values, GraphError> {
        for unit in 0..units {
            let stride = if unit == 0 { self.strides[stage] } else { [1; 3] };
            x = match self.encoder {
                Encoder::Plain(_) => {
                    self.conv_norm(n, &format!("0.convs.{unit}"), &x, self.layer(stage, stride), true)?
                }
                Encoder::Residual(_) => {
                    n.scope(&format!("blocks.{unit}"), |n| self.residual_block(n, x, stage, stride))?
                }
            };
        }
        Ok(x)
    }

    /// `UNetDecoder`: the heads, the finest last.
    fn decode(&self, n: &mut Net, skips: &[Values], stages: &mut Stages) -> Result<Vec<Tail>, GraphError> {
        let mut heads = Vec::new();
        let mut from_below = skips.last().cloned().ok_or_else(|| GraphError::new("an encoder without stages"))?;
        for (s, &convs) in self.n_conv_per_stage_decoder.iter().enumerate() {
            let below = self.n_stages - 1 - s;
            let (own, stride) = (below - 1, self.strides[below]);
            from_below = n.segment(|n| {
                let name = format!("decoder.transpconvs.{s}");
                let layer = ConvLayer { kernel: stride, ..self.layer(own, stride) };
                let mut sources = up(n, &name, &from_below, layer, skips[own].len())?;
                stages.push((name, Stage::Values(sources.clone())));
                sources.extend(&skips[own]);
                for i in 0..convs {
                    let name = format!("decoder.stages.{s}.convs.{i}");
                    sources = self.conv_norm(n, &name, &sources, self.layer(own, [1; 3]), true)?;
                }
                Ok(sources)
            })?;
            stages.push((format!("decoder.stages.{s}"), Stage::Values(from_below.clone())));
            if self.deep_supervision || own == 0 {
                let name = format!("decoder.seg_layers.{s}");
                let head = self.head(n, &name, &from_below)?;
                stages.push((name, Stage::Tail(head.clone())));
                heads.push(head);
            }
        }
        Ok(heads)
    }

    fn head(&self, n: &mut Net, name: &str, ends: &[Lazy]) -> Result<Tail, GraphError> {
        let (k, channels) = (self.num_classes, ends.iter().map(|end| n.channels(end.x)).sum());
        let init = Init::he(channels);
        let weight = n.matrix(&format!("{name}.weight"), [k, channels, 1, 1, 1], Layout::TapMajor, init);
        let bias = n.vector(&format!("{name}.bias"), [k], Kind::Bias, Init::Constant(0.0));
        if let [end] = *ends {
            return Ok(Tail::Head { end, weight, bias });
        }
        let weights = n.graph().split_weights(&format!("{name}.parts"), weight, 1, ends.len())?.concat();
        Ok(Tail::Parts { ends: ends.to_vec(), weights, bias })
    }

    /// `ConvDropoutNormReLU`, whose dropout is never there.
    fn conv_norm(
        &self,
        n: &mut Net,
        name: &str,
        sources: &[Lazy],
        layer: ConvLayer,
        nonlin: bool,
    ) -> Result<Values, GraphError> {
        n.scope(name, |n| {
            let layer = ConvLayer { moments: self.norm.needs_moments(n), ..layer };
            let outs = self.parts(n, sources, &layer);
            let y = conv_parts(n, "conv", sources, layer, outs)?;
            // A residual block begins as its shortcut.
            let first = if name == "conv2" { 0.0 } else { 1.0 };
            let normed = norm_parts(n, self.norm, "norm", &y, first)?;
            let act = if nonlin { act(n, self.act, "nonlin") } else { Act::None };
            Ok(y.into_iter().zip(normed).map(|(y, norm)| Lazy::new(y, Some(norm), act)).collect())
        })
    }

    /// `BasicBlockD`: two convolutions, and beside them the input, its mean where they stride, its 1x1x1 convolution where
    /// channels change.
    fn residual_block(&self, n: &mut Net, x: Values, stage: usize, stride: [usize; 3]) -> Result<Values, GraphError> {
        let channels: usize = x.iter().map(|x| n.channels(x.x)).sum();
        let y = self.conv_norm(n, "conv1", &x, self.layer(stage, stride), true)?;
        let y = self.conv_norm(n, "conv2", &y, self.layer(stage, [1; 3]), false)?;
        let strided = stride != [1; 3];
        let mut shortcut = x;
        if strided {
            let geometry = Geometry::new(stride, stride, [0; 3]);
            let pool = |(i, x): (usize, &Lazy)| {
                let name = if i == 0 { "skip.0".to_owned() } else { format!("skip.0.{i}") };
                n.graph().pool(&name, x, Pooling::Average, geometry).map(Lazy::from)
            };
            shortcut = shortcut.iter().enumerate().map(pool).collect::<Result<_, _>>()?;
        }
        let out = self.features_per_stage[stage];
        if channels != out {
            let layer = ConvLayer { bias: false, he: true, ..ConvLayer::new(out, [1; 3]) };
            let name = format!("skip.{}", usize::from(strided));
            shortcut = self.conv_norm(n, &name, &shortcut, layer, false)?;
        }
        if shortcut.len() != y.len() {
            return Err(GraphError::new(format!("a shortcut of {} tensors for {}", shortcut.len(), y.len())));
        }
        let last = act(n, self.act, "nonlin2");
        let sum = |(i, (y, shortcut)): (usize, (&Lazy, &Lazy))| {
            let name = if i == 0 { String::new() } else { format!("sum.{i}") };
            n.graph().sum(&name, y, shortcut, last).map(Lazy::from)
        };
        y.iter().zip(&shortcut).enumerate().map(sum).collect()
    }
}

/// The transposed convolution of a value, its result in `outs` tensors.
fn up(n: &mut Net, name: &str, from: &[Lazy], layer: ConvLayer, outs: usize) -> Result<Values, GraphError> {
    if from.len() > 2 {
        return Err(GraphError::new(format!("{name}: what lies below is in {} tensors, of 2 at most", from.len())));
    }
    Ok(conv_transpose_parts(n, name, from, layer, outs)?.into_iter().map(Lazy::from).collect())
}

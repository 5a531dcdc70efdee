//! DynUNet: nnU-Net's architecture as MONAI builds it, with or without residual blocks on the way down, and heads at coarser
//! levels in training, whose logits are enlarged to the window (nearest neighbour).
//! Source: `monai/networks/nets/dynunet.py`, `monai/networks/blocks/dynunet_block.py` (1.6.1); Futrega et al., BrainLes 2021.

pub mod config;
pub mod monai;

pub use config::DynUNetConfig;

use serde_json::{Map, Value};

use super::builder::Net;
use super::config::ConfigError;
use super::layers::act::act;
use super::layers::conv::{ConvLayer, conv_transpose};
use super::layers::convolution::dropped;
use super::layers::unet_block::{Block, unet_block};
use super::network::{Network, Output, Stage, Tail, Window, first_parts};
use super::parameter::{Init, Kind};
use crate::graph::{GraphError, Layout, TensorId};
use crate::kernels::lazy::{Act, Lazy};
use crate::kernels::resize::Sampling;

type Stages = Vec<(String, Stage)>;

impl Network for DynUNetConfig {
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
        let multiple_of = self.scales().last().copied().unwrap_or([1; 3]);
        Window::Any { multiple_of, default: multiple_of.map(|m| 96usize.div_ceil(m) * m), channels: self.widest() }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        self.check()
    }

    fn arguments(&self) -> Map<String, Value> {
        super::config::to_map(self)
    }

    fn drops(&self) -> bool {
        self.dropout > 0.0
    }

    fn registered(&self) -> &'static [&'static str] {
        monai::MODULES
    }

    fn copies(&self, parameter: &str) -> Vec<String> {
        monai::copy(parameter, self.strides.len() - 1).into_iter().collect()
    }

    fn is_unused(&self, name: &str) -> bool {
        let head = name.starts_with("deep_supervision_heads.") || name.contains(".super_head.");
        head && !self.deep_supervision
    }

    fn module<'a>(&self, node: &'a str) -> &'a str {
        let listed =
            ["downsamples.", "upsamples.", "deep_supervision_heads."].iter().any(|list| node.starts_with(list));
        first_parts(node, if listed { 2 } else { 1 })
    }

    fn build(&self, n: &mut Net, input: TensorId) -> Result<Output, GraphError> {
        let mut stages = Stages::new();
        let window = n.graph().shape(input).volume().map_or([1; 3], |(_, _, window)| window);
        let skips = self.down(n, input.into(), &mut stages)?;
        let (end, deep) = self.up(n, &skips, window, &mut stages)?;
        let tail = match self.head(n, "output_block", end) {
            // What is dropped must be stored.
            Tail::Head { end, weight, bias } if self.drops() && n.graph().training() => {
                let logits = n.graph().head("output_block", &end, weight, bias)?;
                Tail::Logits(dropped(n, "output_block.conv", logits, self.dropout as f32)?)
            }
            tail => tail,
        };
        stages.extend(["output_block.conv", "output_block"].map(|name| (name.to_owned(), Stage::Logits)));
        Ok(Output { tail, deep, stages })
    }
}

impl DynUNetConfig {
    /// What each level gives on the way down, the bottleneck last.
    fn down(&self, n: &mut Net, input: Lazy, stages: &mut Stages) -> Result<Vec<Lazy>, GraphError> {
        let levels = self.strides.len();
        let (mut x, mut skips) = (input, Vec::with_capacity(levels));
        for level in 0..levels {
            let name = match level {
                0 => "input_block".to_owned(),
                _ if level + 1 == levels => "bottleneck".to_owned(),
                _ => format!("downsamples.{}", level - 1),
            };
            let block = Block {
                kernel: self.kernel_size[level],
                stride: self.strides[level],
                ..self.block(self.filters[level], self.res_block)
            };
            x = n.segment(|n| {
                let end = self.conv_block(n, &name, &[x], block, stages)?;
                // What is a sum is stored once for all who read it.
                if end.plus.is_some() { Ok(n.graph().store(&name, &end)?.into()) } else { Ok(end) }
            })?;
            stages.push((name, x.into()));
            skips.push(x);
        }
        Ok(skips)
    }

    /// The finest level on the way up, and the heads of coarser ones, the finest first.
    fn up(
        &self,
        n: &mut Net,
        skips: &[Lazy],
        window: [usize; 3],
        stages: &mut Stages,
    ) -> Result<(Lazy, Vec<Tail>), GraphError> {
        let ups = self.strides.len() - 1;
        let mut x = *skips.last().ok_or_else(|| GraphError::new("a network without levels"))?;
        let mut deep = Vec::new();
        for i in 0..ups {
            let own = ups - 1 - i;
            let name = format!("upsamples.{i}");
            x = n.segment(|n| {
                let up = format!("{name}.transp_conv");
                let (out, kernel) = (self.filters[own], self.upsample_kernel_size[own]);
                let layer =
                    ConvLayer { stride: kernel, bias: self.trans_bias, he: true, ..ConvLayer::new(out, kernel) };
                let from_below = conv_transpose(n, &format!("{up}.conv"), &[x], layer)?;
                let from_below = dropped(n, &up, from_below, self.dropout as f32)?;
                stages.push((up, from_below.into()));
                let block = Block { kernel: self.kernel_size[own + 1], ..self.block(out, false) };
                let sources = [from_below.into(), skips[own]];
                self.conv_block(n, &format!("{name}.conv_block"), &sources, block, stages)
            })?;
            let skip_layer = ["skip_layers".to_owned(), ".next_layer".repeat(own)].concat();
            stages.extend([format!("{name}.conv_block"), name, skip_layer].map(|name| (name, x.into())));
            if own > 0 && own <= self.heads() {
                let name = format!("deep_supervision_heads.{}", own - 1);
                let head = self.head(n, &name, x);
                stages.extend([format!("{name}.conv"), name.clone()].map(|name| (name, Stage::Tail(head.clone()))));
                if let (true, Tail::Head { end, weight, bias }) = (n.graph().training(), head) {
                    let logits = n.graph().head(&name, &end, weight, bias)?;
                    let logits = dropped(n, &format!("{name}.conv"), logits, self.dropout as f32)?;
                    let logits =
                        n.graph().resize(&format!("{name}.enlarged"), &logits.into(), window, Sampling::Nearest)?;
                    deep.push(Tail::Logits(logits));
                }
            }
        }
        deep.reverse();
        Ok((x, deep))
    }

    fn block(&self, out: usize, residual: bool) -> Block {
        Block { he: true, dropout: self.dropout as f32, ..Block::new(out, residual, self.norm_name) }
    }

    /// `UnetResBlock`, `UnetBasicBlock`.
    fn conv_block(
        &self,
        n: &mut Net,
        name: &str,
        sources: &[Lazy],
        block: Block,
        stages: &mut Stages,
    ) -> Result<Lazy, GraphError> {
        let act: Act = n.scope(name, |n| Ok(act(n, self.act_name, "lrelu")))?;
        let made = unet_block(n, name, sources, Block { act, ..block })?;
        stages.extend(made.convs.into_iter().map(|(conv, y)| (format!("{name}.{conv}"), y.into())));
        Ok(made.end)
    }

    /// `UnetOutBlock`.
    fn head(&self, n: &mut Net, name: &str, end: Lazy) -> Tail {
        let (k, channels) = (self.out_channels, n.channels(end.x));
        let shape = [k, channels, 1, 1, 1];
        let weight = n.matrix(&format!("{name}.conv.conv.weight"), shape, Layout::TapMajor, Init::he(channels));
        let bias = n.vector(&format!("{name}.conv.conv.bias"), [k], Kind::Bias, Init::Constant(0.0));
        Tail::Head { end, weight, bias }
    }
}

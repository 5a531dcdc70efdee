//! SegResNet as MONAI builds it: residual blocks that normalise and activate before each convolution, on a way down by strided
//! convolutions and a way up whose levels are enlarged and added. Source: `monai/networks/nets/segresnet.py`,
//! `monai/networks/blocks/segresnet_block.py` (1.6.1); Myronenko, BrainLes 2018.

pub mod config;
pub mod monai;

pub use config::SegResNetConfig;

use serde_json::{Map, Value};

use super::builder::Net;
use super::config::ConfigError;
use super::dialect::{MonaiVersion, Unused};
use super::layers::act::act;
use super::layers::conv::{ConvLayer, conv, conv_transpose};
use super::layers::norm::norm;
use super::layers::pre_activation::{PreActivation, pre_activation};
use super::network::{Network, Output, Stage, Tail, Window, first_parts};
use super::parameter::{Init, Kind};
use crate::graph::{GraphError, Layout, TensorId};
use crate::kernels::lazy::{Act, Lazy};
use config::UpsampleMode;

type Stages = Vec<(String, Stage)>;

impl Network for SegResNetConfig {
    fn kind(&self) -> &'static str {
        config::KIND
    }

    fn in_channels(&self) -> usize {
        self.in_channels
    }

    fn out_channels(&self) -> usize {
        if self.use_conv_final { self.out_channels } else { self.init_filters }
    }

    fn window(&self) -> Window {
        let multiple = 1 << (self.blocks_down.len() - 1);
        let channels = self.init_filters.max(self.in_channels).max(Network::out_channels(self));
        Window::Any { multiple_of: [multiple; 3], default: [96usize.next_multiple_of(multiple); 3], channels }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        self.check()
    }

    fn arguments(&self) -> Map<String, Value> {
        super::config::to_map(self)
    }

    fn drops(&self) -> bool {
        self.dropout_prob.is_some_and(|rate| rate > 0.0)
    }

    fn registered(&self) -> &'static [&'static str] {
        monai::MODULES
    }

    fn is_unused(&self, name: &str) -> bool {
        monai::is_unused(self, name)
    }

    fn unused(&self, _version: MonaiVersion) -> Vec<Unused> {
        monai::unused(self)
    }

    fn module<'a>(&self, node: &'a str) -> &'a str {
        first_parts(node, if node.starts_with("down_") || node.starts_with("up_") { 2 } else { 1 })
    }

    fn build(&self, n: &mut Net, input: TensorId) -> Result<Output, GraphError> {
        let mut stages = Stages::new();
        let mut x = self.first(n, input)?;
        stages.push(("convInit".to_owned(), x.into()));
        let (dropout, g) = n.dropout();
        x = dropout.drop_channels(g, "dropout", x, self.dropout_prob.unwrap_or(0.0) as f32)?;
        let mut levels = Vec::with_capacity(self.blocks_down.len());
        for level in 0..self.blocks_down.len() {
            x = n.segment(|n| self.down(n, x, level, &mut stages))?;
            levels.push(x);
        }
        let skips = levels.into_iter().rev().skip(1).enumerate();
        for (i, skip) in skips {
            x = n.segment(|n| self.up(n, x, skip, i, &mut stages))?;
        }
        let tail = if self.use_conv_final { self.last(n, x, &mut stages)? } else { Tail::Logits(x) };
        Ok(Output { tail, deep: Vec::new(), stages })
    }
}

impl SegResNetConfig {
    fn conv3(&self, n: &mut Net, out: usize, before_norm: bool) -> ConvLayer {
        let moments = before_norm && self.norm.needs_moments(n);
        ConvLayer { bias: false, moments, ..ConvLayer::new(out, [3; 3]) }
    }

    fn first(&self, n: &mut Net, input: TensorId) -> Result<TensorId, GraphError> {
        let followed = self.blocks_down.first().is_some_and(|count| *count > 0);
        let layer = self.conv3(n, self.init_filters, followed && !self.drops());
        conv(n, "convInit.conv", &[input.into()], layer)
    }

    /// A strided convolution, except before the first level, and residual blocks.
    fn down(&self, n: &mut Net, x: TensorId, level: usize, stages: &mut Stages) -> Result<TensorId, GraphError> {
        let (name, mut x) = (format!("down_layers.{level}"), x);
        let blocks = self.blocks_down[level];
        if level > 0 {
            let layer = ConvLayer { stride: [2; 3], ..self.conv3(n, self.filters(level), blocks > 0) };
            x = conv(n, &format!("{name}.0.conv"), &[x.into()], layer)?;
            stages.push((format!("{name}.0"), x.into()));
        }
        for i in 1..=blocks {
            x = self.block(n, format!("{name}.{i}"), x, stages)?;
        }
        stages.push((name, x.into()));
        Ok(x)
    }

    /// A convolution to half the channels, twice the size, the way down's level added, and residual blocks.
    fn up(
        &self,
        n: &mut Net,
        x: TensorId,
        skip: TensorId,
        i: usize,
        stages: &mut Stages,
    ) -> Result<TensorId, GraphError> {
        let name = format!("up_samples.{i}");
        let out = n.channels(skip);
        let layer = ConvLayer { bias: false, ..ConvLayer::new(out, [1; 3]) };
        let halved = conv(n, &format!("{name}.0.conv"), &[x.into()], layer)?;
        stages.push((format!("{name}.0"), halved.into()));
        let up = match self.upsample_mode {
            UpsampleMode::Nontrainable => n.graph().resample(&format!("{name}.1"), &halved.into(), [2; 3])?,
            UpsampleMode::Deconv => {
                let layer = ConvLayer { stride: [2; 3], ..ConvLayer::new(out, [2; 3]) };
                conv_transpose(n, &format!("{name}.1.deconv"), &[halved.into()], layer)?
            }
        };
        stages.extend([(format!("{name}.1"), up.into()), (name.clone(), up.into())]);
        let mut x = n.graph().sum(&format!("{name}.sum"), &up.into(), &skip.into(), Act::None)?;
        let name = format!("up_layers.{i}");
        for j in 0..self.blocks_up[i] {
            x = self.block(n, format!("{name}.{j}"), x, stages)?;
        }
        stages.push((name, x.into()));
        Ok(x)
    }

    /// `ResBlock`.
    fn block(&self, n: &mut Net, name: String, x: TensorId, stages: &mut Stages) -> Result<TensorId, GraphError> {
        let (norm, act, kernel) = (self.norm, self.act, [3; 3]);
        let (norms, acts, convs) = (["norm1", "norm2"], ["act"; 2], ["conv1.conv", "conv2.conv"]);
        let block = PreActivation { norm, act, kernel, bias: false, norms, acts, convs };
        let y = pre_activation(n, &name, x, block)?;
        stages.push((name, y.into()));
        Ok(y)
    }

    /// Norm, activation and the output convolution.
    fn last(&self, n: &mut Net, x: TensorId, stages: &mut Stages) -> Result<Tail, GraphError> {
        let norm = norm(n, self.norm, "conv_final.0", x)?;
        let end = Lazy::new(x, Some(norm), act(n, self.act, "conv_final.1"));
        stages.extend([("conv_final.2".to_owned(), Stage::Logits), ("conv_final".to_owned(), Stage::Logits)]);
        let (k, init) = (self.out_channels, Init::Uniform { fan_in: self.init_filters });
        let weight = n.matrix("conv_final.2.conv.weight", [k, self.init_filters, 1, 1, 1], Layout::TapMajor, init);
        let bias = n.vector("conv_final.2.conv.bias", [k], Kind::Bias, init);
        Ok(Tail::Head { end, weight, bias })
    }
}

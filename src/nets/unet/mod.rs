//! UNet as MONAI builds it: from the top, each level is a way down, what lies below it, and a way up that takes both.
//! Source: `monai/networks/nets/unet.py`, `monai/networks/blocks/convolutions.py` (1.6.1); Kerfoot et al., STACOM 2018.

pub mod config;
pub mod monai;

pub use config::UNetConfig;

use serde_json::{Map, Value};

use super::builder::Net;
use super::config::ConfigError;
use super::layers::conv::{ConvLayer, conv, conv_transpose};
use super::layers::convolution::{Adn, adn, convolution};
use super::network::{Network, Output, Stage, Tail, Window, first_parts};
use crate::graph::{GraphError, TensorId};
use crate::kernels::lazy::{Act, Lazy};

type Stages = Vec<(String, Stage)>;

impl Network for UNetConfig {
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

    fn module<'a>(&self, node: &'a str) -> &'a str {
        // A level is `model`, then `1.submodule` so many times; its ways down and up are `0` and `2`.
        let below = node.matches("1.submodule").count();
        first_parts(node, 2 + 2 * below)
    }

    fn build(&self, n: &mut Net, input: TensorId) -> Result<Output, GraphError> {
        let mut stages = Stages::new();
        let logits = n.scope("model", |n| {
            let logits = self.level(n, input.into(), self.out_channels, 0, &mut stages)?;
            note(n, "", &[logits], &mut stages);
            n.graph().store("logits", &logits)
        })?;
        Ok(Output { tail: Tail::Logits(logits), deep: Vec::new(), stages })
    }
}

/// What the module `name` in the current scope gives.
fn note(n: &mut Net, name: &str, values: &[Lazy], stages: &mut Stages) {
    stages.push((n.graph().path(name), Stage::Values(values.to_vec())));
}

impl UNetConfig {
    /// `_create_block`: down, the levels below, and up on both.
    fn level(&self, n: &mut Net, x: Lazy, out: usize, level: usize, stages: &mut Stages) -> Result<Lazy, GraphError> {
        let (channels, stride) = (self.channels[level], self.strides[level]);
        let down = n.segment(|n| n.scope("0", |n| self.down(n, x, channels, stride, stages)))?;
        note(n, "0", &[down], stages);
        let below = n.scope("1.submodule", |n| match self.channels.get(level + 2) {
            Some(_) => self.level(n, down, channels, level + 1, stages),
            None => n.segment(|n| self.down(n, down, self.channels[level + 1], [1; 3], stages)),
        })?;
        note(n, "1.submodule", &[below], stages);
        note(n, "1", &[down, below], stages);
        let up = n.segment(|n| n.scope("2", |n| self.up(n, [down, below], out, stride, level == 0, stages)))?;
        note(n, "2", &[up], stages);
        Ok(up)
    }

    /// `_get_down_layer`.
    fn down(
        &self,
        n: &mut Net,
        x: Lazy,
        out: usize,
        stride: [usize; 3],
        stages: &mut Stages,
    ) -> Result<Lazy, GraphError> {
        if self.num_res_units > 0 {
            return self.residual_unit(n, x, out, stride, (self.num_res_units, false), stages);
        }
        let layer = self.layer(n, out, self.kernel_size, stride);
        let y = convolution(n, "", &[x], layer, Some(self.behind()))?;
        note(n, "adn", &[y], stages);
        Ok(y)
    }

    /// `_get_up_layer`; the topmost ends without norm and activation.
    fn up(
        &self,
        n: &mut Net,
        sources: [Lazy; 2],
        out: usize,
        stride: [usize; 3],
        top: bool,
        stages: &mut Stages,
    ) -> Result<Lazy, GraphError> {
        let layer = self.layer(n, out, self.up_kernel_size, stride);
        if self.num_res_units == 0 {
            let layer = ConvLayer { moments: layer.moments && !top, ..layer };
            let y = conv_transpose(n, "conv", &sources, layer)?;
            return if top { Ok(y.into()) } else { adn(n, y, self.behind()) };
        }
        let y = n.scope("0", |n| {
            let y = conv_transpose(n, "conv", &sources, layer)?;
            adn(n, y, self.behind())
        })?;
        note(n, "0", &[y], stages);
        let y = n.scope("1", |n| self.residual_unit(n, y, out, [1; 3], (1, top), stages))?;
        note(n, "1", &[y], stages);
        Ok(y)
    }

    /// `ResidualUnit`: so many convolutions, the last perhaps alone, plus the input or a convolution of it.
    fn residual_unit(
        &self,
        n: &mut Net,
        x: Lazy,
        out: usize,
        stride: [usize; 3],
        (units, last_conv_only): (usize, bool),
        stages: &mut Stages,
    ) -> Result<Lazy, GraphError> {
        let mut y = x;
        for unit in 0..units {
            let stride = if unit == 0 { stride } else { [1; 3] };
            let alone = last_conv_only && unit + 1 == units;
            let layer = self.layer(n, out, self.kernel_size, stride);
            let behind = (!alone).then(|| self.behind());
            y = convolution(n, &format!("conv.unit{unit}"), &[y], layer, behind)?;
        }
        note(n, "conv", &[y], stages);
        let strided = stride != [1; 3];
        let r = if strided || n.channels(x.x) != out {
            let kernel = if strided { self.kernel_size } else { [1; 3] };
            let layer = ConvLayer { stride, bias: self.bias, ..ConvLayer::new(out, kernel) };
            conv(n, "residual", &[x], layer)?.into()
        } else {
            x
        };
        Ok(n.graph().sum("", &y, &r, Act::None)?.into())
    }

    fn layer(&self, n: &mut Net, out: usize, kernel: [usize; 3], stride: [usize; 3]) -> ConvLayer {
        ConvLayer { stride, bias: self.bias, moments: self.norm.needs_moments(n), ..ConvLayer::new(out, kernel) }
    }

    /// What follows each convolution.
    fn behind(&self) -> Adn {
        Adn { norm: self.norm, dropout: self.dropout as f32, act: self.act }
    }
}

//! AttentionUnet: a UNet whose skips are multiplied by gates between 0 and 1, made of the skip and of what comes from below.
//! Source: `monai/networks/nets/attentionunet.py` (1.6.1); Oktay et al., MIDL 2018.

pub mod config;
pub mod monai;

pub use config::AttentionUnetConfig;

use serde_json::{Map, Value};

use super::builder::Net;
use super::config::ConfigError;
use super::layers::act::ActName;
use super::layers::conv::{ConvLayer, conv, conv_transpose};
use super::layers::convolution::{Adn, adn, convolution};
use super::layers::norm::{NormName, norm};
use super::network::{Network, Output, Stage, Tail, Window, first_parts};
use super::parameter::{Init, Kind};
use crate::graph::{GraphError, Layout, TensorId};
use crate::kernels::lazy::{Act, Lazy};

type Stages = Vec<(String, Stage)>;

const BATCH: NormName = NormName::Batch { affine: true };

/// Behind the convolutions of a level.
const BEHIND: Adn = Adn { norm: BATCH, dropout: 0.0, act: ActName::Relu };

/// Behind the one that merges a gated skip with what comes from below: MONAI's defaults.
const BEHIND_MERGE: Adn = Adn {
    norm: NormName::Instance { affine: false },
    dropout: 0.0,
    act: ActName::Prelu { num_parameters: 1, init: 0.25 },
};

impl Network for AttentionUnetConfig {
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

    fn module<'a>(&self, node: &'a str) -> &'a str {
        // `model.1`, then `submodule.1` for each level below, then the part of a level.
        let below = node.matches("submodule.1").count();
        first_parts(node, if node.starts_with("model.1") { 3 + 2 * below } else { 2 })
    }

    fn build(&self, n: &mut Net, input: TensorId) -> Result<Output, GraphError> {
        let mut stages = Stages::new();
        n.scope("model", |n| {
            let head = n.segment(|n| self.conv_block(n, "0", input.into(), self.channels[0], [1; 3], &mut stages))?;
            let end = n.scope("1", |n| self.attention_layer(n, head, 0, &mut stages))?;
            note(n, "1", end, &mut stages);
            let (k, channels) = (self.out_channels, self.channels[0]);
            let init = Init::Uniform { fan_in: channels };
            let weight = n.matrix("2.conv.weight", [k, channels, 1, 1, 1], Layout::TapMajor, init);
            let bias = n.vector("2.conv.bias", [k], Kind::Bias, init);
            stages.extend(["2.conv", "2", ""].map(|name| (n.graph().path(name), Stage::Logits)));
            Ok(Output { tail: Tail::Head { end, weight, bias }, deep: Vec::new(), stages })
        })
    }
}

/// What the module `name` in the current scope gives.
fn note(n: &mut Net, name: &str, value: Lazy, stages: &mut Stages) {
    stages.push((n.graph().path(name), value.into()));
}

impl AttentionUnetConfig {
    /// `ConvBlock`.
    fn conv_block(
        &self,
        n: &mut Net,
        name: &str,
        x: Lazy,
        out: usize,
        stride: [usize; 3],
        stages: &mut Stages,
    ) -> Result<Lazy, GraphError> {
        let layer = ConvLayer::new(out, self.kernel_size);
        let behind = Some(Adn { dropout: self.dropout as f32, ..BEHIND });
        let y = convolution(n, &format!("{name}.conv.0"), &[x], ConvLayer { stride, ..layer }, behind)?;
        note(n, &format!("{name}.conv.0"), y, stages);
        let y = convolution(n, &format!("{name}.conv.1"), &[y], layer, behind)?;
        note(n, &format!("{name}.conv.1"), y, stages);
        note(n, &format!("{name}.conv"), y, stages);
        note(n, name, y, stages);
        Ok(y)
    }

    /// `AttentionLayer`: down, the levels below, up, and the skip `x` gated by what comes up.
    fn attention_layer(&self, n: &mut Net, x: Lazy, level: usize, stages: &mut Stages) -> Result<Lazy, GraphError> {
        let (channels, below, stride) = (self.channels[level], self.channels[level + 1], self.strides[level]);
        let bottom = level + 2 == self.channels.len();
        let name = if bottom { "submodule" } else { "submodule.0" };
        let mut y = n.segment(|n| self.conv_block(n, name, x, below, stride, stages))?;
        if !bottom {
            y = n.scope("submodule.1", |n| self.attention_layer(n, y, level + 1, stages))?;
            note(n, "submodule.1", y, stages);
            note(n, "submodule", y, stages);
        }
        n.segment(|n| {
            let up = n.scope("upconv.up", |n| {
                let layer = ConvLayer { stride, ..ConvLayer::new(channels, self.up_kernel_size) };
                let up = conv_transpose(n, "conv", &[y], layer)?;
                adn(n, up, BEHIND)
            })?;
            note(n, "upconv.up", up, stages);
            note(n, "upconv", up, stages);
            let gated = n.scope("attention", |n| attention_block(n, up, x))?;
            note(n, "attention", gated, stages);
            let layer = ConvLayer::new(channels, [3; 3]);
            let behind = Adn { dropout: self.dropout as f32, ..BEHIND_MERGE };
            let merged = convolution(n, "merge", &[gated, up], layer, Some(behind))?;
            note(n, "merge", merged, stages);
            Ok(merged)
        })
    }
}

/// `AttentionBlock`: `x σ(N(psi max(N(W_g g) + N(W_x x), 0)))`.
fn attention_block(n: &mut Net, g: Lazy, x: Lazy) -> Result<Lazy, GraphError> {
    let inner = n.channels(x.x) / 2;
    let project = |n: &mut Net, name: &str, source: Lazy, out: usize| {
        let moments = BATCH.needs_moments(n);
        let y = conv(n, &format!("{name}.0.conv"), &[source], ConvLayer { moments, ..ConvLayer::new(out, [1; 3]) })?;
        Ok::<_, GraphError>(Lazy::new(y, Some(norm(n, BATCH, &format!("{name}.1"), y)?), Act::None))
    };
    let from_gate = project(n, "W_g", g, inner)?;
    let from_skip = project(n, "W_x", x, inner)?;
    let sum = n.graph().sum("relu", &from_gate, &from_skip, Act::RELU)?;
    let psi = Lazy { act: Act::Sigmoid, ..project(n, "psi", sum.into(), 1)? };
    Ok(n.graph().gate("gated", &x, &psi)?.into())
}

//! TransBTS: a convolutional encoder, a transformer on its coarsest level, and a decoder that takes the encoder's levels in.
//! Evaluation drops nothing. Source: Wang et al., MICCAI 2021, section 2; names and sizes as in the authors' program, which drops
//! a fifth of the first channels in evaluation too and ends with a softmax.

pub mod config;
pub mod keys;

pub use config::TransBtsConfig;

use serde_json::{Map, Value};

use super::builder::Net;
use super::config::ConfigError;
use super::dialect::{MonaiVersion, Unused};
use super::layers::act::ActName;
use super::layers::conv::{ConvLayer, conv, conv_transpose};
use super::layers::linear::{Linear, layer_norm, linear};
use super::layers::norm::{NormName, norm};
use super::layers::pre_activation::{PreActivation, pre_activation};
use super::network::{Network, Output, Stage, Tail, Window, first_parts};
use super::parameter::{Init, Kind};
use crate::graph::{GraphError, Layout, TensorId};
use crate::kernels::lazy::{Act, Lazy};
use config::GROUPS;

type Stages = Vec<(String, Stage)>;

/// Share of the first convolution's channels dropped in training.
const FIRST_DROPOUT: f32 = 0.2;
/// The encoder's residual blocks below the first level.
const BLOCKS: [&[&str]; 3] = [
    &["EnBlock2_1", "EnBlock2_2"],
    &["EnBlock3_1", "EnBlock3_2"],
    &["EnBlock4_1", "EnBlock4_2", "EnBlock4_3", "EnBlock4_4"],
];

impl Network for TransBtsConfig {
    fn kind(&self) -> &'static str {
        config::KIND
    }

    fn in_channels(&self) -> usize {
        self.num_channels
    }

    fn out_channels(&self) -> usize {
        self.num_classes
    }

    fn window(&self) -> Window {
        Window::Fixed([self.img_dim; 3])
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

    fn drops(&self) -> bool {
        true
    }

    fn registered(&self) -> &'static [&'static str] {
        keys::MODULES
    }

    fn is_unused(&self, name: &str) -> bool {
        keys::is_unused(name)
    }

    fn unused(&self, _version: MonaiVersion) -> Vec<Unused> {
        keys::unused(self)
    }

    fn module<'a>(&self, node: &'a str) -> &'a str {
        let parts = if node.starts_with("transformer.net.") { 3 } else { 1 + usize::from(node.starts_with("Unet.")) };
        first_parts(node, parts)
    }

    fn build(&self, n: &mut Net, input: TensorId) -> Result<Output, GraphError> {
        let mut stages = Stages::new();
        let (skips, x) = n.scope("Unet", |n| self.encoder(n, input, &mut stages))?;
        let x = batch_normed(n, "bn", x)?;
        let tokens = self.tokens(n, x)?;
        stages.push(("position_encoding".to_owned(), tokens.into()));
        let (dropout, g) = n.dropout();
        let mut z = dropout.drop_at(g, "pe_dropout", tokens, self.dropout_rate as f32)?;
        for block in 0..self.num_layers {
            z = n.segment(|n| n.scope("transformer.net", |n| self.transformer_block(n, block, z)))?;
            stages.push((format!("transformer.net.{}", 2 * block + 1), z.into()));
        }
        let x = n.graph().transpose("fold", z, &self.grid())?;
        let x = n.segment(|n| {
            let y = double(n, "Enblock8_1", x, self.channels(3))?;
            let y = n.graph().store("Enblock8_1", &y)?;
            stages.push(("Enblock8_1".to_owned(), y.into()));
            residual(n, "Enblock8_2", y)
        })?;
        let mut y = n.graph().sum("Enblock8_2", &x.0, &x.1.into(), Act::None)?;
        stages.push(("Enblock8_2".to_owned(), y.into()));
        for (level, skip) in skips.into_iter().enumerate().rev() {
            y = n.segment(|n| self.up(n, level, y, skip, &mut stages))?;
        }
        let (k, c) = (self.num_classes, self.channels(0));
        let init = Init::Uniform { fan_in: c };
        let weight = n.matrix("endconv.weight", [k, c, 1, 1, 1], Layout::TapMajor, init);
        let bias = n.vector("endconv.bias", [k], Kind::Bias, init);
        stages.push(("endconv".to_owned(), Stage::Logits));
        Ok(Output { tail: Tail::Head { end: y.into(), weight, bias }, deep: Vec::new(), stages })
    }
}

/// Batch norm and ReLU.
fn batch_normed(n: &mut Net, name: &str, x: TensorId) -> Result<Lazy, GraphError> {
    Ok(Lazy::new(x, Some(norm(n, NormName::Batch { affine: true }, name, x)?), Act::RELU))
}

/// Twice a convolution, batch norm and ReLU.
fn double(n: &mut Net, name: &str, x: TensorId, out: usize) -> Result<Lazy, GraphError> {
    n.scope(name, |n| {
        let moments = NormName::Batch { affine: true }.needs_moments(n);
        let layer = ConvLayer { moments, ..ConvLayer::new(out, [3; 3]) };
        let y = conv(n, "conv1", &[x.into()], layer)?;
        let y = batch_normed(n, "bn1", y)?;
        let y = conv(n, "conv2", &[y], layer)?;
        batch_normed(n, "bn2", y)
    })
}

/// The same on as many channels, and what is to be added to it.
fn residual(n: &mut Net, name: &str, x: TensorId) -> Result<(Lazy, TensorId), GraphError> {
    let channels = n.channels(x);
    Ok((double(n, name, x, channels)?, x))
}

impl TransBtsConfig {
    /// The levels that the decoder takes in, the finest first, and the coarsest.
    fn encoder(
        &self,
        n: &mut Net,
        input: TensorId,
        stages: &mut Stages,
    ) -> Result<(Vec<TensorId>, TensorId), GraphError> {
        let norm = NormName::Group { num_groups: GROUPS, affine: true };
        let block = PreActivation {
            norm,
            act: ActName::Relu,
            kernel: [3; 3],
            bias: true,
            norms: ["bn1", "bn2"],
            acts: ["relu1", "relu2"],
            convs: ["conv1", "conv2"],
        };
        let mut note = |n: &mut Net, name: &str, x: TensorId| stages.push((n.graph().path(name), x.into()));
        let first = conv(n, "InitConv.conv", &[input.into()], ConvLayer::new(self.channels(0), [3; 3]))?;
        let (dropout, g) = n.dropout();
        let first = dropout.drop_channels(g, "InitConv.dropout", first, FIRST_DROPOUT)?;
        let mut x = n.segment(|n| pre_activation(n, "EnBlock1", first, block))?;
        note(n, "EnBlock1", x);
        let mut skips = Vec::with_capacity(BLOCKS.len());
        for (i, names) in BLOCKS.iter().enumerate() {
            skips.push(x);
            let down = format!("EnDown{}", i + 1);
            let layer = ConvLayer { stride: [2; 3], moments: true, ..ConvLayer::new(self.channels(i + 1), [3; 3]) };
            x = conv(n, &format!("{down}.conv"), &[x.into()], layer)?;
            note(n, &down, x);
            for name in *names {
                x = n.segment(|n| pre_activation(n, name, x, block))?;
                note(n, name, x);
            }
        }
        Ok((skips, x))
    }

    /// A convolution to the width of a token, its voxels one after the other, and their positions added.
    fn tokens(&self, n: &mut Net, x: Lazy) -> Result<TensorId, GraphError> {
        let layer = ConvLayer::new(self.embedding_dim, [3; 3]);
        let x = conv(n, "conv_x", &[x], layer)?;
        let tokens = n.graph().patchify("unfold", x, 1, false)?;
        let shape = [1, self.grid().iter().product(), self.embedding_dim];
        let name = "position_encoding.position_embeddings";
        let position = n.vector(name, shape, Kind::Position, Init::Constant(0.0));
        n.graph().add_repeated("position_encoding", tokens, position)
    }

    /// Attention and MLP, each behind a layer norm and before an addition.
    fn transformer_block(&self, n: &mut Net, block: usize, z: TensorId) -> Result<TensorId, GraphError> {
        let (rate, attention_rate) = (self.dropout_rate as f32, self.attn_dropout_rate as f32);
        let z = n.scope(&format!("{}.fn", 2 * block), |n| {
            let normed = layer_norm(n, "norm", z)?;
            let qkv = Linear { no_bias: true, ..Linear::new(3 * self.embedding_dim) };
            let qkv = linear(n, "fn.qkv", normed, qkv)?;
            let weights = n.dropout().0.at(attention_rate);
            let (o, _) = n.graph().attention("fn.attention", qkv, self.num_heads, weights)?;
            let places = [("fn.proj_drop", attention_rate), ("dropout", rate)];
            self.added(n, "fn.proj", o, z, &places)
        })?;
        n.scope(&format!("{}.fn", 2 * block + 1), |n| {
            let normed = layer_norm(n, "norm", z)?;
            let inner = linear(n, "fn.net.0", normed, Linear { gelu: true, ..Linear::new(self.hidden_dim) })?;
            let (dropout, g) = n.dropout();
            let inner = dropout.drop_at(g, "fn.net.2", inner, rate)?;
            self.added(n, "fn.net.3", inner, z, &[("fn.net.4", rate)])
        })
    }

    /// A linear layer to the width of a token, values of it dropped at each place, and `z` added.
    fn added(
        &self,
        n: &mut Net,
        name: &str,
        x: TensorId,
        z: TensorId,
        places: &[(&str, f32)],
    ) -> Result<TensorId, GraphError> {
        let masks: Vec<_> =
            places.iter().filter_map(|(place, rate)| Some((*place, n.dropout().0.at(*rate)?))).collect();
        let Some((last, before)) = masks.split_last() else {
            return linear(n, name, x, Linear { residual: Some(z), ..Linear::new(self.embedding_dim) });
        };
        let mut y = linear(n, name, x, Linear::new(self.embedding_dim))?;
        for (place, (mask, step)) in before {
            y = n.graph().dropout(place, y, *step, *mask, None)?;
        }
        let (place, (mask, step)) = last;
        n.graph().dropout(place, y, *step, *mask, Some(z))
    }

    /// Twice the size, joined with the encoder's level, and a residual block of two convolutions.
    fn up(
        &self,
        n: &mut Net,
        level: usize,
        x: TensorId,
        skip: TensorId,
        stages: &mut Stages,
    ) -> Result<TensorId, GraphError> {
        let (up, block, out) = (format!("DeUp{}", level + 2), format!("DeBlock{}", level + 2), self.channels(level));
        let y = n.scope(&up, |n| {
            let y = conv(n, "conv1", &[x.into()], ConvLayer::new(out, [1; 3]))?;
            let y =
                conv_transpose(n, "conv2", &[y.into()], ConvLayer { stride: [2; 3], ..ConvLayer::new(out, [2; 3]) })?;
            conv(n, "conv3", &[skip.into(), y.into()], ConvLayer::new(out, [1; 3]))
        })?;
        stages.push((up, y.into()));
        let (end, plus) = residual(n, &block, y)?;
        let y = n.graph().sum(&block, &end, &plus.into(), Act::None)?;
        stages.push((block, y.into()));
        Ok(y)
    }
}

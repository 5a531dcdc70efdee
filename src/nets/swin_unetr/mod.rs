//! Swin UNETR: hidden states of a transformer with attention in windows, one stage for each scale, and UNETR's decoder. Tokens
//! are `(N, L, E)` throughout a stage; the decoder takes them as volumes. Source: MONAI `SwinUNETR.forward`, `SwinTransformer`,
//! `BasicLayer`, `SwinTransformerBlock`.

pub mod config;
pub mod monai;

pub use config::SwinUnetrConfig;

use serde_json::{Map, Value};

use super::builder::Net;
use super::config::ConfigError;
use super::dialect::Index;
use super::layers::linear::{Linear, layer_norm, linear};
use super::layers::norm::NormName;
use super::layers::parts;
use super::layers::unet_block::{Block, unet_block, up};
use super::network::{Network, Output, Stage, Tail, Window, first_parts};
use super::parameter::{Init, Kind};
use crate::graph::{GraphError, Layout, TensorId};
use crate::kernels::conv3d::Conv;
use crate::kernels::lazy::Lazy;
use crate::kernels::window_attention::Windows;
use config::{MULTIPLE, PATCH_SIZE, STAGES};

type Stages = Vec<(String, Stage)>;

impl Network for SwinUnetrConfig {
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
        Window::Any { multiple_of: [MULTIPLE; 3], default: self.img_size.unwrap_or([96; 3]), channels: self.widest() }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        self.check()
    }

    fn arguments(&self) -> Map<String, Value> {
        super::config::to_map(self)
    }

    fn drops(&self) -> bool {
        self.drop_rate > 0.0 || self.attn_drop_rate > 0.0 || self.dropout_path_rate > 0.0
    }

    fn registered(&self) -> &'static [&'static str] {
        monai::MODULES
    }

    fn is_unused(&self, name: &str) -> bool {
        monai::is_index(name)
    }

    fn indices(&self) -> Vec<Index> {
        monai::indices(self)
    }

    fn gradient_tolerance(&self) -> f64 {
        // Norms over the handful of voxels of the coarsest level.
        2e-3
    }

    fn module<'a>(&self, node: &'a str) -> &'a str {
        first_parts(node, 1 + usize::from(node.starts_with("swinViT.")))
    }

    fn build(&self, n: &mut Net, input: TensorId) -> Result<Output, GraphError> {
        let f = self.feature_size;
        let mut stages = Stages::new();
        let [x0, x1, x2, x3, x4] = n.scope("swinViT", |n| self.transformer(n, input, &mut stages))?;
        let dec4 = self.encoder(n, "encoder10", x4, 16 * f, &mut stages)?;
        let dec3 = self.stored_decoder(n, "decoder5", dec4, x3, 8 * f, &mut stages)?;
        let enc3 = self.encoder(n, "encoder4", x2, 4 * f, &mut stages)?;
        let dec2 = self.stored_decoder(n, "decoder4", dec3, enc3, 4 * f, &mut stages)?;
        let enc2 = self.encoder(n, "encoder3", x1, 2 * f, &mut stages)?;
        let dec1 = self.stored_decoder(n, "decoder3", dec2, enc2, 2 * f, &mut stages)?;
        let enc1 = self.encoder(n, "encoder2", x0, f, &mut stages)?;
        let dec0 = self.stored_decoder(n, "decoder2", dec1, enc1, f, &mut stages)?;
        // Last, so that the largest tensors do not wait through the rest of the network.
        let tail = self.finest(n, input, dec0, &mut stages)?;
        stages.extend([("out".to_owned(), Stage::Logits), ("out.conv".to_owned(), Stage::Logits)]);
        Ok(Output { tail, deep: Vec::new(), stages })
    }
}

/// Tokens of a grid.
#[derive(Clone, Copy)]
struct Tokens {
    x: TensorId,
    grid: [usize; 3],
}

impl SwinUnetrConfig {
    /// `SwinTransformer`: the hidden states as volumes, the embedding's first.
    fn transformer(&self, n: &mut Net, input: TensorId, stages: &mut Stages) -> Result<[TensorId; 5], GraphError> {
        let mut x = self.patch_embed(n, input)?;
        stages.push((n.graph().path("patch_embed"), Stage::Tokens { x: x.x, grid: x.grid }));
        x.x = self.dropped(n, "pos_drop", x.x)?;
        let mut hidden = [self.proj_out(n, 0, x)?; STAGES + 1];
        for stage in 0..STAGES {
            if self.use_v2 {
                x.x = self.residual_conv(n, stage, x, stages)?;
            }
            x = n.scope(&format!("layers{}.0", stage + 1), |n| self.basic_layer(n, stage, x))?;
            let name = format!("layers{}.0", stage + 1);
            stages.push((n.graph().path(&name), Stage::Tokens { x: x.x, grid: x.grid }));
            hidden[stage + 1] = self.proj_out(n, stage + 1, x)?;
        }
        Ok(hidden)
    }

    /// `PatchEmbed`: a convolution of kernel and stride 2.
    fn patch_embed(&self, n: &mut Net, input: TensorId) -> Result<Tokens, GraphError> {
        let (f, c) = (self.feature_size, self.in_channels);
        let grid = match *n.graph().shape(input).dims() {
            [_, _, x, y, z] => [x, y, z].map(|size| size / PATCH_SIZE),
            _ => return Err(GraphError::new("a window has five axes")),
        };
        n.scope("patch_embed", |n| {
            let init = Init::Uniform { fan_in: c * PATCH_SIZE.pow(3) };
            let w = n.matrix("proj.weight", [f, c, PATCH_SIZE, PATCH_SIZE, PATCH_SIZE], Layout::Natural, init);
            let b = n.vector("proj.bias", [f], Kind::Bias, init);
            let patches = n.graph().patchify("patches", input, PATCH_SIZE, false)?;
            let x = n.graph().linear("proj", patches, w, Some(b), false, None)?;
            let x = if self.patch_norm { layer_norm(n, "norm", x)? } else { x };
            Ok(Tokens { x, grid })
        })
    }

    /// `proj_out`: what the decoder takes of a hidden state.
    fn proj_out(&self, n: &mut Net, number: usize, x: Tokens) -> Result<TensorId, GraphError> {
        n.scope(&format!("proj_out.{number}"), |n| {
            let y = if self.normalize { n.graph().plain_layer_norm("norm", x.x)? } else { x.x };
            n.graph().transpose("volume", y, &x.grid)
        })
    }

    /// Version 2's block before a stage.
    fn residual_conv(&self, n: &mut Net, stage: usize, x: Tokens, stages: &mut Stages) -> Result<TensorId, GraphError> {
        let name = format!("layers{}c.0", stage + 1);
        n.segment(|n| {
            let volume = n.graph().transpose(&format!("{name}.volume"), x.x, &x.grid)?;
            let block = Block::new(self.width(stage), true, NormName::default());
            let end = unet_block(n, &format!("{name}.layer"), &[volume.into()], block)?.end;
            let y = n.graph().store(&name, &end)?;
            stages.push((n.graph().path(&name), y.into()));
            n.graph().patchify(&format!("{name}.tokens"), y, 1, true)
        })
    }

    /// `BasicLayer`: blocks, every second of which moves its windows, and the merging of patches.
    fn basic_layer(&self, n: &mut Net, stage: usize, mut x: Tokens) -> Result<Tokens, GraphError> {
        for block in 0..self.depths[stage] {
            let windows = Windows { grid: x.grid, window: self.window_size, shifted: block % 2 == 1 };
            let path = self.path_rate(stage, block);
            x.x = n.segment(|n| n.scope(&format!("blocks.{block}"), |n| self.block(n, stage, x.x, windows, path)))?;
        }
        n.scope("downsample", |n| {
            let joined = n.graph().patch_merging("joined", x.x, x.grid, self.corners())?;
            let normed = layer_norm(n, "norm", joined)?;
            let reduction = Linear { no_bias: true, ..Linear::new(2 * self.width(stage)) };
            Ok(Tokens { x: linear(n, "reduction", normed, reduction)?, grid: x.grid.map(|size| size / 2) })
        })
    }

    /// `SwinTransformerBlock`: `z + attention(LN(z))`, then `z + MLP(LN(z))`.
    fn block(
        &self,
        n: &mut Net,
        stage: usize,
        z: TensorId,
        windows: Windows,
        path: f64,
    ) -> Result<TensorId, GraphError> {
        let normed = layer_norm(n, "norm1", z)?;
        let z = n.scope("attn", |n| {
            let o = self.attention(n, stage, normed, windows)?;
            self.last(n, "proj", o, z, "proj_drop", path)
        })?;
        let normed = layer_norm(n, "norm2", z)?;
        n.scope("mlp", |n| {
            let inner = linear(n, "linear1", normed, Linear { gelu: true, ..Linear::new(self.mlp_width(stage)) })?;
            let inner = self.dropped(n, "drop1", inner)?;
            self.last(n, "linear2", inner, z, "drop2", path)
        })
    }

    /// `WindowAttention` without its last projection.
    fn attention(&self, n: &mut Net, stage: usize, x: TensorId, windows: Windows) -> Result<TensorId, GraphError> {
        let (width, heads) = (self.width(stage), self.num_heads[stage]);
        let distances = [windows.distances(), heads];
        let table = n.vector("relative_position_bias_table", distances, Kind::Bias, Init::Normal(0.02));
        let init = Init::Uniform { fan_in: width };
        let w = n.matrix("qkv.weight", [3 * width, width], Layout::Natural, init);
        let b = self.qkv_bias.then(|| n.vector("qkv.bias", [3 * width], Kind::Bias, init));
        let qkv = n.graph().linear("qkv", x, w, b, false, None)?;
        let (dropout, g) = n.dropout();
        g.window_attention("attention", [qkv, table], b, windows, heads, dropout.next_or(self.attn_drop_rate))
    }

    /// `encoder1`, `decoder1` and `out`: the level of the window's own voxels, whose channels may lie in several tensors.
    fn finest(&self, n: &mut Net, input: TensorId, below: TensorId, stages: &mut Stages) -> Result<Tail, GraphError> {
        let (f, k) = (self.feature_size, self.out_channels);
        let (samples, _, size) = n.graph().shape(input).volume().unwrap_or((1, 1, [1; 3]));
        let parts = parts::parts(f, samples * size.iter().product::<usize>());
        let init = Init::Uniform { fan_in: f };
        let output = |n: &mut Net| {
            let weight = n.matrix("out.conv.conv.weight", [k, f, 1, 1, 1], Layout::TapMajor, init);
            (weight, n.vector("out.conv.conv.bias", [k], Kind::Bias, init))
        };
        if parts == 1 || !parts::divides(self.norm_name) || self.in_channels == f {
            let skip = self.encoder(n, "encoder1", input, f, stages)?;
            let end = n.segment(|n| self.decoder(n, "decoder1", below, skip, f, stages))?;
            let (weight, bias) = output(n);
            return Ok(Tail::Head { end, weight, bias });
        }
        let block = self.conv_block(f);
        let stored = |n: &mut Net, name: &str, end: Vec<Lazy>| -> Result<Vec<TensorId>, GraphError> {
            end.iter().enumerate().map(|(i, end)| n.graph().store(&format!("{name}.{i}"), end)).collect()
        };
        let skip = n.segment(|n| {
            let end = parts::unet_block(n, "encoder1.layer", &[input], block, parts)?.end;
            stored(n, "encoder1", end)
        })?;
        let end = n.segment(|n| {
            let mut sources = parts::up(n, "decoder1.transp_conv", below, f, parts)?;
            sources.extend(skip);
            let end = parts::unet_block(n, "decoder1.conv_block", &sources, block, parts)?.end;
            stored(n, "decoder1", end)
        })?;
        let values: Vec<Lazy> = end.into_iter().map(Lazy::from).collect();
        stages.push(("decoder1".to_owned(), Stage::Values(values.clone())));
        let (weight, bias) = output(n);
        let conv = Conv { bias: Some(bias), ..Conv::new(weight) };
        let logits = parts::conv(n, "out", &values, 1, &conv)?.first().copied();
        logits.map(Tail::Logits).ok_or_else(|| GraphError::new("the output has no channels"))
    }

    fn conv_block(&self, out: usize) -> Block {
        Block::new(out, true, self.norm_name)
    }

    /// `UnetrBasicBlock`.
    fn encoder(
        &self,
        n: &mut Net,
        name: &str,
        x: TensorId,
        out: usize,
        stages: &mut Stages,
    ) -> Result<TensorId, GraphError> {
        n.segment(|n| {
            let layer = format!("{name}.layer");
            let made = unet_block(n, &layer, &[x.into()], self.conv_block(out))?;
            stages.extend(made.convs.iter().map(|(conv, y)| (format!("{layer}.{conv}"), Stage::from(*y))));
            let y = n.graph().store(name, &made.end)?;
            stages.extend([(layer, y.into()), (name.to_owned(), y.into())]);
            Ok(y)
        })
    }

    /// `UnetrUpBlock`: up, then a block on (upsampled, skip). Its end is not stored.
    fn decoder(
        &self,
        n: &mut Net,
        name: &str,
        x: TensorId,
        skip: TensorId,
        out: usize,
        stages: &mut Stages,
    ) -> Result<Lazy, GraphError> {
        let up = up(n, &format!("{name}.transp_conv"), x, out)?;
        let block = format!("{name}.conv_block");
        let made = unet_block(n, &block, &[up.into(), skip.into()], self.conv_block(out))?;
        stages.extend(made.convs.iter().map(|(conv, y)| (format!("{block}.{conv}"), Stage::from(*y))));
        let end = made.end;
        stages.extend([(format!("{name}.transp_conv"), up.into()), (block, end.into()), (name.to_owned(), end.into())]);
        Ok(end)
    }

    fn stored_decoder(
        &self,
        n: &mut Net,
        name: &str,
        x: TensorId,
        skip: TensorId,
        out: usize,
        stages: &mut Stages,
    ) -> Result<TensorId, GraphError> {
        n.segment(|n| {
            let end = self.decoder(n, name, x, skip, out, stages)?;
            n.graph().store(name, &end)
        })
    }

    /// Share of samples for which a block's branches are dropped: from none at the first block to all of the rate at the last.
    fn path_rate(&self, stage: usize, block: usize) -> f64 {
        let before: usize = self.depths.iter().take(stage).sum();
        let steps = self.depths.iter().sum::<usize>().saturating_sub(1).max(1);
        self.dropout_path_rate * (before + block) as f64 / steps as f64
    }

    fn dropped(&self, n: &mut Net, name: &str, x: TensorId) -> Result<TensorId, GraphError> {
        let (dropout, g) = n.dropout();
        match dropout.next_or(self.drop_rate) {
            Some((mask, step)) => g.dropout(name, x, step, mask, None),
            None => Ok(x),
        }
    }

    /// The linear layer at the end of a branch, what is dropped of it, and the residual.
    fn last(
        &self,
        n: &mut Net,
        name: &str,
        x: TensorId,
        residual: TensorId,
        drop: &str,
        path: f64,
    ) -> Result<TensorId, GraphError> {
        let out = n.graph().shape(residual).last();
        let (dropout, _) = n.dropout();
        let values = dropout.next_or(self.drop_rate);
        let samples = if path > 0.0 { dropout.at(path as f32) } else { None };
        if values.is_none() && samples.is_none() {
            return linear(n, name, x, Linear { residual: Some(residual), ..Linear::new(out) });
        }
        let mut y = linear(n, name, x, Linear::new(out))?;
        if let Some((mask, step)) = values {
            y = n.graph().dropout(drop, y, step, mask, Some(residual).filter(|_| samples.is_none()))?;
        }
        match samples {
            Some((mask, step)) => n.graph().dropout_samples("drop_path", y, step, mask, residual),
            None => Ok(y),
        }
    }
}

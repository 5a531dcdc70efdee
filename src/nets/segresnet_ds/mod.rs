//! SegResNetDS, the network of MONAI's Auto3DSeg: SegResNet's blocks, transposed convolutions on the way up, axes of coarse
//! voxels that are not halved at first, and heads on several levels. Source: `monai/networks/nets/segresnet_ds.py` (1.6.1).

pub mod config;
pub mod monai;

pub use config::SegResNetDsConfig;

use serde_json::{Map, Value};

use super::builder::Net;
use super::config::ConfigError;
use super::layers::conv::{ConvLayer, conv, conv_transpose};
use super::layers::pre_activation::{PreActivation, pre_activation};
use super::network::{Network, Output, Stage, Tail, Window, first_parts};
use super::parameter::{Init, Kind};
use super::segresnet::config::UpsampleMode;
use crate::graph::{GraphError, Layout, TensorId};
use crate::kernels::lazy::Act;

type Stages = Vec<(String, Stage)>;

impl Network for SegResNetDsConfig {
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
        let multiple_of = self.multiple();
        let channels = self.init_filters.max(self.in_channels).max(self.out_channels);
        Window::Any { multiple_of, default: multiple_of.map(|m| 96usize.next_multiple_of(m)), channels }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        self.check()
    }

    fn arguments(&self) -> Map<String, Value> {
        super::config::to_map(self)
    }

    fn registered(&self) -> &'static [&'static str] {
        monai::MODULES
    }

    fn module<'a>(&self, node: &'a str) -> &'a str {
        first_parts(node, if node.starts_with("encoder.layers.") { 3 } else { 2 })
    }

    fn build(&self, n: &mut Net, input: TensorId) -> Result<Output, GraphError> {
        let mut stages = Stages::new();
        let scales = self.scales();
        let followed = self.blocks_down.first().is_some_and(|count| *count > 0);
        let first = self.layer(n, self.init_filters, kernel(scales[0]), followed);
        let mut x = conv(n, "encoder.conv_init", &[input.into()], first)?;
        stages.push(("encoder.conv_init".to_owned(), x.into()));
        let mut skips = Vec::with_capacity(scales.len());
        for (level, &scale) in scales.iter().enumerate() {
            let name = format!("encoder.layers.{level}");
            x = n.segment(|n| self.blocks(n, &name, x, kernel(scale), self.blocks_down[level], &mut stages))?;
            if level + 1 < scales.len() {
                skips.push(x);
                let followed = self.blocks_down[level + 1] > 0;
                let layer = self.layer(n, self.filters(level + 1), kernel(scale), followed);
                x = conv(n, &format!("{name}.downsample"), &[x.into()], ConvLayer { stride: scale, ..layer })?;
                stages.push((format!("{name}.downsample"), x.into()));
            }
        }
        let mut heads = Vec::new();
        let ups = skips.len();
        for (i, skip) in skips.into_iter().rev().enumerate() {
            let name = format!("up_layers.{i}");
            x = n.segment(|n| self.up(n, &name, x, skip, (i, scales[ups - i - 1]), &mut stages))?;
            if ups - i <= self.dsdepth {
                heads.push(self.head(n, &name, x));
            }
        }
        if ups == 0 {
            heads.push(self.head(n, "up_layers.0", x));
        }
        let tail = heads.pop().ok_or_else(|| GraphError::new("no level has a head"))?;
        heads.reverse();
        Ok(Output { tail, deep: heads, stages })
    }
}

/// Kernels reach along the axes that are halved.
fn kernel(scale: [usize; 3]) -> [usize; 3] {
    scale.map(|stride| if stride > 1 { 3 } else { 1 })
}

impl SegResNetDsConfig {
    fn layer(&self, n: &mut Net, out: usize, kernel: [usize; 3], before_norm: bool) -> ConvLayer {
        let moments = before_norm && self.norm.needs_moments(n);
        ConvLayer { bias: false, moments, ..ConvLayer::new(out, kernel) }
    }

    fn blocks(
        &self,
        n: &mut Net,
        level: &str,
        mut x: TensorId,
        kernel: [usize; 3],
        count: usize,
        stages: &mut Stages,
    ) -> Result<TensorId, GraphError> {
        let (norm, act) = (self.norm, self.act);
        let (norms, acts, convs) = (["norm1", "norm2"], ["act1", "act2"], ["conv1", "conv2"]);
        let block = PreActivation { norm, act, kernel, bias: false, norms, acts, convs };
        for i in 0..count {
            x = pre_activation(n, &format!("{level}.blocks.{i}"), x, block)?;
        }
        if count > 0 {
            stages.push((format!("{level}.blocks"), x.into()));
        }
        Ok(x)
    }

    /// Enlarged to half the channels, the way down's level added, and residual blocks.
    fn up(
        &self,
        n: &mut Net,
        name: &str,
        x: TensorId,
        skip: TensorId,
        (i, scale): (usize, [usize; 3]),
        stages: &mut Stages,
    ) -> Result<TensorId, GraphError> {
        let (out, upsample) = (n.channels(skip), format!("{name}.upsample"));
        let up = match self.upsample_mode {
            UpsampleMode::Deconv => {
                let layer = ConvLayer { stride: scale, ..self.layer(n, out, kernel(scale), false) };
                conv_transpose(n, &format!("{upsample}.deconv"), &[x.into()], layer)?
            }
            UpsampleMode::Nontrainable => {
                let layer = self.layer(n, out, [1; 3], false);
                let halved = conv(n, &format!("{upsample}.preconv"), &[x.into()], layer)?;
                n.graph().resample(&upsample, &halved.into(), scale)?
            }
        };
        stages.push((upsample, up.into()));
        let x = n.graph().sum(&format!("{name}.sum"), &up.into(), &skip.into(), Act::None)?;
        self.blocks(n, name, x, kernel(scale), self.blocks_up[i], stages)
    }

    fn head(&self, n: &mut Net, level: &str, x: TensorId) -> Tail {
        let (k, c) = (self.out_channels, n.channels(x));
        let init = Init::Uniform { fan_in: c };
        let weight = n.matrix(&format!("{level}.head.weight"), [k, c, 1, 1, 1], Layout::TapMajor, init);
        let bias = n.vector(&format!("{level}.head.bias"), [k], Kind::Bias, init);
        Tail::Head { end: x.into(), weight, bias }
    }
}

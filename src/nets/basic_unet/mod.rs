//! BasicUNet: five levels of two convolutions each, max pooling between them, transposed convolutions back up.
//! Source: `monai/networks/nets/basic_unet.py` (1.6.1); Falk et al., Nature Methods 2019.

pub mod config;
pub mod monai;

pub use config::BasicUNetConfig;

use serde_json::{Map, Value};

use super::builder::Net;
use super::config::ConfigError;
use super::layers::conv::{ConvLayer, conv_transpose};
use super::layers::convolution::{Adn, convolution};
use super::network::{Network, Output, Stage, Tail, Window};
use super::parameter::{Init, Kind};
use crate::graph::{GraphError, Layout, TensorId};
use crate::kernels::conv3d::Geometry;
use crate::kernels::lazy::Lazy;
use crate::kernels::pool::Pooling;

type Stages = Vec<(String, Stage)>;

/// Windows of the pooling, and kernels of what enlarges again.
const TWO: [usize; 3] = [2; 3];

impl Network for BasicUNetConfig {
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
        Window::Any { multiple_of: [16; 3], default: [96; 3], channels: self.widest() }
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

    fn build(&self, n: &mut Net, input: TensorId) -> Result<Output, GraphError> {
        let f = self.features;
        let mut stages = Stages::new();
        let mut x = n.segment(|n| self.two_conv(n, "conv_0", &[input.into()], f[0], &mut stages))?;
        let mut skips = vec![x];
        for (level, &channels) in f.iter().enumerate().take(5).skip(1) {
            let name = format!("down_{level}");
            x = n.segment(|n| {
                let geometry = Geometry::new(TWO, TWO, [0; 3]);
                let pooled = n.graph().pool(&format!("{name}.max_pooling"), &x, Pooling::Max, geometry)?;
                stages.push((format!("{name}.max_pooling"), pooled.into()));
                self.two_conv(n, &format!("{name}.convs"), &[pooled.into()], channels, &mut stages)
            })?;
            stages.push((name, x.into()));
            skips.push(x);
        }
        for level in (1..5).rev() {
            // The last step up neither halves its channels nor ends with those of its level.
            let (up, out) = if level == 1 { (f[1], f[5]) } else { (f[level] / 2, f[level - 1]) };
            let name = format!("upcat_{level}");
            let skip = skips[level - 1];
            x = n.segment(|n| {
                let layer = ConvLayer { stride: TWO, ..ConvLayer::new(up, TWO) };
                let enlarged = conv_transpose(n, &format!("{name}.upsample.deconv"), &[x], layer)?;
                stages.push((format!("{name}.upsample"), enlarged.into()));
                self.two_conv(n, &format!("{name}.convs"), &[skip, enlarged.into()], out, &mut stages)
            })?;
            stages.push((name, x.into()));
        }
        let (k, init) = (self.out_channels, Init::Uniform { fan_in: f[5] });
        let weight = n.matrix("final_conv.weight", [k, f[5], 1, 1, 1], Layout::TapMajor, init);
        let bias = n.vector("final_conv.bias", [k], Kind::Bias, init);
        stages.push(("final_conv".to_owned(), Stage::Logits));
        Ok(Output { tail: Tail::Head { end: x, weight, bias }, deep: Vec::new(), stages })
    }
}

impl BasicUNetConfig {
    /// `TwoConv`.
    fn two_conv(
        &self,
        n: &mut Net,
        name: &str,
        sources: &[Lazy],
        out: usize,
        stages: &mut Stages,
    ) -> Result<Lazy, GraphError> {
        let layer = ConvLayer { bias: self.bias, ..ConvLayer::new(out, [3; 3]) };
        let behind = Adn { norm: self.norm, dropout: self.dropout as f32, act: self.act };
        let mut convolution = |n: &mut Net, conv: &str, sources: &[Lazy]| {
            let path = format!("{name}.{conv}");
            let y = convolution(n, &path, sources, layer, Some(behind))?;
            stages.extend([format!("{path}.adn"), path].map(|path| (path, y.into())));
            Ok::<_, GraphError>(y)
        };
        let y = convolution(n, "conv_0", sources)?;
        let y = convolution(n, "conv_1", &[y])?;
        stages.push((name.to_owned(), y.into()));
        Ok(y)
    }
}

//! Convolutions and transposed convolutions of one source or two, whose channels follow one another.

use super::super::builder::Net;
use super::super::parameter::{Init, Kind};
use crate::graph::{GraphError, Layout, TensorId};
use crate::kernels::conv_transpose3d::ConvTranspose;
use crate::kernels::conv3d::Conv;
use crate::kernels::lazy::Lazy;

/// Sizes of a convolution.
#[derive(Clone, Copy, Debug)]
pub struct ConvLayer {
    /// Channels of the result.
    pub out: usize,
    /// Extents of the kernel, odd; the padding is half of it.
    pub kernel: [usize; 3],
    /// Strides.
    pub stride: [usize; 3],
    /// Whether it has a bias.
    pub bias: bool,
    /// Whether a norm follows that needs moments.
    pub moments: bool,
}

impl ConvLayer {
    /// With a bias, stride 1, no norm behind it.
    pub fn new(out: usize, kernel: [usize; 3]) -> Self {
        Self { out, kernel, stride: [1; 3], bias: true, moments: false }
    }
}

fn channels(n: &Net, sources: &[Lazy]) -> usize {
    sources.iter().map(|source| n.channels(source.x)).sum()
}

/// `name.weight (out, in, kx, ky, kz)`, `name.bias (out)`. Source: `torch.nn.Conv3d`.
///
/// # Errors
/// [`GraphError`] if the shapes do not fit.
pub fn conv(n: &mut Net, name: &str, sources: &[Lazy], layer: ConvLayer) -> Result<TensorId, GraphError> {
    let input = channels(n, sources);
    let [kx, ky, kz] = layer.kernel;
    let init = Init::Uniform { fan_in: input * kx * ky * kz };
    let w = n.matrix(&format!("{name}.weight"), [layer.out, input, kx, ky, kz], Layout::TapMajor, init);
    let bias = layer.bias.then(|| n.vector(&format!("{name}.bias"), [layer.out], Kind::Bias, init));
    let conv = Conv { bias, stride: layer.stride, moments: layer.moments, ..Conv::new(w) };
    n.graph().conv3d(name, sources, &conv)
}

/// Multiplies each axis by its stride: padding half the kernel, output padding stride - 1. `name.weight (in, out, kx, ky,
/// kz)`, `name.bias (out)`. Source: MONAI `Convolution(is_transposed=True)`, `torch.nn.ConvTranspose3d`.
///
/// # Errors
/// [`GraphError`] if the shapes do not fit.
pub fn conv_transpose(n: &mut Net, name: &str, sources: &[Lazy], layer: ConvLayer) -> Result<TensorId, GraphError> {
    let input = channels(n, sources);
    let [kx, ky, kz] = layer.kernel;
    let init = Init::Uniform { fan_in: layer.out * kx * ky * kz };
    let w = n.matrix(&format!("{name}.weight"), [input, layer.out, kx, ky, kz], Layout::Natural, init);
    let bias = layer.bias.then(|| n.vector(&format!("{name}.bias"), [layer.out], Kind::Bias, init));
    let conv = ConvTranspose {
        w,
        bias,
        stride: layer.stride,
        padding: layer.kernel.map(|k| k / 2),
        output_padding: layer.stride.map(|s| s.saturating_sub(1)),
    };
    n.graph().conv_transpose3d(name, sources, &conv)
}

//! Convolutions and transposed convolutions of one source or two, whose channels follow one another.

use super::super::builder::Net;
use super::super::parameter::{Init, Kind};
use super::parts;
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
    pub stride: [usize; 3],
    /// Whether it has a bias.
    pub bias: bool,
    /// Whether a norm follows that needs moments.
    pub moments: bool,
    /// Whether first weights are He's and first biases zero, instead of PyTorch's `reset_parameters`.
    pub he: bool,
}

impl ConvLayer {
    /// With a bias, stride 1, no norm behind it.
    pub fn new(out: usize, kernel: [usize; 3]) -> Self {
        Self { out, kernel, stride: [1; 3], bias: true, moments: false, he: false }
    }

    /// First values of weight and bias.
    fn init(&self, fan_in: usize) -> (Init, Init) {
        match self.he {
            true => (Init::he(fan_in), Init::Constant(0.0)),
            false => (Init::Uniform { fan_in }, Init::Uniform { fan_in }),
        }
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
    let conv = parameters(n, name, sources, layer);
    n.graph().conv3d(name, sources, &conv)
}

/// The same with a result whose channels lie in `outs` tensors, of any number of sources.
///
/// # Errors
/// As [`conv`], or if the channels cannot be divided so.
pub fn conv_parts(
    n: &mut Net,
    name: &str,
    sources: &[Lazy],
    layer: ConvLayer,
    outs: usize,
) -> Result<Vec<TensorId>, GraphError> {
    if outs == 1 && sources.len() <= 2 {
        return Ok(vec![conv(n, name, sources, layer)?]);
    }
    let conv = parameters(n, name, sources, layer);
    parts::conv(n, name, sources, outs, &conv)
}

fn parameters(n: &mut Net, name: &str, sources: &[Lazy], layer: ConvLayer) -> Conv {
    let input = channels(n, sources);
    let [kx, ky, kz] = layer.kernel;
    let (first, first_bias) = layer.init(input * kx * ky * kz);
    let w = n.matrix(&format!("{name}.weight"), [layer.out, input, kx, ky, kz], Layout::TapMajor, first);
    let bias = layer.bias.then(|| n.vector(&format!("{name}.bias"), [layer.out], Kind::Bias, first_bias));
    Conv { bias, stride: layer.stride, moments: layer.moments, ..Conv::new(w) }
}

/// Multiplies each axis by its stride: padding `(kernel - stride + 1) / 2`, rounded down, and as much output padding as that
/// takes. `name.weight (in, out, kx, ky, kz)`, `name.bias (out)`. Source: MONAI `Convolution(is_transposed=True)`,
/// `get_padding`, `torch.nn.ConvTranspose3d`.
///
/// # Errors
/// [`GraphError`] if the shapes do not fit.
pub fn conv_transpose(n: &mut Net, name: &str, sources: &[Lazy], layer: ConvLayer) -> Result<TensorId, GraphError> {
    let conv = transposed(n, name, sources, layer);
    n.graph().conv_transpose3d(name, sources, &conv)
}

/// The same with a result whose channels lie in `outs` tensors.
///
/// # Errors
/// As [`conv_transpose`], or if the channels cannot be divided so.
pub fn conv_transpose_parts(
    n: &mut Net,
    name: &str,
    sources: &[Lazy],
    layer: ConvLayer,
    outs: usize,
) -> Result<Vec<TensorId>, GraphError> {
    if outs == 1 {
        return Ok(vec![conv_transpose(n, name, sources, layer)?]);
    }
    let whole = transposed(n, name, sources, layer);
    let weights = n.graph().split_weights(&format!("{name}.parts"), whole.w, outs, 1)?;
    let biases = match whole.bias {
        Some(bias) => n.graph().split_vector(&format!("{name}.bias.parts"), bias, outs)?,
        None => Vec::new(),
    };
    let one = |(i, w): (usize, TensorId)| {
        let own = ConvTranspose { w, bias: biases.get(i).copied(), ..whole };
        n.graph().conv_transpose3d(&format!("{name}.{i}"), sources, &own)
    };
    weights.into_iter().flatten().enumerate().map(one).collect()
}

fn transposed(n: &mut Net, name: &str, sources: &[Lazy], layer: ConvLayer) -> ConvTranspose {
    let input = channels(n, sources);
    let [kx, ky, kz] = layer.kernel;
    let (first, first_bias) = layer.init(layer.out * kx * ky * kz);
    let w = n.matrix(&format!("{name}.weight"), [input, layer.out, kx, ky, kz], Layout::Natural, first);
    let bias = layer.bias.then(|| n.vector(&format!("{name}.bias"), [layer.out], Kind::Bias, first_bias));
    let padding = [0, 1, 2].map(|a| (layer.kernel[a] + 1).saturating_sub(layer.stride[a]) / 2);
    ConvTranspose {
        w,
        bias,
        stride: layer.stride,
        padding,
        output_padding: [0, 1, 2].map(|a| (2 * padding[a] + layer.stride[a]).saturating_sub(layer.kernel[a])),
    }
}

//! Linear layers and layer norms on tokens `(N, L, H)`.

use super::super::builder::Net;
use super::super::parameter::{Init, Kind};
use crate::graph::{GraphError, Layout, TensorId};

/// What a linear layer does besides multiplying.
#[derive(Clone, Copy, Debug, Default)]
pub struct Linear {
    /// Width of the result.
    pub out: usize,
    /// Without a bias.
    pub no_bias: bool,
    /// GELU behind it.
    pub gelu: bool,
    /// Added to the result.
    pub residual: Option<TensorId>,
}

impl Linear {
    /// With a bias, and nothing else.
    pub fn new(out: usize) -> Self {
        Self { out, ..Self::default() }
    }
}

/// `y = x Wᵀ + b`; `name.weight (out, in)`, `name.bias (out)`. Source: `torch.nn.Linear`.
///
/// # Errors
/// [`GraphError`] if the shapes do not fit.
pub fn linear(n: &mut Net, name: &str, x: TensorId, layer: Linear) -> Result<TensorId, GraphError> {
    let width = n.graph().shape(x).dims().last().copied().unwrap_or(0);
    let init = Init::Uniform { fan_in: width };
    let w = n.matrix(&format!("{name}.weight"), [layer.out, width], Layout::Natural, init);
    let b = (!layer.no_bias).then(|| n.vector(&format!("{name}.bias"), [layer.out], Kind::Bias, init));
    n.graph().linear(name, x, w, b, layer.gelu, layer.residual)
}

/// `name.weight`, `name.bias (H)`. Source: `torch.nn.LayerNorm`.
///
/// # Errors
/// [`GraphError`] if the shapes do not fit.
pub fn layer_norm(n: &mut Net, name: &str, z: TensorId) -> Result<TensorId, GraphError> {
    let width = n.graph().shape(z).dims().last().copied().unwrap_or(0);
    let w = n.vector(&format!("{name}.weight"), [width], Kind::Scale, Init::Constant(1.0));
    let b = n.vector(&format!("{name}.bias"), [width], Kind::Scale, Init::Constant(0.0));
    n.graph().layer_norm(name, z, w, b)
}

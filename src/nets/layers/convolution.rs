//! MONAI's `Convolution`: a convolution `conv`, and behind it in `adn` a norm `N` and an activation `A`. Dropout between them
//! has no weights and does nothing in evaluation. Source: `monai/networks/blocks/convolutions.py`, `acti_norm.py`.

use super::super::builder::Net;
use super::act::{ActName, act};
use super::conv::{ConvLayer, conv};
use super::norm::{NormName, norm};
use crate::graph::{GraphError, TensorId};
use crate::kernels::lazy::{Act, Lazy};

/// What follows a convolution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adn {
    pub norm: NormName,
    /// Share of the normalised values that training drops.
    pub dropout: f32,
    pub act: ActName,
}

/// `name.conv` and, unless it is alone, `name.adn`; of the current module where there is no name.
///
/// # Errors
/// [`GraphError`] if the shapes do not fit.
pub fn convolution(
    n: &mut Net,
    name: &str,
    sources: &[Lazy],
    layer: ConvLayer,
    behind: Option<Adn>,
) -> Result<Lazy, GraphError> {
    let build = |n: &mut Net| {
        let moments = behind.is_some_and(|behind| behind.norm.needs_moments(n));
        let y = conv(n, "conv", sources, ConvLayer { moments, ..layer })?;
        behind.map_or_else(|| Ok(y.into()), |behind| adn(n, y, behind))
    };
    if name.is_empty() { build(n) } else { n.scope(name, build) }
}

/// `name.adn` where it is dropout alone: `y`, in training with values dropped.
///
/// # Errors
/// As [`convolution`].
pub fn dropped(n: &mut Net, name: &str, y: TensorId, rate: f32) -> Result<TensorId, GraphError> {
    let (dropout, g) = n.dropout();
    Ok(dropout.drop_value(g, &format!("{name}.adn.D"), &y.into(), rate)?.unwrap_or(y))
}

/// `adn`: norm, dropout (in training), activation.
///
/// # Errors
/// As [`convolution`].
pub fn adn(n: &mut Net, y: TensorId, adn: Adn) -> Result<Lazy, GraphError> {
    n.scope("adn", |n| {
        let normed = norm(n, adn.norm, "N", y)?;
        let act = act(n, adn.act, "A");
        let (dropout, g) = n.dropout();
        let value = Lazy::new(y, Some(normed), Act::None);
        let dropped = dropout.drop_value(g, "D", &value, adn.dropout)?;
        Ok(dropped.map_or_else(|| Lazy::new(y, Some(normed), act), |x| Lazy::new(x, None, act)))
    })
}

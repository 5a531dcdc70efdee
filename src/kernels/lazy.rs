//! Values that are not stored yet: `act(norm(x) + plus)`, computed where they are read.
//!
//! Convolution, transposed convolution, residual, head and resampling take such values as they load them, so that a
//! normalised and activated tensor is never written and read again. `norm(x) = scale x + shift` per sample and channel,
//! from `norm_parameters`; `plus` is a second tensor, normalised or not.
//!
//! A value is two things: in a network the tensors it is made of ([`Lazy`]), in an op what it has of them ([`Form`]).
//! As arguments of an op it is `x, [norm], [slopes]`, then with a second tensor `r, [norm_r], [slopes_r]`, then
//! `[slopes of the whole]`. In shaders it is `common/term`, once for each tensor.

use super::constant;
#[cfg(feature = "train")]
use super::linear::erf;
use super::linear::gelu;
use crate::graph::TensorId;
use crate::tensor::{HostTensor, Shape};

/// An activation function in a network.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Act {
    /// The value itself.
    #[default]
    None,
    /// `x` where it is positive, else this slope times `x`.
    LeakyRelu(f32),
    /// The same with trained slopes, `(1)` or one per channel `(C)`: `torch.nn.PReLU`.
    PRelu(TensorId),
    /// `x Φ(x)` in its exact form.
    Gelu,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `x` where it is positive, else this number times `exp(x) - 1`.
    Elu(f32),
    /// `x / (1 + exp(-x))`, also called swish.
    Silu,
}

impl Act {
    /// `max(x, 0)`.
    pub const RELU: Self = Self::LeakyRelu(0.0);

    /// Its trained slopes.
    pub fn slopes(self) -> Option<TensorId> {
        if let Self::PRelu(slopes) = self { Some(slopes) } else { None }
    }
}

/// A value that is not stored yet: `act(norm(x) + plus)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lazy {
    /// Values, `(N, C, X, Y, Z)`.
    pub x: TensorId,
    /// From `norm_parameters`, `(N, C, 4)`.
    pub norm: Option<TensorId>,
    /// What is added before the activation, and its own norm.
    pub plus: Option<(TensorId, Option<TensorId>)>,
    /// The activation of the sum.
    pub act: Act,
}

impl From<TensorId> for Lazy {
    fn from(x: TensorId) -> Self {
        Self { x, norm: None, plus: None, act: Act::None }
    }
}

impl Lazy {
    /// `act(norm(x))`.
    pub fn new(x: TensorId, norm: Option<TensorId>, act: Act) -> Self {
        Self { x, norm, plus: None, act }
    }

    /// With `norm(r)` added before the activation.
    #[must_use]
    pub fn plus(self, r: TensorId, norm: Option<TensorId>) -> Self {
        Self { plus: Some((r, norm)), ..self }
    }

    /// Whether it is a tensor as it is.
    pub fn is_stored(&self) -> bool {
        *self == Self::from(self.x)
    }

    /// What an op has to know of it.
    pub fn form(&self) -> Form {
        let act = Activation::of(self.act);
        let term = |norm: Option<TensorId>| Term { norm: norm.is_some(), act: Activation::None };
        match self.plus {
            None => Form { first: Term { act, ..term(self.norm) }, second: None, act: Activation::None },
            Some((_, norm)) => Form { first: term(self.norm), second: Some(term(norm)), act },
        }
    }

    /// Its tensors in the order of an op's arguments.
    pub fn inputs(&self) -> Vec<TensorId> {
        let mut inputs = vec![self.x];
        inputs.extend(self.norm);
        if let Some((r, norm)) = self.plus {
            inputs.push(r);
            inputs.extend(norm);
        }
        inputs.extend(self.act.slopes());
        inputs
    }
}

/// An activation function in an op, whose tensors are arguments.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Activation {
    /// The value itself.
    #[default]
    None,
    LeakyRelu(f32),
    PRelu,
    Gelu,
    Sigmoid,
    Elu(f32),
    Silu,
}

impl Activation {
    fn of(act: Act) -> Self {
        match act {
            Act::None => Self::None,
            Act::LeakyRelu(slope) => Self::LeakyRelu(slope),
            Act::PRelu(_) => Self::PRelu,
            Act::Gelu => Self::Gelu,
            Act::Sigmoid => Self::Sigmoid,
            Act::Elu(alpha) => Self::Elu(alpha),
            Act::Silu => Self::Silu,
        }
    }

    /// In double precision; `slope` is that of a trained one.
    pub(super) fn apply(self, x: f64, slope: f64) -> f64 {
        match self {
            Self::None => x,
            Self::LeakyRelu(slope) => {
                if x > 0.0 {
                    x
                } else {
                    f64::from(slope) * x
                }
            }
            Self::PRelu => {
                if x > 0.0 {
                    x
                } else {
                    slope * x
                }
            }
            Self::Gelu => gelu(x),
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Self::Elu(alpha) => {
                if x > 0.0 {
                    x
                } else {
                    f64::from(alpha) * x.exp_m1()
                }
            }
            Self::Silu => x / (1.0 + (-x).exp()),
        }
    }

    /// Its derivative in double precision.
    #[cfg(feature = "train")]
    pub(super) fn derivative(self, x: f64, slope: f64) -> f64 {
        match self {
            Self::None => 1.0,
            Self::LeakyRelu(slope) => {
                if x > 0.0 {
                    1.0
                } else {
                    f64::from(slope)
                }
            }
            Self::PRelu => {
                if x > 0.0 {
                    1.0
                } else {
                    slope
                }
            }
            Self::Gelu => {
                let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
                0.5 * (1.0 + erf(x / std::f64::consts::SQRT_2)) + x * density
            }
            Self::Sigmoid => {
                let y = self.apply(x, slope);
                y * (1.0 - y)
            }
            Self::Elu(alpha) => {
                if x > 0.0 {
                    1.0
                } else {
                    f64::from(alpha) * x.exp()
                }
            }
            Self::Silu => {
                let y = 1.0 / (1.0 + (-x).exp());
                y * (1.0 + x * (1.0 - y))
            }
        }
    }

    /// Constants of `common/act` for activation number `t`, with so many trained slopes.
    pub(super) fn constants(self, t: usize, slopes: usize) -> [(&'static str, u32); 10] {
        const NAMES: [[&str; 10]; 3] = [
            [
                "PLAIN_0",
                "LEAKY_0",
                "RELU_0",
                "PRELU_0",
                "GELU_0",
                "SIGMOID_0",
                "ELU_0",
                "SILU_0",
                "EACH_0",
                "SLOPE_0_F32",
            ],
            [
                "PLAIN_1",
                "LEAKY_1",
                "RELU_1",
                "PRELU_1",
                "GELU_1",
                "SIGMOID_1",
                "ELU_1",
                "SILU_1",
                "EACH_1",
                "SLOPE_1_F32",
            ],
            [
                "PLAIN_2",
                "LEAKY_2",
                "RELU_2",
                "PRELU_2",
                "GELU_2",
                "SIGMOID_2",
                "ELU_2",
                "SILU_2",
                "EACH_2",
                "SLOPE_2_F32",
            ],
        ];
        let slope = if let Self::LeakyRelu(slope) | Self::Elu(slope) = self { slope } else { 0.0 };
        let leaky = matches!(self, Self::LeakyRelu(_));
        // Within these bounds the larger of x and slope x is the value.
        let gentle = leaky && (0.0..=1.0).contains(&slope);
        let values = [
            constant(self == Self::None),
            constant(gentle),
            constant((leaky && !gentle) || self == Self::PRelu),
            constant(self == Self::PRelu),
            constant(self == Self::Gelu),
            constant(self == Self::Sigmoid),
            constant(matches!(self, Self::Elu(_))),
            constant(self == Self::Silu),
            constant(slopes > 1),
            slope.to_bits(),
        ];
        std::array::from_fn(|i| (NAMES[t][i], values[i]))
    }
}

/// One tensor of a value that is not stored yet, as an op takes it: `act(norm(x))`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Term {
    /// It has a norm.
    pub norm: bool,
    pub act: Activation,
}

impl Term {
    /// A tensor as it is.
    pub const PLAIN: Self = Self { norm: false, act: Activation::None };

    /// Number of its arguments `x, [norm], [slopes]`.
    pub(super) fn arguments(self) -> usize {
        1 + usize::from(self.norm) + self.slopes()
    }

    /// 1 if it has trained slopes.
    pub(super) fn slopes(self) -> usize {
        usize::from(self.act == Activation::PRelu)
    }

    /// Whether these arguments are its own.
    pub(super) fn fits(self, inputs: &[Shape]) -> bool {
        inputs.len() == self.arguments()
            && inputs[0].volume().is_some_and(|(n, c, _)| {
                let last = &inputs[inputs.len() - 1];
                (!self.norm || inputs[1] == Shape::from([n, c, 4]))
                    && (self.slopes() == 0 || [1, c].contains(&last.elements()))
            })
    }

    /// Constants of `common/term` for term number `t`, whose last argument has so many elements.
    pub(super) fn constants(self, t: usize, slopes: usize) -> Vec<(&'static str, u32)> {
        let mut constants = vec![(["NORM_0", "NORM_1"][t], constant(self.norm))];
        constants.extend(self.act.constants(t, slopes));
        constants
    }

    /// The argument of the activation at flat index `i`, and the slope there, in double precision.
    pub(super) fn normed(self, inputs: &[&HostTensor], i: usize) -> (f64, f64) {
        let (_, c, size) = inputs[0].shape.volume().expect("a volume");
        let row = i / size.iter().product::<usize>();
        let x = inputs[0].data[i];
        let x = if self.norm { x * inputs[1].data[row * 4 + 2] + inputs[1].data[row * 4 + 3] } else { x };
        (x, if self.slopes() == 1 { slope(inputs[self.arguments() - 1], row % c) } else { 0.0 })
    }

    /// The value at flat index `i` in double precision.
    pub(super) fn reference(self, inputs: &[&HostTensor], i: usize) -> f64 {
        let (x, slope) = self.normed(inputs, i);
        self.act.apply(x, slope)
    }
}

/// The slope of a channel.
pub(super) fn slope(slopes: &HostTensor, channel: usize) -> f64 {
    slopes.data[channel % slopes.data.len()]
}

/// What an op has to know of a value that is not stored yet.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Form {
    /// The first tensor.
    pub first: Term,
    /// The one that is added.
    pub second: Option<Term>,
    /// The activation of the sum; none where there is no sum.
    pub act: Activation,
}

impl Form {
    /// Number of its arguments.
    pub(super) fn arguments(self) -> usize {
        let slopes = usize::from(self.act == Activation::PRelu);
        self.first.arguments() + self.second.map_or(0, Term::arguments) + slopes
    }

    /// The first argument of the second term.
    pub(super) fn second_at(self) -> usize {
        self.first.arguments()
    }

    /// Whether the first of these arguments are its own.
    pub(super) fn fits(self, inputs: &[Shape]) -> bool {
        let (first, count) = (self.second_at(), self.arguments());
        if inputs.len() < count || !self.first.fits(&inputs[..first]) {
            return false;
        }
        let channels = inputs[0].dims()[1];
        let second = self
            .second
            .is_none_or(|second| inputs[first] == inputs[0] && second.fits(&inputs[first..first + second.arguments()]));
        second && (self.act != Activation::PRelu || [1, channels].contains(&inputs[count - 1].elements()))
    }

    /// Constants of the terms, of `common/sum`, and whether there are two.
    pub(super) fn constants(self, inputs: &[&Shape]) -> Vec<(&'static str, u32)> {
        let first = self.second_at();
        let mut constants = self.first.constants(0, inputs[first - 1].elements());
        constants.push(("SECOND", constant(self.second.is_some())));
        if let Some(second) = self.second {
            let last = first + second.arguments() - 1;
            constants.extend(second.constants(1, inputs[last].elements()));
            constants.extend(self.act.constants(2, inputs[self.arguments() - 1].elements()));
        }
        constants
    }

    /// The argument of the last activation at flat index `i`, and the slope there, in double precision.
    pub(super) fn argument(self, inputs: &[&HostTensor], i: usize) -> (f64, f64) {
        let Some(second) = self.second else {
            return self.first.normed(inputs, i);
        };
        let at = self.second_at();
        let sum = self.first.reference(&inputs[..at], i) + second.reference(&inputs[at..at + second.arguments()], i);
        let slope = match self.act {
            Activation::PRelu => {
                let (_, c, size) = inputs[0].shape.volume().expect("a volume");
                slope(inputs[self.arguments() - 1], i / size.iter().product::<usize>() % c)
            }
            _ => 0.0,
        };
        (sum, slope)
    }

    /// The last activation.
    pub(super) fn last_act(self) -> Activation {
        if self.second.is_some() { self.act } else { self.first.act }
    }

    /// The value at flat index `i` in double precision.
    pub(super) fn reference(self, inputs: &[&HostTensor], i: usize) -> f64 {
        let (x, slope) = self.argument(inputs, i);
        self.last_act().apply(x, slope)
    }

    /// Operations per value.
    pub(super) fn flops(self) -> f64 {
        let term = |t: Term| 2.0 * f64::from(u8::from(t.norm)) + f64::from(u8::from(t.act != Activation::None));
        term(self.first) + self.second.map_or(0.0, |t| term(t) + 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_says_what_it_is_made_of() {
        let [x, norm, r, slopes] = [0, 1, 2, 3].map(TensorId);
        assert!(Lazy::from(x).is_stored());
        let one = Lazy::new(x, Some(norm), Act::PRelu(slopes));
        assert_eq!(one.inputs(), [x, norm, slopes]);
        assert_eq!(one.form().first, Term { norm: true, act: Activation::PRelu });
        let two = Lazy::new(x, Some(norm), Act::RELU).plus(r, None);
        assert_eq!(two.inputs(), [x, norm, r]);
        assert_eq!(two.form().second, Some(Term::PLAIN));
        assert_eq!(two.form().act, Activation::LeakyRelu(0.0), "the activation comes after the sum");
        assert_eq!((one.form().arguments(), two.form().arguments()), (3, 3));
    }
}

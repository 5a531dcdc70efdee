//! What a network says of itself, and [`Architecture`]: any network, with the table of its parameters.

use std::fmt::{self, Debug};
use std::ops::Deref;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::builder::{Build, Built, Net};
use super::config::ConfigError;
use super::dialect::{Index, MonaiVersion, Unused};
use super::parameter::Parameter;
use super::registry;
use crate::fields::Section;
use crate::graph::{GraphError, TensorId};
use crate::kernels::lazy::Lazy;

/// A network: the arguments of its reference class, and its layers.
pub trait Network: Debug + Send + Sync + 'static {
    /// Its name in packages and recipes, `network.type`: the reference class.
    fn kind(&self) -> &'static str;

    /// Channels of the image.
    fn in_channels(&self) -> usize;

    /// Channels of the logits: classes with background (softmax) or regions (sigmoid).
    fn out_channels(&self) -> usize;

    /// Which windows it takes.
    fn window(&self) -> Window;

    /// Checks every argument, so that every size derived from them is exact on 32-bit targets.
    ///
    /// # Errors
    /// The first argument that breaks a rule.
    fn validate(&self) -> Result<(), ConfigError>;

    /// Adds its layers for the windows `x` `(N, C, X, Y, Z)`.
    ///
    /// # Errors
    /// [`GraphError`] where shapes do not fit.
    fn build(&self, n: &mut Net, x: TensorId) -> Result<Output, GraphError>;

    /// The arguments, as the package keeps them.
    fn arguments(&self) -> Map<String, Value>;

    /// Arguments that change what weights mean and not their shapes, as (name, value): weights of a network with other values
    /// are of no use to this one.
    fn unshaped(&self) -> Vec<(&'static str, usize)> {
        Vec::new()
    }

    /// Whether its arguments say that values are dropped in training.
    fn drops(&self) -> bool {
        false
    }

    /// Parts of parameters' names in the order in which the reference program registers its modules, where that is not the
    /// order in which they run: state dicts and packages are written in it.
    fn registered(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether some version of the reference program stores `name` for this network without using it. Its presence means
    /// nothing.
    fn is_unused(&self, _name: &str) -> bool {
        false
    }

    /// The tensors that `version` stores without using them: what `load_state_dict(strict=True)` wants besides parameters.
    fn unused(&self, _version: MonaiVersion) -> Vec<Unused> {
        Vec::new()
    }

    /// Names under which the reference program stores this parameter once more, because it registers a module twice, in the
    /// order of its state dict, in which they follow the first. They are compared where both are there, and written for
    /// `load_state_dict(strict=True)`.
    fn copies(&self, _parameter: &str) -> Vec<String> {
        Vec::new()
    }

    /// Whole numbers that the reference program stores beside parameters, and that follow from the arguments.
    fn indices(&self) -> Vec<Index> {
        Vec::new()
    }

    /// How far gradients may be from a sampled reference in single precision, relative to their length.
    fn gradient_tolerance(&self) -> f64 {
        2e-4
    }

    /// The module that a node belongs to in tables: `encoder2` for `encoder2.blocks.0.1.conv1`.
    fn module<'a>(&self, node: &'a str) -> &'a str {
        first_parts(node, 1)
    }
}

/// The first `count` parts of a path.
pub(crate) fn first_parts(path: &str, count: usize) -> &str {
    path.match_indices('.').nth(count.saturating_sub(1)).map_or(path, |(at, _)| &path[..at])
}

/// Sizes of a window in voxels along X, Y, Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// This size alone: the network has a value for each of its places.
    Fixed([usize; 3]),
    /// Any multiple of a size.
    Any {
        /// Product of the strides along each axis.
        multiple_of: [usize; 3],
        /// The size taken where nobody chooses.
        default: [usize; 3],
        /// Channels of the network's largest tensor, counted as if it had the window's voxels.
        channels: usize,
    },
}

/// Bytes of the largest single tensor accepted: what a signed 32-bit size can count.
pub(crate) const MAX_TENSOR_BYTES: u64 = i32::MAX as u64;
/// Voxels of the longest axis accepted.
pub(crate) const MAX_SIDE: usize = 2048;

impl Window {
    /// The size taken where nobody chooses.
    pub fn default_size(self) -> [usize; 3] {
        match self {
            Self::Fixed(size) | Self::Any { default: size, .. } => size,
        }
    }

    /// Checks a size.
    ///
    /// # Errors
    /// The rule that it breaks, with the sizes that would do.
    pub fn check(self, size: [usize; 3]) -> Result<(), String> {
        let text = |s: [usize; 3]| format!("{},{},{}", s[0], s[1], s[2]);
        match self {
            Self::Fixed(only) if size == only => Ok(()),
            Self::Fixed(only) => Err(format!(
                "this model was trained on windows of {} and its position table fits no other size",
                text(only)
            )),
            Self::Any { multiple_of, channels, .. } => {
                let fits = |axis: usize| {
                    size[axis] > 0 && size[axis] <= MAX_SIDE && size[axis].is_multiple_of(multiple_of[axis])
                };
                if !(fits(0) && fits(1) && fits(2)) {
                    let near = [0, 1, 2].map(|a| {
                        let most = MAX_SIDE / multiple_of[a] * multiple_of[a];
                        size[a].div_ceil(multiple_of[a]).max(1).saturating_mul(multiple_of[a]).min(most)
                    });
                    return Err(format!(
                        "each axis must be a multiple of {}, at most {MAX_SIDE}; use {}",
                        text(multiple_of),
                        text(near)
                    ));
                }
                let voxels: u64 = size.iter().map(|&s| s as u64).product();
                match voxels * 4 * channels as u64 <= MAX_TENSOR_BYTES {
                    true => Ok(()),
                    false => Err(format!("{channels} channels of it need more than 2 GiB; use a smaller window")),
                }
            }
        }
    }
}

/// The tensors of a network in a graph.
#[derive(Clone, Debug)]
pub struct Output {
    /// Where the logits come from.
    pub tail: Tail,
    /// Logits of coarser levels, the finest first: heads that are trained beside the last one (deep supervision) and that
    /// evaluation leaves out. The loss of each is worth half of the one before.
    pub deep: Vec<Tail>,
    /// The values that the reference program's modules of these names give, for comparison.
    pub stages: Vec<(String, Stage)>,
}

/// How a network ends.
#[derive(Clone, Debug)]
pub enum Tail {
    /// A 1x1x1 convolution with bias of a value that is not stored yet: while segmenting, both are one kernel.
    Head {
        end: Lazy,
        /// `(K, C, 1, 1, 1)`.
        weight: TensorId,
        /// `(K)`.
        bias: TensorId,
    },
    /// The same of a value too large for one binding, whose channels lie in several tensors.
    Parts {
        /// Each a part of the channels.
        ends: Vec<Lazy>,
        /// `(K, C of the part, 1, 1, 1)`.
        weights: Vec<TensorId>,
        /// `(K)`.
        bias: TensorId,
    },
    /// Logits as a tensor `(N, K, X, Y, Z)`.
    Logits(TensorId),
}

/// A value to compare.
#[derive(Clone, Debug)]
pub enum Stage {
    /// One value or several, whose channels follow one another.
    Values(Vec<Lazy>),
    /// Tokens `(N, L, E)` of a grid, which the reference has as a volume.
    Tokens {
        /// The tokens.
        x: TensorId,
        /// Tokens along X, Y, Z.
        grid: [usize; 3],
    },
    /// A linear layer to whose result the network adds something at once.
    Linear {
        /// Its argument, tokens.
        x: TensorId,
        /// `(out, in)`.
        weight: TensorId,
        /// `(out)`.
        bias: TensorId,
    },
    /// Logits of a coarser level.
    Tail(Tail),
    /// The logits.
    Logits,
}

impl<T: Into<Lazy>> From<T> for Stage {
    fn from(value: T) -> Self {
        Self::Values(vec![value.into()])
    }
}

/// A network with the table of its parameters; equal where kind and arguments are.
#[derive(Clone)]
pub struct Architecture {
    network: Arc<dyn Network>,
    parameters: Arc<[Parameter]>,
}

impl Architecture {
    /// Checks a network, and builds it once to learn its parameters.
    ///
    /// # Errors
    /// An argument breaks a rule, or the layers do not fit together.
    pub fn new(network: impl Network) -> Result<Self, ConfigError> {
        network.validate()?;
        let built = Built::new(&network, &Build::of(&network));
        let mut parameters = built.map_err(|e| ConfigError::Unbuildable { problem: e.to_string() })?.parameters;
        let order = network.registered();
        let place = |part: &str| {
            let listed = order.iter().position(|known| *known == part);
            listed.or_else(|| part.parse().ok()).unwrap_or(usize::MAX)
        };
        if !order.is_empty() {
            parameters.sort_by_cached_key(|p| p.name.split('.').map(place).collect::<Vec<_>>());
        }
        Ok(Self { network: Arc::new(network), parameters: parameters.into() })
    }

    /// Reads a package's `network` section; unknown keys are the caller's business.
    ///
    /// # Errors
    /// An unknown type, an argument that is missing, of a wrong type or out of its range.
    pub fn from_json(section: &Section<'_>) -> Result<Self, ConfigError> {
        registry::read(section)
    }

    /// A package's `network` section. The first network's has no `type`, as in packages older than the second network.
    pub fn to_section(&self) -> Map<String, Value> {
        if registry::is_first(self.kind()) { self.arguments() } else { self.to_json() }
    }

    /// Type and arguments.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut section = Map::from_iter([("type".to_owned(), json!(self.kind()))]);
        section.extend(self.arguments());
        section
    }

    /// Every parameter, in the order in which the reference program's state dict has them.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The parameter of this name.
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|p| p.name == name)
    }

    /// Number of values that are trained.
    pub fn parameter_count(&self) -> usize {
        self.parameters.iter().filter(|p| p.trained()).map(Parameter::len).sum()
    }

    /// The network as a graph.
    ///
    /// # Errors
    /// [`GraphError`] if the window does not fit the network.
    pub fn build(&self, build: &Build) -> Result<Built, GraphError> {
        Built::new(&**self, build)
    }
}

impl Deref for Architecture {
    type Target = dyn Network;

    fn deref(&self) -> &Self::Target {
        &*self.network
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} to {} channels", self.kind(), self.in_channels(), self.out_channels())?;
        let told = ["in_channels", "out_channels"];
        let arguments = self.arguments();
        arguments.iter().filter(|(key, _)| !told.contains(&key.as_str())).try_for_each(|(key, value)| match value {
            Value::String(text) => write!(f, ", {key} {text}"),
            other => write!(f, ", {key} {other}"),
        })
    }
}

impl Debug for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.network.fmt(f)
    }
}

impl PartialEq for Architecture {
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.arguments() == other.arguments()
    }
}

impl Serialize for Architecture {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_section().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_checked() {
        let any = Window::Any { multiple_of: [4, 8, 1], default: [96; 3], channels: 32 };
        assert_eq!(any.check([4, 16, 7]), Ok(()));
        assert!(any.check([0, 8, 1]).is_err_and(|e| e.contains("use 4,8,1")));
        assert!(any.check([5, 9, 1]).is_err_and(|e| e.contains("use 8,16,1")));
        assert!(any.check([usize::MAX, 8, 1]).is_err_and(|e| e.contains("at most 2048")));
        assert!(any.check([2048, 2048, 2048]).is_err_and(|e| e.contains("2 GiB")));
        assert!(Window::Fixed([96; 3]).check([96, 96, 95]).is_err());
    }

    #[test]
    fn paths_are_cut() {
        assert_eq!(first_parts("a.b.c", 1), "a");
        assert_eq!(first_parts("a.b.c", 2), "a.b");
        assert_eq!(first_parts("a", 3), "a");
    }
}

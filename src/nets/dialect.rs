//! What other programs call a network's tensors: how a checkpoint is known, how its architecture is read off its shapes, and
//! which tensors are stored without being used.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::config::ConfigError;
use super::network::Architecture;
use crate::fields::Section;

/// Names and shapes of a state dict.
#[derive(Clone, Debug, Default)]
pub struct Shapes(BTreeMap<String, Vec<usize>>);

impl FromIterator<(String, Vec<usize>)> for Shapes {
    fn from_iter<T: IntoIterator<Item = (String, Vec<usize>)>>(tensors: T) -> Self {
        Self(tensors.into_iter().collect())
    }
}

impl Shapes {
    /// The names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Names and shapes, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.0.iter().map(|(name, shape)| (name.as_str(), shape.as_slice()))
    }

    /// Whether there is such a tensor.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The shape of a tensor.
    pub fn get(&self, name: &str) -> Option<&[usize]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// Those whose names begin with `prefix`, without it.
    pub fn below(&self, prefix: &str) -> Self {
        self.0.iter().filter_map(|(name, shape)| Some((name.strip_prefix(prefix)?.to_owned(), shape.clone()))).collect()
    }

    /// Length of one axis of a tensor that must have `rank` axes.
    ///
    /// # Errors
    /// There is no such tensor, or it has another number of axes.
    pub fn axis(&self, name: &str, axis: usize, rank: usize) -> Result<usize, DialectError> {
        let Some(shape) = self.get(name) else {
            return Err(DialectError::Other { problem: format!("tensor {name:?} is missing") });
        };
        let length = shape.get(axis).copied().filter(|_| shape.len() == rank);
        length.ok_or_else(|| DialectError::Tensor {
            name: name.to_owned(),
            problem: format!("shape {shape:?} does not have {rank} axes"),
        })
    }
}

/// Why no architecture can be read off a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialectError {
    /// It is another network.
    Other {
        /// What does not fit.
        problem: String,
    },
    /// A tensor has a shape that the network's cannot have.
    Tensor {
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Shapes do not tell everything.
    Undetermined(Vec<Undetermined>),
    /// What was given contradicts the shapes.
    Contradiction {
        /// The argument, `img_size`.
        field: String,
        /// What contradicts what.
        problem: String,
    },
    /// What was given cannot be built.
    Config(ConfigError),
}

impl From<ConfigError> for DialectError {
    fn from(e: ConfigError) -> Self {
        Self::Config(e)
    }
}

/// A field that a state dict cannot tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undetermined {
    /// Its path (`network.num_heads`).
    pub field: String,
    /// What the shapes allow; never taken without being told to.
    pub hint: String,
}

/// A tensor that is stored and never used, with the value a fresh module has.
#[derive(Clone, Debug, PartialEq)]
pub struct Unused {
    pub name: String,
    pub shape: Vec<usize>,
    pub value: f32,
}

/// Whole numbers that the reference program stores beside its parameters, and that follow from the network's arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    pub name: String,
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub values: Vec<i64>,
}

/// What another program calls a network's tensors.
pub trait Dialect: Sync {
    /// Ends of names, one of which every checkpoint of the network holds; what stands before it is the prefix of all names.
    fn anchors(&self) -> &'static [&'static str];

    /// Whether names without their prefix are this network's.
    fn recognise(&self, shapes: &Shapes) -> bool;

    /// Why names that hold no anchor, or are not recognised, are not this network's, if there is more to say.
    fn near_miss(&self, _shapes: &Shapes) -> Option<String> {
        None
    }

    /// Channels of the logits.
    ///
    /// # Errors
    /// The output layer is missing, or is no convolution.
    fn out_channels(&self, shapes: &Shapes) -> Result<usize, DialectError>;

    /// The network, from shapes and from the arguments that were given.
    ///
    /// # Errors
    /// [`DialectError`].
    fn infer(&self, shapes: &Shapes, given: &Section<'_>) -> Result<Architecture, DialectError>;

    /// A sentence for each argument that the shapes cannot tell, that was not given, and that is taken as most checkpoints have it.
    fn assumed(&self, _given: &Section<'_>) -> Vec<String> {
        Vec::new()
    }

    /// The tensors that a parameter is joined of along its first axis, where it is not stored under its own name.
    fn parts(&self, _parameter: &str) -> Vec<String> {
        Vec::new()
    }
}

/// Whatever is given must agree with what shapes tell; arguments in `free` can be spelled differently.
///
/// # Errors
/// [`DialectError::Contradiction`] for the first that does not.
pub(super) fn check_given(
    given: &Section<'_>,
    network: &Map<String, Value>,
    free: &[&str],
) -> Result<(), DialectError> {
    for (key, found) in network.iter().filter(|(key, _)| !free.contains(&key.as_str())) {
        let value: Value = given.or(key, found.clone()).map_err(ConfigError::from)?;
        if value != *found {
            let problem = format!("{value} contradicts the checkpoint's {found}");
            return Err(DialectError::Contradiction { field: key.clone(), problem });
        }
    }
    Ok(())
}

/// What was given, and where nothing was given what shapes tell. What contradicts them is found where the tensors are.
pub(super) fn completed(given: &Section<'_>, found: Value) -> Map<String, Value> {
    let mut arguments = given.map().clone();
    if let Value::Object(found) = found {
        for (key, value) in found {
            arguments.entry(key).or_insert(value);
        }
    }
    arguments
}

/// Extents of a convolution's kernel.
///
/// # Errors
/// As [`Shapes::axis`].
pub(super) fn extents(shapes: &Shapes, name: &str) -> Result<[usize; 3], DialectError> {
    Ok([shapes.axis(name, 2, 5)?, shapes.axis(name, 3, 5)?, shapes.axis(name, 4, 5)?])
}

/// How many of the tensors `name(0)`, `name(1)`... there are.
pub(super) fn count(shapes: &Shapes, name: impl Fn(usize) -> String) -> usize {
    (0..).take_while(|i| shapes.has(&name(*i))).count()
}

/// Versions of MONAI that differ in their networks' keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MonaiVersion {
    /// 0.6 to 0.8.
    V0_6,
    /// 0.9 to 1.3.
    V0_9,
    /// 1.4 and 1.5.
    V1_4,
    /// 1.6 and later.
    #[default]
    V1_6,
}

impl FromStr for MonaiVersion {
    type Err = String;

    /// Reads a version number such as `1.3` or `1.5.0`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('.').map(|part| part.parse::<u32>().ok());
        match (parts.next().flatten(), parts.next().flatten()) {
            (Some(0), Some(6..=8)) => Ok(Self::V0_6),
            (Some(0), Some(9..)) | (Some(1), Some(0..=3)) => Ok(Self::V0_9),
            (Some(1), Some(4 | 5)) => Ok(Self::V1_4),
            (Some(1), Some(6..)) | (Some(2..), _) => Ok(Self::V1_6),
            _ => Err(format!("{text:?} is no version of MONAI with a UNETR: use 0.6 to 1.6")),
        }
    }
}

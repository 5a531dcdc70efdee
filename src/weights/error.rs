//! What can be wrong with a model file, each with the name of the part that is wrong.

use crate::fields::{FieldError, Problem};
use crate::nets::registry;
use crate::nets::{ConfigError, DialectError, Undetermined};

/// Everything that reading, importing or writing a model can report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The bytes are no safetensors file, or its header lies about them.
    #[error("not a valid safetensors file: {problem}")]
    Header {
        /// What is wrong with the header.
        problem: String,
    },
    /// One tensor's entry is wrong.
    #[error("tensor {name}: {problem}")]
    Tensor {
        /// The tensor, quoted.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A weight is infinite or not a number.
    #[error("tensor {name}: value {index} is {value}; the weights are damaged or training diverged")]
    NonFinite {
        /// The tensor, quoted.
        name: String,
        /// Position in row-major order.
        index: usize,
        /// `NaN`, `inf` or `-inf`.
        value: f32,
    },
    /// A weight cannot be stored in the type asked for.
    #[error("tensor {name}: value {index} is {value}, beyond the range of {dtype}; store it as f32")]
    OutOfRange {
        /// The tensor, quoted.
        name: String,
        /// Position in row-major order.
        index: usize,
        value: f64,
        /// The type asked for.
        dtype: &'static str,
    },
    /// The network needs a tensor that the file does not have.
    #[error("tensor {name} of shape {shape:?} is missing: the file does not fit the network section")]
    MissingTensor {
        /// The tensor, quoted.
        name: String,
        /// The shape it must have.
        shape: Vec<usize>,
    },
    /// The file has tensors that the network does not.
    #[error("unexpected tensor {name}{others}: the file does not fit the network section")]
    UnexpectedTensor {
        /// The first of them, quoted.
        name: String,
        /// `" (and 3 more)"`, or nothing.
        others: String,
    },
    /// A tensor does not have the shape that the network needs.
    #[error("tensor {name} has shape {found:?}, the network section needs {expected:?}")]
    WrongShape {
        /// The tensor, quoted.
        name: String,
        /// The shape in the file.
        found: Vec<usize>,
        /// The shape the network needs.
        expected: Vec<usize>,
    },
    /// A required key of the package is absent.
    #[error("the model package lacks the required key {field}")]
    MissingField {
        /// Its path (`network.img_size`).
        field: String,
    },
    /// A key of the package has a wrong value.
    #[error("{field} of the model package: {problem}")]
    Field {
        /// Its path (`output.labels[2].color`).
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The network section describes no network that can be built.
    #[error(transparent)]
    Config(ConfigError),
    /// One of several files that are a model together cannot be used.
    #[error("{}{problem}", told(.path))]
    File {
        /// Its path in the folder or zip, escaped; empty for the whole.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The checkpoint cannot be read.
    #[error("cannot read the checkpoint: {problem}")]
    Checkpoint {
        /// What is wrong with it.
        problem: String,
    },
    /// The checkpoint is readable but holds no network that this program has.
    #[error("the checkpoint holds no {network}: {problem}")]
    OtherNetwork {
        /// What was looked for.
        network: String,
        /// What it holds instead.
        problem: String,
    },
    /// The checkpoint does not say what the package needs.
    #[error("the checkpoint does not determine {}; give them in a package file", list(.fields))]
    Undetermined {
        /// The fields to give, each with a hint.
        fields: Vec<Undetermined>,
    },
    /// Writing failed.
    #[error("cannot write the model: {0}")]
    Write(#[from] std::io::Error),
}

/// `configs/metadata.json: `, or nothing.
fn told(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{path}: ") }
}

fn list(fields: &[Undetermined]) -> String {
    let each: Vec<String> = fields.iter().map(|field| format!("{} ({})", field.field, field.hint)).collect();
    each.join(" and ")
}

impl From<FieldError> for WeightsError {
    fn from(error: FieldError) -> Self {
        match error.problem {
            Problem::Missing => Self::MissingField { field: error.path },
            _ => Self::Field { problem: error.words(), field: error.path },
        }
    }
}

impl From<ConfigError> for WeightsError {
    fn from(e: ConfigError) -> Self {
        match e {
            ConfigError::Field(e) => e.into(),
            other => Self::Config(other),
        }
    }
}

impl WeightsError {
    /// Why the checkpoint is not of this network.
    pub(super) fn dialect(network: &str, e: DialectError) -> Self {
        match e {
            DialectError::Other { problem } => Self::other_network(network, problem),
            DialectError::Tensor { name, problem } => Self::tensor(&name, problem),
            DialectError::Undetermined(fields) => Self::Undetermined { fields },
            DialectError::Contradiction { field, problem } => Self::field(format!("network.{field}"), problem),
            DialectError::Config(e) => e.into(),
        }
    }

    /// The checkpoint holds no such network.
    pub(super) fn other_network(network: &str, problem: impl AsRef<str>) -> Self {
        let problem = printable(problem.as_ref(), LONGEST_PROBLEM);
        Self::OtherNetwork { network: network.to_owned(), problem }
    }

    /// The checkpoint holds no network at all.
    pub(super) fn no_network(problem: impl AsRef<str>) -> Self {
        Self::other_network(&format!("network that this program has ({})", registry::names()), problem)
    }

    pub(super) fn header(problem: impl AsRef<str>) -> Self {
        let problem = printable(problem.as_ref(), LONGEST_PROBLEM);
        Self::Header { problem }
    }

    pub(super) fn tensor(name: &str, problem: impl AsRef<str>) -> Self {
        let problem = printable(problem.as_ref(), LONGEST_PROBLEM);
        Self::Tensor { name: quoted(name), problem }
    }

    pub(super) fn field(field: impl Into<String>, problem: impl AsRef<str>) -> Self {
        let problem = printable(problem.as_ref(), LONGEST_PROBLEM);
        Self::Field { field: field.into(), problem }
    }

    pub(crate) fn file(path: &str, problem: impl AsRef<str>) -> Self {
        let problem = printable(problem.as_ref(), LONGEST_PROBLEM);
        Self::File { path: printable(path, 200), problem }
    }

    pub(super) fn checkpoint(problem: impl AsRef<str>) -> Self {
        let problem = printable(problem.as_ref(), LONGEST_PROBLEM);
        Self::Checkpoint { problem }
    }
}

/// Characters of the longest problem told; a parser may quote the whole file in it.
const LONGEST_PROBLEM: usize = 500;

/// Text that may come from a file, safe to print: control characters escaped, shortened.
fn printable(text: &str, longest: usize) -> String {
    let mut shown = String::new();
    for letter in text.chars().take(longest) {
        match letter.is_control() {
            true => shown.extend(letter.escape_default()),
            false => shown.push(letter),
        }
    }
    if text.chars().nth(longest).is_some() {
        shown.push_str("...");
    }
    shown
}

/// A name from a file, safe to print: quoted, control characters escaped, shortened.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", printable(name, 120))
}

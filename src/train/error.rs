use std::path::PathBuf;

use super::Part;
use crate::graph::{GraphError, PlanError};
use crate::infer::InferError;
use crate::nets::ConfigError;
use crate::weights::WeightsError;

/// Why a network could not be trained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The graph cannot be built or differentiated.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The graph cannot run on this device.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The network cannot be built.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file of weights cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A reference file lacks something or does not fit.
    #[error("reference file: {0}")]
    Reference(String),
    /// The recipe cannot be followed.
    #[cfg(not(target_arch = "wasm32"))]
    #[error("recipe: {0}")]
    Recipe(#[from] super::RecipeError),
    /// A training or validation case.
    #[cfg(not(target_arch = "wasm32"))]
    #[error(transparent)]
    Data(#[from] super::data::DataError),
    /// The network could not be run over a validation case.
    #[error("validation: {0}")]
    Infer(#[from] InferError),
    /// A validation case could not be compared with its truth.
    #[error("{case}: {source}")]
    Metrics { case: String, source: crate::metrics::MetricsError },
    /// The picture of a validation case.
    #[error(transparent)]
    Report(#[from] crate::report::ReportError),
    /// A checkpoint.
    #[cfg(not(target_arch = "wasm32"))]
    #[error(transparent)]
    Checkpoint(#[from] super::run::CheckpointError),
    /// The record of the run.
    #[cfg(not(target_arch = "wasm32"))]
    #[error(transparent)]
    Log(#[from] super::log::LogError),
    /// A file of the run folder.
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The run folder cannot be used.
    #[error("{path}: {problem}")]
    Folder {
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A new run was to begin where one is.
    #[error("{path}: holds a run already; resume it, or give another folder")]
    RunExists { path: PathBuf },
    /// A run was to be gone on with where none is.
    #[error("{path}: there is no run to resume: it has no {file}; start a new one")]
    NoRun {
        path: PathBuf,
        /// What every run has.
        file: &'static str,
    },
    /// The plan has no such tensor.
    #[error("the network has no tensor '{name}' ({part:?})")]
    NoTensor {
        /// Which of the parameter's tensors.
        part: Part,
        name: String,
    },
    /// Hardly a weight could be taken from the model to start from.
    #[error(
        "hardly any tensor of '{model}' fits this network: the model is {theirs}, the recipe's network {ours}. Give the \
         recipe the model's network, or start without it"
    )]
    NothingFits {
        model: String,
        /// The model's network.
        theirs: String,
        /// The recipe's.
        ours: String,
    },
    /// A model of the same shapes whose weights mean something else: attention cut into other heads.
    #[error(
        "'{model}' has network.{field} = {theirs}, the recipe {ours}: set network.{field} = {theirs}, or start without it"
    )]
    OtherMeaning {
        model: String,
        /// The argument.
        field: &'static str,
        /// The model's value.
        theirs: usize,
        /// The recipe's.
        ours: usize,
    },
    /// A gradient or the loss is NaN or infinite.
    #[error(
        "step {step}: {what}. Nothing was changed by this step and no file was overwritten; the last checkpoint is of \
         step {saved}. Start a new run, perhaps from this one's model: a smaller optimizer.learning_rate or an \
         optimizer.clip of 1 usually helps"
    )]
    NotFinite {
        /// Counted from 1.
        step: u64,
        /// The tensor that is not finite, and what made it.
        what: String,
        /// Step of the checkpoint that can be gone on from.
        saved: u64,
    },
    /// The loss has risen far above where it began.
    #[error(
        "step {step}: the loss was {beginning:.3} at the beginning and is {now:.3} now: the run diverges. The best \
         model is as it was, the last checkpoint is of step {saved}. Start a new run with a smaller optimizer.learning_rate"
    )]
    Diverged {
        /// Counted from 1.
        step: u64,
        /// Mean of the first losses.
        beginning: f64,
        /// Mean of the last.
        now: f64,
        /// Step of the checkpoint that can be gone on from.
        saved: u64,
    },
}

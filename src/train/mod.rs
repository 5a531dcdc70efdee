//! Training: the network with its loss and gradients as one graph, the optimiser, and whole runs.
//!
//! | module | holds |
//! | --- | --- |
//! | `step`, `optimizer`, `graphs` | one step as a graph, or two |
//! | `plan`, `memory` | these on a device, and what they take of it |
//! | `init`, [`schedule`] | first weights, learning rates |
//! | [`recipe`] | `recipe.toml` |
//! | [`data`] | from `dataset.json` to batches |
//! | [`run`] | the loop, checkpoints, validation |
//! | [`log`] | records and report |
//!
//! What deals with files and threads is compiled for native targets only.

#[cfg(not(target_arch = "wasm32"))]
mod bench;
#[cfg(not(target_arch = "wasm32"))]
pub mod data;
mod error;
#[cfg(not(target_arch = "wasm32"))]
mod files;
mod graphs;
#[cfg(not(target_arch = "wasm32"))]
mod init;
#[cfg(not(target_arch = "wasm32"))]
pub mod log;
mod memory;
mod optimizer;
mod plan;
#[cfg(not(target_arch = "wasm32"))]
pub mod recipe;
mod reference;
#[cfg(not(target_arch = "wasm32"))]
pub mod run;
pub mod schedule;
mod step;

#[cfg(not(target_arch = "wasm32"))]
pub use bench::{TrainingBench, bench_training};
pub use error::TrainError;
#[cfg(not(target_arch = "wasm32"))]
pub use init::initial;
pub use memory::{TrainingMemory, training_memory};
pub use optimizer::{Optimizer, OptimizerOptions, Rates, Updated};
pub use plan::{BatchRef, Part, StepOutcome, TrainingPlan};
#[cfg(not(target_arch = "wasm32"))]
pub use recipe::{Recipe, RecipeError};
pub use reference::{GradientError, verify_gradients};
pub use step::{StepSpec, TrainingGraph, UpdateGraph};

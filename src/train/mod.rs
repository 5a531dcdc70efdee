//! Training: the network with its loss and gradients as one graph, and the optimiser.

mod error;
mod optimizer;
mod reference;
mod step;

pub use error::TrainError;
pub use optimizer::{Optimizer, OptimizerOptions, Rates, Updated};
pub use reference::{GradientError, verify_gradients};
pub use step::{Objective, TrainingGraph};

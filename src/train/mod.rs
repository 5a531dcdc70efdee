//! Training: the network with its loss and gradients as one graph, and the optimiser.

mod step;

pub use step::{Objective, TrainingGraph};

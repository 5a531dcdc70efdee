//! The graphs of a training step before they are placed on a device: one that does everything, or one for each of several
//! batches and one for the update.

use super::{Optimizer, StepSpec, TrainingGraph, UpdateGraph};
use crate::graph::{Graph, GraphError};
use crate::nets::Architecture;

/// See the module.
pub(super) struct Graphs {
    /// Forward, loss and gradients of a batch; and the update, if a step is one batch.
    pub step: TrainingGraph,
    /// The update, if a step is several batches.
    pub update: Option<Graph>,
    /// Its nodes are in `update`, or else in `step`.
    pub optimizer: Optimizer,
}

impl Graphs {
    /// The graphs for a network.
    ///
    /// # Errors
    /// [`GraphError`] if the configuration or the options ask for what is not possible.
    pub fn new(network: &Architecture, spec: &StepSpec<'_>) -> Result<Self, GraphError> {
        let mut step = TrainingGraph::new(network, spec)?;
        if spec.accumulate > 1 {
            let UpdateGraph { graph, optimizer } = UpdateGraph::new(&step, &spec.optimizer)?;
            return Ok(Self { step, update: Some(graph), optimizer });
        }
        let optimizer = Optimizer::new(&mut step.graph, &step.gradients, &spec.optimizer)?;
        Ok(Self { step, update: None, optimizer })
    }

    /// The graph that holds the optimiser.
    pub fn updating(&self) -> &Graph {
        self.update.as_ref().unwrap_or(&self.step.graph)
    }
}

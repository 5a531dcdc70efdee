//! What training takes of a GPU's memory, without one.

use super::graphs::Graphs;
use super::{StepSpec, TrainError};
use crate::gpu::{AdapterClass, Limits};
use crate::graph::{Graph, MemoryPlan, Role, Target};
use crate::nets::Architecture;

/// GPU memory by purpose, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrainingMemory {
    pub weights: u64,
    /// Gradients of the parameters. Those of a step on a single batch share the memory of `activations`.
    pub gradients: u64,
    /// Whether they have memory of their own, being sums over several batches.
    pub own_gradients: bool,
    /// Both moments of the optimizer.
    pub moments: u64,
    /// Moving average of the weights.
    pub average: u64,
    /// Memory shared over time: activations, their gradients, temporaries.
    pub activations: u64,
    /// What these would take if nothing were shared.
    pub activations_unshared: u64,
    /// Windows, labels, rates, lengths of gradients and the kernels' parameters.
    pub inputs: u64,
    /// The largest buffer.
    pub largest: u64,
    /// Dispatches of a step, for one batch.
    pub dispatches: usize,
}

impl TrainingMemory {
    /// All of it.
    pub fn total(&self) -> u64 {
        let gradients = if self.own_gradients { self.gradients } else { 0 };
        self.weights + gradients + self.moments + self.average + self.activations + self.inputs
    }
}

/// Plans a network's training within `limits` for an adapter of this class.
///
/// # Errors
/// [`TrainError`] if the options ask for what is not possible, a tensor exceeds a binding, or a kernel breaks a rule.
pub fn training_memory(
    network: &Architecture,
    spec: &StepSpec<'_>,
    class: AdapterClass,
    limits: &Limits,
) -> Result<TrainingMemory, TrainError> {
    let graphs = Graphs::new(network, spec)?;
    let mut memory = TrainingMemory { own_gradients: graphs.update.is_some(), ..TrainingMemory::default() };
    for graph in [Some(&graphs.step.graph), graphs.update.as_ref()].into_iter().flatten() {
        let plan = MemoryPlan::new(graph, &Target::new(class), limits, false)?;
        let report = plan.memory();
        memory.activations += report.activations;
        memory.activations_unshared += report.activations_unshared;
        memory.inputs += report.inputs + report.uniforms;
        memory.largest = memory.largest.max(report.largest);
        memory.dispatches += plan.dispatches().count();
    }
    let bytes = |graph: &Graph, wanted: &dyn Fn(Role, &str) -> bool| -> u64 {
        graph.tensors().filter(|(_, t)| wanted(t.role, &t.name)).map(|(_, t)| t.bytes()).sum()
    };
    let updating = graphs.updating();
    let state = |prefix: &'static str| move |role: Role, name: &str| role == Role::State && name.starts_with(prefix);
    memory.weights = bytes(&graphs.step.graph, &|role, _| role == Role::Parameter);
    memory.moments = bytes(updating, &state("optimizer.m.")) + bytes(updating, &state("optimizer.v."));
    memory.average = bytes(updating, &state("optimizer.average."));
    memory.inputs += bytes(updating, &state("optimizer.square_sums"));
    memory.gradients = graphs.optimizer.parameters.iter().map(|u| updating.tensor(u.parameter).bytes()).sum();
    Ok(memory)
}

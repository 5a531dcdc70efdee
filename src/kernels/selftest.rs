//! Runs a kernel's cases on a device and compares them with its double-precision twin: the test suite's core, and the
//! self-test that users run on their own adapter.

use crate::gpu::Gpu;
use crate::graph::{Case, Graph, GraphError, Kernel, Plan, PlanError, PlanOptions, Residents, TensorId};
use crate::graph::{Cost, Dispatch, Io, Layout, Target};
use crate::tensor::{Difference, HostTensor, Shape};

/// Every kernel must stay below this normalised mean squared error.
pub const MAX_NMSE: f64 = 1e-7;

/// A case's kernel borrowed by a graph.
#[derive(Debug)]
struct Borrowed(std::sync::Arc<Case>);

impl Kernel for Borrowed {
    fn name(&self) -> &'static str {
        self.0.kernel.name()
    }
    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        self.0.kernel.infer(inputs)
    }
    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        self.0.kernel.dispatches(io, target)
    }
    fn scratch(&self, io: &Io, target: &Target) -> Vec<u64> {
        self.0.kernel.scratch(io, target)
    }
    fn output_layout(&self, i: usize) -> Layout {
        self.0.kernel.output_layout(i)
    }
    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        self.0.kernel.reference(inputs)
    }
    fn cost(&self, io: &Io) -> Cost {
        self.0.kernel.cost(io)
    }
}

/// A graph of one node: its tensors for the arguments, and for the results.
pub struct CaseGraph {
    /// The graph.
    pub graph: Graph,
    /// Arguments.
    pub inputs: Vec<TensorId>,
    /// Results.
    pub outputs: Vec<TensorId>,
}

/// The graph of a case.
///
/// # Errors
/// [`GraphError`] if the case does not fit its own kernel.
pub fn case_graph(case: &std::sync::Arc<Case>) -> Result<CaseGraph, GraphError> {
    let mut graph = Graph::new().with_half_weights(true);
    let count = case.inputs.len();
    let inputs: Vec<TensorId> = case
        .inputs
        .iter()
        .enumerate()
        .map(|(i, t)| {
            let name = format!("input {i}");
            let stored = case.storage.iter().find(|s| s.0 == i);
            match stored {
                _ if i + case.in_place >= count => graph.state(&name, t.shape.clone()),
                Some((_, layout, crate::graph::DType::F16)) => graph.matrix_parameter(&name, t.shape.clone(), *layout),
                Some((_, layout, crate::graph::DType::F32)) => graph.full_parameter(&name, t.shape.clone(), *layout),
                None => graph.input(&name, t.shape.clone()),
            }
        })
        .collect();
    let kernel = Borrowed(std::sync::Arc::clone(case));
    let outputs = if case.in_place > 0 {
        let (read, updated) = inputs.split_at(count - case.in_place);
        graph.update_many("case", kernel, read, updated)?;
        updated.to_vec()
    } else {
        graph.add("case", kernel, &inputs)?
    };
    outputs.iter().for_each(|&o| graph.output(o));
    Ok(CaseGraph { graph, inputs, outputs })
}

/// Runs a case on the device, with kernel variant `variant` if given; the difference of each result.
///
/// # Errors
/// [`PlanError`] if it cannot run.
pub async fn run_case(
    gpu: &Gpu,
    case: &std::sync::Arc<Case>,
    variant: Option<usize>,
) -> Result<Vec<Difference>, PlanError> {
    let built = case_graph(case)?;
    let options = PlanOptions { variant, ..PlanOptions::default() };
    let plan = Plan::new(gpu, &built.graph, &options, &mut Residents::default()).await?;
    for (id, value) in built.inputs.iter().zip(&case.inputs) {
        plan.write(*id, &value.to_f32())?;
    }
    plan.run()?;
    let arguments: Vec<&HostTensor> = case.inputs.iter().collect();
    let expected = case.kernel.reference(&arguments);
    let mut differences = Vec::new();
    for (id, want) in built.outputs.iter().zip(&expected) {
        differences.push(want.difference(&plan.read(*id).await?));
    }
    Ok(differences)
}

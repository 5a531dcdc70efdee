//! Runs a kernel's cases on a device and compares them with its double-precision twin: the test suite's core, and the
//! self-test that users run on their own adapter.

use std::sync::Arc;

use crate::gpu::Gpu;
#[cfg(not(target_arch = "wasm32"))]
use crate::graph::MemoryPlan;
use crate::graph::{Case, Graph, GraphError, Kernel, Plan, PlanError, PlanOptions, Residents, TensorId};
use crate::graph::{Cost, Dispatch, Io, Layout, Target};
use crate::tensor::{Difference, HostTensor, Shape};

/// Every kernel must stay below this normalised mean squared error.
pub const MAX_NMSE: f64 = 1e-7;

/// A case's kernel borrowed by a graph.
#[derive(Debug)]
struct Borrowed(Arc<Case>);

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
    pub graph: Graph,
    pub inputs: Vec<TensorId>,
    pub outputs: Vec<TensorId>,
}

/// The graph of a case.
///
/// # Errors
/// [`GraphError`] if the case does not fit its own kernel.
pub fn case_graph(case: &Arc<Case>) -> Result<CaseGraph, GraphError> {
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
    let kernel = Borrowed(Arc::clone(case));
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

/// How the cases of an op did.
#[derive(Clone, Debug, serde::Serialize)]
// JavaScript's names are its own.
#[cfg_attr(target_arch = "wasm32", serde(rename_all = "camelCase"))]
pub struct Summary {
    /// The op, by its file.
    pub kernel: &'static str,
    /// How many ran.
    pub cases: usize,
    /// The largest error; `None` where values were not finite or a case did not run.
    pub worst_nmse: Option<f64>,
    /// [`MAX_NMSE`].
    pub tolerance: f64,
    /// Whether all cases are within it.
    pub ok: bool,
    /// Each case that is not, and why.
    pub failures: Vec<String>,
}

/// Runs all cases of an op in the variant that this device gets.
pub async fn summarise(gpu: &Gpu, kernel: &'static str, cases: &[Arc<Case>]) -> Summary {
    let count = cases.len();
    let mut worst = 0.0f64;
    let mut failures = Vec::new();
    for case in cases {
        let nmse = match run_case(gpu, case, None).await {
            Ok(differences) => differences.iter().map(|d| d.nmse).fold(0.0, larger),
            Err(e) => {
                failures.push(format!("{}: {e}", case.name));
                worst = f64::NAN;
                continue;
            }
        };
        if nmse.is_nan() || nmse > MAX_NMSE {
            failures.push(format!("{}: NMSE {nmse:.1e}", case.name));
        }
        worst = larger(worst, nmse);
    }
    let worst_nmse = worst.is_finite().then_some(worst);
    Summary { kernel, cases: count, worst_nmse, tolerance: MAX_NMSE, ok: failures.is_empty(), failures }
}

/// Compiles what the cases of all these ops need, on as many processors as there are.
///
/// # Errors
/// [`PlanError`] if a case does not fit its kernel or the driver refuses a pipeline; running the cases tells which.
#[cfg(not(target_arch = "wasm32"))]
pub async fn compile(gpu: &Gpu, ops: &[(&'static str, Vec<Arc<Case>>)]) -> Result<(), PlanError> {
    let mut pipelines = Vec::new();
    for case in ops.iter().flat_map(|(_, cases)| cases) {
        let built = case_graph(case)?;
        pipelines.extend(MemoryPlan::new(&built.graph, &Target::of(gpu), gpu.limits(), false)?.pipelines());
    }
    Ok(gpu.compile_ahead(pipelines).await?)
}

/// The larger of two, and NaN of one that is not a number, which `f64::max` would lose.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// Runs a case on the device, with kernel variant `variant` if given; the difference of each result.
///
/// # Errors
/// [`PlanError`] if it cannot run.
pub async fn run_case(gpu: &Gpu, case: &Arc<Case>, variant: Option<usize>) -> Result<Vec<Difference>, PlanError> {
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

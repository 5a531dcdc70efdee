//! The network against a reference file: weights, input and the values that the reference program computed at each stage.

mod file;
mod procedural;
mod voxels;

pub use file::{Distance, ReferenceFile};

use super::InferError;
use crate::gpu::Gpu;
use crate::graph::{Plan, PlanOptions, Residents, TensorId};
use crate::nets::Build;
use crate::tensor::Shape;

/// The error of one stage.
#[derive(Clone, Debug, PartialEq)]
pub struct StageError {
    /// The reference program's module, `logits`, or a statistic of them.
    pub name: String,
    /// Largest absolute error.
    pub max_abs: f64,
    /// Largest absolute value of the reference.
    pub max_value: f64,
    /// `1e-4 max(1, max_value)`; of a count of voxels, one in ten thousand.
    pub tolerance: f64,
    /// Whether the error is within it.
    pub ok: bool,
}

/// Tolerance of stages and logits, relative to the larger of 1 and the stage's largest value.
const STAGE: f64 = 1e-4;

impl StageError {
    /// Of as many values as are wanted.
    fn of(name: &str, want: &[f64], got: &[f64]) -> Self {
        let max_value = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let errors = want.iter().zip(got).map(|(w, g)| (w - g).abs());
        let max_abs = errors.fold(0.0f64, |m, e| if e.is_nan() || m.is_nan() { f64::NAN } else { m.max(e) });
        let tolerance = STAGE * max_value.max(1.0);
        // Not a number is not within anything.
        Self { name: name.to_owned(), max_abs, max_value, tolerance, ok: max_abs <= tolerance }
    }
}

/// A comparison with a reference file.
#[derive(Clone, Debug, PartialEq)]
pub struct ReferenceReport {
    /// One row per stage of the file, in the network's order, then the logits, then what the file tells of all of them.
    pub rows: Vec<StageError>,
}

impl ReferenceReport {
    /// Whether every row is within its tolerance.
    pub fn ok(&self) -> bool {
        self.rows.iter().all(|r| r.ok)
    }
}

/// Runs the network of a reference file on the device and compares every stage that the file holds, and the logits.
///
/// # Errors
/// [`InferError`] if the file lacks something or holds a stage that the network has not, or the network cannot run.
pub async fn verify_reference(gpu: &Gpu, bytes: Vec<u8>) -> Result<ReferenceReport, InferError> {
    let file = ReferenceFile::read(bytes)?;
    let build = Build { batch: file.batch(), ..Build::window(file.window()) };
    let mut network = file.network().build(&build)?;
    let logits = network.logits()?;
    let held = |name: &str| file.has(&format!("stage.{name}"));
    let stages = network.stages(logits, held)?;
    let graph = &mut network.graph;
    let mut wanted: Vec<(String, Vec<TensorId>)> =
        stages.into_iter().map(|(name, ids)| (format!("stage.{name}"), ids)).collect();
    if let Some(other) = file.names("stage.").into_iter().find(|name| wanted.iter().all(|(known, _)| known != name)) {
        return Err(InferError::Reference(format!("the network has no module for '{other}'")));
    }
    wanted.push(("logits".to_owned(), vec![logits]));
    wanted.iter().flat_map(|(_, ids)| ids).for_each(|id| graph.output(*id));

    let plan = Plan::new(gpu, graph, &PlanOptions::default(), &mut Residents::default()).await?;
    for (id, info) in graph.parameters() {
        plan.write(id, &file.weight(info)?)?;
    }
    plan.write(network.input, &file.input(graph.shape(network.input))?)?;
    plan.run()?;
    let mut rows = Vec::new();
    for (name, ids) in wanted {
        let mut parts = Vec::with_capacity(ids.len());
        for id in ids {
            parts.push((graph.shape(id).clone(), plan.read(id).await?));
        }
        let (shape, got) = side_by_side(parts);
        rows.push(file.compare(&name, &shape, &got)?);
        if name == "logits" {
            rows.extend(file.statistics(&got)?);
        }
    }
    Ok(ReferenceReport { rows })
}

/// Tensors whose channels follow one another, as one.
fn side_by_side(mut parts: Vec<(Shape, Vec<f32>)>) -> (Shape, Vec<f32>) {
    if parts.len() < 2 {
        return parts.pop().unwrap_or_else(|| (Shape::new(&[0]), Vec::new()));
    }
    let mut dims = parts[0].0.dims().to_vec();
    let samples = dims[0].max(1);
    dims[1] = parts.iter().map(|(shape, _)| shape.dims()[1]).sum();
    let row = |sample: usize, values: &[f32]| {
        let size = values.len() / samples;
        values[sample * size..][..size].to_vec()
    };
    let joined =
        (0..samples).flat_map(|sample| parts.iter().flat_map(move |(_, values)| row(sample, values))).collect();
    (Shape::new(&dims), joined)
}

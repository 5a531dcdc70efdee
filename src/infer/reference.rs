//! The network against a reference file: weights, input and the values that MONAI computed at each stage.

use super::InferError;
use crate::gpu::Gpu;
use crate::graph::{Graph, Plan, PlanOptions, Residents};
use crate::model::{UnetrConfig, unetr};
use crate::tensor::HostTensor;
use crate::weights::package::network_from_json;
use crate::weights::safetensors::Tensors;

/// The error of one stage.
#[derive(Clone, Debug, PartialEq)]
pub struct StageError {
    /// MONAI's module, or `logits`.
    pub name: String,
    /// Largest absolute error.
    pub max_abs: f64,
    /// Largest absolute value of the reference.
    pub max_value: f64,
    /// `1e-4 max(1, max_value)`.
    pub tolerance: f64,
    /// Whether the error is within it.
    pub ok: bool,
}

/// A comparison with a reference file.
#[derive(Clone, Debug, PartialEq)]
pub struct ReferenceReport {
    /// One row per stage of the file, in the network's order, then the logits.
    pub rows: Vec<StageError>,
}

impl ReferenceReport {
    /// Whether every row is within its tolerance.
    pub fn ok(&self) -> bool {
        self.rows.iter().all(|r| r.ok)
    }
}

/// Tolerance of every stage, relative to the larger of 1 and the stage's largest value.
const TOLERANCE: f64 = 1e-4;

/// Runs the network of a reference file on the device and compares each stage that the file holds.
///
/// # Errors
/// [`InferError`] if the file lacks something or the network cannot run.
pub async fn verify_reference(gpu: &Gpu, bytes: Vec<u8>) -> Result<ReferenceReport, InferError> {
    let file = Tensors::read(bytes)?;
    let config = reference_config(&file)?;
    let input = values(&file, "input")?;
    let batch = input.shape.dims().first().copied().unwrap_or(0);
    let mut graph = Graph::new();
    let network = unetr(&mut graph, &config, batch)?;
    let last = graph.store("decoder2", &network.end)?;
    let logits = graph.head("out", &network.end, network.out.0, network.out.1)?;
    let mut stages = network.stages.clone();
    stages.extend([("decoder2".to_owned(), last), ("out".to_owned(), logits)]);
    let mut wanted: Vec<(String, _)> = stages
        .into_iter()
        .map(|(name, id)| (format!("stage.{name}"), id))
        .filter(|(name, _)| file.get(name).is_some())
        .collect();
    wanted.push(("logits".to_owned(), logits));
    wanted.iter().for_each(|(_, id)| graph.output(*id));

    let plan = Plan::new(gpu, &graph, &PlanOptions::default(), &mut Residents::default()).await?;
    for (id, info) in graph.parameters() {
        let weight = values(&file, &format!("weight.{}", info.name))?;
        if weight.shape != info.shape {
            return Err(InferError::Reference(format!(
                "weight.{} has shape {}, the network needs {}",
                info.name, weight.shape, info.shape
            )));
        }
        plan.write(id, &weight.to_f32())?;
    }
    if input.shape != *graph.shape(network.input) {
        return Err(InferError::Reference(format!(
            "input has shape {}, the network needs {}",
            input.shape,
            graph.shape(network.input)
        )));
    }
    plan.write(network.input, &input.to_f32())?;
    plan.run()?;
    let mut rows = Vec::new();
    for (name, id) in wanted {
        let want = values(&file, &name)?;
        let got = plan.read(id).await?;
        if want.data.len() != got.len() {
            return Err(InferError::Reference(format!(
                "{name} has shape {}, the network gives {}",
                want.shape,
                graph.shape(id)
            )));
        }
        rows.push(stage_error(name, &want, &got));
    }
    Ok(ReferenceReport { rows })
}

fn stage_error(name: String, want: &HostTensor, got: &[f32]) -> StageError {
    let max_value = want.data.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let tolerance = TOLERANCE * max_value.max(1.0);
    let max_abs = want.difference(got).max_abs;
    StageError { name, max_abs, max_value, tolerance, ok: max_abs <= tolerance }
}

fn reference_config(file: &Tensors) -> Result<UnetrConfig, InferError> {
    let text =
        file.metadata().get("config").ok_or_else(|| InferError::Reference("no 'config' in its metadata".to_owned()))?;
    let config = network_from_json(text)?;
    config.validate()?;
    Ok(config)
}

fn values(file: &Tensors, name: &str) -> Result<HostTensor, InferError> {
    let missing = || InferError::Reference(format!("no tensor '{name}'"));
    let view = file.get(name).ok_or_else(missing)?;
    let data = file.to_f32(name).ok_or_else(missing)?;
    Ok(HostTensor::from_f32(crate::tensor::Shape::new(view.shape), &data))
}

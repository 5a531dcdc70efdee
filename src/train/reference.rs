//! Loss and gradients against a reference file: every `grad.*` that MONAI computed, and `loss`.

use std::collections::HashMap;

use super::{Objective, StepOptions, TrainError, TrainingGraph};
use crate::gpu::Gpu;
use crate::graph::{Plan, PlanOptions, Residents, TensorId};
use crate::kernels::dice_ce::DiceCe;
use crate::weights::package::network_from_json;
use crate::weights::safetensors::Tensors;

/// The error of the loss or of one gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientError {
    /// `loss`, or `grad.` and the parameter's name (`grad.input` for the window).
    pub name: String,
    /// Euclidean length of the difference.
    pub error: f64,
    /// Euclidean length of the reference.
    pub length: f64,
    /// `1e-4 length + 1e-7` times the length of all gradients together; `1e-5 length` for the loss.
    pub tolerance: f64,
    /// Whether the error is within it.
    pub ok: bool,
}

impl GradientError {
    fn new(name: &str, got: &[f32], want: &[f32], tolerance: impl Fn(f64) -> f64) -> Self {
        let error = length(got.iter().zip(want).map(|(g, w)| f64::from(*g) - f64::from(*w)));
        let length = length(want.iter().map(|w| f64::from(*w)));
        let tolerance = tolerance(length);
        // Not a number is not within anything.
        let ok = got.len() == want.len() && error <= tolerance;
        Self { name: name.to_owned(), error, length, tolerance, ok }
    }
}

fn length(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

/// Runs forward, loss and backward of a reference file's network and compares the loss and every gradient of the file; the
/// loss alone if it holds no gradients. Its metadata names the network and the loss: DiceCE for a softmax, Dice for a sigmoid.
///
/// # Errors
/// [`TrainError`] if the file lacks something, has a gradient that the network has not or the other way round, or the
/// network cannot run.
pub async fn verify_gradients(gpu: &Gpu, bytes: Vec<u8>) -> Result<Vec<GradientError>, TrainError> {
    let file = Tensors::read(bytes)?;
    let missing = |what: &str| TrainError::Reference(format!("no {what}"));
    let text = file.metadata().get("config").ok_or_else(|| missing("'config' in its metadata"))?;
    let config = network_from_json(text)?;
    let json: serde_json::Value = serde_json::from_str(text).map_err(|e| TrainError::Reference(e.to_string()))?;
    let sigmoid = json.get("activation").and_then(|v| v.as_str()) == Some("sigmoid");
    let loss = DiceCe { sigmoid, cross_entropy: if sigmoid { 0.0 } else { 1.0 }, ..DiceCe::default() };
    let batch = file.get("input").and_then(|t| t.shape.first().copied()).ok_or_else(|| missing("tensor 'input'"))?;
    let read = |name: &str| file.to_f32(name).ok_or_else(|| TrainError::Reference(format!("no tensor '{name}'")));
    let options = StepOptions { input: file.get("grad.input").is_some(), ..StepOptions::default() };
    let mut step = TrainingGraph::new(&config, &Objective { batch, loss, dropout: None }, &options)?;
    let gradients: HashMap<String, TensorId> =
        step.gradients.pairs().into_iter().map(|(p, g)| (format!("grad.{}", step.graph.tensor(p).name), g)).collect();
    gradients.values().for_each(|g| step.graph.output(*g));
    let plan = Plan::new(gpu, &step.graph, &PlanOptions::default(), &mut Residents::default()).await?;
    for (id, info) in step.graph.parameters() {
        plan.write(id, &read(&format!("weight.{}", info.name))?)?;
    }
    plan.write(step.input, &read("input")?)?;
    plan.write(step.label, &read("label")?)?;
    plan.run()?;

    let loss = plan.read(step.loss).await?;
    let mut rows = vec![GradientError::new("loss", &loss, &read("loss")?, |length| 1e-5 * length)];
    let mut names: Vec<String> =
        file.iter().map(|t| t.name.to_owned()).filter(|name| name.starts_with("grad.")).collect();
    names.sort();
    if names.is_empty() {
        return Ok(rows);
    }
    if let Some(extra) = gradients.keys().find(|name| !names.contains(name)) {
        return Err(TrainError::Reference(format!("no tensor '{extra}', a gradient that the network has")));
    }
    let mut reference = Vec::new();
    for name in &names {
        reference.push(read(name)?);
    }
    let total = length(reference.iter().flatten().map(|v| f64::from(*v)));
    for (name, want) in names.iter().zip(&reference) {
        let gradient = gradients
            .get(name)
            .ok_or_else(|| TrainError::Reference(format!("'{name}' is no gradient of the network")))?;
        let got = plan.read(*gradient).await?;
        rows.push(GradientError::new(name, &got, want, |length| 1e-4 * length + 1e-7 * total));
    }
    Ok(rows)
}

//! Loss and gradients against a reference file: every `grad.*` that the reference program computed, and `loss`.

use std::collections::HashMap;

use super::{StepSpec, TrainError, TrainingGraph};
use crate::gpu::Gpu;
use crate::graph::{Plan, PlanOptions, Residents, TensorId};
use crate::infer::{Distance, ReferenceFile};
use crate::kernels::dice_ce::DiceCe;

/// The error of the loss or of one gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientError {
    /// `loss`, or `grad.` and the parameter's name (`grad.input` for the window).
    pub name: String,
    /// Euclidean length of the difference.
    pub error: f64,
    /// Euclidean length of the reference.
    pub length: f64,
    /// For a gradient a share of its length, and a smaller one of the length of all together; `1e-5 length` for the loss.
    pub tolerance: f64,
    /// Whether the error is within it.
    pub ok: bool,
}

/// Runs forward, loss and backward of a reference file's network and compares the loss, the logits of training where the file
/// holds them (batch norm makes them others), and every gradient of the file. Its metadata names the network and the loss:
/// DiceCE for a softmax, Dice for a sigmoid.
///
/// # Errors
/// [`TrainError`] if the file lacks something, has a gradient that the network has not or the other way round, or the
/// network cannot run.
pub async fn verify_gradients(gpu: &Gpu, bytes: Vec<u8>) -> Result<Vec<GradientError>, TrainError> {
    let file = ReferenceFile::read(bytes)?;
    let sigmoid = file.sigmoid();
    let loss = DiceCe { sigmoid, cross_entropy: if sigmoid { 0.0 } else { 1.0 }, ..DiceCe::default() };
    let input_gradient = file.has("grad.input");
    let spec = StepSpec { input_gradient, ..StepSpec::new(file.window(), file.batch(), loss) };
    let mut step = TrainingGraph::new(file.network(), &spec)?;
    let gradients: HashMap<String, TensorId> =
        step.gradients.pairs().into_iter().map(|(p, g)| (step.graph.tensor(p).name.clone(), g)).collect();
    gradients.values().for_each(|g| step.graph.output(*g));
    step.graph.output(step.logits);
    let plan = Plan::new(gpu, &step.graph, &PlanOptions::default(), &mut Residents::default()).await?;
    for (id, info) in step.graph.parameters() {
        plan.write(id, &file.weight(info)?)?;
    }
    plan.write(step.input, &file.input(step.graph.shape(step.input))?)?;
    plan.write(step.label, &file.label(step.graph.shape(step.label))?)?;
    plan.run()?;

    let (got, want) = (f64::from(plan.read(step.loss).await?[0]), file.loss()?);
    let mut rows = vec![GradientError::within("loss", (got - want).abs(), want.abs(), 1e-5 * want.abs())];
    if file.has("train.logits") {
        let got = plan.read(step.logits).await?;
        let row = file.compare("train.logits", step.graph.shape(step.logits), &got)?;
        rows.push(GradientError::within("train.logits", row.max_abs, row.max_value, row.tolerance));
    }
    let names: Vec<String> =
        file.names("grad.").iter().filter_map(|n| Some(n.strip_prefix("grad.")?.to_owned())).collect();
    if names.is_empty() {
        return Ok(rows);
    }
    if let Some(extra) = gradients.keys().find(|name| !names.contains(name)) {
        return Err(TrainError::Reference(format!("no tensor 'grad.{extra}', a gradient that the network has")));
    }
    let mut square = 0.0;
    for name in &names {
        square += file.gradient_length(name)?.powi(2);
    }
    let (relative, of_all) = file.gradient_tolerance();
    for name in &names {
        let no = || TrainError::Reference(format!("'grad.{name}' is no gradient of the network"));
        let got = plan.read(*gradients.get(name).ok_or_else(no)?).await?;
        let Distance { error, length } = file.distance(name, &got)?;
        rows.push(GradientError::within(
            &format!("grad.{name}"),
            error,
            length,
            relative * length + of_all * square.sqrt(),
        ));
    }
    Ok(rows)
}

impl GradientError {
    fn within(name: &str, error: f64, length: f64, tolerance: f64) -> Self {
        // Not a number is not within anything.
        Self { name: name.to_owned(), error, length, tolerance, ok: error <= tolerance }
    }
}

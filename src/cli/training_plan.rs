//! What training a network takes of a GPU, for `unetr info --train`.

use clap::Args;
use serde_json::{Value, json};

use super::console::bytes;
use super::table::Table;
use crate::gpu::{AdapterClass, Limits};
use crate::kernels::dice_ce::DiceCe;
use crate::nets::Architecture;
use crate::train::{OptimizerOptions, StepSpec, TrainError, TrainingMemory, training_memory};

/// Options of the plan.
#[derive(Debug, Args)]
pub(super) struct TrainingPlanArgs {
    /// Show what a training step takes, too.
    #[arg(long)]
    pub train: bool,
    /// Windows in a batch.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "train")]
    batch: usize,
    /// Compute activations again in the backward pass instead of keeping them.
    #[arg(long, requires = "train")]
    recompute: bool,
}

impl TrainingPlanArgs {
    /// The plan within WebGPU's default limits: with AdamW, clipping and a moving average.
    pub fn memory(&self, network: &Architecture, roi: [usize; 3], sigmoid: bool) -> Result<TrainingMemory, TrainError> {
        let loss = DiceCe { sigmoid, cross_entropy: if sigmoid { 0.0 } else { 1.0 }, ..DiceCe::default() };
        let optimizer = OptimizerOptions { clip: Some(1.0), average: true, ..OptimizerOptions::default() };
        let spec = StepSpec { recompute: self.recompute, optimizer, ..StepSpec::new(roi, self.batch.max(1), loss) };
        training_memory(network, &spec, AdapterClass::Discrete, &Limits::default())
    }

    pub fn text(&self, memory: &Result<TrainingMemory, TrainError>) -> String {
        let how = if self.recompute { ", activations computed again" } else { "" };
        let what = format!("a training step, batch of {}{how}", self.batch.max(1));
        let m = match memory {
            Ok(m) => m,
            Err(e) => return format!("\n{what}, does not fit WebGPU's default limits: {e}\n"),
        };
        let mut table = Table::new(&["device memory", &what]);
        for (name, count) in [
            ("parameters", m.weights),
            ("gradients (in the activations' memory)", m.gradients),
            ("moments", m.moments),
            ("moving average", m.average),
            ("activations (shared)", m.activations),
            ("activations without sharing", m.activations_unshared),
            ("inputs", m.inputs),
            ("largest buffer", m.largest),
            ("all", m.total()),
        ] {
            table.row([name.to_owned(), bytes(count)]);
        }
        format!("\n{}{} dispatches\n", table.render(), m.dispatches)
    }

    pub fn json(&self, memory: &Result<TrainingMemory, TrainError>) -> Value {
        match memory {
            Ok(m) => json!({
                "batch": self.batch.max(1), "recompute": self.recompute, "parameters": m.weights,
                "gradients": m.gradients, "moments": m.moments, "average": m.average, "activations": m.activations,
                "activations_unshared": m.activations_unshared, "inputs": m.inputs, "largest": m.largest,
                "dispatches": m.dispatches, "total": m.total(),
            }),
            Err(e) => json!({"batch": self.batch.max(1), "recompute": self.recompute, "error": e.to_string()}),
        }
    }
}

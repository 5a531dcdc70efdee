//! What is recorded of a run: one [`Event`] per line of `metrics.jsonl`.
//!
//! A line is a JSON object with `event`, `time` and the fields of that event. JSON knows no NaN and no infinity: such
//! numbers are written as the strings `"NaN"`, `"Infinity"` and `"-Infinity"`, which Python's `float` and JavaScript's
//! `Number` read; `null` is read as NaN.
//!
//! `step` counts optimiser steps made, from 1. The records of a step end what happened up to it: a checkpoint of step
//! 500 is followed by the records of step 501.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::number;
use super::summary::Summary;

/// What happened in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The run begins.
    Start(Start),
    /// It goes on from a checkpoint.
    Resume(Resume),
    /// A step was made.
    Step(StepRecord),
    /// The network was tried on the validation cases.
    Validation(ValidationRecord),
    /// A checkpoint was written.
    Checkpoint(CheckpointRecord),
    /// Something the user should know.
    Warning(Warning),
    /// The run ended, for whatever reason.
    Stop(Stop),
}

impl Event {
    /// The step it belongs to; `None` for the start.
    pub fn step(&self) -> Option<u64> {
        match self {
            Self::Start(_) => None,
            Self::Resume(r) => Some(r.step),
            Self::Step(r) => Some(r.step),
            Self::Validation(r) => Some(r.step),
            Self::Checkpoint(r) => Some(r.step),
            Self::Warning(r) => Some(r.step),
            Self::Stop(r) => Some(r.step),
        }
    }
}

/// What is trained, on what, by what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Start {
    /// Name of the model.
    pub name: String,
    /// Name of the data set.
    pub data: String,
    pub training_cases: u64,
    pub validation_cases: u64,
    /// Names of the classes or regions that are scored, in the order of [`ValidationRecord::classes`].
    pub classes: Vec<String>,
    /// Trained numbers of the network.
    pub parameters: u64,
    /// Steps the recipe asks for.
    pub steps: u64,
    /// Seed of all random numbers.
    pub seed: u64,
    /// SHA-256 of the recipe.
    pub recipe_sha256: String,
    /// Adapter and backend.
    pub adapter: String,
    /// Version of this program.
    pub version: String,
    /// What else the report should name: settings of the recipe in the order in which they are shown.
    pub settings: Map<String, Value>,
}

/// A run goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resume {
    /// The checkpoint's step.
    pub step: u64,
    /// Version of the program that goes on.
    pub version: String,
}

/// A training step, or the mean over the steps since the last record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepRecord {
    /// Steps made.
    pub step: u64,
    /// Passes over the training cases begun.
    pub epoch: u64,
    #[serde(with = "number")]
    pub loss: f64,
    /// Its Dice part, where known.
    #[serde(with = "number::option", skip_serializing_if = "Option::is_none")]
    pub dice_loss: Option<f64>,
    /// Its cross entropy part, where known.
    #[serde(with = "number::option", skip_serializing_if = "Option::is_none")]
    pub cross_entropy: Option<f64>,
    /// Learning rate of the step.
    #[serde(with = "number")]
    pub learning_rate: f64,
    /// L2 norm of all gradients together, before clipping.
    #[serde(with = "number")]
    pub gradient_norm: f64,
    /// Cases (windows) per second.
    #[serde(with = "number")]
    pub cases_per_second: f64,
    /// Seconds the run took so far, without the pauses between its sessions.
    #[serde(with = "number")]
    pub seconds: f64,
}

/// Scores on the validation cases.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ValidationRecord {
    /// Steps made before.
    pub step: u64,
    /// Mean over the classes of [`ClassRecord::dice`]'s means.
    #[serde(with = "number")]
    pub mean_dice: f64,
    /// One entry per class.
    pub classes: Vec<ClassRecord>,
    /// One entry per case.
    pub cases: Vec<CaseRecord>,
    /// Seconds it took.
    #[serde(with = "number")]
    pub seconds: f64,
    /// The pictures that belong to it; filled in by [`RunLog::validation`](super::RunLog::validation).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overlays: Vec<OverlayRecord>,
}

/// One class over all cases.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClassRecord {
    pub name: String,
    pub dice: Summary,
    /// 95th percentile of the surface distance, mm; absent if it was not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hd95: Option<Summary>,
}

/// One case over all classes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CaseRecord {
    pub case: String,
    /// Dice coefficient per class; NaN where the truth is empty, as [`metrics`](crate::metrics) has it.
    #[serde(with = "number::list")]
    pub dice: Vec<f64>,
    /// HD95 per class, mm; empty if it was not measured, NaN where either mask is empty.
    #[serde(with = "number::list", skip_serializing_if = "Vec::is_empty")]
    pub hd95: Vec<f64>,
}

/// A picture on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OverlayRecord {
    /// Its file in the folder `overlays`.
    pub file: String,
    /// The case it shows.
    pub case: String,
    /// What stands over it.
    pub title: String,
}

/// A checkpoint is on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckpointRecord {
    /// Steps made.
    pub step: u64,
    /// Its file, relative to the run folder.
    pub file: String,
    /// Whether it holds the best weights so far.
    pub best: bool,
}

/// Something the user should know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Warning {
    /// Steps made.
    pub step: u64,
    pub message: String,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All steps were made.
    #[default]
    Finished,
    /// The user stopped it.
    Interrupted,
    /// An error stopped it, such as a loss that is not a number.
    Failed,
}

impl Outcome {
    /// As in the records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
        }
    }
}

/// The run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stop {
    /// Steps made.
    pub step: u64,
    pub outcome: Outcome,
    /// Why, in a sentence.
    pub reason: String,
}

//! A whole training run in a folder: steps, validations, checkpoints, records.
//!
//! | file | holds |
//! | --- | --- |
//! | `recipe.toml` | the recipe with every default spelled out |
//! | `split.json` | the names of the training and validation cases |
//! | `checkpoints/last.safetensors` | all that the run needs to go on; the one before it beside it |
//! | `model.safetensors` | the best package so far, ready for `unetr segment` and the browser |
//! | `metrics.jsonl`, `events.out.tfevents.*`, `overlays`, `report.html` | see [`super::log`] |
//!
//! A run is a function of recipe, data, first weights and adapter: killed at any point and resumed, it ends with the same
//! bits as one that was never stopped.

mod checkpoint;
mod folder;
mod package;
mod start;
mod trainer;
mod validate;
mod watch;

pub use checkpoint::{Best, Checkpoint, CheckpointError, State};
pub use folder::RunFolder;
pub use start::Started;
pub use trainer::{Setup, TrainingEvent, TrainingObserver, TrainingSummary, train};
pub use validate::{Scored, Validation};
pub use watch::DivergenceWatch;

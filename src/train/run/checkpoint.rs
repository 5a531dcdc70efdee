//! Checkpoints: all that a run needs to go on as if it had never stopped, in one safetensors file.
//!
//! Tensors `weight.*`, `m.*`, `v.*`, `average.*`; `__metadata__["unetr-checkpoint"]` is the JSON of [`State`] with the
//! SHA-256 of that state and of every name and value in order. A checkpoint is written atomically; the one before it is kept beside it until the
//! next, so that a file damaged later does not end the run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::digest::hex;
use crate::train::files::write_atomically;
use crate::train::{Part, Recipe, TrainError, TrainingPlan};
use crate::weights::FloatType;
use crate::weights::safetensors::{Tensors, TensorsBuilder};

const FORMAT: &str = "unetr-checkpoint/1";
const KEY: &str = "unetr-checkpoint";
const PARTS: [(Part, &str); 4] = [(Part::Weight, "weight"), (Part::M, "m"), (Part::V, "v"), (Part::Average, "average")];

/// Why there is no going on from a checkpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is no checkpoint, or damaged.
    #[error("{path}: {problem}")]
    Damaged {
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A tensor has left the range of single precision.
    #[error(
        "step {step}: {tensor} is not finite; {path} is as it was. Start a new run with a smaller \
         optimizer.learning_rate, or an optimizer.clip"
    )]
    NotFinite {
        /// The file that was to be written.
        path: PathBuf,
        /// Steps made.
        step: u64,
        tensor: String,
    },
    /// The checkpoint belongs to a run with other settings or data.
    #[error("{path} was made with another {what}; {remedy}")]
    Other {
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
}

/// Where a run has come to, besides its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Steps done.
    pub step: u64,
    /// Step of the last validation, 0 before the first.
    pub validated: u64,
    /// The best validation so far.
    pub best: Option<Best>,
    /// What is known of the loss, to tell divergence.
    pub watch: super::watch::DivergenceWatch,
    /// Seconds spent, over all stops.
    pub seconds: f64,
    /// SHA-256 of the recipe with all its defaults.
    pub recipe: String,
    /// SHA-256 of all cases' files and the validation cases' names, in their order.
    pub data: String,
    /// The adapter, and the program's version: others give other bits.
    pub made_by: String,
}

/// A validation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// After this step.
    pub step: u64,
    /// Mean Dice over classes and cases.
    pub dice: f64,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    format: String,
    sha256: String,
    state: State,
}

/// The name under which the checkpoint before the last is kept.
pub fn previous(path: &Path) -> PathBuf {
    path.with_extension("previous.safetensors")
}

/// Writes a checkpoint of the plan; with `keep`, the one that is there is kept as the one before.
///
/// # Errors
/// The device failed or the file cannot be written; the last checkpoint is then still there.
pub async fn save(path: &Path, plan: &TrainingPlan, state: &State, keep: bool) -> Result<(), TrainError> {
    let mut file = TensorsBuilder::new();
    let mut hash = begun(state, path)?;
    for (part, prefix) in PARTS {
        for (name, shape) in plan.parameters().filter(|(name, _)| plan.has(part, name)) {
            let values = plan.read(part, name).await?;
            let name = format!("{prefix}.{name}");
            if values.iter().any(|v| !v.is_finite()) {
                return Err(CheckpointError::NotFinite { path: path.to_owned(), step: state.step, tensor: name }.into());
            }
            hash.update(&name);
            hash.update(bytemuck::cast_slice(&values));
            file.push_f32(&name, shape.dims(), &values, FloatType::F32)?;
        }
    }
    let stored = Stored { format: FORMAT.to_owned(), sha256: hex(hash.finalize()), state: state.clone() };
    let text = serde_json::to_string(&stored).map_err(|e| damaged(path, e))?;
    let metadata = BTreeMap::from([(KEY.to_owned(), text)]);
    let io = |source| CheckpointError::Io { path: path.to_owned(), source };
    // A damaged file takes no good one's place.
    if keep && path.exists() {
        // Linked, not moved: there is a checkpoint under the first name at every moment.
        let kept = previous(path);
        let _ = std::fs::remove_file(&kept);
        std::fs::hard_link(path, &kept).or_else(|_| std::fs::copy(path, &kept).map(|_| ())).map_err(io)?;
    }
    write_atomically(path, |out| file.write(&metadata, out).map_err(std::io::Error::other)).map_err(io)?;
    Ok(())
}

/// A checkpoint read and checked.
pub struct Checkpoint {
    /// Where the run stood.
    pub state: State,
    path: PathBuf,
    tensors: Tensors,
}

impl Checkpoint {
    /// Reads a checkpoint and checks every byte of it.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = std::fs::read(path).map_err(|source| CheckpointError::Io { path: path.to_owned(), source })?;
        let tensors = Tensors::read(bytes).map_err(|e| damaged(path, e))?;
        let text = tensors.metadata().get(KEY).ok_or_else(|| damaged(path, "it is no checkpoint of a training run"))?;
        let stored: Stored = serde_json::from_str(text).map_err(|e| damaged(path, e))?;
        if stored.format != FORMAT {
            return Err(damaged(path, format!("format {:?}, this version reads {FORMAT:?}", stored.format)));
        }
        let mut hash = begun(&stored.state, path)?;
        tensors.iter().for_each(|t| {
            hash.update(t.name);
            hash.update(t.bytes);
        });
        if hex(hash.finalize()) != stored.sha256 {
            return Err(damaged(path, "its values are not those that were written: the file is damaged"));
        }
        Ok(Self { state: stored.state, path: path.to_owned(), tensors })
    }

    /// The newest of `path` and the one kept before it that is whole; what was wrong with the first, if anything.
    ///
    /// # Errors
    /// That of the first if neither is.
    pub fn newest(path: &Path) -> Result<(Self, Option<CheckpointError>), CheckpointError> {
        match Self::read(path) {
            Ok(checkpoint) => Ok((checkpoint, None)),
            Err(first) => match Self::read(&previous(path)) {
                Ok(checkpoint) => Ok((checkpoint, Some(first))),
                Err(_) => Err(first),
            },
        }
    }

    /// Whether the checkpoint belongs to this recipe and these data.
    ///
    /// # Errors
    /// [`CheckpointError::Other`].
    pub fn check(&self, recipe: &Recipe, data: &str) -> Result<(), CheckpointError> {
        let other = |what, remedy| Err(CheckpointError::Other { path: self.path.clone(), what, remedy });
        if self.state.recipe != recipe.sha256() {
            return other("recipe", "restore the run's recipe.toml, or start a new run");
        }
        if self.state.data != data {
            return other("set of training cases", "restore the dataset, or start a new run");
        }
        Ok(())
    }

    /// Writes everything into the plan.
    ///
    /// # Errors
    /// A tensor is missing or has another shape: the checkpoint is of another network or optimiser.
    pub fn restore(&self, plan: &TrainingPlan) -> Result<(), TrainError> {
        for (part, prefix) in PARTS {
            for (name, shape) in plan.parameters().filter(|(name, _)| plan.has(part, name)) {
                let full = format!("{prefix}.{name}");
                let tensor = self.tensors.get(&full).filter(|t| t.shape == shape.dims());
                let tensor = tensor.ok_or_else(|| damaged(&self.path, format!("no tensor '{full}' of {shape}")))?;
                plan.write(part, name, &tensor.to_f32())?;
            }
        }
        Ok(())
    }
}

fn damaged(path: &Path, problem: impl ToString) -> CheckpointError {
    CheckpointError::Damaged { path: path.to_owned(), problem: problem.to_string() }
}

/// A hash that begins with the state.
fn begun(state: &State, path: &Path) -> Result<Sha256, CheckpointError> {
    let text = serde_json::to_vec(state).map_err(|e| damaged(path, e))?;
    Ok(Sha256::new().chain_update(text))
}

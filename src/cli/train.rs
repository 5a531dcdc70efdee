//! `unetr train`: a dataset and a recipe become a model package.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::console::{duration, fact, note, print, print_json};
use super::error::{CliError, Context};
use super::files;
use super::options::{DeviceArgs, threads};
use super::signals;
use super::train_progress::TrainProgress;
use crate::dataset::Dataset;
use crate::report::NOTICE;
use crate::train::Recipe;
use crate::train::run::{Setup, TrainingSummary, train};
use crate::weights::{Metadata, Package};

/// Train a model: forward and backward pass, loss and AdamW as shaders on the GPU.
///
/// Ctrl-C and SIGTERM save a checkpoint and end; --resume goes on from the last one as if nothing had happened.
#[derive(Debug, Args)]
pub(super) struct Train {
    /// Dataset as the Medical Segmentation Decathlon writes it.
    #[arg(value_name = "DATASET.json")]
    dataset: PathBuf,
    /// Folder of the run: checkpoints, records, report and the model.
    #[arg(short, long, value_name = "RUN")]
    output: PathBuf,
    /// Network, preprocessing, augmentation, loss, optimiser; see recipes/ and docs/training.md.
    #[arg(long, value_name = "recipe.toml", required_unless_present = "resume")]
    config: Option<PathBuf>,
    /// Steps of the optimiser, instead of the recipe's.
    #[arg(long, value_name = "N", conflicts_with = "resume")]
    steps: Option<u64>,
    /// Seed of all random numbers, instead of the recipe's.
    #[arg(long, value_name = "N", conflicts_with = "resume")]
    seed: Option<u64>,
    /// Fraction of the training cases to set apart for validation, by subject, instead of the recipe's.
    #[arg(long, value_name = "F", conflicts_with = "resume")]
    val_fraction: Option<f64>,
    /// The fold to judge by, where the dataset sorts its cases into folds; the others are trained on.
    #[arg(long, value_name = "K", conflicts_with_all = ["resume", "val_fraction"])]
    fold: Option<u32>,
    /// Parameters that stay as they are, as patterns such as 'vit.*'; besides the recipe's.
    #[arg(long, value_name = "PATTERN", conflicts_with = "resume")]
    freeze: Vec<String>,
    /// Go on with the run in the folder.
    #[arg(long)]
    resume: bool,
    /// Model to take the first weights from: a package, MONAI bundle or nnU-Net result folder. Layers that do not fit are made
    /// anew; what the recipe does not say of network, input, output and inference is the model's.
    #[arg(long, value_name = "MODEL", conflicts_with = "resume")]
    init: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Train {
    pub fn run(&self) -> Result<(), CliError> {
        let init = self.init.as_deref().map(files::model).transpose()?;
        let model = init.as_ref().map(Package::metadata);
        let mut recipe = self.config.as_deref().map(|path| self.recipe(path, model)).transpose()?;
        if let Some(threads) = threads() {
            if recipe.is_none() {
                recipe = Some(self.recipe(&self.output.join("recipe.toml"), None)?);
            }
            if let Some(recipe) = &mut recipe {
                recipe.data.threads = threads;
            }
        }
        let dataset = Dataset::read(&self.dataset)?;
        if !dataset.unused.is_empty() {
            let keys = dataset.unused.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            note(format!("dataset    its cases have keys that are not used here: {keys}"));
        }
        let folds = dataset.folds();
        let unused = |recipe: &Recipe| recipe.data.fold.is_none() && dataset.validation.is_empty();
        if !folds.is_empty() && recipe.as_ref().is_some_and(unused) {
            let list = folds.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
            note(format!("warning: the folds {list} of the dataset are not used; --fold K judges by one of them"));
        }
        if let Some(model) = model.filter(|model| model.folds.len() > 1) {
            let folds = model.folds.join(", ");
            note(format!("warning: {} has the folds {folds}; the weights of the first are taken", model.name));
        }
        let gpu = self.device.open()?;
        fact("adapter", gpu.adapter().to_string());
        fact("dataset", self.dataset.display().to_string());
        fact("run", self.output.display().to_string());
        signals::end_gently();
        let mut progress = TrainProgress::new();
        let name = self.data_name();
        let setup =
            Setup { folder: &self.output, data_name: &name, dataset, recipe, resume: self.resume, init: init.as_ref() };
        let finished = pollster::block_on(train(&gpu, setup, &mut |told| {
            progress.tell(&told);
            if signals::asked_to_end() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }));
        progress.finish();
        self.tell(&finished?)
    }

    fn recipe(&self, path: &Path, model: Option<&Metadata>) -> Result<Recipe, CliError> {
        let text = files::text(path)?;
        let mut recipe = Recipe::read_for(&text, model).at(path)?;
        recipe.run.steps = self.steps.unwrap_or(recipe.run.steps);
        recipe.run.seed = self.seed.unwrap_or(recipe.run.seed);
        recipe.data.val_fraction = self.val_fraction.unwrap_or(recipe.data.val_fraction);
        if self.fold.is_some() {
            recipe.data.fold = self.fold;
            recipe.data.val_fraction = 0.0;
        }
        recipe.run.freeze.extend(self.freeze.iter().cloned());
        // A run shorter than its warm-up is a trial.
        recipe.optimizer.warmup = recipe.optimizer.warmup.min(recipe.run.steps);
        recipe.validate().about("the command line")?;
        Ok(recipe)
    }

    /// The dataset's folder: its file has the same name everywhere.
    fn data_name(&self) -> String {
        let real = self.dataset.canonicalize().unwrap_or_else(|_| self.dataset.clone());
        real.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned()
    }

    fn tell(&self, finished: &TrainingSummary) -> Result<(), CliError> {
        let model = self.output.join("model.safetensors");
        note(format!("done       {} steps in {}", finished.step, duration(finished.seconds)));
        if !finished.complete {
            return Err(CliError::failed(format!(
                "stopped after step {}; go on with: unetr train {} -o {} --resume",
                finished.step,
                self.dataset.display(),
                self.output.display()
            )));
        }
        note(NOTICE);
        let best = finished.best.map(|b| json!({"step": b.step, "dice": b.dice}));
        if self.json {
            return print_json(&json!({
                "model": model.display().to_string(), "steps": finished.step, "best": best,
                "last": finished.last, "seconds": finished.seconds,
            }));
        }
        print(&match finished.best {
            Some(best) => format!("{}: mean Dice {:.4} after step {}\n", model.display(), best.dice, best.step),
            None => format!("{}: the last weights; there were no validation cases\n", model.display()),
        })
    }
}

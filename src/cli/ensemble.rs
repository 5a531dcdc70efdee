//! `unetr ensemble`: several models as one that gives the mean of their logits.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::console::{bytes, print, print_json};
use super::error::{CliError, Context};
use super::files;
use super::options::{MirrorAxes, axes};
use super::output::{Outputs, ends_in};
use crate::volume::Orientation;
use crate::volume::steps::Step;
use crate::weights::{Metadata, Package};

/// Make one model of several that differ in their weights alone, such as of the folds of a cross-validation or of several seeds:
/// its logits are the mean of theirs.
#[derive(Debug, Args)]
pub(super) struct Ensemble {
    /// Model packages; their network, preprocessing, labels and windows must be the same.
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<PathBuf>,
    /// Package to write; its name, card and licence are those of the first model.
    #[arg(short, long, value_name = "OUT.safetensors")]
    output: PathBuf,
    /// Write into it that windows are mirrored too, along each subset of these axes of the model's grid, as `x` or `x,y,z`.
    #[arg(long, value_name = "AXES", value_parser = axes)]
    mirror: Option<MirrorAxes>,
    /// Replace the file if it exists.
    #[arg(long)]
    force: bool,
    /// Print what was made as JSON.
    #[arg(long)]
    json: bool,
}

impl Ensemble {
    pub fn run(&self) -> Result<(), CliError> {
        ends_in("--output", Some(&self.output), &[".safetensors"])?;
        let inputs: Vec<&Path> = self.models.iter().map(PathBuf::as_path).collect();
        let mut outputs = Outputs::new(self.force, &inputs);
        outputs.plan("--output", &self.output)?;
        let mut models = Vec::with_capacity(self.models.len());
        for path in &self.models {
            models.push((path.display().to_string(), files::model(path)?));
        }
        let mut made = Package::ensemble(&models).map_err(|e| CliError::failed(e.to_string()))?;
        if let Some(axes) = &self.mirror {
            let mut metadata = made.metadata().clone();
            refuse_sides(&metadata, axes)?;
            metadata.inference.mirror_axes.clone_from(&axes.0);
            made = made.with_metadata(&metadata).at(&self.output)?;
        }
        outputs.stage_bytes(&self.output, made.file_bytes())?;
        outputs.commit()?;
        let (output, size) = (self.output.display(), made.file_bytes().len() as u64);
        let passes = made.folds() << made.metadata().inference.mirror_axes.len();
        if self.json {
            return print_json(&json!({
                "output": output.to_string(), "sha256": made.sha256(), "bytes": size, "folds": made.folds(),
                "mirror_axes": made.metadata().inference.mirror_axes, "passes": passes,
            }));
        }
        let sets = if made.folds() == 1 { "set" } else { "sets" };
        print(&format!(
            "{output}: {} {sets} of weights, {passes} passes a window, {}, SHA-256 {}\n",
            made.folds(),
            bytes(size),
            made.sha256()
        ))
    }
}

/// Mirrored along left and right, a label with a side would become the other one.
fn refuse_sides(metadata: &Metadata, MirrorAxes(axes): &MirrorAxes) -> Result<(), CliError> {
    let Some(label) = metadata.output.labels.iter().find(|label| label.has_side()) else { return Ok(()) };
    let mut steps = metadata.input.preprocess.steps.iter();
    let turned = steps.find_map(|step| match step {
        Step::Orient(orient) => Orientation::from_codes(&orient.axcodes).ok(),
        _ => None,
    });
    let turned =
        turned.filter(|_| !metadata.input.preprocess.steps.iter().any(|step| matches!(step, Step::Transpose(_))));
    let across = |axis: &&usize| turned.is_none_or(|turned| turned.axis[**axis] == 0);
    match axes.iter().find(across) {
        None => Ok(()),
        Some(&axis) => Err(CliError::usage(format!(
            "--mirror {}: this axis may run from left to right, and the label \"{}\" has a side, which mirrored windows would \
             exchange: leave it out",
            ["x", "y", "z"][axis],
            label.name
        ))),
    }
}

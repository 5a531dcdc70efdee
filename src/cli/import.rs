//! `unetr import`: a checkpoint becomes a model package.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::console::{bytes, grouped, print, print_json};
use super::error::CliError;
use super::files;
use super::info::facts_text;
use super::options::{FolderArgs, Precision};
use super::output::{Outputs, ends_in};
use crate::weights::ImportOptions;

/// Make a model package of a PyTorch or safetensors checkpoint, of a MONAI bundle or of an nnU-Net v2 result folder. No code in
/// them ever runs.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// PyTorch .pt or .pth file, a safetensors state dict, a MONAI bundle, or an nnU-Net v2 result folder (the one with
    /// plans.json): the folder or a zip of it.
    #[arg(value_name = "CHECKPOINT|FOLDER")]
    checkpoint: PathBuf,
    /// Model package to write.
    #[arg(short, long, value_name = "MODEL.safetensors")]
    output: PathBuf,
    /// JSON with any of the package's fields; what the checkpoint cannot tell must stand here.
    #[arg(long, value_name = "package.json")]
    package: Option<PathBuf>,
    /// Prefix of the network's names, for a file that holds several.
    #[arg(long)]
    prefix: Option<String>,
    /// Type to store the weights in [default: the checkpoint's].
    #[arg(long)]
    dtype: Option<Precision>,
    #[command(flatten)]
    folder: FolderArgs,
    /// Replace the package if it exists.
    #[arg(long)]
    force: bool,
    /// Print what was made as JSON.
    #[arg(long)]
    json: bool,
}

impl Import {
    pub fn run(&self) -> Result<(), CliError> {
        ends_in("--output", Some(&self.output), &[".safetensors"])?;
        let mut inputs: Vec<&Path> = vec![&self.checkpoint];
        inputs.extend(self.package.as_deref());
        let mut outputs = Outputs::new(self.force, &inputs);
        outputs.plan("--output", &self.output)?;
        let text = match &self.package {
            Some(path) => Some(files::text(path)?),
            None => None,
        };
        let options = ImportOptions {
            package: text.as_deref(),
            prefix: self.prefix.as_deref(),
            dtype: self.dtype.map(Precision::float_type),
            ..self.folder.import_options()
        };
        let made = files::imported(&self.checkpoint, &options)?;
        let package = &made.package;
        outputs.stage_bytes(&self.output, package.file_bytes())?;
        outputs.commit()?;
        let m = package.metadata();
        let parameters = m.network.parameter_count();
        let size = package.file_bytes().len();
        if self.json {
            return print_json(&json!({
                "output": self.output.display().to_string(), "sha256": package.sha256(), "bytes": size,
                "parameters": parameters, "package": m.to_object(), "warnings": made.warnings,
            }));
        }
        print(&format!(
            "{}: {} parameters, {}\n{}",
            self.output.display(),
            grouped(parameters),
            bytes(size as u64),
            facts_text(m, &package.sha256())
        ))
    }
}

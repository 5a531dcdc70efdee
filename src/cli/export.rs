//! `unetr export`: a model package becomes a state dict for MONAI.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::console::{bytes, print, print_json};
use super::error::{CliError, Context};
use super::files;
use super::options::Precision;
use super::output::{Outputs, ends_in};
use crate::report::sha256;
use crate::weights::{MonaiVersion, export};

/// Write a model's weights as a plain safetensors state dict that MONAI loads with strict=True.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// Model package.
    model: PathBuf,
    /// State dict to write.
    #[arg(short, long, value_name = "OUT.safetensors")]
    output: PathBuf,
    /// Type to store the weights in.
    #[arg(long, default_value = "f32")]
    dtype: Precision,
    /// MONAI version that is to load it; versions differ in tensors that UNETR never uses.
    #[arg(long, value_name = "VERSION", default_value = "1.6")]
    monai: MonaiVersion,
    /// Replace the file if it exists.
    #[arg(long)]
    force: bool,
    /// Print what was made as JSON.
    #[arg(long)]
    json: bool,
}

impl Export {
    pub fn run(&self) -> Result<(), CliError> {
        ends_in("--output", Some(&self.output), &[".safetensors"])?;
        let mut outputs = Outputs::new(self.force, &[&self.model]);
        outputs.plan("--output", &self.output)?;
        let package = files::model(&self.model)?;
        let tensors = export(&package, self.monai, self.dtype.float_type()).at(&self.model)?;
        let file = tensors.file_bytes();
        outputs.stage_bytes(&self.output, file)?;
        outputs.commit()?;
        if self.json {
            return print_json(&json!({
                "output": self.output.display().to_string(), "sha256": sha256(file), "bytes": file.len(),
                "tensors": tensors.len(),
            }));
        }
        print(&format!(
            "{}: {} tensors, {}, SHA-256 {}\n",
            self.output.display(),
            tensors.len(),
            bytes(file.len() as u64),
            sha256(file)
        ))
    }
}

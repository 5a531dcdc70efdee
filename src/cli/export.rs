//! `unetr export`: a model package becomes a state dict for MONAI, or a result folder of nnU-Net.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::console::{bytes, print, print_json, warn_all};
use super::error::{CliError, Context};
use super::files;
use super::files::file_name;
use super::options::Precision;
use super::output::{Outputs, ends_in};
use crate::digest::sha256;
use crate::weights::shards::{INDEX, ShardIndex};
use crate::weights::{MonaiVersion, Package, export, export_torch, nnunet_folder};

/// Write a model's weights as a state dict that MONAI, or nnU-Net's network, loads with strict=True; or the whole model as a
/// result folder of nnU-Net v2.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// Model package.
    model: PathBuf,
    /// State dict to write, by its name as safetensors or for torch.load; with --nnunet a folder, with --shards the index.
    #[arg(short, long, value_name = "OUT.safetensors|OUT.pt|FOLDER|OUT.index.json")]
    output: PathBuf,
    /// Write a result folder of nnU-Net v2: dataset.json, plans.json and a checkpoint for each fold.
    #[arg(long, conflicts_with = "monai")]
    nnunet: bool,
    /// Write the package itself, cut into files of 24 MiB with a hash each, beside an index that `-m`, the browser app and the npm
    /// package take for a model.
    #[arg(long, conflicts_with_all = ["nnunet", "monai", "dtype"])]
    shards: bool,
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
        if self.nnunet {
            return self.folder(&files::model(&self.model)?);
        }
        if self.shards {
            return self.cut();
        }
        ends_in("--output", Some(&self.output), &[".safetensors", ".pt", ".pth"])?;
        let mut outputs = Outputs::new(self.force, &[&self.model]);
        outputs.plan("--output", &self.output)?;
        let package = files::model(&self.model)?;
        if package.folds() > 1 {
            let folds = package.metadata().folds.join(", ");
            let told = format!("the model has the folds {folds}; a state dict is of one: the first is written");
            warn_all("export", &[told]);
        }
        let dtype = self.dtype.float_type();
        let file = match file_name(&self.output).to_ascii_lowercase().ends_with(".safetensors") {
            true => export(&package, self.monai, dtype).at(&self.model)?.into_bytes(),
            false => export_torch(&package, self.monai, dtype).at(&self.model)?,
        };
        outputs.stage_bytes(&self.output, &file)?;
        outputs.commit()?;
        self.told(&[(self.output.clone(), file)])
    }

    /// Writes a folder: all of it is made before anything is written.
    fn folder(&self, package: &Package) -> Result<(), CliError> {
        let made = nnunet_folder(package, self.dtype.float_type()).at(&self.model)?;
        let files: Vec<(PathBuf, Vec<u8>)> =
            made.files.into_iter().map(|(path, bytes)| (self.output.join(path), bytes)).collect();
        let folders = files.iter().filter_map(|(path, _)| path.parent());
        folders.collect::<std::collections::BTreeSet<&Path>>().into_iter().try_for_each(|folder| {
            std::fs::create_dir_all(folder).about(format!("cannot make the folder {}", folder.display()))
        })?;
        let mut outputs = Outputs::new(self.force, &[&self.model]);
        files.iter().try_for_each(|(path, _)| outputs.plan("--output", path))?;
        files.iter().try_for_each(|(path, bytes)| outputs.stage_bytes(path, bytes))?;
        outputs.commit()?;
        warn_all("export", &made.warnings);
        self.told(&files)
    }

    /// Writes the shards and then their index.
    fn cut(&self) -> Result<(), CliError> {
        ends_in("--output", Some(&self.output), &[INDEX])?;
        let package = files::model(&self.model)?;
        let (index, parts) = ShardIndex::cut(&file_name(&self.output), package.file_bytes());
        let mut files: Vec<(PathBuf, Vec<u8>)> = (index.shards.iter().zip(parts))
            .map(|(shard, part)| (self.output.with_file_name(&shard.file), part.to_vec()))
            .collect();
        files.push((self.output.clone(), index.to_json().into_bytes()));
        let mut outputs = Outputs::new(self.force, &[&self.model]);
        files.iter().try_for_each(|(path, _)| outputs.plan("--output", path))?;
        files.iter().try_for_each(|(path, bytes)| outputs.stage_bytes(path, bytes))?;
        outputs.commit()?;
        self.told(&files)
    }

    fn told(&self, files: &[(PathBuf, Vec<u8>)]) -> Result<(), CliError> {
        if self.json {
            let entry = |(path, file): &(PathBuf, Vec<u8>)| json!({"output": path.display().to_string(), "sha256": sha256(file), "bytes": file.len()});
            let entries: Vec<Value> = files.iter().map(entry).collect();
            return print_json(&match (entries.as_slice(), self.nnunet || self.shards) {
                ([one], false) => one.clone(),
                (all, _) => json!({"output": self.output.display().to_string(), "files": all}),
            });
        }
        let line = |(path, file): &(PathBuf, Vec<u8>)| {
            format!("{}: {}, SHA-256 {}\n", path.display(), bytes(file.len() as u64), sha256(file))
        };
        print(&files.iter().map(line).collect::<String>())
    }
}

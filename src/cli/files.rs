//! Reading models and other whole files.

use std::path::Path;

use super::console::note;
use super::error::{CliError, Context};
use super::options::FolderArgs;
use crate::fields::json::decode;
use crate::weights::shards::{INDEX, ShardIndex};
use crate::weights::{FileSet, ImportOptions, Imported, Package, WeightsError, import, import_files, is_zip_of_files};

/// A whole file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).at(path)
}

/// A file of text, with or without a byte-order mark.
pub(super) fn text(path: &Path) -> Result<String, CliError> {
    Ok(decode(&read(path)?).at(path)?.into_owned())
}

/// A model: a package, or several files that are one together, imported on the way.
pub(super) fn model(path: &Path) -> Result<Package, CliError> {
    model_of(path, &FolderArgs::default())
}

/// As [`model`], of a result folder what is asked for.
pub(super) fn model_of(path: &Path, folder: &FolderArgs) -> Result<Package, CliError> {
    match open(path)? {
        Opened::One(bytes) => {
            let package = Package::read(bytes).at(path)?;
            match folder.given() {
                None => Ok(package),
                Some(option) => Err(CliError::usage(format!(
                    "{option}: {} is a package, which has what was imported; give it to `unetr import`, or the result folder here",
                    path.display()
                ))),
            }
        }
        Opened::Several(files) => {
            let made = import_files(files, &folder.import_options()).at(path)?;
            told(&made);
            Ok(made.package)
        }
    }
}

/// A package made of a checkpoint, or of several files that are a model together.
pub(super) fn imported(path: &Path, options: &ImportOptions<'_>) -> Result<Imported, CliError> {
    let made = match open(path)? {
        Opened::One(bytes) => import(bytes, options),
        Opened::Several(files) => import_files(files, options),
    };
    let made = made.at(path)?;
    told(&made);
    Ok(made)
}

fn told(made: &Imported) {
    for warning in &made.warnings {
        note(format!("warning: {warning}"));
    }
}

enum Opened {
    One(Vec<u8>),
    Several(FileSet),
}

/// A file, or the files of a folder or zip.
fn open(path: &Path) -> Result<Opened, CliError> {
    if path.is_dir() {
        return FileSet::from_folder(path).at(path).map(Opened::Several);
    }
    let bytes = read(path)?;
    if file_name(path).ends_with(INDEX) {
        let beside = path.parent().unwrap_or(Path::new(""));
        let failed = |file: &str, e: std::io::Error| WeightsError::file(file, e.to_string());
        let text = decode(&bytes).at(path)?;
        let index = ShardIndex::read(&text).at(path)?;
        let shard = |file: &str| std::fs::read(beside.join(file)).map_err(|e| failed(file, e));
        return Ok(Opened::One(index.join(shard).at(path)?));
    }
    match is_zip_of_files(&bytes) {
        true => FileSet::from_zip(&file_name(path), bytes).at(path).map(Opened::Several),
        false => Ok(Opened::One(bytes)),
    }
}

/// The last part of a path.
pub(super) fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

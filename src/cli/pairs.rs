//! Predictions and truths that belong together by their files' names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::batch::SCANS;
use super::error::{CliError, Context};
use super::files::file_name;
use crate::dataset::stem;

/// Label files of two folders.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pairs {
    /// Name, prediction, truth.
    pub pairs: Vec<(String, PathBuf, PathBuf)>,
    /// Truths without a prediction.
    pub missing: Vec<String>,
    /// Predictions without a truth.
    pub extra: Vec<String>,
}

impl Pairs {
    /// Pairs the label files of two folders that have the same name, endings aside.
    ///
    /// # Errors
    /// A folder that cannot be read, or no pair at all.
    pub fn of_folders(predictions: &Path, truths: &Path) -> Result<Self, CliError> {
        let mut found = Self::default();
        let mut theirs = labels(predictions)?;
        for (name, truth) in labels(truths)? {
            match theirs.remove(&name) {
                Some(prediction) => found.pairs.push((name, prediction, truth)),
                None => found.missing.push(name),
            }
        }
        found.extra = theirs.into_keys().collect();
        if found.pairs.is_empty() {
            let some = |names: &[String]| names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
            return Err(CliError::failed(format!(
                "no label file of {} has the name of one in {} (there {}; here {})",
                predictions.display(),
                truths.display(),
                some(&found.missing),
                some(&found.extra)
            )));
        }
        Ok(found)
    }
}

/// The label files of a folder by name.
fn labels(folder: &Path) -> Result<BTreeMap<String, PathBuf>, CliError> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).at(folder)? {
        let path = entry.at(folder)?.path();
        let lower = file_name(&path).to_ascii_lowercase();
        let is_label = path.is_file() && !lower.starts_with('.') && SCANS.iter().any(|ending| lower.ends_with(ending));
        if is_label && let Some(other) = found.insert(stem(&path), path.clone()) {
            let other: PathBuf = other;
            return Err(CliError::failed(format!("{} and {} have one name", other.display(), path.display())));
        }
    }
    Ok(found)
}

//! Which checkpoints a result folder has, and which are taken.

use std::collections::BTreeSet;

use super::super::super::error::WeightsError;
use super::super::files::FileSet;
use super::super::{CheckpointKind, ImportOptions};

/// One fold's checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fold {
    /// `0` to `4`, or `all`.
    pub name: String,
    /// The path of its checkpoint.
    pub path: String,
}

impl Fold {
    /// Those that are asked for; else every numbered fold that is there, else `all`, as nnU-Net does.
    ///
    /// # Errors
    /// One that is asked for is not there, or there is none.
    pub fn choose(files: &FileSet, options: &ImportOptions<'_>) -> Result<Vec<Self>, WeightsError> {
        let kind = options.checkpoint.unwrap_or_default();
        let found = Self::found(files, kind.file());
        let known = || match found.as_slice() {
            [] => "none".to_owned(),
            some => some.iter().map(|fold| fold.name.as_str()).collect::<Vec<_>>().join(", "),
        };
        if let Some(wanted) = options.folds {
            let find = |name: &String| {
                let name = name.trim();
                let fold = found.iter().find(|fold| fold.name == name).cloned();
                fold.ok_or_else(|| {
                    let problem = format!("there is no such checkpoint; folds with {} are {}", kind.file(), known());
                    WeightsError::file(&format!("fold_{name}/{}", kind.file()), problem)
                })
            };
            return wanted.iter().map(find).collect();
        }
        let numbered: Vec<Self> = found.iter().filter(|fold| fold.name != "all").cloned().collect();
        if !numbered.is_empty() {
            return Ok(numbered);
        }
        if !found.is_empty() {
            return Ok(found);
        }
        let other = match kind {
            CheckpointKind::Final => CheckpointKind::Best,
            CheckpointKind::Best => CheckpointKind::Final,
        };
        let problem = match Self::found(files, other.file()).is_empty() {
            false => {
                let ended = if kind == CheckpointKind::Final { ": the training has not ended?" } else { ";" };
                format!(
                    "no fold has it, but there is {}{ended} the option `checkpoint` takes it: {}",
                    other.file(),
                    other.name()
                )
            }
            true => format!("no fold has it; {}", files.summary()),
        };
        Err(WeightsError::file(&format!("fold_X/{}", kind.file()), problem))
    }

    /// What is to be told of numbered folds that nobody chose to leave out, and that have no such checkpoint.
    pub fn left_out(files: &FileSet, options: &ImportOptions<'_>, taken: &[Self]) -> Option<String> {
        let number = |path: &str| path.split_once('/')?.0.strip_prefix("fold_")?.parse::<u32>().ok();
        let numbers: BTreeSet<u32> = files.paths().filter_map(number).collect();
        let missing: Vec<String> = (numbers.into_iter().map(|number| number.to_string()))
            .filter(|name| options.folds.is_none() && taken.iter().all(|fold| fold.name != *name))
            .collect();
        (!missing.is_empty()).then(|| {
            let file = options.checkpoint.unwrap_or_default().file();
            format!("the folds without {file} are left out: {}", missing.join(", "))
        })
    }

    fn found(files: &FileSet, checkpoint: &str) -> Vec<Self> {
        let mut found: Vec<Self> = files
            .paths()
            .filter_map(|path| {
                let (folder, file) = path.split_once('/')?;
                let name = folder.strip_prefix("fold_").filter(|_| file == checkpoint)?;
                Some(Self { name: name.to_owned(), path: path.to_owned() })
            })
            .collect();
        // Numbers by their value, `all` last.
        found.sort_by_key(|fold| (fold.name.parse::<u32>().unwrap_or(u32::MAX), fold.name.clone()));
        found
    }
}

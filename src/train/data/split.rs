//! Training and validation cases that share no subject.
//!
//! With `val_fraction` F, subjects are ordered by SHA-256 of (seed, subject) and moved to validation until these have
//! `F` of all cases: the order of the list does not matter, and all cases of a subject go together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::DataError;
use super::recipe::DataRecipe;
use crate::dataset::{Case, Dataset};

/// The cases of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Cases to train on, in the order of the dataset.
    pub training: Vec<Case>,
    /// Cases to judge by; may be empty.
    pub validation: Vec<Case>,
}

/// Splits a dataset as the recipe says.
///
/// # Errors
/// No training case; a subject or a file in both lists; a fraction where the dataset has a validation list, or that
/// leaves one side empty; a case whose subject is not known.
pub fn split(dataset: &Dataset, recipe: &DataRecipe) -> Result<Split, DataError> {
    let bad = |problem: String| Err(DataError::Split { problem });
    if let Some(fold) = recipe.fold {
        if recipe.val_fraction != 0.0 {
            return bad(format!(
                "data.fold is {fold} and data.val_fraction {}: one of the two chooses",
                recipe.val_fraction
            ));
        }
        let Dataset { training, validation, .. } = dataset.clone().with_fold(fold)?;
        let split = Split { training, validation };
        check_apart(&split, recipe)?;
        return Ok(split);
    }
    if dataset.training.is_empty() {
        return bad("the dataset has no list \"training\"".into());
    }
    if recipe.val_fraction == 0.0 {
        let split = Split { training: dataset.training.clone(), validation: dataset.validation.clone() };
        check_apart(&split, recipe)?;
        return Ok(split);
    }
    if !dataset.validation.is_empty() {
        return bad(format!(
            "the dataset has a validation list of {} cases, and data.val_fraction {} asks for another one: \
             set val_fraction to 0 or remove the list",
            dataset.validation.len(),
            recipe.val_fraction
        ));
    }
    let subjects: Vec<String> =
        dataset.training.iter().map(|case| recipe.subject.of(case)).collect::<Result<_, _>>()?;
    let mut sizes: BTreeMap<(Vec<u8>, &str), usize> = BTreeMap::new();
    for subject in &subjects {
        *sizes.entry((key(recipe.split_seed, subject), subject)).or_default() += 1;
    }
    let wanted = (recipe.val_fraction * dataset.training.len() as f64).round().max(1.0) as usize;
    let mut chosen = BTreeSet::new();
    let mut cases = 0;
    for ((_, subject), size) in &sizes {
        if cases >= wanted {
            break;
        }
        chosen.insert(*subject);
        cases += size;
    }
    if chosen.len() == sizes.len() {
        return bad(format!(
            "data.val_fraction {} of {} case(s) of {} subject(s) leaves none to train on",
            recipe.val_fraction,
            dataset.training.len(),
            sizes.len()
        ));
    }
    let mut split = Split::default();
    for (case, subject) in dataset.training.iter().zip(&subjects) {
        let list = if chosen.contains(subject.as_str()) { &mut split.validation } else { &mut split.training };
        list.push(case.clone());
    }
    check_apart(&split, recipe)?;
    Ok(split)
}

fn key(seed: u64, subject: &str) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(b"unetr split");
    hash.update(seed.to_le_bytes());
    hash.update(subject.as_bytes());
    hash.finalize().to_vec()
}

/// A file without the links that lead to it.
fn real(file: &Path) -> PathBuf {
    file.canonicalize().unwrap_or_else(|_| file.to_path_buf())
}

/// Refuses a split in which a subject or a file is on both sides.
fn check_apart(split: &Split, recipe: &DataRecipe) -> Result<(), DataError> {
    if split.validation.is_empty() {
        return Ok(());
    }
    let mut subjects = BTreeMap::new();
    let mut files = BTreeMap::new();
    for case in &split.training {
        subjects.insert(recipe.subject.of(case)?, &case.name);
        files.extend(case.images.iter().chain([&case.label]).map(|file| (real(file), &case.name)));
    }
    for case in &split.validation {
        if let Some(other) = subjects.get(&recipe.subject.of(case)?) {
            let problem = format!(
                "the training case {other} and the validation case {} show the same subject: move one of them, or \
                 correct data.subject",
                case.name
            );
            return Err(DataError::Split { problem });
        }
        if let Some((file, other)) =
            case.images.iter().chain([&case.label]).find_map(|file| files.get_key_value(&real(file)))
        {
            let problem = format!(
                "the training case {other} and the validation case {} use the same file {}: remove one of them",
                case.name,
                file.display()
            );
            return Err(DataError::Split { problem });
        }
    }
    Ok(())
}

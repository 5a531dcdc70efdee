//! nnU-Net's form of a dataset: no list of cases, but files named by rule.
//!
//! ```text
//! dataset.json                    channel_names, labels, numTraining, file_ending
//! imagesTr/CASE_0000.nii.gz ...   one file per channel, numbered as channel_names
//! labelsTr/CASE.nii.gz
//! splits_final.json               folds, where it was copied beside
//! ```
//! Instead of the rule, `dataset` may list the files: `{"CASE": {"images": [...], "label": "..."}}`.
//!
//! # Source
//! nnU-Net v2, `documentation/dataset_format.md` and `nnunetv2/utilities/dataset_name_id_conversion.py`, `utils.py`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::entries::join;
use super::{Case, DatasetError};
use crate::fields::json::{decode, parse_object};
use crate::fields::{FieldError, from_json};

/// Digits of a channel in a file's name.
const DIGITS: usize = 4;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    images: Vec<PathBuf>,
    label: PathBuf,
}

/// True if the object describes its cases by nnU-Net's rule.
pub(super) fn is_form(map: &Map<String, Value>, folder: &Path) -> bool {
    map.contains_key("file_ending") || map.contains_key("dataset") || folder.join("imagesTr").is_dir()
}

/// The training cases. `channels` is how many the dataset names, 0 if it names none.
pub(super) fn cases(path: &Path, map: &Map<String, Value>, channels: usize) -> Result<Vec<Case>, DatasetError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut cases = match map.get("dataset") {
        Some(Value::Object(listed)) => listed_cases(path, folder, listed)?,
        _ => found_cases(path, folder, map, channels)?,
    };
    let bad = |problem: String| DatasetError::Entry { path: path.into(), entry: "numTraining".into(), problem };
    if let Some(expected) = map.get("numTraining").and_then(Value::as_u64).filter(|n| *n != cases.len() as u64) {
        return Err(bad(format!(
            "is {expected}, and there are {} cases: some are missing, or it is out of date",
            cases.len()
        )));
    }
    assign_folds(folder, &mut cases)?;
    Ok(cases)
}

fn listed_cases(path: &Path, folder: &Path, listed: &Map<String, Value>) -> Result<Vec<Case>, DatasetError> {
    let case = |(name, value): (&String, &Value)| {
        let bad =
            |problem: String| DatasetError::Entry { path: path.into(), entry: format!("dataset.{name}"), problem };
        let Listed { images, label } =
            from_json(value).map_err(|why| bad(format!("needs \"images\" and \"label\", file names: {why}")))?;
        if images.is_empty() {
            return Err(bad("has an empty list \"images\": it needs one file per channel".into()));
        }
        let images = images.iter().map(|image| join(folder, image)).collect();
        Ok(Case { name: name.clone(), images, label: join(folder, &label), subject: None, fold: None })
    };
    listed.iter().map(case).collect()
}

/// Cases by the files in `imagesTr`.
fn found_cases(
    path: &Path,
    folder: &Path,
    map: &Map<String, Value>,
    channels: usize,
) -> Result<Vec<Case>, DatasetError> {
    let bad = |entry: &str, problem: String| DatasetError::Entry { path: path.into(), entry: entry.into(), problem };
    let ending = match map.get("file_ending") {
        None => ".nii.gz",
        Some(Value::String(ending)) => ending,
        Some(other) => return Err(bad("file_ending", format!("is {other}: an ending such as \".nii.gz\" is needed"))),
    };
    let images = folder.join("imagesTr");
    let entries = std::fs::read_dir(&images).map_err(|source| DatasetError::Io { path: images.clone(), source })?;
    let mut found: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for entry in entries {
        let name = entry.map_err(|source| DatasetError::Io { path: images.clone(), source })?.file_name();
        let name = name.to_string_lossy().into_owned();
        let numbered = name.strip_suffix(ending).and_then(|stem| stem.rsplit_once('_'));
        let Some((case, digits)) = numbered.filter(|(case, _)| !case.is_empty() && !name.starts_with('.')) else {
            continue;
        };
        if digits.len() == DIGITS
            && digits.bytes().all(|b| b.is_ascii_digit())
            && let Ok(number) = digits.parse()
        {
            found.entry(case.to_owned()).or_default().insert(number);
        }
    }
    if found.is_empty() {
        let problem = format!("is {ending:?}, and {} has no file CASE_0000{ending}", images.display());
        return Err(bad("file_ending", problem));
    }
    let mut cases = Vec::with_capacity(found.len());
    for (name, numbers) in found {
        let expected = if channels > 0 { channels } else { numbers.len() };
        let file = |number: usize| images.join(format!("{name}_{number:04}{ending}"));
        if let Some(missing) = (0..expected).find(|number| !numbers.contains(number)) {
            return Err(bad(&format!("imagesTr/{name}"), format!("has no {}", file(missing).display())));
        }
        if let Some(extra) = numbers.iter().find(|number| **number >= expected) {
            let problem = format!("has {}, and channel_names has {expected} channel(s)", file(*extra).display());
            return Err(bad(&format!("imagesTr/{name}"), problem));
        }
        let label = folder.join("labelsTr").join(format!("{name}{ending}"));
        if !label.exists() {
            return Err(bad(&format!("imagesTr/{name}"), format!("has no label: {} is missing", label.display())));
        }
        let images = (0..expected).map(file).collect();
        cases.push(Case { name, images, label, subject: None, fold: None });
    }
    Ok(cases)
}

/// Gives each case the fold in whose validation list `splits_final.json` has it.
fn assign_folds(folder: &Path, cases: &mut [Case]) -> Result<(), DatasetError> {
    let path = folder.join("splits_final.json");
    let Ok(bytes) = std::fs::read(&path) else { return Ok(()) };
    let bad = |problem| DatasetError::Field { path: path.clone(), problem };
    let text = decode(&bytes).map_err(bad)?;
    // Wrapped, since it is a list and the strict parser takes objects.
    let map = parse_object("splits", &format!("{{\"folds\": {text}}}")).map_err(bad)?;
    #[derive(Deserialize)]
    struct Fold {
        val: Vec<String>,
    }
    let folds: Vec<Fold> = from_json(map.get("folds").unwrap_or(&Value::Null)).map_err(|why: FieldError| {
        bad(FieldError::value("", format_args!("a list of {{\"train\", \"val\"}} is needed: {why}")))
    })?;
    for case in cases {
        let mut of = (0_u32..).zip(&folds).filter(|(_, fold)| fold.val.contains(&case.name));
        case.fold = match (of.next(), of.next()) {
            (Some((fold, _)), None) => Some(fold),
            _ => None,
        };
    }
    Ok(())
}

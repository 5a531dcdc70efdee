//! Lists of cases, as the Decathlon and MONAI write them.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Case, DatasetError, stem};
use crate::fields::{FieldError, from_json, is_slip};

/// Names of the two lists.
pub(super) const TRAINING: [&str; 3] = ["training", "train", "trainingset"];
pub(super) const VALIDATION: [&str; 3] = ["validation", "val", "valid"];

#[derive(Deserialize)]
struct Entry {
    image: OneOrMore,
    label: PathBuf,
    #[serde(default)]
    subject: Option<Subject>,
    #[serde(default)]
    fold: Option<u32>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(PathBuf),
    More(Vec<PathBuf>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Subject {
    Name(String),
    Number(u64),
}

/// Refuses keys that are nearly those of the two lists, the channels and the labels, and two names for one list.
pub(super) fn check_keys(map: &Map<String, Value>) -> Result<(), FieldError> {
    const OTHERS: [&str; 6] = ["modality", "channel_names", "labels", "file_ending", "numTraining", "dataset"];
    let known = || TRAINING.into_iter().chain(VALIDATION).chain(OTHERS);
    for key in map.keys().filter(|key| known().all(|known| known != key.as_str())) {
        if let Some(meant) = ["training", "validation"].into_iter().chain(OTHERS).find(|known| is_slip(key, known)) {
            return Err(FieldError::unknown("", key, [meant]));
        }
    }
    for names in [TRAINING, VALIDATION] {
        let mut lists = names.into_iter().filter(|name| map.get(*name).is_some_and(Value::is_array));
        if let (Some(first), Some(second)) = (lists.next(), lists.next()) {
            return Err(FieldError::value(
                second,
                format_args!("\"{first}\" lists the same cases: one of the two must go"),
            ));
        }
    }
    Ok(())
}

/// Keys of a case.
const CASE: [&str; 4] = ["image", "label", "subject", "fold"];

/// The cases of the first of `names` that is a list; keys of cases that say nothing to this program go to `unused`.
pub(super) fn cases(
    path: &Path,
    map: &Map<String, Value>,
    names: &[&str],
    unused: &mut BTreeSet<String>,
) -> Result<Vec<Case>, DatasetError> {
    let found = names.iter().find_map(|&name| Some((name, map.get(name)?.as_array()?)));
    let Some((name, entries)) = found else {
        return Ok(Vec::new());
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut cases = Vec::with_capacity(entries.len());
    for (at, value) in entries.iter().enumerate() {
        let bad = |problem: String| DatasetError::Entry { path: path.into(), entry: format!("{name}[{at}]"), problem };
        for key in value.as_object().into_iter().flat_map(Map::keys).filter(|key| !CASE.contains(&key.as_str())) {
            if CASE.iter().any(|known| is_slip(key, known)) {
                return Err(bad(format!("has a key that is misspelt: {}", FieldError::unknown("", key, CASE))));
            }
            unused.insert(key.clone());
        }
        let entry: Entry =
            from_json(value).map_err(|why| bad(format!("needs \"image\" and \"label\", file names: {why}")))?;
        let images = match entry.image {
            OneOrMore::One(image) => vec![image],
            OneOrMore::More(images) => images,
        };
        let images: Vec<PathBuf> = images.iter().map(|image| join(folder, image)).collect();
        let Some(first) = images.first() else {
            return Err(bad("has an empty list \"image\": it needs one file per channel".into()));
        };
        let subject = entry.subject.map(|subject| match subject {
            Subject::Name(name) => name,
            Subject::Number(number) => number.to_string(),
        });
        cases.push(Case { name: stem(first), label: join(folder, &entry.label), images, subject, fold: entry.fold });
    }
    Ok(cases)
}

/// `path` below `folder`, without the `./` that the Decathlon writes.
pub(super) fn join(folder: &Path, path: &Path) -> PathBuf {
    folder.components().chain(path.components().filter(|part| *part != Component::CurDir)).collect()
}

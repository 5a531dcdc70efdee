//! The Medical Segmentation Decathlon's `dataset.json`: lists of images with their labels.
//!
//! ```json
//! {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "anterior"},
//!  "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz", "subject": "17"}],
//!  "validation": [{"image": ["b_flair.nii.gz", "b_t1.nii.gz"], "label": "b_seg.nii.gz"}]}
//! ```
//! `image` is one file (with all channels, if it is 4-D) or a list with one file per channel; paths are relative to
//! the dataset's folder. `subject` says whom the scan shows and may be left out. The names that other writers give to
//! the same things are understood: `train`, `val`; `channel_names` for `modality`; `labels` from name to value. Other
//! keys, `test` among them, are passed over, those of cases with a note; one that is a misspelling of these is refused.
//!
//! # Source
//! <http://medicaldecathlon.com>; Antonelli et al. 2022, Nature Communications 13:4128; nnU-Net's dataset format.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::fields::json::parse_object;
use crate::fields::{FieldError, from_json, is_slip};

/// One image with its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The image's file name without its ending, or its path where several cases have the same file name.
    pub name: String,
    /// One file per channel, or one with all.
    pub images: Vec<PathBuf>,
    /// The label map.
    pub label: PathBuf,
    /// Whom the scan shows, where the dataset says so.
    pub subject: Option<String>,
}

/// A dataset's labelled cases and what it says about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dataset {
    /// Cases to train on.
    pub training: Vec<Case>,
    /// Cases to judge by; empty where the dataset has no such list.
    pub validation: Vec<Case>,
    /// What each channel shows, in order; empty if not said.
    pub channels: Vec<String>,
    /// Names of label values; empty if not said.
    pub labels: BTreeMap<u16, String>,
    /// Keys of cases that nothing here uses.
    pub unused: BTreeSet<String>,
}

/// Why a dataset cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// The file cannot be read.
    #[error("{}", .path.display())]
    Io {
        /// The dataset.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no JSON object, or has a key that is misspelt.
    #[error("{}: {problem}", .path.display())]
    Field {
        /// The dataset.
        path: PathBuf,
        /// Which key, and why.
        problem: FieldError,
    },
    /// An entry of a list cannot be used.
    #[error("{}: {entry} {problem}", .path.display())]
    Entry {
        /// The dataset.
        path: PathBuf,
        /// The entry (`training[3]`).
        entry: String,
        /// What is wrong with it and what it needs.
        problem: String,
    },
    /// There is nothing to work on.
    #[error("{}: no list \"{list}\" of cases with labels", .path.display())]
    NoCases {
        /// The dataset.
        path: PathBuf,
        /// The list that is missing or empty.
        list: String,
    },
}

/// Names of the two lists.
const TRAINING: [&str; 3] = ["training", "train", "trainingset"];
const VALIDATION: [&str; 3] = ["validation", "val", "valid"];

#[derive(Deserialize)]
struct Entry {
    image: OneOrMore,
    label: PathBuf,
    #[serde(default)]
    subject: Option<Subject>,
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

impl Dataset {
    /// Reads a `dataset.json`. The files it names are not touched.
    ///
    /// # Errors
    /// No file, no JSON object, an entry without image and label, or no labelled case at all.
    pub fn read(path: &Path) -> Result<Self, DatasetError> {
        let bytes = std::fs::read(path).map_err(|source| DatasetError::Io { path: path.into(), source })?;
        let bad = |problem| DatasetError::Field { path: path.into(), problem };
        let text =
            std::str::from_utf8(&bytes).map_err(|why| bad(FieldError::value("", format_args!("no text: {why}"))))?;
        let map = parse_object("dataset", text).map_err(bad)?;
        check_keys(&map).map_err(bad)?;
        let mut unused = BTreeSet::new();
        let mut dataset = Self {
            training: cases(path, &map, &TRAINING, &mut unused)?,
            validation: cases(path, &map, &VALIDATION, &mut unused)?,
            channels: channels(&map),
            labels: labels(&map),
            unused,
        };
        if dataset.training.is_empty() && dataset.validation.is_empty() {
            return Err(DatasetError::NoCases { path: path.into(), list: "training".into() });
        }
        dataset.name_apart(path.parent().unwrap_or(Path::new("")));
        Ok(dataset)
    }

    /// Names cases by their paths where file names alone do not tell them apart.
    fn name_apart(&mut self, folder: &Path) {
        let mut count: HashMap<String, usize> = HashMap::new();
        for case in self.training.iter().chain(&self.validation) {
            *count.entry(case.name.clone()).or_default() += 1;
        }
        for case in self.training.iter_mut().chain(&mut self.validation) {
            if count.get(&case.name).is_some_and(|n| *n > 1)
                && let Some(image) = case.images.first()
            {
                let inside = image.strip_prefix(folder).unwrap_or(image);
                let parent = inside.parent().map(|p| p.to_string_lossy().replace('\\', "/")).unwrap_or_default();
                case.name = if parent.is_empty() { stem(image) } else { format!("{parent}/{}", stem(image)) };
            }
        }
    }
}

/// Refuses keys that are nearly those of the two lists, the channels and the labels, and two names for one list.
fn check_keys(map: &Map<String, Value>) -> Result<(), FieldError> {
    const OTHERS: [&str; 3] = ["modality", "channel_names", "labels"];
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
const CASE: [&str; 3] = ["image", "label", "subject"];

/// The cases of the first of `names` that is a list; keys of cases that say nothing to this program go to `unused`.
fn cases(
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
        cases.push(Case { name: stem(first), label: join(folder, &entry.label), images, subject });
    }
    Ok(cases)
}

/// `path` below `folder`, without the `./` that the Decathlon writes.
fn join(folder: &Path, path: &Path) -> PathBuf {
    folder.components().chain(path.components().filter(|part| *part != Component::CurDir)).collect()
}

/// `{"0": "FLAIR", "1": "T1w"}` or `["FLAIR", "T1w"]`.
fn channels(map: &Map<String, Value>) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match map.get("modality").or_else(|| map.get("channel_names")) {
        Some(Value::Array(names)) => names.iter().filter_map(text).collect(),
        Some(Value::Object(names)) => {
            let numbered = names.iter().filter_map(|(number, name)| Some((number.parse::<u32>().ok()?, text(name)?)));
            numbered.collect::<BTreeMap<_, _>>().into_values().collect()
        }
        _ => Vec::new(),
    }
}

/// `{"1": "anterior"}` as the Decathlon writes it, or `{"anterior": 1}` as nnU-Net does.
fn labels(map: &Map<String, Value>) -> BTreeMap<u16, String> {
    let Some(Value::Object(labels)) = map.get("labels") else {
        return BTreeMap::new();
    };
    let read = |(key, value): (&String, &Value)| match value {
        Value::String(name) => Some((key.parse().ok()?, name.clone())),
        Value::Number(number) => Some((u16::try_from(number.as_u64()?).ok()?, key.clone())),
        _ => None,
    };
    labels.iter().filter_map(read).collect()
}

/// A scan's name without folders and endings.
#[must_use]
pub fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let short = name.strip_suffix(".gz").unwrap_or(&name);
    short.strip_suffix(".nii").unwrap_or(short).to_owned()
}

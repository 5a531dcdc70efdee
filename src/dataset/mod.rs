//! The Medical Segmentation Decathlon's `dataset.json`: lists of images with their labels.
//!
//! ```json
//! {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "anterior"},
//!  "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz", "subject": "17"}],
//!  "validation": [{"image": ["b_flair.nii.gz", "b_t1.nii.gz"], "label": "b_seg.nii.gz"}]}
//! ```
//! `image` is one file (with all channels, if it is 4-D) or a list with one file per channel; paths are relative to
//! the dataset's folder. An image may be whatever scans are read from, the folder of a DICOM series among them.
//! `subject` says whom the scan shows and may be left out. The names that other writers give to
//! the same things are understood: `train`, `val`; `channel_names` for `modality`; `labels` from name to value, or to the
//! values of a region; MONAI's `fold`. Other keys, `test` among them, are passed over, those of cases with a note; one that
//! is a misspelling of these is refused. A dataset without lists that names a `file_ending` is nnU-Net's ([`nnunet`]).
//!
//! # Source
//! <http://medicaldecathlon.com>; Antonelli et al. 2022, Nature Communications 13:4128; nnU-Net's dataset format; MONAI's
//! `load_decathlon_datalist`.

mod entries;
mod folds;
mod names;
pub mod nnunet;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::fields::FieldError;
use crate::fields::json::{decode, parse_object};

/// One image with its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The image's file name without its ending, or its path where several cases have the same file name.
    pub name: String,
    /// One file per channel, or one with all.
    pub images: Vec<PathBuf>,
    pub label: PathBuf,
    /// Whom the scan shows, where the dataset says so.
    pub subject: Option<String>,
    /// The fold that it is judged by in, where the dataset sorts its cases into folds.
    pub fold: Option<u32>,
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
    /// Names of regions, and the label values that make up each; empty if the labels are values alone.
    pub regions: Vec<(String, Vec<u16>)>,
    /// Keys of cases that nothing here uses.
    pub unused: BTreeSet<String>,
}

/// Why a dataset cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// The file cannot be read.
    #[error("{}", .path.display())]
    Io { path: PathBuf, source: std::io::Error },
    /// It is no JSON object, or has a key that is misspelt.
    #[error("{}: {problem}", .path.display())]
    Field {
        path: PathBuf,
        /// Which key, and why.
        problem: FieldError,
    },
    /// An entry of a list cannot be used.
    #[error("{}: {entry} {problem}", .path.display())]
    Entry {
        path: PathBuf,
        /// The entry (`training[3]`).
        entry: String,
        /// What is wrong with it and what it needs.
        problem: String,
    },
    /// A fold that cannot be chosen.
    #[error("fold {fold} of the dataset: {problem}")]
    Fold {
        fold: u32,
        /// Why, and what to do.
        problem: String,
    },
    /// There is nothing to work on.
    #[error("{}: no list \"{list}\" of cases with labels", .path.display())]
    NoCases {
        path: PathBuf,
        /// The list that is missing or empty.
        list: String,
    },
}

impl Dataset {
    /// Reads a `dataset.json`, or that of a folder. The files it names are not read.
    ///
    /// # Errors
    /// No file, no JSON object, an entry without image and label, or no labelled case at all. Of nnU-Net's form: a file
    /// that is missing, or one too many.
    pub fn read(path: &Path) -> Result<Self, DatasetError> {
        let inside = path.join("dataset.json");
        let path = if path.is_dir() { &inside } else { path };
        let bytes = std::fs::read(path).map_err(|source| DatasetError::Io { path: path.into(), source })?;
        let bad = |problem| DatasetError::Field { path: path.into(), problem };
        let map = parse_object("dataset", &decode(&bytes).map_err(bad)?).map_err(bad)?;
        entries::check_keys(&map).map_err(bad)?;
        let (labels, regions) = names::labels(&map).map_err(bad)?;
        let mut unused = BTreeSet::new();
        let mut dataset = Self {
            training: entries::cases(path, &map, &entries::TRAINING, &mut unused)?,
            validation: entries::cases(path, &map, &entries::VALIDATION, &mut unused)?,
            channels: names::channels(&map),
            labels,
            regions,
            unused,
        };
        let listed = entries::TRAINING.iter().chain(&entries::VALIDATION).any(|name| map.contains_key(*name));
        if !listed && nnunet::is_form(&map, path.parent().unwrap_or(Path::new(""))) {
            dataset.training = nnunet::cases(path, &map, dataset.channels.len())?;
        }
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

/// A scan's name without folders and endings.
#[must_use]
pub fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    crate::volume::study::stem(&name).to_owned()
}

//! What can be wrong with training data and with the recipe's sections about it.

use std::fmt::{self, Write as _};
use std::path::PathBuf;

use crate::dataset::DatasetError;
use crate::volume::VolumeError;

/// Why there is no training data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The list of cases cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A value of the recipe cannot be used.
    #[error("{field} is {value}: {problem}")]
    Recipe {
        /// Its path (`augment.flip[0]`).
        field: String,
        value: String,
        /// Why not, and what would be right.
        problem: String,
    },
    /// Training and validation cases cannot be told apart.
    #[error("the split into training and validation cases: {problem}")]
    Split {
        /// Why, and what to do.
        problem: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", .path.display())]
    Io { path: PathBuf, source: std::io::Error },
    /// A file is no image or label map, or cannot be preprocessed.
    #[error("{}: {source}", .path.display())]
    Volume { path: PathBuf, source: VolumeError },
    /// Two files of one case lie on different grids.
    #[error("{} and {} do not lie on one grid: {problem}", .first.display(), .second.display())]
    Grid {
        /// The case's first image.
        first: PathBuf,
        /// Its other image, or its label map.
        second: PathBuf,
        /// How they differ.
        problem: String,
    },
    /// A case has another number of channels than the network.
    #[error("{} has {found} channel(s), the network takes {expected}: {names}", .path.display())]
    Channels {
        /// The case's first image.
        path: PathBuf,
        /// Channels of all its images.
        found: usize,
        /// `network.in_channels`.
        expected: usize,
        /// `input.channels`.
        names: String,
    },
    /// A label map has a value that the recipe does not declare.
    #[error(
        "{}: label {value} ({voxels} voxels) is not declared: known are {known}; declare it, or map it to one of them \
         with data.relabel",
        .path.display()
    )]
    Label {
        path: PathBuf,
        /// The value in the file.
        value: u16,
        /// How often it occurs.
        voxels: usize,
        /// The values that are known.
        known: String,
    },
    /// A label map has no label but background, and the recipe does not allow that.
    #[error("{}: no voxel is labelled; remove the case, or set data.allow_empty = true", .path.display())]
    Empty { path: PathBuf },
    /// Preprocessing made values that are no numbers.
    #[error("{}: {voxels} voxels are NaN or infinite after preprocessing; check the file's values and input.intensity", .path.display())]
    NonFinite { path: PathBuf, voxels: usize },
    /// No case has any label but background.
    #[error(
        "none of the {cases} cases has a labelled voxel: there is nothing to learn or to judge by; are the label files the \
         right ones?"
    )]
    AllEmpty {
        /// How many cases there are.
        cases: usize,
    },
    /// Cases that cannot be used, all of them.
    #[error("{}", list(.problems, *.checked))]
    Cases {
        /// How many cases were looked at.
        checked: usize,
        /// One for each bad case, in the order of the list.
        problems: Vec<CaseError>,
    },
    /// A file of the cache is damaged or cannot be written.
    #[error("{}: {problem}", .path.display())]
    Cache {
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The user stopped the preparation of the cases.
    #[error("stopped before the first step, while the cases were read: no run was begun")]
    Interrupted,
    /// No more batches can be made.
    #[error("no batch can be made: {problem}")]
    Stopped { problem: String },
}

/// A case that cannot be used.
#[derive(Debug)]
pub struct CaseError {
    pub case: String,
    /// What is wrong with it.
    pub error: DataError,
}

impl fmt::Display for CaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.case, self.error)
    }
}

fn list(problems: &[CaseError], checked: usize) -> String {
    let mut text = format!("{} of {checked} cases cannot be used:", problems.len());
    for problem in problems {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {problem}");
    }
    text
}

impl DataError {
    pub(super) fn recipe(field: impl Into<String>, value: impl ToString, problem: impl Into<String>) -> Self {
        Self::Recipe { field: field.into(), value: value.to_string(), problem: problem.into() }
    }

    /// Both: where both are lists of bad cases, one list.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Cases { checked: a, mut problems }, Self::Cases { checked: b, problems: more }) => {
                problems.extend(more);
                Self::Cases { checked: a + b, problems }
            }
            (Self::Cases { .. }, other) | (_, other @ Self::Interrupted) => other,
            (first, _) => first,
        }
    }

    /// `source` about the file `path`, which is named once.
    pub(super) fn volume(path: impl Into<PathBuf>, source: VolumeError) -> Self {
        match source {
            VolumeError::Io { path, source } => Self::Io { path: path.into(), source },
            VolumeError::File { file, source } => Self::Volume { path: file.into(), source: *source },
            VolumeError::Grids { first, second, problem } => {
                Self::Grid { first: first.into(), second: second.into(), problem }
            }
            source => Self::Volume { path: path.into(), source },
        }
    }
}

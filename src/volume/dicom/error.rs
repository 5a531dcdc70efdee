//! What can be wrong with DICOM files. No message holds a value that could name a patient.

use thiserror::Error;

use super::tags::Attribute;

/// Errors of reading DICOM. Each names the attribute or the file, and what to do.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum DicomError {
    /// An error of one file.
    #[error("{file}: {source}")]
    File {
        file: String,
        /// What is wrong with it.
        source: Box<DicomError>,
    },
    /// No DICOM at all.
    #[error("not a DICOM file: {reason}")]
    NotDicom {
        /// Why not.
        reason: &'static str,
    },
    /// The file ends before what it declares.
    #[error("{what} is cut short: {needed} bytes declared, {found} present")]
    Truncated {
        /// The element.
        what: String,
        /// Bytes declared.
        needed: u64,
        /// Bytes present.
        found: u64,
    },
    /// Bytes that are no elements.
    #[error("damaged at byte {at} of its data set: {problem}")]
    Damaged {
        /// Where, counted from the first element behind the file's own header.
        at: usize,
        /// What was found.
        problem: &'static str,
    },
    /// An attribute is missing or holds what cannot be used.
    #[error("{attribute}: {problem}")]
    Attribute {
        /// Its name and tag.
        attribute: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A transfer syntax that cannot be decoded.
    #[error("transfer syntax {name} is not read here; convert first, for example with `{convert}`")]
    Syntax {
        /// Its name or UID.
        name: String,
        /// A command that converts.
        convert: &'static str,
    },
    /// An object without an image of a scan.
    #[error("it is a {what}, no image of a scan: give the files of the image series")]
    NotImage {
        /// Its kind.
        what: &'static str,
    },
    /// A scan in a form that is not read.
    #[error("it is a {what}")]
    Unread {
        /// Its form, and what to do.
        what: &'static str,
    },
    /// Pixels that cannot be decoded.
    #[error("pixels: {problem}")]
    Pixels {
        /// What is wrong.
        problem: String,
    },
    /// Nothing to read.
    #[error("no DICOM image among {files} file(s){detail}")]
    NoImage {
        /// Files looked at.
        files: usize,
        /// What was found instead.
        detail: String,
    },
    /// Several series where one is needed, or one that is not there.
    #[error("{problem}: {list}")]
    Series {
        /// What is wrong and what to do.
        problem: String,
        /// The series that are there.
        list: String,
    },
    /// Several acquisitions in a series where one is needed, or one that is not there.
    #[error("{problem}: {list}")]
    Acquisitions {
        /// What is wrong and what to do.
        problem: String,
        /// The acquisitions that are there, by their numbers.
        list: String,
    },
    /// Slices that make no volume.
    #[error("{problem}")]
    Slices {
        /// What is wrong, where, and what to do.
        problem: String,
    },
}

impl DicomError {
    pub(super) fn attribute(attribute: &Attribute, problem: impl Into<String>) -> Self {
        Self::Attribute { attribute: attribute.to_string(), problem: problem.into() }
    }

    pub(super) fn pixels(problem: impl Into<String>) -> Self {
        Self::Pixels { problem: problem.into() }
    }

    /// The same error, told of a file.
    pub(super) fn of(self, file: &str) -> Self {
        match self {
            Self::File { .. } => self,
            source => Self::File { file: file.to_owned(), source: Box::new(source) },
        }
    }
}

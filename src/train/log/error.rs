use std::io;
use std::path::{Path, PathBuf};

/// Why something could not be recorded or reported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The folder holds a run already.
    #[error("{} exists: resume this run, or choose another folder for a new one", .path.display())]
    Exists { path: PathBuf },
    /// A file cannot be written.
    #[error("cannot write {}: {source}; what was recorded before is kept", .path.display())]
    Write { path: PathBuf, source: io::Error },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    /// A line is no record, though later ones are.
    #[error("{} line {line}: {reason}; remove or mend this line", .path.display())]
    Line {
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A record cannot be written as JSON.
    #[error("cannot write a record as JSON: {0}")]
    Encode(#[from] serde_json::Error),
    /// A picture is no PNG.
    #[error("picture of case '{case}': {reason}")]
    Picture {
        /// The case it shows.
        case: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl LogError {
    pub(super) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Write { path: path.to_owned(), source }
    }

    pub(super) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Read { path: path.to_owned(), source }
    }
}

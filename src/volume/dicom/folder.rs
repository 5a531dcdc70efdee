//! Series from folders and files.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::read::{ReadOptions, Series, Source, read};
use crate::volume::VolumeError;

/// Bytes of a file that `is_dicom` looks at.
pub(super) const HEAD: u64 = 132;
/// Folders in folders; archives of scanners have five.
const DEPTH: usize = 16;

struct Files(Vec<PathBuf>);

fn failed(path: &Path, source: std::io::Error) -> VolumeError {
    VolumeError::Io { path: path.display().to_string(), source }
}

pub(super) fn head(path: &Path) -> Result<Vec<u8>, VolumeError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| failed(path, e))?;
    file.take(HEAD).read_to_end(&mut bytes).map_err(|e| failed(path, e))?;
    Ok(bytes)
}

impl Source for Files {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn name(&self, file: usize) -> String {
        let name = self.0.get(file).and_then(|p| p.file_name()).unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    fn head(&self, file: usize) -> Result<Cow<'_, [u8]>, VolumeError> {
        self.0.get(file).map_or(Ok(Cow::default()), |path| Ok(Cow::Owned(head(path)?)))
    }

    fn bytes(&self, file: usize) -> Result<Cow<'_, [u8]>, VolumeError> {
        let Some(path) = self.0.get(file) else { return Ok(Cow::default()) };
        Ok(Cow::Owned(std::fs::read(path).map_err(|e| failed(path, e))?))
    }
}

/// Reads series of files and of folders with all that lies in them, as one set.
///
/// # Errors
/// As [`read`], and files and folders that cannot be opened.
pub fn read_paths(paths: &[PathBuf], options: &ReadOptions) -> Result<Vec<Series>, VolumeError> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files)?;
    }
    read(&Files(files), options)
}

/// The regular files below a path, hidden ones left out, in the order of their names.
pub(super) fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), VolumeError> {
    below(path, DEPTH, files)
}

fn below(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), VolumeError> {
    if !path.is_dir() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    if depth == 0 {
        return Err(failed(path, std::io::Error::other("folders lie too deep in each other: give an inner one")));
    }
    let entries = std::fs::read_dir(path).map_err(|e| failed(path, e))?;
    let mut inner: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| failed(path, e))?.path();
        let hidden = entry.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
        if !hidden && (entry.is_file() || entry.is_dir()) {
            inner.push(entry);
        }
    }
    inner.sort();
    inner.iter().try_for_each(|entry| below(entry, depth - 1, files))
}

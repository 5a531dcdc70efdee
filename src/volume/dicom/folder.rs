//! Series from folders and files.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::DicomError;
use super::file::{LIST_READ, is_directory};
use super::read::{ReadOptions, Series, Source, read};
use crate::volume::{VolumeError, nifti};

/// Bytes of a file that its format is told by, and whether it is a `DICOMDIR`.
pub(super) const HEAD: u64 = 4096;
/// Folders in folders; archives of scanners have five.
const DEPTH: usize = 32;

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

/// Reads series of files and of folders with all that lies in them, as one set. In place of a `DICOMDIR` alone, the folder is
/// read in which it lies.
///
/// # Errors
/// As [`read`], and files and folders that cannot be opened.
pub fn read_paths(paths: &[PathBuf], options: &ReadOptions) -> Result<Vec<Series>, VolumeError> {
    let mut found = Below::default();
    let (paths, warning) = match paths {
        [list] if is_list(list) => (vec![folder_of(list)], Some(LIST_READ.to_owned())),
        _ => (paths.to_vec(), None),
    };
    paths.iter().try_for_each(|path| found.add(path))?;
    let files = Files(found.files);
    let mut all = read(&files, options).map_err(|error| match &paths[..] {
        [folder] if folder.is_dir() => no_scan(error, &files.0),
        _ => error,
    })?;
    all.iter_mut().for_each(|series| series.warnings.splice(0..0, warning.clone()).for_each(drop));
    Ok(all)
}

fn is_list(path: &Path) -> bool {
    path.is_file() && head(path).is_ok_and(|bytes| is_directory(&bytes))
}

/// The folder in which a file lies.
pub(super) fn folder_of(file: &Path) -> PathBuf {
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).to_path_buf()
}

/// Says of a folder without a scan what is in it instead.
pub(super) fn no_scan(error: VolumeError, files: &[PathBuf]) -> VolumeError {
    let VolumeError::Dicom(DicomError::NoImage { files: count, detail }) = error else { return error };
    let is_other = |path: &&PathBuf| head(path).is_ok_and(|bytes| nifti::is_nifti(&bytes));
    let detail = match files.iter().find(is_other) {
        Some(file) => {
            format!(": it is a folder, and there is NIfTI in it; give the file, for example {}", file.display())
        }
        None if files.is_empty() => ": it is a folder without files".to_owned(),
        None => format!("{detail}; it is a folder, and scans in folders are DICOM series"),
    };
    DicomError::NoImage { files: count, detail }.into()
}

/// The regular files below paths, hidden ones left out, in the order of their names. A folder to which several ways or links
/// lead is read once.
#[derive(Default)]
pub(super) struct Below {
    pub files: Vec<PathBuf>,
    seen: BTreeSet<PathBuf>,
}

impl Below {
    pub fn add(&mut self, path: &Path) -> Result<(), VolumeError> {
        self.walk(path, DEPTH)
    }

    fn walk(&mut self, path: &Path, depth: usize) -> Result<(), VolumeError> {
        if !path.is_dir() {
            self.files.push(path.to_path_buf());
            return Ok(());
        }
        if !self.seen.insert(path.canonicalize().map_err(|e| failed(path, e))?) {
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
        inner.iter().try_for_each(|entry| self.walk(entry, depth - 1))
    }
}

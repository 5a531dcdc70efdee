//! From files to volumes: what is there, and which of it is meant.

use std::borrow::Cow;

use super::assemble::assemble;
use super::error::DicomError;
use super::file::is_dicom;
use super::image::{Content, parse};
use super::pixels;
use super::series::{Group, choose, group};
use crate::volume::{Volume, VolumeError};

/// Files, each read when it is needed and forgotten again.
pub trait Source {
    /// How many there are.
    fn len(&self) -> usize;

    /// True if there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name that messages use.
    fn name(&self, file: usize) -> String;

    /// The first bytes, 132 or more if the file has them.
    ///
    /// # Errors
    /// The file cannot be read.
    fn head(&self, file: usize) -> Result<Cow<'_, [u8]>, VolumeError>;

    /// The whole file.
    ///
    /// # Errors
    /// The file cannot be read.
    fn bytes(&self, file: usize) -> Result<Cow<'_, [u8]>, VolumeError>;
}

/// Files in memory, with their names.
#[derive(Debug, Clone, Copy)]
pub struct InMemory<'a, B> {
    /// Contents.
    pub files: &'a [B],
    /// Names, where there are any.
    pub names: &'a [String],
}

impl<B: AsRef<[u8]>> Source for InMemory<'_, B> {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn name(&self, file: usize) -> String {
        self.names.get(file).cloned().unwrap_or_else(|| format!("file {}", file + 1))
    }

    fn head(&self, file: usize) -> Result<Cow<'_, [u8]>, VolumeError> {
        self.bytes(file)
    }

    fn bytes(&self, file: usize) -> Result<Cow<'_, [u8]>, VolumeError> {
        Ok(Cow::Borrowed(self.files.get(file).map(AsRef::as_ref).unwrap_or_default()))
    }
}

/// How to read.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// Series Instance UIDs; each becomes a volume. Empty: the only series with images.
    pub series: Vec<String>,
    /// Refuse series whose voxels need more bytes than this.
    pub max_bytes: u64,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { series: Vec::new(), max_bytes: crate::volume::nifti::ReadOptions::default().max_bytes }
    }
}

/// A series as read.
#[derive(Debug, Clone)]
pub struct Series {
    /// One channel.
    pub volume: Volume,
    /// Its files, in the order of their first slices.
    pub files: Vec<usize>,
    /// SHA-256 of the sorted list of the files' SHA-256, hexadecimal, a line each: what
    /// `sha256sum FILES | cut -c1-64 | sort | sha256sum` says, whatever the files are called.
    pub sha256: String,
    /// What is doubtful, in words for the user.
    pub warnings: Vec<String>,
}

/// Reads series of files. Files that are no DICOM, `DICOMDIR`, and objects that are no images are left out with a warning.
///
/// # Errors
/// Files that cannot be read, no image at all, several series and no choice, or slices that make no volume.
pub fn read(source: &dyn Source, options: &ReadOptions) -> Result<Vec<Series>, VolumeError> {
    let mut objects = Vec::new();
    let mut strangers = Vec::new();
    for file in 0..source.len() {
        if !is_dicom(&source.head(file)?) {
            strangers.push(source.name(file));
            continue;
        }
        let bytes = source.bytes(file)?;
        match parse(&bytes).map_err(|e| e.of(&source.name(file)))? {
            Content::Directory => {}
            Content::Object(key, image) => objects.push((file, key, image.and_then(|i| pixels::check(&i)).err())),
        }
    }
    let mut warnings = Vec::new();
    left_out(&strangers, "no DICOM", &mut warnings);
    let groups = group(objects);
    let several = groups.len() > 1;
    if !groups.iter().any(Group::is_scan) {
        return Err(no_image(source, &groups, &strangers).into());
    }
    if several && options.series.is_empty() {
        let empty = groups.iter().filter(|g| !g.is_scan()).flat_map(|g| &g.others);
        let why = |error: &DicomError| match error {
            DicomError::NotImage { what } => (*what).to_owned(),
            error => error.to_string(),
        };
        let names: Vec<String> = empty.map(|(file, e)| format!("{} ({})", source.name(*file), why(e))).collect();
        left_out(&names, "no image of a scan", &mut warnings);
    }
    choose(groups, &options.series)?
        .into_iter()
        .map(|group| {
            let mut series = assemble(source, &group, options)?;
            series.warnings.splice(0..0, warnings.iter().cloned());
            Ok(series)
        })
        .collect()
}

fn left_out(names: &[String], why: &str, warnings: &mut Vec<String>) {
    if let Some(first) = names.first() {
        let more = if names.len() > 1 { format!(" and {} more file(s)", names.len() - 1) } else { String::new() };
        warnings.push(format!("left out as {why}: {first}{more}"));
    }
}

fn no_image(source: &dyn Source, groups: &[Group], strangers: &[String]) -> DicomError {
    match groups.iter().flat_map(|g| &g.others).next() {
        Some((file, error)) => error.clone().of(&source.name(*file)),
        None => {
            let detail = strangers.first().map(|name| format!(": {name} is none")).unwrap_or_default();
            DicomError::NoImage { files: source.len(), detail }
        }
    }
}

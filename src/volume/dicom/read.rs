//! From files to volumes: what is there, and which of it is meant.

use std::borrow::Cow;

use super::assemble::assemble;
use super::error::DicomError;
use super::file::is_dicom;
use super::image::{Content, Image, parse};
use super::series::{Group, choose, group};
use super::survey::{Survey, left_out};
use crate::volume::{SourceSeries, Volume, VolumeError};

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
    /// Which acquisition of a series that holds several, counted from 1 in the order in which the error lists them: of one
    /// series any number, each becoming a volume; of several series one for each. Empty: the only one.
    pub acquisition: Vec<usize>,
    /// Refuse series whose voxels need more bytes than this.
    pub max_bytes: u64,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            series: Vec::new(),
            acquisition: Vec::new(),
            max_bytes: crate::volume::nifti::ReadOptions::default().max_bytes,
        }
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
    /// What made it, in DICOM's code (`CT`, `MR`, ...); empty if the files do not say.
    pub modality: String,
    /// Its identifiers and slices.
    pub source: SourceSeries,
    /// What is doubtful, in words for the user.
    pub warnings: Vec<String>,
}

/// Reads series of files. Files that are no DICOM, `DICOMDIR`, and objects that are no images are left out with a warning, and
/// so are damaged files and copies where a whole volume remains.
///
/// # Errors
/// Files that cannot be read, no image at all, several series or acquisitions and no choice, or slices that make no volume.
pub fn read(source: &dyn Source, options: &ReadOptions) -> Result<Vec<Series>, VolumeError> {
    let Found { groups, strangers, broken, directory } = look(source)?;
    let mut warnings = Vec::new();
    left_out(&strangers, "no DICOM", &mut warnings);
    if !groups.iter().any(Group::is_scan) {
        let first_broken = broken.into_iter().next().map(|(file, error)| error.of(&source.name(file)));
        return Err(first_broken.unwrap_or_else(|| no_image(source, &groups, &strangers, directory)).into());
    }
    if groups.len() > 1 && options.series.is_empty() {
        let empty = groups.iter().filter(|g| !g.is_scan()).flat_map(|g| &g.others);
        let why = |error: &DicomError| match error {
            DicomError::NotImage { what } => (*what).to_owned(),
            error => error.to_string(),
        };
        let names: Vec<String> = empty.map(|(file, e)| format!("{} ({})", source.name(*file), why(&e.error))).collect();
        left_out(&names, "no image of a scan", &mut warnings);
    }
    let chosen = choose(groups, &options.series)?;
    let (one, wanted) = (chosen.len() == 1, &options.acquisition);
    if !one && !wanted.is_empty() && wanted.len() != chosen.len() {
        let problem =
            format!("acquisitions are chosen {} time(s) for {} series: once for each", wanted.len(), chosen.len());
        return Err(DicomError::Slices { problem }.into());
    }
    let mut all = Vec::new();
    for (at, group) in chosen.into_iter().enumerate() {
        let wanted = if one { &wanted[..] } else { wanted.get(at..=at).unwrap_or_default() };
        let survey = Survey::of(source, group, &broken)?;
        for acquisition in survey.choose(wanted)? {
            let mut series = assemble(source, &survey, acquisition, options)?;
            series.warnings.splice(0..0, warnings.iter().cloned());
            all.push(series);
        }
    }
    Ok(all)
}

/// What files hold.
struct Found {
    groups: Vec<Group>,
    /// Names of files that are no DICOM.
    strangers: Vec<String>,
    /// Files that cannot be read far enough to know their series.
    broken: Vec<(usize, DicomError)>,
    /// The name of a `DICOMDIR`.
    directory: Option<String>,
}

fn look(source: &dyn Source) -> Result<Found, VolumeError> {
    let (mut objects, mut strangers, mut broken, mut directory) = (Vec::new(), Vec::new(), Vec::new(), None);
    for file in 0..source.len() {
        if !is_dicom(&source.head(file)?) {
            strangers.push(source.name(file));
            continue;
        }
        match parse(&source.bytes(file)?) {
            Ok(Content::Directory) => directory = Some(source.name(file)),
            Ok(Content::Object(key, image)) => {
                objects.push((file, key, image.map(|i| i.header)));
            }
            Err(error) => broken.push((file, error)),
        }
    }
    Ok(Found { groups: group(objects), strangers, broken, directory })
}

/// Reads a file again and shows its image.
pub(super) fn with_image<T>(
    source: &dyn Source,
    file: usize,
    visit: impl FnOnce(&[u8], &Image<'_>) -> Result<T, DicomError>,
) -> Result<T, VolumeError> {
    let bytes = source.bytes(file)?;
    let done = match parse(&bytes) {
        Ok(Content::Object(_, Ok(image))) => visit(&bytes, &image),
        Ok(Content::Object(_, Err(no_image))) => Err(no_image.error),
        Err(error) => Err(error),
        Ok(Content::Directory) => Err(DicomError::NotImage { what: "DICOM directory" }),
    };
    done.map_err(|e| e.of(&source.name(file)).into())
}

fn no_image(source: &dyn Source, groups: &[Group], strangers: &[String], directory: Option<String>) -> DicomError {
    if let Some((file, none)) = groups.iter().flat_map(|g| &g.others).next() {
        return none.error.clone().of(&source.name(*file));
    }
    // A folder may have the name of the file in it, as some programs unpack an archive.
    let is_nifti = |name: &&String| [".nii", ".nii.gz"].iter().any(|end| name.to_ascii_lowercase().ends_with(end));
    if let (None, Some(name)) = (&directory, strangers.iter().find(is_nifti)) {
        let detail = format!(": {name} in it is named as NIfTI; give that file itself");
        return DicomError::NoImage { files: source.len(), detail };
    }
    let detail = match (directory, strangers.first()) {
        (Some(name), _) => {
            format!(
                ": {name} is a DICOMDIR, a list of other files; give the folder in which it lies, with the files in it"
            )
        }
        (None, Some(name)) => format!(": {name} is none"),
        (None, None) => String::new(),
    };
    DicomError::NoImage { files: source.len(), detail }
}

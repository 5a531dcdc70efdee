//! The one way in for scans and label maps, whatever their format and wherever they lie.
//!
//! ```text
//! paths, dropped files -> StudyFiles (sniffed, set by set) -> Study (read, hashed, on one grid, channels in order)
//!                                                         -> LabelImage
//! ```
//! A set is the files of one image: a file, a header with its voxels, a folder or the loose files of a series. A zip stands for
//! the sets of what is in it. Every file
//! is opened once; what is not a series is read once, and hashed from the bytes that were parsed.
//!
//! A new format is a type with [`Format`] and a line in [`FORMATS`].

mod archive;
mod file;
mod format;

pub use file::{InputFile, sha256};
#[cfg(feature = "dicom")]
pub(crate) use format::labels_of_one;
pub use format::{FORMATS, Format, recognise, stem};

use std::fmt;
use std::path::Path;
#[cfg(not(target_arch = "wasm32"))]
use std::path::PathBuf;

use serde::Serialize;

use super::channels;
use super::grid::VoxelGrid;
use super::source::SourceSeries;
use super::{LabelMap, Volume, VolumeError, nifti};

/// How scans are read.
#[derive(Clone, Debug, Default)]
pub struct StudyOptions {
    pub nifti: nifti::ReadOptions,
    /// DICOM series to take where files hold several: one for each scan, or several of one.
    pub series: Vec<String>,
    /// Acquisitions to take where a DICOM series holds several, counted from 1 as the error lists them: one for each scan,
    /// or several of one series.
    pub acquisition: Vec<usize>,
}

/// A file by its name and content.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FileRecord {
    /// Name without folders.
    pub file: String,
    /// SHA-256 of its bytes; of a pair, of header and image one after the other; of a DICOM series, of the sorted list of
    /// its files' SHA-256, a line each.
    pub sha256: String,
    /// Identifiers of the DICOM series that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dicom: Option<Box<SourceSeries>>,
}

impl FileRecord {
    /// A file that is no DICOM series.
    #[must_use]
    pub fn new(file: String, sha256: String) -> Self {
        Self { file, sha256, dicom: None }
    }
}

/// One image as its format's reader gives it.
#[derive(Clone, Debug)]
pub struct Image {
    pub volume: Volume,
    /// Of a NIfTI file: what is written for it follows it.
    pub header: Option<nifti::Header>,
    /// Where the affine is from: `sform`, `dicom`, ...
    pub affine_source: &'static str,
    /// DICOM's code of what made it (`CT`, `MR`, ...), where the file tells.
    pub modality: Option<String>,
    /// What was repaired or is doubtful.
    pub warnings: Vec<String>,
    pub file: FileRecord,
}

/// A label map as its format's reader gives it; values up to 2^32 - 1 for what only compares them.
#[derive(Clone, Debug)]
pub struct LabelImage {
    pub labels: LabelMap<u32>,
    /// It is a part of a scan, outside of which all is background: [`LabelImage::on_grid`] gives the whole.
    pub partial: bool,
    pub warnings: Vec<String>,
    pub file: FileRecord,
}

/// Something to know about one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The file or series, as messages name it.
    pub about: String,
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.about, self.text)
    }
}

/// The files of one image.
struct FileSet {
    format: &'static dyn Format,
    files: Vec<InputFile>,
    /// The zip in which they lie, if it has nothing else.
    archive: Option<String>,
}

impl FileSet {
    /// As messages name it.
    fn name(&self) -> String {
        let first = || self.files.first().map_or_else(String::new, |file| file.name().to_owned());
        self.archive.clone().unwrap_or_else(first)
    }

    fn new(format: &'static dyn Format, files: Vec<InputFile>) -> Self {
        Self { format, files, archive: None }
    }

    /// Itself, or what is in the zip that it is.
    fn unpacked(mut self) -> Result<Vec<Self>, VolumeError> {
        let [file] = &mut self.files[..] else { return Ok(vec![self]) };
        if !archive::is_zip(file.head()) {
            return Ok(vec![self]);
        }
        let name = file.name().to_owned();
        let files = archive::unpack(file, nifti::ReadOptions::default().max_bytes)?;
        let mut sets = StudyFiles::dropped(files)?.sets;
        if let [only] = &mut sets[..] {
            only.archive = Some(name);
        }
        Ok(sets)
    }

    /// An error told of these files; a series of loose files in memory has no name of its own.
    fn about(&self, error: VolumeError) -> VolumeError {
        let loose = self.archive.is_none() && self.files.iter().all(|f| f.path().is_none());
        match self.files.len() > 1 && self.format.is_series() && loose {
            true => error,
            false => error.of(&self.name()),
        }
    }

    fn digest(&mut self) -> Result<String, VolumeError> {
        let digest = self.format.digest(&mut self.files);
        digest.map_err(|e| self.about(e))
    }
}

/// The files of a study, opened and sorted by what they are, and not yet read.
pub struct StudyFiles {
    sets: Vec<FileSet>,
}

impl StudyFiles {
    /// Opens paths. A folder, and files of a series that stand side by side, are one image.
    ///
    /// # Errors
    /// A path that cannot be opened.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(paths: &[PathBuf]) -> Result<Self, VolumeError> {
        let mut sets: Vec<FileSet> = Vec::new();
        let opened = paths.iter().map(|path| open(path)?.unpacked()).collect::<Result<Vec<_>, _>>()?;
        for mut set in opened.into_iter().flatten() {
            if set.format.is_series() {
                set.files.iter_mut().for_each(InputFile::close);
            }
            let loose = |set: &FileSet| {
                set.format.is_series() && set.archive.is_none() && !set.files.iter().any(InputFile::is_folder)
            };
            match sets.last_mut() {
                Some(last) if loose(last) && loose(&set) => last.files.extend(set.files),
                _ => sets.push(set),
            }
        }
        Ok(Self { sets })
    }

    /// Takes files that were given together in any order, as a drop gives them: if one is of a series, all are; else each
    /// is an image, or the voxels of the header before it.
    ///
    /// # Errors
    /// Files of a series together with others.
    pub fn dropped(files: Vec<InputFile>) -> Result<Self, VolumeError> {
        let formats: Vec<_> = files.iter().map(|file| recognise(file.head())).collect();
        if let Some(series) = formats.iter().flatten().find(|format| format.is_series()) {
            let other = formats.iter().zip(&files).find_map(|(f, file)| Some((f.filter(|f| !f.is_series())?, file)));
            return match other {
                None => Ok(Self { sets: vec![FileSet::new(*series, files)] }),
                Some((format, file)) => Err(VolumeError::MixedFormats {
                    file: file.name().to_owned(),
                    format: format.name(),
                    others: series.name(),
                }),
            };
        }
        let mut sets: Vec<FileSet> = Vec::new();
        for (file, format) in files.into_iter().zip(formats) {
            let name = file.name().to_ascii_lowercase();
            match sets.last_mut() {
                Some(last) if format.is_none() && last.files.len() == 1 && last.format.is_second(&name) => {
                    last.files.push(file);
                }
                _ => sets.push(FileSet::new(format.unwrap_or(FORMATS[0]), vec![file])),
            }
        }
        let sets = sets.into_iter().map(FileSet::unpacked).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { sets: sets.into_iter().flatten().collect() })
    }

    /// 64 hexadecimal digits for each image that change with the content of its files.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn digests(&mut self) -> Result<Vec<String>, VolumeError> {
        self.sets.iter_mut().map(FileSet::digest).collect()
    }

    /// Reads all images and joins their channels in the order given.
    ///
    /// # Errors
    /// A file that cannot be read, or two images that do not lie on one grid; they are named.
    pub fn read(self, options: &StudyOptions) -> Result<Study, VolumeError> {
        let several = self.sets.len() > 1;
        for (what, given) in [("series", options.series.len()), ("acquisition", options.acquisition.len())] {
            if several && given > 0 && given != self.sets.len() {
                return Err(VolumeError::Choices { what, given, scans: self.sets.len() });
            }
        }
        let chosen = !options.series.is_empty() || !options.acquisition.is_empty();
        let mut study: Option<Study> = None;
        for (at, mut set) in self.sets.into_iter().enumerate() {
            let name = set.name();
            if chosen && !set.format.is_series() {
                let what = if options.series.is_empty() { "acquisition" } else { "series" };
                return Err(VolumeError::NoChoice { what, file: name, format: set.format.name() });
            }
            let mut options = options.clone();
            if several {
                options.series = options.series.get(at..=at).unwrap_or_default().to_vec();
                options.acquisition = options.acquisition.get(at..=at).unwrap_or_default().to_vec();
            }
            let images = set.format.read(&mut set.files, &options);
            for mut image in images.map_err(|e| set.about(e))? {
                if set.archive.is_some() {
                    image.file.file = file_name(&name);
                }
                match &mut study {
                    None => study = Some(Study::new(image, name.clone(), chosen)),
                    Some(study) => study.add(image, &name)?,
                }
            }
        }
        study.ok_or_else(|| VolumeError::shape("scans", "at least one", "none"))
    }
}

/// A scan with all its channels.
#[derive(Clone, Debug)]
pub struct Study {
    pub volume: Volume,
    /// Of the first file, if it is NIfTI: what is written follows it.
    pub header: Option<nifti::Header>,
    /// Where the affine is from: `sform`, `qform`, `pixdim`, `dicom`, or `given` by the caller.
    pub affine_source: &'static str,
    pub warnings: Vec<Warning>,
    /// One for each image.
    pub files: Vec<FileRecord>,
    /// DICOM's codes of what made the images, of those whose files tell.
    pub modalities: Vec<String>,
    /// The caller has put the channels into order; names are not to be asked.
    pub ordered: bool,
    /// The first input, as messages name it.
    pub name: String,
}

impl Study {
    /// Opens and reads the scans of one study.
    ///
    /// # Errors
    /// As [`StudyFiles::open`] and [`StudyFiles::read`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(paths: &[PathBuf], options: &StudyOptions) -> Result<Self, VolumeError> {
        StudyFiles::open(paths)?.read(options)
    }

    fn new(image: Image, name: String, ordered: bool) -> Self {
        let Image { volume, header, affine_source, modality, warnings, file } = image;
        let warnings = warnings.into_iter().map(|text| Warning { about: name.clone(), text }).collect();
        let modalities = Vec::from_iter(modality);
        Self { volume, header, affine_source, warnings, files: vec![file], modalities, ordered, name }
    }

    /// Voxels that the caller has read, its channels in order.
    #[must_use]
    pub fn of_voxels(volume: Volume) -> Self {
        let odd = volume.non_finite();
        let text = format!("{odd} of {} voxels are NaN or infinite", volume.data.len());
        let name = "the volume".to_owned();
        let warnings = (odd > 0).then(|| Warning { about: name.clone(), text }).into_iter().collect();
        Self {
            volume,
            header: None,
            affine_source: "given",
            warnings,
            files: Vec::new(),
            modalities: Vec::new(),
            ordered: true,
            name,
        }
    }

    fn add(&mut self, image: Image, name: &str) -> Result<(), VolumeError> {
        let grid = self.volume.grid();
        let (turn, told) = grid.join(&image.volume.grid(), [&self.name, name])?;
        let volume = image.volume.placed(&turn, &grid);
        self.volume.channels += volume.channels;
        self.volume.data.extend_from_slice(&volume.data);
        let texts = image.warnings.into_iter().chain(told);
        self.warnings.extend(texts.map(|text| Warning { about: name.to_owned(), text }));
        self.files.push(image.file);
        self.modalities.extend(image.modality);
        Ok(())
    }

    /// Its grid.
    #[must_use]
    pub fn grid(&self) -> VoxelGrid {
        self.volume.grid()
    }

    /// What is to be known of the inputs: a file is named where there are several.
    #[must_use]
    pub fn warning_texts(&self) -> Vec<String> {
        let named = self.files.len() > 1;
        self.warnings.iter().map(|w| if named { w.to_string() } else { w.text.clone() }).collect()
    }

    /// Puts images of one channel each into the order of `channels`, as far as their names tell it. Gives what the user is
    /// to be told: which file is which channel, where that was not plain.
    ///
    /// # Errors
    /// A file whose name says another channel than the one it would be.
    pub fn arrange(&mut self, channels: &[String]) -> Result<Option<String>, VolumeError> {
        if self.ordered {
            return Ok(None);
        }
        let told = channels::arrange(&mut self.volume, &mut self.files, |f| &f.file, channels)?;
        self.warnings.extend(told.iter().map(|text| Warning { about: "channels".into(), text: text.clone() }));
        Ok(told)
    }
}

impl Study {
    /// Puts the channels into an order that is known from elsewhere: for each of `channels` the place that it has now.
    ///
    /// # Errors
    /// The study has another number of channels, or its files' names say another order.
    pub fn arrange_as(&mut self, order: &[usize], channels: &[String]) -> Result<(), VolumeError> {
        if self.volume.channels != order.len() {
            return Ok(());
        }
        if self.files.len() == order.len() && !self.ordered {
            let files: Vec<FileRecord> = order.iter().filter_map(|&at| self.files.get(at).cloned()).collect();
            let names: Vec<&str> = files.iter().map(|f| f.file.as_str()).collect();
            let (by_name, _) = channels::order(&names, channels)?;
            if let Some((at, &other)) = by_name.iter().enumerate().find(|(at, other)| at != *other) {
                return Err(VolumeError::Channel {
                    file: names[other].to_owned(),
                    named: channels[at].clone(),
                    place: other,
                    channels: channels.to_vec(),
                });
            }
            self.files = files;
        }
        if !order.is_sorted() {
            self.volume.reorder(order);
        }
        self.ordered = true;
        Ok(())
    }
}

/// The files of a label map, opened and not yet read.
pub struct LabelFiles(FileSet);

impl LabelFiles {
    /// Opens a path.
    ///
    /// # Errors
    /// It cannot be opened.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: &Path) -> Result<Self, VolumeError> {
        only(open(path)?.unpacked()?)
    }

    /// Takes files given together: one, or a header and its voxels.
    ///
    /// # Errors
    /// No file, or several images.
    pub fn dropped(files: Vec<InputFile>) -> Result<Self, VolumeError> {
        only(StudyFiles::dropped(files)?.sets)
    }

    /// 64 hexadecimal digits that change with the content of the files.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn digest(&mut self) -> Result<String, VolumeError> {
        self.0.digest()
    }

    /// Reads the label map.
    ///
    /// # Errors
    /// A file that cannot be read, or is no label map.
    pub fn read(mut self, options: &StudyOptions) -> Result<LabelImage, VolumeError> {
        let set = &mut self.0;
        let labels = set.format.read_labels(&mut set.files, options);
        labels.map_err(|e| set.about(e))
    }
}

fn only(mut sets: Vec<FileSet>) -> Result<LabelFiles, VolumeError> {
    match (sets.pop(), sets.len()) {
        (Some(set), 0) => Ok(LabelFiles(set)),
        (None, _) => Err(VolumeError::shape("label maps", 1, 0)),
        (_, more) => Err(VolumeError::shape("label maps", 1, more + 1)),
    }
}

/// The last part of a name.
fn file_name(name: &str) -> String {
    let path = Path::new(name);
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Opens what a path stands for.
#[cfg(not(target_arch = "wasm32"))]
fn open(path: &Path) -> Result<FileSet, VolumeError> {
    let pair = |format: &'static dyn Format, first: Option<InputFile>| {
        let mut files = Vec::new();
        let mut paths = format.files_of(path).into_iter();
        match first {
            Some(first) => {
                files.push(first);
                paths.next();
            }
            None => files.extend(paths.next().map(|path| InputFile::open(&path)).transpose()?),
        }
        for path in paths {
            files.push(InputFile::open(&path)?);
        }
        Ok(FileSet::new(format, files))
    };
    // The voxels of a pair are told by their name alone.
    let second = |format: &&&'static dyn Format| format.files_of(path).first().is_some_and(|first| first != path);
    let file = match InputFile::open(path) {
        Ok(file) => file,
        Err(error) => {
            return match FORMATS.iter().find(second) {
                Some(format) => pair(*format, None),
                None => Err(error),
            };
        }
    };
    if file.is_folder() {
        return Ok(FileSet::new(format::of_folders().unwrap_or(FORMATS[0]), vec![file]));
    }
    match (recognise(file.head()), FORMATS.iter().find(second)) {
        (Some(format), _) => pair(format, Some(file)),
        (None, Some(format)) => pair(*format, None),
        (None, None) => Ok(FileSet::new(FORMATS[0], vec![file])),
    }
}

//! DICOM as one of the formats that scans are read from.

use std::borrow::Cow;
#[cfg(not(target_arch = "wasm32"))]
use std::cell::{Cell, OnceCell};
#[cfg(not(target_arch = "wasm32"))]
use std::fs::File;
#[cfg(not(target_arch = "wasm32"))]
use std::io::Read;
#[cfg(not(target_arch = "wasm32"))]
use std::path::PathBuf;

use super::error::DicomError;
#[cfg(not(target_arch = "wasm32"))]
use super::file::is_directory;
use super::file::{LIST_READ, is_dicom};
#[cfg(not(target_arch = "wasm32"))]
use super::folder;
use super::read::{ReadOptions, Source, read};
use super::seg;
use crate::digest::sha256;
use crate::volume::VolumeError;
use crate::volume::study::{FileRecord, Format, Image, InputFile, LabelImage, StudyOptions, labels_of_one};

/// Series of DICOM images: loose files, folders, or files in memory.
pub struct Dicom;

/// The files of a set with those of its folders. Each is opened and read once and kept until the volume is made, as far as
/// they fit into [`KEEP`] bytes together; beyond it a file is read again when it is needed again.
struct Files<'a> {
    files: Vec<One<'a>>,
    #[cfg(not(target_arch = "wasm32"))]
    kept: Cell<u64>,
}

enum One<'a> {
    Memory(&'a InputFile),
    #[cfg(not(target_arch = "wasm32"))]
    Disk(PathBuf, OnceCell<Vec<u8>>),
}

/// Bytes of files that may lie in memory beside the volume that is made of them: a thousand uncompressed CT slices.
#[cfg(not(target_arch = "wasm32"))]
const KEEP: u64 = 512 << 20;

impl<'a> Files<'a> {
    fn new(files: &'a [InputFile]) -> Result<Self, VolumeError> {
        let mut all = Vec::new();
        #[cfg(not(target_arch = "wasm32"))]
        let mut below = folder::Below::default();
        for file in files {
            match file.path() {
                #[cfg(not(target_arch = "wasm32"))]
                Some(path) if file.loaded().is_none() => match files {
                    [list] if is_list(list) => below.add(&folder::folder_of(path))?,
                    _ => below.add(path)?,
                },
                _ => all.push(One::Memory(file)),
            }
        }
        #[cfg(not(target_arch = "wasm32"))]
        all.extend(below.files.into_iter().map(|path| One::Disk(path, OnceCell::new())));
        Ok(Self {
            files: all,
            #[cfg(not(target_arch = "wasm32"))]
            kept: Cell::new(0),
        })
    }

    /// What is read of a file, from `head` on, kept if there is room.
    #[cfg(not(target_arch = "wasm32"))]
    fn keep<'s>(
        &'s self,
        cell: &'s OnceCell<Vec<u8>>,
        mut file: File,
        mut head: Vec<u8>,
    ) -> std::io::Result<Cow<'s, [u8]>> {
        file.read_to_end(&mut head)?;
        let kept = self.kept.get() + head.len() as u64;
        if kept > KEEP {
            return Ok(Cow::Owned(head));
        }
        self.kept.set(kept);
        Ok(Cow::Borrowed(cell.get_or_init(|| head)))
    }

    /// Says of a folder without a scan what is in it instead.
    #[cfg(not(target_arch = "wasm32"))]
    fn no_scan(&self, given: &[InputFile], error: VolumeError) -> VolumeError {
        let path = |one: &One<'_>| match one {
            One::Disk(path, _) => Some(path.clone()),
            One::Memory(_) => None,
        };
        match given {
            [folder] if folder.is_folder() => {
                folder::no_scan(error, &self.files.iter().filter_map(path).collect::<Vec<_>>())
            }
            _ => error,
        }
    }

    #[cfg(target_arch = "wasm32")]
    fn no_scan(&self, _: &[InputFile], error: VolumeError) -> VolumeError {
        error
    }
}

/// True for a `DICOMDIR` on disk: the folder in which it lies is read in its place.
#[cfg(not(target_arch = "wasm32"))]
fn is_list(file: &InputFile) -> bool {
    file.path().is_some() && is_directory(file.head())
}

#[cfg(target_arch = "wasm32")]
fn is_list(_: &InputFile) -> bool {
    false
}

impl Source for Files<'_> {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn name(&self, file: usize) -> String {
        match self.files.get(file) {
            Some(One::Memory(file)) => file.file_name(),
            #[cfg(not(target_arch = "wasm32"))]
            Some(One::Disk(path, _)) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            None => String::new(),
        }
    }

    /// The first bytes, or all of it if they are DICOM's.
    fn head(&self, file: usize) -> Result<Cow<'_, [u8]>, VolumeError> {
        match self.files.get(file) {
            #[cfg(not(target_arch = "wasm32"))]
            Some(One::Disk(path, cell)) => {
                let failed = |source| VolumeError::Io { path: path.display().to_string(), source };
                if let Some(bytes) = cell.get() {
                    return Ok(Cow::Borrowed(bytes));
                }
                let mut file = File::open(path).map_err(failed)?;
                let mut head = Vec::new();
                file.by_ref().take(folder::HEAD).read_to_end(&mut head).map_err(failed)?;
                match is_dicom(&head) {
                    true => self.keep(cell, file, head).map_err(failed),
                    false => Ok(Cow::Owned(head)),
                }
            }
            _ => self.bytes(file),
        }
    }

    fn bytes(&self, file: usize) -> Result<Cow<'_, [u8]>, VolumeError> {
        match self.files.get(file) {
            Some(One::Memory(file)) => Ok(Cow::Borrowed(file.loaded().unwrap_or_default())),
            #[cfg(not(target_arch = "wasm32"))]
            Some(One::Disk(path, cell)) => match cell.get() {
                Some(bytes) => Ok(Cow::Borrowed(bytes)),
                None => File::open(path)
                    .and_then(|file| self.keep(cell, file, Vec::new()))
                    .map_err(|source| VolumeError::Io { path: path.display().to_string(), source }),
            },
            None => Ok(Cow::default()),
        }
    }
}

impl Format for Dicom {
    fn name(&self) -> &'static str {
        "DICOM"
    }

    fn recognises(&self, head: &[u8]) -> bool {
        is_dicom(head)
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".dcm"]
    }

    fn is_series(&self) -> bool {
        true
    }

    fn read(&self, files: &mut [InputFile], options: &StudyOptions) -> Result<Vec<Image>, VolumeError> {
        if let [file] = files
            && !file.is_folder()
            && !is_list(file)
        {
            file.bytes()?;
        }
        let in_memory = files.len() > 1 && files.iter().all(|file| file.path().is_none());
        let given = files.first().map(InputFile::file_name).unwrap_or_default();
        let read_options = ReadOptions {
            series: options.series.clone(),
            acquisition: options.acquisition.clone(),
            max_bytes: options.nifti.max_bytes,
        };
        let source = Files::new(files)?;
        let image = |series: super::Series| {
            let first = series.files.first().map_or_else(|| given.clone(), |at| source.name(*at));
            // Files that were dropped have no folder whose name could stand for them.
            let file = match series.files.len() {
                1 if in_memory => first,
                n if in_memory => format!("{first} and {} more", n - 1),
                _ => given.clone(),
            };
            Image {
                volume: series.volume,
                header: None,
                affine_source: "dicom",
                modality: Some(series.modality).filter(|m| !m.is_empty()),
                warnings: series.warnings,
                file: FileRecord { file, sha256: series.sha256, dicom: Some(Box::new(series.source)) },
            }
        };
        let listed = matches!(&*files, [list] if is_list(list));
        let told = |mut image: Image| {
            if listed {
                image.warnings.insert(0, LIST_READ.to_owned());
            }
            image
        };
        let all = read(&source, &read_options).map_err(|error| source.no_scan(files, error))?;
        Ok(all.into_iter().map(image).map(told).collect())
    }

    /// A segmentation, if there is one among the files; else a series of images.
    fn read_labels(&self, files: &mut [InputFile], options: &StudyOptions) -> Result<LabelImage, VolumeError> {
        if let [file] = files
            && !file.is_folder()
            && !is_list(file)
        {
            file.bytes()?;
        }
        let source = Files::new(files)?;
        let mut found = Vec::new();
        for at in 0..source.len() {
            if is_dicom(&source.head(at)?) && seg::is_segmentation(&source.bytes(at)?) {
                found.push(at);
            }
        }
        match found[..] {
            [] => {
                drop(source);
                labels_of_one(self.read(files, options)?)
            }
            [at] => {
                let bytes = source.bytes(at)?;
                let name = source.name(at);
                let read = seg::read(&bytes, options.nifti.max_bytes).map_err(|e| e.of(&name))?;
                let file = FileRecord::new(name, sha256(&bytes));
                Ok(LabelImage { labels: read.labels, partial: true, warnings: read.warnings, file })
            }
            _ => {
                let names: Vec<String> = found.iter().map(|at| source.name(*at)).collect();
                let problem = format!("{} segmentations where one is needed; give one file", names.len());
                Err(DicomError::Series { problem, list: names.join(", ") }.into())
            }
        }
    }

    fn digest(&self, files: &mut [InputFile]) -> Result<String, VolumeError> {
        let source = Files::new(files)?;
        let mut digests = Vec::with_capacity(source.len());
        for file in 0..source.len() {
            digests.push(sha256(source.bytes(file)?));
        }
        // Whatever the files are called.
        digests.sort_unstable();
        Ok(sha256(digests.join("\n")))
    }
}

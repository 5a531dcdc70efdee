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

use sha2::{Digest, Sha256};

use super::file::is_dicom;
#[cfg(not(target_arch = "wasm32"))]
use super::folder;
use super::read::{ReadOptions, Source, read};
use crate::volume::VolumeError;
use crate::volume::study::{FileRecord, Format, Image, InputFile, StudyOptions, hex};

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
        for file in files {
            match file.path() {
                #[cfg(not(target_arch = "wasm32"))]
                Some(path) if file.loaded().is_none() => {
                    let mut found = Vec::new();
                    folder::collect(path, &mut found)?;
                    all.extend(found.into_iter().map(|path| One::Disk(path, OnceCell::new())));
                }
                _ => all.push(One::Memory(file)),
            }
        }
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
                file: FileRecord { file, sha256: series.sha256 },
            }
        };
        Ok(read(&source, &read_options)?.into_iter().map(image).collect())
    }

    fn digest(&self, files: &mut [InputFile]) -> Result<String, VolumeError> {
        let source = Files::new(files)?;
        let mut digests = Vec::with_capacity(source.len());
        for file in 0..source.len() {
            digests.push(hex(&Sha256::digest(source.bytes(file)?)));
        }
        // Whatever the files are called.
        digests.sort_unstable();
        Ok(hex(&Sha256::digest(digests.join("\n"))))
    }
}

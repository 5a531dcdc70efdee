//! NIfTI as one of the formats that scans are read from.

#[cfg(not(target_arch = "wasm32"))]
use std::path::{Path, PathBuf};

use super::read::{is_nifti, read, read_labels_wide};
use crate::volume::VolumeError;
use crate::volume::study::{FileRecord, Format, Image, InputFile, LabelImage, StudyOptions, sha256};

/// NIfTI-1 and NIfTI-2, packed or not, single files and pairs.
pub struct Nifti;

/// The bytes of a file and, of a pair, of its voxels.
struct Loaded<'a> {
    file: FileRecord,
    bytes: &'a [u8],
    voxels: Option<&'a [u8]>,
}

impl<'a> Loaded<'a> {
    fn new(files: &'a mut [InputFile]) -> Result<Self, VolumeError> {
        let sha256 = sha256(files)?;
        let file = files.first().map(InputFile::file_name).unwrap_or_default();
        let bytes = files.first().and_then(InputFile::loaded).unwrap_or_default();
        Ok(Self { file: FileRecord::new(file, sha256), bytes, voxels: files.get(1).and_then(InputFile::loaded) })
    }
}

impl Format for Nifti {
    fn name(&self) -> &'static str {
        "NIfTI"
    }

    fn recognises(&self, head: &[u8]) -> bool {
        is_nifti(head)
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".nii.gz", ".nii", ".hdr.gz", ".hdr", ".img.gz", ".img"]
    }

    fn is_second(&self, name: &str) -> bool {
        name.ends_with(".img") || name.ends_with(".img.gz")
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn files_of(&self, path: &Path) -> Vec<PathBuf> {
        super::files_of(path)
    }

    fn read(&self, files: &mut [InputFile], options: &StudyOptions) -> Result<Vec<Image>, VolumeError> {
        let Loaded { file, bytes, voxels } = Loaded::new(files)?;
        let scan = read(bytes, voxels, &options.nifti)?;
        let affine_source = scan.affine_from.name();
        let (volume, header, warnings) = (scan.volume, Some(scan.header), scan.warnings);
        Ok(vec![Image { volume, header, affine_source, modality: None, warnings, file }])
    }

    fn read_labels(&self, files: &mut [InputFile], options: &StudyOptions) -> Result<LabelImage, VolumeError> {
        let Loaded { file, bytes, voxels } = Loaded::new(files)?;
        let scan = read_labels_wide(bytes, voxels, &options.nifti)?;
        Ok(LabelImage { labels: scan.labels, warnings: scan.warnings, file, partial: false })
    }
}

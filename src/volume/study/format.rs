//! What a file format has to say to be read: one implementation and one line in [`FORMATS`].

#[cfg(not(target_arch = "wasm32"))]
use std::path::{Path, PathBuf};

use super::file::InputFile;
use super::{Image, LabelImage, StudyOptions};
use crate::volume::{LabelMap, VolumeError, metaimage, mgh, nifti, nrrd};

/// The formats that are read, in the order in which they are tried. A file that none recognises is told what the first
/// one misses in it.
pub const FORMATS: &[&dyn Format] = &[
    &nifti::Nifti,
    &nrrd::Nrrd,
    &metaimage::MetaImage,
    &mgh::Mgh,
    #[cfg(feature = "dicom")]
    &crate::volume::dicom::Dicom,
];

/// A format of scans and label maps.
pub trait Format: Sync {
    /// What people call it.
    fn name(&self) -> &'static str;

    /// Whether a file's first bytes are of this format; 4 KiB, or all of a smaller file.
    fn recognises(&self, head: &[u8]) -> bool;

    /// Endings of its files' names in small letters, longer before shorter, as in `.nii.gz`.
    fn endings(&self) -> &'static [&'static str];

    /// Whether one image may be many files, so that files side by side, and all of a folder, belong together.
    fn is_series(&self) -> bool {
        false
    }

    /// Whether a file of this name holds the voxels for the header file before it.
    fn is_second(&self, _name: &str) -> bool {
        false
    }

    /// The files that a path stands for, told by names alone: itself, or a header and its voxels.
    #[cfg(not(target_arch = "wasm32"))]
    fn files_of(&self, path: &Path) -> Vec<PathBuf> {
        vec![path.to_path_buf()]
    }

    /// Reads the files of one image, or of several if the options choose several of a series.
    ///
    /// # Errors
    /// Files that are damaged, not supported, or no image.
    fn read(&self, files: &mut [InputFile], options: &StudyOptions) -> Result<Vec<Image>, VolumeError>;

    /// Reads a label map.
    ///
    /// # Errors
    /// As [`Format::read`]; several images or channels, values that are no labels.
    fn read_labels(&self, files: &mut [InputFile], options: &StudyOptions) -> Result<LabelImage, VolumeError> {
        labels_of_one(self.read(files, options)?)
    }

    /// 64 hexadecimal digits that change with the content of the files.
    ///
    /// # Errors
    /// A file cannot be read.
    fn digest(&self, files: &mut [InputFile]) -> Result<String, VolumeError> {
        super::file::sha256(files)
    }
}

/// The only one of some images as a label map.
///
/// # Errors
/// Several images or channels, values that are no labels.
pub(crate) fn labels_of_one(images: Vec<Image>) -> Result<LabelImage, VolumeError> {
    let mut images = images.into_iter();
    let (Some(image), None) = (images.next(), images.next()) else {
        return Err(VolumeError::shape("label map", "one image", "several"));
    };
    let values: Vec<f64> = image.volume.channel(0).iter().map(|v| f64::from(*v)).collect();
    if image.volume.channels != 1 {
        return Err(VolumeError::shape("channels of a label map", 1, image.volume.channels));
    }
    let data = crate::volume::labels_of(&values, image.volume.dims)?;
    let labels = LabelMap { data, dims: image.volume.dims, affine: image.volume.affine };
    Ok(LabelImage { labels, warnings: image.warnings, file: image.file, partial: false })
}

/// The format of some first bytes.
#[must_use]
pub fn recognise(head: &[u8]) -> Option<&'static dyn Format> {
    FORMATS.iter().copied().find(|format| format.recognises(head))
}

/// The format that folders are read as.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn of_folders() -> Option<&'static dyn Format> {
    FORMATS.iter().copied().find(|format| format.is_series())
}

/// A file's name without folders and the endings of known formats.
#[must_use]
pub fn stem(name: &str) -> &str {
    let lower = name.to_ascii_lowercase();
    let endings = FORMATS.iter().flat_map(|format| format.endings());
    let longest = endings.filter(|e| lower.ends_with(**e) && lower.len() > e.len()).map(|e| e.len()).max();
    &name[..name.len() - longest.unwrap_or(0)]
}

//! DICOM Segmentation: label maps as objects of the series that they were made of (PS3.3, C.8.20).
//!
//! Written are segments of one bit (66.4) or one map of labels (66.7), native, with a frame for each slice that has voxels.
//! Frames have the series' own rows and columns and say which of its images they are of. Read are both, and segments of
//! fractions, packed or not.

#[cfg(feature = "dicom-seg")]
mod color;
#[cfg(feature = "dicom-seg")]
mod header;
#[cfg(feature = "dicom-seg")]
mod object;
mod read;
#[cfg(feature = "dicom-seg")]
mod segments;
#[cfg(feature = "dicom-seg")]
mod texts;
#[cfg(feature = "dicom-seg")]
mod write;

pub(super) use read::{is_segmentation, read};
#[cfg(feature = "dicom-seg")]
pub use write::{SegKind, SegOptions, write_labels};

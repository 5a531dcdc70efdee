//! DICOM: series of images as one volume.
//!
//! What is read: single-frame images, one file a slice, and enhanced multi-frame images whose frames state their place
//! (PS3.3 C.7.6.16), in one channel of 8 or 16 bits. What comes out: voxels `(X, Y, Z)` with X along the columns, Y along
//! the rows and Z along the slices, and an affine in RAS+ mm.
//!
//! - **Order** of slices is that of Image Position (Patient) along the slices' normal, the cross product of the row and
//!   the column direction; never names, Instance Number or Slice Location.
//! - **Affine** (PS3.3 C.7.6.2.1.1): columns `row direction * column spacing`, `column direction * row spacing`, and the
//!   step from the first to the last slice over their number; Slice Thickness has no say. LPS becomes RAS by the sign of
//!   the first two rows. Slices shifted evenly within their plane (gantry tilt) give a sheared affine, exactly.
//! - **Values** are `stored * Rescale Slope + Rescale Intercept`, each slice by its own. `MONOCHROME1` stays as stored.
//! - **Refused**, each by name with a remedy: several series, missing or uneven slices, two images at one place, no place
//!   at all, colour, cut pixels, objects that are no images (segmentations, structure sets, reports).
//!
//! Only the attributes listed in [`tags`] are looked at. Names, birth dates and identifiers of patients are skipped where
//! they lie and can reach no output and no message.
//!
//! Elements are walked in place without recursion: memory does not grow with what lengths and depths a file claims. General
//! libraries build a tree of all elements, which a file nested deeply enough turns into a stack overflow.
//!
//! # Source
//! DICOM PS3.3, PS3.5 (2025); Li et al. 2016, J. Neurosci. Methods 264 (dcm2niix) for what to expect of real files.

mod assemble;
mod elements;
mod error;
mod file;
#[cfg(not(target_arch = "wasm32"))]
mod folder;
mod fragments;
mod frames;
mod image;
mod jpeg;
mod jpeg2000;
mod jpeg_ls;
mod pixels;
mod read;
mod rle;
mod series;
mod stack;
mod syntax;
pub mod tags;
mod values;

pub use error::DicomError;
pub use file::is_dicom;
#[cfg(not(target_arch = "wasm32"))]
pub use folder::{is_dicom_path, read_paths};
pub use read::{InMemory, ReadOptions, Series, Source, read};

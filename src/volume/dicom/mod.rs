//! DICOM: series of images as one volume.
//!
//! What is read: single-frame images, one file a slice; multi-frame images whose frames state their place
//! (PS3.3 C.7.6.16) or the distance between them; and Siemens' mosaics. One channel of 1 to 64 bits, or floating point. What
//! comes out: voxels `(X, Y, Z)` with X along the columns, Y along the rows and Z along the slices, and an affine in RAS+ mm.
//!
//! - **Order** of slices is that of Image Position (Patient) along the slices' normal, the cross product of the row and
//!   the column direction; never names, Instance Number or Slice Location.
//! - **Affine** (PS3.3 C.7.6.2.1.1): columns `row direction * column spacing`, `column direction * row spacing`, and the
//!   step from the first to the last slice over their number; Slice Thickness has no say. LPS becomes RAS by the sign of
//!   the first two rows. Slices shifted evenly within their plane (gantry tilt) give a sheared affine, exactly. Directions off
//!   by up to half a degree become the nearest that stand at right angles, and that is told.
//! - **Values** are `stored * Rescale Slope + Rescale Intercept`, each slice by its own. `MONOCHROME1` stays as stored. CT
//!   without either is told.
//! - **Attributes of a frame** are looked for in its own functional groups, then in the shared ones, then at the top level.
//! - **Acquisitions**: echoes, phases, b-values, reconstructions and moments that share a series are parted by the attribute
//!   that makes volumes of them ([`ReadOptions::acquisition`] chooses); they are never one volume of alternating slices.
//! - **Left out**, and told: what is no DICOM or no image of a scan, exact copies, and damaged files where the volume is whole
//!   without them.
//! - **Refused**, each by name with a remedy: several series or acquisitions, missing or uneven slices, no place at all, colour,
//!   cut pixels, objects that are no images (segmentations, structure sets, reports).
//! - **At the edge of the standard** files are read as pydicom, SimpleITK and dcm2niix read them: elements of another encoding
//!   than the transfer syntax says, representations that are wrong or unknown, identifiers with letters, decimal commas.
//!
//! Only the attributes listed in [`tags`] are looked at. Names, birth dates and identifiers of patients are skipped where
//! they lie and can reach no output and no message.
//!
//! Elements are walked in place without recursion: memory does not grow with what lengths and depths a file claims. General
//! libraries build a tree of all elements, which a file nested deeply enough turns into a stack overflow.
//!
//! # Source
//! DICOM PS3.3, PS3.5 (2025); Li et al. 2016, J. Neurosci. Methods 264 (dcm2niix) for what to expect of real files.

mod acquisitions;
mod assemble;
mod copies;
mod csa;
mod elements;
mod error;
mod file;
#[cfg(not(target_arch = "wasm32"))]
mod folder;
mod format;
mod fragments;
mod frames;
mod image;
mod jpeg;
mod jpeg2000;
mod jpeg_ls;
mod marks;
mod mosaic;
mod native;
mod patient;
mod pixel_format;
mod pixels;
mod read;
mod rle;
mod scope;
pub mod seg;
mod series;
mod stack;
mod survey;
mod syntax;
pub mod tags;
mod values;

pub use error::DicomError;
pub use file::is_dicom;
#[cfg(not(target_arch = "wasm32"))]
pub use folder::read_paths;
pub use format::Dicom;
pub use read::{InMemory, ReadOptions, Series, Source, read};

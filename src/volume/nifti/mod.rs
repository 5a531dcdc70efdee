//! NIfTI-1 and NIfTI-2: a strict reader and a writer.
//!
//! Reads `.nii`, `.nii.gz` (told by its content, not its name) and `.hdr`/`.img` pairs, both byte
//! orders, all integer and real types. A file is read as nibabel reads it, or refused with the field
//! and value that is wrong; what was repaired or is doubtful comes back as warnings. Memory is
//! bounded by what the file holds: declared sizes are compared with the bytes present first.
//!
//! Rules where readers differ:
//! - `scl_slope` 0, NaN or infinite: no scaling. A valid slope with a bad intercept is refused.
//! - The affine is sform if coded, else qform if coded, else the one nibabel makes from `pixdim`
//!   (x to the left, centre at the origin), with a warning that the side is a guess. A 3-D file whose
//!   sform disagrees with `pixdim` while a coded qform agrees uses the qform, as MONAI does.
//! - sform and qform that name different sides are refused, see [`ReadOptions::form`].
//! - NaN and infinite voxels are kept as stored, and counted in a warning.
//! - `bitpix` that contradicts `datatype`, `vox_offset` inside the header, damaged extensions, wrong
//!   gzip checksums and missing gzip trailers are refused.
//!
//! # Source
//! nifti1.h, nifti2.h (NIH); nibabel `nifti1.py`; MONAI `data/utils.py`.

mod datatype;
mod extension;
mod form;
mod format;
mod header;
mod labels;
mod read;
mod write;

pub use crate::volume::datatype::{Datatype, Endian};
pub use extension::{CARET, COMMENT, Extension};
pub use form::{AffineFrom, Form};
pub use format::Nifti;
pub use header::{Header, Version};
pub use labels::LabelName;
pub use read::{LabelScan, ReadOptions, Scan, header_only, is_nifti, read, read_labels, read_labels_wide};
#[cfg(not(target_arch = "wasm32"))]
pub use read::{files_of, read_labels_path, read_path};
pub use write::{WriteOptions, is_gzip_name, write_labels, write_volume};

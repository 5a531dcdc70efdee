//! MGH and MGZ of FreeSurfer: a header of 284 bytes, most significant byte first, the voxels, tags that are passed over.
//!
//! `world = M diag(spacing) (index - dims / 2) + c_ras`, RAS+ mm, where the columns of `M` are the directions of the axes.
//!
//! # Source
//! FreeSurfer's description of the format (`FsTutorial/MghFormat`); nibabel `freesurfer/mghformat.py`.

use super::VolumeError;
use super::container::{is_gzip, prefix};
use super::datatype::{Datatype, Endian};
use super::stored::{Encoding, Stored, affine_of};
use super::study::{FileRecord, Format, Image, InputFile, LabelImage, StudyOptions, sha256};

const FORMAT: &str = "MGH";
/// Where the voxels begin.
const HEADER: usize = 284;

/// `.mgh`, and `.mgz`, packed with gzip.
pub struct Mgh;

impl Format for Mgh {
    fn name(&self) -> &'static str {
        FORMAT
    }

    fn recognises(&self, head: &[u8]) -> bool {
        // Version 1, and a width of less than 65,536.
        prefix(head, 6).is_ok_and(|head| head.starts_with(&[0, 0, 0, 1, 0, 0]))
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".mgh.gz", ".mgh", ".mgz"]
    }

    fn read(&self, files: &mut [InputFile], options: &StudyOptions) -> Result<Vec<Image>, VolumeError> {
        let (file, bytes) = load(files)?;
        let mut stored = header(bytes)?;
        let voxels = stored.unpack(bytes, HEADER as u64, 1, options.nifti.max_bytes)?;
        Ok(vec![stored.image(&voxels, file, None)?])
    }

    fn read_labels(&self, files: &mut [InputFile], options: &StudyOptions) -> Result<LabelImage, VolumeError> {
        let (file, bytes) = load(files)?;
        let mut stored = header(bytes)?;
        let voxels = stored.unpack(bytes, HEADER as u64, 1, options.nifti.max_bytes)?;
        stored.labels(&voxels, file)
    }
}

fn load(files: &mut [InputFile]) -> Result<(FileRecord, &[u8]), VolumeError> {
    let sha256 = sha256(files)?;
    let first = files.first().ok_or_else(|| VolumeError::shape("files", 1, 0))?;
    Ok((FileRecord::new(first.file_name(), sha256), first.loaded().unwrap_or_default()))
}

/// What the header says of the voxels, which lie behind it.
fn header(bytes: &[u8]) -> Result<Stored, VolumeError> {
    let head = prefix(bytes, HEADER)?;
    let found = head.len() as u64;
    let head: &[u8; HEADER] =
        head.first_chunk().ok_or(VolumeError::Truncated { what: "the header", needed: HEADER as u64, found })?;
    let word = |at: usize| <[u8; 4]>::try_from(&head[at..at + 4]).unwrap_or_default();
    let int = |at| i32::from_be_bytes(word(at));
    let float = |at| f64::from(f32::from_be_bytes(word(at)));
    let size = |at, field| {
        let value = int(at);
        match usize::try_from(value) {
            Ok(size) if size > 0 => Ok(size),
            _ => Err(VolumeError::field(FORMAT, field, value, "an axis has at least one voxel")),
        }
    };
    let dims = [size(4, "width")?, size(8, "height")?, size(12, "depth")?];
    let channels = size(16, "nframes")?;
    let datatype = match int(20) {
        0 => Datatype::U8,
        1 => Datatype::I32,
        3 => Datatype::F32,
        4 => Datatype::I16,
        10 => Datatype::U16,
        other => return Err(VolumeError::field(FORMAT, "type", other, "voxels are of type 0, 1, 3, 4 or 10")),
    };
    let mut warnings = Vec::new();
    let placed = i16::from_be_bytes([head[28], head[29]]) > 0;
    let (spacing, axes, centre): ([f64; 3], [[f64; 3]; 3], [f64; 3]) = if placed {
        let three = |at: usize| [0, 4, 8].map(|offset| float(at + offset));
        (three(30), [three(42), three(54), three(66)], three(78))
    } else {
        warnings.push(
            "the header says nothing of the scan's place (goodRASFlag is 0): voxels of 1 mm in FreeSurfer's own order, left, \
             foot, front, are assumed; which side is left is a guess"
                .to_owned(),
        );
        ([1.0; 3], [[-1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]], [0.0; 3])
    };
    let axes: [[f64; 3]; 3] = std::array::from_fn(|a| axes[a].map(|v| v * spacing[a]));
    // Whole halves, as FreeSurfer counts them, for odd sizes too.
    let middle = dims.map(|d| d as f64 / 2.0);
    let origin = std::array::from_fn(|row| centre[row] - (0..3).map(|a| axes[a][row] * middle[a]).sum::<f64>());
    let encoding = if is_gzip(bytes) { Encoding::Gzip } else { Encoding::Raw };
    let stored = Stored {
        dims,
        channels,
        interleaved: false,
        datatype,
        endian: Endian::Big,
        encoding,
        tail: true,
        affine: affine_of(axes, origin),
        affine_source: if placed { "vox2ras" } else { "assumed" },
        warnings,
    };
    stored.affine.check("the header")?;
    Ok(stored)
}

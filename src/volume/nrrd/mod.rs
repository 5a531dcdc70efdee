//! NRRD (`.nrrd`, `.nhdr`) and the segmentations that 3D Slicer keeps in it (`.seg.nrrd`): a strict reader.
//!
//! Reads versions 1 to 5, every type of one number, raw, gzip, text and hex voxels in both byte orders, attached or in files
//! beside the header. Of four axes the one without direction is the channels', first (the channels of a voxel side by side) or
//! last. Positions in left-posterior-superior or left-anterior-superior become RAS+.
//!
//! # Source
//! Definition of the format: <http://teem.sourceforge.net/nrrd/format.html>; 3D Slicer's `vtkMRMLSegmentationStorageNode`.

mod header;
mod segments;
mod write;

use std::borrow::Cow;
#[cfg(not(target_arch = "wasm32"))]
use std::path::{Path, PathBuf};

use super::VolumeError;
use super::study::{FileRecord, Format, Image, InputFile, LabelImage, StudyOptions, sha256};
pub(in crate::volume) use header::numbered;
use header::{DataFiles, Described, Header};
pub use write::write_labels;

const FORMAT: &str = "NRRD";

/// NRRD, one file or several.
pub struct Nrrd;

impl Format for Nrrd {
    fn name(&self) -> &'static str {
        FORMAT
    }

    fn recognises(&self, head: &[u8]) -> bool {
        head.starts_with(b"NRRD0")
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".seg.nrrd", ".seg.nhdr", ".nrrd", ".nhdr"]
    }

    fn is_second(&self, name: &str) -> bool {
        [".raw", ".raw.gz", ".gz", ".bin", ".img", ".txt", ".hex"].iter().any(|ending| name.ends_with(ending))
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn files_of(&self, path: &Path) -> Vec<PathBuf> {
        let header = detached_header(path);
        let names = header.and_then(|header| header.data_files().ok());
        let beside = match names {
            Some(DataFiles::Named(names)) => names,
            _ => Vec::new(),
        };
        std::iter::once(path.to_path_buf()).chain(beside.into_iter().map(|name| path.with_file_name(name))).collect()
    }

    fn read(&self, files: &mut [InputFile], options: &StudyOptions) -> Result<Vec<Image>, VolumeError> {
        let (file, header, mut described) = load(files)?;
        let voxels = unpack(files, &header, &mut described, options.nifti.max_bytes)?;
        Ok(vec![described.stored.image(&voxels, file, None)?])
    }

    fn read_labels(&self, files: &mut [InputFile], options: &StudyOptions) -> Result<LabelImage, VolumeError> {
        let (file, header, mut described) = load(files)?;
        let voxels = unpack(files, &header, &mut described, options.nifti.max_bytes)?;
        match described.stored.channels {
            1 => described.stored.labels(&voxels, file),
            _ => segments::flatten(&header.pairs, described.stored, &voxels, file),
        }
    }
}

/// The header of a file whose voxels lie in others.
#[cfg(not(target_arch = "wasm32"))]
fn detached_header(path: &Path) -> Option<Header> {
    use std::io::Read;
    let ending = path.extension()?.to_string_lossy().to_ascii_lowercase();
    // A pipe can be opened but once.
    if (ending != "nhdr" && ending != "nrrd") || !path.is_file() {
        return None;
    }
    let mut head = Vec::new();
    // A detached header is all of its file, and small; an attached one does not matter here.
    std::fs::File::open(path).ok()?.take(1 << 20).read_to_end(&mut head).ok()?;
    Header::parse(&head).ok()
}

fn load(files: &mut [InputFile]) -> Result<(FileRecord, Header, Described), VolumeError> {
    let sha256 = sha256(files)?;
    let first = files.first().ok_or_else(|| VolumeError::shape("files", 1, 0))?;
    let header = Header::parse(first.loaded().unwrap_or_default())?;
    let described = header.describe()?;
    Ok((FileRecord::new(first.file_name(), sha256), header, described))
}

/// The voxels of a header's file, or of the files that it names.
fn unpack<'a>(
    files: &'a [InputFile],
    header: &Header,
    described: &mut Described,
    max_bytes: u64,
) -> Result<Cow<'a, [u8]>, VolumeError> {
    let loaded = |at: usize| files.get(at).and_then(InputFile::loaded);
    let names = match header.data_files()? {
        DataFiles::Attached => {
            let own = loaded(0).unwrap_or_default();
            return described.unpack(own.get(header.bytes..).unwrap_or_default(), 1, max_bytes);
        }
        DataFiles::Named(names) => names,
    };
    let part =
        |at: usize, name: &String| loaded(at + 1).ok_or_else(|| VolumeError::VoxelsMissing { file: name.clone() });
    if let [name] = &names[..] {
        return described.unpack(part(0, name)?, 1, max_bytes);
    }
    let whole = described.stored.bytes()?;
    if names.is_empty() || !whole.is_multiple_of(names.len() as u64) {
        return Err(VolumeError::field(
            FORMAT,
            "data file",
            names.len(),
            "each file holds as many voxels as the others",
        ));
    }
    let mut all = Vec::new();
    for (at, name) in names.iter().enumerate() {
        all.extend_from_slice(&described.unpack(part(at, name)?, names.len(), max_bytes)?);
    }
    described.stored.as_unpacked();
    Ok(all.into())
}

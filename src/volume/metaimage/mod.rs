//! MetaImage (`.mha`, and `.mhd` with its voxels in another file): a strict reader.
//!
//! Reads binary and text voxels, packed (zlib) or not, of every type of one number, both byte orders, several channels, and
//! slices in files of their own. Positions are in left-posterior-superior, whatever `AnatomicalOrientation` says, as ITK reads
//! them, and become RAS+.
//!
//! # Source
//! MetaIO's documentation (<https://itk.org/Wiki/MetaIO/Documentation>); ITK `itkMetaImageIO.cxx`.

mod write;

use std::borrow::Cow;
use std::collections::BTreeMap;
#[cfg(not(target_arch = "wasm32"))]
use std::path::{Path, PathBuf};

use crate::volume::datatype::{Datatype, Endian};
use crate::volume::stored::{Encoding, Stored, affine_of, lps_to_ras, numbers};
use crate::volume::study::{FileRecord, Format, Image, InputFile, LabelImage, StudyOptions, sha256};
use crate::volume::{Affine, VolumeError};

pub use write::write_labels;

const FORMAT: &str = "MetaImage";
/// Bytes of the longest header accepted; lists of slices are part of it.
const MAX_HEADER: usize = 1 << 20;

/// MetaImage, one file or several.
pub struct MetaImage;

impl Format for MetaImage {
    fn name(&self) -> &'static str {
        FORMAT
    }

    fn recognises(&self, head: &[u8]) -> bool {
        let text = head.get(..256).unwrap_or(head).trim_ascii_start();
        ["ObjectType", "NDims", "Comment", "ObjectSubType"]
            .iter()
            .any(|key| text.strip_prefix(key.as_bytes()).is_some_and(|rest| rest.trim_ascii_start().starts_with(b"=")))
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".mha", ".mhd"]
    }

    fn is_second(&self, name: &str) -> bool {
        [".raw", ".zraw", ".bin", ".img"].iter().any(|ending| name.ends_with(ending))
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn files_of(&self, path: &Path) -> Vec<PathBuf> {
        use std::io::Read;
        let mut head = Vec::new();
        let metaimage =
            path.extension().is_some_and(|e| e.eq_ignore_ascii_case("mhd") || e.eq_ignore_ascii_case("mha"));
        // A pipe can be opened but once.
        let metaimage = metaimage && path.is_file();
        if metaimage && let Ok(file) = std::fs::File::open(path) {
            // What cannot be read is told where the file is read.
            let _ = file.take(MAX_HEADER as u64).read_to_end(&mut head);
        }
        let names = Header::parse(&head).and_then(|header| header.data_files()).unwrap_or_default();
        std::iter::once(path.to_path_buf()).chain(names.into_iter().map(|name| path.with_file_name(name))).collect()
    }

    fn read(&self, files: &mut [InputFile], options: &StudyOptions) -> Result<Vec<Image>, VolumeError> {
        let (file, header, mut stored) = load(files)?;
        let voxels = unpack(files, &header, &mut stored, options.nifti.max_bytes)?;
        Ok(vec![stored.image(&voxels, file, header.modality())?])
    }

    fn read_labels(&self, files: &mut [InputFile], options: &StudyOptions) -> Result<LabelImage, VolumeError> {
        let (file, header, mut stored) = load(files)?;
        let voxels = unpack(files, &header, &mut stored, options.nifti.max_bytes)?;
        stored.labels(&voxels, file)
    }
}

fn load(files: &mut [InputFile]) -> Result<(FileRecord, Header, Stored), VolumeError> {
    let sha256 = sha256(files)?;
    let first = files.first().ok_or_else(|| VolumeError::shape("files", 1, 0))?;
    let header = Header::parse(first.loaded().unwrap_or_default())?;
    let stored = header.describe()?;
    Ok((FileRecord::new(first.file_name(), sha256), header, stored))
}

/// The voxels of a header's file, or of the files that it names.
fn unpack<'a>(
    files: &'a [InputFile],
    header: &Header,
    stored: &mut Stored,
    max_bytes: u64,
) -> Result<Cow<'a, [u8]>, VolumeError> {
    let loaded = |at: usize| files.get(at).and_then(InputFile::loaded);
    let names = header.data_files()?;
    // A header of -1 bytes: the voxels are the end of the file.
    let end = |file: &'a [u8], bytes: u64| match header.skip {
        Some(skip) => file.get(skip..).unwrap_or_default(),
        None => &file[file.len().saturating_sub(bytes as usize)..],
    };
    let whole = stored.bytes()?;
    if names.is_empty() {
        return stored.unpack(loaded(0).unwrap_or_default().get(header.bytes..).unwrap_or_default(), 0, 1, max_bytes);
    }
    if !whole.is_multiple_of(names.len() as u64) {
        return Err(VolumeError::field(
            FORMAT,
            "ElementDataFile",
            names.len(),
            "each file holds as many voxels as the others",
        ));
    }
    let part = |at: usize| {
        let missing = || VolumeError::VoxelsMissing { file: names[at].clone() };
        loaded(at + 1).map(|file| end(file, whole / names.len() as u64)).ok_or_else(missing)
    };
    if names.len() == 1 {
        return stored.unpack(part(0)?, 0, 1, max_bytes);
    }
    let mut all = Vec::new();
    for at in 0..names.len() {
        all.extend_from_slice(&stored.unpack(part(at)?, 0, names.len(), max_bytes)?);
    }
    Ok(all.into())
}

/// A header, its lines taken apart.
struct Header {
    fields: BTreeMap<String, String>,
    /// Names after `ElementDataFile = LIST`.
    list: Vec<String>,
    /// Bytes of the header in its file.
    bytes: usize,
    /// Bytes before the voxels in files of their own; `None` where the voxels are the end of a file.
    skip: Option<usize>,
}

impl Header {
    fn parse(file: &[u8]) -> Result<Self, VolumeError> {
        let mut fields = BTreeMap::new();
        let mut at = 0;
        while let Some(end) = file[at..].iter().take(MAX_HEADER).position(|b| *b == b'\n').or_else(|| {
            // The last line of an .mhd may lack its end.
            (at < file.len() && file.len() - at < 4096).then_some(file.len() - at)
        }) {
            let line = String::from_utf8_lossy(&file[at..at + end]).into_owned();
            at = (at + end + 1).min(file.len());
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let Some((key, value)) = line.split_once('=').map(|(k, v)| (k.trim(), v.trim())) else {
                return Err(VolumeError::field(FORMAT, "a line", line, "a line is `key = value`"));
            };
            fields.insert(key.to_ascii_lowercase(), value.to_owned());
            if key.eq_ignore_ascii_case("ElementDataFile") {
                let list = match value.split_whitespace().next() {
                    Some("LIST") => {
                        let rest = String::from_utf8_lossy(&file[at..(at + MAX_HEADER).min(file.len())]).into_owned();
                        rest.lines().map(|l| l.trim().to_owned()).filter(|l| !l.is_empty()).collect()
                    }
                    _ => Vec::new(),
                };
                let mut header = Self { fields, list, bytes: at, skip: Some(0) };
                header.skip = match header.get("HeaderSize").map(str::parse::<i64>) {
                    None => Some(0),
                    Some(Ok(-1)) => None,
                    Some(Ok(n)) if n >= 0 => Some(usize::try_from(n).unwrap_or(usize::MAX)),
                    Some(_) => return Err(header.refused("HeaderSize", "it is a number of bytes, or -1")),
                };
                return Ok(header);
            }
            if at >= file.len() || at > MAX_HEADER {
                break;
            }
        }
        Err(VolumeError::field(FORMAT, "ElementDataFile", "missing", "it ends the header"))
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.fields.get(&key.to_ascii_lowercase()).map(String::as_str)
    }

    fn first(&self, keys: &[&'static str]) -> Option<(&'static str, &str)> {
        keys.iter().find_map(|key| Some((*key, self.get(key)?)))
    }

    fn refused(&self, key: &str, problem: &str) -> VolumeError {
        VolumeError::field(FORMAT, key, self.get(key).unwrap_or("missing"), problem)
    }

    fn yes(&self, keys: &[&'static str]) -> bool {
        self.first(keys).is_some_and(|(_, value)| value.eq_ignore_ascii_case("true") || value == "1")
    }

    /// DICOM's code, where the header tells it.
    fn modality(&self) -> Option<String> {
        let code = self.get("Modality")?.strip_prefix("MET_MOD_")?.to_ascii_uppercase();
        (code != "UNKNOWN" && code != "OTHER").then_some(code)
    }

    /// Names of the files that hold the voxels; none where the header's own does.
    fn data_files(&self) -> Result<Vec<String>, VolumeError> {
        let value = self.get("ElementDataFile").unwrap_or_default();
        let words: Vec<&str> = value.split_whitespace().collect();
        match words[..] {
            ["LOCAL" | "Local" | "local"] => Ok(Vec::new()),
            ["LIST", ..] => Ok(self.list.clone()),
            [pattern, first, last, step] if pattern.contains('%') => {
                let range = [first, last, step].map(|w| w.parse::<i64>().ok().filter(|n| (0..=65_536).contains(n)));
                let [Some(first), Some(last), Some(step)] = range else {
                    return Err(self.refused("ElementDataFile", "a pattern is like slice.%03d 1 20 1"));
                };
                crate::volume::nrrd::numbered(pattern, first, last, step)
                    .ok_or_else(|| self.refused("ElementDataFile", "a pattern is like slice.%03d 1 20 1"))
            }
            _ => Ok(vec![value.to_owned()]),
        }
    }

    fn describe(&self) -> Result<Stored, VolumeError> {
        let dims = self.get("NDims").and_then(|n| n.parse::<usize>().ok()).filter(|n| (3..=4).contains(n));
        let axes = dims.ok_or_else(|| self.refused("NDims", "a volume has 3 axes, or 4 with its channels last"))?;
        let sizes: Option<Vec<usize>> = self
            .get("DimSize")
            .unwrap_or_default()
            .split_whitespace()
            .map(|s| s.parse().ok().filter(|n| *n > 0))
            .collect();
        let sizes = sizes
            .filter(|s| s.len() == axes)
            .ok_or_else(|| self.refused("DimSize", "each axis has a size of 1 or more"))?;
        let components = match self.get("ElementNumberOfChannels").map(str::parse::<usize>) {
            None => 1,
            Some(Ok(n)) if n > 0 => n,
            Some(_) => return Err(self.refused("ElementNumberOfChannels", "it is a number from 1")),
        };
        let frames = sizes.get(3).copied().unwrap_or(1);
        if components > 1 && frames > 1 {
            return Err(self.refused("ElementNumberOfChannels", "a fourth axis and channels at once are not read"));
        }
        let encoding = if self.get("BinaryData").is_some() && !self.yes(&["BinaryData"]) {
            Encoding::Text
        } else if self.yes(&["CompressedData"]) {
            Encoding::Zlib
        } else {
            Encoding::Raw
        };
        let mut warnings = Vec::new();
        let (affine, affine_source) = self.affine(axes, &mut warnings)?;
        Ok(Stored {
            dims: [sizes[0], sizes[1], sizes[2]],
            channels: components.saturating_mul(frames),
            interleaved: components > 1,
            datatype: self.datatype()?,
            endian: if self.yes(&["BinaryDataByteOrderMSB", "ElementByteOrderMSB"]) {
                Endian::Big
            } else {
                Endian::Little
            },
            encoding,
            tail: false,
            affine,
            affine_source,
            warnings,
        })
    }

    fn datatype(&self) -> Result<Datatype, VolumeError> {
        let name = self.get("ElementType").unwrap_or_default();
        Ok(match name.trim_end_matches("_ARRAY") {
            "MET_CHAR" => Datatype::I8,
            "MET_UCHAR" => Datatype::U8,
            "MET_SHORT" => Datatype::I16,
            "MET_USHORT" => Datatype::U16,
            // `long` has four bytes in MetaIO.
            "MET_INT" | "MET_LONG" => Datatype::I32,
            "MET_UINT" | "MET_ULONG" => Datatype::U32,
            "MET_LONG_LONG" => Datatype::I64,
            "MET_ULONG_LONG" => Datatype::U64,
            "MET_FLOAT" => Datatype::F32,
            "MET_DOUBLE" => Datatype::F64,
            _ => return Err(self.refused("ElementType", "one number a voxel is needed: MET_UCHAR to MET_DOUBLE")),
        })
    }

    /// The first three of the `axes` numbers of a field.
    fn three(&self, (key, text): (&'static str, &str), axes: usize) -> Result<[f64; 3], VolumeError> {
        let all = numbers(text).filter(|all| all.len() == axes);
        let first = all.and_then(|all| all.first_chunk::<3>().copied());
        first.ok_or_else(|| VolumeError::field(FORMAT, key, text, "each axis has a number"))
    }

    fn affine(&self, axes: usize, warnings: &mut Vec<String>) -> Result<(Affine, &'static str), VolumeError> {
        let spacing = match self.first(&["ElementSpacing", "ElementSize"]) {
            Some(field) => self.three(field, axes)?.map(f64::abs),
            None => {
                warnings.push("the header has no ElementSpacing: voxels of 1 mm are assumed".into());
                [1.0; 3]
            }
        };
        let origin = match self.first(&["Offset", "Position", "Origin"]) {
            Some(field) => self.three(field, axes)?,
            None => [0.0; 3],
        };
        // The direction of each axis in turn.
        let (directions, source): ([[f64; 3]; 3], _) = match self.first(&["TransformMatrix", "Rotation", "Orientation"])
        {
            Some((key, text)) => {
                let all = numbers(text).filter(|all| all.len() == axes * axes);
                let all = all.ok_or_else(|| VolumeError::field(FORMAT, key, text, "it has a row for each axis"))?;
                (std::array::from_fn(|a| std::array::from_fn(|row| all[a * axes + row])), key)
            }
            None => {
                warnings.push(
                    "the header has no TransformMatrix: its axes are taken as leading to the patient's left, back and head; \
                     which side is left is a guess"
                        .into(),
                );
                ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], "ElementSpacing")
            }
        };
        let steps = std::array::from_fn(|a| lps_to_ras(directions[a].map(|v| v * spacing[a])));
        let affine = affine_of(steps, lps_to_ras(origin));
        affine.check(source)?;
        Ok((affine, source))
    }
}

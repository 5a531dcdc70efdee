//! Reading scans and label maps from bytes.

use std::borrow::Cow;

use super::extension::{self, Extension};
use super::form::{self, AffineFrom, Form};
use super::header::Header;
use crate::volume::container::{check_declared, content, prefix, small};
use crate::volume::{Affine, LabelMap, Volume, VolumeError, label_value, labels_of};

/// How to read.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// Which affine to use. Anything but [`Form::Auto`] is a decision of the caller about sides; it
    /// is recorded in the scan's warnings.
    pub form: Form,
    /// Refuse files that state no orientation at all, instead of guessing with a warning.
    pub require_orientation: bool,
    /// Refuse scans whose voxels need more bytes than this, stored or decoded.
    pub max_bytes: u64,
}

impl Default for ReadOptions {
    fn default() -> Self {
        let max_bytes = if cfg!(target_pointer_width = "64") { 32 << 30 } else { 2 << 30 };
        Self { form: Form::Auto, require_orientation: false, max_bytes }
    }
}

/// A scan as read: voxels, place, and what the file says beside them.
#[derive(Debug, Clone)]
pub struct Scan {
    pub volume: Volume,
    pub header: Header,
    pub affine_from: AffineFrom,
    pub extensions: Vec<Extension>,
    /// What was repaired or is doubtful, in words for the user.
    pub warnings: Vec<String>,
}

/// A label map as read.
#[derive(Debug, Clone)]
pub struct LabelScan<T = u16> {
    pub labels: LabelMap<T>,
    pub header: Header,
    pub affine_from: AffineFrom,
    pub extensions: Vec<Extension>,
    pub warnings: Vec<String>,
}

/// Largest `.hdr` file, header and extensions.
const MAX_HEADER_FILE: usize = 64 << 20;

/// True if the bytes begin with a NIfTI header, packed or not. Never fails.
#[must_use]
pub fn is_nifti(bytes: &[u8]) -> bool {
    let Ok(head) = prefix(bytes, Header::PREFIX) else {
        return false;
    };
    let magic = |range: std::ops::Range<usize>| head.get(range).unwrap_or_default();
    matches!(magic(344..347), b"n+1" | b"ni1") || matches!(magic(4..7), b"n+2" | b"ni2")
}

/// Decodes the header alone, without unpacking the voxels.
///
/// # Errors
/// As [`read`], for what the header says.
pub fn header_only(bytes: &[u8]) -> Result<(Header, Vec<String>), VolumeError> {
    let mut warnings = Vec::new();
    let header = Header::parse(&prefix(bytes, Header::PREFIX)?, &mut warnings)?;
    Ok((header, warnings))
}

/// Reads a scan. `img` is the second file of a `.hdr`/`.img` pair and ignored for a single file.
///
/// # Errors
/// A file that is damaged, cut short, inconsistent, of an unsupported type, larger than
/// [`ReadOptions::max_bytes`], or whose sides cannot be told.
pub fn read(bytes: &[u8], img: Option<&[u8]>, options: &ReadOptions) -> Result<Scan, VolumeError> {
    let mut raw = Raw::open(bytes, img, options)?;
    let header = &raw.header;
    let voxels = raw.voxels()?;
    let data = match header.scaling {
        Some((slope, inter)) => {
            header.datatype.decode(voxels, header.endian, raw.channels, raw.dims, |v| (v * slope + inter) as f32)?
        }
        None => header.datatype.decode(voxels, header.endian, raw.channels, raw.dims, |v| v as f32)?,
    };
    let volume = Volume::new(data, raw.channels, raw.dims, raw.affine)?;
    raw.warnings.extend(raw.header.time_axis().map(|step| {
        format!("the fourth axis is time by its header ({step}): its {} volumes are taken as channels", raw.channels)
    }));
    let odd = volume.non_finite();
    if odd > 0 {
        raw.warnings.push(format!("{odd} of {} voxels are NaN or infinite", volume.data.len()));
    }
    Ok(Scan {
        volume,
        header: raw.header,
        affine_from: raw.affine_from,
        extensions: raw.extensions,
        warnings: raw.warnings,
    })
}

/// Reads a label map exactly: whole numbers from 0 to 65535, one channel, any stored type.
///
/// # Errors
/// As [`read`], and the first voxel that is no label, or more than one channel.
pub fn read_labels(bytes: &[u8], img: Option<&[u8]>, options: &ReadOptions) -> Result<LabelScan, VolumeError> {
    let LabelScan { labels, header, affine_from, extensions, warnings } = read_labels_wide(bytes, img, options)?;
    Ok(LabelScan { labels: labels.narrow()?, header, affine_from, extensions, warnings })
}

/// Reads a label map for comparing: values up to 2^32 - 1. Real numbers within a thousandth of a whole one are that
/// number.
///
/// # Errors
/// As [`read_labels`].
pub fn read_labels_wide(
    bytes: &[u8],
    img: Option<&[u8]>,
    options: &ReadOptions,
) -> Result<LabelScan<u32>, VolumeError> {
    let raw = Raw::open(bytes, img, options)?;
    let header = &raw.header;
    if raw.channels != 1 {
        return Err(VolumeError::shape("channels of a label map", 1, raw.channels));
    }
    let (slope, inter) = header.scaling.unwrap_or((1.0, 0.0));
    let value = |v: f64| v * slope + inter;
    let odd = std::cell::Cell::new(false);
    let data = header.datatype.decode(raw.voxels()?, header.endian, 1, raw.dims, |v| {
        label_value(value(v)).unwrap_or_else(|| {
            odd.set(true);
            0
        })
    })?;
    if odd.get() {
        // Again, to say where.
        let values = header.datatype.decode(raw.voxels()?, header.endian, 1, raw.dims, value)?;
        labels_of(&values, raw.dims)?;
    }
    Ok(LabelScan {
        labels: LabelMap::new(data, raw.dims, raw.affine)?,
        header: raw.header,
        affine_from: raw.affine_from,
        extensions: raw.extensions,
        warnings: raw.warnings,
    })
}

/// A file opened and checked, its voxels not yet decoded.
struct Raw<'a> {
    header: Header,
    bytes: Cow<'a, [u8]>,
    dims: [usize; 3],
    channels: usize,
    affine: Affine,
    affine_from: AffineFrom,
    extensions: Vec<Extension>,
    warnings: Vec<String>,
}

impl<'a> Raw<'a> {
    fn open(bytes: &'a [u8], img: Option<&'a [u8]>, options: &ReadOptions) -> Result<Self, VolumeError> {
        let (header, mut warnings) = header_only(bytes)?;
        let (dims, channels) = header.shape()?;
        let (affine, affine_from) = form::affine(&header, options, &mut warnings)?;
        let stored = header.data_bytes()?;
        let declared = header
            .vox_offset
            .checked_add(stored)
            .ok_or_else(|| VolumeError::header("vox_offset", header.vox_offset, "too large"))?;
        let (source, what) = match (header.pair, img) {
            (false, _) => (bytes, "the file"),
            (true, Some(img)) => (img, "the .img file"),
            (true, None) => return Err(VolumeError::ImageMissing),
        };
        // Before the limit, so that a lie about the size is called a lie.
        check_declared(source, what, declared)?;
        let decoded = stored / header.datatype.size() as u64 * size_of::<f32>() as u64;
        let needed = declared.max(decoded);
        if needed > options.max_bytes.min(isize::MAX as u64) {
            return Err(VolumeError::TooLarge { needed, limit: options.max_bytes });
        }
        let (content, trailing) = content(source, what, declared)?;
        if trailing > 0 {
            warnings.push(format!("{trailing} bytes after the voxels are ignored"));
        }
        let head = header.version.header_size();
        let extensions = if header.pair {
            let all = small(bytes, MAX_HEADER_FILE)?;
            extensions_in(all.get(head..).unwrap_or_default(), &header, &mut warnings)?
        } else {
            let end = header.vox_offset as usize;
            extensions_in(content.get(head..end).unwrap_or_default(), &header, &mut warnings)?
        };
        Ok(Self { header, bytes: content, dims, channels, affine, affine_from, extensions, warnings })
    }

    /// The bytes of the voxels, exactly.
    fn voxels(&self) -> Result<&[u8], VolumeError> {
        self.bytes.get(self.header.vox_offset as usize..).ok_or(VolumeError::Truncated {
            what: "the file",
            needed: self.header.vox_offset,
            found: self.bytes.len() as u64,
        })
    }
}

/// `region` begins with the 4 bytes of the extender; extensions follow if its first is not 0.
fn extensions_in(region: &[u8], header: &Header, warnings: &mut Vec<String>) -> Result<Vec<Extension>, VolumeError> {
    match region.split_first_chunk::<4>() {
        Some((extender, rest)) if extender[0] != 0 => extension::parse(rest, header.endian, warnings),
        _ => Ok(Vec::new()),
    }
}

/// Reads a scan from a path; of a pair, either file may be named.
///
/// # Errors
/// As [`read`], and files that cannot be opened.
#[cfg(not(target_arch = "wasm32"))]
pub fn read_path(path: &std::path::Path, options: &ReadOptions) -> Result<Scan, VolumeError> {
    let (bytes, img) = open_path(path)?;
    read(&bytes, img.as_deref(), options)
}

/// Reads a label map from a path; of a pair, either file may be named.
///
/// # Errors
/// As [`read_labels`], and files that cannot be opened.
#[cfg(not(target_arch = "wasm32"))]
pub fn read_labels_path(path: &std::path::Path, options: &ReadOptions) -> Result<LabelScan, VolumeError> {
    let (bytes, img) = open_path(path)?;
    read_labels(&bytes, img.as_deref(), options)
}

/// The files that a path stands for: itself, or of a pair, either of which may be named, the header and then the image, if
/// it is there.
#[cfg(not(target_arch = "wasm32"))]
#[must_use]
pub fn files_of(path: &std::path::Path) -> Vec<std::path::PathBuf> {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let sibling = |from: &str, to: &str| name.strip_suffix(from).map(|stem| path.with_file_name(format!("{stem}{to}")));
    if let Some(header) = sibling(".img", ".hdr").or_else(|| sibling(".img.gz", ".hdr.gz")) {
        return vec![header, path.to_path_buf()];
    }
    let image = sibling(".hdr", ".img").or_else(|| sibling(".hdr.gz", ".img.gz"));
    std::iter::once(path.to_path_buf()).chain(image.filter(|image| image.exists())).collect()
}

/// The bytes of a file and, for a pair, of the `.img` beside it.
#[cfg(not(target_arch = "wasm32"))]
fn open_path(path: &std::path::Path) -> Result<(Vec<u8>, Option<Vec<u8>>), VolumeError> {
    let open = |path: &std::path::Path| {
        std::fs::read(path).map_err(|source| VolumeError::Io { path: path.display().to_string(), source })
    };
    let files = files_of(path);
    let bytes = open(files.first().map_or(path, |header| header))?;
    if !header_only(&bytes)?.0.pair {
        return Ok((bytes, None));
    }
    let image = files.get(1).map(|image| open(image)).transpose()?;
    Ok((bytes, image))
}

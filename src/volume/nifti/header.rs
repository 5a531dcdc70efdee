//! The header of both NIfTI versions as one structure, decoded with every field checked.

use crate::filetype::FileType;
use crate::volume::VolumeError;
use crate::volume::datatype::{Datatype, Endian};

/// Version of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    One,
    Two,
}

impl Version {
    /// `sizeof_hdr`: bytes of the header before the extender.
    #[must_use]
    pub fn header_size(self) -> usize {
        match self {
            Self::One => 348,
            Self::Two => 540,
        }
    }
}

/// The fields of a NIfTI header that matter for reading and for writing a companion file.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    pub version: Version,
    pub endian: Endian,
    /// True for the `.hdr` of a pair, false if the voxels follow in the same file.
    pub pair: bool,
    /// `dim[0]` is the number of dimensions, then the sizes.
    pub dim: [i64; 8],
    pub datatype: Datatype,
    /// `pixdim[0]` is qfac, then the spacings.
    pub pixdim: [f64; 8],
    /// Where the voxels begin, in bytes.
    pub vox_offset: u64,
    /// Slope and intercept, if the voxels are scaled.
    pub scaling: Option<(f64, f64)>,
    pub cal_min: f64,
    pub cal_max: f64,
    /// Units of space (low 3 bits: 1 m, 2 mm, 3 um) and time.
    pub xyzt_units: u8,
    pub descrip: String,
    pub intent_code: i32,
    pub intent_name: String,
    pub qform_code: i32,
    pub sform_code: i32,
    /// Quaternion b, c, d.
    pub quatern: [f64; 3],
    pub qoffset: [f64; 3],
    /// Rows of the sform.
    pub srow: [[f64; 4]; 3],
}

/// Reads numbers at fixed offsets of a header in a byte order.
struct Fields<'a> {
    bytes: &'a [u8],
    endian: Endian,
}

macro_rules! number {
    ($name:ident, $t:ty) => {
        fn $name(&self, offset: usize) -> $t {
            let raw = self.bytes[offset..].first_chunk().copied().unwrap_or_default();
            match self.endian {
                Endian::Little => <$t>::from_le_bytes(raw),
                Endian::Big => <$t>::from_be_bytes(raw),
            }
        }
    };
}

impl Fields<'_> {
    number!(i16, i16);
    number!(i32, i32);
    number!(i64, i64);
    number!(f32, f32);
    number!(f64, f64);

    fn text(&self, offset: usize, len: usize) -> String {
        let field = &self.bytes[offset..offset + len];
        let end = field.iter().position(|&b| b == 0).unwrap_or(len);
        String::from_utf8_lossy(&field[..end]).into_owned()
    }
}

impl Header {
    /// Bytes needed to decode a header of either version and see whether extensions follow.
    pub(super) const PREFIX: usize = 544;

    /// Decodes and checks a header; `bytes` begin with it and may hold more.
    ///
    /// # Errors
    /// Anything that would make the voxels' place, type or number uncertain.
    pub(super) fn parse(bytes: &[u8], warnings: &mut Vec<String>) -> Result<Self, VolumeError> {
        let not = |reason: String| VolumeError::NotNifti { reason };
        let size = bytes.first_chunk::<4>().ok_or_else(|| not(format!("it has only {} bytes", bytes.len())))?;
        let (version, endian) = match (i32::from_le_bytes(*size), i32::from_be_bytes(*size)) {
            (348, _) => (Version::One, Endian::Little),
            (_, 348) => (Version::One, Endian::Big),
            (540, _) => (Version::Two, Endian::Little),
            (_, 540) => (Version::Two, Endian::Big),
            (n, _) => {
                return Err(match FileType::of(bytes) {
                    Some(other) => not(format!("it is {}; {}", other.name, other.remedy_as_scan())),
                    None => not(format!("sizeof_hdr is {n}, 348 or 540 is needed")),
                });
            }
        };
        if bytes.len() < version.header_size() {
            return Err(VolumeError::Truncated {
                what: "the NIfTI header",
                needed: version.header_size() as u64,
                found: bytes.len() as u64,
            });
        }
        let fields = Fields { bytes, endian };
        let header = match version {
            Version::One => Self::fields_1(&fields, warnings)?,
            Version::Two => Self::fields_2(&fields, warnings)?,
        };
        header.check_dim()?;
        Ok(header)
    }

    fn fields_1(f: &Fields<'_>, warnings: &mut Vec<String>) -> Result<Self, VolumeError> {
        let pair = magic(&f.bytes[344..348], b"n+1\0", b"ni1\0")?;
        let datatype = datatype(f.i16(70), f.i16(72), warnings)?;
        let vox_offset = offset(f64::from(f.f32(108)), Version::One, pair, warnings)?;
        let floats = |at: usize, n: usize| f64::from(f.f32(at + 4 * n));
        Ok(Self {
            version: Version::One,
            endian: f.endian,
            pair,
            dim: std::array::from_fn(|n| i64::from(f.i16(40 + 2 * n))),
            datatype,
            pixdim: std::array::from_fn(|n| floats(76, n)),
            vox_offset,
            scaling: scaling(floats(112, 0), floats(112, 1))?,
            cal_max: floats(124, 0),
            cal_min: floats(124, 1),
            xyzt_units: f.bytes[123],
            descrip: f.text(148, 80),
            intent_code: i32::from(f.i16(68)),
            intent_name: f.text(328, 16),
            qform_code: i32::from(f.i16(252)),
            sform_code: i32::from(f.i16(254)),
            quatern: std::array::from_fn(|n| floats(256, n)),
            qoffset: std::array::from_fn(|n| floats(268, n)),
            srow: std::array::from_fn(|r| std::array::from_fn(|c| floats(280, 4 * r + c))),
        })
    }

    fn fields_2(f: &Fields<'_>, warnings: &mut Vec<String>) -> Result<Self, VolumeError> {
        let pair = magic(&f.bytes[4..8], b"n+2\0", b"ni2\0")?;
        match &f.bytes[8..12] {
            b"\r\n\x1a\n" => {}
            [0, 0, 0, 0] => warnings.push("the signature's line-end check is empty".into()),
            other => {
                let problem = "the file went through a conversion of line ends";
                return Err(VolumeError::header("magic", format!("{other:02x?}"), problem));
            }
        }
        let floats = |at: usize, n: usize| f.f64(at + 8 * n);
        Ok(Self {
            version: Version::Two,
            endian: f.endian,
            pair,
            dim: std::array::from_fn(|n| f.i64(16 + 8 * n)),
            datatype: datatype(f.i16(12), f.i16(14), warnings)?,
            pixdim: std::array::from_fn(|n| floats(104, n)),
            vox_offset: offset_2(f.i64(168), pair, warnings)?,
            scaling: scaling(floats(176, 0), floats(176, 1))?,
            cal_max: floats(192, 0),
            cal_min: floats(192, 1),
            xyzt_units: (f.i32(500) & 0xff) as u8,
            descrip: f.text(240, 80),
            intent_code: f.i32(504),
            intent_name: f.text(508, 16),
            qform_code: f.i32(344),
            sform_code: f.i32(348),
            quatern: std::array::from_fn(|n| floats(352, n)),
            qoffset: std::array::from_fn(|n| floats(376, n)),
            srow: std::array::from_fn(|r| std::array::from_fn(|c| floats(400, 4 * r + c))),
        })
    }

    fn check_dim(&self) -> Result<(), VolumeError> {
        if !(1..=7).contains(&self.dim[0]) {
            return Err(VolumeError::header("dim[0]", self.dim[0], "1 to 7 dimensions are possible"));
        }
        for (n, &size) in self.dim.iter().enumerate().take(self.dimensions() + 1).skip(1) {
            if size < 1 {
                const NAMES: [&str; 8] =
                    ["dim[0]", "dim[1]", "dim[2]", "dim[3]", "dim[4]", "dim[5]", "dim[6]", "dim[7]"];
                return Err(VolumeError::header(NAMES[n], size, "a size of at least 1 is needed"));
            }
        }
        Ok(())
    }

    /// Number of dimensions, 1 to 7.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.dim[0].clamp(1, 7) as usize
    }

    /// Spatial sizes (1 where the file has fewer axes) and channels.
    ///
    /// # Errors
    /// More than one axis beyond the third has more than one entry, or the size cannot be counted.
    pub fn shape(&self) -> Result<([usize; 3], usize), VolumeError> {
        let mut sizes = [1_usize; 7];
        for (size, &d) in sizes.iter_mut().zip(&self.dim[1..=self.dimensions()]) {
            *size = usize::try_from(d).map_err(|_| VolumeError::header("dim", d, "the size cannot be counted"))?;
        }
        let [x, y, z, rest @ ..] = sizes;
        if rest.iter().filter(|&&n| n > 1).count() > 1 {
            return Err(VolumeError::header(
                "dim",
                format!("{:?}", &self.dim[1..=self.dimensions()]),
                "only one axis beyond the third may have more than one entry: it holds channels",
            ));
        }
        Ok(([x, y, z], rest.iter().copied().max().unwrap_or(1)))
    }

    /// What a header says of time along a fourth axis of several volumes: a unit of time, or a step other than the 0 and 1
    /// that mean nothing.
    #[must_use]
    pub fn time_axis(&self) -> Option<String> {
        let unit = match self.xyzt_units & 0x38 {
            8 => Some("s"),
            16 => Some("ms"),
            24 => Some("us"),
            _ => None,
        };
        let step = self.pixdim[4];
        let steps = step.is_finite() && step > 0.0;
        match (self.dimensions() >= 4 && self.dim[4] > 1, unit) {
            (true, Some(unit)) if steps => Some(format!("pixdim[4] is {step} {unit}")),
            (true, Some(unit)) => Some(format!("xyzt_units has {unit}")),
            (true, None) if steps && step != 1.0 => Some(format!("pixdim[4] is {step}")),
            _ => None,
        }
    }

    /// Bytes of the voxels as stored.
    ///
    /// # Errors
    /// The product overflows.
    pub fn data_bytes(&self) -> Result<u64, VolumeError> {
        let sizes = &self.dim[1..=self.dimensions()];
        let size = self.datatype.size() as u64;
        sizes
            .iter()
            .try_fold(size, |n, &d| u64::try_from(d).ok().and_then(|d| n.checked_mul(d)))
            .ok_or_else(|| VolumeError::header("dim", format!("{sizes:?}"), "the size overflows"))
    }
}

/// True for a pair, false for a single file.
fn magic(found: &[u8], single: &[u8], pair: &[u8]) -> Result<bool, VolumeError> {
    if found == single || found == pair {
        return Ok(found == pair);
    }
    let problem = "this is no NIfTI signature (an ANALYZE file has none, and no orientation either)";
    Err(VolumeError::header("magic", format!("{:?}", String::from_utf8_lossy(found)), problem))
}

fn datatype(code: i16, bitpix: i16, warnings: &mut Vec<String>) -> Result<Datatype, VolumeError> {
    let datatype = Datatype::from_code(i64::from(code))?;
    let bits = datatype.size() * 8;
    if bitpix == 0 {
        warnings.push(format!("bitpix is not set; datatype {code} has {bits} bits"));
    } else if usize::try_from(bitpix) != Ok(bits) {
        let problem = format!("datatype {code} has {bits} bits; one of the two is wrong");
        return Err(VolumeError::header("bitpix", bitpix, problem));
    }
    Ok(datatype)
}

/// nibabel's rule: a slope of 0, NaN or infinity means no scaling.
fn scaling(slope: f64, inter: f64) -> Result<Option<(f64, f64)>, VolumeError> {
    if slope == 0.0 || !slope.is_finite() {
        return Ok(None);
    }
    if !inter.is_finite() {
        let problem = format!("scl_slope {slope} is valid, so a finite intercept is needed");
        return Err(VolumeError::header("scl_inter", inter, problem));
    }
    Ok(Some((slope, inter)))
}

fn offset(value: f64, version: Version, pair: bool, warnings: &mut Vec<String>) -> Result<u64, VolumeError> {
    // 2^53 is the last exact integer; NaN and infinity fail the range.
    if !(-9.0e15..=9.0e15).contains(&value) || value.fract() != 0.0 {
        let problem = "a whole number of bytes is needed";
        return Err(VolumeError::header("vox_offset", value, problem));
    }
    offset_check(value as i64, version, pair, warnings)
}

fn offset_2(value: i64, pair: bool, warnings: &mut Vec<String>) -> Result<u64, VolumeError> {
    offset_check(value, Version::Two, pair, warnings)
}

fn offset_check(value: i64, version: Version, pair: bool, warnings: &mut Vec<String>) -> Result<u64, VolumeError> {
    let least = if pair { 0 } else { version.header_size() as u64 + 4 };
    match u64::try_from(value) {
        Ok(offset) if offset >= least => {
            if offset % 16 != 0 {
                warnings.push(format!("vox_offset {offset} is not a multiple of 16"));
            }
            Ok(offset)
        }
        _ => {
            let problem = format!("the voxels cannot begin before byte {least}");
            Err(VolumeError::header("vox_offset", value, problem))
        }
    }
}

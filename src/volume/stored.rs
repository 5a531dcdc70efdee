//! Voxels of formats whose headers are a list of sizes and types: how they lie in a file, and the way to a volume or label map.

use std::borrow::Cow;

use super::container;
use super::datatype::{Datatype, Endian};
use super::study::{FileRecord, Image, LabelImage};
use super::{Affine, LabelMap, Volume, VolumeError, checked_len, labels_of};

/// How the bytes of voxels are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Raw,
    Gzip,
    Zlib,
    /// Numbers in ASCII, with blanks or commas between them.
    Text,
    /// Two hexadecimal digits a byte.
    Hex,
}

/// The voxels that a header declares, first axis fastest.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub dims: [usize; 3],
    pub channels: usize,
    /// The channels of a voxel lie beside each other, instead of one volume after the other.
    pub interleaved: bool,
    pub datatype: Datatype,
    pub endian: Endian,
    pub encoding: Encoding,
    /// The format has something to say behind the voxels.
    pub tail: bool,
    /// Voxel index to mm, RAS+.
    pub affine: Affine,
    /// The header's field that tells it.
    pub affine_source: &'static str,
    pub warnings: Vec<String>,
}

impl Stored {
    /// Bytes of the voxels when they are unpacked.
    ///
    /// # Errors
    /// A size of 0, or more voxels than can be counted.
    pub fn bytes(&self) -> Result<u64, VolumeError> {
        Ok((checked_len(self.channels, self.dims)? as u64).saturating_mul(self.datatype.size() as u64))
    }

    /// Unpacks one of `parts` equal parts of the voxels, passing over the first `skip` bytes of what is unpacked.
    ///
    /// # Errors
    /// Fewer bytes than the header declares, more than `max_bytes`, or a damaged stream.
    pub fn unpack<'a>(
        &mut self,
        bytes: &'a [u8],
        skip: u64,
        parts: usize,
        max_bytes: u64,
    ) -> Result<Cow<'a, [u8]>, VolumeError> {
        const WHAT: &str = "the file of the voxels";
        let voxels = checked_len(self.channels, self.dims)? as u64;
        let needed = self.bytes()?.max(voxels.saturating_mul(size_of::<f32>() as u64)).saturating_add(skip);
        let (voxels, declared) = (voxels / parts as u64, (self.bytes()? / parts as u64).saturating_add(skip));
        // Before the limit, so that a lie about the size is called a lie.
        let least = match self.encoding {
            Encoding::Raw => declared,
            Encoding::Gzip | Encoding::Zlib => declared / container::MAX_RATIO,
            Encoding::Text => voxels,
            Encoding::Hex => declared.saturating_mul(2),
        };
        if least > bytes.len() as u64 {
            return Err(VolumeError::Truncated { what: WHAT, needed: least, found: bytes.len() as u64 });
        }
        if needed > max_bytes.min(isize::MAX as u64) {
            return Err(VolumeError::TooLarge { needed, limit: max_bytes });
        }
        let (content, trailing) = match self.encoding {
            Encoding::Raw => container::plain(bytes, WHAT, declared)?,
            Encoding::Gzip if !container::is_gzip(bytes) => {
                return Err(VolumeError::Compression {
                    problem: "the voxels should be a gzip stream and are none".into(),
                });
            }
            Encoding::Gzip => container::content(bytes, WHAT, declared)?,
            Encoding::Zlib => container::zlib(bytes, WHAT, declared)?,
            Encoding::Hex => (hex(bytes, declared)?.into(), 0),
            Encoding::Text => {
                let values = text(bytes, voxels)?;
                self.as_unpacked();
                return Ok(values.into());
            }
        };
        if trailing > 0 && !self.tail {
            self.warnings.push(format!("{trailing} bytes after the voxels are ignored"));
        }
        Ok(match (content, skip as usize) {
            (content, 0) => content,
            (Cow::Borrowed(content), skip) => Cow::Borrowed(&content[skip..]),
            (Cow::Owned(content), skip) => Cow::Owned(content[skip..].to_vec()),
        })
    }

    /// Numbers in text are doubles once they are unpacked.
    pub fn as_unpacked(&mut self) {
        if self.encoding == Encoding::Text {
            (self.datatype, self.endian) = (Datatype::F64, Endian::Little);
        }
    }

    /// The image of unpacked voxels.
    ///
    /// # Errors
    /// An affine that maps no volume; no memory.
    pub fn image(mut self, voxels: &[u8], file: FileRecord, modality: Option<String>) -> Result<Image, VolumeError> {
        let raw = self.planar(voxels);
        let data = self.datatype.decode(&raw, self.endian, self.channels, self.dims, |v| v as f32)?;
        let volume = Volume::new(data, self.channels, self.dims, self.affine)?;
        let odd = volume.non_finite();
        if odd > 0 {
            self.warnings.push(format!("{odd} of {} voxels are NaN or infinite", volume.data.len()));
        }
        let Self { affine_source, warnings, .. } = self;
        Ok(Image { volume, header: None, affine_source, modality, warnings, file })
    }

    /// Label values of each channel in turn, `(C, X, Y, Z)`.
    ///
    /// # Errors
    /// The first voxel that is no label.
    pub fn label_values(&self, voxels: &[u8]) -> Result<Vec<u32>, VolumeError> {
        let values = self.datatype.decode(&self.planar(voxels), self.endian, self.channels, self.dims, |v| v)?;
        labels_of(&values, self.dims)
    }

    /// The label map of unpacked voxels.
    ///
    /// # Errors
    /// Several channels, a voxel that is no label, an affine that maps no volume.
    pub fn labels(self, voxels: &[u8], file: FileRecord) -> Result<LabelImage, VolumeError> {
        if self.channels != 1 {
            return Err(VolumeError::shape("channels of a label map", 1, self.channels));
        }
        let labels = LabelMap::new(self.label_values(voxels)?, self.dims, self.affine)?;
        Ok(LabelImage { labels, warnings: self.warnings, file, partial: false })
    }

    /// One channel's bytes after the other's.
    fn planar<'a>(&self, voxels: &'a [u8]) -> Cow<'a, [u8]> {
        if !self.interleaved || self.channels == 1 {
            return Cow::Borrowed(voxels);
        }
        let size = self.datatype.size();
        let channel =
            |c: usize| voxels.chunks_exact(size * self.channels).flat_map(move |v| &v[c * size..(c + 1) * size]);
        Cow::Owned((0..self.channels).flat_map(channel).copied().collect())
    }
}

/// The numbers of a text as doubles, least byte first.
fn text(bytes: &[u8], voxels: u64) -> Result<Vec<u8>, VolumeError> {
    let text = String::from_utf8_lossy(bytes);
    let mut out = Vec::new();
    let mut found = 0;
    for word in
        text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()).take(voxels as usize)
    {
        let value: f64 = word.parse().map_err(|_| VolumeError::shape("a voxel in text", "a number", word))?;
        out.extend(value.to_le_bytes());
        found += 1;
    }
    if found < voxels {
        return Err(VolumeError::shape("voxels in text", voxels, found));
    }
    Ok(out)
}

/// The bytes of a text of hexadecimal digits.
fn hex(bytes: &[u8], declared: u64) -> Result<Vec<u8>, VolumeError> {
    let digit = |b: &u8| char::from(*b).to_digit(16).ok_or_else(|| VolumeError::shape("voxels in hex", "digits", b));
    let digits = bytes.iter().filter(|b| !b.is_ascii_whitespace()).take(declared as usize * 2);
    let digits = digits.map(digit).collect::<Result<Vec<_>, _>>()?;
    if (digits.len() as u64) < declared * 2 {
        return Err(VolumeError::Truncated { what: "the voxels", needed: declared, found: digits.len() as u64 / 2 });
    }
    Ok(digits.as_chunks::<2>().0.iter().map(|[high, low]| (high * 16 + low) as u8).collect())
}

/// Numbers with blanks between them; none where one is no finite number.
pub(super) fn numbers(text: &str) -> Option<Vec<f64>> {
    text.split_whitespace().map(|word| word.parse().ok().filter(|v: &f64| v.is_finite())).collect()
}

/// A position or direction in the patient, to the left, back and head, as one to the right, front and head.
pub(super) fn lps_to_ras([x, y, z]: [f64; 3]) -> [f64; 3] {
    [-x, -y, z]
}

/// The affine of voxel axes and of voxel 0.
pub(super) fn affine_of(axes: [[f64; 3]; 3], origin: [f64; 3]) -> Affine {
    Affine::from_parts(std::array::from_fn(|row| std::array::from_fn(|axis| axes[axis][row])), origin)
}

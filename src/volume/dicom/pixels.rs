//! Stored pixels and their values (PS3.5, 8).

use super::elements::Encoding;
use super::error::DicomError;
use super::fragments::Fragments;
use super::image::Image;
use super::syntax::Coding;
use super::tags;
use super::values::DataSet;
use super::{jpeg, jpeg_ls, jpeg2000, rle};

/// Size and bits of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    pub rows: usize,
    pub columns: usize,
    /// 1 or 2.
    pub bytes: usize,
    pub stored: u32,
    pub high: u32,
    pub signed: bool,
}

impl Format {
    /// # Errors
    /// A size of 0, or bits that do not fit together or into 16.
    pub fn read(data: &DataSet<'_>) -> Result<Self, DicomError> {
        let [rows, columns, allocated, stored, high, signed] = [
            tags::ROWS,
            tags::COLUMNS,
            tags::BITS_ALLOCATED,
            tags::BITS_STORED,
            tags::HIGH_BIT,
            tags::PIXEL_REPRESENTATION,
        ]
        .map(|attribute| data.u16(&attribute));
        let (rows, columns, allocated, stored) = (rows?, columns?, allocated?, stored?);
        // Retired and often wrong or absent where it could only be the bit below.
        let high = high.unwrap_or(stored.saturating_sub(1));
        let problem = |attribute, text: String| Err(DicomError::attribute(attribute, text));
        if rows == 0 || columns == 0 {
            return problem(&tags::ROWS, format!("an image of {columns} x {rows} pixels has none"));
        }
        if !matches!(allocated, 8 | 16) {
            return problem(&tags::BITS_ALLOCATED, format!("it is {allocated}; images of 8 and 16 bits are read"));
        }
        if stored == 0 || stored > allocated {
            return problem(&tags::BITS_STORED, format!("it is {stored} of {allocated} allocated"));
        }
        if high >= allocated || high + 1 < stored {
            return problem(&tags::HIGH_BIT, format!("it is {high} for {stored} bits of {allocated}"));
        }
        let signed = match signed? {
            0 => false,
            1 => true,
            other => return problem(&tags::PIXEL_REPRESENTATION, format!("it is {other}, neither 0 nor 1")),
        };
        Ok(Self {
            rows: rows.into(),
            columns: columns.into(),
            bytes: usize::from(allocated / 8),
            stored: stored.into(),
            high: high.into(),
            signed,
        })
    }

    pub fn pixels(&self) -> usize {
        self.rows * self.columns
    }

    /// The number that the bits of a word mean; other bits may hold overlays.
    fn value(&self, word: u16) -> i32 {
        let bits = (u32::from(word) >> (self.high + 1 - self.stored)) << (32 - self.stored);
        if self.signed { bits as i32 >> (32 - self.stored) } else { (bits >> (32 - self.stored)) as i32 }
    }
}

/// Most pixels that a byte of each coding can hold: RLE repeats 128 bytes by 2, a block of 64 JPEG coefficients takes at
/// least two bits, and code blocks of JPEG 2000 (at most 4096 samples) take a bit in the header of a packet where they are empty.
fn most_pixels_per_byte(coding: Coding) -> usize {
    match coding {
        Coding::Native => 1,
        Coding::Rle => 64,
        Coding::Jpeg => 256,
        Coding::JpegLs | Coding::Jpeg2000 => 4096,
        Coding::Other(..) => 0,
    }
}

/// Checks that the file can hold its frames, before memory is asked for.
///
/// # Errors
/// Fewer bytes than declared.
pub(super) fn check(image: &Image<'_>) -> Result<(), DicomError> {
    let Image { format, frames, syntax, pixels, .. } = image;
    let needed = (format.pixels() as u64).saturating_mul(frames.len() as u64);
    let found = pixels.body.len() as u64;
    let native = syntax.coding == Coding::Native;
    if native && pixels.undefined {
        return Err(DicomError::pixels(
            "they are in fragments, though the transfer syntax says that they are not packed",
        ));
    }
    if native && found < needed.saturating_mul(format.bytes as u64) {
        let (what, needed) = (tags::PIXEL_DATA.to_string(), needed.saturating_mul(format.bytes as u64));
        return Err(DicomError::Truncated { what, needed, found });
    }
    if !native && !pixels.undefined {
        return Err(DicomError::pixels(
            "they are not in fragments, though the transfer syntax says that they are packed",
        ));
    }
    let most = found.saturating_mul(most_pixels_per_byte(syntax.coding) as u64);
    if needed > most {
        return Err(DicomError::pixels(format!("{found} bytes cannot hold the {needed} pixels declared")));
    }
    Ok(())
}

/// Decodes the frames one after the other; `visit` gets a frame's number and its values, row by row.
///
/// # Errors
/// Pixels that cannot be decoded.
pub(super) fn decode(image: &Image<'_>, mut visit: impl FnMut(usize, &[f32])) -> Result<(), DicomError> {
    check(image)?;
    let Image { format, frames, syntax, pixels, .. } = image;
    let packed = match syntax.coding {
        Coding::Native => None,
        _ => Some(Fragments::read(pixels, frames.len())?),
    };
    let mut values = Vec::new();
    for (at, frame) in frames.iter().enumerate() {
        let word = |w: u16| (f64::from(format.value(w)) * frame.slope + frame.intercept) as f32;
        values.clear();
        match &packed {
            None => native(format, syntax.encoding, pixels.vr, pixels.body, at, |w| values.push(word(w))),
            Some(fragments) => {
                let bytes = fragments.frame(at)?;
                match syntax.coding {
                    Coding::Rle => values.extend(rle::decode(&bytes, format)?.into_iter().map(word)),
                    Coding::Jpeg => values.extend(jpeg::decode(&bytes, format)?.into_iter().map(word)),
                    Coding::JpegLs => values.extend(jpeg_ls::decode(&bytes, format)?.into_iter().map(word)),
                    Coding::Jpeg2000 => values.extend(jpeg2000::decode(&bytes, format)?.into_iter().map(word)),
                    Coding::Native | Coding::Other(..) => syntax.check()?,
                }
            }
        }
        if values.len() != format.pixels() {
            return Err(DicomError::pixels(format!("{} of {} are there", values.len(), format.pixels())));
        }
        visit(at, &values);
    }
    Ok(())
}

/// The words of a frame that is not packed.
fn native(
    format: &Format,
    encoding: Encoding,
    vr: Option<[u8; 2]>,
    body: &[u8],
    frame: usize,
    mut emit: impl FnMut(u16),
) {
    let count = format.pixels();
    if format.bytes == 2 {
        let words = body.as_chunks::<2>().0.iter().skip(frame * count).take(count);
        words.for_each(|b| emit(encoding.u16(*b)));
        return;
    }
    // Bytes in big-endian words lie the other way round (PS3.5, 8.1.1).
    let swap = usize::from(encoding.big && vr == Some(*b"OW"));
    (frame * count..(frame + 1) * count).for_each(|at| {
        if let Some(byte) = body.get(at ^ swap) {
            emit(u16::from(*byte));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::Format;

    #[test]
    fn bits_beside_the_stored_ones_are_ignored() {
        let format = |stored, high, signed| Format { rows: 1, columns: 1, bytes: 2, stored, high, signed };
        assert_eq!(format(12, 11, false).value(0xf7ff), 0x7ff);
        assert_eq!(format(12, 11, true).value(0x0fff), -1);
        assert_eq!(format(12, 11, true).value(0xf7ff), 0x7ff);
        assert_eq!(format(12, 15, false).value(0x7ff5), 0x7ff);
        assert_eq!(format(16, 15, true).value(0x8000), -32768);
        assert_eq!(format(16, 15, false).value(0x8000), 32768);
        assert_eq!(format(1, 0, true).value(1), -1);
    }
}

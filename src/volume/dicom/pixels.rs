//! Stored pixels and their values (PS3.5, 8).

use super::error::DicomError;
use super::fragments::Fragments;
use super::image::Image;
use super::pixel_format::Container;
use super::syntax::Coding;
use super::tags;
use super::{jpeg, jpeg_ls, jpeg2000, native, rle};

pub(super) use super::pixel_format::Format;

/// Most pixels that a byte of each coding can hold: RLE repeats 128 bytes by 2, a block of 64 JPEG coefficients takes at
/// least two bits, and code blocks of JPEG 2000 (at most 4096 samples) take a bit in the header of a packet where they are empty.
fn most_pixels_per_byte(coding: Coding) -> usize {
    match coding {
        Coding::Native => 8,
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
    let Image { header, syntax, pixels } = image;
    let frames = header.stored().len();
    let needed = (header.format.pixels() as u64).saturating_mul(frames as u64);
    let found = pixels.body.len() as u64;
    if syntax.coding == Coding::Native {
        if pixels.undefined {
            return Err(DicomError::pixels(
                "they are in fragments, though the transfer syntax says that they are not packed",
            ));
        }
        let needed = header.format.bytes_of(needed);
        if found < needed {
            return Err(DicomError::Truncated { what: tags::PIXEL_DATA.to_string(), needed, found });
        }
        return Ok(());
    }
    if !pixels.undefined {
        return Err(DicomError::pixels(
            "they are not in fragments, though the transfer syntax says that they are packed",
        ));
    }
    if !header.format.packs() {
        return Err(DicomError::pixels("floating point and more than 32 bits are read only where they are not packed"));
    }
    let most = found.saturating_mul(most_pixels_per_byte(syntax.coding) as u64);
    if needed > most {
        return Err(DicomError::pixels(format!("{found} bytes cannot hold the {needed} pixels declared")));
    }
    Ok(())
}

/// Decodes the frames one after the other; `visit` gets a frame's number and its values, row by row. Tiles of a mosaic are
/// frames.
///
/// # Errors
/// Pixels that cannot be decoded.
pub(super) fn decode(image: &Image<'_>, mut visit: impl FnMut(usize, &[f32])) -> Result<(), DicomError> {
    check(image)?;
    let Image { header, syntax, pixels } = image;
    let format = &header.format;
    let packed = match syntax.coding {
        Coding::Native => None,
        _ => Some(Fragments::read(pixels, header.stored().len())?),
    };
    let mut values = Vec::new();
    for (at, frame) in header.stored().iter().enumerate() {
        let scaled = |stored: f64| (stored * frame.slope + frame.intercept) as f32;
        values.clear();
        match &packed {
            None => native::read(format, syntax.encoding, pixels, at, |stored| values.push(scaled(stored))),
            Some(fragments) => {
                let bytes = fragments.frame(at)?;
                let word = |word: u32| scaled(format.value(word.into()));
                let short = |w: u16| word(w.into());
                match syntax.coding {
                    Coding::Rle => values.extend(rle::decode(&bytes, format)?.into_iter().map(word)),
                    Coding::Jpeg => values.extend(jpeg::decode(&bytes, format)?.into_iter().map(short)),
                    Coding::JpegLs => values.extend(jpeg_ls::decode(&bytes, format)?.into_iter().map(short)),
                    Coding::Jpeg2000 => values.extend(jpeg2000::decode(&bytes, format)?.into_iter().map(short)),
                    Coding::Native | Coding::Other(..) => syntax.check()?,
                }
            }
        }
        if values.len() != format.pixels() {
            return Err(DicomError::pixels(format!("{} of {} are there", values.len(), format.pixels())));
        }
        match &header.mosaic {
            Some(mosaic) => mosaic.cut(format.columns, &values, &mut visit),
            None => visit(at, &values),
        }
    }
    Ok(())
}

impl Format {
    fn packs(&self) -> bool {
        matches!(self.container, Container::Bytes(1..=4))
    }
}

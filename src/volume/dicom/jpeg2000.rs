//! JPEG 2000 (ITU-T T.800), in one component.

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

use super::error::DicomError;
use super::pixels::Format;

/// # Errors
/// A stream that is damaged, of another size than the image, or has more bits than it.
pub(super) fn decode(bytes: &[u8], format: &Format) -> Result<Vec<u16>, DicomError> {
    let wrong = |text: &str| DicomError::pixels(format!("JPEG 2000: {text}"));
    let Some((1, bits, signed)) = component(bytes) else {
        return Err(wrong("one component is needed"));
    };
    if bits > 16 {
        return Err(wrong("it has more than 16 bits"));
    }
    let settings = DecodeSettings { resolve_palette_indices: false, strict: true, target_resolution: None };
    let image = Image::new(bytes, &settings).map_err(|e| wrong(&e.to_string()))?;
    let (rows, columns) = (image.height() as usize, image.width() as usize);
    if [rows, columns] != [format.rows, format.columns] {
        let text = format!("it has {columns} x {rows} pixels, the image {} x {}", format.columns, format.rows);
        return Err(wrong(&text));
    }
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(|e| wrong(&e.to_string()))?;
    let [component] = decoded.components() else {
        return Err(wrong("one component is needed"));
    };
    // The decoder lifts all samples by half their range, which is right for unsigned ones. Whole numbers of 16 bits are
    // exact in f32; lossy streams may leave their range.
    let half = 1_i32 << (bits - 1);
    let low = if signed { half } else { 0 };
    let word = |v: &f32| ((v.round() as i32).clamp(0, 2 * half - 1) - low) as u16;
    Ok(component.samples().iter().map(word).collect())
}

/// Number of components, bits of the first and whether they are signed, from the size marker that comes first (A.5.1).
fn component(bytes: &[u8]) -> Option<(u16, u32, bool)> {
    let rest = bytes.strip_prefix(&[0xff, 0x4f, 0xff, 0x51])?;
    let [high, low, size] = *rest.get(36..39)? else { return None };
    Some((u16::from_be_bytes([high, low]), u32::from(size & 0x7f) + 1, size & 0x80 != 0))
}

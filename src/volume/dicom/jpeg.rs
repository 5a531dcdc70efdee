//! JPEG, baseline, extended and lossless (ITU-T T.81), in one component.

use jpeg_decoder::Decoder;

use super::error::DicomError;
use super::pixels::Format;

/// # Errors
/// A stream that is damaged, of another size than the image, or of a kind that is not decoded.
pub(super) fn decode(bytes: &[u8], format: &Format) -> Result<Vec<u16>, DicomError> {
    let wrong = |text: &str| DicomError::pixels(format!("JPEG: {text}"));
    // The decoder allocates what this header says, so it is compared first.
    let header = frame_header(bytes).ok_or_else(|| wrong("there is no frame header"))?;
    let [precision, h0, h1, w0, w1, components] = header;
    if components != 1 || !(2..=16).contains(&precision) {
        return Err(wrong("one component of 2 to 16 bits is needed"));
    }
    let size = [u16::from_be_bytes([h0, h1]), u16::from_be_bytes([w0, w1])].map(usize::from);
    if size != [format.rows, format.columns] {
        let [rows, columns] = size;
        let text = format!("it has {columns} x {rows} pixels, the image {} x {}", format.columns, format.rows);
        return Err(wrong(&text));
    }
    let wide = precision > 8;
    if wide && format.bytes == 1 {
        return Err(wrong("it has more bits than the image"));
    }
    let mut decoder = Decoder::new(bytes);
    decoder.set_max_decoding_buffer_size(format.pixels() * 2);
    let decoded = decoder.decode().map_err(|e| {
        let convert = "if the file is sound, unpack it with `dcmdjpeg IN OUT`";
        wrong(&format!("{}; {convert}", e.to_string().chars().filter(|c| !c.is_control()).collect::<String>()))
    })?;
    Ok(match wide {
        true => decoded.as_chunks::<2>().0.iter().map(|b| u16::from_ne_bytes(*b)).collect(),
        false => decoded.into_iter().map(u16::from).collect(),
    })
}

/// Precision, height, width and number of components from the first frame header.
fn frame_header(bytes: &[u8]) -> Option<[u8; 6]> {
    let mut rest = bytes.strip_prefix(&[0xff, 0xd8])?;
    loop {
        let [0xff, marker, after @ ..] = rest else { return None };
        // Any number of fill bytes may stand before a marker.
        if *marker == 0xff {
            rest = &rest[1..];
            continue;
        }
        let (length, content) = after.split_first_chunk::<2>()?;
        match marker {
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => return content.first_chunk().copied(),
            0xda | 0xd9 => return None,
            _ => rest = after.get(usize::from(u16::from_be_bytes(*length))..)?,
        }
    }
}

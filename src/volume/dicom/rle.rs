//! RLE Lossless: each byte of a pixel in a segment of its own, most significant first, as PackBits (PS3.5, G).

use super::error::DicomError;
use super::pixels::Format;

/// A header of 64 bytes: number of segments, then the offsets of at most 15.
const HEADER: usize = 64;

/// # Errors
/// A header or a segment that does not fit the image.
pub(super) fn decode(bytes: &[u8], format: &Format) -> Result<Vec<u32>, DicomError> {
    let wrong = |text: &str| DicomError::pixels(format!("RLE: {text}"));
    let numbers = bytes.get(..HEADER).ok_or_else(|| wrong("the header is cut short"))?.as_chunks::<4>().0;
    let number = |at: usize| numbers.get(at).map_or(0, |b| u32::from_le_bytes(*b) as usize);
    if number(0) != format.bytes {
        return Err(wrong("the number of segments is not that of the bytes of a pixel"));
    }
    let mut words = vec![0; format.pixels()];
    for segment in 0..format.bytes {
        let end = if segment + 1 < format.bytes { number(segment + 2) } else { bytes.len() };
        let packed = bytes.get(number(segment + 1)..end).ok_or_else(|| wrong("a segment lies outside of its frame"))?;
        let filled = unpack(packed, words.iter_mut());
        if filled < words.len() {
            return Err(wrong("a segment ends before its image does"));
        }
    }
    Ok(words)
}

/// Shifts each unpacked byte into the next word; gives how many there were.
fn unpack<'a>(packed: &[u8], mut words: impl Iterator<Item = &'a mut u32>) -> usize {
    let mut bytes = packed.iter();
    let mut filled = 0;
    let mut put = |byte: u8| match words.next() {
        Some(word) => {
            *word = *word << 8 | u32::from(byte);
            filled += 1;
            true
        }
        None => false,
    };
    'runs: while let Some(&control) = bytes.next() {
        match control as i8 {
            -128 => {}
            literal @ 0.. => {
                for _ in 0..=literal {
                    match bytes.next() {
                        Some(&byte) if put(byte) => {}
                        _ => break 'runs,
                    }
                }
            }
            repeat => {
                let Some(&byte) = bytes.next() else { break };
                for _ in 0..=-i32::from(repeat) {
                    if !put(byte) {
                        break 'runs;
                    }
                }
            }
        }
    }
    filled
}

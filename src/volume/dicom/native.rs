//! Pixels that are not packed.

use super::elements::{Element, Encoding};
use super::pixel_format::{Container, Format};

/// The stored numbers of a frame.
pub(super) fn read(format: &Format, encoding: Encoding, pixels: &Element<'_>, frame: usize, mut emit: impl FnMut(f64)) {
    let count = format.pixels();
    let words = pixels.body.chunks_exact(format.bytes).skip(frame * count).take(count);
    match format.container {
        Container::Single => {
            let read = |b: &[u8]| b.first_chunk().map_or(0.0, |b| f32::from_bits(encoding.u32(*b)).into());
            words.for_each(|b| emit(read(b)));
        }
        Container::Double => {
            let read = |b: &[u8]| b.first_chunk().map_or(0.0, |b| f64::from_bits(encoding.u64(*b)));
            words.for_each(|b| emit(read(b)));
        }
        Container::Bytes(1) => {
            // Bytes in big-endian words lie the other way round (PS3.5, 8.1.1).
            let swap = usize::from(encoding.big && pixels.vr == Some(*b"OW"));
            (frame * count..(frame + 1) * count).for_each(|at| {
                if let Some(byte) = pixels.body.get(at ^ swap) {
                    emit(format.value(u64::from(*byte)));
                }
            });
        }
        Container::Bytes(2) => {
            words.for_each(|b| emit(format.value(b.first_chunk().map_or(0, |b| encoding.u16(*b)).into())));
        }
        Container::Bytes(bytes) => words.for_each(|b| {
            let word = |i: usize| u64::from(b[i]) << (8 * if encoding.big { bytes - 1 - i } else { i });
            emit(format.value((0..bytes).map(word).sum()));
        }),
        Container::Bits(bits) => {
            let bits = bits as usize;
            let bit = |at: usize| pixels.body.get(at / 8).map_or(0, |byte| u64::from(byte >> (at % 8) & 1));
            for at in frame * count..(frame + 1) * count {
                emit(format.value((0..bits).map(|i| bit(at * bits + i) << i).sum()));
            }
        }
    }
}

//! Size of an image, and the bits of its pixels.

use super::error::DicomError;
use super::tags;
use super::values::DataSet;

/// How a pixel lies in memory where it is not packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    /// Whole bytes, 1 to 8.
    Bytes(usize),
    /// Bits one after another, the lowest of a byte first.
    Bits(u32),
    /// IEEE 754, 32 bits.
    Single,
    /// IEEE 754, 64 bits.
    Double,
}

/// Size and bits of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    pub rows: usize,
    pub columns: usize,
    pub container: Container,
    /// Bytes that hold a pixel.
    pub bytes: usize,
    pub stored: u32,
    pub high: u32,
    pub signed: bool,
}

impl Format {
    /// # Errors
    /// A size of 0, or bits that do not fit together or into 64.
    pub fn read(data: &DataSet<'_>, frames: usize) -> Result<Self, DicomError> {
        let problem = |attribute, text: String| Err(DicomError::attribute(attribute, text));
        let [rows, columns] = [data.needed(&tags::ROWS)? as usize, data.needed(&tags::COLUMNS)? as usize];
        if rows == 0 || columns == 0 {
            return problem(&tags::ROWS, format!("an image of {columns} x {rows} pixels has none"));
        }
        for (attribute, size) in [(&tags::ROWS, rows), (&tags::COLUMNS, columns)] {
            if size > usize::from(u16::MAX) {
                return problem(attribute, format!("it is {size}, and at most 65535 are possible"));
            }
        }
        let of = |container, bytes, bits| Self {
            rows,
            columns,
            container,
            bytes,
            stored: bits,
            high: bits - 1,
            signed: true,
        };
        if data.element(&tags::FLOAT_PIXELS).is_some() {
            return Ok(of(Container::Single, 4, 32));
        }
        if data.element(&tags::DOUBLE_PIXELS).is_some() {
            return Ok(of(Container::Double, 8, 64));
        }
        let allocated = data.needed(&tags::BITS_ALLOCATED)?;
        if !(1..=64).contains(&allocated) {
            return problem(&tags::BITS_ALLOCATED, format!("it is {allocated}; images of 1 to 64 bits are read"));
        }
        let stored = data.count(&tags::BITS_STORED)?.unwrap_or(allocated);
        if stored == 0 || stored > allocated {
            return problem(&tags::BITS_STORED, format!("it is {stored} of {allocated} allocated"));
        }
        // Retired and often wrong or absent where it could only be the bit below.
        let high = data.count(&tags::HIGH_BIT).ok().flatten().unwrap_or(stored - 1);
        if high >= allocated || high + 1 < stored {
            return problem(&tags::HIGH_BIT, format!("it is {high} for {stored} bits of {allocated}"));
        }
        let signed = match data.needed(&tags::PIXEL_REPRESENTATION)? {
            0 => false,
            1 => true,
            other => return problem(&tags::PIXEL_REPRESENTATION, format!("it is {other}, neither 0 nor 1")),
        };
        // Odd widths lie in whole words or, as the standard has it, without gaps: the length tells.
        let whole = match allocated {
            1..=8 => 1,
            9..=16 => 2,
            24 => 3,
            17..=32 => 4,
            _ => 8,
        };
        let pixels = (rows as u64 * columns as u64).saturating_mul(frames as u64);
        let odd = !matches!(allocated, 8 | 16 | 24 | 32 | 64);
        let short = data
            .element(&tags::PIXEL_DATA)
            .is_some_and(|e| !e.undefined && (e.body.len() as u64) < pixels.saturating_mul(whole as u64));
        let container =
            if allocated == 1 || odd && short { Container::Bits(allocated) } else { Container::Bytes(whole) };
        Ok(Self { rows, columns, container, bytes: whole, stored, high, signed })
    }

    pub fn pixels(&self) -> usize {
        self.rows * self.columns
    }

    /// Bytes that `pixels` take where they are not packed.
    pub fn bytes_of(&self, pixels: u64) -> u64 {
        match self.container {
            Container::Bits(bits) => pixels.saturating_mul(bits.into()).div_ceil(8),
            _ => pixels.saturating_mul(self.bytes as u64),
        }
    }

    /// The number that the bits of a word mean; other bits may hold overlays.
    pub fn value(&self, word: u64) -> f64 {
        let unused = 64 - self.stored;
        let bits = (word >> (self.high + 1 - self.stored)) << unused;
        if self.signed { ((bits as i64) >> unused) as f64 } else { (bits >> unused) as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::{Container, Format};

    #[test]
    fn bits_beside_the_stored_ones_are_ignored() {
        let format = |stored, high, signed| {
            let container = Container::Bytes(2);
            Format { rows: 1, columns: 1, container, bytes: 2, stored, high, signed }
        };
        assert_eq!(format(12, 11, false).value(0xf7ff), 2047.0);
        assert_eq!(format(12, 11, true).value(0x0fff), -1.0);
        assert_eq!(format(12, 11, true).value(0xf7ff), 2047.0);
        assert_eq!(format(12, 15, false).value(0x7ff5), 2047.0);
        assert_eq!(format(16, 15, true).value(0x8000), -32768.0);
        assert_eq!(format(16, 15, false).value(0x8000), 32768.0);
        assert_eq!(format(32, 31, true).value(0xffff_ffff), -1.0);
        assert_eq!(format(32, 31, false).value(0xffff_ffff), 4_294_967_295.0);
        assert_eq!(format(64, 63, true).value(u64::MAX), -1.0);
        assert_eq!(format(1, 0, true).value(1), -1.0);
    }
}

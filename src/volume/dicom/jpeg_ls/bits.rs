//! The bits of a scan: behind a byte FF the next byte has seven (A.1).

use super::wrong;
use crate::volume::dicom::error::DicomError;

pub(super) struct Bits<'a> {
    bytes: std::slice::Iter<'a, u8>,
    held: u64,
    count: u32,
    after_ff: bool,
}

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: bytes.iter(), held: 0, count: 0, after_ff: false }
    }

    fn fill(&mut self) {
        while self.count <= 56 {
            // A marker, which no scan goes beyond, has its top bit set.
            let Some(&byte) = self.bytes.as_slice().first().filter(|b| !self.after_ff || **b < 0x80) else { return };
            self.bytes.next();
            let size = if self.after_ff { 7 } else { 8 };
            self.held |= u64::from(byte) << (64 - size - self.count);
            self.count += size;
            self.after_ff = byte == 0xff;
        }
    }

    /// The next bits, 32 at most.
    pub fn take(&mut self, size: u32) -> Result<i32, DicomError> {
        if size == 0 {
            return Ok(0);
        }
        if self.count < size {
            self.fill();
        }
        if self.count < size {
            return Err(wrong("the samples are cut short"));
        }
        let value = (self.held >> (64 - size)) as i32;
        self.held <<= size;
        self.count -= size;
        Ok(value)
    }

    /// Zeros before the next one, which is taken too.
    fn zeros(&mut self, most: i32) -> Result<i32, DicomError> {
        let mut zeros = 0;
        loop {
            self.fill();
            let here = self.held.leading_zeros().min(self.count);
            zeros += here as i32;
            if zeros > most || self.count == 0 {
                return Err(wrong("a code is longer than any can be"));
            }
            if here < self.count {
                // Twice, because a shift by 64 is none.
                self.held = self.held << here << 1;
                self.count -= here + 1;
                return Ok(zeros);
            }
            (self.held, self.count) = (0, 0);
        }
    }

    /// A number in the limited Golomb code of order `k` (A.5.3).
    pub fn golomb(&mut self, k: u32, limit: i32, qbpp: u32) -> Result<i32, DicomError> {
        let most = limit - qbpp as i32 - 1;
        let high = self.zeros(most)?;
        if high < most { Ok(high << k | self.take(k)?) } else { Ok(self.take(qbpp)? + 1) }
    }
}

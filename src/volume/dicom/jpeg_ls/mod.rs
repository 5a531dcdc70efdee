//! JPEG-LS (ITU-T T.87), lossless and near-lossless, in one component.
//!
//! Names are those of T.87.

mod bits;
mod scan;

use super::error::DicomError;
use super::pixels::Format;

/// What markers say before the samples.
#[derive(Debug, Clone, Copy, Default)]
struct Parameters {
    maxval: i32,
    near: i32,
    t: [i32; 3],
    reset: i32,
}

fn wrong(text: impl std::fmt::Display) -> DicomError {
    DicomError::pixels(format!("JPEG-LS: {text}"))
}

/// # Errors
/// A stream that is damaged, of another size than the image, or with restart markers or several components.
pub(super) fn decode(bytes: &[u8], format: &Format) -> Result<Vec<u16>, DicomError> {
    let mut rest = bytes.strip_prefix(&[0xff, 0xd8]).ok_or_else(|| wrong("it does not begin as an image"))?;
    let mut precision = None;
    let mut preset = Parameters::default();
    loop {
        let (marker, content) = segment(&mut rest).ok_or_else(|| wrong("it is cut short before the samples"))?;
        match (marker, content) {
            // Frame.
            (0xf7, [bits @ 2..=16, h0, h1, w0, w1, 1, ..]) => {
                let size = [[*h0, *h1], [*w0, *w1]].map(|b| usize::from(u16::from_be_bytes(b)));
                if size != [format.rows, format.columns] || usize::from(*bits) > 8 * format.bytes {
                    let [rows, columns] = size;
                    return Err(wrong(format!("{columns} x {rows} pixels of {bits} bits are not what the file says")));
                }
                precision = Some(*bits);
            }
            (0xf7, _) => return Err(wrong("one component of 2 to 16 bits is needed")),
            // Preset parameters.
            (0xf8, [1, numbers @ ..]) => {
                let [maxval, t1, t2, t3, reset] = *numbers.as_chunks::<2>().0 else {
                    return Err(wrong("parameters are cut short"));
                };
                let number = |b: [u8; 2]| i32::from(u16::from_be_bytes(b));
                let t = [t1, t2, t3].map(number);
                preset = Parameters { maxval: number(maxval), near: 0, t, reset: number(reset) };
            }
            (0xf8, _) => {
                return Err(wrong("tables of other values are not read; unpack the file with `dcmdjpls IN OUT`"));
            }
            (0xdd, [0, 0]) => {}
            (0xdd, _) => return Err(wrong("restart markers are not read; unpack the file with `dcmdjpls IN OUT`")),
            // Scan: one component, no mapping table, the error allowed, not interleaved, no shift.
            (0xda, [1, _, 0, near, 0, 0]) => {
                let bits = precision.ok_or_else(|| wrong("samples come before their size"))?;
                let parameters = preset.complete(bits, (*near).into())?;
                return scan::decode(rest, &parameters, format);
            }
            (0xda, _) => return Err(wrong("the samples are interleaved, mapped or shifted")),
            _ => {}
        }
    }
}

/// The next marker and what belongs to it.
fn segment<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let [0xff, marker, l0, l1, ..] = **rest else { return None };
    let end = 2 + usize::from(u16::from_be_bytes([l0, l1]));
    let content = rest.get(4..end)?;
    *rest = rest.get(end..)?;
    Some((marker, content))
}

impl Parameters {
    /// Numbers that are not given (0) take their defaults (C.2.4.1.1).
    fn complete(mut self, bits: u8, near: i32) -> Result<Self, DicomError> {
        let most = (1 << bits) - 1;
        if self.maxval == 0 {
            self.maxval = most;
        }
        self.near = near;
        let max = self.maxval;
        if max > most || near > 255.min(max / 2) {
            return Err(wrong(format!("an error of {near} and a maximum of {max} do not fit {bits} bits")));
        }
        let basic = if max >= 128 {
            let factor = (max.min(4095) + 128) / 256;
            [factor + 2 + 3 * near, 4 * factor + 3 + 5 * near, 17 * factor + 4 + 7 * near]
        } else {
            let factor = 256 / (max + 1);
            [2.max(3 / factor + 3 * near), 3.max(7 / factor + 5 * near), 4.max(21 / factor + 7 * near)]
        };
        let mut least = near + 1;
        for (t, basic) in self.t.iter_mut().zip(basic) {
            if *t == 0 {
                *t = if basic > max || basic < least { least } else { basic };
            }
            if *t < least || *t > max {
                return Err(wrong("its thresholds are out of order"));
            }
            least = *t;
        }
        if self.reset == 0 {
            self.reset = 64;
        }
        if self.reset < 3 {
            return Err(wrong("its counters reset too early"));
        }
        Ok(self)
    }
}

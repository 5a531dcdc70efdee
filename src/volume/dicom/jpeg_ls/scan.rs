//! The samples of a scan (A.2 to A.8).

use super::bits::Bits;
use super::{Parameters, wrong};
use crate::volume::dicom::error::DicomError;
use crate::volume::dicom::pixels::Format;

/// Order of run lengths (A.7.1.2).
const J: [u32; 32] =
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15];
/// 364 contexts of samples from 1 on, and two of ends of runs.
const CONTEXTS: usize = 367;
const RUN_END: usize = 365;

#[derive(Clone, Copy)]
struct Context {
    a: i64,
    b: i64,
    c: i32,
    n: i32,
    /// Negative errors, at ends of runs.
    nn: i32,
}

struct Scan<'a> {
    bits: Bits<'a>,
    p: &'a Parameters,
    range: i32,
    qbpp: u32,
    limit: i32,
    contexts: [Context; CONTEXTS],
    run_index: usize,
}

/// Bits that hold the numbers below `n`.
fn width(n: i32) -> u32 {
    i32::BITS - (n - 1).leading_zeros()
}

pub(super) fn decode(bytes: &[u8], p: &Parameters, format: &Format) -> Result<Vec<u16>, DicomError> {
    let range = (p.maxval + 2 * p.near) / (2 * p.near + 1) + 1;
    let bpp = width(p.maxval + 1).max(2) as i32;
    let first = Context { a: 2.max((range + 32) / 64).into(), b: 0, c: 0, n: 1, nn: 0 };
    let mut scan = Scan {
        bits: Bits::new(bytes),
        p,
        range,
        qbpp: width(range),
        limit: 2 * (bpp + bpp.max(8)),
        contexts: [first; CONTEXTS],
        run_index: 0,
    };
    let mut samples = Vec::with_capacity(format.pixels());
    // A sample more on either side: the line's neighbours beyond its ends.
    let mut above = vec![0; format.columns + 2];
    let mut line = above.clone();
    for _ in 0..format.rows {
        scan.line(&mut above, &mut line)?;
        samples.extend(line[1..=format.columns].iter().map(|&v| v as u16));
        std::mem::swap(&mut above, &mut line);
    }
    Ok(samples)
}

impl Scan<'_> {
    /// `above` and `line` are as long as the image is wide, and two.
    fn line(&mut self, above: &mut [i32], line: &mut [i32]) -> Result<(), DicomError> {
        let columns = line.len() - 2;
        above[columns + 1] = above[columns];
        line[0] = above[1];
        let near = self.p.near;
        let mut x = 1;
        while x <= columns {
            let (ra, rb, rc, rd) = (line[x - 1], above[x], above[x - 1], above[x + 1]);
            let gradients = [rd - rb, rb - rc, rc - ra];
            if gradients.iter().any(|d| d.abs() > near) {
                line[x] = self.sample(gradients, ra, rb, rc)?;
                x += 1;
                continue;
            }
            let length = self.run(columns + 1 - x)?;
            line[x..x + length].fill(ra);
            x += length;
            if x <= columns {
                line[x] = self.run_end(ra, above[x])?;
                x += 1;
            }
        }
        Ok(())
    }

    fn quantised(&self, d: i32) -> i32 {
        let steps = self.p.t.iter().filter(|t| d.abs() >= **t).count() as i32;
        if d.abs() <= self.p.near { 0 } else { d.signum() * (steps + 1) }
    }

    /// A sample by its neighbours (A.4 to A.6).
    fn sample(&mut self, gradients: [i32; 3], ra: i32, rb: i32, rc: i32) -> Result<i32, DicomError> {
        let [q1, q2, q3] = gradients.map(|d| self.quantised(d));
        let q = 81 * q1 + 9 * q2 + q3;
        let sign = if q < 0 { -1 } else { 1 };
        let at = q.unsigned_abs() as usize;
        let Context { a, b, c, n, .. } = self.contexts[at];
        let (low, high) = (ra.min(rb), ra.max(rb));
        let px = match rc {
            rc if rc >= high => low,
            rc if rc <= low => high,
            rc => ra + rb - rc,
        };
        let px = (px + sign * c).clamp(0, self.p.maxval);
        let k = order(n, a);
        let m = self.code(k, self.limit)?;
        let error = match (self.p.near == 0 && k == 0 && 2 * b <= -i64::from(n), m & 1) {
            (false, 0) => m / 2,
            (false, _) => -(m + 1) / 2,
            (true, 0) => -m / 2 - 1,
            (true, _) => (m - 1) / 2,
        };
        let step = 2 * self.p.near + 1;
        let reset = self.p.reset;
        let context = &mut self.contexts[at];
        context.b += i64::from(error * step);
        context.a += i64::from(error.abs());
        if n == reset {
            context.a >>= 1;
            context.b = if context.b >= 0 { context.b >> 1 } else { -((1 - context.b) >> 1) };
            context.n >>= 1;
        }
        context.n += 1;
        context.correct();
        self.restored(px, sign * error)
    }

    /// Length of a run of equal samples, the rest of the line at most (A.7.1).
    fn run(&mut self, rest: usize) -> Result<usize, DicomError> {
        let mut length = 0;
        while self.bits.take(1)? == 1 {
            let step = 1 << J[self.run_index];
            if step > rest - length {
                return Ok(rest);
            }
            length += step;
            self.run_index = (self.run_index + 1).min(31);
            if length == rest {
                return Ok(rest);
            }
        }
        length += self.bits.take(J[self.run_index])? as usize;
        if length >= rest { Err(wrong("a run is longer than its line")) } else { Ok(length) }
    }

    /// The sample that ends a run (A.7.2).
    fn run_end(&mut self, ra: i32, rb: i32) -> Result<i32, DicomError> {
        let alike = (ra - rb).abs() <= self.p.near;
        let kind = i32::from(alike);
        let at = RUN_END + usize::from(alike);
        let Context { a, n, nn, .. } = self.contexts[at];
        let k = order(n, if alike { a + i64::from(n >> 1) } else { a });
        let limit = self.limit - J[self.run_index] as i32 - 1;
        let code = self.code(k, limit)?;
        let odd = (code + kind) & 1;
        let size = (code + kind + odd) / 2;
        let negative = (k != 0 || 2 * nn >= n) == (odd == 1);
        let error = if negative { -size } else { size };
        let reset = self.p.reset;
        let context = &mut self.contexts[at];
        context.nn += i32::from(error < 0);
        context.a += i64::from((code + 1 - kind) >> 1);
        if n == reset {
            context.a >>= 1;
            context.n >>= 1;
            context.nn >>= 1;
        }
        context.n += 1;
        self.run_index = self.run_index.saturating_sub(1);
        let sign = if !alike && ra > rb { -1 } else { 1 };
        self.restored(if alike { ra } else { rb }, sign * error)
    }

    /// An error as it is written, which is at most the range.
    fn code(&mut self, k: u32, limit: i32) -> Result<i32, DicomError> {
        let code = self.bits.golomb(k, limit, self.qbpp)?;
        if code > self.range + 1 { Err(wrong("an error is out of range")) } else { Ok(code) }
    }

    /// The sample from its prediction and its error, modulo the range (A.4.5).
    fn restored(&self, px: i32, error: i32) -> Result<i32, DicomError> {
        let Parameters { near, maxval, .. } = *self.p;
        let step = 2 * near + 1;
        let mut rx = px + error * step;
        if rx < -near {
            rx += self.range * step;
        } else if rx > maxval + near {
            rx -= self.range * step;
        }
        if rx < -near || rx > maxval + near {
            return Err(wrong("a sample is out of range"));
        }
        Ok(rx.clamp(0, maxval))
    }
}

impl Context {
    /// Keeps the mean error near 0 (A.6.2).
    fn correct(&mut self) {
        let n = i64::from(self.n);
        if self.b <= -n {
            self.c = (self.c - 1).max(-128);
            self.b = (self.b + n).max(1 - n);
        } else if self.b > 0 {
            self.c = (self.c + 1).min(127);
            self.b = (self.b - n).min(0);
        }
    }
}

/// The least k with `n 2^k >= a` (A.5.1).
fn order(n: i32, a: i64) -> u32 {
    (0..24).find(|k| i64::from(n) << k >= a).unwrap_or(24)
}

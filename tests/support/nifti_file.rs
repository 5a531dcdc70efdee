//! Makes and reads NIfTI bytes field by field, without the library's own reader or writer.

/// Row-major rows of an affine.
pub type Rows = [[f64; 4]; 3];

/// What to put into a file.
#[derive(Clone)]
pub struct Spec {
    pub two: bool,
    pub big: bool,
    pub dims: [usize; 3],
    pub sform: Option<Rows>,
    pub qform: Option<Rows>,
    /// First axis fastest.
    pub voxels: Vec<i16>,
}

/// Puts numbers into bytes in one byte order.
struct Fields {
    bytes: Vec<u8>,
    big: bool,
}

impl Fields {
    fn put(&mut self, at: usize, little: &[u8]) {
        let mut value = little.to_vec();
        if self.big {
            value.reverse();
        }
        self.bytes[at..at + value.len()].copy_from_slice(&value);
    }

    fn real(&mut self, two: bool, base: usize, n: usize, value: f64) {
        if two {
            self.put(base + 8 * n, &value.to_le_bytes());
        } else {
            self.put(base + 4 * n, &(value as f32).to_le_bytes());
        }
    }
}

impl Spec {
    pub fn bytes(&self) -> Vec<u8> {
        let two = self.two;
        let head = if two { 544 } else { 352 };
        let mut f = Fields { bytes: vec![0; head], big: self.big };
        f.put(0, &(if two { 540_i32 } else { 348 }).to_le_bytes());
        let magic: &[u8] = if two { b"n+2\0\r\n\x1a\n" } else { b"n+1\0" };
        let at = if two { 4 } else { 344 };
        f.bytes[at..at + magic.len()].copy_from_slice(magic);
        let (datatype, bitpix) = if two { (12, 14) } else { (70, 72) };
        f.put(datatype, &4_i16.to_le_bytes());
        f.put(bitpix, &16_i16.to_le_bytes());
        for (n, d) in [3, self.dims[0], self.dims[1], self.dims[2], 1, 1, 1, 1].iter().enumerate() {
            if two {
                f.put(16 + 8 * n, &(*d as i64).to_le_bytes());
            } else {
                f.put(40 + 2 * n, &(*d as i16).to_le_bytes());
            }
        }
        let rows = self.qform.or(self.sform);
        let pixdim = if two { 104 } else { 76 };
        f.real(two, pixdim, 0, 1.0);
        if let Some(rows) = rows {
            (0..3).for_each(|a| f.real(two, pixdim, a + 1, norm(&rows, a)));
        }
        if two {
            f.put(168, &544_i64.to_le_bytes());
            f.put(500, &2_i32.to_le_bytes());
        } else {
            f.put(108, &352_f32.to_le_bytes());
            f.bytes[123] = 2;
        }
        if let Some(rows) = self.sform {
            if two {
                f.put(348, &1_i32.to_le_bytes())
            } else {
                f.put(254, &1_i16.to_le_bytes())
            }
            let at = if two { 400 } else { 280 };
            (0..12).for_each(|n| f.real(two, at, n, rows[n / 4][n % 4]));
        }
        if let Some(rows) = self.qform {
            if two {
                f.put(344, &1_i32.to_le_bytes())
            } else {
                f.put(252, &1_i16.to_le_bytes())
            }
            let (quatern, qfac) = quaternion(&rows);
            f.real(two, pixdim, 0, qfac);
            let at = if two { 352 } else { 256 };
            (0..3).for_each(|n| f.real(two, at, n, quatern[n]));
            (0..3).for_each(|n| f.real(two, at, 3 + n, rows[n][3]));
        }
        for v in &self.voxels {
            let bytes = if self.big { v.to_be_bytes() } else { v.to_le_bytes() };
            f.bytes.extend_from_slice(&bytes);
        }
        f.bytes
    }
}

fn norm(rows: &Rows, a: usize) -> f64 {
    rows.iter().map(|r| r[a] * r[a]).sum::<f64>().sqrt()
}

fn matrix([a, b, c, d]: [f64; 4]) -> [[f64; 3]; 3] {
    [
        [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
        [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
        [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ]
}

/// b, c, d and qfac of axes along the world axes, by trying all quaternions of the cube.
fn quaternion(rows: &Rows) -> ([f64; 3], f64) {
    let half = std::f64::consts::FRAC_1_SQRT_2;
    let parts = [0.0, 0.5, -0.5, half, -half, 1.0, -1.0];
    for qfac in [1.0, -1.0] {
        for n in 0..7_usize.pow(4) {
            let q = [n % 7, n / 7 % 7, n / 49 % 7, n / 343].map(|i| parts[i]);
            let unit = q.iter().map(|v| v * v).sum::<f64>();
            if q[0] < 0.0 || (unit - 1.0).abs() > 1e-9 {
                continue;
            }
            let m = matrix(q);
            let fits = (0..9).all(|k| {
                let (r, c) = (k / 3, k % 3);
                let sign = if c == 2 { qfac } else { 1.0 };
                (m[r][c] * sign - rows[r][c] / norm(rows, c)).abs() < 1e-9
            });
            if fits {
                return ([q[1], q[2], q[3]], qfac);
            }
        }
    }
    panic!("{rows:?} are not along the world axes");
}

/// A label file as an outside reader sees it.
pub struct Outside {
    pub dims: [usize; 3],
    pub sform: Rows,
    pub qform: Rows,
    pub codes: [i32; 2],
    /// First axis fastest.
    pub labels: Vec<u16>,
}

/// Reads a little-endian, unpacked label file of u8 or u16.
pub fn outside(bytes: &[u8]) -> Outside {
    let two = bytes[0] == 540_u16.to_le_bytes()[0];
    let i16_at = |at: usize| i16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let i32_at = |at: usize| i32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let i64_at = |at: usize| i64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let real = |base: usize, n: usize| {
        if two {
            f64::from_le_bytes(bytes[base + 8 * n..base + 8 * n + 8].try_into().unwrap())
        } else {
            f64::from(f32::from_le_bytes(bytes[base + 4 * n..base + 4 * n + 4].try_into().unwrap()))
        }
    };
    let dims = std::array::from_fn(|a| if two { i64_at(24 + 8 * a) as usize } else { i16_at(42 + 2 * a) as usize });
    let (srow, quatern, pixdim) = if two { (400, 352, 104) } else { (280, 256, 76) };
    let sform = std::array::from_fn(|r| std::array::from_fn(|c| real(srow, 4 * r + c)));
    let [b, c, d] = [0, 1, 2].map(|n| real(quatern, n));
    // As nifti_clib: what f32 leaves of a rotation by 180 degrees counts as 0.
    let squared = 1.0 - b * b - c * c - d * d;
    let a = if squared < 1e-7 { 0.0 } else { squared.sqrt() };
    let m = matrix([a, b, c, d]);
    let scale = [real(pixdim, 1), real(pixdim, 2), real(pixdim, 3) * real(pixdim, 0)];
    let qform = std::array::from_fn(|r| {
        let x = |c: usize| m[r][c] * scale[c];
        [x(0), x(1), x(2), real(quatern, 3 + r)]
    });
    let offset = if two { i64_at(168) as usize } else { real(108, 0) as usize };
    let codes = if two { [i32_at(348), i32_at(344)] } else { [i32::from(i16_at(254)), i32::from(i16_at(252))] };
    let wide = i16_at(if two { 12 } else { 70 }) == 512;
    let n: usize = dims.iter().product();
    let labels =
        (0..n).map(|v| if wide { i16_at(offset + 2 * v) as u16 } else { u16::from(bytes[offset + v]) }).collect();
    Outside { dims, sform, qform, codes, labels }
}

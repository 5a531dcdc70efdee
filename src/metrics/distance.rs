//! Exact Euclidean distance transform on an anisotropic grid.
//!
//! `d(v)^2 = min over marked u of sum_a (s_a (v_a - u_a))^2`, axis by axis: along each line the lower
//! envelope of the parabolas `f(q) + s^2 (p - q)^2`.
//!
//! Source: Felzenszwalb and Huttenlocher, Distance Transforms of Sampled Functions, 2012.

/// Distance in mm from every voxel to the nearest marked one; infinite if none is marked.
///
/// # Shapes
/// `marked`: `(X, Y, Z)`, Z contiguous, the product of `dims` values.
#[must_use]
pub fn distance_to(marked: &[bool], dims: [usize; 3], spacing: [f64; 3]) -> Vec<f64> {
    let mut squared: Vec<f64> = marked.iter().map(|&m| if m { 0.0 } else { f64::INFINITY }).collect();
    let strides = [dims[1] * dims[2], dims[2], 1];
    let mut line = Vec::new();
    let mut envelope = Envelope::default();
    for axis in (0..3).rev() {
        let (n, stride) = (dims[axis], strides[axis]);
        if n < 2 {
            continue;
        }
        let lines = (0..squared.len()).filter(|&at| at / stride % n == 0);
        for start in lines {
            line.clear();
            line.extend((0..n).map(|i| squared[start + i * stride]));
            envelope.build(&line, spacing[axis]);
            envelope.read(&line, spacing[axis], |i, value| squared[start + i * stride] = value);
        }
    }
    squared.into_iter().map(f64::sqrt).collect()
}

/// The parabolas that are lowest somewhere, from left to right.
#[derive(Default)]
struct Envelope {
    /// Index of each parabola's apex.
    apex: Vec<usize>,
    /// From which position (mm) each is the lowest.
    from: Vec<f64>,
}

impl Envelope {
    fn build(&mut self, heights: &[f64], spacing: f64) {
        self.apex.clear();
        self.from.clear();
        for (q, &height) in heights.iter().enumerate().filter(|(_, h)| h.is_finite()) {
            let x = q as f64 * spacing;
            let mut start = f64::NEG_INFINITY;
            while let (Some(&v), Some(&begin)) = (self.apex.last(), self.from.last()) {
                let y = v as f64 * spacing;
                let cross = ((height + x * x) - (heights[v] + y * y)) / (2.0 * (x - y));
                if cross > begin {
                    start = cross;
                    break;
                }
                self.apex.pop();
                self.from.pop();
            }
            self.apex.push(q);
            self.from.push(start);
        }
    }

    fn read(&self, heights: &[f64], spacing: f64, mut put: impl FnMut(usize, f64)) {
        let mut at = 0;
        if self.apex.is_empty() {
            return;
        }
        for p in 0..heights.len() {
            let x = p as f64 * spacing;
            while self.from.get(at + 1).is_some_and(|&next| next < x) {
                at += 1;
            }
            let v = self.apex[at];
            let apart = (p as f64 - v as f64) * spacing;
            put(p, heights[v] + apart * apart);
        }
    }
}

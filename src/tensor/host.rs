use super::Shape;

/// A tensor on the host in double precision: what the CPU twins of the kernels compute with.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    /// Extents; the last axis is contiguous.
    pub shape: Shape,
    /// Values, `shape.elements()` of them.
    pub data: Vec<f64>,
}

/// How far a tensor is from its reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Sum of squared errors over sum of squared reference values (the plain sum where the reference is zero).
    pub nmse: f64,
    /// Largest absolute error; infinite if a value is not finite where the reference is.
    pub max_abs: f64,
    /// Flat index of the largest error.
    pub index: usize,
}

impl HostTensor {
    /// A tensor of these values; the count must equal the shape's.
    pub fn new(shape: impl Into<Shape>, data: Vec<f64>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.elements(), data.len(), "value count of {shape}");
        Self { shape, data }
    }

    /// A tensor of zeros.
    pub fn zeros(shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        let n = shape.elements();
        Self { shape, data: vec![0.0; n] }
    }

    /// Repeatable noise, uniform in [-1, 1), exactly representable in f32.
    pub fn noise(shape: impl Into<Shape>, seed: u64) -> Self {
        let shape = shape.into();
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1);
        let data = (0..shape.elements())
            .map(|_| {
                // splitmix64: the top 23 bits give a number that f32 holds exactly.
                state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
                let mut z = state;
                z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                z ^= z >> 31;
                (z >> 41) as f64 / (1u64 << 22) as f64 - 1.0
            })
            .collect();
        Self { shape, data }
    }

    /// Every value through `f`.
    pub fn map(mut self, f: impl Fn(f64) -> f64) -> Self {
        for v in &mut self.data {
            *v = f(*v);
        }
        self
    }

    /// From single precision.
    pub fn from_f32(shape: impl Into<Shape>, data: &[f32]) -> Self {
        Self::new(shape, data.iter().map(|&v| f64::from(v)).collect())
    }

    /// To single precision.
    pub fn to_f32(&self) -> Vec<f32> {
        self.data.iter().map(|&v| v as f32).collect()
    }

    /// How far `actual` is from this reference.
    pub fn difference(&self, actual: &[f32]) -> Difference {
        let (mut error, mut norm, mut max_abs, mut index) = (0.0, 0.0, 0.0, 0);
        for (i, &r) in self.data.iter().enumerate() {
            let a = actual.get(i).map_or(f64::NAN, |&v| f64::from(v));
            let d = if a == r { 0.0 } else { (a - r).abs() };
            let d = if d.is_nan() { f64::INFINITY } else { d };
            if d > max_abs {
                (max_abs, index) = (d, i);
            }
            error += d * d;
            if r.is_finite() {
                norm += r * r;
            }
        }
        Difference { nmse: if norm > 0.0 { error / norm } else { error }, max_abs, index }
    }
}

//! How weights lie in GPU memory.

/// Storage of elements; halves lie two to a word and are computed with as 32-bit.
pub use crate::tensor::FloatType as DType;
use crate::tensor::Shape;

/// Order of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// As the shape says.
    Natural,
    /// A convolution's `(Cout, Cin, taps...)` as `[Cin][tap][Cout padded to 4]`, so that a kernel loads the weights of
    /// four output channels at once.
    TapMajor,
}

impl Layout {
    /// Elements stored for this shape, padding included; always even, so that halves fill whole words.
    pub fn stored_elements(self, shape: &Shape) -> usize {
        match self {
            Self::Natural => shape.elements().next_multiple_of(2),
            Self::TapMajor => {
                let (out, rest) = split(shape);
                rest * out.next_multiple_of(4)
            }
        }
    }

    /// Natural order to stored order; padding is zero.
    pub fn pack(self, shape: &Shape, values: &[f32]) -> Vec<f32> {
        let mut stored = vec![0.0; self.stored_elements(shape)];
        match self {
            Self::Natural => stored[..values.len()].copy_from_slice(values),
            Self::TapMajor => {
                let (out, rest) = split(shape);
                let stride = out.next_multiple_of(4);
                for (i, &v) in values.iter().enumerate() {
                    stored[(i % rest) * stride + i / rest] = v;
                }
            }
        }
        stored
    }

    /// Stored order to natural order.
    pub fn unpack(self, shape: &Shape, stored: &[f32]) -> Vec<f32> {
        match self {
            Self::Natural => stored[..shape.elements()].to_vec(),
            Self::TapMajor => {
                let (out, rest) = split(shape);
                let stride = out.next_multiple_of(4);
                (0..out * rest).map(|i| stored[(i % rest) * stride + i / rest]).collect()
            }
        }
    }
}

/// Output channels, and everything else.
fn split(shape: &Shape) -> (usize, usize) {
    let out = shape.dims().first().copied().unwrap_or(1);
    (out, shape.elements() / out.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tap_major_round_trips_with_padding() {
        let shape = Shape::from([3, 2, 1, 1, 2]);
        let values: Vec<f32> = (0..12).map(|v| v as f32).collect();
        let stored = Layout::TapMajor.pack(&shape, &values);
        assert_eq!(stored.len(), 4 * 4, "input channels x taps x padded output channels");
        assert_eq!(stored[..4], [0.0, 4.0, 8.0, 0.0], "first tap of three output channels");
        assert_eq!(Layout::TapMajor.unpack(&shape, &stored), values);
    }
}

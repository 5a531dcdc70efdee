//! Element types of stored tensors, and conversion between their bytes and numbers.
//!
//! Bytes are little-endian and may lie at any address, so values are decoded, never reinterpreted in place.

use std::fmt;

use half::{bf16, f16};

use super::error::{WeightsError, quoted};
use crate::tensor::FloatType;

/// Element type of a stored tensor, as safetensors names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// IEEE double precision.
    F64,
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of single precision.
    Bf16,
    /// Signed, 64 bits.
    I64,
    /// Signed, 32 bits.
    I32,
    /// Signed, 16 bits.
    I16,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 8 bits.
    U8,
    /// One byte, 0 or 1.
    Bool,
}

impl Dtype {
    const ALL: [Self; 12] = [
        Self::F64,
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::I64,
        Self::I32,
        Self::I16,
        Self::I8,
        Self::U32,
        Self::U16,
        Self::U8,
        Self::Bool,
    ];

    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// Whether it is one of the floating-point types.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::Bf16)
    }

    /// Its name in a safetensors header.
    pub fn name(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::I64 => "I64",
            Self::I32 => "I32",
            Self::I16 => "I16",
            Self::I8 => "I8",
            Self::U32 => "U32",
            Self::U16 => "U16",
            Self::U8 => "U8",
            Self::Bool => "BOOL",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == name)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<FloatType> for Dtype {
    fn from(float: FloatType) -> Self {
        match float {
            FloatType::F32 => Self::F32,
            FloatType::F16 => Self::F16,
        }
    }
}

fn elements<const N: usize>(bytes: &[u8]) -> impl ExactSizeIterator<Item = [u8; N]> + '_ {
    bytes.as_chunks::<N>().0.iter().copied()
}

/// Decodes to f32. f64 and wide integers are rounded to the nearest f32.
pub(super) fn decode_f32(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    match dtype {
        Dtype::F64 => elements(bytes).map(|b| f64::from_le_bytes(b) as f32).collect(),
        Dtype::F32 => elements(bytes).map(f32::from_le_bytes).collect(),
        Dtype::F16 => elements(bytes).map(|b| f16::from_le_bytes(b).to_f32()).collect(),
        Dtype::Bf16 => elements(bytes).map(|b| bf16::from_le_bytes(b).to_f32()).collect(),
        Dtype::I64 => elements(bytes).map(|b| i64::from_le_bytes(b) as f32).collect(),
        Dtype::I32 => elements(bytes).map(|b| i32::from_le_bytes(b) as f32).collect(),
        Dtype::I16 => elements(bytes).map(|b| f32::from(i16::from_le_bytes(b))).collect(),
        Dtype::I8 => elements(bytes).map(|b| f32::from(i8::from_le_bytes(b))).collect(),
        Dtype::U32 => elements(bytes).map(|b| u32::from_le_bytes(b) as f32).collect(),
        Dtype::U16 => elements(bytes).map(|b| f32::from(u16::from_le_bytes(b))).collect(),
        Dtype::U8 | Dtype::Bool => bytes.iter().map(|&b| f32::from(b)).collect(),
    }
}

/// Decodes to f64, exact for everything but integers beyond 2^53.
pub(super) fn decode_f64(dtype: Dtype, bytes: &[u8]) -> Vec<f64> {
    match dtype {
        Dtype::F64 => elements(bytes).map(f64::from_le_bytes).collect(),
        Dtype::I64 => elements(bytes).map(|b| i64::from_le_bytes(b) as f64).collect(),
        Dtype::I32 => elements(bytes).map(|b| f64::from(i32::from_le_bytes(b))).collect(),
        Dtype::U32 => elements(bytes).map(|b| f64::from(u32::from_le_bytes(b))).collect(),
        narrow => decode_f32(narrow, bytes).into_iter().map(f64::from).collect(),
    }
}

/// The first value that is infinite or not a number.
pub(super) fn check_finite(name: &str, dtype: Dtype, bytes: &[u8]) -> Result<(), WeightsError> {
    let infinite = |exponent: u16| move |b: [u8; 2]| u16::from_le_bytes(b) & exponent == exponent;
    let found = match dtype {
        Dtype::F64 => elements(bytes).position(|b| !f64::from_le_bytes(b).is_finite()),
        Dtype::F32 => elements(bytes).position(|b| !f32::from_le_bytes(b).is_finite()),
        Dtype::F16 => elements(bytes).position(infinite(0x7c00)),
        Dtype::Bf16 => elements(bytes).position(infinite(0x7f80)),
        _ => None,
    };
    let Some(index) = found else { return Ok(()) };
    let size = dtype.size();
    let value = bytes.get(index * size..).map(|rest| decode_f32(dtype, &rest[..size.min(rest.len())]));
    let value = value.and_then(|values| values.first().copied()).unwrap_or(f32::NAN);
    Err(WeightsError::NonFinite { name: quoted(name), index, value })
}

/// Bytes of `bytes` in another float type; a finite value that would become infinite is an error.
pub(super) fn convert(name: &str, from: Dtype, bytes: &[u8], to: FloatType) -> Result<Vec<u8>, WeightsError> {
    let values = decode_f64(from, bytes);
    let overflows: fn(f64) -> bool = match to {
        FloatType::F32 => |value| (value as f32).is_infinite(),
        FloatType::F16 => |value| f16::from_f64(value).is_infinite(),
    };
    let found = values.iter().enumerate().find(|(_, value)| value.is_finite() && overflows(**value));
    if let Some((index, &value)) = found {
        return Err(WeightsError::OutOfRange { name: quoted(name), index, value, dtype: to.name() });
    }
    Ok(match to {
        FloatType::F32 => values.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect(),
        FloatType::F16 => values.iter().flat_map(|&value| f16::from_f64(value).to_le_bytes()).collect(),
    })
}

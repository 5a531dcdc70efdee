use serde::{Deserialize, Serialize};

/// The floating-point types that weights are stored in, in files and on the device; arithmetic is in single precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FloatType {
    /// Single precision, as trained.
    #[default]
    F32,
    /// Half precision: half the bytes, about three decimal digits.
    F16,
}

impl FloatType {
    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }

    /// As options, recipes and records spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }
}

//! NIfTI's codes of voxel types.

use crate::volume::VolumeError;
use crate::volume::datatype::Datatype;

impl Datatype {
    /// # Errors
    /// A code that is not a single real number per voxel; the message names it.
    pub(super) fn from_code(code: i64) -> Result<Self, VolumeError> {
        let refused = |name: &str| {
            let problem = format!("{name} voxels are not supported: one real number per voxel is needed");
            Err(VolumeError::header("datatype", code, problem))
        };
        Ok(match code {
            2 => Self::U8,
            4 => Self::I16,
            8 => Self::I32,
            16 => Self::F32,
            64 => Self::F64,
            256 => Self::I8,
            512 => Self::U16,
            768 => Self::U32,
            1024 => Self::I64,
            1280 => Self::U64,
            1 => return refused("1-bit binary"),
            32 => return refused("complex64"),
            128 => return refused("RGB24"),
            1536 => return refused("float128"),
            1792 => return refused("complex128"),
            2048 => return refused("complex256"),
            2304 => return refused("RGBA32"),
            _ => {
                let problem = "no NIfTI type has this code";
                return Err(VolumeError::header("datatype", code, problem));
            }
        })
    }

    pub(super) fn code(self) -> i16 {
        match self {
            Self::U8 => 2,
            Self::I16 => 4,
            Self::I32 => 8,
            Self::F32 => 16,
            Self::F64 => 64,
            Self::I8 => 256,
            Self::U16 => 512,
            Self::U32 => 768,
            Self::I64 => 1024,
            Self::U64 => 1280,
        }
    }
}

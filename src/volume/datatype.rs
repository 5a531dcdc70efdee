//! Voxel types and the way from stored bytes, first axis fastest, to arrays with the last fastest.

use super::VolumeError;

/// Byte order of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endian {
    Little,
    Big,
}

impl Endian {
    pub(super) fn i32(self, bytes: [u8; 4]) -> i32 {
        match self {
            Self::Little => i32::from_le_bytes(bytes),
            Self::Big => i32::from_be_bytes(bytes),
        }
    }
}

/// Numeric types of voxels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datatype {
    U8,
    I8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
}

impl Datatype {
    /// Bytes per voxel.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }

    /// Decodes `channels` volumes of `dims` to `(C, X, Y, Z)`; `raw` holds exactly their bytes.
    ///
    /// # Errors
    /// The result does not fit into memory.
    pub(super) fn decode<T: Copy + Default>(
        self,
        raw: &[u8],
        endian: Endian,
        channels: usize,
        dims: [usize; 3],
        convert: impl Fn(f64) -> T,
    ) -> Result<Vec<T>, VolumeError> {
        macro_rules! as_type {
            ($t:ty) => {
                match endian {
                    Endian::Little => transpose(raw, channels, dims, |b| convert(<$t>::from_le_bytes(b) as f64)),
                    Endian::Big => transpose(raw, channels, dims, |b| convert(<$t>::from_be_bytes(b) as f64)),
                }
            };
        }
        match self {
            Self::U8 => as_type!(u8),
            Self::I8 => as_type!(i8),
            Self::I16 => as_type!(i16),
            Self::U16 => as_type!(u16),
            Self::I32 => as_type!(i32),
            Self::U32 => as_type!(u32),
            Self::I64 => as_type!(i64),
            Self::U64 => as_type!(u64),
            Self::F32 => as_type!(f32),
            Self::F64 => as_type!(f64),
        }
    }
}

/// Tiles of this side keep both the read and the written lines in cache.
const TILE: usize = 32;

/// From x fastest to z fastest, one volume after another.
fn transpose<const N: usize, T: Copy + Default>(
    raw: &[u8],
    channels: usize,
    [nx, ny, nz]: [usize; 3],
    read: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>, VolumeError> {
    let volume = nx * ny * nz;
    let (voxels, _) = raw.as_chunks::<N>();
    let mut out = Vec::new();
    out.try_reserve_exact(channels * volume).map_err(|_| VolumeError::TooLarge {
        needed: (channels * volume * size_of::<T>()) as u64,
        limit: isize::MAX as u64,
    })?;
    out.resize(channels * volume, T::default());
    for (from, to) in voxels.chunks_exact(volume).zip(out.chunks_exact_mut(volume)) {
        for x0 in (0..nx).step_by(TILE) {
            let x1 = (x0 + TILE).min(nx);
            for z0 in (0..nz).step_by(TILE) {
                let z1 = (z0 + TILE).min(nz);
                for y in 0..ny {
                    for z in z0..z1 {
                        let row = (z * ny + y) * nx;
                        for (x, voxel) in (x0..x1).zip(&from[row + x0..row + x1]) {
                            to[(x * ny + y) * nz + z] = read(*voxel);
                        }
                    }
                }
            }
        }
    }
    Ok(out)
}

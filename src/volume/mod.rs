//! Volumes: voxels with their place in the patient, files, and the way to and from the model's grid.
//!
//! Arrays are `(C, X, Y, Z)` with Z contiguous; X, Y, Z are the NIfTI axes i, j, k. An [`Affine`]
//! maps a voxel index to millimetres in RAS+ (x to the patient's right, y to the front, z up).
//!
//! | module | does |
//! | --- | --- |
//! | [`nifti`] | reads and writes NIfTI-1 and NIfTI-2 |
//! | `dicom` | reads series of DICOM images (feature `dicom`) |
//! | [`channels`] | which file is which channel, by name |
//! | [`affine`], [`orientation`] | geometry of the voxel grid |
//! | [`resample`], [`intensity`], [`crop`] | MONAI's transforms, one each |
//! | [`preprocess`] | a model package's `input` section, applied |
//! | [`geometry`] | the record of what was done, and its exact inverse |
//!
//! Nothing here prints, needs a GPU or, apart from the `_path` helpers, a file system.

pub mod affine;
pub mod channels;
pub mod crop;
#[cfg(feature = "dicom")]
pub mod dicom;
mod error;
pub mod geometry;
pub mod intensity;
pub mod nifti;
pub mod orientation;
pub mod preprocess;
pub mod resample;

pub use affine::Affine;
pub use error::VolumeError;
pub use geometry::{AxisMap, Geometry, ScanToGrid};
pub use intensity::{Intensity, PerChannel};
pub use orientation::Orientation;
pub use preprocess::{Preprocess, Preprocessed};

/// Voxels of one or more channels on one grid.
///
/// `data` has `channels * dims[0] * dims[1] * dims[2]` values, `(C, X, Y, Z)`, Z contiguous.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume {
    pub data: Vec<f32>,
    pub channels: usize,
    pub dims: [usize; 3],
    /// Voxel index to mm, RAS+.
    pub affine: Affine,
}

/// One label per voxel, `(X, Y, Z)`, Z contiguous; 0 is background.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelMap {
    pub data: Vec<u16>,
    pub dims: [usize; 3],
    /// Voxel index to mm, RAS+.
    pub affine: Affine,
}

/// Two grids are the same when no corner moves by more than this, in mm.
///
/// NIfTI-1 stores an affine as f32: at 1 m from the origin that is 6e-5 mm per coordinate.
pub const SAME_GRID_MM: f64 = 1e-3;

impl Volume {
    /// Checks that the parts fit together.
    ///
    /// # Errors
    /// The length is not `channels * X * Y * Z`, a size is 0, or the affine maps no volume.
    pub fn new(data: Vec<f32>, channels: usize, dims: [usize; 3], affine: Affine) -> Result<Self, VolumeError> {
        let expected = checked_len(channels, dims)?;
        if data.len() != expected {
            return Err(VolumeError::shape("voxels of a volume", expected, data.len()));
        }
        affine.check("the volume")?;
        Ok(Self { data, channels, dims, affine })
    }

    /// Joins single- or multi-channel volumes of one grid into one, in the order given.
    ///
    /// # Errors
    /// None given, or a volume lies on another grid than the first.
    pub fn stack(volumes: Vec<Volume>) -> Result<Self, VolumeError> {
        let mut rest = volumes.into_iter();
        let Some(mut all) = rest.next() else {
            return Err(VolumeError::shape("channels", "at least one scan", "none"));
        };
        for volume in rest {
            if volume.dims != all.dims {
                return Err(VolumeError::shape(
                    "dimensions of the scans of one study",
                    format!("{:?}", all.dims),
                    format!("{:?}", volume.dims),
                ));
            }
            let moved = all.affine.max_displacement(&volume.affine, all.dims);
            if moved > SAME_GRID_MM {
                return Err(VolumeError::shape(
                    "position of the scans of one study",
                    "the same affine",
                    format!("corners {moved:.3} mm apart"),
                ));
            }
            all.channels += volume.channels;
            all.data.extend_from_slice(&volume.data);
        }
        Ok(all)
    }

    /// Voxels of one channel.
    #[must_use]
    pub fn voxels(&self) -> usize {
        self.dims.iter().product()
    }

    /// The voxels of channel `c`, `(X, Y, Z)`; empty if there is no such channel.
    #[must_use]
    pub fn channel(&self, c: usize) -> &[f32] {
        let n = self.voxels();
        self.data.get(c * n..(c + 1) * n).unwrap_or(&[])
    }

    /// Voxels that are NaN or infinite.
    #[must_use]
    pub fn non_finite(&self) -> usize {
        self.data.iter().filter(|v| !v.is_finite()).count()
    }
}

impl LabelMap {
    /// Checks that the parts fit together.
    ///
    /// # Errors
    /// The length is not `X * Y * Z`, a size is 0, or the affine maps no volume.
    pub fn new(data: Vec<u16>, dims: [usize; 3], affine: Affine) -> Result<Self, VolumeError> {
        let expected = checked_len(1, dims)?;
        if data.len() != expected {
            return Err(VolumeError::shape("voxels of a label map", expected, data.len()));
        }
        affine.check("the label map")?;
        Ok(Self { data, dims, affine })
    }

    /// True if both lie on the same grid, to [`SAME_GRID_MM`].
    #[must_use]
    pub fn same_grid(&self, other: &LabelMap) -> bool {
        self.dims == other.dims && self.affine.max_displacement(&other.affine, self.dims) <= SAME_GRID_MM
    }

    /// Voxels per label that occurs, in ascending order of the label.
    #[must_use]
    pub fn counts(&self) -> std::collections::BTreeMap<u16, usize> {
        let mut counts = std::collections::BTreeMap::new();
        for run in self.data.chunk_by(|a, b| a == b) {
            *counts.entry(run[0]).or_insert(0) += run.len();
        }
        counts
    }
}

/// `channels * X * Y * Z`, checked, none of them 0.
pub(crate) fn checked_len(channels: usize, dims: [usize; 3]) -> Result<usize, VolumeError> {
    let got = || format!("{channels} x {dims:?}");
    let n = dims
        .iter()
        .try_fold(channels, |n, &d| n.checked_mul(d))
        .ok_or_else(|| VolumeError::shape("size of a volume", "a countable size", got()))?;
    if n == 0 {
        return Err(VolumeError::shape("size of a volume", "at least one voxel", got()));
    }
    Ok(n)
}

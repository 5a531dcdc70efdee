//! Volumes: voxels with their place in the patient, files, and the way to and from the model's grid.
//!
//! Arrays are `(C, X, Y, Z)` with Z contiguous; X, Y, Z are the NIfTI axes i, j, k. An [`Affine`]
//! maps a voxel index to millimetres in RAS+ (x to the patient's right, y to the front, z up).
//!
//! | module | does |
//! | --- | --- |
//! | [`study`] | the way in: scans and label maps of any format, from paths or bytes |
//! | [`nifti`] | reads and writes NIfTI-1 and NIfTI-2 |
//! | [`nrrd`], [`metaimage`], [`mgh`] | read NRRD with 3D Slicer's segmentations, MetaImage, FreeSurfer's MGH and MGZ |
//! | `dicom` | reads series of DICOM images (feature `dicom`) |
//! | `mesh` | surfaces of labels (feature `cli`) |
//! | [`source`] | the DICOM series that an image was read from |
//! | [`codes`] | what labels are, in the words of a terminology |
//! | [`label_file`] | label maps in the format that a file's name says |
//! | [`channels`] | which file is which channel, by name |
//! | `components` | connected components of labels |
//! | [`affine`], [`orientation`] | geometry of the voxel grid |
//! | [`grid`] | whether two images lie on one grid |
//! | [`steps`] | transforms of a scan, one each |
//! | [`resample`], [`crop`] | resampling in world space, boxes of voxels |
//! | [`preprocess`] | a model package's `input` section, applied |
//! | [`geometry`] | the record of what was done, and its exact inverse |
//!
//! Nothing here prints, needs a GPU or, apart from what opens paths, a file system.

pub mod affine;
pub mod channels;
pub mod codes;
pub mod components;
mod container;
pub mod crop;
mod datatype;
#[cfg(feature = "dicom")]
pub mod dicom;
mod error;
pub mod geometry;
pub mod grid;
pub mod label_file;
#[cfg(feature = "cli")]
pub mod mesh;
pub mod metaimage;
pub mod mgh;
pub mod nifti;
pub mod nrrd;
pub mod orientation;
mod partial;
pub mod preprocess;
pub mod resample;
pub mod source;
pub mod steps;
mod stored;
pub mod study;

pub use affine::Affine;
pub use error::VolumeError;
pub use geometry::{AxisTable, AxisTaps, Geometry, Place};
pub use grid::{Alignment, VoxelGrid};
pub use orientation::Orientation;
pub use preprocess::{Preprocess, Preprocessed};
pub use source::SourceSeries;
pub use study::{InputFile, Study, StudyFiles, StudyOptions};

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
///
/// Labels that are only compared may have 32 bits.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelMap<T = u16> {
    pub data: Vec<T>,
    pub dims: [usize; 3],
    /// Voxel index to mm, RAS+.
    pub affine: Affine,
}

/// Real numbers this close to a whole one are that label: resampled and scaled masks carry rounding.
pub const LABEL_TOLERANCE: f64 = 1e-3;

/// The label that a stored value stands for, if it does for one.
pub(crate) fn label_value(value: f64) -> Option<u32> {
    let label = value.round();
    let fits = (0.0..=f64::from(u32::MAX)).contains(&label) && (value - label).abs() <= LABEL_TOLERANCE;
    fits.then_some(label as u32)
}

/// # Errors
/// The first value that is no label.
pub(crate) fn labels_of(values: &[f64], dims: [usize; 3]) -> Result<Vec<u32>, VolumeError> {
    let label =
        |(at, value): (usize, &f64)| label_value(*value).ok_or_else(|| VolumeError::label(at, dims, *value, u32::MAX));
    values.iter().enumerate().map(label).collect()
}

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

    /// Joins single- or multi-channel volumes of one grid into one, in the order given; the first one's grid is taken.
    ///
    /// # Errors
    /// None given, or a volume lies on another grid than the first.
    pub fn stack(volumes: Vec<Volume>) -> Result<Self, VolumeError> {
        let mut rest = volumes.into_iter();
        let Some(mut all) = rest.next() else {
            return Err(VolumeError::shape("channels", "at least one scan", "none"));
        };
        let grid = all.grid();
        for volume in rest {
            let (turn, _) = grid.join(&volume.grid(), ["the first volume", "another"])?;
            let volume = volume.placed(&turn, &grid);
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

    /// Puts the channels into another order: for each new one the old one's index, each once.
    pub fn reorder(&mut self, order: &[usize]) {
        self.data = order.iter().flat_map(|&c| self.channel(c)).copied().collect();
    }

    /// Voxels that are NaN or infinite.
    #[must_use]
    pub fn non_finite(&self) -> usize {
        self.data.iter().filter(|v| !v.is_finite()).count()
    }
}

impl<T: Copy> LabelMap<T> {
    /// Checks that the parts fit together.
    ///
    /// # Errors
    /// The length is not `X * Y * Z`, a size is 0, or the affine maps no volume.
    pub fn new(data: Vec<T>, dims: [usize; 3], affine: Affine) -> Result<Self, VolumeError> {
        let expected = checked_len(1, dims)?;
        if data.len() != expected {
            return Err(VolumeError::shape("voxels of a label map", expected, data.len()));
        }
        affine.check("the label map")?;
        Ok(Self { data, dims, affine })
    }
}

impl<T: Copy + Ord> LabelMap<T> {
    /// Voxels per label that occurs, in ascending order of the label.
    #[must_use]
    pub fn counts(&self) -> std::collections::BTreeMap<T, usize> {
        let mut counts = std::collections::BTreeMap::new();
        for run in self.data.chunk_by(|a, b| a == b) {
            *counts.entry(run[0]).or_insert(0) += run.len();
        }
        counts
    }
}

impl LabelMap<u32> {
    /// The same labels in 16 bits, as models have them.
    ///
    /// # Errors
    /// The first voxel whose label is above 65535.
    pub fn narrow(self) -> Result<LabelMap, VolumeError> {
        let Self { data, dims, affine } = self;
        let narrow = |(at, value): (usize, &u32)| {
            u16::try_from(*value).map_err(|_| VolumeError::label(at, dims, f64::from(*value), u32::from(u16::MAX)))
        };
        let data = data.iter().enumerate().map(narrow).collect::<Result<_, _>>()?;
        Ok(LabelMap { data, dims, affine })
    }
}

impl LabelMap {
    /// The same labels in 32 bits, as they are compared.
    #[must_use]
    pub fn widen(&self) -> LabelMap<u32> {
        LabelMap { data: self.data.iter().map(|v| u32::from(*v)).collect(), dims: self.dims, affine: self.affine }
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

//! How well a segmentation matches the truth: overlap, surface distance, volume.
//!
//! All values are MONAI's, infinities and NaN included, so that means over cases and classes can be
//! compared with published ones. [`Presence`] says in words what the special values mean:
//!
//! | masks | Dice | HD | HD95 | average surface distance |
//! | --- | --- | --- | --- | --- |
//! | both empty | NaN | NaN | NaN | NaN |
//! | truth empty only (false alarm) | NaN | inf | NaN | inf |
//! | prediction empty only (missed) | 0 | inf | NaN | inf |
//!
//! A mean that skips NaN thus forgets missed classes in HD95: report how many were skipped, see
//! [`nan_mean`].

mod dice;
mod distance;
mod surface;

pub use dice::{Overlap, dice, overlap};
pub use distance::distance_to;
pub use surface::{SurfaceDistance, surface_distance};

use thiserror::Error;

/// Errors of comparing two label maps.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// The two do not have one value for each voxel of the grid.
    #[error("{what} has {got} voxels, the grid {dims:?} has {expected}")]
    Length { what: &'static str, expected: usize, got: usize, dims: [usize; 3] },
    /// Voxels without a size.
    #[error("spacing is {spacing:?}: three positive numbers of mm are needed")]
    Spacing { spacing: [f64; 3] },
}

/// A label: 16 bits as models have them, or 32 bits where maps are only compared.
pub trait Label: Copy + PartialEq + Into<u32> {}

impl<T: Copy + PartialEq + Into<u32>> Label for T {}

/// Which of the two masks of a class have voxels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Both,
    /// In the truth only: the prediction missed it.
    Missed,
    /// In the prediction only: a false alarm.
    FalseAlarm,
    Neither,
}

/// All measures of one class in one case.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassMetrics {
    pub class: u32,
    pub presence: Presence,
    pub dice: f64,
    /// Hausdorff distance, mm.
    pub hd: f64,
    /// 95th percentile of the Hausdorff distance, mm.
    pub hd95: f64,
    /// Average symmetric surface distance, mm.
    pub assd: f64,
    pub prediction_ml: f64,
    pub truth_ml: f64,
}

/// Measures each class of two label maps on one grid.
///
/// # Shapes
/// `prediction` and `truth`: `(X, Y, Z)`, Z contiguous, of `dims`; `spacing` in mm; `voxel_mm3` is a voxel's volume, less
/// than the product of the spacings where the axes are sheared.
///
/// # Errors
/// Lengths that do not match `dims`, or a spacing that is not positive.
pub fn evaluate<T: Label>(
    prediction: &[T],
    truth: &[T],
    dims: [usize; 3],
    spacing: [f64; 3],
    voxel_mm3: f64,
    classes: &[T],
) -> Result<Vec<ClassMetrics>, MetricsError> {
    check(prediction, truth, dims, spacing)?;
    let voxel_ml = voxel_mm3 / 1000.0;
    classes
        .iter()
        .map(|&class| {
            let counts = overlap(prediction, truth, class);
            let surface = surface_distance(prediction, truth, dims, spacing, class)?;
            Ok(ClassMetrics {
                class: class.into(),
                presence: counts.presence(),
                dice: counts.dice(),
                hd: surface.hd,
                hd95: surface.hd95,
                assd: surface.assd,
                prediction_ml: counts.prediction as f64 * voxel_ml,
                truth_ml: counts.truth as f64 * voxel_ml,
            })
        })
        .collect()
}

/// Mean of the values that are not NaN, and how many were left out. NaN if none is left.
#[must_use]
pub fn nan_mean(values: &[f64]) -> (f64, usize) {
    let kept: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    (kept.iter().sum::<f64>() / kept.len() as f64, values.len() - kept.len())
}

fn check<T>(prediction: &[T], truth: &[T], dims: [usize; 3], spacing: [f64; 3]) -> Result<(), MetricsError> {
    let expected = dims.iter().try_fold(1_usize, |n, &d| n.checked_mul(d)).unwrap_or(usize::MAX);
    for (what, values) in [("the prediction", prediction), ("the truth", truth)] {
        if values.len() != expected {
            return Err(MetricsError::Length { what, expected, got: values.len(), dims });
        }
    }
    if !spacing.iter().all(|s| s.is_finite() && *s > 0.0) {
        return Err(MetricsError::Spacing { spacing });
    }
    Ok(())
}

//! Transforms that make a scan ready for a network, one file each, and the ordered list of them that a model package
//! gives as `input.steps`.
//!
//! | step | does | source |
//! | --- | --- | --- |
//! | [`Orient`] | turns the axes to axis codes | MONAI `Orientation` |
//! | [`Transpose`] | permutes the axes | MONAI `Transpose`; nnU-Net `transpose_forward` |
//! | [`Spacing`] | resamples to a voxel size, along the axes in the patient | MONAI `Spacing` |
//! | [`Resampling`] | resamples to a voxel size by spline, slices apart where they are thick | nnU-Net `resample_data_or_seg_to_shape` |
//! | [`Resize`] | resamples to a number of voxels | MONAI `Resize` |
//! | [`CropForeground`] | crops to the voxels above 0 | MONAI `CropForeground` |
//! | [`CropToNonzero`] | crops to the voxels that are not 0 | nnU-Net `crop_to_nonzero` |
//! | [`ScaleIntensityRange`] | maps one range of values to another | MONAI `ScaleIntensityRange` |
//! | [`ScaleIntensity`] | maps the values' own range to another | MONAI `ScaleIntensity` |
//! | [`NormalizeIntensity`] | subtracts a mean, divides by a deviation | MONAI `NormalizeIntensity` |
//! | [`Normalization`] | a scheme for each channel | nnU-Net `ImageNormalization` |
//!
//! A step that moves voxels records how in a [`Move`]; [`super::Geometry`] follows the moves both ways.

mod crop_foreground;
mod crop_to_nonzero;
mod normalization;
mod normalize_intensity;
mod orientation;
mod resampling;
mod resize;
mod scale_intensity;
mod scale_intensity_range;
mod spacing;
pub mod spline;
mod transpose;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

pub use crop_foreground::CropForeground;
pub use crop_to_nonzero::CropToNonzero;
pub use normalization::{IntensityProperties, Normalization, Scheme};
pub use normalize_intensity::{NormalizeIntensity, PerChannel};
pub use orientation::Orient;
pub use resampling::{Interpolation, Resampling};
pub use resize::Resize;
pub use scale_intensity::ScaleIntensity;
pub use scale_intensity_range::ScaleIntensityRange;
pub use spacing::{PaddingMode, Spacing, SpacingMode};
pub use transpose::Transpose;

use super::geometry::{Move, Placed};
use super::{Affine, Volume, VolumeError};

/// What every transform can do.
pub trait Transform {
    /// Checks the settings for a scan of so many channels.
    ///
    /// # Errors
    /// The first that cannot be applied.
    fn check(&self, channels: usize) -> Result<(), VolumeError>;

    /// Applies it.
    ///
    /// # Errors
    /// As [`Transform::check`], or a scan that it cannot be applied to.
    fn apply(&self, frame: &mut Frame<'_>) -> Result<(), VolumeError>;

    /// The value that a voxel without a measurement gets before this step, if it scales values.
    fn background(&self) -> Option<f32> {
        None
    }
}

/// A scan on its way to the model's grid.
pub struct Frame<'a> {
    /// Its voxels so far.
    pub volume: Cow<'a, Volume>,
    /// How they were moved so far.
    pub moves: Vec<Placed>,
}

impl Frame<'_> {
    /// Moves each channel by `sample`; `grid` is the new size and affine.
    fn place(
        &mut self,
        by: Move,
        (dims, affine): ([usize; 3], Affine),
        sample: impl Fn(&[f32], [usize; 3]) -> Vec<f32>,
    ) {
        let from = &*self.volume;
        let mut data = Vec::new();
        for c in 0..from.channels {
            let moved = sample(from.channel(c), from.dims);
            match from.channels {
                1 => data = moved,
                _ => data.extend_from_slice(&moved),
            }
        }
        self.moves.push(Placed { dims: from.dims, affine: from.affine, by });
        self.volume = Cow::Owned(Volume { data, channels: from.channels, dims, affine });
    }
}

macro_rules! steps {
    ($($(#[$text:meta])* $name:literal => $kind:ident,)*) => {
        /// One transform of the list.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(tag = "transform")]
        pub enum Step {
            $($(#[$text])* #[serde(rename = $name)] $kind($kind),)*
        }

        impl Step {
            /// Names of all transforms, as a package gives them under `transform`.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// Its name.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$kind(_) => $name,)* }
            }

            fn inner(&self) -> &dyn Transform {
                match self { $(Self::$kind(step) => step,)* }
            }
        }

        $(impl From<$kind> for Step {
            fn from(step: $kind) -> Self {
                Self::$kind(step)
            }
        })*
    };
}

steps! {
    /// Turns the axes to axis codes.
    "Orientation" => Orient,
    /// Permutes the axes.
    "Transpose" => Transpose,
    /// Resamples to a voxel size, in world space.
    "Spacing" => Spacing,
    /// Resamples to a voxel size, in index space.
    "Resampling" => Resampling,
    /// Resamples to a number of voxels.
    "Resize" => Resize,
    /// Crops to the voxels above 0.
    "CropForeground" => CropForeground,
    /// Crops to the voxels that are not 0.
    "CropToNonzero" => CropToNonzero,
    /// Maps one range of values to another.
    "ScaleIntensityRange" => ScaleIntensityRange,
    /// Maps the values' own range to another.
    "ScaleIntensity" => ScaleIntensity,
    /// Subtracts a mean, divides by a deviation.
    "NormalizeIntensity" => NormalizeIntensity,
    /// A scheme for each channel.
    "Normalization" => Normalization,
}

impl Transform for Step {
    fn check(&self, channels: usize) -> Result<(), VolumeError> {
        self.inner().check(channels)
    }

    fn apply(&self, frame: &mut Frame<'_>) -> Result<(), VolumeError> {
        self.inner().apply(frame)
    }

    fn background(&self) -> Option<f32> {
        self.inner().background()
    }
}

/// A number for all three axes, or one for each, as MONAI's arguments take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a whole number, or a list of three, is needed")]
pub enum PerAxis {
    /// The same along every axis.
    All(usize),
    /// Along X, Y, Z.
    Each([usize; 3]),
}

impl PerAxis {
    /// Along X, Y, Z.
    #[must_use]
    pub fn each(self) -> [usize; 3] {
        match self {
            Self::All(value) => [value; 3],
            Self::Each(values) => values,
        }
    }
}

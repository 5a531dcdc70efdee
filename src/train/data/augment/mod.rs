//! The random transforms of a training window, one file each.
//!
//! ```text
//! crop -> flip -> rotate90 -> affine, elastic      labels follow; one interpolation at most, none without the last two
//!      -> bias_field -> adjust_contrast -> gaussian_smooth -> gaussian_noise -> scale_intensity -> shift_intensity
//! ```
//! The order is fixed: the geometry of MONAI's BTCV recipe, then from the object to the receiver. Names and parameters
//! are those of MONAI's random transforms (`prob` and a range).

use serde::{Deserialize, Serialize};

use super::error::DataError;
use super::prepare::PreparedCase;
use super::random::Rng;
use super::recipe::DataRecipe;
use super::target::Target;
use super::task::Task;
use crate::volume::affine::multiply3;
use crate::volume::orientation::Turn;
use crate::weights::package::{InputSection, OutputSection};

mod adjust_contrast;
mod affine;
mod bias_field;
mod check;
mod elastic;
mod flip;
mod gather;
mod gaussian_noise;
mod gaussian_smooth;
mod mirror;
mod rotate90;
mod scale_intensity;
mod shift_intensity;
mod warp;

pub use adjust_contrast::AdjustContrast;
pub use affine::RandAffine;
pub use bias_field::BiasField;
pub use elastic::Elastic;
pub use gaussian_noise::GaussianNoise;
pub use gaussian_smooth::GaussianSmooth;
pub use rotate90::Rotate90;
pub use scale_intensity::ScaleIntensity;
pub use shift_intensity::ShiftIntensity;

/// The section `[augment]`; what is not named is off.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentRecipe {
    /// Labels (after `relabel`) that are each other's mirror image.
    pub mirror_pairs: Vec<[u16; 2]>,
    /// Probability of a mirror along X, Y, Z.
    pub flip: [f64; 3],
    /// Quarter turns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotate90: Option<Rotate90>,
    /// Rotation, shear, scale and shift.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affine: Option<RandAffine>,
    /// Elastic deformation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elastic: Option<Elastic>,
    /// Uneven brightness.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bias_field: Option<BiasField>,
    /// Gamma.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adjust_contrast: Option<AdjustContrast>,
    /// Blur.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gaussian_smooth: Option<GaussianSmooth>,
    /// Noise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gaussian_noise: Option<GaussianNoise>,
    /// Gain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_intensity: Option<ScaleIntensity>,
    /// Offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shift_intensity: Option<ShiftIntensity>,
}

impl AugmentRecipe {
    /// Checks the section against the sections it has to fit.
    ///
    /// # Errors
    /// [`DataError::Recipe`], which names the field.
    pub fn validate(
        &self,
        data: &DataRecipe,
        task: &Task,
        input: &InputSection,
        output: &OutputSection,
    ) -> Result<(), DataError> {
        Augment::new(self, data, task, input, output).map(|_| ())
    }
}

/// The transforms of a recipe, checked.
#[derive(Clone, Debug)]
pub struct Augment {
    recipe: AugmentRecipe,
    mirror: mirror::Mirror,
    window: [usize; 3],
}

impl Augment {
    /// Checks the transforms of a recipe.
    ///
    /// # Errors
    /// As [`AugmentRecipe::validate`].
    pub fn new(
        recipe: &AugmentRecipe,
        data: &DataRecipe,
        task: &Task,
        input: &InputSection,
        output: &OutputSection,
    ) -> Result<Self, DataError> {
        let window = task.window;
        check::each_within("augment.flip", &recipe.flip, 0.0, 1.0)?;
        recipe.rotate90.as_ref().map_or(Ok(()), |t| t.validate(window, input.preprocess.spacing()))?;
        recipe.affine.as_ref().map_or(Ok(()), RandAffine::validate)?;
        recipe.elastic.as_ref().map_or(Ok(()), Elastic::validate)?;
        recipe.bias_field.as_ref().map_or(Ok(()), BiasField::validate)?;
        recipe.adjust_contrast.as_ref().map_or(Ok(()), AdjustContrast::validate)?;
        recipe.gaussian_smooth.as_ref().map_or(Ok(()), GaussianSmooth::validate)?;
        recipe.gaussian_noise.as_ref().map_or(Ok(()), GaussianNoise::validate)?;
        recipe.scale_intensity.as_ref().map_or(Ok(()), ScaleIntensity::validate)?;
        recipe.shift_intensity.as_ref().map_or(Ok(()), ShiftIntensity::validate)?;
        let target = Target::new(data, task, output)?;
        let mirror = mirror::Mirror::new(recipe.flip, &recipe.mirror_pairs, data, &target, input, output)?;
        Ok(Self { recipe: recipe.clone(), mirror, window })
    }

    /// Cuts the window that begins at `start` out of a case, through the random geometry: appends the image, gives the
    /// labels.
    pub fn cut(&self, rng: &mut Rng, case: &PreparedCase, start: [i64; 3], image: &mut Vec<f32>) -> Vec<u16> {
        let recipe = &self.recipe;
        let flipped = flip::draw(rng, recipe.flip);
        let mut turn = flip::turn(flipped);
        if let Some(rotation) = recipe.rotate90.as_ref().and_then(|t| t.draw(rng)) {
            turn = then(turn, rotation);
        }
        let moved = recipe.affine.as_ref().and_then(|t| t.draw(rng, case.spacing));
        let deformation = recipe.elastic.as_ref().and_then(|t| t.draw(rng, self.window));
        let mut label = if moved.is_none() && deformation.is_none() {
            gather::gather(&case.image, case.dims, self.window, start, turn, image);
            let mut label = Vec::with_capacity(self.window.iter().product());
            gather::gather(&case.label, case.dims, self.window, start, turn, &mut label);
            label
        } else {
            warp::warp(case, self.window, &self.map(turn, moved, start, deformation), image)
        };
        self.mirror.apply(flipped, &mut label);
        label
    }

    /// From the turned window through the window to the volume.
    fn map(
        &self,
        turn: Turn,
        moved: Option<affine::Moved>,
        start: [i64; 3],
        deformation: Option<elastic::Deformation>,
    ) -> warp::Map {
        let turned = turn.to_source(self.window);
        let affine::Moved { matrix, shift } = moved.unwrap_or(affine::Moved::NONE);
        let centre = self.window.map(|w| (w - 1) as f64 / 2.0);
        let from_centre: [f64; 3] = std::array::from_fn(|a| turned.origin()[a] - centre[a]);
        let offset = std::array::from_fn(|r| {
            let turned_origin: f64 = (0..3).map(|c| matrix[r][c] * from_centre[c]).sum();
            turned_origin + centre[r] + shift[r] + start[r] as f64
        });
        warp::Map { linear: multiply3(&matrix, &turned.linear()), offset, deformation }
    }

    /// Changes the intensities of a window `(C, X, Y, Z)`.
    pub fn intensity(&self, rng: &mut Rng, image: &mut [f32]) {
        let recipe = &self.recipe;
        let voxels = self.window.iter().product();
        if let Some(t) = &recipe.bias_field {
            t.apply(rng, image, self.window);
        }
        if let Some(t) = &recipe.adjust_contrast {
            t.apply(rng, image, voxels);
        }
        if let Some(t) = &recipe.gaussian_smooth {
            t.apply(rng, image, self.window);
        }
        if let Some(t) = &recipe.gaussian_noise {
            t.apply(rng, image);
        }
        if let Some(t) = &recipe.scale_intensity {
            t.apply(rng, image);
        }
        if let Some(t) = &recipe.shift_intensity {
            t.apply(rng, image);
        }
    }
}

/// First `a`, then `b`.
fn then(a: Turn, b: Turn) -> Turn {
    let source = b.source.map(|t| a.source[t]);
    let flip = std::array::from_fn(|t| b.flip[t] != a.flip[b.source[t]]);
    Turn { source, flip }
}

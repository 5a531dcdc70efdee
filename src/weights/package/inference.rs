//! The package's `inference` section: how windows are laid over a scan and blended.

use serde::{Deserialize, Serialize};

use super::super::error::WeightsError;
use super::metadata::Format;
use crate::fields::Section;
use crate::nets::Window;

/// How overlapping windows are weighted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blend {
    /// More weight in the middle of a window.
    Gaussian,
    /// The same weight everywhere.
    Constant,
}

impl Blend {
    /// As packages, options and records spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gaussian => "gaussian",
            Self::Constant => "constant",
        }
    }
}

/// Whose rule is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// `sliding_window_inference` of MONAI.
    #[default]
    Monai,
    /// `nnUNetPredictor` of nnU-Net.
    Nnunet,
}

impl Rule {
    fn is_monai(&self) -> bool {
        *self == Self::Monai
    }
}

/// Keys that `unetr/1` does not have.
pub(super) const SINCE_2: [&str; 3] = ["windows", "importance", "mirror_axes"];

/// Sliding window settings, with MONAI's names.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InferenceSection {
    /// Voxels of a window along X, Y, Z, in training too; the network says which it takes.
    pub roi_size: [usize; 3],
    /// Fraction of a window shared with the next, 0 to below 1.
    pub overlap: f64,
    /// Weighting of overlapping windows.
    pub blend: Blend,
    /// Standard deviation of the gaussian as a fraction of the window.
    pub sigma_scale: f64,
    /// Where windows lie.
    #[serde(skip_serializing_if = "Rule::is_monai")]
    pub windows: Rule,
    /// How the gaussian is cut off.
    #[serde(skip_serializing_if = "Rule::is_monai")]
    pub importance: Rule,
    /// Axes of the model's grid; the mean is taken over the window mirrored along each subset of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mirror_axes: Vec<usize>,
}

impl InferenceSection {
    /// The settings taken where a package gives none.
    pub fn default_for(window: Window) -> Self {
        Self {
            roi_size: window.default_size(),
            overlap: 0.5,
            blend: Blend::Gaussian,
            sigma_scale: 0.125,
            windows: Rule::Monai,
            importance: Rule::Monai,
            mirror_axes: Vec::new(),
        }
    }

    pub(super) fn read(fields: &Section<'_>, window: Window, format: Format) -> Result<Self, WeightsError> {
        let default = Self::default_for(window);
        let mut section = Self {
            roi_size: fields.or("roi_size", default.roi_size)?,
            overlap: fields.or("overlap", default.overlap)?,
            blend: fields.or("blend", default.blend)?,
            sigma_scale: fields.or("sigma_scale", default.sigma_scale)?,
            ..default
        };
        if format == Format::Steps {
            section.windows = fields.or("windows", Rule::Monai)?;
            section.importance = fields.or("importance", Rule::Monai)?;
            section.mirror_axes = fields.list("mirror_axes")?;
        }
        fields.finish()?;
        Ok(section)
    }

    /// Whether this format can say it.
    pub(super) fn fits(&self, format: Format) -> bool {
        let plain = self.windows.is_monai() && self.importance.is_monai() && self.mirror_axes.is_empty();
        plain || format == Format::Steps
    }

    pub(super) fn validate(&self, window: Window) -> Result<(), WeightsError> {
        let Self { roi_size, overlap, sigma_scale, .. } = self;
        if let Window::Fixed(img_size) = window
            && *roi_size != img_size
        {
            let problem = format!(
                "{roi_size:?} must equal network.img_size {img_size:?}: the position table is made for that size"
            );
            return Err(WeightsError::field("inference.roi_size", problem));
        }
        if let Err(rule) = window.check(*roi_size) {
            return Err(WeightsError::field("inference.roi_size", format!("{roi_size:?}: {rule}")));
        }
        if !(0.0..1.0).contains(overlap) {
            let problem = format!("{overlap} must be at least 0 and less than 1");
            return Err(WeightsError::field("inference.overlap", problem));
        }
        if !(sigma_scale.is_finite() && *sigma_scale > 0.0) {
            return Err(WeightsError::field("inference.sigma_scale", format!("{sigma_scale} must be above 0")));
        }
        let axes = &self.mirror_axes;
        if axes.iter().enumerate().any(|(at, axis)| *axis > 2 || axes.iter().take(at).any(|other| other == axis)) {
            let problem = format!("{axes:?}: the axes are 0, 1 and 2, each at most once");
            return Err(WeightsError::field("inference.mirror_axes", problem));
        }
        Ok(())
    }
}

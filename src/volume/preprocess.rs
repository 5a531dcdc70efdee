//! A scan made ready for the network: the steps of a model package's `input` section, in their order.
//!
//! What was done is recorded in a [`Geometry`], which leads the result back.
//!
//! Voxels that are NaN or infinite would spread through interpolation, means and normalisation over
//! the whole volume, so they are set to background first ([`Transform::background`]) and counted in
//! a warning: a masked scan with NaN outside the head segments as if it had background there.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use super::steps::{Frame, ScaleIntensityRange, Step, Transform};
use super::{Geometry, Volume, VolumeError};

/// Steps that make a scan ready for a network.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Preprocess {
    /// In the order in which they are applied.
    pub steps: Vec<Step>,
}

/// A volume on the model's grid, and the way back.
#[derive(Debug, Clone)]
pub struct Preprocessed {
    pub volume: Volume,
    pub geometry: Geometry,
    /// What the user should know about how the input was treated.
    pub warnings: Vec<String>,
}

impl Preprocess {
    /// These steps.
    #[must_use]
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect() }
    }

    /// Checks the settings for scans of so many channels, without one.
    ///
    /// # Errors
    /// The number of the first step that cannot be applied, and why.
    pub fn check(&self, channels: usize) -> Result<(), (usize, VolumeError)> {
        let mut checked = self.steps.iter().map(|step| step.check(channels)).enumerate();
        checked.try_for_each(|(at, result)| result.map_err(|error| (at, error)))
    }

    /// The axis codes of the model's grid; `None` where scans keep the axes they are stored with.
    #[must_use]
    pub fn axcodes(&self) -> Option<String> {
        self.steps.iter().fold(None, |codes: Option<String>, step| match step {
            Step::Orient(orient) => Some(orient.axcodes.clone()),
            Step::Transpose(transpose) => {
                codes.map(|codes| transpose.indices.iter().filter_map(|&axis| codes.chars().nth(axis)).collect())
            }
            _ => codes,
        })
    }

    /// The voxel size of the model's grid in mm along its axes; `None` where scans keep theirs.
    #[must_use]
    pub fn spacing(&self) -> Option<[f64; 3]> {
        self.steps.iter().fold(None, |spacing, step| match step {
            Step::Spacing(to) => Some(to.pixdim),
            Step::Resampling(to) => Some(to.spacing),
            Step::Resize(_) => None,
            Step::Transpose(transpose) => spacing.map(|mm: [f64; 3]| transpose.indices.map(|axis| mm[axis])),
            _ => spacing,
        })
    }

    /// The range of values that the network tells apart, if it is fixed: its window.
    #[must_use]
    pub fn window(&self) -> Option<[f64; 2]> {
        self.steps.iter().find_map(|step| match step {
            Step::ScaleIntensityRange(ScaleIntensityRange { a_min, a_max, .. }) => Some([*a_min, *a_max]),
            Step::Normalization(normalization) => normalization.window(),
            _ => None,
        })
    }

    /// What is to be told of a model's scans that are stored in different ways where nothing makes them alike: a line for
    /// orders of axes, one for voxel sizes, with counts. `scans` are axis codes and spacings of the grids that the network
    /// sees.
    #[must_use]
    pub fn mixed<'a>(&self, scans: impl Iterator<Item = (&'a str, [f64; 3])>) -> Vec<String> {
        let (mut orders, mut sizes) = (BTreeMap::new(), BTreeMap::new());
        for (codes, spacing) in scans {
            *orders.entry(codes.to_owned()).or_insert(0) += 1;
            // Two digits: scanners differ in the third.
            let text = spacing.map(|mm| format!("{:.2}", mm)).join(" x ");
            *sizes.entry(format!("{text} mm")).or_insert(0) += 1;
        }
        let list = |counts: &BTreeMap<String, usize>| {
            let mut counts: Vec<(&String, &usize)> = counts.iter().collect();
            counts.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
            let first = counts.iter().take(4).map(|(what, n)| format!("{n} of {what}")).collect::<Vec<_>>().join(", ");
            match counts.len().saturating_sub(4) {
                0 => first,
                more => format!("{first} and {more} more"),
            }
        };
        let mut told = Vec::new();
        if self.axcodes().is_none() && orders.len() > 1 {
            told.push(format!(
                "input.orientation is null, and the scans are stored in {} orders of axes, which the network sees as they \
                 are: {}; \"RAS\" would make them one",
                orders.len(),
                list(&orders)
            ));
        }
        if self.spacing().is_none() && sizes.len() > 1 {
            told.push(format!(
                "input.spacing is null, and the scans have {} voxel sizes, which the network sees as they are: {}; three \
                 sizes in mm would make them one",
                sizes.len(),
                list(&sizes)
            ));
        }
        told
    }

    /// Applies all steps.
    ///
    /// # Errors
    /// Settings that cannot be applied, an affine that maps no volume, a grid beyond memory, or no
    /// voxel above 0 where a foreground crop is asked for.
    pub fn apply(&self, scan: &Volume) -> Result<Preprocessed, VolumeError> {
        self.check(scan.channels).map_err(|(_, error)| error)?;
        scan.affine.check("the scan")?;
        let mut frame = Frame { volume: Cow::Borrowed(scan), moves: Vec::new() };
        let mut warnings = Vec::new();
        let non_finite = scan.non_finite();
        if non_finite > 0 {
            let background = self.steps.iter().find_map(Transform::background).unwrap_or(0.0);
            warnings.push(format!("{non_finite} voxels are NaN or infinite; they count as background ({background})"));
            frame.volume.to_mut().data.iter_mut().filter(|v| !v.is_finite()).for_each(|v| *v = background);
        }
        for step in &self.steps {
            step.apply(&mut frame)?;
        }
        let volume = frame.volume.into_owned();
        let geometry = Geometry::new(scan.grid(), frame.moves, volume.grid());
        if geometry.skips_resamplings() {
            warnings.push(
                "the scan's axes are sheared, and it is resampled several times in a row: labels are brought back from there at \
                 once; MONAI goes back step by step, so that its labels differ along edges"
                    .to_owned(),
            );
        }
        Ok(Preprocessed { volume, geometry, warnings })
    }
}

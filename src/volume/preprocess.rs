//! A scan made ready for the network: orientation, spacing, intensity, foreground crop.
//!
//! The description is the `input` section of a model package; each step may be absent. The order is
//! fixed. What was done is recorded in a [`Geometry`], which leads the result back.
//!
//! Voxels that are NaN or infinite would spread through interpolation, means and normalisation over
//! the whole volume, so they are set to background first ([`Intensity::background`]) and counted in
//! a warning: a masked scan with NaN outside the head segments as if it had background there.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::crop::{Box3, foreground};
use super::orientation::Turn;
use super::resample::{Grid, sample_linear, spacing_grid};
use super::{Geometry, Intensity, Orientation, Volume, VolumeError};

/// The geometric and intensity part of a model package's `input` section.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Preprocess {
    /// Axis codes to turn to, such as `RAS`.
    #[serde(default)]
    pub orientation: Option<String>,
    /// Voxel size in mm along the (turned) axes.
    #[serde(default)]
    pub spacing: Option<[f64; 3]>,
    #[serde(default)]
    pub crop_foreground: bool,
    #[serde(default)]
    pub intensity: Option<Intensity>,
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
    /// Checks the settings without a volume.
    ///
    /// # Errors
    /// Axis codes or spacing that cannot be applied; intensities are checked when they are scaled.
    pub fn check(&self) -> Result<(), VolumeError> {
        if let Some(codes) = &self.orientation {
            Orientation::from_codes(codes)?;
        }
        if let Some(spacing) = self.spacing {
            spacing_grid(&super::Affine::IDENTITY, [1; 3], spacing)?;
        }
        Ok(())
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
        if self.orientation.is_none() && orders.len() > 1 {
            told.push(format!(
                "input.orientation is null, and the scans are stored in {} orders of axes, which the network sees as they \
                 are: {}; \"RAS\" would make them one",
                orders.len(),
                list(&orders)
            ));
        }
        if self.spacing.is_none() && sizes.len() > 1 {
            told.push(format!(
                "input.spacing is null, and the scans have {} voxel sizes, which the network sees as they are: {}; three \
                 sizes in mm would make them one",
                sizes.len(),
                list(&sizes)
            ));
        }
        told
    }

    /// Turn and grid for a scan, from its geometry alone.
    fn plan(&self, affine: &super::Affine, dims: [usize; 3]) -> Result<(Turn, Grid), VolumeError> {
        let turn = match &self.orientation {
            Some(codes) => Orientation::of(affine).turn_to(&Orientation::from_codes(codes)?),
            None => Turn::NONE,
        };
        let turned_dims = turn.dims(dims);
        let turned = turn.affine(affine, dims);
        let grid = match self.spacing {
            Some(spacing) => spacing_grid(&turned, turned_dims, spacing)?,
            None => Grid { dims: turned_dims, affine: turned, to_source: None },
        };
        Ok((turn, grid))
    }

    /// Applies all steps.
    ///
    /// # Errors
    /// Settings that cannot be applied, an affine that maps no volume, a grid beyond memory, or no
    /// voxel above 0 where a foreground crop is asked for.
    pub fn apply(&self, scan: &Volume) -> Result<Preprocessed, VolumeError> {
        self.check()?;
        self.intensity.as_ref().map_or(Ok(()), |intensity| intensity.check(scan.channels))?;
        scan.affine.check("the scan")?;
        let (turn, grid) = self.plan(&scan.affine, scan.dims)?;
        let turned_dims = turn.dims(scan.dims);
        let mut warnings = Vec::new();
        let background = self.intensity.as_ref().map_or(0.0, Intensity::background);
        let non_finite = scan.non_finite();
        if non_finite > 0 {
            warnings.push(format!("{non_finite} voxels are NaN or infinite; they count as background ({background})"));
        }

        let mut data = Vec::new();
        for c in 0..scan.channels {
            let source = scan.channel(c);
            let mut channel = match turn {
                Turn::NONE => Cow::Borrowed(source),
                turn => Cow::Owned(turn.apply(source, scan.dims)),
            };
            if non_finite > 0 {
                for v in channel.to_mut().iter_mut().filter(|v| !v.is_finite()) {
                    *v = background;
                }
            }
            let sampled = match &grid.to_source {
                Some(map) => sample_linear(&channel, turned_dims, grid.dims, map),
                None => channel.into_owned(),
            };
            if scan.channels == 1 {
                data = sampled;
            } else {
                data.extend_from_slice(&sampled);
            }
        }
        let mut volume = Volume { data, channels: scan.channels, dims: grid.dims, affine: grid.affine };
        if let Some(intensity) = &self.intensity {
            intensity.apply(&mut volume)?;
        }
        let crop = if self.crop_foreground {
            foreground(&volume).ok_or(VolumeError::NoForeground)?
        } else {
            Box3::whole(grid.dims)
        };
        if crop != Box3::whole(grid.dims) {
            let cut: Vec<f32> = (0..volume.channels).flat_map(|c| crop.cut(volume.channel(c), grid.dims)).collect();
            volume =
                Volume { data: cut, channels: volume.channels, dims: crop.dims, affine: crop.affine(&grid.affine) };
        }
        let geometry = Geometry { scan_dims: scan.dims, scan_affine: scan.affine, turn, grid, crop };
        Ok(Preprocessed { volume, geometry, warnings })
    }
}

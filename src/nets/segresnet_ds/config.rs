//! What defines a SegResNetDS: the arguments of MONAI's `SegResNetDS`, in three dimensions. Source:
//! `monai/networks/nets/segresnet_ds.py` (1.6.1).

use serde::Serialize;
use serde_json::Value;

use crate::fields::Section;
use crate::nets::config::{ConfigError, MOST_CLASSES, check_range};
use crate::nets::layers::act::ActName;
use crate::nets::layers::norm::NormName;
use crate::nets::network::Architecture;
use crate::nets::segresnet::config::{UpsampleMode, check_act, check_blocks, check_dims, check_levels, check_norm};

/// `network.type`.
pub(super) const KIND: &str = "SegResNetDS";

/// As MONAI's Auto3DSeg trains it: 87.2 million parameters.
pub(in crate::nets) const PUBLISHED: &str = r#"{"init_filters": 32, "in_channels": 1, "out_channels": 2, "norm": "batch",
    "blocks_down": [1, 2, 2, 4, 4], "dsdepth": 4}"#;

/// The arguments of MONAI's `SegResNetDS`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SegResNetDsConfig {
    /// Axes of a volume, always 3.
    pub spatial_dims: usize,
    /// Channels of the finest level; each below has twice as many.
    pub init_filters: usize,
    /// Channels of the image.
    pub in_channels: usize,
    /// Channels of the logits.
    pub out_channels: usize,
    pub act: ActName,
    /// Norm, affine where it is not said.
    pub norm: NormName,
    /// Residual blocks of each level on the way down, the finest first.
    pub blocks_down: Vec<usize>,
    /// Residual blocks of each level on the way up, the coarsest first.
    pub blocks_up: Vec<usize>,
    /// Levels that have a head, the finest first; those below the first are trained alone (deep supervision).
    pub dsdepth: usize,
    /// How levels are enlarged.
    pub upsample_mode: UpsampleMode,
    /// Lengths of a voxel's edges, to each other, along X, Y, Z: axes of finer voxels are halved first, until voxels are nearly
    /// cubes.
    pub resolution: Option<[f64; 3]>,
}

impl SegResNetDsConfig {
    /// Reads the arguments; MONAI's defaults fill what is absent.
    ///
    /// # Errors
    /// One is missing, of a wrong type or out of its range.
    pub fn read(arguments: &Section<'_>) -> Result<Architecture, ConfigError> {
        let blocks_down = arguments.or("blocks_down", vec![1, 2, 2, 4])?;
        let ups = blocks_down.len().saturating_sub(1);
        let preprocess: Value = arguments.or("preprocess", Value::Null)?;
        if !preprocess.is_null() {
            let rule = "a function of the reference program cannot be run";
            return Err(ConfigError::value("preprocess", preprocess, rule, "use null"));
        }
        Architecture::new(Self {
            spatial_dims: arguments.or("spatial_dims", 3)?,
            init_filters: arguments.or("init_filters", 32)?,
            in_channels: arguments.or("in_channels", 1)?,
            out_channels: arguments.or("out_channels", 2)?,
            act: arguments.or("act", ActName::Relu)?,
            norm: Self::norm(arguments)?,
            blocks_down,
            blocks_up: arguments.or("blocks_up", None)?.unwrap_or_else(|| vec![1; ups]),
            dsdepth: arguments.or("dsdepth", 1)?.max(1),
            upsample_mode: UpsampleMode::read(arguments, "upsample_mode", UpsampleMode::Deconv)?,
            resolution: arguments.or("resolution", None)?,
        })
    }

    /// The class makes norms affine unless they are told not to be.
    fn norm(arguments: &Section<'_>) -> Result<NormName, ConfigError> {
        let affine = |norm| match norm {
            NormName::Instance { .. } => NormName::Instance { affine: true },
            other => other,
        };
        let told = |spelled: &Value| spelled.get(1).is_some_and(|options| options.get("affine").is_some());
        let norm = arguments.or("norm", NormName::Batch { affine: true })?;
        let spelled: Value = arguments.or("norm", Value::Null)?;
        Ok(if told(&spelled) { norm } else { affine(norm) })
    }

    /// Channels of a level, the finest being 0.
    pub(super) fn filters(&self, level: usize) -> usize {
        self.init_filters << level
    }

    /// Strides from each level to the next, whose kernels have 3 voxels along axes that are halved and 1 along others. The last
    /// level has its kernels alone. Source: `scales_for_resolution`.
    pub(super) fn scales(&self) -> Vec<[usize; 3]> {
        let levels = self.blocks_down.len();
        let edges = self.resolution.unwrap_or([1.0; 3]);
        let longest = edges.into_iter().fold(0.0, f64::max);
        // How often an axis is halved before its voxels are as long as the longest; beyond any number of levels it is all one.
        let halvings = edges.map(|edge| (longest / edge).log2().floor().min(levels as f64) as usize);
        let most = halvings.into_iter().max().unwrap_or(0);
        (0..levels).map(|level| halvings.map(|times| if level < most && level >= times { 1 } else { 2 })).collect()
    }

    /// Product of the strides.
    pub(super) fn multiple(&self) -> [usize; 3] {
        let strides = self.scales();
        let down = strides.iter().take(strides.len().saturating_sub(1));
        down.fold([1; 3], |product, stride| [0, 1, 2].map(|a| product[a] * stride[a]))
    }

    /// Checks every argument, so that every size derived from them is exact on 32-bit targets.
    ///
    /// # Errors
    /// The first that breaks a rule.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        check_dims(self.spatial_dims)?;
        check_range("in_channels", self.in_channels, 256)?;
        check_range("out_channels", self.out_channels, MOST_CLASSES)?;
        check_levels(self.init_filters, &self.blocks_down)?;
        check_blocks("blocks_up", &self.blocks_up, self.blocks_down.len() - 1)?;
        if let Some(resolution) = self.resolution
            && !resolution.iter().all(|edge| edge.is_finite() && *edge > 0.0)
        {
            let rule = "edges of voxels are numbers above 0";
            return Err(ConfigError::value("resolution", format!("{resolution:?}"), rule, "give three, or null"));
        }
        check_norm(self.norm, self.init_filters)?;
        check_act(self.act, self.init_filters, self.blocks_down.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scales(resolution: [f64; 3], levels: usize) -> Vec<[usize; 3]> {
        let (blocks_down, blocks_up) = (vec![1; levels], vec![1; levels - 1]);
        SegResNetDsConfig {
            spatial_dims: 3,
            init_filters: 8,
            in_channels: 1,
            out_channels: 2,
            act: ActName::Relu,
            norm: NormName::Batch { affine: true },
            blocks_down,
            blocks_up,
            dsdepth: 1,
            upsample_mode: UpsampleMode::Deconv,
            resolution: Some(resolution),
        }
        .scales()
    }

    #[test]
    fn strides_follow_the_resolution_as_monais() {
        assert_eq!(scales([1.0, 1.0, 5.0], 5), [[2, 2, 1], [2, 2, 1], [2; 3], [2; 3], [2; 3]]);
        assert_eq!(scales([1.0, 2.0, 8.0], 3), [[2, 2, 1], [2, 2, 1], [2, 1, 1]]);
        assert_eq!(scales([0.5, 0.9, 0.6], 2), [[2; 3]; 2]);
        assert_eq!(scales([1e-30, 1.0, 1e30], 2), [[2, 2, 1]; 2], "differences beyond any number of levels");
    }
}

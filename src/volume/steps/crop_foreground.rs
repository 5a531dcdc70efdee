//! The foreground crop: the smallest box around voxels above 0 in any channel, as MONAI's `CropForeground`.

use serde::{Deserialize, Serialize};

use super::{Frame, PerAxis, Transform};
use crate::volume::VolumeError;
use crate::volume::crop::{Box3, bounds};

/// Crops to the box of voxels above 0, wider by a margin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CropForeground {
    /// Voxels added on each side.
    #[serde(default = "none")]
    pub margin: PerAxis,
    /// The box's sizes become multiples of this, the smaller half of what is added in front.
    #[serde(default = "one")]
    pub k_divisible: PerAxis,
    /// Whether the margin ends with the image; else the box reaches beyond it, where values are 0.
    #[serde(default)]
    pub allow_smaller: bool,
}

fn none() -> PerAxis {
    PerAxis::All(0)
}

fn one() -> PerAxis {
    PerAxis::All(1)
}

impl Default for CropForeground {
    fn default() -> Self {
        Self { margin: none(), k_divisible: one(), allow_smaller: false }
    }
}

impl Transform for CropForeground {
    fn check(&self, _channels: usize) -> Result<(), VolumeError> {
        let bad = |setting, value: PerAxis, problem| {
            Err(VolumeError::Setting { setting, value: format!("{:?}", value.each()), problem })
        };
        if self.margin.each().iter().any(|m| *m > 4096) {
            return bad("CropForeground margin", self.margin, "at most 4096 voxels can be added");
        }
        if !self.k_divisible.each().iter().all(|k| (1..=4096).contains(k)) {
            return bad("CropForeground k_divisible", self.k_divisible, "numbers between 1 and 4096 are needed");
        }
        Ok(())
    }

    fn apply(&self, frame: &mut Frame<'_>) -> Result<(), VolumeError> {
        self.check(frame.volume.channels)?;
        let tight = bounds(&frame.volume, |v| v > 0.0).ok_or(VolumeError::NoForeground)?;
        let (margin, k, dims) = (self.margin.each(), self.k_divisible.each(), frame.volume.dims);
        let (mut start, mut size) = ([0_isize; 3], [0_usize; 3]);
        for a in 0..3 {
            let mut from = tight.start[a] - margin[a] as isize;
            let mut to = tight.start[a] + (tight.dims[a] + margin[a]) as isize;
            if self.allow_smaller {
                (from, to) = (from.max(0), to.min(dims[a] as isize));
            }
            let own = (to - from) as usize;
            size[a] = own.next_multiple_of(k[a]);
            start[a] = from - ((size[a] - own) / 2) as isize;
        }
        frame.crop(Box3 { start, dims: size })
    }
}

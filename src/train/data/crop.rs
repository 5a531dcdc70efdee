//! Where windows are cut, by the rules of MONAI's random crops.
//!
//! **`pos_neg`** (`RandCropByPosNegLabel`): with probability `pos / (pos + neg)` the centre is a labelled voxel, else a
//! voxel with label 0 whose image is above a threshold in some channel, uniformly among all of its kind; if there is
//! none of one kind, the other is taken. The centre `c` is then clamped per axis, for a window of `w` and a volume of `n`
//! voxels, to `floor(w/2) <= c <= max(trunc(n + 1 - w/2) - 1, floor(w/2))`, and the window starts at `c - floor(w/2)`.
//!
//! **`uniform`** (`RandSpatialCrop`): every window inside the volume is equally likely.
//!
//! Along an axis where the volume is smaller than the window, the window begins before it: the missing voxels are
//! divided at random, or half before and the rest after as in MONAI's `SpatialPad`, and are 0.
//!
//! # Source
//! `monai/transforms/utils.py`: `map_binary_to_indices`, `generate_pos_neg_label_crop_centers`, `correct_crop_centers`.

use super::random::{self, Rng};
use super::recipe::{CropMethod, DataRecipe, Pad};

/// How many voxels of each kind the planes `x` hold, so that the n-th of a kind is found without a list of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Labelled voxels per plane.
    positive: Vec<u32>,
    /// Voxels with label 0 and an image above the threshold, per plane.
    negative: Vec<u32>,
    threshold: Threshold,
}

/// An f32 compared by its bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Threshold(u32);

/// What a window is centred on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Positive,
    Negative,
}

impl Places {
    /// Counts the voxels of a case.
    ///
    /// # Shapes
    /// `image` `(C, X, Y, Z)`, `label` `(X, Y, Z)`.
    #[must_use]
    pub fn new(image: &[f32], label: &[u16], dims: [usize; 3], threshold: f32) -> Self {
        let mut places = Self { threshold: Threshold(threshold.to_bits()), ..Self::default() };
        let plane = dims[1] * dims[2];
        for (x, labels) in label.chunks_exact(plane.max(1)).enumerate() {
            let count = |kind| (0..labels.len()).filter(|&at| places.is(kind, image, label, x * plane + at)).count();
            let (positive, negative) = (count(Kind::Positive) as u32, count(Kind::Negative) as u32);
            places.positive.push(positive);
            places.negative.push(negative);
        }
        places
    }

    /// Whether voxel `at` is of a kind.
    fn is(&self, kind: Kind, image: &[f32], label: &[u16], at: usize) -> bool {
        let labelled = label.get(at).is_some_and(|value| *value > 0);
        match kind {
            Kind::Positive => labelled,
            Kind::Negative => {
                let threshold = f32::from_bits(self.threshold.0);
                !labelled && image.iter().skip(at).step_by(label.len().max(1)).any(|value| *value > threshold)
            }
        }
    }

    fn planes(&self, kind: Kind) -> &[u32] {
        match kind {
            Kind::Positive => &self.positive,
            Kind::Negative => &self.negative,
        }
    }

    fn total(&self, kind: Kind) -> u64 {
        self.planes(kind).iter().map(|&n| u64::from(n)).sum()
    }

    /// The `n`-th voxel of a kind in the order of memory.
    fn find(&self, kind: Kind, image: &[f32], label: &[u16], dims: [usize; 3], mut n: u64) -> Option<[usize; 3]> {
        let plane = dims[1] * dims[2];
        let (x, _) = self.planes(kind).iter().enumerate().find(|&(_, &count)| {
            let here = n < u64::from(count);
            if !here {
                n -= u64::from(count);
            }
            here
        })?;
        let mut of_kind = (0..plane).filter(|&at| self.is(kind, image, label, x * plane + at));
        let at = of_kind.nth(usize::try_from(n).ok()?)?;
        Some([x, at / dims[2], at % dims[2]])
    }
}

/// The rule by which windows are placed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crop {
    method: CropMethod,
    /// Probability of a labelled centre.
    positive: f64,
    pad: Pad,
    window: [usize; 3],
}

impl Crop {
    /// The rule of a (validated) recipe.
    #[must_use]
    pub fn new(data: &DataRecipe, window: [usize; 3]) -> Self {
        Self { method: data.method, positive: data.pos / (data.pos + data.neg), pad: data.pad, window }
    }

    /// The volume's voxel at which a window begins, along each axis; negative where it begins before the volume.
    ///
    /// # Shapes
    /// `image` `(C, X, Y, Z)`, `label` `(X, Y, Z)`, for which `places` was made.
    pub fn start(&self, rng: &mut Rng, image: &[f32], label: &[u16], dims: [usize; 3], places: &Places) -> [i64; 3] {
        let centre = match self.method {
            CropMethod::PosNeg => self.centre(rng, image, label, dims, places),
            CropMethod::Uniform => None,
        };
        std::array::from_fn(|a| {
            let (n, w) = (dims[a], self.window[a]);
            if n < w {
                return -(self.before(rng, w - n) as i64);
            }
            match centre {
                Some(centre) => (clamp_centre(centre[a], n, w) - w / 2) as i64,
                None => random::below(rng, (n - w) as u64 + 1) as i64,
            }
        })
    }

    /// A voxel to crop around; `None` if there is none of either kind.
    fn centre(
        &self,
        rng: &mut Rng,
        image: &[f32],
        label: &[u16],
        dims: [usize; 3],
        places: &Places,
    ) -> Option<[usize; 3]> {
        let wanted = if random::happens(rng, self.positive) { Kind::Positive } else { Kind::Negative };
        let kind = match (places.total(Kind::Positive), places.total(Kind::Negative)) {
            (0, 0) => return None,
            (0, _) => Kind::Negative,
            (_, 0) => Kind::Positive,
            _ => wanted,
        };
        let n = random::below(rng, places.total(kind));
        places.find(kind, image, label, dims, n)
    }

    /// Padding before the volume, of `missing` voxels in all.
    fn before(&self, rng: &mut Rng, missing: usize) -> u64 {
        match self.pad {
            Pad::Random => random::below(rng, missing as u64 + 1),
            Pad::Symmetric => missing as u64 / 2,
        }
    }
}

/// MONAI's `correct_crop_centers` along one axis, for a volume of `n` and a window of `w <= n` voxels.
fn clamp_centre(centre: usize, n: usize, w: usize) -> usize {
    let low = w / 2;
    // trunc(n + 1 - w / 2): the half of an odd window is not rounded.
    let mut end = (2 * n + 2 - w) / 2;
    if end == low {
        end += 1;
    }
    centre.max(low).min(end - 1)
}

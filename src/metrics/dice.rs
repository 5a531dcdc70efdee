//! Dice: `2 |P and G| / (|P| + |G|)`, NaN where the truth is empty.
//!
//! Source: `monai/metrics/meandice.py` with `ignore_empty=True`.

use super::{Label, Presence};

/// Voxels of one class in the prediction, in the truth, and in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlap {
    pub prediction: usize,
    pub truth: usize,
    pub both: usize,
}

impl Overlap {
    /// Dice; NaN if the truth is empty, 0 if only the prediction is.
    #[must_use]
    pub fn dice(&self) -> f64 {
        if self.truth == 0 {
            return f64::NAN;
        }
        2.0 * self.both as f64 / (self.prediction + self.truth) as f64
    }

    /// Which of the masks have voxels.
    #[must_use]
    pub fn presence(&self) -> Presence {
        match (self.prediction > 0, self.truth > 0) {
            (true, true) => Presence::Both,
            (false, true) => Presence::Missed,
            (true, false) => Presence::FalseAlarm,
            (false, false) => Presence::Neither,
        }
    }
}

/// Counts one class; voxels beyond the shorter of the two are not compared.
#[must_use]
pub fn overlap<T: Label>(prediction: &[T], truth: &[T], class: T) -> Overlap {
    let mut counts = Overlap { prediction: 0, truth: 0, both: 0 };
    for (&p, &t) in prediction.iter().zip(truth) {
        counts.prediction += usize::from(p == class);
        counts.truth += usize::from(t == class);
        counts.both += usize::from(p == class && t == class);
    }
    counts
}

/// Dice of one class of two label maps on one grid.
#[must_use]
pub fn dice<T: Label>(prediction: &[T], truth: &[T], class: T) -> f64 {
    overlap(prediction, truth, class).dice()
}

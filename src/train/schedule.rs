//! The learning rate over a run: linear warm-up, then half a cosine.
//!
//! With `e` counted from 0, `W` the warm-up and `T` the total: `e / (W - 1)` of the base rate for `e < W`, then
//! `floor + (1 - floor) (1 + cos(π (e - W) / (T - W))) / 2`. Source: `LinearWarmupCosineAnnealingLR` of MONAI's research code,
//! which counts epochs; here `e` counts whatever the recipe's `interval` is.

use serde::{Deserialize, Serialize};

/// Shape of the schedule after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// Half a cosine down to the floor.
    #[default]
    Cosine,
    /// The base rate throughout.
    Constant,
}

/// A learning rate for every step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The largest rate.
    pub base: f64,
    /// Steps of the warm-up, W.
    pub warmup: u64,
    /// Steps of the whole run, T.
    pub total: u64,
    /// The last rate as a fraction of the base.
    pub floor: f64,
    /// What follows the warm-up.
    pub decay: Decay,
    /// Steps during which the rate stays the same: 1, or an epoch's.
    pub interval: u64,
}

impl Schedule {
    /// The rate of step `step`, counted from 0.
    pub fn rate(&self, step: u64) -> f64 {
        let interval = self.interval.max(1);
        let (e, w, t) = (step / interval, self.warmup.div_ceil(interval), self.total.div_ceil(interval));
        if e < w {
            // A warm-up of one step has no ramp.
            return if w == 1 { self.base } else { self.base * e as f64 / (w - 1) as f64 };
        }
        let fall = match self.decay {
            Decay::Constant => 1.0,
            Decay::Cosine => {
                let share = (e - w) as f64 / t.saturating_sub(w).max(1) as f64;
                0.5 * (1.0 + (std::f64::consts::PI * share.min(1.0)).cos())
            }
        };
        self.base * (self.floor + (1.0 - self.floor) * fall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The research code's own: 50 epochs of 5000.
    #[test]
    fn rates_are_the_research_codes() {
        let schedule = Schedule { base: 1e-4, warmup: 50, total: 5000, floor: 0.0, decay: Decay::Cosine, interval: 1 };
        let known = [
            (0, 0.0),
            (1, 2.0408e-6),
            (25, 5.1020e-5),
            (49, 1e-4),
            (50, 1e-4),
            (100, 9.99748e-5),
            (1000, 9.11838e-5),
            (2525, 5e-5),
            (4999, 1.007e-11),
        ];
        for (epoch, rate) in known {
            let got = schedule.rate(epoch);
            assert!((got - rate).abs() <= 5e-5 * rate, "epoch {epoch}: {got} for {rate}");
        }
        let by_epoch = Schedule { warmup: 50 * 24, total: 5000 * 24, interval: 24, ..schedule };
        assert_eq!(by_epoch.rate(24 * 25 + 23), schedule.rate(25));
    }

    #[test]
    fn floors_and_constants() {
        let cosine = Schedule { base: 2.0, warmup: 0, total: 10, floor: 0.1, decay: Decay::Cosine, interval: 1 };
        assert_eq!(cosine.rate(0), 2.0);
        assert!((cosine.rate(10) - 0.2).abs() < 1e-12 && (cosine.rate(99) - 0.2).abs() < 1e-12);
        assert_eq!(Schedule { decay: Decay::Constant, ..cosine }.rate(7), 2.0);
        assert_eq!(Schedule { warmup: 1, ..cosine }.rate(0), 2.0);
    }
}

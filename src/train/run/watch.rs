//! Tells a run that diverges: the loss of late, against that of the beginning.

use serde::{Deserialize, Serialize};

/// Steps in each of the two means.
const SPAN: usize = 50;
/// A loss this many times that of the beginning is no noise: Dice lies in [0, 1], and the cross entropy of a network
/// that knows nothing is the logarithm of the number of classes.
const FACTOR: f64 = 2.0;
/// Shares of the loss of a network that knows nothing: a run that was below the first and is above the second has lost all
/// it knew. Losses that cannot rise twofold, such as Dice alone, show divergence so.
const LEARNT: f64 = 0.7;
const LOST: f64 = 0.97;

/// Means of the first and of the last losses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DivergenceWatch {
    first: Vec<f32>,
    last: Vec<f32>,
    /// The lowest mean of the last losses.
    lowest: Option<f64>,
}

fn mean(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len().max(1) as f64
}

impl DivergenceWatch {
    /// Takes the loss of one more step; `Some((beginning, now))` if the run has diverged. `ignorance` is the loss of a
    /// network that knows nothing: below it a rise is no divergence, however good the beginning was. A step whose windows
    /// are not `labelled` tells nothing: its Dice loss is that of such a network, however good this one is.
    pub fn add(&mut self, loss: f32, ignorance: f64, labelled: bool) -> Option<(f64, f64)> {
        if !labelled {
            return None;
        }
        if self.first.len() < SPAN {
            self.first.push(loss);
            return None;
        }
        if self.last.len() == SPAN {
            self.last.remove(0);
        }
        self.last.push(loss);
        if self.last.len() < SPAN {
            return None;
        }
        let (beginning, now) = (mean(&self.first), mean(&self.last));
        let lowest = self.lowest.unwrap_or(now).min(now);
        self.lowest = Some(lowest);
        let risen = now > FACTOR * beginning && now > ignorance;
        // One bad batch raises the mean, not the number of bad ones.
        let bad = self.last.iter().filter(|loss| f64::from(**loss) > LOST * ignorance).count();
        let lost = lowest < LEARNT * ignorance && 10 * bad >= 9 * SPAN;
        (risen || lost).then_some((beginning, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_loss_that_stays_high_is_divergence() {
        let mut watch = DivergenceWatch::default();
        let falling = (0..300).map(|i| 1.5 - 0.003 * i as f32);
        assert!(falling.into_iter().all(|loss| watch.add(loss, 2.0, true).is_none()));
        assert!(watch.add(90.0, 2.0, true).is_none(), "one bad batch");
        let found = (0..SPAN).find_map(|_| watch.add(4.0, 2.0, true));
        assert!(found.is_some_and(|(beginning, now)| beginning < 1.6 && now > 2.0 * beginning), "{found:?}");
        let mut tuned = DivergenceWatch::default();
        let rise = (0..2 * SPAN).map(|i| if i < SPAN { 0.1 } else { 0.4 });
        assert!(rise.into_iter().all(|loss| tuned.add(loss, 2.0, true).is_none()), "fine-tuning may begin well");
        let mut dice = DivergenceWatch::default();
        let learns = (0..4 * SPAN).map(|i| 0.9 - 0.002 * i as f32);
        assert!(learns.into_iter().all(|loss| dice.add(loss, 1.0, true).is_none()));
        assert!((0..SPAN).find_map(|_| dice.add(0.999, 1.0, true)).is_some(), "Dice alone never exceeds 1");
    }
    #[test]
    fn windows_without_labels_are_no_divergence() {
        let mut watch = DivergenceWatch::default();
        assert!((0..2 * SPAN).all(|_| watch.add(0.2, 1.0, true).is_none()));
        let before = watch.clone();
        assert!((0..4 * SPAN).all(|_| watch.add(1.0, 1.0, false).is_none()));
        assert_eq!(watch, before);
        assert!((0..SPAN).find_map(|_| watch.add(1.0, 1.0, true)).is_some(), "with labels the same losses are");
    }
}

//! How far passes over a scan disagree. A pass is the scan seen by one set of weights, its windows mirrored one way.
//!
//! ```text
//! spread = max over classes sqrt(mean over passes (p - mean over passes p)²)
//! ```
//! `p` is the class probability of a pass, whose windows overlap and are blended as those of the whole run. From 0, where all
//! passes agree, to 0.5.

use super::decision::Rules;

/// Probabilities of all passes so far: mean and sum of squared differences from it, class by class (Welford, Technometrics 1962).
#[derive(Default)]
pub(super) struct Spread {
    passes: usize,
    mean: Vec<f32>,
    squares: Vec<f32>,
}

impl Spread {
    /// Takes up a pass: `(classes, voxels)`, as its rules read them; logits are changed to probabilities.
    pub fn add(&mut self, values: &mut [f32], classes: usize, rules: Rules) {
        if rules.logits {
            rules.activate_all(values, classes, |_| true);
        }
        self.mean.resize(values.len(), 0.0);
        self.squares.resize(values.len(), 0.0);
        self.passes += 1;
        let count = self.passes as f32;
        for ((&value, mean), squares) in values.iter().zip(&mut self.mean).zip(&mut self.squares) {
            let before = value - *mean;
            *mean += before / count;
            *squares += before * (value - *mean);
        }
    }

    /// The spread of each voxel.
    pub fn finish(self, classes: usize) -> Vec<f32> {
        let voxels = self.squares.len() / classes.max(1);
        let mut most = vec![0.0_f32; voxels];
        for class in self.squares.chunks_exact(voxels.max(1)) {
            most.iter_mut().zip(class).for_each(|(most, squares)| *most = most.max(*squares));
        }
        let count = self.passes.max(1) as f32;
        most.into_iter().map(|squares| (squares / count).sqrt()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_the_largest_deviation_of_a_class() {
        let mut spread = Spread::default();
        // Two voxels, two classes: the first voxel is 0.5, 0.7 and 0.9 in the second class, the other always the same.
        for p in [0.5_f32, 0.7, 0.9] {
            spread.add(&mut [1.0 - p, 0.25, p, 0.75], 2, Rules::default());
        }
        let got = spread.finish(2);
        // sqrt((0.2² + 0 + 0.2²) / 3)
        assert!((got[0] - 0.163_299_3).abs() < 1e-6 && got[1] == 0.0, "{got:?}");
    }

    #[test]
    fn logits_are_compared_as_probabilities() {
        let rules = Rules { logits: true, ..Rules::default() };
        let mut spread = Spread::default();
        for p in [0.2_f32, 0.8] {
            spread.add(&mut [(1.0 - p).ln(), p.ln()], 2, rules);
        }
        assert!((spread.finish(2)[0] - 0.3).abs() < 1e-6);
        let rules = Rules { regions: true, ..rules };
        let mut spread = Spread::default();
        for logit in [0.0_f32, 9.0_f32.ln()] {
            spread.add(&mut [logit], 1, rules);
        }
        assert!((spread.finish(1)[0] - 0.2).abs() < 1e-6);
    }
}

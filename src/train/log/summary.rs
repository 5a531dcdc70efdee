//! Scores over cases and classes, from the scores of single cases.
//!
//! ```text
//! mean      over the cases that have a value
//! std       sqrt(sum (v - mean)² / (n - 1)), NaN for fewer than two cases
//! median    the middle value, or the mean of the two middle ones
//! mean Dice mean over the classes of their means, as nnU-Net's
//! ```

use serde::{Deserialize, Serialize};

use super::number;
use super::records::{CaseRecord, ClassRecord, ValidationRecord};
use crate::metrics::nan_mean;

/// Values of several cases; those that are NaN are left out and counted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    #[serde(with = "number")]
    pub mean: f64,
    /// Standard deviation of the sample.
    #[serde(with = "number")]
    pub std: f64,
    #[serde(with = "number")]
    pub median: f64,
    /// Values counted.
    pub cases: u64,
    /// Values left out.
    pub excluded: u64,
}

impl Default for Summary {
    fn default() -> Self {
        Self::of(&[])
    }
}

impl Summary {
    /// Of some values.
    pub fn of(values: &[f64]) -> Self {
        let (mean, excluded) = nan_mean(values);
        let mut kept: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
        kept.sort_by(f64::total_cmp);
        let n = kept.len();
        let squares: f64 = kept.iter().map(|v| (v - mean).powi(2)).sum();
        let std = if n < 2 { f64::NAN } else { (squares / (n - 1) as f64).sqrt() };
        let middle = |at: usize| kept.get(at).copied().unwrap_or(f64::NAN);
        let median = if n % 2 == 1 { middle(n / 2) } else { (middle((n / 2).wrapping_sub(1)) + middle(n / 2)) / 2.0 };
        Self { mean, std, median, cases: n as u64, excluded: excluded as u64 }
    }
}

impl CaseRecord {
    /// Mean over its classes, without those that are NaN.
    pub fn mean_dice(&self) -> f64 {
        nan_mean(&self.dice).0
    }
}

impl ValidationRecord {
    /// From the scores of the cases; `classes` names the entries of [`CaseRecord::dice`].
    pub fn from_cases(step: u64, classes: &[String], cases: Vec<CaseRecord>, seconds: f64) -> Self {
        let column = |values: fn(&CaseRecord) -> &Vec<f64>, k: usize| -> Vec<f64> {
            cases.iter().map(|case| values(case).get(k).copied().unwrap_or(f64::NAN)).collect()
        };
        let measured = cases.iter().any(|case| !case.hd95.is_empty());
        let classes: Vec<ClassRecord> = classes
            .iter()
            .enumerate()
            .map(|(k, name)| ClassRecord {
                name: name.clone(),
                dice: Summary::of(&column(|c| &c.dice, k)),
                hd95: measured.then(|| Summary::of(&column(|c| &c.hd95, k))),
            })
            .collect();
        let (mean_dice, _) = nan_mean(&classes.iter().map(|c| c.dice.mean).collect::<Vec<_>>());
        Self { step, mean_dice, classes, cases, seconds, overlays: Vec::new() }
    }

    /// Indices into `cases`, from the worst mean Dice to the best; cases without a Dice at the end.
    pub fn ranking(&self) -> Vec<usize> {
        let mut order: Vec<(usize, f64)> = self.cases.iter().map(CaseRecord::mean_dice).enumerate().collect();
        order.sort_by(|a, b| (a.1.is_nan(), a.1).partial_cmp(&(b.1.is_nan(), b.1)).unwrap_or(a.0.cmp(&b.0)));
        order.into_iter().map(|(i, _)| i).collect()
    }

    /// The cases worth a picture, each once: `(index, "best" | "median" | "worst")`, the best first.
    pub fn examples(&self) -> Vec<(usize, &'static str)> {
        let scored: Vec<usize> = self.ranking().into_iter().filter(|&i| !self.cases[i].mean_dice().is_nan()).collect();
        let mut picked: Vec<(usize, &'static str)> = Vec::new();
        let places = [(scored.len().checked_sub(1), "best"), (Some(scored.len() / 2), "median"), (Some(0), "worst")];
        for (place, name) in places {
            if let Some(&case) = place.and_then(|p| scored.get(p))
                && !picked.iter().any(|(i, _)| *i == case)
            {
                picked.push((case, name));
            }
        }
        picked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str, dice: &[f64], hd95: &[f64]) -> CaseRecord {
        CaseRecord { case: name.into(), dice: dice.into(), hd95: hd95.into() }
    }

    #[test]
    fn summaries_leave_out_what_has_no_value() {
        let s = Summary::of(&[2.0, f64::NAN, 4.0, 9.0]);
        assert_eq!((s.mean, s.median, s.cases, s.excluded), (5.0, 4.0, 3, 1));
        assert_eq!(s.std, 13f64.sqrt());
        assert_eq!(Summary::of(&[1.0, 3.0]).median, 2.0);
        let one = Summary::of(&[0.5]);
        assert!(one.std.is_nan() && one.mean == 0.5 && one.median == 0.5);
        let none = Summary::of(&[f64::NAN]);
        assert!(none.mean.is_nan() && none.median.is_nan() && none.cases == 0 && none.excluded == 1);
    }

    #[test]
    fn classes_count_alike_however_many_cases_have_them() {
        let nan = f64::NAN;
        let cases = vec![case("a", &[0.8, 0.4], &[1.0, nan]), case("b", &[0.6, nan], &[3.0, nan])];
        let names = ["x".to_owned(), "y".to_owned()];
        let v = ValidationRecord::from_cases(7, &names, cases, 1.5);
        assert!((v.mean_dice - 0.55).abs() < 1e-12, "{}", v.mean_dice);
        assert_eq!(v.classes[1].dice.excluded, 1);
        assert_eq!(v.classes[0].hd95.map(|h| h.mean), Some(2.0));
        assert_eq!(v.classes[1].hd95.map(|h| h.cases), Some(0));
    }

    #[test]
    fn examples_are_different_cases() {
        let of = |dice: &[f64]| {
            let cases = dice.iter().enumerate().map(|(i, d)| case(&i.to_string(), &[*d], &[])).collect();
            ValidationRecord::from_cases(1, &["x".to_owned()], cases, 0.0).examples()
        };
        assert_eq!(of(&[0.5, 0.9, f64::NAN, 0.1]), [(1, "best"), (0, "median"), (3, "worst")]);
        assert_eq!(of(&[0.5, 0.9]), [(1, "best"), (0, "worst")]);
        assert_eq!(of(&[0.5]), [(0, "best")]);
        assert_eq!(of(&[f64::NAN]), []);
        assert_eq!(of(&[]), []);
    }
}

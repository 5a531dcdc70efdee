//! Which intensities are shown as black and as white.

/// Black at `low`, white at `high`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Shown as black.
    pub low: f64,
    /// Shown as white.
    pub high: f64,
}

/// Values looked at, at most; more change a percentile by less than a grey level.
const SAMPLES: usize = 1 << 20;

impl Window {
    /// The 1st to the 99.5th percentile of the values above the mean: air and empty background, which fill most of a
    /// scan, and the brightest specks take no part of the grey scale.
    pub fn of(values: &[f32]) -> Self {
        let step = values.len().div_ceil(SAMPLES).max(1);
        let mut finite: Vec<f32> = values.iter().step_by(step).copied().filter(|v| v.is_finite()).collect();
        let mean = finite.iter().map(|&v| f64::from(v)).sum::<f64>() / finite.len() as f64;
        if finite.iter().any(|&v| f64::from(v) > mean) {
            finite.retain(|&v| f64::from(v) > mean);
        }
        finite.sort_by(f32::total_cmp);
        let at = |q: f64| {
            let last = finite.len().checked_sub(1)?;
            finite.get((q * last as f64).round() as usize).map(|&v| f64::from(v))
        };
        let (low, high) = (at(0.01).unwrap_or(0.0), at(0.995).unwrap_or(1.0));
        if low < high { Self { low, high } } else { Self { low: low - 1.0, high: low + 1.0 } }
    }

    /// 0 to 255; values that are not finite are black.
    pub fn grey(&self, value: f32) -> u8 {
        let scaled = (f64::from(value) - self.low) / (self.high - self.low);
        // A cast of NaN gives 0.
        (scaled.clamp(0.0, 1.0) * 255.0) as u8
    }

    /// Radiologists' W.
    pub fn width(&self) -> f64 {
        self.high - self.low
    }

    /// Radiologists' L.
    pub fn level(&self) -> f64 {
        (self.high + self.low) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn background_and_specks_do_not_count() {
        let mut values = vec![-1000.0f32; 9000];
        values.extend((0..1000).map(|v| v as f32 / 10.0));
        values.extend([30_000.0, f32::NAN, f32::INFINITY]);
        let w = Window::of(&values);
        assert!(w.low >= 0.0 && w.low < 3.0 && w.high > 97.0 && w.high < 101.0, "{w:?}");
    }

    #[test]
    fn flat_and_empty_scans_have_a_window() {
        for values in [vec![], vec![5.0; 10], vec![f32::NAN; 3]] {
            let w = Window::of(&values);
            assert!(w.low < w.high, "{w:?}");
        }
        let w = Window { low: 0.0, high: 10.0 };
        assert_eq!([w.grey(-1.0), w.grey(5.0), w.grey(99.0), w.grey(f32::NAN)], [0, 127, 255, 0]);
    }
}

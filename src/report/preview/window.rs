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

/// Values this low are air in Hounsfield units; magnitudes of other modalities are not.
const AIR: f64 = -500.0;

impl Window {
    /// The 1st to the 99.5th percentile. A scan with air in it (Hounsfield units) is looked at above its mean only, from
    /// the 2nd to the 98.5th percentile: air fills half of it, and metal and bone would take the greys of soft tissue.
    pub fn of(values: &[f32]) -> Self {
        let step = values.len().div_ceil(SAMPLES).max(1);
        let mut finite: Vec<f32> = values.iter().step_by(step).copied().filter(|v| v.is_finite()).collect();
        finite.sort_by(f32::total_cmp);
        let mut ends = percentiles(&finite, [0.01, 0.995]);
        if ends[0] < AIR {
            let mean = finite.iter().map(|&v| f64::from(v)).sum::<f64>() / finite.len() as f64;
            let body = finite.partition_point(|&v| f64::from(v) <= mean);
            ends = percentiles(&finite[body..], [0.02, 0.985]);
        }
        let [low, high] = ends;
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

/// Two percentiles of sorted values; 0 where there are none.
fn percentiles(sorted: &[f32], at: [f64; 2]) -> [f64; 2] {
    let last = sorted.len().saturating_sub(1) as f64;
    at.map(|q| sorted.get((q * last).round() as usize).map_or(0.0, |&v| f64::from(v)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn air_and_specks_do_not_count() {
        let mut values = vec![-1000.0f32; 9000];
        values.extend((0..1000).map(|v| v as f32 / 10.0));
        values.extend([30_000.0, f32::NAN, f32::INFINITY]);
        let w = Window::of(&values);
        assert!(w.low >= 0.0 && w.low < 4.0 && w.high > 96.0 && w.high < 101.0, "{w:?}");
    }

    #[test]
    fn magnitudes_keep_their_dark_half() {
        let values: Vec<f32> = (0..10_000).map(|v| v as f32).collect();
        let w = Window::of(&values);
        assert!((w.low - 100.0).abs() < 2.0 && (w.high - 9949.0).abs() < 2.0, "{w:?}");
    }

    #[test]
    fn flat_and_empty_scans_have_a_window() {
        for values in [vec![], vec![5.0; 10], vec![f32::NAN; 3], vec![-1000.0; 9]] {
            let w = Window::of(&values);
            assert!(w.low < w.high, "{w:?}");
        }
        let w = Window { low: 0.0, high: 10.0 };
        assert_eq!([w.grey(-1.0), w.grey(5.0), w.grey(99.0), w.grey(f32::NAN)], [0, 127, 255, 0]);
    }
}

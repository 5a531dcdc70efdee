//! Axes: ranges that end at round numbers, and the numbers written along them.

use super::html::count;

/// An axis with its ticks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    /// Ends, in axis coordinates: logarithms to base 10 on a logarithmic axis.
    low: f64,
    high: f64,
    pub log: bool,
    /// Where a line is drawn, as a fraction of the axis, and what stands there.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Of steps: from the first to the last, whole numbers only.
    pub fn of_steps(first: f64, last: f64) -> Self {
        let (low, high) = if last > first { (first, last) } else { (first - 1.0, first + 1.0) };
        let step = nice_step((high - low) / 5.0).max(1.0);
        let mut axis = Self { low, high, log: false, ticks: Vec::new() };
        axis.ticks = multiples(low, high, step).map(|v| (axis.place(v), steps(v))).collect();
        axis
    }

    /// Of values, widened to round numbers; from 0 if `zero` and none is negative.
    pub fn linear([low, high]: [f64; 2], zero: bool) -> Self {
        let (low, high) = if zero && low > 0.0 { (0.0, high) } else { (low, high) };
        // A constant gets room around it; a spread at the end of the numbers' range none.
        let spread = if high > low { high - low } else { low.abs().max(1e-6) }.max(1e-30);
        let step = nice_step(spread / 4.5);
        let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
        let high = if high > low { high } else { low + step };
        let mut axis = Self { low, high, log: false, ticks: Vec::new() };
        axis.ticks = multiples(low, high, step).map(|v| (axis.place(v), label(v, step))).collect();
        axis
    }

    /// Of positive values over several powers of ten.
    pub fn logarithmic([low, high]: [f64; 2]) -> Self {
        let (low, high) = (low.log10().floor(), high.log10().ceil());
        let high = if high > low { high } else { low + 1.0 };
        let every = ((high - low) / 6.0).ceil().max(1.0);
        let mut axis = Self { low, high, log: true, ticks: Vec::new() };
        let power =
            |e: f64| if (-3.0..5.0).contains(&e) { label(10f64.powf(e), 10f64.powf(e)) } else { format!("1e{e}") };
        axis.ticks =
            multiples(low, high, every).map(|e| ((e - low) / (high - low), power(e).replace('-', "−"))).collect();
        axis
    }

    /// Where a value lies, as a fraction of the axis.
    pub fn place(&self, value: f64) -> f64 {
        let value = if self.log { value.max(f64::MIN_POSITIVE).log10() } else { value };
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// Both ends, in axis coordinates.
    pub fn ends(&self) -> [f64; 2] {
        [self.low, self.high]
    }
}

/// A number of steps, short enough to stand beside others.
fn steps(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{} M", (v / 1e4).round() / 100.0),
        v => count(v.max(0.0) as u64),
    }
}

/// 1, 2 or 5 times a power of ten, at least `least`.
fn nice_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let times = least / power;
    // Rounding must not turn 2.0000001 into 5.
    power * [1.0, 2.0, 5.0].into_iter().find(|n| times <= n * (1.0 + 1e-9)).unwrap_or(10.0)
}

fn multiples(low: f64, high: f64, step: f64) -> impl Iterator<Item = f64> {
    let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
    let number = (last - first + 1.0).clamp(0.0, 50.0) as u32;
    (0..number).map(move |i| (first + f64::from(i)) * step)
}

/// A multiple of a step, with the decimals the step has.
fn label(value: f64, step: f64) -> String {
    let decimals = (-step.log10() - 1e-9).ceil().clamp(0.0, 12.0) as usize;
    let text = match value.abs() {
        0.0 => "0".to_owned(),
        v if v >= 1e5 || step < 9e-4 => {
            let exponent = (v.log10() + 1e-9).floor();
            let digits = (exponent - step.log10().floor()).clamp(0.0, 6.0) as usize;
            let text = format!("{value:.digits$e}");
            text.replacen(".0e", "e", 1)
        }
        _ => format!("{value:.decimals$}"),
    };
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|t| t.1.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_within() {
        let axis = Axis::linear([0.12, 1.53], true);
        assert_eq!(texts(&axis), ["0", "0.5", "1.0", "1.5", "2.0"]);
        assert_eq!((axis.place(0.0), axis.place(1.0), axis.place(2.0)), (0.0, 0.5, 1.0));
        assert_eq!(texts(&Axis::linear([0.0, 1.0], false)), ["0", "0.5", "1.0"]);
        assert_eq!(texts(&Axis::linear([-3.0, 5.0], true)), ["−4", "−2", "0", "2", "4", "6"]);
        assert_eq!(texts(&Axis::linear([0.0, 1e-4], true)), ["0", "5e−5", "1e−4"]);
        assert_eq!(texts(&Axis::of_steps(1.0, 8000.0)), ["2,000", "4,000", "6,000", "8,000"]);
        assert_eq!(texts(&Axis::of_steps(1.0, 3.0)), ["1", "2", "3"]);
        assert_eq!(texts(&Axis::of_steps(0.0, 1.3e6)), ["0", "500,000", "1 M"]);
        assert_eq!(texts(&Axis::logarithmic([0.02, 300.0])), ["0.01", "0.1", "1", "10", "100", "1000"]);
        assert_eq!(texts(&Axis::logarithmic([1e-9, 1e9])).len(), 7);
    }

    #[test]
    fn odd_ranges_have_axes_too() {
        let huge = 1e30;
        for range in
            [[0.0, 0.0], [-2.0, -2.0], [1e-30, 1e-30], [-huge, huge], [0.3, 0.3 + 1e-17], [huge, huge], [0.0, 5e-324]]
        {
            let axis = Axis::linear(range, true);
            assert!((1..=12).contains(&axis.ticks.len()), "{range:?} {axis:?}");
            assert!(axis.ticks.iter().all(|t| (0.0..=1.0).contains(&t.0)), "{range:?} {axis:?}");
            assert!((0.0..=1.0).contains(&axis.place(range[0])), "{range:?} {axis:?}");
        }
        for range in [[1.0, 1.0], [5e-324, huge]] {
            assert!(Axis::logarithmic(range).ticks.len() > 1);
        }
        assert_eq!(Axis::of_steps(5.0, 5.0).place(5.0), 0.5);
    }
}

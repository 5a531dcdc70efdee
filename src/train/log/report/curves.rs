//! The charts of a run.

use super::axis::Axis;
use super::chart::{Chart, Range, Series};
use super::curve::{Curve, smooth};
use crate::train::log::history::{History, Point};

/// Spans of the steps of which extremes are drawn: about a thousand points per curve.
const COLUMNS: usize = 480;
/// Of validations, which have a curve per class.
const VALIDATION_COLUMNS: usize = 150;
/// A smoothed value looks back over this part of the records.
const SMOOTHED: usize = 50;
/// Colours in the stylesheet.
const COLORS: usize = 8;

/// All charts that have something to show.
pub(super) fn charts(history: &History) -> String {
    let steps = Axis::of_steps(0.0, history.last_step() as f64);
    let span = (history.steps.len() / SMOOTHED).max(1);
    let values =
        |of: fn(&Point) -> f64| -> Vec<[f64; 2]> { history.steps.iter().map(|p| [p.step as f64, of(p)]).collect() };
    let raw_and_smooth = |points: &[[f64; 2]], style: &str| {
        let raw = Series {
            name: "recorded".into(),
            style: format!("{style} raw"),
            curve: Curve::new(points, COLUMNS),
            dots: false,
        };
        let name = format!("mean of about {span} records");
        let smoothed = Curve::new(&smooth(points, span), COLUMNS);
        let smoothed = Series { name, style: style.into(), curve: smoothed, dots: false };
        if span > 1 { vec![smoothed, raw] } else { vec![Series { style: style.into(), ..raw }] }
    };
    let rate = Curve::new(&values(|p| p.learning_rate), COLUMNS);
    let all = [
        Chart {
            title: "Loss",
            unit: "training loss per step",
            range: Range::FromZero,
            series: raw_and_smooth(&values(|p| p.loss), "c0"),
        },
        Chart {
            title: "Validation Dice",
            unit: "mean over the cases, 0 to 1",
            range: Range::Close,
            series: dice(history),
        },
        Chart {
            title: "Gradient norm",
            unit: "L2 over all parameters, before clipping",
            range: Range::FromZero,
            series: raw_and_smooth(&values(|p| p.gradient_norm), "c3"),
        },
        Chart {
            title: "Learning rate",
            unit: "per step",
            range: Range::FromZero,
            series: vec![Series { name: "learning rate".into(), style: "c2".into(), curve: rate, dots: false }],
        },
    ];
    all.iter().filter_map(|chart| chart.html(&steps)).collect()
}

/// A curve per class, and their mean above them.
fn dice(history: &History) -> Vec<Series> {
    let validations = || history.validations.values();
    let Some(latest) = history.latest() else {
        return Vec::new();
    };
    let dots = history.validations.len() <= 40;
    let series = |name: String, style: String, points: Vec<[f64; 2]>| Series {
        name,
        style,
        curve: Curve::new(&points, VALIDATION_COLUMNS),
        dots,
    };
    let of_class = |name: &str| -> Vec<[f64; 2]> {
        let mean = |classes: &[crate::train::log::ClassRecord]| {
            classes.iter().find(|c| c.name == name).map_or(f64::NAN, |c| c.dice.mean)
        };
        validations().map(|v| [v.step as f64, mean(&v.classes)]).collect()
    };
    let mean = validations().map(|v| [v.step as f64, v.mean_dice]).collect();
    let mut all = vec![series("mean".into(), "mean".into(), mean)];
    // One class is its own mean.
    if latest.classes.len() > 1 {
        for (i, class) in latest.classes.iter().enumerate() {
            let style = format!("c{} dash{}", i % COLORS, i / COLORS % 3);
            all.push(series(class.name.clone(), style, of_class(&class.name)));
        }
    }
    all
}

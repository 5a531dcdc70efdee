//! A chart as HTML: an SVG that stretches to any width, with its words beside it so that they keep their size.

use std::fmt::Write;

use super::axis::Axis;
use super::curve::Curve;
use super::html::{count, escape, name, short};

/// One curve of a chart.
pub(super) struct Series {
    pub name: String,
    /// Classes of `style.css`.
    pub style: String,
    pub curve: Curve,
    /// Whether each value gets a dot.
    pub dots: bool,
}

/// How values are laid along the upright axis.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Range {
    /// From 0, or logarithmic where a few values would press the others flat.
    FromZero,
    /// As little as the values need.
    Close,
}

/// Curves over the steps.
pub(super) struct Chart<'a> {
    pub title: &'a str,
    /// What the values are, with their unit.
    pub unit: &'a str,
    pub range: Range,
    pub series: Vec<Series>,
}

/// Picture points along each axis; the stylesheet stretches them.
const SIZE: f64 = 1000.0;
/// Marks of missing values at most.
const MARKS: usize = 100;

impl Chart<'_> {
    /// The chart over an axis of steps; `None` if it has nothing to show.
    pub fn html(&self, steps: &Axis) -> Option<String> {
        let ranges = self.series.iter().filter_map(|s| s.curve.range());
        let range = ranges.reduce(|a, b| [a[0].min(b[0]), a[1].max(b[1])]);
        let missing = self.series.first().map_or(&[][..], |s| &s.curve.missing);
        if range.is_none() && missing.is_empty() {
            return None;
        }
        let axis = self.axis(range.unwrap_or([0.0, 1.0]));
        let mut out = format!("<figure class=\"chart\">\n<figcaption><h3>{}</h3>", escape(self.title));
        let scale = if axis.log { ", logarithmic" } else { "" };
        let _ = writeln!(out, "<p class=\"unit\">{}{scale}</p>{}</figcaption>", escape(self.unit), self.legend());
        let [x, y] = [steps.ends(), axis.ends()];
        let log = if axis.log { " data-log" } else { "" };
        let _ = writeln!(out, "<div class=\"plot\" data-range=\"{} {} {} {}\"{log}>", x[0], x[1], y[0], y[1]);
        out.push_str("<div class=\"y\" aria-hidden=\"true\">");
        for (at, text) in &axis.ticks {
            let _ = write!(out, "<span style=\"bottom:{:.2}%\">{text}</span>", 100.0 * at);
        }
        let alt = escape(&self.description());
        let _ = write!(
            out,
            "</div>\n<svg viewBox=\"0 0 {SIZE} {SIZE}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{alt}\">\n"
        );
        let across: String = axis.ticks.iter().map(|(at, _)| format!("M0 {:.1}H{SIZE}", SIZE * (1.0 - at))).collect();
        let upright: String = steps.ticks.iter().map(|(at, _)| format!("M{:.1} 0V{SIZE}", SIZE * at)).collect();
        let _ = writeln!(out, "<path class=\"grid\" d=\"{across}{upright}\"/>");
        // The first is the most important one: it is drawn over the others.
        for series in self.series.iter().rev() {
            let (line, dots) = paths(series, steps, &axis);
            let label = escape(&series.name);
            let _ = writeln!(out, "<path class=\"line {}\" data-name=\"{label}\" d=\"{line}\"/>", series.style);
            if !dots.is_empty() {
                let _ = writeln!(out, "<path class=\"dots {}\" d=\"{dots}\"/>", series.style);
            }
        }
        if !missing.is_empty() {
            let marks = missing.iter().take(MARKS).map(|x| format!("M{:.1} 0v40", SIZE * steps.place(*x)));
            let _ = writeln!(out, "<path class=\"missing\" d=\"{}\"/>", marks.collect::<String>());
        }
        out.push_str("</svg>\n<div class=\"x\" aria-hidden=\"true\">");
        for (at, text) in &steps.ticks {
            let _ = write!(out, "<span style=\"left:{:.2}%\">{text}</span>", 100.0 * at);
        }
        out.push_str("</div>\n<p class=\"readout\" hidden></p>\n</div>\n");
        if let Some(first) = missing.first() {
            let steps =
                if missing.len() == 1 { "1 value is".to_owned() } else { format!("{} values are", missing.len()) };
            let at = count(first.max(0.0) as u64);
            let _ = writeln!(
                out,
                "<p class=\"bad\">{steps} not a finite number, first at step {at} (marked at the top).</p>"
            );
        }
        out.push_str("</figure>\n");
        Some(out)
    }

    fn axis(&self, range: [f64; 2]) -> Axis {
        match self.range {
            Range::Close => Axis::linear(range, false),
            Range::FromZero if self.is_lopsided(range) => Axis::logarithmic(range),
            Range::FromZero => Axis::linear(range, true),
        }
    }

    /// Whether the greatest value is far above what is common.
    fn is_lopsided(&self, [low, high]: [f64; 2]) -> bool {
        let mut values: Vec<f64> = self.series.iter().flat_map(|s| s.curve.points()).map(|p| p[1]).collect();
        values.sort_by(f64::total_cmp);
        low > 0.0 && values.get(values.len() / 2).is_some_and(|middle| high > 30.0 * middle)
    }

    fn legend(&self) -> String {
        let mut out = String::from("<ul class=\"legend\">");
        for series in &self.series {
            let last = series.curve.points().last().map_or(f64::NAN, |p| p[1]);
            let _ = write!(
                out,
                "<li><svg class=\"key\" viewBox=\"0 0 26 8\" aria-hidden=\"true\"><path class=\"line {}\" d=\"M2 4H24\"/></svg>\
                 {} <b>{}</b></li>",
                series.style,
                name(&series.name),
                short(last)
            );
        }
        out.push_str("</ul>");
        out
    }

    /// What the chart shows, in words.
    fn description(&self) -> String {
        let mut out = format!("{} over the steps.", self.title);
        for series in &self.series {
            let points = || series.curve.points();
            if let (Some(first), Some(last), Some([low, high])) =
                (points().next(), points().last(), series.curve.range())
            {
                let _ = write!(
                    out,
                    " {}: {} at step {}, {} at step {}, between {} and {}.",
                    series.name,
                    short(first[1]),
                    count(first[0].max(0.0) as u64),
                    short(last[1]),
                    count(last[0].max(0.0) as u64),
                    short(low),
                    short(high)
                );
            }
        }
        out
    }
}

/// The curve's line, and the dots on it. A piece of a single point is a dot by its round ends.
fn paths(series: &Series, steps: &Axis, axis: &Axis) -> (String, String) {
    let (mut line, mut dots) = (String::new(), String::new());
    for piece in &series.curve.pieces {
        for (i, [x, y]) in piece.iter().enumerate() {
            let at = format!("{:.1} {:.1}", SIZE * steps.place(*x), SIZE * (1.0 - axis.place(*y)));
            let _ = write!(line, "{}{at}", if i == 0 { 'M' } else { 'L' });
            if series.dots {
                let _ = write!(dots, "M{at}h0");
            }
        }
        if piece.len() == 1 {
            line.push_str("h0");
        }
    }
    (line, dots)
}

//! Truth and prediction side by side, cut at the same point: axial, coronal and sagittal planes, one below the other.

use super::canvas::{Canvas, text_width, title_width};
use super::letters::fit;
use super::plane::{Plane, Section};
use super::{Colors, LEAST, LINE, MARGIN, PAPER, PreviewOptions, TEXT, WARNING, Window, panel, pixels};
use crate::report::{NOTICE, ReportError};
use crate::volume::{LabelMap, Volume};

/// Pixels of the longest side of the scan: small, since such pictures are shown by threes.
const LONGEST: f64 = 240.0;
const HEADER: i32 = 36;
/// Lines of names at most; there may be a hundred labels.
const LEGEND_LINES: usize = 6;

/// The picture as a PNG file. The planes go through the centroid of the truth's largest label, or of the prediction's
/// where the truth is empty. Colours are in steps of 4 of 255, which nobody sees and which make the file smaller.
///
/// # Errors
/// [`ReportError::Grid`] if labels and scan differ in size, [`ReportError::Volume`] if the affine has no inverse.
pub fn comparison(
    truth: &LabelMap,
    prediction: &LabelMap,
    scan: &Volume,
    options: &PreviewOptions<'_>,
) -> Result<Vec<u8>, ReportError> {
    for labels in [truth, prediction] {
        if labels.dims != scan.dims || labels.data.len() != scan.voxels() {
            return Err(ReportError::Grid { labels: labels.dims, scan: scan.dims });
        }
    }
    let [of_truth, of_prediction] = [truth, prediction].map(|labels| Section::new(labels, scan, options.channel));
    let (mut of_truth, mut of_prediction) = (of_truth?, of_prediction?);
    match truth.data.iter().any(|v| *v != 0) {
        true => of_prediction.cut_as(&of_truth),
        false => of_truth.cut_as(&of_prediction),
    }
    let window = options.window.unwrap_or_else(|| Window::of(scan.channel(options.channel)));
    let colors = Colors { window, names: options.names };

    let [x, y, z] = of_truth.extent_mm();
    let scale = LONGEST / x.max(y).max(z);
    let [wide, deep, high] = pixels([x, y, z], scale);
    let images = [[wide, deep], [wide, high], [deep, high]];
    let column = wide.max(deep).max(LEAST);
    // At least so wide that the line at the foot fits.
    let width = (2 * column + 3 * MARGIN).max(2 * MARGIN + 9 * NOTICE.len() as i32);
    let heights = images.map(|[_, h]| h.max(LEAST));
    let names = legend(&[truth, prediction], options, width);
    let top = HEADER + LINE;
    let bottom = top + heights.iter().sum::<i32>() + 3 * (MARGIN / 2);
    let mut canvas = Canvas::new(width, bottom + (names.len() as i32 + 1) * LINE + MARGIN, PAPER);

    canvas.title([MARGIN, 10], &fit(options.title, width - 2 * MARGIN, title_width), TEXT);
    for (i, (section, name)) in [(&of_truth, "truth"), (&of_prediction, "prediction")].into_iter().enumerate() {
        let left = MARGIN + i as i32 * (column + MARGIN);
        canvas.text([left, HEADER + 2], name, TEXT);
        let mut at = top;
        for ((plane, image), high) in
            [Plane::Axial, Plane::Coronal, Plane::Sagittal].into_iter().zip(images).zip(heights)
        {
            panel(&mut canvas, section, plane, ([left, at], [column, high], image), scale, &colors);
            at += high + MARGIN / 2;
        }
    }
    let mut y = bottom + 4;
    for line in names {
        for (left, text, color) in line {
            canvas.fill([left, y + 1], [12, 12], color);
            canvas.text([left + 18, y], &text, TEXT);
        }
        y += LINE;
    }
    canvas.text([MARGIN, y], NOTICE, WARNING);
    canvas.coarsen();
    canvas.to_small_png()
}

/// Where a name stands, and its colour.
type Entry = (i32, String, [u8; 3]);

/// Names of the labels that either has, in lines.
fn legend(labels: &[&LabelMap], options: &PreviewOptions<'_>, width: i32) -> Vec<Vec<Entry>> {
    let counts: Vec<_> = labels.iter().map(|l| l.counts()).collect();
    let there = options.names.iter().filter(|n| counts.iter().any(|c| c.contains_key(&n.value)));
    let mut lines: Vec<Vec<Entry>> = Vec::new();
    let (mut left, mut more) = (MARGIN, 0);
    for label in there {
        let text = fit(&label.name, 300, text_width);
        let room = 18 + text_width(&text) + 20;
        let full = left > MARGIN && left + room > width;
        if more > 0 || full && lines.len() == LEGEND_LINES {
            more += 1;
            continue;
        }
        if full || lines.is_empty() {
            lines.push(Vec::new());
            left = MARGIN;
        }
        if let Some(line) = lines.last_mut() {
            line.push((left, text, label.color));
        }
        left += room;
    }
    if more > 0 {
        lines.push(vec![(MARGIN, format!("and {more} more"), PAPER)]);
    }
    lines
}

//! A picture of a segmentation: axial, coronal and sagittal planes with the labels over the scan.
//!
//! Planes lie along the scan's own axes, through the centroid of the largest label (or the middle of the scan), and are
//! drawn in millimetres, all three to one scale. Radiological convention: axial planes are seen from the feet, coronal
//! ones from the front, so that the patient's right is on the left; sagittal ones are seen from the patient's left, so
//! that the front is on the left. The letters at the edges are computed from the affine.

mod canvas;
mod comparison;
mod letters;
mod plane;
mod window;

use canvas::{Align, Canvas, Color, text_width, title_width};
use letters::fit;
use plane::{Plane, Section};

use super::{NOTICE, ReportError};
use crate::volume::nifti::LabelName;
use crate::volume::{LabelMap, Volume};

pub use comparison::comparison;
pub use window::Window;

/// What the picture says beside the planes.
#[derive(Clone, Copy, Debug, Default)]
pub struct PreviewOptions<'a> {
    /// First line, such as the names of scan and model.
    pub title: &'a str,
    /// Channel of the scan to show.
    pub channel: usize,
    pub channel_name: &'a str,
    /// Intensities shown as black and as white; from percentiles where not given.
    pub window: Option<Window>,
    pub names: &'a [LabelName],
}

/// Pixels of the longest side of the scan.
const LONGEST: f64 = 540.0;
/// Pixels at least for a panel, so that its name, letters and scale bar fit.
const LEAST: i32 = 112;
/// Pixels at least of a scan in any direction: a single slice is a line that is seen.
const THINNEST: i32 = 3;
const MARGIN: i32 = 14;
const HEADER: i32 = 42;
const FOOTER: i32 = 58;
const LEGEND_WIDTH: i32 = 360;
const LINE: i32 = 21;

const CONVENTION: &str = "Radiological convention: patient's right on the left of axial and coronal planes.";

const PAPER: Color = [16, 18, 22];
const PANEL: Color = [0, 0, 0];
const TEXT: Color = [226, 229, 233];
const DIM: Color = [140, 146, 154];
const LETTER: Color = [255, 214, 92];
const WARNING: Color = [255, 176, 92];

/// The picture as a PNG file.
///
/// # Errors
/// [`ReportError::Grid`] if labels and scan differ in size, [`ReportError::Volume`] if the affine has no inverse.
pub fn preview(labels: &LabelMap, scan: &Volume, options: &PreviewOptions<'_>) -> Result<Vec<u8>, ReportError> {
    if labels.dims != scan.dims || labels.data.len() != scan.voxels() {
        return Err(ReportError::Grid { labels: labels.dims, scan: scan.dims });
    }
    let section = Section::new(labels, scan, options.channel)?;
    let window = options.window.unwrap_or_else(|| Window::of(scan.channel(options.channel)));
    let [x, y, z] = section.extent_mm();
    let scale = LONGEST / x.max(y).max(z);
    let [wide, deep, high] = pixels([x, y, z], scale);

    let lines = legend(labels, options.names);
    let left = wide.max(LEAST);
    // So wide that the line at the foot fits.
    let right = deep.max(LEGEND_WIDTH).max(text_width(CONVENTION) - left - MARGIN);
    let legend_height = 5 * LINE + (lines.len().min(16) as i32) * LINE;
    let top = deep.max(LEAST).max(legend_height);
    let bottom = high.max(LEAST);
    let width = left + right + 3 * MARGIN;
    let height = HEADER + top + bottom + 2 * MARGIN + FOOTER;
    let mut canvas = Canvas::new(width, height, PAPER);

    canvas.title([MARGIN, 12], &fit(options.title, width - 2 * MARGIN, title_width), TEXT);
    let (x2, y2) = (left + 2 * MARGIN, HEADER + top + MARGIN);
    let colors = Colors { window, names: options.names };
    let panels = [
        (Plane::Axial, [MARGIN, HEADER], [left, top], [wide, deep]),
        (Plane::Coronal, [MARGIN, y2], [left, bottom], [wide, high]),
        (Plane::Sagittal, [x2, y2], [right, bottom], [deep, high]),
    ];
    for (plane, at, size, image) in panels {
        panel(&mut canvas, &section, plane, (at, size, image), scale, &colors);
    }
    let shown = [format!("{} (W {}  L {})", options.channel_name, short(window.width()), short(window.level()))];
    draw_legend(&mut canvas, [x2, HEADER], [right, top], &lines, &section, &shown[0]);
    let y = height - FOOTER + 8;
    canvas.text([MARGIN, y], CONVENTION, DIM);
    canvas.text([MARGIN, y + LINE], NOTICE, WARNING);
    canvas.to_png()
}

/// Pixels of the scan along right, front and up.
fn pixels(extent_mm: [f64; 3], scale: f64) -> [i32; 3] {
    extent_mm.map(|mm| ((mm * scale).round() as i32).max(THINNEST))
}

struct Colors<'a> {
    window: Window,
    names: &'a [LabelName],
}

impl Colors<'_> {
    fn of(&self, value: u16) -> Color {
        let named = self.names.iter().find(|n| n.value == value);
        named.map_or_else(|| super::distinct_color(value), |n| n.color)
    }
}

/// One plane in its frame: image, labels, letters, ticks where the other planes cut it, a scale bar.
fn panel(
    canvas: &mut Canvas,
    section: &Section<'_>,
    plane: Plane,
    (at, size, image): ([i32; 2], [i32; 2], [i32; 2]),
    scale: f64,
    colors: &Colors<'_>,
) {
    canvas.fill(at, size, PANEL);
    let origin = [at[0] + (size[0] - image[0]) / 2, at[1] + (size[1] - image[1]) / 2];
    let view = section.view(plane, image);
    for v in 0..image[1] {
        for u in 0..image[0] {
            let Some(sample) = view.sample(u, v) else {
                continue;
            };
            let grey = colors.window.grey(sample.intensity);
            let mut color = [grey; 3];
            if sample.label != 0 {
                let edge = [(1, 0), (-1, 0), (0, 1), (0, -1)]
                    .iter()
                    .any(|(du, dv)| view.label(u + du, v + dv) != sample.label);
                let over = colors.of(sample.label);
                let opacity = if edge { 0.95 } else { 0.28 };
                color = std::array::from_fn(|c| {
                    (f64::from(color[c]) * (1.0 - opacity) + f64::from(over[c]) * opacity) as u8
                });
            }
            canvas.set([origin[0] + u, origin[1] + v], color);
        }
    }
    let [cu, cv] = view.cut();
    for (tick, extent) in [
        ([origin[0] + cu, at[1]], [1, 10]),
        ([origin[0] + cu, at[1] + size[1] - 10], [1, 10]),
        ([at[0], origin[1] + cv], [10, 1]),
        ([at[0] + size[0] - 10, origin[1] + cv], [10, 1]),
    ] {
        canvas.fill(tick, extent, DIM);
    }
    let [l, r, t, b] = section.letters(plane);
    let (mx, my) = (at[0] + size[0] / 2, at[1] + size[1] / 2);
    canvas.letter([at[0] + 14, my], &l, Align::Left, LETTER);
    canvas.letter([at[0] + size[0] - 14, my], &r, Align::Right, LETTER);
    // Below the name where the panel is too narrow for both.
    let beside = size[0] / 2 > 8 + text_width(plane.name()) + 18;
    canvas.letter([mx, at[1] + if beside { 18 } else { 32 }], &t, Align::Middle, LETTER);
    canvas.letter([mx, at[1] + size[1] - 18], &b, Align::Middle, LETTER);
    canvas.shadowed([at[0] + 8, at[1] + 6], plane.name(), TEXT);
    if plane == Plane::Axial {
        scale_bar(canvas, [at[0] + size[0] - 12, at[1] + size[1] - 12], size[0] - 24, scale);
    }
}

/// A bar of a round length, its right end at `at`: the shortest of 50 pixels or more that `room` has place for, else the
/// longest that it has.
fn scale_bar(canvas: &mut Canvas, at: [i32; 2], room: i32, scale: f64) {
    let round = (-3..=3).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power)));
    let fitting: Vec<f64> = round.filter(|mm| (mm * scale).round() as i32 <= room.min(250)).collect();
    let Some(mm) = fitting.iter().find(|mm| **mm * scale >= 50.0).or(fitting.last()).copied() else {
        return;
    };
    let length = (mm * scale).round() as i32;
    canvas.fill([at[0] - length, at[1] - 3], [length, 3], TEXT);
    canvas.fill([at[0] - length, at[1] - 8], [2, 8], TEXT);
    canvas.fill([at[0] - 2, at[1] - 8], [2, 8], TEXT);
    canvas.shadowed_right([at[0], at[1] - 26], &format!("{mm} mm"), TEXT);
}

struct LegendLine {
    color: Color,
    name: String,
    volume_ml: f64,
}

/// Every named label and every other that occurs, with its volume.
fn legend(labels: &LabelMap, names: &[LabelName]) -> Vec<LegendLine> {
    let counts = labels.counts();
    let voxel_ml = labels.affine.voxel_mm3() / 1000.0;
    let line = |value: u16, name: String, color: Color| LegendLine {
        color,
        name,
        volume_ml: counts.get(&value).copied().unwrap_or(0) as f64 * voxel_ml,
    };
    let named = names.iter().map(|n| line(n.value, n.name.clone(), n.color));
    let others = counts.keys().filter(|v| **v != 0 && !names.iter().any(|n| n.value == **v));
    named.chain(others.map(|&v| line(v, format!("class_{v}"), super::distinct_color(v)))).collect()
}

fn draw_legend(
    canvas: &mut Canvas,
    at: [i32; 2],
    size: [i32; 2],
    lines: &[LegendLine],
    section: &Section<'_>,
    shown: &str,
) {
    let room = ((size[1] - 5 * LINE) / LINE).max(1) as usize;
    // Where not all fit, those that are there come first, the largest foremost.
    let mut order: Vec<&LegendLine> = lines.iter().collect();
    let cut = order.len() > room;
    if cut {
        order.sort_by(|a, b| b.volume_ml.total_cmp(&a.volume_ml));
        order.truncate(room.saturating_sub(1));
    }
    let mut y = at[1];
    for line in &order {
        let there = line.volume_ml > 0.0;
        canvas.fill([at[0], y + 3], [14, 14], if there { line.color } else { PAPER });
        canvas.frame([at[0], y + 3], [14, 14], line.color);
        let volume = if there { format!("{} ml", short(line.volume_ml)) } else { "not found".to_owned() };
        let color = if there { TEXT } else { DIM };
        let room = size[0] - 24 - 9 * (volume.len() as i32 + 1);
        canvas.text([at[0] + 24, y], &fit(&line.name, room, text_width), color);
        canvas.text_right([at[0] + size[0], y], &volume, color);
        y += LINE;
    }
    if cut {
        canvas.text([at[0] + 24, y], &format!("and {} more", lines.len() - order.len()), DIM);
    }
    let [x, yy, z] = section.center_mm().map(|v| format!("{v:.1}"));
    let foot = at[1] + size[1] - 3 * LINE;
    canvas.text([at[0], foot], &fit(shown, size[0], text_width), DIM);
    let through = format!("planes through {x}, {yy}, {z} mm");
    canvas.text([at[0], foot + LINE], &fit(&through, size[0], text_width), DIM);
    canvas.text([at[0], foot + 2 * LINE], "(right, anterior, superior)", DIM);
}

/// Three significant digits.
fn short(value: f64) -> String {
    let magnitude = value.abs();
    let digits = match magnitude {
        m if m >= 99.95 || m == 0.0 => 0,
        m if m >= 9.995 => 1,
        m if m >= 0.9995 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests;

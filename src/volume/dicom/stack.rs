//! Slices as one grid: their order, the distance between them, the affine.

use super::error::DicomError;
use super::tags;
use crate::volume::Affine;

type Vec3 = [f64; 3];

/// A slice in the patient, LPS mm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Plane {
    /// Centre of the first pixel.
    pub origin: Vec3,
    /// Unit vectors along which columns and rows are counted.
    pub along: [Vec3; 2],
    /// Distance between columns and between rows.
    pub spacing: [f64; 2],
    /// Degrees by which the directions were off and have been put right; 0 where that was rounding alone.
    pub mended: f64,
}

/// Direction cosines are written with six digits and more; more than this is no rounding.
const DIRECTION: f64 = 1e-3;
/// The sine of the most that is put right: half a degree.
const MENDED: f64 = 0.008_726_5;
/// Between directions of two slices: 0.05 mm over half a metre.
const SAME_DIRECTION: f64 = 1e-4;
/// Between pixel sizes of two slices, relative.
const SAME_SPACING: f64 = 1e-4;
/// Slices closer than this lie at one place, mm.
pub(super) const SAME_PLACE: f64 = 1e-3;
/// A shift within the plane per slice, relative to its distance, that is more than rounding: 0.06 degrees.
const SHEAR: f64 = 1e-3;

/// How far from its even place a slice may lie, in mm: positions are often rounded to tenths or hundredths.
fn tolerance(step: f64) -> f64 {
    (0.02 * step).max(f64::min(0.05, 0.1 * step))
}

impl Plane {
    /// # Errors
    /// Directions that are no unit vectors at right angles, or sizes that are not above 0.
    pub fn new(origin: Vec3, columns: Vec3, rows: Vec3, spacing: [f64; 2]) -> Result<Self, DicomError> {
        let lengths = [length(columns), length(rows)];
        let mut along = [columns.map(|v| v / lengths[0]), rows.map(|v| v / lengths[1])];
        let lean = dot(along[0], along[1]);
        let off = lengths.iter().map(|l| (l - 1.0).abs()).fold(lean.abs(), f64::max);
        if off > MENDED {
            let problem = "its two directions are not unit vectors at right angles, to half a degree";
            return Err(DicomError::attribute(&tags::ORIENTATION, problem));
        }
        if spacing.iter().any(|s| *s <= 0.0) {
            let problem = format!("{} x {} mm: pixels need a size above 0", spacing[0], spacing[1]);
            return Err(DicomError::attribute(&tags::PIXEL_SPACING, problem));
        }
        if lean.abs() > DIRECTION {
            along = orthonormal(along);
        }
        let mended = if off > DIRECTION { off.asin().to_degrees() } else { 0.0 };
        Ok(Self { origin, along, spacing, mended })
    }

    /// The same plane elsewhere.
    pub fn moved(self, by: Vec3) -> Self {
        Self { origin: std::array::from_fn(|r| self.origin[r] + by[r]), ..self }
    }

    pub fn normal(&self) -> Vec3 {
        let [[a, b, c], [d, e, f]] = self.along;
        [b * f - c * e, c * d - a * f, a * e - b * d]
    }

    pub fn parallel(&self, other: &Self) -> bool {
        let differ = |a: Vec3, b: Vec3| a.iter().zip(b).any(|(a, b)| (a - b).abs() > SAME_DIRECTION);
        !differ(self.along[0], other.along[0]) && !differ(self.along[1], other.along[1])
    }

    pub fn same_pixels(&self, other: &Self) -> bool {
        self.spacing.iter().zip(other.spacing).all(|(a, b)| (a - b).abs() <= SAME_SPACING * a)
    }
}

/// A slice as the messages name it.
#[derive(Debug, Clone)]
pub(super) struct Slice {
    pub plane: Plane,
    /// File, and frame where it has several.
    pub name: String,
    /// Distance to its neighbour where there is only this one.
    pub thickness: Option<f64>,
}

/// A grid.
#[derive(Debug)]
pub(super) struct Stack {
    /// The slices from the lowest to the highest along the normal.
    pub order: Vec<usize>,
    pub affine: Affine,
    pub warnings: Vec<String>,
}

/// Orders the slices. `twins` says in words what tells two of them apart that lie at one place.
///
/// # Errors
/// Slices that are not parallel, of other pixel sizes, missing, uneven, twice at one place or shifted irregularly.
pub(super) fn stack(slices: &[&Slice], twins: impl Fn(usize, usize) -> String) -> Result<Stack, DicomError> {
    let Some(first) = slices.first() else {
        return Err(DicomError::Slices { problem: "no slice is given".into() });
    };
    for slice in slices {
        alike(first, slice)?;
    }
    let normal = first.plane.normal();
    let height = |i: &usize| slices.get(*i).map_or(0.0, |s| dot(s.plane.origin, normal));
    let mut order: Vec<usize> = (0..slices.len()).collect();
    order.sort_by(|a, b| height(a).total_cmp(&height(b)));
    let sorted: Vec<&Slice> = order.iter().filter_map(|&i| slices.get(i).copied()).collect();
    let heights: Vec<f64> = order.iter().map(height).collect();

    if let Some(at) = heights.windows(2).position(|w| w[1] - w[0] < SAME_PLACE) {
        let problem = format!(
            "{} and {} lie at the same place{}: several images of one slice (echoes, time points, b-values or copies) \
             are no volume. Give the files of one of them alone, or split the series with `dcm2niix`",
            sorted[at].name,
            sorted[at + 1].name,
            twins(order[at], order[at + 1]),
        );
        return Err(DicomError::Slices { problem });
    }
    let mut warnings = Vec::new();
    let step = match (&sorted[..], first.thickness) {
        ([_, .., last], _) => {
            let gaps = sorted.len() as f64 - 1.0;
            let step = std::array::from_fn(|r| (last.plane.origin[r] - sorted[0].plane.origin[r]) / gaps);
            even(&sorted, &heights, step, normal)?;
            sheared(step, normal, &mut warnings);
            step
        }
        (_, Some(thickness)) => {
            warnings.push(format!("a single slice; its thickness of {thickness} mm is taken as the voxel size"));
            normal.map(|n| n * thickness)
        }
        (_, None) => {
            let problem = format!(
                "{} is a single slice without {}: its thickness is not known. Give all files of the series",
                first.name,
                tags::SLICE_THICKNESS
            );
            return Err(DicomError::Slices { problem });
        }
    };
    // Of the lowest slice, whichever file comes first.
    let Plane { origin, along: [x, y], spacing: [sx, sy], .. } = sorted.first().map_or(first.plane, |s| s.plane);
    // LPS to RAS; a zero stays without sign.
    let ras = |r: usize, v: f64| if r < 2 { 0.0 - v } else { v + 0.0 };
    let linear = std::array::from_fn(|r| [x[r] * sx, y[r] * sy, step[r]].map(|v| ras(r, v)));
    Ok(Stack { order, affine: Affine::from_parts(linear, std::array::from_fn(|r| ras(r, origin[r]))), warnings })
}

fn alike(first: &Slice, slice: &Slice) -> Result<(), DicomError> {
    let (a, b) = (&first.name, &slice.name);
    let problem = if !first.plane.parallel(&slice.plane) {
        format!("{a} and {b} are not parallel: give the slices of one stack (without localizers) alone")
    } else if !first.plane.same_pixels(&slice.plane) {
        let text = |p: &Plane| format!("{} x {} mm", p.spacing[0], p.spacing[1]);
        format!("{a} has pixels of {} and {b} of {}: they are no volume", text(&first.plane), text(&slice.plane))
    } else {
        return Ok(());
    };
    Err(DicomError::Slices { problem })
}

/// Every slice lies where the affine says.
fn even(sorted: &[&Slice], heights: &[f64], step: Vec3, normal: Vec3) -> Result<(), DicomError> {
    let rise = dot(step, normal);
    let allowed = tolerance(rise);
    let origin = sorted.first().map_or([0.0; 3], |s| s.plane.origin);
    let place = |i: usize| -> Vec3 { std::array::from_fn(|r| origin[r] + i as f64 * step[r]) };
    let off = |i: usize, s: &Slice| minus(s.plane.origin, place(i));
    if sorted.iter().enumerate().any(|(i, s)| dot(off(i, s), normal).abs() > allowed) {
        return Err(DicomError::Slices { problem: uneven(sorted, heights, allowed) });
    }
    let shifted = sorted.iter().enumerate().find(|(i, s)| length(off(*i, s)) > allowed);
    if let Some((i, slice)) = shifted {
        let by = length(off(i, slice));
        let problem = format!(
            "{} lies {by:.3} mm beside the line of the other slices within its plane; at most {allowed:.3} mm is \
             rounding. Shear that differs from slice to slice makes no grid: resample the series first",
            slice.name
        );
        return Err(DicomError::Slices { problem });
    }
    Ok(())
}

/// Where the distances differ, and whether slices are missing.
fn uneven(sorted: &[&Slice], heights: &[f64], allowed: f64) -> String {
    let gaps: Vec<f64> = heights.windows(2).map(|w| w[1] - w[0]).collect();
    let mut by_size = gaps.clone();
    by_size.sort_by(f64::total_cmp);
    let usual = by_size.get(by_size.len().saturating_sub(1) / 2).copied().unwrap_or(0.0);
    let odd: Vec<usize> = (0..gaps.len()).filter(|&i| (gaps[i] - usual).abs() > allowed).collect();
    // A gap of a whole number of usual ones misses the slices in between.
    let missing = |gap: f64| (gap / usual).round() - 1.0;
    let whole = |gap: f64| missing(gap) >= 1.0 && (gap - (missing(gap) + 1.0) * usual).abs() <= 0.1 * usual;
    let at = |i: usize| format!("between {} and {} are {:.3} mm", sorted[i].name, sorted[i + 1].name, gaps[i]);
    let list: Vec<String> = odd.iter().take(3).map(|&i| at(i)).collect();
    let more = if odd.len() > 3 { format!(" and so on, {} places in all", odd.len()) } else { String::new() };
    let lost: f64 = odd.iter().filter(|&&i| whole(gaps[i])).map(|&i| missing(gaps[i])).sum();
    if !odd.is_empty() && odd.iter().all(|&i| whole(gaps[i])) {
        return format!(
            "{lost} slice(s) are missing: slices lie {usual:.3} mm apart, but {}{more}. Give all files of the series",
            list.join(", ")
        );
    }
    format!(
        "the slices are not evenly spaced: usually {usual:.3} mm apart, but {}{more}. Resample the series to even \
         distances first, or give an evenly spaced part of it",
        if list.is_empty() { "drifting over the series".to_owned() } else { list.join(", ") }
    )
}

fn sheared(step: Vec3, normal: Vec3, warnings: &mut Vec<String>) {
    let rise = dot(step, normal);
    let within = length(minus(step, normal.map(|n| n * rise)));
    if within > SHEAR * rise {
        let degrees = within.atan2(rise).to_degrees();
        warnings.push(format!(
            "the slices are shifted evenly against each other (gantry tilt of {degrees:.1} degrees): the affine is sheared, \
             exactly as they lie"
        ));
    }
}

/// The two unit vectors at right angles that lie nearest to two others: both turn by half of what is missing.
fn orthonormal([u, v]: [Vec3; 2]) -> [Vec3; 2] {
    // Sum and difference of unit vectors stand at right angles.
    let unit = |a: Vec3| a.map(|x| x / length(a));
    let sum = unit(std::array::from_fn(|r| u[r] + v[r]));
    let difference = unit(minus(u, v));
    let half = std::f64::consts::FRAC_1_SQRT_2;
    [1.0, -1.0].map(|sign| std::array::from_fn(|r| (sum[r] + sign * difference[r]) * half))
}

pub(super) fn dot(a: Vec3, b: Vec3) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn length(a: Vec3) -> f64 {
    dot(a, a).sqrt()
}

fn minus(a: Vec3, b: Vec3) -> Vec3 {
    std::array::from_fn(|r| a[r] - b[r])
}

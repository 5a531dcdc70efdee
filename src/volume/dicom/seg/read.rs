//! DICOM Segmentation as a label map: segments of bits or of fractions, which count where they are half and more, and maps of
//! labels. Slices without a frame are background.

use std::collections::BTreeMap;

use super::super::elements::Element;
use super::super::error::DicomError;
use super::super::file::File;
use super::super::frames::{Frame, frames};
use super::super::image::{Header, Image};
use super::super::pixels::{self, Format};
use super::super::scope::Scope;
use super::super::stack::{Plane, SAME_PLACE, dot};
use super::super::tags;
use super::super::values::DataSet;
use crate::volume::{Affine, LabelMap, VolumeError, checked_len};

const SEGMENTATION: [&str; 2] = ["1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"];
/// More slices than any scan has.
const MOST_SLICES: usize = 8192;
/// Voxels that slices without frames may always have together: 512 slices of 512 x 512 pixels.
const SMALL: u64 = 1 << 27;
/// Beyond, slices for each frame.
const MOST_PER_FRAME: u64 = 64;
/// Slices between the two nearest frames, at most.
const FINEST: f64 = 8.0;
/// Pairs of overlapping segments that are named.
const NAMED: usize = 3;

/// What a segmentation holds: a part of a scan.
pub(in crate::volume::dicom) struct Segmentation {
    pub labels: LabelMap<u32>,
    pub warnings: Vec<String>,
}

/// True if a file is a segmentation. Never fails.
pub(in crate::volume::dicom) fn is_segmentation(bytes: &[u8]) -> bool {
    let class = File::open(bytes).ok().and_then(|file| {
        let (data, _) = DataSet::read_as_far(file.data, file.syntax.encoding);
        data.text(&tags::SOP_CLASS)
    });
    class.is_some_and(|class| SEGMENTATION.contains(&class.as_str()))
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Binary,
    /// The stored value from which on a voxel is half or more of the segment.
    Fractional(f32),
    /// The value that is background.
    LabelMap(f32),
}

impl Kind {
    fn of(data: &DataSet<'_>) -> Result<Self, DicomError> {
        match data.text(&tags::SEGMENTATION_TYPE).as_deref() {
            Some("BINARY") => Ok(Self::Binary),
            Some("FRACTIONAL") => match data.number(&tags::MAXIMUM_FRACTION)? {
                Some(most) if most > 0.0 => Ok(Self::Fractional(most as f32 / 2.0)),
                _ => Err(DicomError::attribute(&tags::MAXIMUM_FRACTION, "a number above 0 is needed")),
            },
            Some("LABELMAP") => Ok(Self::LabelMap(data.number(&tags::PIXEL_PADDING)?.unwrap_or(0.0) as f32)),
            other => {
                let problem =
                    format!("it is {:?}; BINARY, FRACTIONAL and LABELMAP are read", other.unwrap_or("missing"));
                Err(DicomError::attribute(&tags::SEGMENTATION_TYPE, problem))
            }
        }
    }
}

/// Reads a segmentation.
///
/// # Errors
/// A damaged file, frames that make no grid, or more voxels than `max_bytes` allow.
pub(in crate::volume::dicom) fn read(bytes: &[u8], max_bytes: u64) -> Result<Segmentation, VolumeError> {
    let file = File::open(bytes)?;
    let (data, cut) = DataSet::read_as_far(file.data, file.syntax.encoding);
    let Some(pixels) = data.element(&tags::PIXEL_DATA).copied() else {
        return Err(cut.unwrap_or(DicomError::pixels("there are none")).into());
    };
    let kind = Kind::of(&data)?;
    let count = match data.number(&tags::FRAMES)?.unwrap_or(1.0) {
        n if n >= 1.0 && n.fract() == 0.0 && n <= f64::from(i32::MAX) => n as usize,
        n => {
            return Err(DicomError::attribute(
                &tags::FRAMES,
                format!("it is {n}; a whole number of 1 or more is needed"),
            )
            .into());
        }
    };
    file.syntax.check()?;
    let format = Format::read(&data, count)?;
    let image = image(format, file.syntax, pixels, count, &data)?;
    pixels::check(&image)?;
    let segments = of_frames(&data, count, kind)?;
    let names = names(&data)?;
    let planes: Vec<Plane> = image.header.frames.iter().map(|frame| frame.plane).collect();
    let mut warnings = Vec::new();
    let grid = Grid::of(&planes, spacing(&data, count)?, &mut warnings)?;
    let dims = [format.columns, format.rows, grid.slices];
    let bytes = |voxels: u64| voxels.saturating_mul(size_of::<u32>() as u64);
    let needed = bytes(checked_len(1, dims)? as u64);
    let stored = (format.pixels() as u64).saturating_mul(count as u64);
    let limit =
        bytes(stored.saturating_mul(MOST_PER_FRAME).saturating_add(SMALL)).min(max_bytes).min(isize::MAX as u64);
    if needed > limit {
        return Err(VolumeError::TooLarge { needed, limit });
    }
    let mut map: Vec<u32> = Vec::new();
    map.try_reserve_exact(checked_len(1, dims)?).map_err(|_| VolumeError::TooLarge { needed, limit: 0 })?;
    map.resize(checked_len(1, dims)?, 0);
    let mut overlaps: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    let mut odd = 0_usize;
    pixels::decode(&image, |frame, values| {
        let (Some(slice), Some(segment)) = (grid.slice_of.get(frame), segments.get(frame)) else { return };
        for (at, value) in values.iter().enumerate() {
            let label = match (kind, segment) {
                (Kind::LabelMap(background), _) => {
                    if *value == background {
                        0
                    } else {
                        *value as u32
                    }
                }
                (Kind::Fractional(half), Some(number)) => {
                    if *value >= half {
                        *number
                    } else {
                        0
                    }
                }
                (_, Some(number)) => {
                    if *value != 0.0 {
                        *number
                    } else {
                        0
                    }
                }
                (_, None) => 0,
            };
            if label == 0 {
                odd += usize::from(matches!(kind, Kind::LabelMap(background) if *value != background));
                continue;
            }
            let (x, y) = (at % format.columns, at / format.columns);
            let to = &mut map[(x * format.rows + y) * grid.slices + slice];
            if *to != 0 && *to != label {
                *overlaps.entry((label.min(*to), label.max(*to))).or_default() += 1;
            }
            *to = label.max(*to);
        }
    })?;
    if odd > 0 {
        warnings.push(format!("{odd} voxels are 0, which is not what {} says is background", tags::PIXEL_PADDING));
    }
    warnings.extend(told(&overlaps, &names));
    Ok(Segmentation { labels: LabelMap::new(map, dims, grid.affine)?, warnings })
}

/// The pixels as they are stored: whatever rescaling a writer has put there has no say.
fn image<'a>(
    format: Format,
    syntax: super::super::syntax::Syntax,
    pixels: Element<'a>,
    count: usize,
    data: &DataSet<'_>,
) -> Result<Image<'a>, DicomError> {
    let stored = |frame: Frame| Frame { slope: 1.0, intercept: 0.0, ..frame };
    let frames: Vec<Frame> = frames(data, count)?.into_iter().map(stored).collect();
    if frames.len() != count {
        let problem = format!("{} of {count} frames say where they lie", frames.len());
        return Err(DicomError::attribute(&tags::FRAME_GROUPS, problem));
    }
    let format = Format { signed: false, ..format };
    let none = String::new;
    let header = Header {
        class: none(),
        instance: none(),
        study: none(),
        frame_of_reference: none(),
        format,
        frames,
        mosaic: None,
        inverted: false,
        ct: false,
    };
    Ok(Image { header, syntax, pixels })
}

/// The segment of each frame; none of a map of labels.
fn of_frames(data: &DataSet<'_>, count: usize, kind: Kind) -> Result<Vec<Option<u32>>, DicomError> {
    if matches!(kind, Kind::LabelMap(_)) {
        return Ok(vec![None; count]);
    }
    let scopes = Scope::of_frames(data, count)?;
    let scopes = scopes.iter().cycle().take(count);
    let segment = |scope: &Scope<'_>| match scope.number(&tags::REFERENCED_SEGMENT)? {
        Some(n) if n >= 1.0 && n.fract() == 0.0 && n <= f64::from(u16::MAX) => Ok(Some(n as u32)),
        _ => Err(DicomError::attribute(
            &tags::REFERENCED_SEGMENT,
            "each frame needs the number of its segment, 1 or more",
        )),
    };
    scopes.map(segment).collect()
}

/// Names of the segments by their numbers.
fn names(data: &DataSet<'_>) -> Result<BTreeMap<u32, String>, DicomError> {
    let mut names = BTreeMap::new();
    for segment in data.items(&tags::SEGMENT_SEQUENCE)? {
        if let Some(number) = segment.count(&tags::SEGMENT_NUMBER)? {
            names.insert(number, segment.text(&tags::SEGMENT_LABEL).unwrap_or_default());
        }
    }
    Ok(names)
}

fn told(overlaps: &BTreeMap<(u32, u32), usize>, names: &BTreeMap<u32, String>) -> Option<String> {
    let name = |number: &u32| match names.get(number).filter(|name| !name.is_empty()) {
        Some(name) => format!("{number} ({name})"),
        None => number.to_string(),
    };
    let pair = |((a, b), voxels): (&(u32, u32), &usize)| format!("{} and {} in {voxels} voxels", name(a), name(b));
    let list: Vec<String> = overlaps.iter().take(NAMED).map(pair).collect();
    let more =
        if overlaps.len() > NAMED { format!(" and {} more pairs", overlaps.len() - NAMED) } else { String::new() };
    let text = || format!("segments overlap: {}{more}; there the higher number is taken", list.join(", "));
    (!list.is_empty()).then(text)
}

/// Spacing Between Slices, where all frames state the same.
fn spacing(data: &DataSet<'_>, count: usize) -> Result<Option<f64>, DicomError> {
    let mut all = Vec::new();
    for scope in Scope::of_frames(data, count)? {
        all.push(scope.number(&tags::SPACING_BETWEEN_SLICES)?.map(f64::abs).filter(|s| *s > 0.0));
    }
    let first = all.first().copied().flatten();
    Ok(first.filter(|_| all.iter().all(|s| *s == first)))
}

/// The slices that frames lie in.
struct Grid {
    affine: Affine,
    slices: usize,
    /// For each frame.
    slice_of: Vec<usize>,
}

impl Grid {
    fn of(planes: &[Plane], stated: Option<f64>, warnings: &mut Vec<String>) -> Result<Self, DicomError> {
        let failed = |problem: String| Err(DicomError::Slices { problem });
        let Some(first) = planes.first() else { return failed("the segmentation has no frame".into()) };
        if planes.iter().any(|plane| !plane.parallel(first) || !plane.same_pixels(first)) {
            return failed("its frames are not parallel or have pixels of other sizes: they are no volume".into());
        }
        let normal = first.normal();
        let heights: Vec<f64> = planes.iter().map(|plane| dot(plane.origin, normal)).collect();
        let mut sorted: Vec<usize> = (0..planes.len()).collect();
        sorted.sort_by(|a, b| heights[*a].total_cmp(&heights[*b]));
        let lowest = planes[sorted[0]];
        let highest = planes[sorted[sorted.len() - 1]];
        let low = heights[sorted[0]];
        let total = heights[sorted[sorted.len() - 1]] - low;
        let gaps: Vec<f64> = sorted
            .windows(2)
            .map(|pair| heights[pair[1]] - heights[pair[0]])
            .filter(|gap| *gap >= SAME_PLACE)
            .collect();
        let steps = match distance(&gaps, stated) {
            Some(distance) => total / distance,
            None if gaps.is_empty() => 0.0,
            None => {
                return failed("its frames do not lie at whole multiples of one distance: they are no volume".into());
            }
        }
        .round();
        if steps >= MOST_SLICES as f64 {
            return failed(format!("its frames lie {steps} slices apart, more than any scan has"));
        }
        let slices = steps as usize + 1;
        let step: [f64; 3] = match slices {
            1 => {
                let thickness = stated.unwrap_or(1.0);
                if stated.is_none() {
                    warnings.push(format!("a single slice without {}: 1 mm is taken", tags::SPACING_BETWEEN_SLICES));
                }
                normal.map(|n| n * thickness)
            }
            _ => std::array::from_fn(|r| (highest.origin[r] - lowest.origin[r]) / steps),
        };
        let rise = dot(step, normal);
        let slice_of: Vec<usize> = heights.iter().map(|height| ((height - low) / rise).round() as usize).collect();
        // Of one column of voxels: shifts within the plane must be those of one line.
        let most = 0.1 * lowest.spacing[0].min(lowest.spacing[1]).max(rise * 0.1);
        for (plane, k) in planes.iter().zip(&slice_of) {
            let off = |r: usize| plane.origin[r] - lowest.origin[r] - step[r] * *k as f64;
            if (0..3).map(|r| off(r).powi(2)).sum::<f64>().sqrt() > most.max(0.05) {
                return failed(
                    "its frames are shifted against each other within their planes: they are no grid".into(),
                );
            }
        }
        let [x, y] = lowest.along;
        let ras = |r: usize, v: f64| if r < 2 { 0.0 - v } else { v + 0.0 };
        let linear =
            std::array::from_fn(|r| [x[r] * lowest.spacing[0], y[r] * lowest.spacing[1], step[r]].map(|v| ras(r, v)));
        let affine = Affine::from_parts(linear, std::array::from_fn(|r| ras(r, lowest.origin[r])));
        Ok(Self { affine, slices, slice_of })
    }
}

/// The distance of slices of which all gaps are multiples: the stated one, else the largest that there is. Without a gap any.
fn distance(gaps: &[f64], stated: Option<f64>) -> Option<f64> {
    let off = |gap: f64, distance: f64| (gap / distance - (gap / distance).round()).abs() * distance;
    let allowed = |distance: f64| (0.02 * distance).max(f64::min(0.05, 0.1 * distance));
    let fits =
        |distance: &f64| gaps.iter().all(|gap| *gap >= 0.5 * distance && off(*gap, *distance) <= allowed(*distance));
    if let Some(stated) = stated.filter(fits) {
        return Some(stated);
    }
    let mut common = *gaps.first()?;
    for gap in gaps {
        // Euclid's rule, to the precision of positions.
        let (mut a, mut b) = (common.max(*gap), common.min(*gap));
        while b > SAME_PLACE {
            let rest = a - (a / b).floor() * b;
            let near = rest <= allowed(b) || b - rest <= allowed(b);
            (a, b) = (b, if near { 0.0 } else { rest });
        }
        common = a;
    }
    // Finer than that any gaps are multiples, to the precision of positions.
    let least = gaps.iter().copied().fold(f64::INFINITY, f64::min);
    Some(common).filter(|distance| *distance >= least / FINEST && fits(distance))
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn slices_lie_as_far_apart_as_stated_or_as_their_gaps_share() {
        assert_eq!(distance(&[5.0, 2.5, 7.5], Some(2.5)), Some(2.5));
        // A thickness that is no distance.
        assert_eq!(distance(&[2.5, 2.5], Some(5.0)), Some(2.5));
        let near = |gaps: &[f64], want: f64| {
            let found = distance(gaps, None);
            assert!(found.is_some_and(|d| (d - want).abs() < 0.02), "{gaps:?}: {found:?}");
        };
        near(&[4.0, 6.0], 2.0);
        near(&[2.0, 3.0, 10.0], 1.0);
        near(&[1.25, 2.5001, 3.7499], 1.25);
        assert_eq!(distance(&[], Some(3.0)), Some(3.0));
        assert_eq!(distance(&[1.0, 1.234, 0.77], None), None);
        assert_eq!(distance(&[1.0, 0.37, 7.84], None), None);
    }
}

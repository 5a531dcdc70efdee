//! Place and scaling of each frame.

use super::error::DicomError;
use super::marks::{Marks, marks};
use super::scope::Scope;
use super::stack::Plane;
use super::tags;
use super::values::DataSet;

/// One image.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub plane: Plane,
    pub slope: f64,
    pub intercept: f64,
    /// The file says how values follow from what is stored.
    pub scaled: bool,
    /// Distance to the next slice where there is none: Spacing Between Slices, else Slice Thickness.
    pub thickness: Option<f64>,
    pub marks: Marks,
}

/// The frames of a data set of `count` frames.
///
/// # Errors
/// A frame without place, or values that make no plane.
pub(super) fn frames(data: &DataSet<'_>, count: usize) -> Result<Vec<Frame>, DicomError> {
    let scopes = Scope::of_frames(data, count)?;
    let frames: Vec<Frame> = scopes.iter().map(frame).collect::<Result<_, _>>()?;
    match (&frames[..], &scopes[..]) {
        ([one], [scope]) if count > 1 => on_a_line(one, scope, count),
        _ => Ok(frames),
    }
}

/// True if the data set says where its first frame lies in the patient.
pub(super) fn has_place(data: &DataSet<'_>, count: usize) -> bool {
    let all = [tags::POSITION, tags::ORIENTATION, tags::PIXEL_SPACING];
    Scope::of_frames(data, count).is_ok_and(|s| s.first().is_some_and(|s| all.iter().all(|a| s.has(a))))
}

fn frame(scope: &Scope<'_>) -> Result<Frame, DicomError> {
    let needed = |attribute| {
        let problem = "it is missing: the place of this image in the patient is not known (a secondary capture or a \
                       projection?). Give the scanner's own images";
        DicomError::attribute(attribute, problem)
    };
    let origin = scope.numbers::<3>(&tags::POSITION)?.ok_or_else(|| needed(&tags::POSITION))?;
    let [a, b, c, d, e, f] = scope.numbers::<6>(&tags::ORIENTATION)?.ok_or_else(|| needed(&tags::ORIENTATION))?;
    let [between_rows, between_columns] =
        scope.numbers::<2>(&tags::PIXEL_SPACING)?.ok_or_else(|| needed(&tags::PIXEL_SPACING))?;
    let slope = scope.number(&tags::RESCALE_SLOPE)?;
    if slope == Some(0.0) {
        return Err(DicomError::attribute(&tags::RESCALE_SLOPE, "it is 0, which makes all voxels equal"));
    }
    let intercept = scope.number(&tags::RESCALE_INTERCEPT)?;
    let positive = |attribute| -> Result<Option<f64>, DicomError> {
        Ok(scope.number(attribute)?.map(f64::abs).filter(|v| *v > 0.0))
    };
    Ok(Frame {
        plane: Plane::new(origin, [a, b, c], [d, e, f], [between_columns, between_rows])?,
        slope: slope.unwrap_or(1.0),
        intercept: intercept.unwrap_or(0.0),
        scaled: slope.is_some() || intercept.is_some(),
        thickness: positive(&tags::SPACING_BETWEEN_SLICES)?.or(positive(&tags::SLICE_THICKNESS)?),
        marks: marks(scope),
    })
}

/// Frames of one place and a stated distance, as emission tomography and secondary captures have them.
fn on_a_line(first: &Frame, scope: &Scope<'_>, count: usize) -> Result<Vec<Frame>, DicomError> {
    let Some(step) = scope.number(&tags::SPACING_BETWEEN_SLICES)?.filter(|s| *s != 0.0) else {
        let problem = format!(
            "{count} frames and no {}: the place of the frames is not known; convert the file with `dcm2niix`",
            tags::FRAME_GROUPS
        );
        return Err(DicomError::attribute(&tags::FRAMES, problem));
    };
    let along = first.plane.normal().map(|n| n * step);
    let place = |k: usize| Frame { plane: first.plane.moved(along.map(|v| v * k as f64)), ..first.clone() };
    Ok((0..count).map(place).collect())
}

//! Place and scaling of each frame: of the whole file, or from functional groups (PS3.3, C.7.6.16).

use super::error::DicomError;
use super::stack::Plane;
use super::tags;
use super::values::DataSet;

/// One image.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub plane: Plane,
    pub slope: f64,
    pub intercept: f64,
}

/// The frames of a data set of `count` frames.
///
/// # Errors
/// A frame without place, or values that make no plane.
pub(super) fn frames(data: &DataSet<'_>, count: usize) -> Result<Vec<Frame>, DicomError> {
    let groups = data.items(&tags::FRAME_GROUPS)?;
    if groups.is_empty() {
        if count == 1 {
            return Ok(vec![frame(data, data, data, data)?]);
        }
        let problem = format!(
            "{count} frames and no {}: the place of the frames is not known; convert the file with `dcm2niix`",
            tags::FRAME_GROUPS
        );
        return Err(DicomError::attribute(&tags::FRAMES, problem));
    }
    if groups.len() != count {
        let problem = format!("{} items for {count} frames", groups.len());
        return Err(DicomError::attribute(&tags::FRAME_GROUPS, problem));
    }
    let shared = data.item(&tags::SHARED_GROUPS)?;
    groups.iter().map(|own| frame_in(own, &shared)).collect()
}

/// A frame of functional groups, each its own or shared by all.
fn frame_in(own: &DataSet<'_>, shared: &DataSet<'_>) -> Result<Frame, DicomError> {
    let group = |attribute| match own.element(attribute) {
        Some(_) => own.item(attribute),
        None => shared.item(attribute),
    };
    frame(
        &group(&tags::PLANE_POSITION)?,
        &group(&tags::PLANE_ORIENTATION)?,
        &group(&tags::PIXEL_MEASURES)?,
        &group(&tags::VALUE_TRANSFORMATION)?,
    )
}

fn frame(
    position: &DataSet<'_>,
    orientation: &DataSet<'_>,
    measures: &DataSet<'_>,
    transformation: &DataSet<'_>,
) -> Result<Frame, DicomError> {
    let needed = |attribute| {
        let problem = "it is missing: the place of this image in the patient is not known (a secondary capture or a \
                       projection?). Give the scanner's own images";
        DicomError::attribute(attribute, problem)
    };
    let origin = position.numbers::<3>(&tags::POSITION)?.ok_or_else(|| needed(&tags::POSITION))?;
    let [a, b, c, d, e, f] = orientation.numbers::<6>(&tags::ORIENTATION)?.ok_or_else(|| needed(&tags::ORIENTATION))?;
    let [between_rows, between_columns] =
        measures.numbers::<2>(&tags::PIXEL_SPACING)?.ok_or_else(|| needed(&tags::PIXEL_SPACING))?;
    let slope = transformation.number(&tags::RESCALE_SLOPE)?.unwrap_or(1.0);
    if slope == 0.0 {
        return Err(DicomError::attribute(&tags::RESCALE_SLOPE, "it is 0, which makes all voxels equal"));
    }
    Ok(Frame {
        plane: Plane::new(origin, [a, b, c], [d, e, f], [between_columns, between_rows])?,
        slope,
        intercept: transformation.number(&tags::RESCALE_INTERCEPT)?.unwrap_or(0.0),
    })
}

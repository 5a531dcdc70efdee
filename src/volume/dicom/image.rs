//! One DICOM object: which series it is of, and, if it is an image of a scan, its pixels and their place.

use super::elements::Element;
use super::error::DicomError;
use super::file::File;
use super::frames::{Frame, frames};
use super::pixels::Format;
use super::syntax::Syntax;
use super::tags::{self, Attribute};
use super::values::DataSet;

/// What tells series apart, and what a user may choose by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SeriesKey {
    pub uid: String,
    pub modality: String,
    pub description: String,
}

/// What tells images at one place apart.
pub(super) const MARKS: [Attribute; 6] = [
    tags::ECHO_TIME,
    tags::ECHO_NUMBERS,
    tags::TEMPORAL_POSITION,
    tags::ACQUISITION_NUMBER,
    tags::TRIGGER_TIME,
    tags::B_VALUE,
];

/// An image of a scan.
#[derive(Debug)]
pub(super) struct Image<'a> {
    /// SOP Instance UID.
    pub instance: String,
    pub format: Format,
    pub frames: Vec<Frame>,
    /// Low values are bright.
    pub inverted: bool,
    /// Distance to the next slice where there is none: Spacing Between Slices, else Slice Thickness.
    pub thickness: Option<f64>,
    pub marks: [Option<f64>; MARKS.len()],
    pub syntax: Syntax,
    pub pixels: Element<'a>,
}

/// What a file holds.
pub(super) enum Content<'a> {
    /// A list of other files.
    Directory,
    /// An object of a series: an image, or why it is none.
    Object(SeriesKey, Result<Box<Image<'a>>, DicomError>),
}

/// # Errors
/// The file cannot be read at all.
pub(super) fn parse(bytes: &[u8]) -> Result<Content<'_>, DicomError> {
    let file = File::open(bytes)?;
    if file.directory {
        return Ok(Content::Directory);
    }
    let data = DataSet::read(file.data, file.syntax.encoding)?;
    let class = data.uid(&tags::SOP_CLASS)?.unwrap_or_default();
    let uid = data.uid(&tags::SERIES_INSTANCE)?.unwrap_or_default();
    // Such an object could be a slice of any series: left out, it might be missed by nobody.
    if data.element(&tags::PIXEL_DATA).is_none() && (class.is_empty() || uid.is_empty()) {
        let problem = "the file ends before it says what it is; copy it again from its source";
        return Err(DicomError::Damaged { at: file.data.len(), problem });
    }
    let key = SeriesKey {
        uid,
        modality: data.text(&tags::MODALITY)?.unwrap_or_default(),
        description: data.text(&tags::SERIES_DESCRIPTION)?.unwrap_or_default(),
    };
    Ok(Content::Object(key, image(&class, &data, file.syntax).map(Box::new)))
}

fn image<'a>(class: &str, data: &DataSet<'a>, syntax: Syntax) -> Result<Image<'a>, DicomError> {
    if let Some(what) = other_kind(class) {
        return Err(DicomError::NotImage { what });
    }
    let Some(pixels) = data.element(&tags::PIXEL_DATA) else {
        return Err(DicomError::NotImage { what: "DICOM object without pixels" });
    };
    syntax.check()?;
    let photometric = data.text(&tags::PHOTOMETRIC)?.unwrap_or_default();
    let samples = data.u16(&tags::SAMPLES)?;
    if samples != 1 || !photometric.starts_with("MONOCHROME") {
        return Err(DicomError::NotImage { what: "colour image (its Photometric Interpretation is not MONOCHROME)" });
    }
    if data.element(&tags::MODALITY_LUT).is_some() {
        let problem = "values by a table are not read; convert the file with `dcm2niix`";
        return Err(DicomError::attribute(&tags::MODALITY_LUT, problem));
    }
    let count = match data.number(&tags::FRAMES)? {
        None => 1,
        Some(n) if n >= 1.0 && n.fract() == 0.0 && n <= f64::from(i32::MAX) => n as usize,
        Some(_) => return Err(DicomError::attribute(&tags::FRAMES, "a whole number of at least 1 is needed")),
    };
    let format = Format::read(data)?;
    let frames = frames(data, count)?;
    let mut marks = [None; MARKS.len()];
    for (mark, attribute) in marks.iter_mut().zip(&MARKS) {
        // They only help to explain: what cannot be read explains nothing.
        *mark = data.number(attribute).ok().flatten();
    }
    Ok(Image {
        instance: data.uid(&tags::SOP_INSTANCE)?.unwrap_or_default(),
        format,
        frames,
        inverted: photometric == "MONOCHROME1",
        thickness: thickness(data)?,
        marks,
        syntax,
        pixels: *pixels,
    })
}

fn thickness(data: &DataSet<'_>) -> Result<Option<f64>, DicomError> {
    let shared = data.item(&tags::SHARED_GROUPS)?.item(&tags::PIXEL_MEASURES)?;
    for set in [data, &shared] {
        for attribute in [tags::SPACING_BETWEEN_SLICES, tags::SLICE_THICKNESS] {
            if let Some(v) = set.number(&attribute)?.map(f64::abs).filter(|v| *v > 0.0) {
                return Ok(Some(v));
            }
        }
    }
    Ok(None)
}

/// Storage classes that are no images of a scan (PS3.4, B.5).
fn other_kind(class: &str) -> Option<&'static str> {
    let rest = class.strip_prefix("1.2.840.10008.5.1.4.1.1.")?;
    Some(match rest {
        "66.4" | "66.7" => "DICOM Segmentation",
        "66.5" => "Surface Segmentation",
        "66.1" | "66.2" | "66.3" | "66.6" => "registration or tractography",
        "66" => "raw data object",
        "67" => "real-world value mapping",
        "30" => "parametric map",
        "481.2" => "radiotherapy dose",
        "481.3" => "radiotherapy structure set",
        "7" | "7.1" | "7.2" | "7.3" | "7.4" => "secondary capture",
        _ if rest.starts_with("481.") && rest != "481.1" => "radiotherapy plan or record",
        _ if rest.starts_with("88.") => "structured report",
        _ if rest.starts_with("11.") => "presentation state",
        _ if rest.starts_with("104.") => "document",
        _ if rest.starts_with("9.") => "waveform",
        _ => return None,
    })
}

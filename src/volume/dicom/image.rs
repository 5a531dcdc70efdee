//! One DICOM object: which series it is of, and, if it is an image of a scan, its pixels and their place.

use super::elements::Element;
use super::error::DicomError;
use super::file::File;
use super::frames::{Frame, frames, has_place};
use super::mosaic::Mosaic;
use super::pixels::{self, Format};
use super::syntax::Syntax;
use super::tags;
use super::values::DataSet;

/// What tells series apart, and what a user may choose by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SeriesKey {
    pub uid: String,
    pub modality: String,
    pub description: String,
}

/// What is known of an image of a scan without its pixels.
#[derive(Debug, Clone)]
pub(super) struct Header {
    pub class: String,
    pub instance: String,
    /// Study Instance UID.
    pub study: String,
    pub frame_of_reference: String,
    pub format: Format,
    /// Tiles of a mosaic are frames.
    pub frames: Vec<Frame>,
    pub mosaic: Option<Mosaic>,
    /// Low values are bright.
    pub inverted: bool,
    /// Values in Hounsfield units are expected.
    pub ct: bool,
}

impl Header {
    /// Columns and rows of a slice.
    pub fn size(&self) -> [usize; 2] {
        let side = self.mosaic.map_or(1, |m| m.side);
        [self.format.columns / side, self.format.rows / side]
    }

    /// Frames as the pixels hold them.
    pub fn stored(&self) -> &[Frame] {
        self.frames.get(..if self.mosaic.is_some() { 1 } else { self.frames.len() }).unwrap_or_default()
    }
}

/// An image of a scan.
#[derive(Debug)]
pub(super) struct Image<'a> {
    pub header: Header,
    pub syntax: Syntax,
    pub pixels: Element<'a>,
}

/// Why an object is no image, and what is known of it all the same.
#[derive(Debug, Clone)]
pub(super) struct NoImage {
    pub error: DicomError,
    pub header: Option<Box<Header>>,
}

impl From<DicomError> for NoImage {
    fn from(error: DicomError) -> Self {
        Self { error, header: None }
    }
}

/// What a file holds.
pub(super) enum Content<'a> {
    /// A list of other files.
    Directory,
    /// An object of a series: an image, or why it is none.
    Object(SeriesKey, Result<Box<Image<'a>>, NoImage>),
}

/// # Errors
/// The file cannot be read at all, or not as far as to say of which series it is.
pub(super) fn parse(bytes: &[u8]) -> Result<Content<'_>, DicomError> {
    let file = File::open(bytes)?;
    if file.directory {
        return Ok(Content::Directory);
    }
    let (data, cut) = DataSet::read_as_far(file.data, file.syntax.encoding);
    let class = data.text(&tags::SOP_CLASS).unwrap_or_default();
    let uid = data.text(&tags::SERIES_INSTANCE).unwrap_or_default();
    let pixels = tags::PIXELS.iter().find_map(|a| data.element(a));
    // Such an object could be a slice of any series: left out, it might be missed by nobody.
    if pixels.is_none() && (class.is_empty() || uid.is_empty()) {
        let problem = "the file ends before it says what it is; copy it again from its source";
        return Err(cut.unwrap_or(DicomError::Damaged { at: file.data.len(), problem }));
    }
    let key = SeriesKey {
        uid,
        modality: data.text(&tags::MODALITY).unwrap_or_default(),
        description: data.text(&tags::SERIES_DESCRIPTION).unwrap_or_default(),
    };
    let image = image(&class, &key.modality, &data, file.syntax, cut);
    Ok(Content::Object(key, image.map(Box::new)))
}

fn image<'a>(
    class: &str,
    modality: &str,
    data: &DataSet<'a>,
    syntax: Syntax,
    cut: Option<DicomError>,
) -> Result<Image<'a>, NoImage> {
    if let Some(what) = other_kind(class) {
        return Err(DicomError::NotImage { what }.into());
    }
    let pixels = tags::PIXELS.iter().find_map(|a| data.element(a));
    if pixels.is_none() && cut.is_none() && !has_pixels(class) {
        return Err(DicomError::NotImage { what: "DICOM object without pixels" }.into());
    }
    let header = header(class, modality, data);
    let Some(pixels) = pixels else {
        let error =
            cut.unwrap_or_else(|| DicomError::pixels("the file ends before them; copy it again from its source"));
        return Err(NoImage { error, header: header.ok().map(Box::new) });
    };
    let image = Image { header: header?, syntax, pixels: *pixels };
    match syntax.check().and_then(|()| pixels::check(&image)) {
        Ok(()) => Ok(image),
        Err(error) => Err(NoImage { error, header: Some(Box::new(image.header)) }),
    }
}

fn header(class: &str, modality: &str, data: &DataSet<'_>) -> Result<Header, DicomError> {
    let count = match data.number(&tags::FRAMES)? {
        None => 1,
        Some(n) if n >= 1.0 && n.fract() == 0.0 && n <= f64::from(i32::MAX) => n as usize,
        Some(_) => return Err(DicomError::attribute(&tags::FRAMES, "a whole number of at least 1 is needed")),
    };
    let photometric = data.text(&tags::PHOTOMETRIC).unwrap_or_else(|| "MONOCHROME2".into());
    if data.count(&tags::SAMPLES)?.unwrap_or(1) != 1 || !photometric.starts_with("MONOCHROME") {
        return Err(DicomError::NotImage { what: "colour image (its Photometric Interpretation is not MONOCHROME)" });
    }
    if is_capture(class) && !has_place(data, count) {
        let what = "secondary capture that does not say where it lies in the patient";
        return Err(DicomError::NotImage { what });
    }
    // An empty sequence, or one without a table, changes nothing.
    if data.item(&tags::MODALITY_LUT)?.has(&tags::LUT_DATA) {
        let problem = "values by a table are not read; convert the file with `dcm2niix`";
        return Err(DicomError::attribute(&tags::MODALITY_LUT, problem));
    }
    let format = Format::read(data, count)?;
    let mut frames = frames(data, count)?;
    let size = [format.columns, format.rows];
    let mut mosaic = None;
    if let ([whole], Some(tiles)) = (&frames[..], Mosaic::read(data, size)?) {
        frames = tiles.frames(data, whole, size)?;
        mosaic = Some(tiles);
    }
    Ok(Header {
        class: class.to_owned(),
        instance: data.text(&tags::SOP_INSTANCE).unwrap_or_default(),
        study: data.text(&tags::STUDY_INSTANCE).unwrap_or_default(),
        frame_of_reference: data.text(&tags::FRAME_OF_REFERENCE).unwrap_or_default(),
        format,
        frames,
        mosaic,
        inverted: photometric == "MONOCHROME1",
        ct: modality == "CT",
    })
}

/// Secondary captures (PS3.4, B.5): images of screens, and what converters write that know no scanner.
fn is_capture(class: &str) -> bool {
    class.strip_prefix("1.2.840.10008.5.1.4.1.1.").is_some_and(|rest| rest == "7" || rest.starts_with("7."))
}

/// Storage classes of which every object has pixels: without them, it is cut short.
fn has_pixels(class: &str) -> bool {
    let rest = class.strip_prefix("1.2.840.10008.5.1.4.1.1.").unwrap_or_default();
    is_capture(class)
        || matches!(
            rest,
            "1" | "2" | "2.1" | "2.2" | "4" | "4.1" | "4.3" | "4.4" | "20" | "30" | "128" | "128.1" | "130"
        )
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
        "481.2" => "radiotherapy dose",
        "481.3" => "radiotherapy structure set",
        _ if rest.starts_with("481.") && rest != "481.1" => "radiotherapy plan or record",
        _ if rest.starts_with("88.") => "structured report",
        _ if rest.starts_with("11.") => "presentation state",
        _ if rest.starts_with("104.") => "document",
        _ if rest.starts_with("9.") => "waveform",
        _ => return None,
    })
}

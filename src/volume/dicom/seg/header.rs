//! All of a segmentation but its pixels.

use super::object::Object;
use super::segments::{code, dcm, segment};
use super::texts::Texts;
use super::write::{Frame, Frames, SegKind, SegOptions, uid};
use crate::volume::label_file::axes_to_lps;
use crate::volume::nifti::LabelName;
use crate::volume::source::SourceSlice;
use crate::volume::{SourceSeries, VolumeError};

pub(super) const EXPLICIT_LITTLE: &str = "1.2.840.10008.1.2.1";
/// Of this writer; a UUID made once.
const IMPLEMENTATION: &str = "2.25.290198953787618781550751043596863132516";
const SEGMENT_IDENTIFICATION: u32 = 0x0062_000a;
const SEGMENT_NUMBER: u32 = 0x0062_000b;
const PLANE_POSITION: u32 = 0x0020_9113;
const POSITION: u32 = 0x0020_0032;
const SERIES_NUMBER: u32 = 0x0020_0011;
const BODY_PART: u32 = 0x0018_0015;
/// What must be there, if only empty: Study Date and Time, Accession Number, Referring Physician's Name, the patient's name,
/// identifier, birth date and sex, Study ID, Position Reference Indicator.
const EMPTY: [(u32, &[u8; 2]); 10] = [
    (0x0008_0020, b"DA"),
    (0x0008_0030, b"TM"),
    (0x0008_0050, b"SH"),
    (0x0008_0090, b"PN"),
    (0x0010_0010, b"PN"),
    (0x0010_0020, b"LO"),
    (0x0010_0030, b"DA"),
    (0x0010_0040, b"CS"),
    (0x0020_0010, b"SH"),
    (0x0020_1040, b"LO"),
];

/// The header of the file (group 0002), and the data set up to its pixels.
///
/// # Errors
/// The system gives no random numbers for identifiers.
pub(super) fn header(
    labels: &[LabelName],
    frames: &Frames,
    options: &SegOptions<'_>,
) -> Result<(Object, Object), VolumeError> {
    let source = options.source;
    let texts = Texts::new(&source.patient);
    let class = options.kind.sop_class();
    let instance = uid()?;
    let file = Object::default()
        .bytes(0x0002_0001, b"OB", vec![0, 1])
        .text(0x0002_0002, b"UI", class)
        .text(0x0002_0003, b"UI", &instance)
        .text(0x0002_0010, b"UI", EXPLICIT_LITTLE)
        .text(0x0002_0012, b"UI", IMPLEMENTATION)
        .text(0x0002_0013, b"SH", "UNETR_WGPU");
    let mut data = EMPTY.iter().fold(Object::default(), |data, (tag, vr)| data.text(*tag, vr, ""));
    data = texts.add(data, &[SERIES_NUMBER, BODY_PART]);
    data = of_series(data, &texts, options)?.text(0x0008_0016, b"UI", class).text(0x0008_0018, b"UI", &instance);
    data = of_pixels(data, frames, options.kind, labels);
    let numbered = labels.iter().enumerate().map(|(at, label)| (options.kind.number(at, label), label));
    let segments = numbered.map(|(number, label)| segment(number, label, options, &texts)).collect();
    let kind = if options.kind == SegKind::Binary { "BINARY" } else { "LABELMAP" };
    data = data
        .text(0x0062_0001, b"CS", kind)
        .items(0x0062_0002, segments)
        .text(0x0062_0013, b"CS", "NO")
        .text(0x0070_0080, b"CS", "SEGMENTATION")
        .text(0x0070_0081, b"LO", &texts.line(options.notice, 64))
        .text(0x0070_0084, b"PN", concat!(env!("CARGO_PKG_NAME"), "^program"));
    data = dimensions(data, options.kind)?;
    let one = |frame: &Frame| of_frame(frame, frames, labels, options, &texts);
    let groups = frames.list.iter().map(one).collect();
    Ok((file, data.item(0x5200_9229, shared(source)).items(0x5200_9230, groups)))
}

/// Study, series, equipment and references.
fn of_series(data: Object, texts: &Texts, options: &SegOptions<'_>) -> Result<Object, VolumeError> {
    let source = options.source;
    let digits: String = options.moment.chars().filter(char::is_ascii_digit).collect();
    let [date, time] = [digits.get(..8), digits.get(8..14)].map(Option::unwrap_or_default);
    let or_new = |known: &str| if known.is_empty() { uid() } else { Ok(known.to_owned()) };
    // Far from the numbers of a scanner's own series.
    let number = texts.value(SERIES_NUMBER).parse::<u32>().ok().filter(|n| *n < 1_000_000).unwrap_or(0) + 1000;
    let name = texts.line(&format!("{} {}: labels. Research use only", options.algorithm, options.version), 64);
    let mut data = data
        .text(0x0008_0008, b"CS", "DERIVED\\PRIMARY")
        .text(0x0008_0012, b"DA", date)
        .text(0x0008_0013, b"TM", time)
        .text(0x0008_0021, b"DA", date)
        .text(0x0008_0023, b"DA", date)
        .text(0x0008_0031, b"TM", time)
        .text(0x0008_0033, b"TM", time)
        .text(0x0008_0060, b"CS", "SEG")
        .text(0x0008_0070, b"LO", env!("CARGO_PKG_NAME"))
        .text(0x0008_103e, b"LO", &name)
        .text(0x0008_1090, b"LO", "unetr")
        .text(0x0018_1000, b"LO", "none")
        .text(0x0018_1020, b"LO", env!("CARGO_PKG_VERSION"))
        .text(0x0020_000d, b"UI", &or_new(&source.study_instance_uid)?)
        .text(0x0020_000e, b"UI", &uid()?)
        .text(SERIES_NUMBER, b"IS", &number.to_string())
        .text(0x0020_0013, b"IS", "1")
        .text(0x0020_0052, b"UI", &or_new(&source.frame_of_reference_uid)?)
        .text(0x0020_4000, b"LT", options.notice);
    let instances: Vec<Object> = {
        let mut seen = std::collections::BTreeSet::new();
        let new = source.slices.iter().filter(|s| is_known(s) && seen.insert(&s.sop_instance_uid));
        new.map(reference).collect()
    };
    if !instances.is_empty() && !source.series_instance_uid.is_empty() {
        let series =
            Object::default().text(0x0020_000e, b"UI", &source.series_instance_uid).items(0x0008_114a, instances);
        data = data.item(0x0008_1115, series);
    }
    Ok(data)
}

fn is_known(slice: &SourceSlice) -> bool {
    !slice.sop_class_uid.is_empty() && !slice.sop_instance_uid.is_empty()
}

fn reference(slice: &SourceSlice) -> Object {
    Object::default().text(0x0008_1150, b"UI", &slice.sop_class_uid).text(0x0008_1155, b"UI", &slice.sop_instance_uid)
}

fn of_pixels(data: Object, frames: &Frames, kind: SegKind, labels: &[LabelName]) -> Object {
    let bits: u16 = kind.bits(labels);
    let [columns, rows] = frames.size.map(|n| n as u16);
    let mut data = data
        .shorts(0x0028_0002, &[1])
        .text(0x0028_0004, b"CS", "MONOCHROME2")
        .text(0x0028_0008, b"IS", &frames.list.len().to_string())
        .shorts(0x0028_0010, &[rows])
        .shorts(0x0028_0011, &[columns])
        .shorts(0x0028_0100, &[bits])
        .shorts(0x0028_0101, &[bits])
        .shorts(0x0028_0102, &[bits - 1])
        .shorts(0x0028_0103, &[0])
        .text(0x0028_2110, b"CS", "00");
    if kind == SegKind::LabelMap {
        data = data.shorts(0x0028_0120, &[0]);
    }
    data
}

/// By what frames are indexed: their segment, where they are of one, and their place.
fn dimensions(data: Object, kind: SegKind) -> Result<Object, VolumeError> {
    let organization = uid()?;
    let index = |pointer: u32, group: u32, name: &str| {
        Object::default()
            .text(0x0020_9164, b"UI", &organization)
            .tags(0x0020_9165, pointer)
            .tags(0x0020_9167, group)
            .text(0x0020_9421, b"LO", name)
    };
    let mut indices = Vec::new();
    if kind == SegKind::Binary {
        indices.push(index(SEGMENT_NUMBER, SEGMENT_IDENTIFICATION, "Segment"));
    }
    indices.push(index(POSITION, PLANE_POSITION, "Position"));
    Ok(data.item(0x0020_9221, Object::default().text(0x0020_9164, b"UI", &organization)).items(0x0020_9222, indices))
}

/// What holds for all frames: size of the pixels and directions.
fn shared(source: &SourceSeries) -> Object {
    let (axes, _) = axes_to_lps(&source.grid.affine);
    let [columns, rows, _] = source.grid.affine.spacing();
    let along = |axis: usize, spacing: f64| axes[axis].map(|v| v / spacing);
    let (x, y) = (along(0, columns), along(1, rows));
    let normal = [x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]];
    // Of slices shifted against each other, the distance of their planes.
    let distance = axes[2].iter().zip(normal).map(|(a, b)| a * b).sum::<f64>().abs();
    let measures = Object::default()
        .decimals(0x0018_0050, &[distance])
        .decimals(0x0018_0088, &[distance])
        .decimals(0x0028_0030, &[rows, columns]);
    let orientation = Object::default().decimals(0x0020_0037, &[x, y].concat());
    Object::default().item(0x0028_9110, measures).item(0x0020_9116, orientation)
}

/// The functional groups of one frame.
fn of_frame(frame: &Frame, frames: &Frames, labels: &[LabelName], options: &SegOptions<'_>, texts: &Texts) -> Object {
    let place = frames.places.partition_point(|z| *z < frame.slice) as u32 + 1;
    let mut index = vec![place];
    let mut object = Object::default();
    if let Some(at) = frame.segment {
        let number = labels.get(at).map_or(0, |label| options.kind.number(at, label));
        index.insert(0, number.into());
        object = object.item(SEGMENT_IDENTIFICATION, Object::default().shorts(SEGMENT_NUMBER, &[number]));
    }
    object = object.item(0x0020_9111, Object::default().longs(0x0020_9157, &index));
    let Some(slice) = options.source.slices.get(frame.slice) else { return object };
    object = object.item(PLANE_POSITION, Object::default().decimals(POSITION, &slice.position));
    if !is_known(slice) {
        return object;
    }
    let purpose = dcm("121322", "Source image for image processing operation");
    let mut image = reference(slice).item(0x0040_a170, code(&purpose, texts));
    if let Some(number) = slice.frame {
        image = image.text(0x0008_1160, b"IS", &number.to_string());
    }
    // The slices of a mosaic are parts of one image, whose pixels lie elsewhere.
    let twins = options.source.slices.iter().filter(|s| s.sop_instance_uid == slice.sop_instance_uid).take(2).count();
    if slice.frame.is_some() || twins == 1 {
        image = image.text(0x0028_135a, b"CS", "YES");
    }
    let derivation =
        Object::default().item(0x0008_2112, image).item(0x0008_9215, code(&dcm("113076", "Segmentation"), texts));
    object.item(0x0008_9124, derivation)
}

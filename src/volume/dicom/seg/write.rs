//! Label maps as DICOM Segmentation.

use std::io::Write;

use super::header::header;
use super::object::{Object, long_header};
use crate::volume::nifti::LabelName;
use crate::volume::{LabelMap, SourceSeries, VolumeError};

const PIXEL_DATA: u32 = 0x7fe0_0010;

/// How voxels are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SegKind {
    /// Segmentation Storage, a frame of single bits for each segment and slice. Segments count from 1.
    #[default]
    Binary,
    /// Label Map Segmentation Storage, a frame for each slice. Segments have the numbers of the labels.
    LabelMap,
}

/// What a segmentation is of, and what made it.
#[derive(Clone, Copy, Debug)]
pub struct SegOptions<'a> {
    pub kind: SegKind,
    /// The series whose rows, columns and slices the frames have.
    pub source: &'a SourceSeries,
    /// A frame for every slice and segment, instead of those alone that have voxels.
    pub all_frames: bool,
    /// Name and version of the model.
    pub algorithm: &'a str,
    pub version: &'a str,
    /// What it is for, and what not.
    pub notice: &'a str,
    /// When it was made, RFC 3339, UTC.
    pub moment: &'a str,
}

/// A frame: its segment, counted from 0 in the list of labels, and its slice of the series.
pub(super) struct Frame {
    pub segment: Option<usize>,
    pub slice: usize,
}

pub(super) struct Frames {
    pub list: Vec<Frame>,
    /// The slices that have frames, in order.
    pub places: Vec<usize>,
    /// Columns and rows.
    pub size: [usize; 2],
}

impl SegKind {
    pub(super) fn sop_class(self) -> &'static str {
        match self {
            Self::Binary => "1.2.840.10008.5.1.4.1.1.66.4",
            Self::LabelMap => "1.2.840.10008.5.1.4.1.1.66.7",
        }
    }

    /// The number of a segment, which is at place `at` among the labels.
    pub(super) fn number(self, at: usize, label: &LabelName) -> u16 {
        match self {
            // At most 65,535 labels.
            Self::Binary => at as u16 + 1,
            Self::LabelMap => label.value,
        }
    }

    pub(super) fn bits(self, labels: &[LabelName]) -> u16 {
        match self {
            Self::Binary => 1,
            Self::LabelMap if labels.iter().all(|label| label.value < 256) => 8,
            Self::LabelMap => 16,
        }
    }
}

/// A fresh identifier: a random UUID as a decimal number (PS3.5, B.2).
pub(super) fn uid() -> Result<String, VolumeError> {
    let mut bytes = [0; 16];
    let failed = |e: getrandom::Error| VolumeError::Io {
        path: "random numbers".into(),
        source: std::io::Error::other(e.to_string()),
    };
    getrandom::fill(&mut bytes).map_err(failed)?;
    // Version 4 of RFC 9562.
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Ok(format!("2.25.{}", u128::from_be_bytes(bytes)))
}

/// Writes labels that lie on the source's grid, in any order of axes. Gives the number of each segment and its label.
///
/// # Errors
/// The labels lie on another grid, need more than 4 GiB, or cannot be written.
pub fn write_labels(
    mut out: impl Write,
    labels: &LabelMap,
    names: &[LabelName],
    options: &SegOptions<'_>,
) -> Result<Vec<(u16, LabelName)>, VolumeError> {
    let source = options.source;
    let (turn, _) = source.grid.join(&labels.grid(), ["the series", "the labels"])?;
    let voxels = turn.apply(&labels.data, labels.dims);
    let names = all_names(&voxels, names);
    let frames = Frames::new(&voxels, &names, options)?;
    let (file, data) = header(&names, &frames, options)?;

    let bits = frames.bits(options.kind.bits(&names));
    // Of even length.
    let length = bits.div_ceil(16).saturating_mul(2);
    let length = u32::try_from(length).ok().filter(|n| *n < u32::MAX);
    let length = length.ok_or(VolumeError::TooLarge { needed: bits / 8, limit: u32::MAX.into() })?;
    let mut head = vec![0; 128];
    head.extend(b"DICM");
    let mut group = Vec::new();
    file.write(&mut group);
    Object::default().longs(0x0002_0000, &[group.len() as u32]).write(&mut head);
    head.extend(group);
    data.write(&mut head);
    let vr = if options.kind.bits(&names) == 16 { b"OW" } else { b"OB" };
    head.extend(long_header(PIXEL_DATA, *vr, length));

    let failed = |source| VolumeError::Io { path: "DICOM".to_owned(), source };
    let mut pixels = Pixels { out: &mut out, held: 0, count: 0, written: 0 };
    pixels.out.write_all(&head).map_err(failed)?;
    frames.write(&voxels, &names, options.kind, &mut pixels).map_err(failed)?;
    pixels.finish(length).map_err(failed)?;
    let numbered = names.into_iter().enumerate();
    Ok(numbered.map(|(at, label)| (options.kind.number(at, &label), label)).collect())
}

/// The names in the order of their values, with one for each value that has none.
fn all_names(voxels: &[u16], names: &[LabelName]) -> Vec<LabelName> {
    let mut all = names.to_vec();
    for run in voxels.chunk_by(|a, b| a == b) {
        let value = run[0];
        if value != 0 && all.iter().all(|name| name.value != value) {
            all.push(LabelName { value, name: format!("label {value}"), color: [128; 3], codes: None });
        }
    }
    all.retain(|name| name.value != 0);
    all.sort_by_key(|name| name.value);
    all.dedup_by_key(|name| name.value);
    all
}

impl Frames {
    fn new(voxels: &[u16], names: &[LabelName], options: &SegOptions<'_>) -> Result<Self, VolumeError> {
        let [nx, ny, nz] = options.source.grid.dims;
        if names.is_empty() {
            return Err(VolumeError::shape("labels of a segmentation", "at least one", "none"));
        }
        // Which segment a value is, and which has voxels where.
        let mut segment_of = vec![usize::MAX; usize::from(u16::MAX) + 1];
        names.iter().enumerate().for_each(|(at, name)| segment_of[usize::from(name.value)] = at);
        let mut has = vec![options.all_frames; names.len() * nz];
        for (at, value) in voxels.iter().enumerate().filter(|(_, value)| **value != 0) {
            if let Some(has) = has.get_mut(segment_of[usize::from(*value)].saturating_mul(nz).saturating_add(at % nz)) {
                *has = true;
            }
        }
        // An object has a frame, if only an empty one.
        if !has.contains(&true) {
            has[0] = true;
        }
        let places: Vec<usize> = (0..nz).filter(|z| has.iter().skip(*z).step_by(nz).any(|has| *has)).collect();
        let list = match options.kind {
            SegKind::LabelMap => places.iter().map(|z| Frame { segment: None, slice: *z }).collect(),
            SegKind::Binary => {
                let frames = has.iter().enumerate().filter(|(_, has)| **has);
                frames.map(|(at, _)| Frame { segment: Some(at / nz), slice: at % nz }).collect()
            }
        };
        Ok(Self { list, places, size: [nx, ny] })
    }

    /// Bits of all frames.
    fn bits(&self, each: u16) -> u64 {
        let [nx, ny] = self.size.map(|n| n as u64);
        (self.list.len() as u64).saturating_mul(nx * ny).saturating_mul(each.into())
    }

    /// Writes the frames, row by row.
    fn write(
        &self,
        voxels: &[u16],
        names: &[LabelName],
        kind: SegKind,
        out: &mut Pixels<'_, impl Write>,
    ) -> std::io::Result<()> {
        let [nx, ny] = self.size;
        let nz = voxels.len() / (nx * ny);
        let bits = kind.bits(names);
        for frame in &self.list {
            let of = frame.segment.and_then(|at| names.get(at)).map(|name| name.value);
            for y in 0..ny {
                let row = (0..nx).map(|x| voxels[(x * ny + y) * nz + frame.slice]);
                for value in row {
                    match of {
                        Some(label) => out.bit(value == label)?,
                        None => out.bytes(&value.to_le_bytes()[..usize::from(bits / 8)])?,
                    }
                }
            }
        }
        Ok(())
    }
}

/// Pixels on their way out; bits lie without gaps between frames, the first of a byte lowest (PS3.5, 8.1.1).
struct Pixels<'a, W: Write> {
    out: &'a mut W,
    held: u8,
    count: u32,
    written: u64,
}

impl<W: Write> Pixels<'_, W> {
    fn bit(&mut self, set: bool) -> std::io::Result<()> {
        self.held |= u8::from(set) << self.count;
        self.count += 1;
        if self.count == 8 {
            let byte = self.held;
            (self.held, self.count) = (0, 0);
            return self.bytes(&[byte]);
        }
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn finish(mut self, length: u32) -> std::io::Result<()> {
        if self.count > 0 {
            let byte = self.held;
            self.bytes(&[byte])?;
        }
        while self.written < length.into() {
            self.bytes(&[0])?;
        }
        self.out.flush()
    }
}

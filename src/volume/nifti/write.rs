//! Writing label maps and volumes.
//!
//! Little-endian, sform and qform both equal to the affine, first axis fastest. The same input gives
//! the same bytes: the gzip header carries no time and no name.

use std::io::Write;

use flate2::{Compression, GzBuilder};

use super::extension::{COMMENT, Extension};
use super::form;
use super::header::{Header, Version};
use super::labels::{LabelName, label_table};
use crate::volume::datatype::{Datatype, Endian};
use crate::volume::{LabelMap, Volume, VolumeError, VoxelGrid};

/// What to write beside the voxels.
#[derive(Debug, Clone, Copy, Default)]
pub struct WriteOptions<'a> {
    /// Pack with gzip; see [`is_gzip_name`].
    pub gzip: bool,
    /// The scan's header: its version, units, description and form codes are taken over.
    pub like: Option<&'a Header>,
    /// Names and colours of the labels, written as a Caret label table.
    pub label_names: &'a [LabelName],
    /// Text written as a comment extension, such as the provenance in JSON.
    pub comment: Option<&'a str>,
}

/// NIFTI_INTENT_LABEL.
const INTENT_LABEL: i32 = 1002;
/// NIFTI_XFORM_ALIGNED_ANAT, what nibabel writes where nothing is known.
const ALIGNED: i32 = 2;
/// `dim` of NIfTI-1 is 16 bits.
const MAX_DIM_1: usize = i16::MAX as usize;

/// True if a file of this name is to be packed.
#[must_use]
pub fn is_gzip_name(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".gz")
}

/// Writes a label map: u8, or u16 where a label exceeds 255.
///
/// # Errors
/// The output cannot be written, or an extension is beyond 2 GiB.
pub fn write_labels(out: impl Write, labels: &LabelMap, options: &WriteOptions<'_>) -> Result<(), VolumeError> {
    let largest = labels.data.iter().copied().max().unwrap_or(0);
    let wide = largest > 255;
    let datatype = if wide { Datatype::U16 } else { Datatype::U8 };
    let mut header = new_header(&labels.affine, labels.dims, 1, datatype, options)?;
    header.intent_code = INTENT_LABEL;
    header.cal_max = f64::from(largest);
    encode(out, header, options, |emit| {
        each_on_disk(&labels.data, labels.dims, |row| {
            let bytes: Vec<u8> = if wide {
                row.flat_map(u16::to_le_bytes).collect()
            } else {
                // At most 255, as checked above.
                row.map(|v| v as u8).collect()
            };
            emit(&bytes)
        })
    })
}

/// Writes a volume as f32; channels become the fourth dimension.
///
/// # Errors
/// The output cannot be written, or an extension is beyond 2 GiB.
pub fn write_volume(out: impl Write, volume: &Volume, options: &WriteOptions<'_>) -> Result<(), VolumeError> {
    let header = new_header(&volume.affine, volume.dims, volume.channels, Datatype::F32, options)?;
    encode(out, header, options, |emit| {
        for c in 0..volume.channels {
            each_on_disk(volume.channel(c), volume.dims, |row| {
                emit(&row.flat_map(f32::to_le_bytes).collect::<Vec<u8>>())
            })?;
        }
        Ok(())
    })
}

/// Visits the rows along x in the order of the file: y, then z.
fn each_on_disk<T: Copy, E>(
    data: &[T],
    [nx, ny, nz]: [usize; 3],
    mut visit: impl FnMut(&mut dyn Iterator<Item = T>) -> Result<(), E>,
) -> Result<(), E> {
    for z in 0..nz {
        for y in 0..ny {
            visit(&mut (0..nx).map(|x| data[(x * ny + y) * nz + z]))?;
        }
    }
    Ok(())
}

fn new_header(
    affine: &crate::volume::Affine,
    dims: [usize; 3],
    channels: usize,
    datatype: Datatype,
    options: &WriteOptions<'_>,
) -> Result<Header, VolumeError> {
    affine.check("the volume to write")?;
    let like = options.like;
    let needs_two = dims.iter().chain([&channels]).any(|&n| n > MAX_DIM_1);
    let version = match like {
        Some(like) if like.version == Version::Two => Version::Two,
        _ if needs_two => Version::Two,
        _ => Version::One,
    };
    // A flat scan stays flat, so that both files have the same shape.
    let used = dims.iter().rposition(|&n| n > 1).map_or(1, |last| last + 1);
    let dimensions = match like {
        _ if channels > 1 => 4,
        Some(like) => like.dimensions().clamp(used, 3),
        None => 3,
    };
    let mut dim = [1_i64; 8];
    dim[0] = dimensions as i64;
    for (to, from) in dim[1..].iter_mut().zip(dims.iter().chain([&channels])) {
        *to = i64::try_from(*from).map_err(|_| VolumeError::shape("size", "63 bits", from))?;
    }
    let mut header = Header {
        version,
        endian: Endian::Little,
        pair: false,
        dim,
        datatype,
        pixdim: [1.0; 8],
        vox_offset: 0,
        scaling: Some((1.0, 0.0)),
        cal_min: 0.0,
        cal_max: 0.0,
        // A fourth axis of ours holds channels, whatever the scan's held.
        xyzt_units: like.map_or(2, |like| like.xyzt_units & if channels > 1 { 7 } else { 0xff }),
        descrip: like.map_or_else(String::new, |like| like.descrip.clone()),
        intent_code: 0,
        intent_name: String::new(),
        qform_code: 0,
        sform_code: 0,
        quatern: [0.0; 3],
        qoffset: [0.0; 3],
        srow: [[0.0; 4]; 3],
    };
    let representable = form::store(&mut header, affine, dims);
    let (sform, qform) = codes(like, affine, dims);
    header.sform_code = sform;
    // A sheared grid has no qform; one that is merely close would contradict the sform.
    header.qform_code = if representable { qform } else { 0 };
    Ok(header)
}

/// sform and qform codes: the scan's, each standing in for the other. A scan without codes gets a
/// label map without codes, so that every viewer treats both alike.
fn codes(like: Option<&Header>, affine: &crate::volume::Affine, dims: [usize; 3]) -> (i32, i32) {
    let Some(like) = like else {
        return (ALIGNED, ALIGNED);
    };
    let valid = |code: i32| (1..=5).contains(&code).then_some(code);
    match (valid(like.sform_code), valid(like.qform_code)) {
        (Some(s), Some(q)) => (s, q),
        (Some(s), None) => (s, s),
        (None, Some(q)) => (q, q),
        (None, None) => {
            let grid = VoxelGrid { dims, affine: *affine };
            let guessed = form::base_in_mm(like).is_ok_and(|base| grid.equals(&VoxelGrid { dims, affine: base }));
            if guessed { (0, 0) } else { (ALIGNED, ALIGNED) }
        }
    }
}

/// Writes header, extensions and what `voxels` emits.
fn encode(
    out: impl Write,
    mut header: Header,
    options: &WriteOptions<'_>,
    voxels: impl FnOnce(&mut dyn FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<()>,
) -> Result<(), VolumeError> {
    let mut extensions = Vec::new();
    // The label table comes first: some readers look at the first extension only.
    if !options.label_names.is_empty() {
        extensions.extend(label_table(options.label_names).encode()?);
    }
    if let Some(text) = options.comment {
        let comment = Extension { code: COMMENT, data: text.as_bytes().to_vec() };
        extensions.extend(comment.encode()?);
    }
    let head = header.version.header_size() + 4;
    header.vox_offset = (head + extensions.len()) as u64;
    let mut front = header.encode();
    front.extend_from_slice(&[u8::from(!extensions.is_empty()), 0, 0, 0]);
    front.extend_from_slice(&extensions);

    let write = |out: &mut dyn Write| -> std::io::Result<()> {
        out.write_all(&front)?;
        voxels(&mut |bytes| out.write_all(bytes))?;
        out.flush()
    };
    let mut out = std::io::BufWriter::with_capacity(1 << 16, out);
    let done = if options.gzip {
        let mut packed = GzBuilder::new().mtime(0).operating_system(255).write(out, Compression::new(6));
        write(&mut packed).and_then(|()| packed.finish()?.flush())
    } else {
        write(&mut out)
    };
    done.map_err(|source| VolumeError::Io { path: "NIfTI output".into(), source })
}

impl Header {
    /// The header as little-endian bytes, without the extender.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.version.header_size()];
        let mut put = |offset: usize, value: &[u8]| {
            bytes[offset..offset + value.len()].copy_from_slice(value);
        };
        let (slope, inter) = self.scaling.unwrap_or((0.0, 0.0));
        let code = self.datatype.code();
        let bits = (self.datatype.size() * 8) as i16;
        let srow = self.srow.iter().flatten();
        let place = self.quatern.iter().chain(&self.qoffset).chain(srow);
        match self.version {
            Version::One => {
                put(0, &348_i32.to_le_bytes());
                put(344, if self.pair { b"ni1\0" } else { b"n+1\0" });
                for (n, &d) in self.dim.iter().enumerate() {
                    // Sizes beyond 16 bits are written as version 2.
                    put(40 + 2 * n, &(d as i16).to_le_bytes());
                }
                let mut float = |offset: usize, v: f64| put(offset, &(v as f32).to_le_bytes());
                (0..8).for_each(|n| float(76 + 4 * n, self.pixdim[n]));
                float(108, self.vox_offset as f64);
                [slope, inter].iter().enumerate().for_each(|(n, &v)| float(112 + 4 * n, v));
                float(124, self.cal_max);
                float(128, self.cal_min);
                place.enumerate().for_each(|(n, &v)| float(256 + 4 * n, v));
                put(68, &(self.intent_code as i16).to_le_bytes());
                put(70, &code.to_le_bytes());
                put(72, &bits.to_le_bytes());
                put(123, &[self.xyzt_units]);
                put(148, text(&self.descrip, 79));
                put(252, &(self.qform_code as i16).to_le_bytes());
                put(254, &(self.sform_code as i16).to_le_bytes());
                put(328, text(&self.intent_name, 15));
            }
            Version::Two => {
                put(0, &540_i32.to_le_bytes());
                put(4, if self.pair { b"ni2\0\r\n\x1a\n" } else { b"n+2\0\r\n\x1a\n" });
                put(12, &code.to_le_bytes());
                put(14, &bits.to_le_bytes());
                for (n, &d) in self.dim.iter().enumerate() {
                    put(16 + 8 * n, &d.to_le_bytes());
                }
                let mut float = |offset: usize, v: f64| put(offset, &v.to_le_bytes());
                (0..8).for_each(|n| float(104 + 8 * n, self.pixdim[n]));
                [slope, inter].iter().enumerate().for_each(|(n, &v)| float(176 + 8 * n, v));
                float(192, self.cal_max);
                float(200, self.cal_min);
                place.enumerate().for_each(|(n, &v)| float(352 + 8 * n, v));
                put(168, &self.vox_offset.to_le_bytes());
                put(240, text(&self.descrip, 79));
                put(344, &self.qform_code.to_le_bytes());
                put(348, &self.sform_code.to_le_bytes());
                put(500, &i32::from(self.xyzt_units).to_le_bytes());
                put(504, &self.intent_code.to_le_bytes());
                put(508, text(&self.intent_name, 15));
            }
        }
        bytes
    }
}

/// At most `max` bytes of a text field; the rest of the field stays 0.
fn text(value: &str, max: usize) -> &[u8] {
    &value.as_bytes()[..value.floor_char_boundary(max)]
}

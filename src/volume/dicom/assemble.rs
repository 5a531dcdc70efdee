//! The slices of one series as a volume.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::error::DicomError;
use super::image::{Content, Image, MARKS, parse};
use super::pixels;
use super::read::{ReadOptions, Series, Source};
use super::series::Group;
use super::stack::{Slice, Stack, stack};
use crate::volume::{Volume, VolumeError, checked_len};

/// A frame of a file.
struct Place {
    file: usize,
    frame: usize,
}

/// What is known of a series before its pixels are decoded.
#[derive(Default)]
struct Survey {
    slices: Vec<Slice>,
    places: Vec<Place>,
    instances: Vec<String>,
    marks: Vec<[Option<f64>; MARKS.len()]>,
    /// Columns and rows, and the file that has them.
    size: Option<([usize; 2], String)>,
    inverted: bool,
}

impl Survey {
    fn add(&mut self, file: usize, name: &str, image: &Image<'_>) -> Result<(), DicomError> {
        let size = [image.format.columns, image.format.rows];
        let (expected, first) = self.size.get_or_insert_with(|| (size, name.to_owned()));
        if size != *expected {
            let problem = format!(
                "{first} has {} x {} pixels and {name} {} x {}: they are no volume",
                expected[0], expected[1], size[0], size[1]
            );
            return Err(DicomError::Slices { problem });
        }
        self.inverted |= image.inverted;
        for (frame, f) in image.frames.iter().enumerate() {
            let name = if image.frames.len() > 1 { format!("{name} frame {}", frame + 1) } else { name.to_owned() };
            self.slices.push(Slice { plane: f.plane, name, thickness: image.thickness });
            self.places.push(Place { file, frame });
            self.instances.push(image.instance.clone());
            self.marks.push(image.marks);
        }
        Ok(())
    }

    /// What tells two images at one place apart.
    fn twins(&self, a: usize, b: usize) -> String {
        let instance = |i: usize| self.instances.get(i).filter(|uid| !uid.is_empty());
        let file = |i: usize| self.places.get(i).map(|p| p.file);
        if file(a) != file(b) && instance(a).is_some() && instance(a) == instance(b) {
            return " and are copies of one image".to_owned();
        }
        let (Some(a), Some(b)) = (self.marks.get(a), self.marks.get(b)) else { return String::new() };
        let mut text = String::new();
        for ((attribute, a), b) in MARKS.iter().zip(a).zip(b) {
            if let (Some(a), Some(b)) = (a, b)
                && a != b
            {
                // Writing to a String cannot fail.
                let _ = write!(text, "; {} is {a} and {b}", attribute.name);
            }
        }
        text
    }
}

/// # Errors
/// A file that is no image, slices that make no grid, or pixels that cannot be decoded.
pub(super) fn assemble(source: &dyn Source, group: &Group, options: &ReadOptions) -> Result<Series, VolumeError> {
    if let Some((file, error)) = group.others.first() {
        return Err(error.clone().of(&source.name(*file)).into());
    }
    let mut survey = Survey::default();
    for &file in &group.images {
        let name = source.name(file);
        with_image(source, file, |_, image| survey.add(file, &name, image))?;
    }
    let Stack { order, affine, mut warnings } = stack(&survey.slices, |a, b| survey.twins(a, b))?;
    if survey.inverted {
        warnings.push("MONOCHROME1: low values are meant to look bright; values are kept as stored".into());
    }
    let [nx, ny] = survey.size.as_ref().map_or([0; 2], |(size, _)| *size);
    let nz = order.len();
    let needed = (checked_len(1, [nx, ny, nz])? as u64).saturating_mul(size_of::<f32>() as u64);
    if needed > options.max_bytes.min(isize::MAX as u64) {
        return Err(VolumeError::TooLarge { needed, limit: options.max_bytes });
    }
    let too_large = |_| VolumeError::TooLarge { needed, limit: 0 };
    let mut data: Vec<f32> = Vec::new();
    data.try_reserve_exact(nx * ny * nz).map_err(too_large)?;
    data.resize(nx * ny * nz, 0.0);

    let mut files = Vec::new();
    let mut digests = Vec::new();
    // Which slice each frame of each file is.
    let mut slices: Vec<(usize, usize, usize)> =
        order.iter().enumerate().filter_map(|(z, &i)| survey.places.get(i).map(|p| (p.file, p.frame, z))).collect();
    slices.sort_unstable();
    for of_file in slices.chunk_by(|a, b| a.0 == b.0) {
        let Some(&(file, ..)) = of_file.first() else { continue };
        with_image(source, file, |bytes, image| {
            let size = [image.format.columns, image.format.rows];
            if size != [nx, ny] || image.frames.len() != of_file.len() {
                return Err(DicomError::pixels("the file has changed while it was read"));
            }
            digests.push(hex(&Sha256::digest(bytes)));
            pixels::decode(image, |frame, values| {
                let Some(&(.., z)) = of_file.get(frame) else { return };
                for (y, row) in values.chunks_exact(nx).enumerate() {
                    for (x, &v) in row.iter().enumerate() {
                        data[(x * ny + y) * nz + z] = v;
                    }
                }
            })
        })?;
        files.push((of_file.iter().map(|s| s.2).min(), file));
    }
    files.sort_unstable();
    digests.sort_unstable();
    let list: String = digests.iter().flat_map(|d| [d, "\n"]).collect();
    Ok(Series {
        volume: Volume::new(data, 1, [nx, ny, nz], affine)?,
        files: files.into_iter().map(|(_, file)| file).collect(),
        sha256: hex(&Sha256::digest(list)),
        warnings,
    })
}

/// Reads a file again and shows its image.
fn with_image(
    source: &dyn Source,
    file: usize,
    visit: impl FnOnce(&[u8], &Image<'_>) -> Result<(), DicomError>,
) -> Result<(), VolumeError> {
    let bytes = source.bytes(file)?;
    let done = match parse(&bytes) {
        Ok(Content::Object(_, Ok(image))) => visit(&bytes, &image),
        Ok(Content::Object(_, Err(error))) | Err(error) => Err(error),
        Ok(Content::Directory) => Err(DicomError::NotImage { what: "DICOM directory" }),
    };
    done.map_err(|e| match e {
        DicomError::Slices { .. } => e.into(),
        e => e.of(&source.name(file)).into(),
    })
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

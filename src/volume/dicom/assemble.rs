//! The slices of one acquisition as a volume.

use super::acquisitions::{Acquisition, twins};
use super::error::DicomError;
use super::patient::patient;
use super::pixels;
use super::read::{ReadOptions, Series, Source, with_image};
use super::stack::{Slice, Stack, stack};
use super::survey::Survey;
use super::tags;
use crate::digest::sha256;
use crate::volume::source::{Patient, SourceSlice};
use crate::volume::{SourceSeries, Volume, VolumeError, VoxelGrid, checked_len};

/// # Errors
/// Slices that make no grid, or pixels that cannot be decoded.
pub(super) fn assemble(
    source: &dyn Source,
    survey: &Survey,
    acquisition: &Acquisition,
    options: &ReadOptions,
) -> Result<Series, VolumeError> {
    let parts: Vec<_> = acquisition.members.iter().filter_map(|&i| survey.parts.get(i)).collect();
    let planes: Vec<&Slice> = parts.iter().map(|p| &p.slice).collect();
    let Stack { order, affine, warnings } = stack(&planes, |a, b| twins(parts[a], parts[b]))?;
    let mut warnings = [survey.warnings.clone(), warnings].concat();
    let [nx, ny] = parts.first().map_or([0; 2], |p| p.size);
    let nz = order.len();
    let needed = (checked_len(1, [nx, ny, nz])? as u64).saturating_mul(size_of::<f32>() as u64);
    if needed > options.max_bytes.min(isize::MAX as u64) {
        return Err(VolumeError::TooLarge { needed, limit: options.max_bytes });
    }
    let too_large = |_| VolumeError::TooLarge { needed, limit: 0 };
    let mut data: Vec<f32> = Vec::new();
    data.try_reserve_exact(nx * ny * nz).map_err(too_large)?;
    data.resize(nx * ny * nz, 0.0);

    // Which slice each frame of each file is.
    let place = |(z, &i): (usize, &usize)| (parts[i].file, parts[i].frame, z);
    let mut places: Vec<(usize, usize, usize)> = order.iter().enumerate().map(place).collect();
    places.sort_unstable();
    let (mut files, mut digests) = (Vec::new(), Vec::new());
    let (mut inverted, mut unscaled, mut mended) = (false, false, 0.0_f64);
    let dims = [nx, ny, nz];
    let mut origin = SourceSeries {
        study_instance_uid: String::new(),
        series_instance_uid: survey.uid.clone(),
        frame_of_reference_uid: String::new(),
        slices: Vec::new(),
        grid: VoxelGrid { dims, affine },
        patient: Patient::default(),
    };
    let mut slices: Vec<(usize, SourceSlice)> = Vec::with_capacity(nz);
    for of_file in places.chunk_by(|a, b| a.0 == b.0) {
        let Some(&(file, ..)) = of_file.first() else { continue };
        let expected = survey.headers.iter().find(|(f, _)| *f == file).map(|(_, h)| (h.size(), h.frames.len()));
        with_image(source, file, |bytes, image| {
            let header = &image.header;
            if expected != Some((header.size(), header.frames.len())) {
                return Err(DicomError::pixels("the file has changed while it was read"));
            }
            inverted |= header.inverted;
            unscaled |= header.ct && header.frames.iter().any(|f| !f.scaled);
            mended = header.frames.iter().map(|f| f.plane.mended).fold(mended, f64::max);
            digests.push(sha256(bytes));
            if slices.is_empty() {
                origin.study_instance_uid.clone_from(&header.study);
                origin.frame_of_reference_uid.clone_from(&header.frame_of_reference);
                origin.patient = patient(bytes)?;
            }
            let several = header.stored().len() > 1;
            slices.extend(of_file.iter().filter_map(|&(_, frame, z)| {
                let slice = SourceSlice {
                    sop_class_uid: header.class.clone(),
                    sop_instance_uid: header.instance.clone(),
                    frame: several.then_some(frame as u32 + 1),
                    position: header.frames.get(frame)?.plane.origin,
                };
                Some((z, slice))
            }));
            pixels::decode(image, |frame, values| {
                let Ok(at) = of_file.binary_search_by_key(&frame, |p| p.1) else { return };
                let z = of_file[at].2;
                for (y, row) in values.chunks_exact(nx).enumerate() {
                    for (x, &v) in row.iter().enumerate() {
                        data[(x * ny + y) * nz + z] = v;
                    }
                }
            })
        })?;
        files.push((of_file.iter().map(|s| s.2).min(), file));
    }
    if inverted {
        warnings.push("MONOCHROME1: low values are meant to look bright; values are kept as stored".into());
    }
    if unscaled {
        warnings.push(format!(
            "CT without {} and {}: values are taken as stored, which may not be Hounsfield units",
            tags::RESCALE_SLOPE,
            tags::RESCALE_INTERCEPT
        ));
    }
    if mended > 0.0 {
        warnings.push(format!(
            "{} is {mended:.2} degrees off unit vectors at right angles: orthonormalised, to the nearest that are",
            tags::ORIENTATION
        ));
    }
    if survey.acquisitions.len() > 1 {
        let at = survey.acquisitions.iter().position(|a| std::ptr::eq(a, acquisition)).unwrap_or(0) + 1;
        warnings.push(format!("acquisition {at} of {} is taken ({})", survey.acquisitions.len(), acquisition.name));
    }
    files.sort_unstable();
    digests.sort_unstable();
    slices.sort_unstable_by_key(|(z, _)| *z);
    origin.slices = slices.into_iter().map(|(_, slice)| slice).collect();
    let list: String = digests.iter().flat_map(|d| [d, "\n"]).collect();
    Ok(Series {
        volume: Volume::new(data, 1, dims, affine)?,
        files: files.into_iter().map(|(_, file)| file).collect(),
        sha256: sha256(list),
        modality: survey.modality.clone(),
        source: origin,
        warnings,
    })
}

//! Scans from files or plain voxels.

use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::*;

use super::error::WebError;
use crate::report::provenance::FileRecord;
use crate::report::sha256_joined;
#[cfg(feature = "dicom")]
use crate::volume::dicom;
use crate::volume::nifti::{self, AffineFrom, Header, ReadOptions, WriteOptions};
use crate::volume::{Affine, Volume};

/// A scan with all channels, as read.
#[wasm_bindgen]
pub struct Scan {
    pub(super) volume: Volume,
    /// Of the first file, if it is NIfTI: the output follows it.
    pub(super) header: Option<Header>,
    pub(super) affine_source: &'static str,
    pub(super) warnings: Vec<String>,
    pub(super) files: Vec<FileRecord>,
    /// The caller has put the channels into order; names are not to be asked.
    pub(super) ordered: bool,
}

#[wasm_bindgen]
impl Scan {
    /// Reads NIfTI files, one per channel; a `.hdr` may be followed by its `.img`. Or the files of a
    /// DICOM series; `series` chooses series by their UIDs, one per channel. Files without a name are channels in order.
    #[wasm_bindgen(js_name = fromFiles)]
    pub fn from_files(files: &Array, names: Vec<String>, series: Vec<String>) -> Result<Scan, JsValue> {
        let bytes: Vec<Vec<u8>> = files.iter().map(|f| Uint8Array::new(&f).to_vec()).collect();
        let ordered = !series.is_empty() || names.iter().all(String::is_empty);
        let names = filled(names);
        #[cfg(feature = "dicom")]
        if bytes.iter().any(|b| dicom::is_dicom(b)) {
            return Ok(Self { ordered, ..Self::series(&bytes, &names, series)? });
        }
        if !series.is_empty() {
            return Err(WebError::new("bad-input", "series is for DICOM files, and these are none").into());
        }
        Ok(Self { ordered, ..Self::read(&bytes, &names)? })
    }

    /// The scan as an unpacked NIfTI file in 32 bits, as viewers read it; channels become its fourth dimension.
    #[wasm_bindgen(js_name = toNifti)]
    pub fn to_nifti(&self) -> Result<Vec<u8>, JsValue> {
        let options = WriteOptions { like: self.header.as_ref(), ..WriteOptions::default() };
        let mut bytes = Vec::new();
        nifti::write_volume(&mut bytes, &self.volume, &options).map_err(WebError::from)?;
        Ok(bytes)
    }

    /// What is doubtful about it.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    /// Voxels `(C, X, Y, Z)`, Z contiguous, and the affine, row by row (voxel index to mm, RAS+).
    #[wasm_bindgen(js_name = fromVoxels)]
    pub fn from_voxels(data: Vec<f32>, channels: usize, dims: &[usize], affine: &[f64]) -> Result<Scan, JsValue> {
        Ok(Self::voxels(data, channels, dims, affine)?)
    }
}

impl Scan {
    fn read(files: &[Vec<u8>], names: &[String]) -> Result<Self, WebError> {
        let options = ReadOptions::default();
        let (mut volumes, mut warnings, mut records) = (Vec::new(), Vec::new(), Vec::new());
        let mut first: Option<(Header, AffineFrom)> = None;
        let mut at = 0;
        while let Some(bytes) = files.get(at) {
            let name = names.get(at).cloned().unwrap_or_default();
            let image = files.get(at + 1).filter(|_| is_image(names.get(at + 1))).map(Vec::as_slice);
            let scan = nifti::read(bytes, image, &options).map_err(|e| WebError::from(e).about(&name))?;
            let several = files.len() > 1;
            warnings.extend(scan.warnings.into_iter().map(|w| if several { format!("{name}: {w}") } else { w }));
            records.push(FileRecord { file: name, sha256: sha256_joined(&[bytes, image.unwrap_or_default()]) });
            first.get_or_insert((scan.header, scan.affine_from));
            volumes.push(scan.volume);
            at += if image.is_some() { 2 } else { 1 };
        }
        let (header, from) = first.ok_or_else(|| WebError::new("bad-input", "no scan is given"))?;
        let affine_source = match from {
            AffineFrom::Sform => "sform",
            AffineFrom::Qform => "qform",
            AffineFrom::Pixdim => "pixdim",
        };
        Ok(Self {
            volume: Volume::stack(volumes)?,
            header: Some(header),
            affine_source,
            warnings,
            files: records,
            ordered: false,
        })
    }

    #[cfg(feature = "dicom")]
    fn series(files: &[Vec<u8>], names: &[String], series: Vec<String>) -> Result<Self, WebError> {
        if let Some(at) = files.iter().position(|b| nifti::is_nifti(b)) {
            let name = names.get(at).map_or("a file", String::as_str);
            return Err(WebError::new(
                "bad-input",
                format!("{name} is NIfTI and others are DICOM: give one kind alone"),
            ));
        }
        let options = dicom::ReadOptions { series, ..dicom::ReadOptions::default() };
        let all = dicom::read(&dicom::InMemory { files, names }, &options)?;
        let (mut volumes, mut warnings, mut records) = (Vec::new(), Vec::new(), Vec::new());
        for one in all {
            let first = one.files.first().and_then(|&at| names.get(at)).map_or("DICOM", String::as_str);
            let file = match one.files.len() {
                1 => first.to_owned(),
                n => format!("{first} and {} more", n - 1),
            };
            records.push(FileRecord { file, sha256: one.sha256 });
            warnings.extend(one.warnings);
            volumes.push(one.volume);
        }
        let volume = Volume::stack(volumes)?;
        Ok(Self { volume, header: None, affine_source: "dicom", warnings, files: records, ordered: false })
    }

    fn voxels(data: Vec<f32>, channels: usize, dims: &[usize], affine: &[f64]) -> Result<Self, WebError> {
        let wrong = |what: &str| WebError::new("bad-input", format!("volume.{what}"));
        let dims = dims.try_into().map_err(|_| wrong("dims must be three numbers"))?;
        let (rows, rest) = affine.as_chunks::<4>();
        let rows: [[f64; 4]; 4] = rows.try_into().map_err(|_| wrong("affine must be four rows of four numbers"))?;
        if !rest.is_empty() {
            return Err(wrong("affine must be four rows of four numbers"));
        }
        let volume = Volume::new(data, channels, dims, Affine(rows))?;
        let odd = volume.non_finite();
        let warnings = match odd {
            0 => Vec::new(),
            _ => vec![format!("{odd} of {} voxels are NaN or infinite", volume.data.len())],
        };
        Ok(Self { volume, header: None, affine_source: "given", warnings, files: Vec::new(), ordered: true })
    }
}

/// A name for messages in place of none.
fn filled(names: Vec<String>) -> Vec<String> {
    let fill = |(at, name): (usize, String)| if name.is_empty() { format!("file {}", at + 1) } else { name };
    names.into_iter().enumerate().map(fill).collect()
}

fn is_image(name: Option<&String>) -> bool {
    let name = name.map(|n| n.to_ascii_lowercase()).unwrap_or_default();
    name.ends_with(".img") || name.ends_with(".img.gz")
}

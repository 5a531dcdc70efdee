//! Scans from files or plain voxels.

use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::*;

use super::error::WebError;
use crate::report::provenance::FileRecord;
use crate::report::sha256;
use crate::volume::nifti::{self, AffineFrom, Header, ReadOptions};
use crate::volume::{Affine, Volume};

/// A scan with all channels, as read.
#[wasm_bindgen]
pub struct Scan {
    pub(super) volume: Volume,
    /// Of the first file: the output follows it.
    pub(super) header: Option<Header>,
    pub(super) affine_source: &'static str,
    pub(super) warnings: Vec<String>,
    pub(super) files: Vec<FileRecord>,
}

#[wasm_bindgen]
impl Scan {
    /// Reads NIfTI files, one per channel in the model's order. A `.hdr` may be followed by its `.img`.
    #[wasm_bindgen(js_name = fromFiles)]
    pub fn from_files(files: &Array, names: Vec<String>) -> Result<Scan, JsValue> {
        let bytes: Vec<Vec<u8>> = files.iter().map(|f| Uint8Array::new(&f).to_vec()).collect();
        Ok(Self::read(&bytes, &names)?)
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
            let name = names.get(at).cloned().unwrap_or_else(|| format!("file {}", at + 1));
            let image = files.get(at + 1).filter(|_| is_image(names.get(at + 1))).map(Vec::as_slice);
            let scan = nifti::read(bytes, image, &options).map_err(|e| WebError::from(e).about(&name))?;
            let several = files.len() > 1;
            warnings.extend(scan.warnings.into_iter().map(|w| if several { format!("{name}: {w}") } else { w }));
            records.push(FileRecord { file: name, sha256: sha256(bytes) });
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
        Ok(Self { volume: Volume::stack(volumes)?, header: Some(header), affine_source, warnings, files: records })
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
        Ok(Self { volume, header: None, affine_source: "given", warnings, files: Vec::new() })
    }
}

fn is_image(name: Option<&String>) -> bool {
    let name = name.map(|n| n.to_ascii_lowercase()).unwrap_or_default();
    name.ends_with(".img") || name.ends_with(".img.gz")
}

//! Scans from files or plain voxels.

use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::*;

use super::error::WebError;
use crate::volume::nifti::{self, WriteOptions};
use crate::volume::{Affine, InputFile, Study, StudyFiles, StudyOptions, Volume};

/// A scan with all channels, as read.
#[wasm_bindgen]
pub struct Scan {
    pub(super) study: Study,
}

#[wasm_bindgen]
impl Scan {
    /// Reads NIfTI files, one per channel; a `.hdr` may be followed by its `.img`. Or the files of a
    /// DICOM series; `series` chooses series by their UIDs and `acquisition` acquisitions of a series by their numbers from 1,
    /// one per channel. Files without a name are channels in order.
    #[wasm_bindgen(js_name = fromFiles)]
    pub fn from_files(
        files: &Array,
        names: Vec<String>,
        series: Vec<String>,
        acquisition: Vec<u32>,
    ) -> Result<Scan, JsValue> {
        let acquisition: Vec<usize> = acquisition.into_iter().map(|n| n as usize).collect();
        let chosen = !series.is_empty() || !acquisition.is_empty();
        let ordered = chosen || names.iter().all(String::is_empty);
        let files = input_files(files, &filled(names));
        let options = StudyOptions { series, acquisition, ..StudyOptions::default() };
        let study = StudyFiles::dropped(files).and_then(|files| files.read(&options)).map_err(WebError::from)?;
        Ok(Self { study: Study { ordered, ..study } })
    }

    /// The scan as an unpacked NIfTI file in 32 bits, as viewers read it; channels become its fourth dimension.
    #[wasm_bindgen(js_name = toNifti)]
    pub fn to_nifti(&self) -> Result<Vec<u8>, JsValue> {
        let options = WriteOptions { like: self.study.header.as_ref(), ..WriteOptions::default() };
        let mut bytes = Vec::new();
        nifti::write_volume(&mut bytes, &self.study.volume, &options).map_err(WebError::from)?;
        Ok(bytes)
    }

    /// What is doubtful about it.
    pub fn warnings(&self) -> Vec<String> {
        self.study.warning_texts()
    }

    /// Voxels `(C, X, Y, Z)`, Z contiguous, and the affine, row by row (voxel index to mm, RAS+).
    #[wasm_bindgen(js_name = fromVoxels)]
    pub fn from_voxels(data: Vec<f32>, channels: usize, dims: &[usize], affine: &[f64]) -> Result<Scan, JsValue> {
        Ok(Self::voxels(data, channels, dims, affine)?)
    }
}

impl Scan {
    fn voxels(data: Vec<f32>, channels: usize, dims: &[usize], affine: &[f64]) -> Result<Self, WebError> {
        let wrong = |what: &str| WebError::new("bad-input", format!("volume.{what}"));
        let dims = dims.try_into().map_err(|_| wrong("dims must be three numbers"))?;
        let (rows, rest) = affine.as_chunks::<4>();
        let rows: [[f64; 4]; 4] = rows.try_into().map_err(|_| wrong("affine must be four rows of four numbers"))?;
        if !rest.is_empty() {
            return Err(wrong("affine must be four rows of four numbers"));
        }
        let volume = Volume::new(data, channels, dims, Affine(rows))?;
        Ok(Self { study: Study::of_voxels(volume) })
    }
}

/// JavaScript's bytes with their names.
pub(super) fn input_files(files: &Array, names: &[String]) -> Vec<InputFile> {
    let name = |at: usize| names.get(at).cloned().unwrap_or_else(|| format!("file {}", at + 1));
    files.iter().enumerate().map(|(at, file)| InputFile::in_memory(name(at), Uint8Array::new(&file).to_vec())).collect()
}

/// A name for messages in place of none.
fn filled(names: Vec<String>) -> Vec<String> {
    let fill = |(at, name): (usize, String)| if name.is_empty() { format!("file {}", at + 1) } else { name };
    names.into_iter().enumerate().map(fill).collect()
}

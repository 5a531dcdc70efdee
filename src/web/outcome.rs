//! A segmented scan: labels, numbers, files, and where they come from.

use wasm_bindgen::prelude::*;

use super::error::WebError;
use super::object;
use super::plan::Plan;
use super::segmenter::WebSegmenter;
use crate::infer::Segmentation;
use crate::report::fit::label_doubts;
use crate::report::provenance::Origin;
use crate::report::{Provenance, Statistics, statistics};
use crate::volume::nifti::{self, Header, LabelName, WriteOptions};

/// A segmented scan.
#[wasm_bindgen]
pub struct Outcome {
    segmentation: Segmentation,
    header: Option<Header>,
    names: Vec<LabelName>,
    statistics: Statistics,
    doubts: Vec<String>,
    provenance: Provenance,
}

#[wasm_bindgen]
impl Outcome {
    /// One byte per voxel on the scan's grid, `(X, Y, Z)`, Z contiguous.
    pub fn labels(&self) -> Vec<u8> {
        self.segmentation.labels.data.iter().map(|&l| l as u8).collect()
    }

    /// Voxels along X, Y, Z.
    pub fn dims(&self) -> Vec<usize> {
        self.segmentation.labels.dims.to_vec()
    }

    /// Four rows of four: voxel index to mm, RAS+.
    pub fn affine(&self) -> Vec<f64> {
        self.segmentation.labels.affine.0.as_flattened().to_vec()
    }

    /// One object per label, in ascending order of the value.
    pub fn statistics(&self) -> Result<JsValue, JsValue> {
        object(&self.statistics.labels)
    }

    /// The statistics as a CSV file.
    #[wasm_bindgen(js_name = statisticsCsv)]
    pub fn statistics_csv(&self) -> String {
        self.statistics.to_csv()
    }

    /// The statistics as a JSON file, keyed by label.
    #[wasm_bindgen(js_name = statisticsJson)]
    pub fn statistics_json(&self) -> String {
        self.statistics.to_json()
    }

    /// Labels whose volumes are unlike those of the model's training scans.
    pub fn doubts(&self) -> Vec<String> {
        self.doubts.clone()
    }

    /// Where the labels come from.
    pub fn provenance(&self) -> Result<JsValue, JsValue> {
        object(&self.provenance)
    }

    /// How undecided the model is about each voxel, from 0 to 1, in the order of the labels, if that was asked for.
    pub fn uncertainty(&self) -> Option<Vec<f32>> {
        self.segmentation.uncertainty.as_ref().map(|map| map.channel(0).to_vec())
    }

    /// The same as `.nii.gz`, with the scan's header and the provenance.
    #[wasm_bindgen(js_name = uncertaintyNifti)]
    pub fn uncertainty_nifti(&self) -> Result<Option<Vec<u8>>, JsValue> {
        let Some(map) = &self.segmentation.uncertainty else { return Ok(None) };
        let comment = self.provenance.for_embedding().to_json();
        let options =
            WriteOptions { gzip: true, like: self.header.as_ref(), label_names: &[], comment: Some(&comment) };
        let mut bytes = Vec::new();
        nifti::write_volume(&mut bytes, map, &options).map_err(WebError::from)?;
        Ok(Some(bytes))
    }

    /// The labels as `.nii.gz`, with the scan's header, the label table and the provenance.
    #[wasm_bindgen(js_name = toNifti)]
    pub fn to_nifti(&self) -> Result<Vec<u8>, JsValue> {
        let comment = self.provenance.for_embedding().to_json();
        let options =
            WriteOptions { gzip: true, like: self.header.as_ref(), label_names: &self.names, comment: Some(&comment) };
        let mut bytes = Vec::new();
        nifti::write_labels(&mut bytes, &self.segmentation.labels, &options).map_err(WebError::from)?;
        Ok(bytes)
    }
}

impl Outcome {
    pub(super) fn new(segmenter: &WebSegmenter, plan: &Plan, segmentation: Segmentation) -> Result<Self, WebError> {
        let channels = &segmenter.inner.metadata().input.channels;
        let mut numbers = statistics(&segmentation.labels, &plan.scan.study.volume, &segmenter.names, channels)?;
        if let Some(map) = &segmentation.uncertainty {
            numbers.add_uncertainty(&segmentation.labels, map)?;
        }
        let doubts = label_doubts(segmenter.inner.metadata(), &numbers);
        let mut provenance = Provenance::of(&Origin {
            segmenter: &segmenter.inner,
            model_sha256: &segmenter.sha256,
            study: &plan.scan.study,
            prepared: &plan.prepared,
            names: &segmenter.names,
            doubts: plan.doubts.as_deref(),
        });
        if let Some(doubts) = &doubts {
            provenance.doubts.get_or_insert_default().extend(doubts.iter().cloned());
        }
        Ok(Self {
            segmentation,
            header: plan.scan.study.header.clone(),
            names: segmenter.names.clone(),
            statistics: numbers,
            doubts: doubts.unwrap_or_default(),
            provenance,
        })
    }
}

//! A model on the browser's device.

use js_sys::Array;
use serde::{Deserialize, Serialize};
use serde_json::json;
use wasm_bindgen::prelude::*;

use super::compare;
use super::device::Device;
use super::error::WebError;
use super::model::ModelFile;
use super::object;
use super::plan::Plan;
use super::scan::Scan;
use crate::infer::{Resample, SegmentOptions, Segmenter};
use crate::report::label_names;
use crate::volume::nifti::LabelName;

/// Labels are given to JavaScript as bytes.
const MAX_CLASSES: usize = 256;

/// Bytes of weights from which on they are kept in 16 bits where nobody says how.
const HALF_FROM: u64 = 100_000_000;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Options {
    /// Keep the weights in 16 bits on the GPU; undefined: where they would take more than 100 MB in 32.
    half_weights: Option<bool>,
    /// `labels` instead of `probabilities`.
    resample_labels: bool,
}

/// A model with its weights on the device.
#[wasm_bindgen(js_name = Segmenter)]
pub struct WebSegmenter {
    pub(super) inner: Segmenter,
    pub(super) names: Vec<LabelName>,
    pub(super) sha256: String,
}

#[derive(Serialize)]
struct TableRow<'a> {
    value: u16,
    name: &'a str,
    color: String,
}

#[wasm_bindgen(js_class = Segmenter)]
impl WebSegmenter {
    /// Reads the package and uploads its weights; the file is freed afterwards.
    pub async fn create(device: &Device, model: ModelFile, options: JsValue) -> Result<WebSegmenter, JsValue> {
        let gpu = device.gpu.clone();
        let wanted: Options =
            serde_wasm_bindgen::from_value(options).map_err(|e| WebError::new("bad-input", e.to_string()))?;
        Ok(Self::load(&gpu, model, &wanted).await?)
    }

    /// The package's JSON, its hash and its number of parameters; `facts`: pairs of a setting and its value in words.
    pub fn model(&self) -> Result<JsValue, JsValue> {
        let metadata = self.inner.metadata();
        let package = metadata.to_object();
        let parameters = metadata.network.parameter_count();
        object(&json!({
            "package": package, "sha256": self.sha256, "parameters": parameters, "facts": metadata.facts(),
        }))
    }

    /// Value, name and colour of every label this model can give.
    #[wasm_bindgen(js_name = labelTable)]
    pub fn label_table(&self) -> Result<JsValue, JsValue> {
        object(&table(&self.names))
    }

    /// Pipelines that scans need and the device has not made yet: `[{label, code, entry, bindings}]`.
    pub fn pipelines(&self) -> Result<JsValue, JsValue> {
        object(&self.inner.missing_pipelines(None).map_err(WebError::from)?)
    }

    /// Whether the next runs tell how undecided the model is about each voxel.
    #[wasm_bindgen(js_name = keepUncertainty)]
    pub fn keep_uncertainty(&mut self, keep: bool) {
        self.inner.keep_uncertainty(keep);
    }

    /// Preprocesses the scan and plans its windows and memory. `overlap` undefined takes the package's.
    pub fn prepare(&mut self, scan: Scan, overlap: Option<f64>) -> Result<Plan, JsValue> {
        Ok(Plan::new(self, scan, overlap)?)
    }

    /// Labels of this model, `(X, Y, Z)` with Z contiguous, against the truth in a label file on the same grid.
    pub fn compare(
        &self,
        labels: &[u8],
        dims: &[usize],
        affine: &[f64],
        truth: &Array,
        names: Vec<String>,
    ) -> Result<JsValue, JsValue> {
        let labels = compare::label_map(labels, dims, affine)?;
        object(&compare::compare(&labels, truth, &names, &self.names)?)
    }
}

impl WebSegmenter {
    async fn load(gpu: &crate::gpu::Gpu, model: ModelFile, wanted: &Options) -> Result<Self, WebError> {
        let (package, sha256) = model.into_package()?;
        let metadata = package.metadata();
        if metadata.network.out_channels() > MAX_CLASSES {
            let classes = metadata.network.out_channels();
            return Err(WebError::new(
                "bad-model",
                format!("{classes} classes: labels are bytes here, at most {MAX_CLASSES}"),
            ));
        }
        let names = label_names(&metadata.output, metadata.network.out_channels());
        if let Some(name) = names.iter().find(|name| name.value > u16::from(u8::MAX)) {
            let problem = format!("label {} has the value {}: labels are bytes here, up to 255", name.name, name.value);
            return Err(WebError::new("bad-model", problem));
        }
        let options = SegmentOptions {
            half_weights: wanted.half_weights.unwrap_or(4 * metadata.network.parameter_count() as u64 > HALF_FROM),
            resample: wanted.resample_labels.then_some(Resample::Labels),
            ..SegmentOptions::default()
        };
        let inner = Segmenter::new(gpu, &package, options).await?;
        Ok(Self { inner, names, sha256 })
    }
}

fn table(names: &[LabelName]) -> Vec<TableRow<'_>> {
    let color = |[r, g, b]: [u8; 3]| format!("#{r:02x}{g:02x}{b:02x}");
    names.iter().map(|n| TableRow { value: n.value, name: &n.name, color: color(n.color) }).collect()
}

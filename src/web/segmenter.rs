//! A model on the browser's device: plan, run, result.

use std::ops::ControlFlow;

use js_sys::Function;
use serde::{Deserialize, Serialize};
use serde_json::json;
use wasm_bindgen::prelude::*;

use super::device::Device;
use super::error::WebError;
use super::model::ModelFile;
use super::object;
use super::scan::Scan;
use crate::gpu::{AdapterClass, AdapterReport};
use crate::infer::{Prepared, Resample, SegmentOptions, Segmentation, Segmenter};
use crate::model::parameter_count;
use crate::report::provenance::{DeviceRecord, GeometryRecord, InferenceRecord, LabelRecord, ModelRecord, ToolRecord};
use crate::report::{NOTICE, Provenance, Statistics, label_names, statistics};
use crate::volume::nifti::{self, Header, LabelName, WriteOptions};
use crate::weights::Metadata;
use crate::weights::package::Blend;

/// Labels are given to JavaScript as bytes.
const MAX_CLASSES: usize = 256;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Options {
    /// Keep the weights in 16 bits on the GPU.
    half_weights: bool,
    /// `labels` instead of `probabilities`.
    resample_labels: bool,
}

/// A model with its weights on the device.
#[wasm_bindgen(js_name = Segmenter)]
pub struct WebSegmenter {
    inner: Segmenter,
    options: SegmentOptions,
    names: Vec<LabelName>,
    sha256: String,
    /// Overlap of the next run.
    overlap: f64,
}

/// A scan made ready to run.
#[wasm_bindgen]
pub struct Plan {
    scan: Scan,
    prepared: Prepared,
}

/// A segmented scan.
#[wasm_bindgen]
pub struct Outcome {
    segmentation: Segmentation,
    header: Option<Header>,
    names: Vec<LabelName>,
    statistics: Statistics,
    provenance: Provenance,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PlanReport<'a> {
    windows: usize,
    roi: [usize; 3],
    scan_dims: [usize; 3],
    scan_spacing: [f64; 3],
    model_dims: [usize; 3],
    model_spacing: [f64; 3],
    memory: MemoryReport,
    warnings: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MemoryReport {
    total: f64,
    weights: f64,
    network: f64,
    stitching: f64,
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

    /// The package's JSON, its hash and its number of parameters.
    pub fn model(&self) -> Result<JsValue, JsValue> {
        let metadata = self.inner.metadata();
        let package = metadata.to_object();
        object(&json!({ "package": package, "sha256": self.sha256, "parameters": parameter_count(&metadata.network) }))
    }

    /// Value, name and colour of every label this model can give.
    #[wasm_bindgen(js_name = labelTable)]
    pub fn label_table(&self) -> Result<JsValue, JsValue> {
        object(&table(&self.names))
    }

    /// Preprocesses the scan and plans its windows and memory. `overlap` undefined takes the package's.
    pub fn prepare(&mut self, scan: Scan, overlap: Option<f64>) -> Result<Plan, JsValue> {
        Ok(self.plan(scan, overlap)?)
    }

    /// Runs all windows. `progress(done, total)` is called after each and may return true to stop.
    pub async fn run(&mut self, plan: Plan, progress: &Function) -> Result<Outcome, JsValue> {
        let mut thrown = None;
        let mut report =
            |p: crate::infer::Progress| match progress.call2(&JsValue::NULL, &p.done.into(), &p.total.into()) {
                Ok(stop) if stop.is_truthy() => ControlFlow::Break(()),
                Ok(_) => ControlFlow::Continue(()),
                Err(error) => {
                    thrown = Some(error);
                    ControlFlow::Break(())
                }
            };
        let result = self.inner.run(&plan.prepared, &mut report).await;
        if let Some(error) = thrown {
            return Err(error);
        }
        let segmentation = result.map_err(WebError::from)?;
        Ok(self.outcome(plan, segmentation)?)
    }
}

impl WebSegmenter {
    async fn load(gpu: &crate::gpu::Gpu, model: ModelFile, wanted: &Options) -> Result<Self, WebError> {
        let (package, sha256) = model.into_package()?;
        let metadata = package.metadata();
        if metadata.network.out_channels > MAX_CLASSES {
            let classes = metadata.network.out_channels;
            return Err(WebError::new(
                "bad-model",
                format!("{classes} classes: labels are bytes here, at most {MAX_CLASSES}"),
            ));
        }
        let names = label_names(&metadata.output, metadata.network.out_channels);
        let overlap = metadata.inference.overlap;
        let options = SegmentOptions {
            half_weights: wanted.half_weights,
            resample: if wanted.resample_labels { Resample::Labels } else { Resample::Probabilities },
            ..SegmentOptions::default()
        };
        let inner = Segmenter::new(gpu, &package, options.clone()).await?;
        Ok(Self { inner, options, names, sha256, overlap })
    }

    fn plan(&mut self, scan: Scan, overlap: Option<f64>) -> Result<Plan, WebError> {
        self.inner.set_overlap(overlap)?;
        self.overlap = overlap.unwrap_or(self.inner.metadata().inference.overlap);
        let prepared = self.inner.prepare(&scan.volume)?;
        Ok(Plan { scan, prepared })
    }

    fn outcome(&self, plan: Plan, segmentation: Segmentation) -> Result<Outcome, WebError> {
        let channels = &self.inner.metadata().input.channels;
        let numbers = statistics(&segmentation.labels, &plan.scan.volume, &self.names, channels)?;
        let provenance = self.provenance(&plan);
        Ok(Outcome {
            segmentation,
            header: plan.scan.header,
            names: self.names.clone(),
            statistics: numbers,
            provenance,
        })
    }

    fn provenance(&self, plan: &Plan) -> Provenance {
        let (metadata, volume) = (self.inner.metadata(), &plan.scan.volume);
        let mut warnings = plan.scan.warnings.clone();
        warnings.extend(plan.prepared.warnings.iter().cloned());
        Provenance {
            notice: NOTICE.to_owned(),
            tool: ToolRecord::this(),
            model: model_record(metadata, &self.sha256),
            inputs: plan.scan.files.clone(),
            geometry: GeometryRecord {
                dims: volume.dims,
                channels: volume.channels,
                spacing_mm: volume.affine.spacing(),
                axis_codes: volume.affine.axis_codes(),
                affine: volume.affine.0,
                affine_source: plan.scan.affine_source.to_owned(),
                model_dims: plan.prepared.volume.dims,
                warnings,
            },
            preprocessing: json!(metadata.input),
            inference: InferenceRecord {
                roi_size: metadata.network.img_size,
                windows: plan.prepared.windows(),
                overlap: self.overlap,
                blend: match metadata.inference.blend {
                    Blend::Gaussian => "gaussian",
                    Blend::Constant => "constant",
                }
                .to_owned(),
                sigma_scale: metadata.inference.sigma_scale,
                resample: format!("{:?}", self.options.resample).to_lowercase(),
                precision: if self.options.half_weights { "f16" } else { "f32" }.to_owned(),
            },
            labels: self.names.iter().map(|n| LabelRecord { value: n.value, name: n.name.clone() }).collect(),
            device: device_record(self.inner.gpu().adapter()),
            time: None,
            output: None,
        }
    }
}

#[wasm_bindgen]
impl Plan {
    /// Windows, grids, memory and warnings, before anything is computed.
    pub fn report(&self) -> Result<JsValue, JsValue> {
        let (volume, model) = (&self.scan.volume, &self.prepared.volume);
        let memory = self.prepared.memory();
        let warnings: Vec<String> = self.scan.warnings.iter().chain(&self.prepared.warnings).cloned().collect();
        let grid = self.prepared.grid();
        object(&PlanReport {
            windows: self.prepared.windows(),
            roi: grid.roi,
            scan_dims: volume.dims,
            scan_spacing: volume.affine.spacing(),
            model_dims: model.dims,
            model_spacing: model.affine.spacing(),
            memory: MemoryReport {
                total: memory.total() as f64,
                weights: memory.network.weights as f64,
                network: (memory.network.total() - memory.network.weights) as f64,
                stitching: memory.stitching as f64,
            },
            warnings: &warnings,
        })
    }
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

    /// Where the labels come from.
    pub fn provenance(&self) -> Result<JsValue, JsValue> {
        object(&self.provenance)
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

fn table(names: &[LabelName]) -> Vec<TableRow<'_>> {
    let color = |[r, g, b]: [u8; 3]| format!("#{r:02x}{g:02x}{b:02x}");
    names.iter().map(|n| TableRow { value: n.value, name: &n.name, color: color(n.color) }).collect()
}

fn model_record(metadata: &Metadata, sha256: &str) -> ModelRecord {
    ModelRecord {
        name: metadata.name.clone(),
        version: metadata.version.clone(),
        licence: metadata.licence.clone(),
        sha256: sha256.to_owned(),
    }
}

fn device_record(adapter: &AdapterReport) -> DeviceRecord {
    DeviceRecord {
        adapter: adapter.name.clone(),
        backend: adapter.backend.clone(),
        driver: adapter.driver.clone(),
        software: adapter.class == AdapterClass::Software,
    }
}

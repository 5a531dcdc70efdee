//! A scan made ready to run, and its run.

use js_sys::Function;
use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::error::WebError;
use super::object;
use super::outcome::Outcome;
use super::scan::Scan;
use super::segmenter::WebSegmenter;
use super::watch::{Ticks, Watch};
use crate::infer::{PreparedScan, RunState, Segmentation};
use crate::report::fit::scan_doubts;
use crate::volume::LabelMap;

/// A scan made ready to run. It outlives the device: what its run has reached is taken up by a segmenter on another.
#[wasm_bindgen]
pub struct Plan {
    pub(super) scan: Scan,
    pub(super) prepared: PreparedScan,
    /// What is unlike the model's training scans, if the model says what these were like.
    pub(super) doubts: Option<Vec<String>>,
    state: RunState,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PlanReport<'a> {
    windows: usize,
    roi: [usize; 3],
    scan_dims: [usize; 3],
    scan_spacing: [f64; 3],
    scan_affine: [[f64; 4]; 4],
    model_dims: [usize; 3],
    model_spacing: [f64; 3],
    memory: MemoryReport,
    warnings: &'a [String],
    /// Those of the warnings that say how the scan differs from the model's training scans.
    doubts: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MemoryReport {
    total: f64,
    weights: f64,
    network: f64,
    stitching: f64,
}

#[wasm_bindgen]
impl Plan {
    /// Windows, grids, memory and warnings, before anything is computed.
    pub fn report(&self) -> Result<JsValue, JsValue> {
        let (volume, model) = (&self.scan.study.volume, &self.prepared.volume);
        let memory = self.prepared.memory();
        let mut warnings = self.scan.study.warning_texts();
        let doubts = self.doubts.as_deref().unwrap_or_default();
        warnings.extend(self.prepared.warnings.iter().chain(doubts).cloned());
        let grid = self.prepared.grid();
        object(&PlanReport {
            windows: self.prepared.windows(),
            roi: grid.roi,
            scan_dims: volume.dims,
            scan_spacing: volume.affine.spacing(),
            scan_affine: volume.affine.0,
            model_dims: model.dims,
            model_spacing: model.affine.spacing(),
            memory: MemoryReport {
                total: memory.total() as f64,
                weights: memory.network.weights as f64,
                network: (memory.network.total() - memory.network.weights) as f64,
                stitching: memory.stitching as f64,
            },
            warnings: &warnings,
            doubts,
        })
    }

    /// Pipelines that this run needs and the segmenter's device has not made yet: `[{label, code, entry, bindings}]`.
    pub fn pipelines(&self, segmenter: &WebSegmenter) -> Result<JsValue, JsValue> {
        object(&segmenter.inner.missing_pipelines(Some(&self.prepared)).map_err(WebError::from)?)
    }

    /// Runs the windows that are not finished yet. `progress(done, total)` is called after each and may return true to
    /// stop; `labels(begin, extent, bytes)` hears of parts of the result that are final. If the device is lost, call it
    /// again with a segmenter on a new one.
    pub async fn run(
        &mut self,
        segmenter: &WebSegmenter,
        progress: &Function,
        labels: &Function,
    ) -> Result<Outcome, JsValue> {
        let mut watch = Watch::new(progress, labels, self.prepared.memory().stitching);
        let result = segmenter.inner.run_observed(&self.prepared, &mut self.state, &mut watch).await;
        watch.check()?;
        Ok(Outcome::new(segmenter, self, result.map_err(WebError::from)?)?)
    }

    /// Files and numbers of labels, `(X, Y, Z)` with Z contiguous, in place of a run's; the record says if they were
    /// `corrected` by hand.
    pub fn amended(&mut self, segmenter: &WebSegmenter, labels: &[u8], corrected: bool) -> Result<Outcome, JsValue> {
        let volume = &self.scan.study.volume;
        let data = labels.iter().map(|&label| u16::from(label)).collect();
        let labels = LabelMap::new(data, volume.dims, volume.affine).map_err(WebError::from)?;
        if corrected {
            self.prepared.warnings.push("the labels were corrected by hand after the run".to_owned());
        }
        let segmentation = Segmentation { labels, probabilities: None, logits: None, uncertainty: None, spread: None };
        Ok(Outcome::new(segmenter, self, segmentation)?)
    }

    /// Windows that a run of this plan need not compute again.
    pub fn reached(&self) -> usize {
        self.state.windows()
    }

    /// Runs one window `times` over and forgets it; `tick()` is called after each and may return true to stop.
    pub async fn rehearse(&self, segmenter: &WebSegmenter, times: usize, tick: &Function) -> Result<(), JsValue> {
        let mut ticks = Ticks::new(tick);
        let ran = segmenter.inner.rehearse(&self.prepared, times, &mut || ticks.call()).await;
        ticks.check()?;
        Ok(ran.map_err(WebError::from)?)
    }
}

impl Plan {
    pub(super) fn new(segmenter: &mut WebSegmenter, mut scan: Scan, overlap: Option<f64>) -> Result<Self, WebError> {
        segmenter.inner.set_overlap(overlap)?;
        scan.study.arrange(&segmenter.inner.metadata().input.channels)?;
        let prepared = segmenter.inner.prepare(&scan.study.volume)?;
        let doubts = scan_doubts(segmenter.inner.metadata(), &scan.study.modalities, &scan.study.volume);
        Ok(Self { scan, prepared, doubts, state: RunState::default() })
    }
}

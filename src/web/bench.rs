//! The benchmark of the command line in the tab, so that the two can be compared.

use js_sys::Function;
use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::error::WebError;
use super::object;
use super::segmenter::WebSegmenter;
use super::watch::Ticks;
use crate::infer::{NodeTime, bench};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    window_ms: f64,
    repeats_ms: Vec<f64>,
    peak_bytes: f64,
    copy_gbs: f64,
    fma_gflops: f64,
    nodes: Vec<Node>,
}

#[derive(Serialize)]
struct Node {
    name: String,
    op: &'static str,
    /// `None` where the device has no timestamps.
    ms: Option<f64>,
    gflop: f64,
    gb: f64,
}

#[wasm_bindgen(js_class = Segmenter)]
impl WebSegmenter {
    /// Times `repeats` windows of this model's network with noise as weights and input; `tick()` is called after each and
    /// may return true to stop.
    pub async fn bench(&self, repeats: usize, tick: &Function) -> Result<JsValue, JsValue> {
        let (network, roi) = (&self.inner.metadata().network, self.inner.roi_size());
        let mut ticks = Ticks::new(tick);
        let report =
            bench(self.inner.gpu(), network, roi, self.inner.options().half_weights, repeats, &now, &mut || {
                ticks.call()
            })
            .await;
        ticks.check()?;
        let report = report.map_err(WebError::from)?;
        let node = |n: NodeTime| Node { name: n.name, op: n.op, ms: n.milliseconds, gflop: n.gflop, gb: n.gigabytes };
        object(&Report {
            window_ms: report.window_ms,
            repeats_ms: report.repeats_ms,
            peak_bytes: report.memory.total() as f64,
            copy_gbs: report.copy_gbs,
            fma_gflops: report.fma_gflops,
            nodes: report.nodes.into_iter().map(node).collect(),
        })
    }
}

/// Milliseconds of the worker's steady clock.
pub(super) fn now() -> f64 {
    #[wasm_bindgen]
    extern "C" {
        #[wasm_bindgen(js_namespace = performance, js_name = now)]
        fn performance_now() -> f64;
    }
    performance_now()
}

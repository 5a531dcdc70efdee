//! The adapter that the browser gives, and whether its arithmetic can be trusted.

use std::pin::Pin;
use std::sync::Arc;

use js_sys::{Function, Promise};
use serde::Serialize;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::error::WebError;
use super::object;
use crate::gpu::{AdapterClass, BrowserAdapter, Gpu, GpuOptions, PipelineCompiler, PipelineSource};
use crate::graph::Case;
use crate::kernels::{all_cases, selftest};

/// An open device.
#[wasm_bindgen]
pub struct Device {
    pub(super) gpu: Gpu,
}

/// The page's way to make pipelines without holding up what draws.
struct Compiler(Function);

impl PipelineCompiler for Compiler {
    fn compile(&self, pipelines: Vec<PipelineSource>) -> Pin<Box<dyn Future<Output = Result<(), String>> + '_>> {
        Box::pin(async move {
            let text =
                |e: JsValue| e.dyn_ref::<js_sys::Error>().map_or_else(|| format!("{e:?}"), |e| e.message().into());
            let promise: Promise =
                self.0.call1(&JsValue::NULL, &object(&pipelines).map_err(text)?).map_err(text)?.into();
            JsFuture::from(promise).await.map(|_| ()).map_err(text)
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    name: &'a str,
    backend: &'a str,
    software: bool,
    shader_f16: bool,
    timestamps: bool,
    limits: Limits,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Limits {
    max_buffer_size: f64,
    max_storage_buffer_binding_size: f64,
    max_storage_buffers_per_shader_stage: u32,
    max_compute_workgroup_storage_size: u32,
    max_compute_invocations_per_workgroup: u32,
    max_compute_workgroups_per_dimension: u32,
}

#[wasm_bindgen]
impl Device {
    /// Opens the device. `name`, `software`, `vendor` and `architecture` are what the page was told of the adapter;
    /// `compile(pipelines)` makes these ahead and gives a promise.
    pub async fn open(
        name: String,
        software: bool,
        vendor: String,
        architecture: String,
        compile: Function,
    ) -> Result<Device, JsValue> {
        let gpu = Gpu::open(&GpuOptions::default()).await.map_err(WebError::from)?;
        let told = BrowserAdapter { name, software, vendor, architecture };
        Ok(Self { gpu: gpu.described(&told).compiled_by(Arc::new(Compiler(compile))) })
    }

    /// Name, kind, features, and the limits that were asked for.
    pub fn report(&self) -> Result<JsValue, JsValue> {
        let (adapter, limits) = (self.gpu.adapter(), self.gpu.limits());
        object(&Report {
            name: &adapter.name,
            backend: &adapter.backend,
            software: self.gpu.class() == AdapterClass::Software,
            shader_f16: adapter.shader_f16,
            timestamps: adapter.timestamps,
            limits: Limits {
                max_buffer_size: limits.max_buffer_size as f64,
                max_storage_buffer_binding_size: limits.max_storage_buffer_binding_size as f64,
                max_storage_buffers_per_shader_stage: limits.max_storage_buffers_per_shader_stage,
                max_compute_workgroup_storage_size: limits.max_compute_workgroup_storage_size,
                max_compute_invocations_per_workgroup: limits.max_compute_invocations_per_workgroup,
                max_compute_workgroups_per_dimension: limits.max_compute_workgroups_per_dimension,
            },
        })
    }

    /// Every kernel against its twin, in all cases on a GPU. `progress(done, total)` is called after each kernel and may return true
    /// to stop; the rows so far are given then.
    #[wasm_bindgen(js_name = selfTest)]
    pub async fn self_test(&self, progress: &Function) -> Result<JsValue, JsValue> {
        let all = all_cases();
        let total = all.len();
        let mut rows = Vec::with_capacity(total);
        for (name, cases) in all {
            rows.push(selftest::summarise(&self.gpu, name, &self.chosen(cases)).await);
            let (done, total) = (JsValue::from(rows.len()), JsValue::from(total));
            if progress.call2(&JsValue::NULL, &done, &total)?.is_truthy() {
                break;
            }
        }
        object(&rows)
    }
}

/// Cases of a kernel that a software GPU runs, whose compiler would take minutes for all of them; `unetr verify` runs all.
const ON_SOFTWARE: usize = 8;

impl Device {
    /// All cases on a GPU, some of them, evenly spread, on a software GPU.
    fn chosen(&self, cases: Vec<Case>) -> Vec<Arc<Case>> {
        let step =
            if self.gpu.class() == AdapterClass::Software { cases.len().div_ceil(ON_SOFTWARE).max(1) } else { 1 };
        cases.into_iter().step_by(step).map(Arc::new).collect()
    }
}

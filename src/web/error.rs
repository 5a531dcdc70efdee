//! Errors as JavaScript sees them: an `Error` with a `code` that programs can rely on and a message for people.
//!
//! | code | means |
//! | --- | --- |
//! | `no-webgpu` | no adapter, or one that gives no device |
//! | `out-of-memory` | the device or the tab has not the memory, or a buffer exceeds the adapter's limit |
//! | `device-lost` | the device was lost or dropped work; a new one may succeed |
//! | `bad-input` | the scan or an option |
//! | `bad-model` | the model package |
//! | `aborted` | the caller stopped the run |
//! | `internal` | a fault of this program or of the driver |
//!
//! A checkpoint that does not tell all has `fields` too: `[{field, hint}]`, what the caller must give.
//!
//! The package adds `checksum` and `network` for what happens before the model gets here.

use wasm_bindgen::JsValue;

use crate::gpu::GpuError;
use crate::graph::PlanError;
use crate::infer::InferError;
use crate::metrics::MetricsError;
use crate::report::ReportError;
use crate::volume::VolumeError;
use crate::weights::{Undetermined, WeightsError};

/// An error on its way to JavaScript.
#[derive(Debug)]
pub struct WebError {
    code: &'static str,
    message: String,
    fields: Vec<Undetermined>,
}

impl WebError {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), fields: Vec::new() }
    }

    /// The same error with the file it is about in front.
    pub fn about(self, file: &str) -> Self {
        Self { message: format!("{file}: {}", self.message), ..self }
    }
}

impl From<WebError> for JsValue {
    fn from(error: WebError) -> Self {
        let made = js_sys::Error::new(&error.message);
        // Setting a property of an object just made cannot fail.
        let set = |on: &JsValue, key: &str, value: &JsValue| {
            let _ = js_sys::Reflect::set(on, &key.into(), value);
        };
        set(&made, "code", &error.code.into());
        if !error.fields.is_empty() {
            let fields = js_sys::Array::new();
            for Undetermined { field, hint } in &error.fields {
                let row = js_sys::Object::new();
                set(&row, "field", &field.into());
                set(&row, "hint", &hint.into());
                fields.push(&row);
            }
            set(&made, "fields", &fields);
        }
        made.into()
    }
}

/// A fault of this program.
pub fn internal(message: &str) -> JsValue {
    WebError::new("internal", message).into()
}

impl From<GpuError> for WebError {
    fn from(error: GpuError) -> Self {
        let text = error.to_string();
        match error {
            GpuError::NoAdapter | GpuError::AdapterNotFound { .. } => Self::new(
                "no-webgpu",
                "this browser has WebGPU but gives no GPU adapter: graphics acceleration may be switched off in its settings",
            ),
            GpuError::NoDevice { reason, .. } => {
                Self::new("no-webgpu", format!("the GPU adapter gives no device: {reason}"))
            }
            GpuError::OutOfMemory { what } => Self::new(
                "out-of-memory",
                format!(
                    "the GPU is out of memory while allocating {what}. Close other tabs and programs that use the GPU, or choose a model with a smaller window"
                ),
            ),
            GpuError::DeviceLost { reason } => {
                Self::new("device-lost", format!("the GPU device was lost: {reason}. Run again"))
            }
            GpuError::WorkDropped { .. } | GpuError::Readback { .. } => Self::new("device-lost", text),
            _ => Self::new("internal", text),
        }
    }
}

impl From<PlanError> for WebError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Gpu(e) => e.into(),
            PlanError::TooLarge { tensor, shape, bytes, limit } => Self::new(
                "out-of-memory",
                format!(
                    "{tensor} {shape} needs {bytes} bytes in one buffer; this adapter binds at most {limit}. Choose a model with a smaller window"
                ),
            ),
            other => Self::new("internal", other.to_string()),
        }
    }
}

impl From<InferError> for WebError {
    fn from(error: InferError) -> Self {
        let text = error.to_string();
        match error {
            InferError::Gpu(e) => e.into(),
            InferError::Plan(e) => e.into(),
            InferError::Weights(e) => e.into(),
            InferError::Volume(e) => e.into(),
            InferError::Config(_) | InferError::MissingTensor { .. } | InferError::Reference(_) => {
                Self::new("bad-model", text)
            }
            InferError::Cancelled { .. } => Self::new("aborted", text),
            InferError::Channels { got, want, names } => Self::new(
                "bad-input",
                format!(
                    "the scan has {got} channel(s), the model needs {want}: {names}. Give one file per channel in this order, or one 4-D file"
                ),
            ),
            InferError::VolumeTooLarge { .. } | InferError::WindowTooLarge { .. } => Self::new("out-of-memory", text),
            InferError::Option { .. } | InferError::NotFinite { .. } => Self::new("bad-input", text),
            _ => Self::new("internal", text),
        }
    }
}

impl From<WeightsError> for WebError {
    fn from(error: WeightsError) -> Self {
        let text = error.to_string();
        let fields = match error {
            WeightsError::Undetermined { fields } => fields,
            _ => Vec::new(),
        };
        Self { fields, ..Self::new("bad-model", text) }
    }
}

impl From<VolumeError> for WebError {
    fn from(error: VolumeError) -> Self {
        let cause = match &error {
            VolumeError::File { source, .. } => source.as_ref(),
            error => error,
        };
        let code = match cause {
            VolumeError::TooLarge { .. } => "out-of-memory",
            _ => "bad-input",
        };
        Self::new(code, error.to_string())
    }
}

impl From<MetricsError> for WebError {
    fn from(error: MetricsError) -> Self {
        Self::new("bad-input", error.to_string())
    }
}

impl From<ReportError> for WebError {
    fn from(error: ReportError) -> Self {
        Self::new("internal", error.to_string())
    }
}

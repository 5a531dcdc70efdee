//! The device: adapters, shaders, pipelines, buffers, readback. The only modules that speak to wgpu are here and the plan.

mod adapter;
mod buffer;
mod canary;
mod choices;
mod context;
mod error;
mod pipeline;
mod profile;
mod shader;
mod transfer;

pub(crate) use buffer::Buffer;

pub use adapter::{AdapterClass, AdapterReport, BrowserAdapter, Vendor, list_adapters};
pub use choices::Choices;
pub use context::{Gpu, GpuOptions};
pub use error::GpuError;
#[cfg(target_arch = "wasm32")]
pub use pipeline::PipelineCompiler;
pub use pipeline::{Access, PipelineKey, PipelineSource};
pub use profile::{KernelTime, Profiler};
pub use shader::{SHADERS, ShaderError, expand};

/// WebGPU limits, as wgpu counts them.
pub use wgpu::Limits;

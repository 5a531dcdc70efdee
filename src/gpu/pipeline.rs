//! Compute pipelines, made once per (shader, constants, access of its bindings).
//!
//! wgpu makes a pipeline in one call that waits for the driver's compiler. In a browser that compiler runs where every tab's
//! drawing is done, and a page stands still meanwhile; there a [`PipelineCompiler`] makes the same pipelines ahead, one after
//! the other and without holding anything up, and wgpu's call then finds them by their label. Elsewhere as many are made at
//! once as there are processors.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
#[cfg(not(target_arch = "wasm32"))]
use std::sync::atomic::{AtomicUsize, Ordering};

use super::canary::canary_key;
use super::shader::expand;
use super::{Gpu, GpuError};

/// How a dispatch uses a storage buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Read only.
    Read,
    /// Written, or read and written in place.
    Write,
}

/// What makes a pipeline: equal keys share one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PipelineKey {
    /// Shader file without `.wgsl`.
    pub shader: &'static str,
    pub entry: &'static str,
    /// Constants, in declaration order.
    pub constants: Vec<(&'static str, u32)>,
    /// Storage buffers, in binding order after the parameters at binding 0.
    pub bindings: Vec<Access>,
}

impl PipelineKey {
    /// The whole key as text, the label of the pipeline and of its shader module: `conv3d:forward(NORM=1) rrw`.
    pub fn label(&self) -> String {
        let constants: Vec<String> = self.constants.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let access = |a: &Access| if *a == Access::Read { 'r' } else { 'w' };
        let bindings: String = self.bindings.iter().map(access).collect();
        format!("{}:{}({}) {bindings}", self.shader, self.entry, constants.join(","))
    }
}

/// A pipeline as text: all that a platform needs to make it by itself.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PipelineSource {
    /// [`PipelineKey::label`].
    pub label: String,
    /// WGSL, with its constants.
    pub code: String,
    pub entry: &'static str,
    /// Storage buffers, in binding order after the parameters (a uniform buffer) at binding 0.
    pub bindings: Vec<Access>,
}

/// Makes pipelines before wgpu is asked for them, where the platform can do so without waiting.
#[cfg(target_arch = "wasm32")]
pub trait PipelineCompiler {
    /// Resolves once all of these are made; the error is the platform's message.
    fn compile(
        &self,
        pipelines: Vec<PipelineSource>,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>> + '_>>;
}

/// A pipeline and the layout of its one bind group.
#[derive(Clone)]
pub(crate) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

fn source(key: &PipelineKey) -> Result<String, GpuError> {
    expand(key.shader, &key.constants).map_err(|e| GpuError::Validation(e.to_string()))
}

pub(super) type PipelineCache = HashMap<PipelineKey, Arc<Pipeline>>;

impl Gpu {
    /// The pipeline of this key, compiled at its first use.
    ///
    /// # Errors
    /// [`GpuError::Validation`] if the shader cannot be put together; what the driver finds reaches the error scope.
    pub(crate) fn pipeline(&self, key: &PipelineKey) -> Result<Arc<Pipeline>, GpuError> {
        let poisoned = |_| GpuError::Validation("the pipeline cache is gone".to_owned());
        if let Some(found) = self.pipelines.lock().map_err(poisoned)?.get(key) {
            return Ok(Arc::clone(found));
        }
        let pipeline = Arc::new(self.compile(key)?);
        self.pipelines
            .lock()
            .map_err(|_| GpuError::Validation("the pipeline cache is gone".to_owned()))?
            .insert(key.clone(), Arc::clone(&pipeline));
        Ok(pipeline)
    }

    /// Those of these pipelines that were not made yet, each once, and the submission counter's if it is missing too.
    ///
    /// # Errors
    /// [`GpuError::Validation`] if a shader cannot be put together.
    pub fn missing(&self, keys: impl IntoIterator<Item = PipelineKey>) -> Result<Vec<PipelineSource>, GpuError> {
        let text = |key: PipelineKey| {
            Ok(PipelineSource { label: key.label(), code: source(&key)?, entry: key.entry, bindings: key.bindings })
        };
        self.missing_keys(keys)?.into_iter().map(text).collect()
    }

    fn missing_keys(&self, keys: impl IntoIterator<Item = PipelineKey>) -> Result<Vec<PipelineKey>, GpuError> {
        let made = self.pipelines.lock().map_err(|_| GpuError::Validation("the pipeline cache is gone".to_owned()))?;
        let mut seen = HashSet::new();
        let keys = keys.into_iter().chain([canary_key()]);
        Ok(keys.filter(|key| !made.contains_key(key) && seen.insert(key.clone())).collect())
    }

    /// Makes what is missing, on several threads.
    ///
    /// # Errors
    /// [`GpuError::Validation`] with the driver's message.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) async fn compile_ahead(&self, keys: impl IntoIterator<Item = PipelineKey>) -> Result<(), GpuError> {
        let missing = self.missing_keys(keys)?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(missing.len());
        let next = AtomicUsize::new(0);
        let work = || {
            let mut made = Vec::new();
            while let Some(key) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                // A scope holds the faults of its own thread.
                let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
                let pipeline = self.pipeline(key);
                made.push((key, scope.pop(), pipeline.map(drop)));
            }
            made
        };
        let made: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            // A thread that panicked made no pipeline: whoever needs it makes it.
            threads.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
        });
        for (key, fault, pipeline) in made {
            if let Some(fault) = fault.await {
                self.forget(key);
                return Err(GpuError::Validation(fault.to_string()));
            }
            pipeline?;
        }
        Ok(())
    }

    /// Has the platform make what is missing, if it was given a compiler.
    ///
    /// # Errors
    /// [`GpuError::Validation`] with the platform's message.
    #[cfg(target_arch = "wasm32")]
    pub(crate) async fn compile_ahead(&self, keys: impl IntoIterator<Item = PipelineKey>) -> Result<(), GpuError> {
        let Some(compiler) = &self.compiler else { return Ok(()) };
        let missing = self.missing(keys)?;
        if missing.is_empty() {
            return Ok(());
        }
        compiler.compile(missing).await.map_err(GpuError::Validation)
    }

    /// A pipeline that the driver refused is made again by who asks for it, and refused again.
    #[cfg(not(target_arch = "wasm32"))]
    fn forget(&self, key: &PipelineKey) {
        if let Ok(mut pipelines) = self.pipelines.lock() {
            pipelines.remove(key);
        }
    }

    fn compile(&self, key: &PipelineKey) -> Result<Pipeline, GpuError> {
        let source = source(key)?;
        let label = key.label();
        let descriptor =
            wgpu::ShaderModuleDescriptor { label: Some(&label), source: wgpu::ShaderSource::Wgsl(source.into()) };
        let module = if self.checked() {
            self.device.create_shader_module(descriptor)
        } else {
            // SAFETY: every shader bounds its own indices and loops; tests run every line of them with the guards on,
            // and every variant without; naga validates each. Browsers ignore this and keep their guards.
            unsafe { self.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
        };
        let layout = self.layout(key);
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(key.shader),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&label),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(key.entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &[],
                // Every kernel writes its workgroup memory before it reads it.
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        Ok(Pipeline { pipeline, layout })
    }

    fn layout(&self, key: &PipelineKey) -> wgpu::BindGroupLayout {
        let entry = |binding: u32, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform)];
        entries.extend(key.bindings.iter().zip(1..).map(|(access, binding)| {
            let read_only = *access == Access::Read;
            entry(binding, wgpu::BufferBindingType::Storage { read_only })
        }));
        self.device
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(key.shader), entries: &entries })
    }
}

//! Compute pipelines, made once per (shader, constants, access of its bindings).

use std::collections::HashMap;
use std::sync::Arc;

use super::shader::expand;
use super::{Gpu, GpuError};

/// How a dispatch uses a storage buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// Entry point.
    pub entry: &'static str,
    /// Constants, in declaration order.
    pub constants: Vec<(&'static str, u32)>,
    /// Storage buffers, in binding order after the parameters at binding 0.
    pub bindings: Vec<Access>,
}

/// A pipeline and the layout of its one bind group.
#[derive(Clone)]
pub(crate) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
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

    fn compile(&self, key: &PipelineKey) -> Result<Pipeline, GpuError> {
        let source = expand(key.shader, &key.constants).map_err(|e| GpuError::Validation(e.to_string()))?;
        let descriptor =
            wgpu::ShaderModuleDescriptor { label: Some(key.shader), source: wgpu::ShaderSource::Wgsl(source.into()) };
        let module = if self.checked() {
            self.device.create_shader_module(descriptor)
        } else {
            // SAFETY: every shader bounds its own indices and loops; tests run all of them with the guards on, compare
            // both results, and naga validates each variant. Browsers ignore this and keep their guards.
            unsafe { self.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
        };
        let layout = self.layout(key);
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(key.shader),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(key.shader),
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

//! A counter on the GPU that every submission raises by one.
//!
//! Some drivers drop a command buffer and report success; the results then read as zeros, which look like an empty
//! segmentation. Each readback compares the counter with the number of submissions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::pipeline::{Access, PipelineKey};
use super::{Buffer, Gpu, GpuError};

/// The counter and its bind group, made at the first submission.
pub(super) struct Canary {
    buffer: Buffer,
    _uniform: Buffer,
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    submitted: AtomicU32,
}

pub(super) fn canary_key() -> PipelineKey {
    PipelineKey { shader: "canary", entry: "main", constants: Vec::new(), bindings: vec![Access::Write] }
}

impl Gpu {
    fn canary(&self) -> Result<Arc<Canary>, GpuError> {
        let mut slot =
            self.canary.lock().map_err(|_| GpuError::Validation("the submission counter is gone".to_owned()))?;
        if let Some(canary) = &*slot {
            return Ok(Arc::clone(canary));
        }
        let pipeline = self.pipeline(&canary_key())?;
        let buffer = self.buffer("canary", 4);
        let descriptor = wgpu::BufferDescriptor {
            label: Some("canary"),
            size: 16,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        };
        let uniform = Buffer::new(&self.device, &descriptor);
        self.queue.write_buffer(&uniform, 0, bytemuck::bytes_of(&[1u32, 0, 0, 0]));
        let bind_group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("canary"),
            layout: &pipeline.layout,
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: uniform.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 1, resource: buffer.as_entire_binding() },
            ],
        });
        let canary = Arc::new(Canary {
            buffer,
            _uniform: uniform,
            pipeline: pipeline.pipeline.clone(),
            bind_group,
            submitted: AtomicU32::new(0),
        });
        *slot = Some(Arc::clone(&canary));
        Ok(canary)
    }

    /// Submits recorded work with the counter's step behind it.
    ///
    /// # Errors
    /// A fault that the device reported before.
    pub(crate) fn submit(&self, mut encoder: wgpu::CommandEncoder) -> Result<(), GpuError> {
        let canary = self.canary()?;
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&canary.pipeline);
            pass.set_bind_group(0, &canary.bind_group, &[]);
            pass.dispatch_workgroups(1, 1, 1);
        }
        canary.submitted.fetch_add(1, Ordering::Relaxed);
        self.queue.submit([encoder.finish()]);
        Ok(())
    }

    /// The counter's buffer and what it should hold, once something was submitted.
    pub(super) fn canary_state(&self) -> Option<(Buffer, u32)> {
        let slot = self.canary.lock().ok()?;
        slot.as_ref().map(|c| (c.buffer.clone(), c.submitted.load(Ordering::Relaxed)))
    }
}

//! Time per kernel from GPU timestamps: one pass per dispatch while profiling, because pass boundaries are the only
//! place where every backend can take a timestamp.

use super::{Gpu, GpuError};

/// How long one kernel took.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelTime {
    /// Node and shader, `vit.blocks.3.attn.qkv/linear`.
    pub label: String,
    /// Milliseconds on the GPU.
    pub milliseconds: f64,
}

/// Timestamps of the passes of one run.
pub struct Profiler {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    capacity: u32,
    labels: Vec<String>,
}

impl Profiler {
    /// Room for `passes` passes; `None` where the device has no timestamps.
    pub fn new(gpu: &Gpu, passes: usize) -> Option<Self> {
        if !gpu.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return None;
        }
        // WebGPU allows 4096 queries in a set.
        let capacity = (passes as u32).min(2048);
        Some(Self {
            queries: gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("profile"),
                ty: wgpu::QueryType::Timestamp,
                count: capacity * 2,
            }),
            resolved: gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("profile"),
                size: u64::from(capacity) * 16,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            }),
            capacity,
            labels: Vec::new(),
        })
    }

    /// The timestamps of the next pass; `None` once the room is used up.
    pub(crate) fn next(&mut self, label: &str) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        let index = self.labels.len() as u32;
        if index >= self.capacity {
            return None;
        }
        self.labels.push(label.to_owned());
        Some(wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(index * 2),
            end_of_pass_write_index: Some(index * 2 + 1),
        })
    }

    pub(crate) fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        let count = self.labels.len() as u32 * 2;
        encoder.resolve_query_set(&self.queries, 0..count, &self.resolved, 0);
    }

    /// The times, in order of execution.
    ///
    /// # Errors
    /// [`GpuError`] if the timestamps cannot be read back.
    pub async fn times(self, gpu: &Gpu) -> Result<Vec<KernelTime>, GpuError> {
        let bytes = self.labels.len() as u64 * 16;
        let raw = gpu.read(&self.resolved, 0, bytes, "timestamps").await?;
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&raw);
        let period = f64::from(gpu.queue.get_timestamp_period()) * 1e-6;
        Ok(self
            .labels
            .into_iter()
            .zip(ticks.chunks_exact(2))
            .map(|(label, t)| KernelTime { label, milliseconds: t[1].saturating_sub(t[0]) as f64 * period })
            .collect())
    }
}

//! Time per kernel from GPU timestamps: one pass per dispatch while profiling, because pass boundaries are the only
//! place where every backend can take a timestamp.

use super::{Buffer, Gpu, GpuError};

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
    /// Queries of [`PASSES`] passes each, and what they resolve to.
    sets: Vec<(wgpu::QuerySet, Buffer)>,
    labels: Vec<String>,
}

/// WebGPU allows 4096 queries in a set, two for each pass.
const PASSES: usize = 2048;

impl Profiler {
    /// Room for `passes` passes; `None` where the device has no timestamps.
    pub fn new(gpu: &Gpu, passes: usize) -> Option<Self> {
        if !gpu.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return None;
        }
        let set = |_| {
            let queries = gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("profile"),
                ty: wgpu::QueryType::Timestamp,
                count: 2 * PASSES as u32,
            });
            let resolved = wgpu::BufferDescriptor {
                label: Some("profile"),
                size: 16 * PASSES as u64,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            };
            (queries, Buffer::new(&gpu.device, &resolved))
        };
        Some(Self { sets: (0..passes.div_ceil(PASSES)).map(set).collect(), labels: Vec::new() })
    }

    /// The timestamps of the next pass; `None` once the room is used up.
    pub(crate) fn next(&mut self, label: &str) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        let (set, index) = (self.labels.len() / PASSES, (self.labels.len() % PASSES) as u32);
        let (queries, _) = self.sets.get(set)?;
        self.labels.push(label.to_owned());
        Some(wgpu::ComputePassTimestampWrites {
            query_set: queries,
            beginning_of_pass_write_index: Some(index * 2),
            end_of_pass_write_index: Some(index * 2 + 1),
        })
    }

    /// The sets in use and how many passes each holds.
    fn used(&self) -> impl Iterator<Item = (&(wgpu::QuerySet, Buffer), usize)> {
        let passes = self.labels.len();
        self.sets.iter().enumerate().map(move |(i, set)| (set, passes.saturating_sub(i * PASSES).min(PASSES)))
    }

    pub(crate) fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        for ((queries, resolved), passes) in self.used().filter(|(_, passes)| *passes > 0) {
            encoder.resolve_query_set(queries, 0..2 * passes as u32, resolved, 0);
        }
    }

    /// The times, in order of execution.
    ///
    /// # Errors
    /// [`GpuError`] if the timestamps cannot be read back.
    pub async fn times(self, gpu: &Gpu) -> Result<Vec<KernelTime>, GpuError> {
        let mut ticks: Vec<u64> = Vec::new();
        for ((_, resolved), passes) in self.used() {
            let raw = gpu.read(resolved, 0, 16 * passes as u64, "timestamps").await?;
            ticks.extend(bytemuck::pod_collect_to_vec::<u8, u64>(&raw));
        }
        let period = f64::from(gpu.queue.get_timestamp_period()) * 1e-6;
        Ok(self
            .labels
            .into_iter()
            .zip(ticks.chunks_exact(2))
            .map(|(label, t)| KernelTime { label, milliseconds: t[1].saturating_sub(t[0]) as f64 * period })
            .collect())
    }
}

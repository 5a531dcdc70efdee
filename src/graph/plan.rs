//! A graph made ready for one device: buffers, pipelines, bind groups and parameters made once, replayed for each run.

use std::collections::HashMap;

use super::check::CheckError;
use super::kernel::{Dispatch, Kernel, Target};
use super::memory_plan::{
    MemoryPlan, MemoryReport, NodeReport, Place, PlannedDispatch, parameter_bytes, pipeline_key, uniform_bytes,
};
use super::residents::{self, Residents};
use super::{DType, Graph, GraphError, NodeId, Role, TensorId, TensorInfo};
use crate::gpu::{AdapterClass, Buffer, Gpu, GpuError, Profiler};
use crate::tensor::Shape;

/// Why a graph could not be made ready or run.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// From the check of WebGPU's rules.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// One tensor is larger than a binding of this adapter.
    #[error(
        "{tensor} {shape} needs {bytes} bytes in one buffer; this adapter binds at most {limit}. Choose a smaller window, a \
         network with fewer channels, or another adapter"
    )]
    TooLarge { tensor: String, shape: Shape, bytes: u64, limit: u64 },
    /// A weight was not loaded before the plan was made.
    #[error("{tensor} {shape} is not among the weights that were loaded")]
    MissingWeight { tensor: String, shape: Shape },
    /// A weight or state of this name is there, for another network.
    #[error("{tensor} was loaded as {found}, the network needs {shape}")]
    OtherShape {
        tensor: String,
        /// The shape it has.
        found: Shape,
        /// The shape it must have.
        shape: Shape,
    },
    /// Values of another count than the tensor's.
    #[error("{tensor}: {got} values given, shape {shape} has {}", shape.elements())]
    Count {
        tensor: String,
        shape: Shape,
        /// How many were given.
        got: usize,
    },
}

/// How to make a plan.
#[derive(Clone, Debug, Default)]
pub struct PlanOptions {
    /// Forces the kernel variant of this number everywhere (for tests and tuning).
    pub variant: Option<usize>,
    /// Chooses kernels as for this kind of adapter instead of the device's own (for tests and tuning).
    pub class: Option<AdapterClass>,
    /// Keeps every intermediate readable: no two share memory.
    pub keep_all: bool,
}

struct Step {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    groups: [u32; 3],
    node: usize,
    uniform: u64,
}

/// A graph on a device, ready to run again and again.
pub struct Plan {
    gpu: Gpu,
    memory_plan: MemoryPlan,
    slots: Vec<Buffer>,
    own: HashMap<TensorId, Buffer>,
    uniforms: Buffer,
    steps: Vec<Step>,
    /// Bind groups of each step, for each set of weights.
    sets: Vec<Vec<wgpu::BindGroup>>,
}

impl Plan {
    /// Allocates, compiles and binds everything. Weights and states found in `residents` are shared, others are added.
    ///
    /// # Errors
    /// [`PlanError`]; after one, nothing of the plan is left allocated.
    pub async fn new(
        gpu: &Gpu,
        graph: &Graph,
        options: &PlanOptions,
        residents: &mut Residents,
    ) -> Result<Self, PlanError> {
        let own = Target::of(gpu);
        let target = Target { class: options.class.unwrap_or(own.class), variant: options.variant, ..own };
        let memory_plan = MemoryPlan::new(graph, &target, gpu.limits(), options.keep_all)?;
        gpu.compile_ahead(memory_plan.pipelines()).await?;
        let total = memory_plan.report.total() >> 20;
        let what = format!("{total} MiB for the network");
        gpu.scoped(&what, || Self::bind(gpu, memory_plan, residents)).await
    }

    fn bind(gpu: &Gpu, memory_plan: MemoryPlan, residents: &mut Residents) -> Result<Self, PlanError> {
        let mut own = HashMap::new();
        for (id, tensor) in (0u32..).map(TensorId).zip(&memory_plan.tensors) {
            match tensor.role {
                Role::Intermediate => continue,
                Role::Input => own.insert(id, gpu.buffer(&tensor.name, tensor.bytes())),
                Role::Parameter | Role::State => own.insert(id, residents.bind(gpu, tensor)?),
            };
        }
        let slots: Vec<Buffer> = memory_plan.slots.iter().map(|&bytes| gpu.buffer("activations", bytes)).collect();
        let alignment = u64::from(gpu.limits().min_uniform_buffer_offset_alignment);
        let descriptor = wgpu::BufferDescriptor {
            label: Some("parameters"),
            size: memory_plan.report.uniforms.max(16),
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        };
        let uniforms = Buffer::new(&gpu.device, &descriptor);
        let mut steps = Vec::with_capacity(memory_plan.work.len());
        let mut offset = 0;
        for work in &memory_plan.work {
            let buffers = buffers(work, &slots, &own);
            steps.push(step(gpu, work, &memory_plan.nodes[work.node].name, &buffers, &uniforms, offset)?);
            gpu.queue.write_buffer(&uniforms, offset, &work.dispatch.params.bytes);
            offset += uniform_bytes(work, alignment);
        }
        let sets = vec![steps.iter().map(|step| step.bind_group.clone()).collect()];
        Ok(Self { gpu: gpu.clone(), memory_plan, slots, own, uniforms, steps, sets })
    }

    /// Binds another set of weights beside those that are there; all else is shared.
    ///
    /// # Errors
    /// [`PlanError`] if a weight is missing or has another shape.
    pub async fn add_weights(&mut self, weights: &Residents) -> Result<(), PlanError> {
        let mut weights = weights.clone();
        let mut own = self.own.clone();
        for (id, tensor) in (0u32..).map(TensorId).zip(&self.memory_plan.tensors) {
            if tensor.role == Role::Parameter {
                own.insert(id, weights.bind(&self.gpu, tensor)?);
            }
        }
        let this = &*self;
        let set = this.gpu.scoped("a set of weights", || {
            let each = this.memory_plan.work.iter().zip(&this.steps);
            let groups = each.map(|(work, step)| {
                let name = &this.memory_plan.nodes[work.node].name;
                let buffers = buffers(work, &this.slots, &own);
                bind_group(&this.gpu, work, name, &buffers, &this.uniforms, step.uniform)
            });
            groups.collect::<Result<Vec<_>, PlanError>>()
        });
        let set = set.await?;
        self.sets.push(set);
        Ok(())
    }

    /// Takes the weights of this set from now on; one that is not there changes nothing.
    pub fn select_weights(&mut self, set: usize) {
        for (step, group) in self.steps.iter_mut().zip(self.sets.get(set).into_iter().flatten()) {
            step.bind_group = group.clone();
        }
    }

    /// GPU memory by purpose.
    pub fn memory(&self) -> &MemoryReport {
        &self.memory_plan.report
    }

    /// Cost of each node.
    pub fn nodes(&self) -> &[NodeReport] {
        &self.memory_plan.nodes
    }

    /// What a node does.
    pub(super) fn dispatches(&self, node: usize) -> impl Iterator<Item = &Dispatch> {
        self.memory_plan.work.iter().filter(move |w| w.node == node).map(|w| &w.dispatch)
    }

    /// The node of each dispatch, in order.
    pub(super) fn step_nodes(&self) -> impl Iterator<Item = usize> {
        self.steps.iter().map(|s| s.node)
    }

    /// Replaces a node's kernel by one that differs in its parameters alone (an offset, a step number).
    ///
    /// # Errors
    /// [`PlanError::Graph`] if the new kernel would need another pipeline or other buffers.
    pub fn set_kernel(&mut self, node: NodeId, kernel: &dyn Kernel) -> Result<(), PlanError> {
        let index = node.0 as usize;
        let io = &self.memory_plan.ios[index];
        let dispatches = kernel.dispatches(io, &self.memory_plan.target.for_op(kernel.name(), io));
        let own: Vec<usize> = (0..self.steps.len()).filter(|&s| self.steps[s].node == index).collect();
        let same = own.len() == dispatches.len()
            && own.iter().zip(&dispatches).all(|(&s, d)| {
                let before = &self.memory_plan.work[s].dispatch;
                before.shader == d.shader
                    && before.entry == d.entry
                    && before.constants == d.constants
                    && before.bindings == d.bindings
            });
        if !same {
            return Err(GraphError {
                node: self.memory_plan.nodes[index].name.clone(),
                reason: "the kernel was replaced by one that works differently".to_owned(),
            }
            .into());
        }
        for (s, dispatch) in own.into_iter().zip(dispatches) {
            let step = &mut self.steps[s];
            step.groups = dispatch.groups;
            self.gpu.queue.write_buffer(&self.uniforms, step.uniform, &dispatch.params.bytes);
            self.memory_plan.work[s].dispatch = dispatch;
        }
        Ok(())
    }

    /// Writes an input, parameter or state, given in natural order.
    ///
    /// # Errors
    /// [`PlanError::Count`].
    pub fn write(&self, tensor: TensorId, values: &[f32]) -> Result<(), PlanError> {
        let bytes = residents::encode(&self.memory_plan.tensors[tensor.index()], values)?;
        self.gpu.queue.write_buffer(self.buffer(tensor), 0, &bytes);
        Ok(())
    }

    /// Sets a state to zero.
    pub fn clear(&self, tensor: TensorId) {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        encoder.clear_buffer(self.buffer(tensor), 0, None);
        self.gpu.queue.submit([encoder.finish()]);
    }

    /// Reads an output, a parameter or a state back, in natural order.
    ///
    /// # Errors
    /// [`PlanError::Gpu`].
    pub async fn read(&self, tensor: TensorId) -> Result<Vec<f32>, PlanError> {
        let info = &self.memory_plan.tensors[tensor.index()];
        let TensorInfo { name, shape, dtype, layout, .. } = info;
        let raw = self.gpu.read(self.buffer(tensor), 0, info.bytes(), name).await?;
        let stored: Vec<f32> = match dtype {
            DType::F32 => bytemuck::pod_collect_to_vec(&raw),
            DType::F16 => {
                bytemuck::pod_collect_to_vec::<u8, half::f16>(&raw).into_iter().map(half::f16::to_f32).collect()
            }
        };
        Ok(layout.unpack(shape, &stored))
    }

    /// Reads the first `bytes` bytes of a tensor as they are stored.
    ///
    /// # Errors
    /// [`PlanError::Gpu`].
    pub async fn read_raw(&self, tensor: TensorId, bytes: u64) -> Result<Vec<u8>, PlanError> {
        let name = &self.memory_plan.tensors[tensor.index()].name;
        Ok(self.gpu.read(self.buffer(tensor), 0, bytes, name).await?)
    }

    fn buffer(&self, tensor: TensorId) -> &wgpu::Buffer {
        match self.memory_plan.places[&tensor] {
            Place::Slot(s) => &self.slots[s],
            Place::Own(id) => &self.own[&id],
        }
    }

    /// Submits one run. Results are there once a later read returns.
    ///
    /// # Errors
    /// A fault that the device reported before.
    pub fn run(&self) -> Result<(), PlanError> {
        self.gpu.check()?;
        // Windows resets a GPU whose job takes two seconds: slow kinds get more, shorter jobs.
        let most = match self.gpu.class() {
            AdapterClass::Software => f64::INFINITY,
            AdapterClass::Integrated => 10e9,
            AdapterClass::Discrete => 50e9,
        };
        let mut from = 0;
        while from < self.steps.len() {
            let to = self.job_end(from, most);
            let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
            {
                let mut pass = encoder.begin_compute_pass(&Default::default());
                self.steps[from..to].iter().for_each(|s| s.encode(&mut pass));
            }
            self.gpu.submit(encoder)?;
            from = to;
        }
        Ok(())
    }

    /// Submits one node alone.
    pub(super) fn run_node(&self, node: usize) -> Result<(), PlanError> {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            self.steps.iter().filter(|s| s.node == node).for_each(|s| s.encode(&mut pass));
        }
        Ok(self.gpu.submit(encoder)?)
    }

    /// The end of a job that starts at step `from` and holds at most `most` operations, and at least one step.
    fn job_end(&self, from: usize, most: f64) -> usize {
        let (mut to, mut flops, mut node) = (from, 0.0, usize::MAX);
        while to < self.steps.len() {
            if self.steps[to].node != node {
                node = self.steps[to].node;
                flops += self.memory_plan.nodes[node].cost.flops;
                if to > from && flops > most {
                    break;
                }
            }
            to += 1;
        }
        to
    }

    /// One run with a timestamp around every dispatch; `None` where the device has no timestamps.
    ///
    /// # Errors
    /// A fault of the device.
    pub async fn profile(&self) -> Result<Option<Vec<crate::gpu::KernelTime>>, PlanError> {
        let Some(mut profiler) = Profiler::new(&self.gpu, self.steps.len()) else {
            return Ok(None);
        };
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        for (step, work) in self.steps.iter().zip(&self.memory_plan.work) {
            let label = format!("{}/{}", self.memory_plan.nodes[work.node].name, work.dispatch.shader);
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: None,
                timestamp_writes: profiler.next(&label),
            });
            step.encode(&mut pass);
        }
        profiler.resolve(&mut encoder);
        self.gpu.submit(encoder)?;
        Ok(Some(profiler.times(&self.gpu).await?))
    }

    /// Waits until all submitted runs are done.
    ///
    /// # Errors
    /// The first fault of the device.
    pub async fn finish(&self) -> Result<(), PlanError> {
        Ok(self.gpu.finish().await?)
    }
}

impl Step {
    fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.dispatch_workgroups(self.groups[0], self.groups[1], self.groups[2]);
    }
}

/// What a step's shader is given.
fn buffers<'a>(
    work: &PlannedDispatch,
    slots: &'a [Buffer],
    own: &'a HashMap<TensorId, Buffer>,
) -> Vec<&'a wgpu::Buffer> {
    let places = work.places.iter();
    places
        .map(|place| match place {
            Place::Slot(s) => &*slots[*s],
            Place::Own(id) => &*own[id],
        })
        .collect()
}

fn step(
    gpu: &Gpu,
    work: &PlannedDispatch,
    name: &str,
    buffers: &[&wgpu::Buffer],
    uniforms: &wgpu::Buffer,
    offset: u64,
) -> Result<Step, PlanError> {
    let dispatch = &work.dispatch;
    let bind_group = bind_group(gpu, work, name, buffers, uniforms, offset)?;
    let pipeline = gpu.pipeline(&pipeline_key(dispatch))?.pipeline.clone();
    Ok(Step { pipeline, bind_group, groups: dispatch.groups, node: work.node, uniform: offset })
}

fn bind_group(
    gpu: &Gpu,
    work: &PlannedDispatch,
    name: &str,
    buffers: &[&wgpu::Buffer],
    uniforms: &wgpu::Buffer,
    offset: u64,
) -> Result<wgpu::BindGroup, PlanError> {
    let pipeline = gpu.pipeline(&pipeline_key(&work.dispatch))?;
    let size = std::num::NonZeroU64::new(parameter_bytes(&work.dispatch));
    let params = wgpu::BufferBinding { buffer: uniforms, offset, size };
    let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(params) }];
    entries.extend(
        buffers
            .iter()
            .zip(1..)
            .map(|(buffer, binding)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() }),
    );
    Ok(gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some(name),
        layout: &pipeline.layout,
        entries: &entries,
    }))
}

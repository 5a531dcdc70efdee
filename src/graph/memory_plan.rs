//! A graph placed in memory for a target, without a device: what reports, checks and plans need.

use std::collections::HashMap;

use super::check::check_webgpu;
use super::kernel::{Cost, Dispatch, Io, Operand, Target};
use super::memory::{Lifetime, assign_slots};
use super::{DType, Graph, Layout, PlanError, Role, TensorId, TensorInfo};
use crate::gpu::PipelineKey;
use crate::tensor::Shape;

/// GPU memory by purpose, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryReport {
    pub weights: u64,
    /// States that outlive a run.
    pub states: u64,
    pub inputs: u64,
    /// Slots shared by intermediates and temporaries.
    pub activations: u64,
    /// Uniform blocks.
    pub uniforms: u64,
    /// What the intermediates would need without sharing.
    pub activations_unshared: u64,
    /// The largest buffer.
    pub largest: u64,
}

impl MemoryReport {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights + self.states + self.inputs + self.activations + self.uniforms
    }
}

/// A node's name, op, arithmetic and traffic.
#[derive(Clone, Debug)]
pub struct NodeReport {
    pub name: String,
    pub op: &'static str,
    pub cost: Cost,
}

/// Where a tensor or temporary lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Slot(usize),
    Own(TensorId),
}

/// A dispatch of a node, and where its arguments live.
pub(super) struct PlannedDispatch {
    pub node: usize,
    pub dispatch: Dispatch,
    pub places: Vec<Place>,
}

/// A graph placed in memory for a target, without a device: what reports and checks need.
pub struct MemoryPlan {
    pub(super) work: Vec<PlannedDispatch>,
    pub(super) slots: Vec<u64>,
    pub(super) places: HashMap<TensorId, Place>,
    pub(super) report: MemoryReport,
    pub(super) nodes: Vec<NodeReport>,
    /// In the order of their ids.
    pub(super) tensors: Vec<TensorInfo>,
    pub(super) ios: Vec<Io>,
    pub(super) target: Target,
}

/// Bytes of a tensor as it is stored, in whole words.
pub(super) fn stored_bytes(shape: &Shape, dtype: DType, layout: Layout) -> u64 {
    (layout.stored_elements(shape) as u64).saturating_mul(dtype.bytes() as u64).next_multiple_of(4)
}

impl MemoryPlan {
    /// Places a graph in memory and checks every dispatch against WebGPU's rules within `limits`.
    ///
    /// # Errors
    /// [`PlanError::TooLarge`] or [`PlanError::Check`].
    pub fn new(graph: &Graph, target: &Target, limits: &wgpu::Limits, keep_all: bool) -> Result<Self, PlanError> {
        let tensors: Vec<TensorInfo> = graph.tensors().map(|(_, t)| t.clone()).collect();
        let bytes: Vec<u64> = tensors.iter().map(TensorInfo::bytes).collect();
        let limit = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        if let Some((large, &bytes)) = tensors.iter().zip(&bytes).find(|(_, bytes)| **bytes > limit) {
            let (tensor, shape) = (large.name.clone(), large.shape.clone());
            return Err(PlanError::TooLarge { tensor, shape, bytes, limit });
        }
        let ios: Vec<Io> = graph.nodes().iter().map(|node| graph.io(node)).collect();
        let scratch: Vec<Vec<u64>> = graph
            .nodes()
            .iter()
            .zip(&ios)
            .map(|(n, io)| n.kernel.scratch(io, &target.for_op(n.kernel.name(), io)))
            .collect();
        let mut memory_plan = Self {
            work: Vec::new(),
            slots: Vec::new(),
            places: HashMap::new(),
            report: MemoryReport::default(),
            nodes: graph
                .nodes()
                .iter()
                .zip(&ios)
                .map(|(n, io)| NodeReport { name: n.name.clone(), op: n.kernel.name(), cost: n.kernel.cost(io) })
                .collect(),
            tensors,
            ios,
            target: target.clone(),
        };
        let scratch_places = memory_plan.place(graph, &bytes, &scratch, keep_all);
        memory_plan.dispatch(graph, &bytes, &scratch, &scratch_places, limits)?;
        Ok(memory_plan)
    }

    fn place(&mut self, graph: &Graph, bytes: &[u64], scratch: &[Vec<u64>], keep_all: bool) -> Vec<Vec<Place>> {
        let mut lifetimes: Vec<(Option<TensorId>, Lifetime)> = Vec::new();
        for (id, info) in graph.tensors() {
            if info.role != Role::Intermediate {
                self.places.insert(id, Place::Own(id));
                continue;
            }
            let first = graph.nodes().iter().position(|n| n.outputs.contains(&id));
            let last = graph.nodes().iter().rposition(|n| n.inputs.contains(&id));
            let Some(first) = first else { continue };
            let kept = keep_all || graph.outputs().contains(&id);
            let last = if kept { usize::MAX } else { last.unwrap_or(first) };
            lifetimes.push((Some(id), Lifetime { bytes: bytes[id.index()], first, last }));
        }
        for (node, sizes) in scratch.iter().enumerate() {
            let life = |&bytes| (None, Lifetime { bytes, first: node, last: node });
            lifetimes.extend(sizes.iter().map(life));
        }
        let plain: Vec<Lifetime> = lifetimes.iter().map(|(_, l)| *l).collect();
        let assignment = assign_slots(&plain);
        let mut scratch_places: Vec<Vec<Place>> = vec![Vec::new(); scratch.len()];
        for ((id, life), &slot) in lifetimes.iter().zip(&assignment.of) {
            match id {
                Some(id) => {
                    self.places.insert(*id, Place::Slot(slot));
                }
                None => scratch_places[life.first].push(Place::Slot(slot)),
            }
        }
        self.report = report(graph, bytes, &assignment.slots, &plain);
        self.slots = assignment.slots;
        scratch_places
    }

    pub(super) fn dispatch(
        &mut self,
        graph: &Graph,
        bytes: &[u64],
        scratch: &[Vec<u64>],
        scratch_places: &[Vec<Place>],
        limits: &wgpu::Limits,
    ) -> Result<(), PlanError> {
        for (index, node) in graph.nodes().iter().enumerate() {
            let target = self.target.for_op(node.kernel.name(), &self.ios[index]);
            for dispatch in node.kernel.dispatches(&self.ios[index], &target) {
                let resolve = |operand: Operand| match operand {
                    Operand::Input(i) => (self.places[&node.inputs[i]], bytes[node.inputs[i].index()]),
                    Operand::Output(i) => (self.places[&node.outputs[i]], bytes[node.outputs[i].index()]),
                    Operand::Scratch(i) => (scratch_places[index][i], scratch[index][i]),
                };
                let resolved: Vec<(Place, u64)> = dispatch.bindings.iter().map(|b| resolve(b.0)).collect();
                let ids: Vec<(u64, u64)> = resolved
                    .iter()
                    .map(|(place, bytes)| match place {
                        Place::Slot(s) => ((*s as u64) << 1, *bytes),
                        Place::Own(id) => ((u64::from(id.0) << 1) | 1, *bytes),
                    })
                    .collect();
                check_webgpu(&node.name, &dispatch, &ids, limits)?;
                let places = resolved.into_iter().map(|(p, _)| p).collect();
                self.work.push(PlannedDispatch { node: index, dispatch, places });
            }
        }
        let alignment = u64::from(limits.min_uniform_buffer_offset_alignment);
        self.report.uniforms = self.work.iter().map(|w| uniform_bytes(w, alignment)).sum();
        Ok(())
    }

    /// GPU memory by purpose.
    pub fn memory(&self) -> &MemoryReport {
        &self.report
    }

    /// Cost of each node.
    pub fn nodes(&self) -> &[NodeReport] {
        &self.nodes
    }

    /// The pipeline of every dispatch, in order.
    pub fn pipelines(&self) -> impl Iterator<Item = PipelineKey> {
        self.work.iter().map(|w| pipeline_key(&w.dispatch))
    }

    /// The dispatches in order, with their node's path.
    pub fn dispatches(&self) -> impl Iterator<Item = (&str, &Dispatch)> {
        self.work.iter().map(|w| (self.nodes[w.node].name.as_str(), &w.dispatch))
    }
}

/// The pipeline that a dispatch needs.
pub(super) fn pipeline_key(dispatch: &Dispatch) -> PipelineKey {
    PipelineKey {
        shader: dispatch.shader,
        entry: dispatch.entry,
        constants: dispatch.constants.clone(),
        bindings: dispatch.bindings.iter().map(|b| b.1).collect(),
    }
}

fn report(graph: &Graph, bytes: &[u64], slots: &[u64], lifetimes: &[Lifetime]) -> MemoryReport {
    let sum =
        |role: Role| -> u64 { graph.tensors().filter(|(_, t)| t.role == role).map(|(id, _)| bytes[id.index()]).sum() };
    let own = graph.tensors().filter(|(_, t)| t.role != Role::Intermediate).map(|(id, _)| bytes[id.index()]);
    MemoryReport {
        weights: sum(Role::Parameter),
        states: sum(Role::State),
        inputs: sum(Role::Input),
        activations: slots.iter().sum(),
        uniforms: 0,
        activations_unshared: lifetimes.iter().map(|l| l.bytes).sum(),
        largest: own.chain(slots.iter().copied()).max().unwrap_or(0),
    }
}

pub(super) fn uniform_bytes(work: &PlannedDispatch, alignment: u64) -> u64 {
    parameter_bytes(&work.dispatch).next_multiple_of(alignment)
}

/// Bytes of a dispatch's parameters as WGSL counts them, which rounds a struct that holds vectors up to theirs.
pub(super) fn parameter_bytes(dispatch: &Dispatch) -> u64 {
    dispatch.params.bytes.len().next_multiple_of(16).max(16) as u64
}

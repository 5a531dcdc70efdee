//! A static graph of named ops, compiled once to a [`Plan`] and replayed for each window or step.
//!
//! Tensors are contiguous and have fixed shapes; there are no views. An op may have several inputs and outputs. A
//! *state* is a tensor that outlives a run and that an op may update in place.

#[cfg(feature = "train")]
pub(crate) mod add;
#[cfg(feature = "train")]
mod autodiff;
mod check;
mod diagnose;
mod interpret;
mod kernel;
mod memory;
mod memory_plan;
mod op;
mod parameter;
mod plan;
#[cfg(feature = "train")]
mod recompute;
mod residents;
mod tune;

use crate::tensor::Shape;

#[cfg(feature = "train")]
pub use autodiff::{EachGradient, Gradients};
pub use check::{CheckError, check_webgpu};
pub use diagnose::NotFinite;
pub use interpret::interpret;
pub use kernel::{Binding, Case, Cost, Dispatch, Io, Kernel, Operand, Params, Target, TensorKind};
pub(crate) use kernel::{groups, params, values};
pub use memory::{Assignment, Lifetime, assign_slots};
pub use memory_plan::{MemoryPlan, MemoryReport, NodeReport};
#[cfg(feature = "train")]
pub use op::Applied;
pub use op::{NodeKernel, Op};
pub use parameter::{DType, Layout};
pub use plan::{Plan, PlanError, PlanOptions};
pub use residents::Residents;
pub use tune::{TunedOp, choice_key, choices, tune};

/// A tensor of a [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub(crate) u32);

/// A node of a [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) u32);

impl TensorId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a tensor is for; it decides where its memory comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Written by the host before each run.
    Input,
    /// A weight: uploaded once, never written by a forward pass.
    Parameter,
    /// Kept between runs, updated in place.
    State,
    /// Made by a node; its memory is shared with others once it is no longer needed.
    Intermediate,
}

/// What the graph knows of a tensor.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    /// For parameters the reference program's `state_dict` key, else the path of the node that makes it.
    pub name: String,
    /// Logical shape.
    pub shape: Shape,
    pub role: Role,
    /// How the elements lie in memory.
    pub layout: Layout,
    /// How they are stored.
    pub dtype: DType,
}

impl TensorInfo {
    /// Bytes of its elements as they are stored, in whole words.
    pub fn bytes(&self) -> u64 {
        memory_plan::stored_bytes(&self.shape, self.dtype, self.layout)
    }
}

/// An op applied to tensors.
#[derive(Clone, Debug)]
pub struct Node {
    /// Path, `vit.blocks.3.attn.qkv`.
    pub name: String,
    /// What it computes.
    pub kernel: NodeKernel,
    /// In the kernel's argument order.
    pub inputs: Vec<TensorId>,
    /// In the kernel's result order; a tensor updated in place stands in both lists.
    pub outputs: Vec<TensorId>,
}

/// A graph that cannot be: shapes that do not fit, or an op that cannot do what is asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{node}: {reason}")]
pub struct GraphError {
    /// Path of the node.
    pub node: String,
    /// What does not fit, with the shapes.
    pub reason: String,
}

impl GraphError {
    /// An error that gets its node's path when the node is added.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { node: String::new(), reason: reason.into() }
    }
}

/// Nodes in the order they run, and their tensors.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    tensors: Vec<TensorInfo>,
    nodes: Vec<Node>,
    outputs: Vec<TensorId>,
    scope: Vec<String>,
    half_weights: bool,
    training: bool,
    /// Parameters without gradients.
    #[cfg(feature = "train")]
    frozen: std::collections::HashSet<TensorId>,
    #[cfg(feature = "train")]
    recompute: bool,
    #[cfg(feature = "train")]
    segments: Vec<std::ops::Range<usize>>,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Store the large weights of this graph as 16-bit floats; arithmetic stays in 32 bits.
    pub fn with_half_weights(mut self, half: bool) -> Self {
        self.half_weights = half;
        self
    }

    /// Ops of this graph keep what their gradients need.
    #[cfg(feature = "train")]
    pub fn for_training(mut self) -> Self {
        self.training = true;
        self
    }

    /// Whether ops keep what their gradients need.
    pub(crate) fn training(&self) -> bool {
        self.training
    }

    /// Runs `build` with `name` appended to the path of every node it adds.
    ///
    /// # Errors
    /// What `build` returns.
    pub fn scope<T>(
        &mut self,
        name: &str,
        build: impl FnOnce(&mut Self) -> Result<T, GraphError>,
    ) -> Result<T, GraphError> {
        self.enter(name);
        let result = build(self);
        self.leave();
        result
    }

    /// Appends `name` to the path of every node from now on; whoever builds on top of a graph scopes by this.
    pub(crate) fn enter(&mut self, name: &str) {
        self.scope.push(name.to_owned());
    }

    /// Ends what [`Graph::enter`] began.
    pub(crate) fn leave(&mut self) {
        self.scope.pop();
    }

    /// Runs `build`; in a graph that is [`Graph::recomputing`], what its nodes leave behind is not kept for the gradients
    /// but computed again, except what later nodes use. A segment within another is part of it.
    ///
    /// # Errors
    /// What `build` returns.
    pub fn segment<T>(&mut self, build: impl FnOnce(&mut Self) -> Result<T, GraphError>) -> Result<T, GraphError> {
        let first = self.nodes.len();
        let result = build(self);
        self.close_segment(first);
        result
    }

    /// The nodes from `first` on are a segment: see [`Graph::segment`].
    #[cfg_attr(not(feature = "train"), expect(unused_variables, reason = "nothing is computed again"))]
    pub(crate) fn close_segment(&mut self, first: usize) {
        #[cfg(feature = "train")]
        if self.recompute {
            self.segments.retain(|s| s.start < first);
            self.segments.push(first..self.nodes.len());
        }
    }

    /// `name` within the current scopes.
    pub fn path(&self, name: &str) -> String {
        let mut path = self.scope.join(".");
        if !path.is_empty() && !name.is_empty() {
            path.push('.');
        }
        path + name
    }

    /// A tensor that the host writes before each run.
    pub fn input(&mut self, name: &str, shape: impl Into<Shape>) -> TensorId {
        self.add_tensor(self.path(name), shape.into(), Role::Input, Layout::Natural, DType::F32)
    }

    /// A tensor that is kept between runs and starts as zeros.
    pub fn state(&mut self, name: &str, shape: impl Into<Shape>) -> TensorId {
        self.add_tensor(self.path(name), shape.into(), Role::State, Layout::Natural, DType::F32)
    }

    /// A state with the shape, layout and storage of another tensor, named after it.
    #[cfg(feature = "train")]
    pub fn state_like(&mut self, prefix: &str, tensor: TensorId) -> TensorId {
        let like = self.tensor(tensor).clone();
        self.add_tensor(format!("{prefix}.{}", like.name), like.shape, Role::State, like.layout, like.dtype)
    }

    /// The parameter of another graph in this one: the same name, shape, layout and storage.
    #[cfg(feature = "train")]
    pub fn same_parameter(&mut self, like: &TensorInfo) -> TensorId {
        self.add_tensor(like.name.clone(), like.shape.clone(), Role::Parameter, like.layout, like.dtype)
    }

    /// A weight, by its key within the current scopes.
    pub fn parameter(&mut self, name: &str, shape: impl Into<Shape>) -> TensorId {
        self.add_tensor(self.path(name), shape.into(), Role::Parameter, Layout::Natural, DType::F32)
    }

    /// A weight that kernels read through `common/weights`: it may be stored in 16 bits and in another order.
    pub fn matrix_parameter(&mut self, name: &str, shape: impl Into<Shape>, layout: Layout) -> TensorId {
        let dtype = if self.half_weights { DType::F16 } else { DType::F32 };
        self.add_tensor(self.path(name), shape.into(), Role::Parameter, layout, dtype)
    }

    /// A weight in 32 bits whatever the graph's setting.
    pub fn full_parameter(&mut self, name: &str, shape: impl Into<Shape>, layout: Layout) -> TensorId {
        self.add_tensor(self.path(name), shape.into(), Role::Parameter, layout, DType::F32)
    }

    /// What a layer keeps that is no weight, such as a batch norm's running averages: loaded and saved as a parameter, updated
    /// in place in training, without gradient.
    pub fn buffer(&mut self, name: &str, shape: impl Into<Shape>) -> TensorId {
        let id = self.parameter(name, shape);
        #[cfg(feature = "train")]
        self.frozen.insert(id);
        id
    }

    fn add_tensor(&mut self, name: String, shape: Shape, role: Role, layout: Layout, dtype: DType) -> TensorId {
        let id = TensorId(self.tensors.len() as u32);
        self.tensors.push(TensorInfo { name, shape, role, layout, dtype });
        id
    }

    /// Adds work; its outputs are new intermediates.
    ///
    /// # Errors
    /// [`GraphError`] with the node's path if the shapes do not fit.
    pub fn add(&mut self, name: &str, kernel: impl Kernel, inputs: &[TensorId]) -> Result<Vec<TensorId>, GraphError> {
        self.add_work(name, NodeKernel::kernel(kernel), inputs)
    }

    /// Adds an op through which gradients can pass; its outputs are new intermediates.
    ///
    /// # Errors
    /// As [`Graph::add`].
    pub fn add_op(&mut self, name: &str, op: impl Op, inputs: &[TensorId]) -> Result<Vec<TensorId>, GraphError> {
        self.add_work(name, NodeKernel::op(op), inputs)
    }

    fn add_work(&mut self, name: &str, kernel: NodeKernel, inputs: &[TensorId]) -> Result<Vec<TensorId>, GraphError> {
        let path = self.path(name);
        let shapes = self.infer(&path, &*kernel, inputs)?;
        let several = shapes.len() > 1;
        let outputs = shapes
            .into_iter()
            .enumerate()
            .map(|(i, shape)| {
                let name = if several { format!("{path}#{i}") } else { path.clone() };
                self.add_tensor(name, shape, Role::Intermediate, kernel.output_layout(i), DType::F32)
            })
            .collect::<Vec<_>>();
        self.nodes.push(Node { name: path, kernel, inputs: inputs.to_vec(), outputs: outputs.clone() });
        Ok(outputs)
    }

    /// Adds work with one output.
    ///
    /// # Errors
    /// As [`Graph::add`].
    pub fn add_one(&mut self, name: &str, kernel: impl Kernel, inputs: &[TensorId]) -> Result<TensorId, GraphError> {
        let outputs = self.add(name, kernel, inputs)?;
        self.only(name, &outputs)
    }

    /// Adds work with one output, and says which node it is.
    ///
    /// # Errors
    /// As [`Graph::add`].
    pub fn add_node(
        &mut self,
        name: &str,
        kernel: impl Kernel,
        inputs: &[TensorId],
    ) -> Result<(NodeId, TensorId), GraphError> {
        let node = NodeId(self.nodes.len() as u32);
        Ok((node, self.add_one(name, kernel, inputs)?))
    }

    /// Adds an op with one output.
    ///
    /// # Errors
    /// As [`Graph::add`].
    pub fn add_one_op(&mut self, name: &str, op: impl Op, inputs: &[TensorId]) -> Result<TensorId, GraphError> {
        let outputs = self.add_op(name, op, inputs)?;
        self.only(name, &outputs)
    }

    fn only(&self, name: &str, outputs: &[TensorId]) -> Result<TensorId, GraphError> {
        outputs
            .first()
            .copied()
            .ok_or_else(|| GraphError { node: self.path(name), reason: "the op gives no output".to_owned() })
    }

    /// Adds work whose only output is the last of its inputs, updated in place.
    ///
    /// # Errors
    /// As [`Graph::add`]; also if that input is not a state of the output's shape.
    pub fn update(&mut self, name: &str, kernel: impl Kernel, inputs: &[TensorId]) -> Result<NodeId, GraphError> {
        let last = inputs.len().saturating_sub(1);
        self.update_many(name, kernel, &inputs[..last], &inputs[last..])
    }

    /// Adds work that updates the tensors `targets` in place: they are its last inputs and, in the same order, its
    /// outputs.
    ///
    /// # Errors
    /// As [`Graph::add`]; also if a target is neither state nor parameter or has not the output's shape.
    pub fn update_many(
        &mut self,
        name: &str,
        kernel: impl Kernel,
        inputs: &[TensorId],
        targets: &[TensorId],
    ) -> Result<NodeId, GraphError> {
        let path = self.path(name);
        let all = [inputs, targets].concat();
        let shapes = self.infer(&path, &kernel, &all)?;
        let kept = |t: &TensorId| matches!(self.tensor(*t).role, Role::State | Role::Parameter);
        let fits =
            !targets.is_empty() && targets.iter().all(kept) && shapes.iter().eq(targets.iter().map(|&t| self.shape(t)));
        if !fits {
            return Err(GraphError {
                node: path,
                reason: "the last inputs must be states or parameters of the outputs' shapes".to_owned(),
            });
        }
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(Node {
            name: path,
            kernel: NodeKernel::kernel(kernel),
            inputs: all,
            outputs: targets.to_vec(),
        });
        Ok(id)
    }

    fn infer(&self, path: &str, kernel: &dyn Kernel, inputs: &[TensorId]) -> Result<Vec<Shape>, GraphError> {
        let shapes: Vec<Shape> = inputs.iter().map(|&i| self.tensor(i).shape.clone()).collect();
        kernel.infer(&shapes).map_err(|e| GraphError { node: path.to_owned(), reason: e.reason })
    }

    /// Keeps a tensor readable after each run.
    pub fn output(&mut self, tensor: TensorId) {
        if !self.outputs.contains(&tensor) {
            self.outputs.push(tensor);
        }
    }

    /// The tensor of this id.
    pub fn tensor(&self, id: TensorId) -> &TensorInfo {
        &self.tensors[id.index()]
    }

    /// The shape of this tensor.
    pub fn shape(&self, id: TensorId) -> &Shape {
        &self.tensor(id).shape
    }

    /// All tensors, in the order they were added.
    pub fn tensors(&self) -> impl Iterator<Item = (TensorId, &TensorInfo)> {
        (0u32..).map(TensorId).zip(&self.tensors)
    }

    /// The weights, in the order they were added.
    pub fn parameters(&self) -> impl Iterator<Item = (TensorId, &TensorInfo)> {
        self.tensors().filter(|(_, t)| t.role == Role::Parameter)
    }

    /// The nodes, in the order they run.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Shape and storage of a node's arguments and results.
    fn io(&self, node: &Node) -> Io {
        let kind = |id: &TensorId| {
            let t = self.tensor(*id);
            TensorKind { shape: t.shape.clone(), dtype: t.dtype, layout: t.layout }
        };
        Io { inputs: node.inputs.iter().map(kind).collect(), outputs: node.outputs.iter().map(kind).collect() }
    }

    /// The tensors kept readable.
    pub fn outputs(&self) -> &[TensorId] {
        &self.outputs
    }

    /// The tensor that the node of this name makes; `None` if there is no such node.
    pub fn named(&self, name: &str) -> Option<TensorId> {
        self.tensors().find(|(_, t)| t.name == name).map(|(id, _)| id)
    }
}

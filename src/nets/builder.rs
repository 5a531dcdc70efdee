//! [`Net`]: a graph, a path within it, and what is known of each parameter. Layers are functions that add to it.

use std::collections::BTreeMap;

use super::layers::dropout::{DropoutOptions, Sites};
use super::layers::parts;
use super::network::{Network, Output, Stage, Tail};
use super::parameter::{Init, Kind, Parameter};
use crate::graph::{Graph, GraphError, Layout, TensorId};
use crate::tensor::Shape;

/// How a network's graph is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Build {
    /// Windows in a batch.
    pub batch: usize,
    /// Voxels of a window.
    pub window: [usize; 3],
    /// Matrices in 16 bits.
    pub half_weights: bool,
    /// Ops keep what their gradients need.
    pub training: bool,
    /// Activations are computed again in the backward pass.
    pub recompute: bool,
    /// Values dropped in training; `None` drops nothing, whatever the network's arguments say.
    pub dropout: Option<DropoutOptions>,
}

impl Build {
    /// One window of the network's default size, to be run forward.
    pub fn of(network: &dyn Network) -> Self {
        Self::window(network.window().default_size())
    }

    /// One window of this size, to be run forward.
    pub fn window(window: [usize; 3]) -> Self {
        Self { batch: 1, window, half_weights: false, training: false, recompute: false, dropout: None }
    }
}

/// A network as a graph.
#[derive(Clone)]
pub struct Built {
    pub graph: Graph,
    /// The windows, `(N, C, X, Y, Z)`.
    pub input: TensorId,
    /// Where the logits come from, and the stages on the way.
    pub output: Output,
    /// What is known of each parameter, in the order of the graph's.
    pub parameters: Vec<Parameter>,
    /// Number of the step `(1)`, where values are dropped: what is dropped changes with it.
    pub dropout_step: Option<TensorId>,
}

impl Built {
    /// Builds a network that passed [`Network::validate`].
    ///
    /// # Errors
    /// [`GraphError`] if the window does not fit the network, or a layer asks for what is not built.
    pub fn new(network: &dyn Network, build: &Build) -> Result<Self, GraphError> {
        let fail = |reason| GraphError { node: "input".to_owned(), reason };
        network.window().check(build.window).map_err(|rule| fail(format!("window {:?}: {rule}", build.window)))?;
        let mut graph = Graph::new().with_half_weights(build.half_weights);
        #[cfg(feature = "train")]
        if build.training {
            graph = graph.for_training().recomputing(build.recompute);
        }
        let [x, y, z] = build.window;
        let input = graph.input("input", [build.batch, network.in_channels(), x, y, z]);
        let dropout = Sites::new(&mut graph, build.dropout, network.drops());
        let mut net = Net { graph, dropout, parameters: Vec::new() };
        let output = network.build(&mut net, input)?;
        let Net { graph, dropout, parameters } = net;
        let mut seen = BTreeMap::new();
        if let Some(twice) = parameters.iter().find(|p| seen.insert(p.name.clone(), ()).is_some()) {
            return Err(GraphError { node: twice.name.clone(), reason: "two parameters have this name".to_owned() });
        }
        Ok(Self { graph, input, output, parameters, dropout_step: dropout.step() })
    }

    /// The logits `(N, K, X, Y, Z)`, as a tensor of their own.
    ///
    /// # Errors
    /// [`GraphError`] if the tail's shapes do not fit.
    pub fn logits(&mut self) -> Result<TensorId, GraphError> {
        let tail = self.output.tail.clone();
        self.tail("out", &tail)
    }

    /// Logits of the coarser levels that are trained, the finest first, as tensors of their own.
    ///
    /// # Errors
    /// As [`Built::logits`].
    pub fn deep_logits(&mut self) -> Result<Vec<TensorId>, GraphError> {
        let deep = self.output.deep.clone();
        deep.iter().enumerate().map(|(i, tail)| self.tail(&format!("out.{}", i + 1), tail)).collect()
    }

    fn tail(&mut self, name: &str, tail: &Tail) -> Result<TensorId, GraphError> {
        match tail {
            Tail::Head { end, weight, bias } => self.graph.head(name, end, *weight, *bias),
            Tail::Parts { ends, weights, bias } => parts::head(&mut self.graph, name, ends, weights, *bias),
            Tail::Logits(logits) => Ok(*logits),
        }
    }

    /// The stages that are `wanted` as tensors, by name: several where their channels follow one another. What is not stored in
    /// the network is stored here.
    ///
    /// # Errors
    /// [`GraphError`] if a stage's shapes do not fit.
    pub fn stages(
        &mut self,
        logits: TensorId,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<(String, Vec<TensorId>)>, GraphError> {
        let mut stored = Vec::new();
        for (name, stage) in self.output.stages.clone() {
            if !wanted(&name) {
                continue;
            }
            let tensors = match stage {
                Stage::Logits => vec![logits],
                Stage::Tail(tail) => vec![self.tail(&name, &tail)?],
                Stage::Values(values) => {
                    values.iter().map(|value| self.graph.store(&name, value)).collect::<Result<_, _>>()?
                }
                Stage::Tokens { x, grid } => vec![self.graph.transpose(&name, x, &grid)?],
                Stage::Linear { x, weight, bias } => {
                    vec![self.graph.linear(&name, x, weight, Some(bias), false, None)?]
                }
            };
            stored.push((name, tensors));
        }
        Ok(stored)
    }

    /// Multiply-adds of an output convolution that is one node with the block before it.
    pub fn head_products(&self) -> f64 {
        let voxels: usize = self.graph.shape(self.input).dims().iter().skip(2).product();
        match &self.output.tail {
            Tail::Head { weight, .. } => (voxels * self.graph.shape(*weight).elements()) as f64,
            // Of parts it is convolutions.
            Tail::Parts { .. } | Tail::Logits(_) => 0.0,
        }
    }
}

/// A network being built.
pub struct Net {
    graph: Graph,
    dropout: Sites,
    parameters: Vec<Parameter>,
}

impl Net {
    /// The graph, to add nodes to.
    pub fn graph(&mut self) -> &mut Graph {
        &mut self.graph
    }

    /// Length of axis 1 of a tensor: its channels.
    pub fn channels(&self, x: TensorId) -> usize {
        self.graph.shape(x).dims().get(1).copied().unwrap_or(0)
    }

    /// The places where values are dropped.
    pub(super) fn dropout(&mut self) -> (&mut Sites, &mut Graph) {
        (&mut self.dropout, &mut self.graph)
    }

    /// Runs `build` with `name` appended to the path of every node and parameter that it adds.
    ///
    /// # Errors
    /// What `build` returns.
    pub fn scope<T>(
        &mut self,
        name: &str,
        build: impl FnOnce(&mut Self) -> Result<T, GraphError>,
    ) -> Result<T, GraphError> {
        self.graph.enter(name);
        let result = build(self);
        self.graph.leave();
        result
    }

    /// Runs `build` as a segment of a graph that is recomputing: see [`Graph::segment`].
    ///
    /// # Errors
    /// What `build` returns.
    pub fn segment<T>(&mut self, build: impl FnOnce(&mut Self) -> Result<T, GraphError>) -> Result<T, GraphError> {
        let first = self.graph.nodes().len();
        let result = build(self);
        self.graph.close_segment(first);
        result
    }

    /// Weight of a linear layer or convolution.
    pub fn matrix(&mut self, name: &str, shape: impl Into<Shape>, layout: Layout, init: Init) -> TensorId {
        let shape = shape.into();
        self.note(name, &shape, Kind::Matrix, init);
        self.graph.matrix_parameter(name, shape, layout)
    }

    /// Any other parameter: in 32 bits, in natural order.
    pub fn vector(&mut self, name: &str, shape: impl Into<Shape>, kind: Kind, init: Init) -> TensorId {
        let shape = shape.into();
        self.note(name, &shape, kind, init);
        match kind {
            Kind::Statistic => self.graph.buffer(name, shape),
            _ => self.graph.parameter(name, shape),
        }
    }

    fn note(&mut self, name: &str, shape: &Shape, kind: Kind, init: Init) {
        self.parameters.push(Parameter { name: self.graph.path(name), shape: shape.dims().to_vec(), kind, init });
    }
}

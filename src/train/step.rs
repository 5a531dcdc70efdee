//! One training step as a graph: forward, loss, backward.

use super::{Optimizer, OptimizerOptions};
use crate::graph::{Gradients, Graph, GraphError, TensorId};
use crate::kernels::accumulate::Accumulate;
use crate::kernels::conv3d::Geometry;
use crate::kernels::dice_ce::DiceCe;
use crate::kernels::pool::Pooling;
use crate::nets::{Architecture, Build, Built, DropoutOptions};

/// What a training step follows from, besides the network and what changes from step to step.
#[derive(Clone, Copy)]
pub struct StepSpec<'a> {
    /// Voxels of a window.
    pub window: [usize; 3],
    /// Windows in a batch.
    pub batch: usize,
    /// Batches whose gradients are averaged for a step.
    pub accumulate: usize,
    /// What is minimised.
    pub loss: DiceCe,
    /// Weights of the classes where the loss has them, else empty.
    pub class_weights: &'a [f32],
    /// Values dropped in the network.
    pub dropout: Option<DropoutOptions>,
    /// Parameters that get no gradient: what would only serve theirs is not computed.
    pub frozen: &'a dyn Fn(&str) -> bool,
    /// Compute activations again where the backward pass needs them, block by block, instead of keeping them: slower, in
    /// less memory, with the same bits.
    pub recompute: bool,
    /// A gradient of the windows, too.
    pub input_gradient: bool,
    /// The optimiser.
    pub optimizer: OptimizerOptions<'a>,
}

impl StepSpec<'_> {
    /// One batch per step, nothing frozen or dropped, activations kept.
    pub fn new(window: [usize; 3], batch: usize, loss: DiceCe) -> Self {
        Self {
            window,
            batch,
            accumulate: 1,
            loss,
            class_weights: &[],
            dropout: None,
            frozen: &|_| false,
            recompute: false,
            input_gradient: false,
            optimizer: OptimizerOptions::default(),
        }
    }
}

/// A network with its loss and gradients.
pub struct TrainingGraph {
    pub graph: Graph,
    /// Windows, `(N, C, X, Y, Z)`.
    pub input: TensorId,
    /// Class numbers `(N, 1, X, Y, Z)`, or one channel per region for a sigmoid loss.
    pub label: TensorId,
    /// `(N, K, X, Y, Z)`.
    pub logits: TensorId,
    /// Weights of the classes `(K)`, where the loss has them: written by the host once.
    pub class_weights: Option<TensorId>,
    /// Number of the step `(1)`, where values are dropped: to be raised by the host before each run, below 2²⁴.
    pub dropout_step: Option<TensorId>,
    /// `(1)`, of all heads where coarser levels are trained; an output.
    pub loss: TensorId,
    /// Dice and cross entropy without their factors `(2)`; an output.
    pub loss_parts: TensorId,
    /// Of every parameter that is not frozen, and of the input if it was asked for.
    pub gradients: Gradients,
    /// `(1)`, where gradients of several batches are added up: 1 for the first batch, else 0.
    pub first: Option<TensorId>,
}

impl TrainingGraph {
    /// The graph for a network in batches.
    ///
    /// # Errors
    /// [`GraphError`] if the configuration asks for what is not built.
    pub fn new(network: &Architecture, spec: &StepSpec<'_>) -> Result<Self, GraphError> {
        let build = Build {
            batch: spec.batch,
            training: true,
            recompute: spec.recompute,
            dropout: spec.dropout,
            ..Build::window(spec.window)
        };
        let mut built = network.build(&build)?;
        built.graph.freeze(spec.frozen);
        let logits = built.logits()?;
        let deep = built.deep_logits()?;
        let Built { mut graph, input, dropout_step, .. } = built;
        let classes = network.out_channels();
        let channels = if spec.loss.sigmoid { classes } else { 1 };
        let [x, y, z] = spec.window;
        let label = graph.input("label", [spec.batch, channels, x, y, z]);
        let class_weights = spec.loss.weighted.then(|| graph.input("class_weights", [classes]));
        let heads = [&[logits], deep.as_slice()].concat();
        let losses = Losses::new(&mut graph, &heads, label, class_weights, spec.loss)?;
        let Losses { loss, loss_parts, .. } = losses;
        graph.output(loss);
        graph.output(loss_parts);
        let seed = graph.seed(loss, 1.0)?;
        let seeds: Vec<(TensorId, TensorId)> = losses.each.iter().map(|each| (*each, seed)).collect();
        let inputs = [input];
        let also: &[TensorId] = if spec.input_gradient { &inputs } else { &[] };
        let first = (spec.accumulate > 1).then(|| graph.input("accumulate.first", [1]));
        let gradients = graph.backward_each(&seeds, also, &mut |graph, parameter, gradient| match first {
            Some(first) => accumulate(graph, parameter, gradient, first, spec.accumulate),
            None => Ok(()),
        })?;
        Ok(Self { graph, input, label, logits, class_weights, dropout_step, loss, loss_parts, gradients, first })
    }
}

/// The loss of every head.
struct Losses {
    /// Of each head, times its share.
    each: Vec<TensorId>,
    /// Their sum.
    loss: TensorId,
    /// Sum of their parts.
    loss_parts: TensorId,
}

impl Losses {
    /// Shares of the heads, the finest first, are 1, 1/2, 1/4 and so on over their sum; a coarser head is compared with every
    /// so manieth voxel of the label, the first of each block (`torch.nn.functional.interpolate` with mode nearest). Source:
    /// nnU-Net's `DeepSupervisionWrapper`.
    fn new(
        graph: &mut Graph,
        heads: &[TensorId],
        label: TensorId,
        class_weights: Option<TensorId>,
        loss: DiceCe,
    ) -> Result<Self, GraphError> {
        let all = 2.0 - 0.5f64.powi(heads.len() as i32 - 1);
        let (mut each, mut parts) = (Vec::new(), Vec::new());
        let mut own_label = label;
        for (level, &logits) in heads.iter().enumerate() {
            let name = if level == 0 { "loss".to_owned() } else { format!("loss.{level}") };
            own_label = fewer_voxels(graph, &format!("label.{level}"), own_label, logits)?;
            let share = (0.5f64.powi(level as i32) / all) as f32;
            let made = graph.dice_ce(&name, logits, own_label, class_weights, DiceCe { share, ..loss })?;
            each.push(made.0);
            parts.push(made.1);
        }
        let none = || GraphError::new("a network without logits");
        let loss = graph.total("loss.sum", each.clone())?.ok_or_else(none)?;
        let loss_parts = graph.total("loss.parts", parts)?.ok_or_else(none)?;
        Ok(Self { each, loss, loss_parts })
    }
}

/// The label at the voxels of these logits.
fn fewer_voxels(graph: &mut Graph, name: &str, label: TensorId, logits: TensorId) -> Result<TensorId, GraphError> {
    let size = |graph: &Graph, t: TensorId| graph.shape(t).volume().map_or([1; 3], |(_, _, size)| size);
    let target = size(graph, logits);
    let mut label = label;
    loop {
        let from = size(graph, label);
        let factor =
            [0, 1, 2].map(|a| if target[a] > 0 && from[a].is_multiple_of(target[a]) { from[a] / target[a] } else { 0 });
        // A stride is at most 4, so that larger factors are made of several.
        let stride = factor.map(|f| (1..=4).rev().find(|s| f > 0 && f.is_multiple_of(*s)).unwrap_or(0));
        match stride {
            [1, 1, 1] if from == target => return Ok(label),
            [1, 1, 1] | [0, ..] | [_, 0, _] | [_, _, 0] => {
                let reason = format!("a label of {from:?} voxels has none at those of logits of {target:?}");
                return Err(GraphError { node: name.to_owned(), reason });
            }
            _ => {
                let geometry = Geometry::new([1; 3], stride, [0; 3]);
                label = graph.pool(name, &label.into(), Pooling::Max, geometry)?;
            }
        }
    }
}

/// Adds a gradient's share up in a state that [`UpdateGraph`] works on: it leaves its memory to the next.
fn accumulate(
    graph: &mut Graph,
    parameter: TensorId,
    gradient: TensorId,
    first: TensorId,
    batches: usize,
) -> Result<(), GraphError> {
    let sum = graph.state_like(SUM, parameter);
    let name = format!("{}.accumulate", graph.tensor(parameter).name);
    graph.update(&name, Accumulate { scale: 1.0 / batches as f32 }, &[gradient, first, sum])?;
    Ok(())
}

/// Prefix of the states in which gradients of several batches meet.
const SUM: &str = "gradient";

/// The optimiser alone, on the gradients that a [`TrainingGraph`] of several batches has added up.
pub struct UpdateGraph {
    pub graph: Graph,
    pub optimizer: Optimizer,
}

impl UpdateGraph {
    /// The update for every parameter of `step` that has a gradient.
    ///
    /// # Errors
    /// As [`Optimizer::new`].
    pub fn new(step: &TrainingGraph, options: &OptimizerOptions<'_>) -> Result<Self, GraphError> {
        let mut graph = Graph::new();
        let mut pairs = Vec::new();
        for (parameter, _) in step.gradients.pairs() {
            let here = graph.same_parameter(step.graph.tensor(parameter));
            pairs.push((here, graph.state_like(SUM, here)));
        }
        let optimizer = Optimizer::new(&mut graph, &Gradients::from_pairs(pairs), options)?;
        Ok(Self { graph, optimizer })
    }
}

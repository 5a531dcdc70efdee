//! What one scan asks of the GPU: the graphs of a window, of finished planes and of the decision, and their memory.
//!
//! The sums of all windows lie in rings of planes along X, no longer than one window and the planes that labels between it and the
//! next need: as soon as no later window reaches a plane, its labels are decided and the plane is used again. Where a class
//! would be too large for one binding so, planes are those along the axis where they are smallest. Classes are spread over as
//! many buffers as the binding limit asks for.

use std::ops::Range;
use std::sync::Arc;

use super::InferError;
use super::decision::Decision;
use super::windows::WindowGrid;
use crate::gpu::{Limits, PipelineKey};
use crate::graph::{Graph, MemoryPlan, MemoryReport, NodeId, Target, TensorId};
use crate::kernels::blend::{Activation, BlendDenominator, BlendNormalise, BlendWeights, ClearPlanes, Planes};
use crate::kernels::decide::{Decide, PackLabels};
use crate::kernels::half_sums::{HalfAdd, HalfMean};
use crate::kernels::head::Placement;
use crate::kernels::head::taken;
use crate::kernels::lazy::{Form, Lazy};
use crate::nets::{Built, Tail};

/// Scan voxels decided at once, at most: bounds the memory of the decision.
const BOX_VOXELS: usize = 4 << 20;

/// GPU memory of a run, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The network: weights, activations, input.
    pub network: MemoryReport,
    /// Sums of overlapping windows and the decision.
    pub stitching: u64,
}

impl Memory {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.network.total() + self.stitching
    }
}

/// A node that adds logits to the sums.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadNode {
    pub node: NodeId,
    /// Which part of the classes.
    pub part: usize,
    /// What it takes of the last block, where the network ends with one, and whether it adds the bias.
    pub end: Option<(Form, bool)>,
}

/// A window's network with its sums.
#[derive(Clone)]
pub(super) struct WindowGraph {
    pub graph: Graph,
    pub input: TensorId,
    pub axes: TensorId,
    pub heads: Vec<HeadNode>,
    /// Adds the window's weights; none where sums are kept in half precision, which have their own.
    pub weights: Option<NodeId>,
}

/// Sums in half precision: each window once it has seen all its mirrored passes, and the mean over folds.
#[derive(Clone)]
pub(super) struct HalfGraphs {
    pub add: Graph,
    pub axes: TensorId,
    pub adds: Vec<NodeId>,
    pub mean: Graph,
    pub means: Vec<NodeId>,
}

/// What is done with planes that no later window reaches.
#[derive(Clone)]
pub(super) struct FinishGraph {
    pub graph: Graph,
    pub denominator: Vec<NodeId>,
    pub normalise: Vec<NodeId>,
}

/// The decision in a box of the scan.
#[derive(Clone)]
pub(super) struct DecideGraph {
    pub graph: Graph,
    pub channels: Vec<TensorId>,
    /// Where the scan's voxels lie.
    pub tables: TensorId,
    pub decide: Vec<NodeId>,
    pub pack: NodeId,
    pub labels: TensorId,
}

/// Planes made ready for later windows.
#[derive(Clone)]
pub(super) struct ClearGraph {
    pub graph: Graph,
    pub nodes: Vec<NodeId>,
    /// Rings of weighted logits, part by part.
    pub sums: Vec<TensorId>,
    /// Ring of weights.
    pub count: TensorId,
    /// What lasts from window to window: sums and weights, or sums in half precision.
    pub kept: Vec<TensorId>,
}

/// The graphs of one scan.
#[derive(Clone)]
pub(super) struct Graphs {
    pub window: WindowGraph,
    pub finish: FinishGraph,
    pub clear: ClearGraph,
    pub half: Option<HalfGraphs>,
    pub decide: DecideGraph,
}

impl Graphs {
    /// Pipelines of the whole run on this target.
    pub fn pipelines(&self, target: &Target, limits: &Limits) -> Result<Vec<PipelineKey>, InferError> {
        let mut graphs = vec![&self.window.graph, &self.finish.graph, &self.clear.graph];
        graphs.extend(self.half.iter().flat_map(|half| [&half.add, &half.mean]));
        graphs.push(&self.decide.graph);
        let mut keys = Vec::new();
        for graph in graphs {
            keys.extend(MemoryPlan::new(graph, target, limits, false)?.pipelines());
        }
        Ok(keys)
    }
}

/// Sizes of one scan's run.
#[derive(Clone)]
pub(super) struct Job {
    /// The network for one window.
    pub network: Arc<Built>,
    /// Channels of the logits.
    pub classes: usize,
    pub grid: WindowGrid,
    pub activation: Activation,
    /// Classes of each buffer.
    pub parts: Vec<Range<usize>>,
    /// The axis along which planes are finished.
    pub axis: usize,
    /// Planes in a ring.
    pub ring: usize,
    /// Planes that stay for the labels between them and the next.
    pub held: usize,
    /// Scan voxels of the largest box.
    pub box_voxels: usize,
    /// Sums are kept in half precision, each of so many folds' for itself.
    pub half: Option<usize>,
}

impl Job {
    /// `decision`: how labels are made of planes along an axis.
    pub fn new(
        network: Arc<Built>,
        classes: usize,
        grid: WindowGrid,
        activation: Activation,
        decision: &dyn Fn(usize) -> Decision,
        limit: u64,
        half: Option<usize>,
    ) -> Result<(Self, Decision), InferError> {
        let voxels = |axis: usize, held: usize| {
            let ring = grid.padded[axis].min(grid.roi[axis] + held);
            grid.padded.iter().product::<usize>() / grid.padded[axis].max(1) * ring
        };
        let fits = |voxels: usize| 4 * (voxels * half.unwrap_or(1)) as u64 <= limit;
        let axis = match fits(voxels(0, 1)) {
            true => 0,
            false => (0..3).min_by_key(|&axis| voxels(axis, 1)).unwrap_or(0),
        };
        let decision = decision(axis);
        let held = decision.held();
        let ring = grid.padded[axis].min(grid.roi[axis] + held);
        let class_bytes = 4 * voxels(axis, held) as u64;
        let fitting = limit / (class_bytes * half.unwrap_or(1) as u64).max(1);
        // In half precision each part has its weights beside it.
        let most = fitting.saturating_sub(u64::from(half.is_some())).min(classes as u64) as usize;
        if most == 0 {
            return Err(InferError::VolumeTooLarge { dims: grid.image, planes: ring, bytes: class_bytes, limit });
        }
        let job = Self {
            network,
            classes,
            parts: (0..classes).step_by(most).map(|s| s..(s + most).min(classes)).collect(),
            box_voxels: decision.most_voxels(BOX_VOXELS.min((limit / 8) as usize).max(decision.slice_voxels())),
            grid,
            activation,
            axis,
            ring,
            held,
            half,
        };
        Ok((job, decision))
    }

    /// Size of a ring: the padded volume's but along its own axis.
    pub fn rings(&self) -> [usize; 3] {
        let mut size = self.grid.padded;
        size[self.axis] = self.ring;
        size
    }

    /// These planes.
    pub fn planes(&self, start: usize, count: usize) -> Planes {
        Planes { axis: self.axis, start, count }
    }

    fn acc(&self, g: &mut Graph, part: usize) -> TensorId {
        let [x, y, z] = self.rings();
        g.state(&format!("sums.{part}"), [self.parts[part].len(), x, y, z])
    }

    /// The sums of one window's passes.
    fn passes(&self, g: &mut Graph, part: usize) -> TensorId {
        let [x, y, z] = self.grid.roi;
        g.state(&format!("passes.{part}"), [self.parts[part].len(), x, y, z])
    }

    /// The sums of all folds in half precision.
    fn halves(&self, g: &mut Graph, part: usize, folds: usize) -> TensorId {
        let [x, y, z] = self.rings();
        g.state(&format!("halves.{part}"), [folds * (self.parts[part].len() + 1), x, y, z])
    }

    fn count(&self, g: &mut Graph) -> TensorId {
        g.state("weights", self.rings())
    }

    pub fn placement(&self, part: usize, start: [usize; 3], floor: f32, mirrored: [bool; 3]) -> Placement {
        Placement { start, floor, first_class: self.parts[part].start, mirrored }
    }

    /// The graphs of the run.
    pub fn graphs(&self, decision: &Decision) -> Result<Graphs, InferError> {
        Ok(Graphs {
            window: self.window_graph()?,
            finish: self.finish_graph()?,
            clear: self.clear_graph()?,
            half: self.half.map(|folds| self.half_graphs(folds)).transpose()?,
            decide: self.decide_graph(decision)?,
        })
    }

    fn window_graph(&self) -> Result<WindowGraph, InferError> {
        let Built { graph, input, output, .. } = &*self.network;
        let mut g = graph.clone();
        let axes = g.input("importance", [self.grid.roi.iter().sum()]);
        let mut heads = Vec::new();
        for part in 0..self.parts.len() {
            let acc = if self.half.is_some() { self.passes(&mut g, part) } else { self.acc(&mut g, part) };
            let at = self.placement(part, [0; 3], 0.0, [false; 3]);
            let name = format!("out.{part}");
            let mut head = |g: &mut Graph, name: &str, (end, weight): (&Lazy, TensorId), bias, biased| {
                let node = g.head_accumulate(name, end, weight, bias, axes, acc, (at, biased))?;
                heads.push(HeadNode { node, part, end: Some((taken(end), biased)) });
                Ok::<(), InferError>(())
            };
            match &output.tail {
                Tail::Head { end, weight, bias } => head(&mut g, &name, (end, *weight), *bias, true)?,
                Tail::Parts { ends, weights, bias } => {
                    for (i, (end, &weight)) in ends.iter().zip(weights).enumerate() {
                        head(&mut g, &format!("{name}.{i}"), (end, weight), *bias, i == 0)?;
                    }
                }
                Tail::Logits(logits) => {
                    let node = g.stitch(&name, *logits, axes, acc, at)?;
                    heads.push(HeadNode { node, part, end: None });
                }
            }
        }
        let weights = match self.half {
            None => {
                let count = self.count(&mut g);
                let op = BlendWeights { size: self.grid.roi, at: Placement::default() };
                Some(g.update("weights", op, &[axes, count])?)
            }
            Some(_) => None,
        };
        Ok(WindowGraph { graph: g, input: *input, axes, heads, weights })
    }

    fn half_graphs(&self, folds: usize) -> Result<HalfGraphs, InferError> {
        let (mut add, mut mean) = (Graph::new(), Graph::new());
        let (mut adds, mut means) = (Vec::new(), Vec::new());
        let axes = add.input("importance", [self.grid.roi.iter().sum()]);
        for part in 0..self.parts.len() {
            let (passes, halves) = (self.passes(&mut add, part), self.halves(&mut add, part, folds));
            let op = HalfAdd { at: Placement::default(), fold: 0, count: 1 };
            adds.push(add.update(&format!("add.{part}"), op, &[passes, axes, halves])?);
            let all = ClearPlanes { planes: Planes { axis: 0, start: 0, count: self.grid.roi[0] } };
            add.update(&format!("empty.{part}"), all, &[passes])?;
            let (halves, acc) = (self.halves(&mut mean, part, folds), self.acc(&mut mean, part));
            means.push(mean.update(
                &format!("mean.{part}"),
                HalfMean { folds, planes: Planes::default() },
                &[halves, acc],
            )?);
        }
        Ok(HalfGraphs { add, axes, adds, mean, means })
    }

    fn finish_graph(&self) -> Result<FinishGraph, InferError> {
        let mut g = Graph::new();
        let count = self.count(&mut g);
        let parts: Vec<TensorId> = (0..self.parts.len()).map(|p| self.acc(&mut g, p)).collect();
        let planes = Planes::default();
        let softmax = self.activation == Activation::Softmax;
        let lse = softmax.then(|| g.state("denominator", self.rings()));
        let mut made = FinishGraph { graph: Graph::new(), denominator: Vec::new(), normalise: Vec::new() };
        for (i, &acc) in parts.iter().enumerate() {
            if let Some(s) = lse {
                let op = BlendDenominator { first: i == 0, planes };
                made.denominator.push(g.update(&format!("denominator.{i}"), op, &[acc, count, s])?);
            }
        }
        for (i, &acc) in parts.iter().enumerate() {
            let op = BlendNormalise { activation: self.activation, planes };
            let inputs: Vec<TensorId> = [Some(count), lse, Some(acc)].into_iter().flatten().collect();
            made.normalise.push(g.update(&format!("normalise.{i}"), op, &inputs)?);
        }
        made.graph = g;
        Ok(made)
    }

    fn decide_graph(&self, decision: &Decision) -> Result<DecideGraph, InferError> {
        let mut g = Graph::new();
        let tables = g.input("tables", [decision.table_entries(self.box_voxels), 2]);
        let best = g.state("best", [self.box_voxels, 2]);
        let mut channels = Vec::new();
        let mut decide = Vec::new();
        for (i, part) in self.parts.iter().enumerate() {
            let channel = g.input(&format!("channels.{i}"), [part.len(), 2]);
            let acc = self.acc(&mut g, i);
            let op = Decide { first: i == 0, extent: [0; 3], ..decision.op };
            decide.push(g.update(&format!("decide.{i}"), op, &[acc, channel, tables, best])?);
            channels.push(channel);
        }
        let (pack, labels) = g.add_node("labels", PackLabels { voxels: 1 }, &[best])?;
        g.output(labels);
        Ok(DecideGraph { graph: g, channels, tables, decide, pack, labels })
    }

    fn clear_graph(&self) -> Result<ClearGraph, InferError> {
        let mut g = Graph::new();
        let count = self.count(&mut g);
        let sums: Vec<TensorId> = (0..self.parts.len()).map(|p| self.acc(&mut g, p)).collect();
        let kept: Vec<TensorId> = match self.half {
            Some(folds) => (0..self.parts.len()).map(|p| self.halves(&mut g, p, folds)).collect(),
            None => sums.iter().copied().chain([count]).collect(),
        };
        let op = ClearPlanes { planes: Planes::default() };
        let nodes = kept
            .iter()
            .enumerate()
            .map(|(i, &state)| g.update(&format!("clear.{i}"), op, &[state]))
            .collect::<Result<_, _>>()?;
        Ok(ClearGraph { graph: g, nodes, sums, count, kept })
    }

    /// GPU memory of the whole run on this target, planned without a device.
    pub fn memory(&self, graphs: &Graphs, target: &Target, limits: &Limits) -> Result<Memory, InferError> {
        let place = |g: &Graph| MemoryPlan::new(g, target, limits, false);
        let network = place(&graphs.window.graph)?.memory().clone();
        let finish = place(&graphs.finish.graph)?.memory().clone();
        let lse = match self.activation {
            Activation::Softmax => 4 * self.rings().iter().product::<usize>() as u64,
            Activation::None | Activation::Sigmoid => 0,
        };
        let mut stitching = network.states + lse + finish.uniforms;
        if let Some(half) = &graphs.half {
            let (add, mean) = (place(&half.add)?.memory().clone(), place(&half.mean)?.memory().clone());
            // The window's passes are states of two graphs, the folds' sums as well.
            let count = 4 * self.rings().iter().product::<usize>() as u64;
            stitching += mean.states + count + add.inputs + add.uniforms + mean.uniforms;
        }
        let decide = place(&graphs.decide.graph)?.memory().clone();
        stitching += 8 * self.box_voxels as u64 + decide.activations + decide.inputs + decide.uniforms;
        Ok(Memory { network: MemoryReport { states: 0, ..network }, stitching })
    }
}

//! One scan through the network: windows in, sums on the GPU, finished planes out.

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::InferError;
use super::decision::Decision;
use super::job::{ClearGraph, DecideGraph, FinishGraph, HalfGraphs, HeadNode, Job, WindowGraph};
use super::observer::{FinishedPlanes, LabelBox, Observer, RunState, Saved};
use super::segmenter::{PreparedScan, Progress};
use super::windows::Importance;
use crate::gpu::Gpu;
use crate::graph::{Graph, Plan, PlanOptions, Residents};
use crate::kernels::blend::{BlendDenominator, BlendNormalise, BlendWeights, ClearPlanes, Planes};
use crate::kernels::decide::{Decide, NOT_FINITE, PackLabels};
use crate::kernels::half_sums::{HalfAdd, HalfMean};
use crate::kernels::head::HeadAccumulate;
use crate::kernels::stitch::Stitch;
use crate::volume::Volume;
use crate::volume::orientation::Turn;

/// What a run gives.
#[derive(Clone, Copy, Default)]
pub(super) struct Keep {
    pub labels: bool,
    /// On the model's grid.
    pub logits: bool,
    /// On the model's grid.
    pub probabilities: bool,
}

/// The scan seen by one set of weights, its windows mirrored along some axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    pub fold: usize,
    pub mirrored: [bool; 3],
}

/// A graph on the device, and the nodes of it that change from run to run.
struct Stage<T> {
    plan: Plan,
    nodes: T,
}

impl<T: Clone> Stage<T> {
    async fn new(gpu: &Gpu, graph: &Graph, nodes: &T, residents: &mut Residents) -> Result<Self, InferError> {
        let plan = Plan::new(gpu, graph, &PlanOptions::default(), residents).await?;
        Ok(Self { plan, nodes: nodes.clone() })
    }
}

/// Sums in half precision: a window's, and the folds'.
struct Half {
    add: Plan,
    mean: Plan,
    nodes: HalfGraphs,
    folds: usize,
}

/// The plans of one scan on one device.
pub(super) struct Run {
    job: Job,
    importance: Importance,
    window: Stage<WindowGraph>,
    finish: Stage<FinishGraph>,
    clear: Stage<ClearGraph>,
    half: Option<Half>,
    decide: Stage<DecideGraph>,
    decision: Decision,
    keep: Keep,
    passes: Vec<Pass>,
}

impl Run {
    pub async fn new(
        gpu: &Gpu,
        prepared: &PreparedScan,
        weights: &[Residents],
        table: &[[f32; 2]],
        importance: Importance,
        keep: Keep,
    ) -> Result<Self, InferError> {
        let passes = prepared.passes(weights.len());
        let job = prepared.job.clone();
        // The sums are this run's own; only the weights are shared.
        let mut sets = weights.iter();
        let mut residents = sets.next().cloned().unwrap_or_default();
        let graphs = &prepared.graphs;
        let mut window = Stage::new(gpu, &graphs.window.graph, &graphs.window, &mut residents).await?;
        for set in sets {
            window.plan.add_weights(set).await?;
        }
        let finish = Stage::new(gpu, &graphs.finish.graph, &graphs.finish, &mut residents).await?;
        let clear = Stage::new(gpu, &graphs.clear.graph, &graphs.clear, &mut residents).await?;
        let graph = &graphs.decide;
        let decide = Stage::new(gpu, &graph.graph, graph, &mut residents).await?;
        for (&id, part) in graph.channels.iter().zip(&job.parts) {
            decide.plan.write(id, table[part.clone()].as_flattened())?;
        }
        if !prepared.decision.tables.is_empty() {
            decide.plan.write(graph.tables, &prepared.decision.tables)?;
        }
        let half = match (&graphs.half, job.half) {
            (Some(nodes), Some(folds)) => {
                let options = PlanOptions::default();
                let add = Plan::new(gpu, &nodes.add, &options, &mut residents).await?;
                let mean = Plan::new(gpu, &nodes.mean, &options, &mut residents).await?;
                add.write(nodes.axes, &importance.axes)?;
                // Passes are added up as they are, and means divided by nothing.
                window.plan.write(window.nodes.axes, &vec![1.0; importance.axes.len()])?;
                clear.plan.write(clear.nodes.count, &vec![1.0; job.rings().iter().product()])?;
                Some(Half { add, mean, nodes: nodes.clone(), folds })
            }
            _ => {
                window.plan.write(window.nodes.axes, &importance.axes)?;
                None
            }
        };
        let decision = prepared.decision.clone();
        Ok(Self { importance, window, finish, clear, half, decide, decision, keep, passes, job })
    }

    /// The same run of one pass alone.
    pub fn only(&mut self, pass: Pass) {
        self.passes = vec![pass];
    }

    /// First voxel of a window: planes are finished one after the other.
    fn start(&self, index: usize) -> [usize; 3] {
        self.job.grid.start(index, self.job.axis)
    }

    /// All windows that `state` does not have yet, in MONAI's order where planes are finished along X.
    pub async fn windows(
        &mut self,
        prepared: &PreparedScan,
        state: &mut RunState,
        observer: &mut dyn Observer,
    ) -> Result<(), InferError> {
        self.make_room(&mut state.result);
        let (total, mut planes) = (self.job.grid.count(), 0);
        if let Some(saved) = &state.saved {
            planes = self.restore(saved)?;
        }
        for done in state.windows()..total {
            let start = self.start(done);
            self.window(prepared, start).await?;
            let done = done + 1;
            if observer.window(Progress { done, total }).is_break() {
                return Err(InferError::Cancelled { done, total });
            }
            let axis = self.job.axis;
            let next = if done < total { self.start(done)[axis] } else { self.job.grid.padded[axis] };
            if next > start[axis] {
                self.planes(planes, next, &mut state.result, observer).await?;
                planes = next;
            }
            if done < total && observer.save() {
                state.saved = Some(self.save(done, planes).await?);
                observer.saved();
            }
        }
        Ok(())
    }

    /// The first window `times` over, for its time alone: the sums are of no use afterwards.
    pub async fn rehearse(
        &mut self,
        prepared: &PreparedScan,
        times: usize,
        tick: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<(), InferError> {
        for _ in 0..times {
            self.window(prepared, self.start(0)).await?;
            if tick().is_break() {
                break;
            }
        }
        Ok(())
    }

    fn make_room(&self, result: &mut FinishedPlanes) {
        let voxels = self.job.grid.image.iter().product::<usize>() * self.job.classes;
        let room = |keep: bool| if keep { voxels } else { 0 };
        result.logits.resize(room(self.keep.logits), 0.0);
        result.probabilities.resize(room(self.keep.probabilities), 0.0);
        if self.keep.labels {
            result.labels.resize(self.decision.dims.iter().product(), 0);
        }
    }

    async fn save(&self, done: usize, planes: usize) -> Result<Saved, InferError> {
        let Stage { plan, nodes } = &self.clear;
        let mut sums = Vec::with_capacity(nodes.kept.len());
        for &part in &nodes.kept {
            sums.push(plan.read(part).await?);
        }
        Ok(Saved { done, planes, decision: self.decision.clone(), sums })
    }

    /// Takes up what another device has reached; gives the number of finished planes.
    fn restore(&mut self, saved: &Saved) -> Result<usize, InferError> {
        let Stage { plan, nodes } = &self.clear;
        for (&id, values) in nodes.kept.iter().zip(&saved.sums) {
            plan.write(id, values)?;
        }
        self.decision.clone_from(&saved.decision);
        Ok(saved.planes)
    }

    async fn window(&mut self, prepared: &PreparedScan, start: [usize; 3]) -> Result<(), InferError> {
        let seen = gather(&prepared.volume, &self.job, start);
        let passes = self.passes.clone();
        for passes in passes.chunk_by(|a, b| a.fold == b.fold) {
            let (fold, count) = (passes.first().map_or(0, |pass| pass.fold), passes.len());
            self.window.plan.select_weights(fold);
            for pass in passes {
                let input = mirror(&seen, prepared.volume.channels, self.job.grid.roi, pass.mirrored);
                self.submit(&input, start, pass.mirrored)?;
                self.window.plan.finish().await?;
            }
            let placements: Vec<_> = (0..self.job.parts.len())
                .map(|part| self.job.placement(part, start, self.importance.floor, [false; 3]))
                .collect();
            if let Some(Half { add, nodes, .. }) = &mut self.half {
                for (&node, at) in nodes.adds.iter().zip(placements) {
                    add.set_kernel(node, &HalfAdd { at, fold, count })?;
                }
                add.run()?;
            }
        }
        Ok(())
    }

    fn submit(&mut self, input: &[f32], start: [usize; 3], mirrored: [bool; 3]) -> Result<(), InferError> {
        let Stage { plan, nodes: graph } = &mut self.window;
        plan.write(graph.input, input)?;
        let (place, floor) = if self.half.is_some() { ([0; 3], 0.0) } else { (start, self.importance.floor) };
        for &HeadNode { node, part, end } in &graph.heads {
            let at = self.job.placement(part, place, floor, mirrored);
            match end {
                Some((form, biased)) => plan.set_kernel(node, &HeadAccumulate { form, at, biased })?,
                None => plan.set_kernel(node, &Stitch { at })?,
            }
        }
        if let Some(weights) = graph.weights {
            let at = self.job.placement(0, place, floor, [false; 3]);
            plan.set_kernel(weights, &BlendWeights { size: self.job.grid.roi, at })?;
        }
        Ok(plan.run()?)
    }

    /// Planes `from..to` get no more windows: probabilities, labels, and room for the planes to come. The last are kept, because
    /// the first scan voxels of the next planes may be made of both.
    async fn planes(
        &mut self,
        from: usize,
        to: usize,
        result: &mut FinishedPlanes,
        observer: &mut dyn Observer,
    ) -> Result<(), InferError> {
        let planes = self.job.planes(from, to - from);
        if let Some(Half { mean, nodes, folds, .. }) = &mut self.half {
            for &node in &nodes.means {
                mean.set_kernel(node, &HalfMean { folds: *folds, planes })?;
            }
            mean.run()?;
        }
        if self.keep.logits {
            let means = self.read(planes, true).await?;
            scatter(&self.job, planes, &means, &mut result.logits);
        }
        let Stage { plan, nodes: graph } = &mut self.finish;
        for (i, &node) in graph.denominator.iter().enumerate() {
            plan.set_kernel(node, &BlendDenominator { first: i == 0, planes })?;
        }
        for &node in &graph.normalise {
            plan.set_kernel(node, &BlendNormalise { activation: self.job.activation, planes })?;
        }
        plan.run()?;
        if self.keep.probabilities {
            let probabilities = self.read(planes, false).await?;
            scatter(&self.job, planes, &probabilities, &mut result.probabilities);
        }
        if self.keep.labels {
            self.decide(to, &mut result.labels, observer).await?;
        }
        let first = from.saturating_sub(self.job.held);
        let old = self.job.planes(first, to.saturating_sub(self.job.held).max(first) - first);
        let Stage { plan, nodes: graph } = &mut self.clear;
        for &node in &graph.nodes {
            plan.set_kernel(node, &ClearPlanes { planes: old })?;
        }
        Ok(plan.run()?)
    }

    async fn decide(&mut self, planes: usize, out: &mut [u16], observer: &mut dyn Observer) -> Result<(), InferError> {
        let (Stage { plan, nodes: graph }, decision) = (&mut self.decide, &mut self.decision);
        let begun = decision.decided();
        for (begin, extent) in decision.boxes(planes, self.job.box_voxels) {
            let voxels: usize = extent.iter().product();
            let mut own = decision.voxels(begin, extent, begun);
            if let Some((table, _)) = &mut own {
                table.resize(2 * decision.table_entries(self.job.box_voxels), 0.0);
                plan.write(graph.tables, table)?;
            }
            for (i, &node) in graph.decide.iter().enumerate() {
                plan.set_kernel(node, &Decide { first: i == 0, begin, extent, ..decision.op })?;
            }
            plan.set_kernel(graph.pack, &PackLabels { voxels })?;
            plan.run()?;
            let bytes = plan.read_raw(graph.labels, 2 * voxels as u64).await?;
            let mut labels: Vec<u16> = bytemuck::pod_collect_to_vec(&bytes);
            let bad = labels.iter().filter(|&&l| l == NOT_FINITE).count();
            if bad > 0 {
                return Err(InferError::NotFinite { count: bad });
            }
            let d = decision.dims;
            for (row, values) in labels.chunks_exact_mut(extent[2]).enumerate() {
                let (x, y) = (begin[0] + row / extent[1], begin[1] + row % extent[1]);
                let target = &mut out[(x * d[1] + y) * d[2] + begin[2]..][..extent[2]];
                if let Some((_, now)) = &own {
                    let due = &now[row * extent[2]..][..extent[2]];
                    let pairs = values.iter_mut().zip(target.iter()).zip(due);
                    pairs.filter(|(_, due)| !**due).for_each(|((value, known), _)| *value = *known);
                }
                target.copy_from_slice(values);
            }
            if decision.on_scan {
                observer.labels(&LabelBox { begin, extent, labels: &labels });
            }
        }
        Ok(())
    }

    /// The sums of some planes, plane by plane of each class, divided by the weights if they are not yet.
    async fn read(&self, planes: Planes, divide: bool) -> Result<Vec<f32>, InferError> {
        let Stage { plan, nodes } = &self.clear;
        let weights = if divide { plan.read(nodes.count).await? } else { Vec::new() };
        let size = self.job.rings();
        let voxels = size.iter().product::<usize>();
        let mut values = Vec::with_capacity(self.job.classes * planes.count * voxels / self.job.ring.max(1));
        for &sums in &nodes.sums {
            let part = plan.read(sums).await?;
            for class in part.chunks_exact(voxels) {
                for plane in planes.start..planes.start + planes.count {
                    each_of_plane(size, planes.axis, plane % self.job.ring, |at| {
                        values.push(if divide { class[at] / weights[at] } else { class[at] });
                    });
                }
            }
        }
        Ok(values)
    }
}

/// Flat positions of one plane of a volume.
fn each_of_plane(size: [usize; 3], axis: usize, plane: usize, mut visit: impl FnMut(usize)) {
    let range = |a: usize| if a == axis { plane..plane + 1 } else { 0..size[a] };
    for x in range(0) {
        for y in range(1) {
            range(2).for_each(|z| visit((x * size[1] + y) * size[2] + z));
        }
    }
}

/// The window at `start` of the padded volume, `(C, X, Y, Z)`; padding is zero.
fn gather(volume: &Volume, job: &Job, start: [usize; 3]) -> Vec<f32> {
    let (grid, d) = (&job.grid, volume.dims);
    let [rx, ry, rz] = grid.roi;
    let mut window = vec![0.0; volume.channels * rx * ry * rz];
    // Along Z: the part of the window that lies in the volume.
    let from = grid.before[2].saturating_sub(start[2]);
    let to = (grid.before[2] + d[2]).saturating_sub(start[2]).min(rz);
    let inside = |v: usize, a: usize| (start[a] + v).checked_sub(grid.before[a]).filter(|&q| q < d[a]);
    for row in 0..volume.channels * rx * ry {
        let (c, x, y) = (row / ry / rx, row / ry % rx, row % ry);
        if let (Some(qx), Some(qy), true) = (inside(x, 0), inside(y, 1), from < to) {
            let source = ((c * d[0] + qx) * d[1] + qy) * d[2] + start[2] + from - grid.before[2];
            window[row * rz + from..row * rz + to].copy_from_slice(&volume.data[source..source + to - from]);
        }
    }
    window
}

/// A window mirrored along some axes.
fn mirror(window: &[f32], channels: usize, size: [usize; 3], axes: [bool; 3]) -> Cow<'_, [f32]> {
    if axes == [false; 3] {
        return Cow::Borrowed(window);
    }
    let turn = Turn { flip: axes, ..Turn::NONE };
    let voxels = size.iter().product::<usize>().max(1);
    Cow::Owned(window.chunks(voxels).take(channels).flat_map(|channel| turn.apply(channel, size)).collect())
}

/// Planes of each class, as [`Run::read`] gives them, into `(classes, X, Y, Z)` without the padding.
fn scatter(job: &Job, planes: Planes, values: &[f32], out: &mut [f32]) {
    let (grid, d, a) = (&job.grid, job.grid.image, planes.axis);
    let [u, v] = [[1, 2], [0, 2], [0, 1]][a];
    let (rows, columns) = (grid.padded[u], grid.padded[v]);
    for (i, plane) in values.chunks_exact(rows * columns).enumerate() {
        let (class, p) = (i / planes.count, planes.start + i % planes.count);
        let Some(at) = p.checked_sub(grid.before[a]).filter(|&at| at < d[a]) else {
            continue;
        };
        for row in 0..d[u] {
            let source = (grid.before[u] + row) * columns + grid.before[v];
            for column in 0..d[v] {
                let mut place = [0; 3];
                (place[a], place[u], place[v]) = (at, row, column);
                out[((class * d[0] + place[0]) * d[1] + place[1]) * d[2] + place[2]] = plane[source + column];
            }
        }
    }
}

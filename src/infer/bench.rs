//! How fast a network runs on this device, kernel by kernel, against what the device can do at best.

use std::ops::ControlFlow;

use super::InferError;
use crate::gpu::Gpu;
use crate::graph::{Graph, MemoryReport, Plan, PlanError, PlanOptions, Residents};
use crate::kernels::ceiling::Ceiling;
use crate::nets::{Architecture, Build};
use crate::tensor::HostTensor;

/// One node's time.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeTime {
    pub name: String,
    pub op: &'static str,
    /// Milliseconds; `None` where the device has no timestamps.
    pub milliseconds: Option<f64>,
    /// Billions of operations.
    pub gflop: f64,
    /// Gigabytes moved at the least.
    pub gigabytes: f64,
}

/// A measured window.
#[derive(Clone, Debug, PartialEq)]
pub struct BenchReport {
    /// Lower median of the whole window, milliseconds, by the host's clock.
    pub window_ms: f64,
    /// Every repeat.
    pub repeats_ms: Vec<f64>,
    /// Nodes in order.
    pub nodes: Vec<NodeTime>,
    /// GPU memory.
    pub memory: MemoryReport,
    /// Copy bandwidth, GB/s counted as read plus written.
    pub copy_gbs: f64,
    /// Multiply-adds in registers, GFLOP/s.
    pub fma_gflops: f64,
}

/// Times windows `roi` of this network with noise as weights and input; the device should do nothing else meanwhile. `now` is
/// the host's clock in milliseconds: a browser's is not the standard library's. `tick` is called after each window and
/// may stop.
///
/// # Errors
/// [`InferError`] if the network cannot run; [`InferError::Cancelled`].
pub async fn bench(
    gpu: &Gpu,
    network: &Architecture,
    roi: [usize; 3],
    half_weights: bool,
    repeats: usize,
    now: &dyn Fn() -> f64,
    tick: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<BenchReport, InferError> {
    let mut built = network.build(&Build { half_weights, ..Build::window(roi) })?;
    let logits = built.logits()?;
    built.graph.output(logits);
    let mut residents = noise_weights(gpu, &built.graph).await?;
    let plan = Plan::new(gpu, &built.graph, &PlanOptions::default(), &mut residents).await?;
    plan.write(built.input, &HostTensor::noise(built.graph.shape(built.input).clone(), 1).to_f32())?;
    // Also the runs at whose first pipelines and buffers are made.
    let nodes = timed_nodes(&plan).await?;
    let total = repeats.max(1);
    let mut repeats_ms = Vec::with_capacity(total);
    while repeats_ms.len() < total {
        repeats_ms.push(timed_run(&plan, now).await?);
        if tick().is_break() {
            return Err(InferError::Cancelled { done: repeats_ms.len(), total });
        }
    }
    let (fma_gflops, copy_gbs) = ceilings(gpu, now).await?;
    Ok(BenchReport {
        window_ms: lower_median(&repeats_ms),
        repeats_ms,
        nodes,
        memory: plan.memory().clone(),
        copy_gbs,
        fma_gflops,
    })
}

/// Weights that stand for trained ones.
pub(crate) async fn noise_weights(gpu: &Gpu, graph: &Graph) -> Result<Residents, PlanError> {
    let mut residents = Residents::default();
    for (i, (_, info)) in graph.parameters().enumerate() {
        // Scaled by the fan-in as trained weights are, so that no value leaves the range of floats.
        let fan_in = (info.shape.elements() / info.shape.dims()[0].max(1)).max(1) as f64;
        let noise = HostTensor::noise(info.shape.clone(), i as u64).map(|v| v / fan_in.sqrt());
        residents.load(gpu, info, &noise.to_f32()).await?;
    }
    Ok(residents)
}

/// Milliseconds of one run by the host's clock `now`.
pub(crate) async fn timed_run(plan: &Plan, now: &dyn Fn() -> f64) -> Result<f64, PlanError> {
    let start = now();
    plan.run()?;
    plan.finish().await?;
    Ok(now() - start)
}

/// The nodes in order, timed in the second of two runs.
pub(crate) async fn timed_nodes(plan: &Plan) -> Result<Vec<NodeTime>, PlanError> {
    let times = plan.node_times(1).await?;
    let node = |(i, n): (usize, &crate::graph::NodeReport)| NodeTime {
        name: n.name.clone(),
        op: n.op,
        milliseconds: times.as_ref().map(|t| t[i]),
        gflop: n.cost.flops * 1e-9,
        gigabytes: n.cost.bytes * 1e-9,
    };
    Ok(plan.nodes().iter().enumerate().map(node).collect())
}

/// GFLOP/s of multiply-adds in registers and GB/s of copying.
pub(crate) async fn ceilings(gpu: &Gpu, now: &dyn Fn() -> f64) -> Result<(f64, f64), PlanError> {
    Ok((ceiling(gpu, Some(512), now).await?.0, ceiling(gpu, None, now).await?.1))
}

/// (GFLOP/s, GB/s) of a ceiling kernel, the best of five.
async fn ceiling(gpu: &Gpu, rounds: Option<u32>, now: &dyn Fn() -> f64) -> Result<(f64, f64), PlanError> {
    let elements = if rounds.is_some() { 1 << 18 } else { 1 << 24 };
    let mut graph = Graph::new();
    let x = graph.input("x", [elements / 4, 4]);
    let y = graph.add_one("y", Ceiling { rounds }, &[x])?;
    graph.output(y);
    let plan = Plan::new(gpu, &graph, &PlanOptions::default(), &mut Residents::default()).await?;
    let cost = plan.nodes()[0].cost;
    let mut best = f64::INFINITY;
    for _ in 0..6 {
        best = best.min(timed_run(&plan, now).await? * 1e-3);
    }
    Ok((cost.flops * 1e-9 / best, cost.bytes * 1e-9 / best))
}

/// The middle value, the lower of two.
pub(crate) fn lower_median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() - 1) / 2]
}

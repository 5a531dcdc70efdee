//! How fast a network runs on this device, kernel by kernel, against what the device can do at best.

use std::time::Instant;

use super::InferError;
use crate::gpu::Gpu;
use crate::graph::{Graph, MemoryReport, Plan, PlanOptions, Residents};
use crate::kernels::ceiling::Ceiling;
use crate::model::{UnetrConfig, unetr};
use crate::tensor::HostTensor;

/// One node's time.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeTime {
    /// Path.
    pub name: String,
    /// Op.
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

/// Times windows of this network with noise as weights and input; the device should do nothing else meanwhile.
///
/// # Errors
/// [`InferError`] if the network cannot run.
pub async fn bench(
    gpu: &Gpu,
    config: &UnetrConfig,
    half_weights: bool,
    repeats: usize,
) -> Result<BenchReport, InferError> {
    config.validate()?;
    let mut graph = Graph::new().with_half_weights(half_weights);
    let network = unetr(&mut graph, config, 1)?;
    let logits = graph.head("out", &network.end, network.out.0, network.out.1)?;
    graph.output(logits);
    let mut residents = Residents::default();
    for (i, (_, info)) in graph.parameters().enumerate() {
        // Scaled by the fan-in as trained weights are, so that no value leaves the range of floats.
        let fan_in = (info.shape.elements() / info.shape.dims()[0].max(1)).max(1) as f64;
        let noise = HostTensor::noise(info.shape.clone(), i as u64).map(|v| v / fan_in.sqrt());
        residents.load(gpu, info, &noise.to_f32()).await?;
    }
    let plan = Plan::new(gpu, &graph, &PlanOptions::default(), &mut residents).await?;
    plan.write(network.input, &HostTensor::noise(graph.shape(network.input).clone(), 1).to_f32())?;
    // Twice unmeasured: pipelines and buffers are made at first use.
    let profile = [plan.profile().await?, plan.profile().await?].into_iter().next_back().flatten();
    let mut repeats_ms = Vec::with_capacity(repeats.max(1));
    for _ in 0..repeats.max(1) {
        let start = Instant::now();
        plan.run()?;
        plan.finish().await?;
        repeats_ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let nodes = plan
        .nodes()
        .iter()
        .map(|n| NodeTime {
            name: n.name.clone(),
            op: n.op,
            milliseconds: profile.as_ref().map(|times| {
                let own = times.iter().filter(|t| t.label.rsplit_once('/').is_some_and(|(node, _)| node == n.name));
                own.map(|t| t.milliseconds).sum()
            }),
            gflop: n.cost.flops * 1e-9,
            gigabytes: n.cost.bytes * 1e-9,
        })
        .collect();
    Ok(BenchReport {
        window_ms: lower_median(&repeats_ms),
        repeats_ms,
        nodes,
        memory: plan.memory().clone(),
        copy_gbs: ceiling(gpu, None).await?.1,
        fma_gflops: ceiling(gpu, Some(512)).await?.0,
    })
}

/// (GFLOP/s, GB/s) of a ceiling kernel, the best of five.
async fn ceiling(gpu: &Gpu, rounds: Option<u32>) -> Result<(f64, f64), InferError> {
    let elements = if rounds.is_some() { 1 << 18 } else { 1 << 24 };
    let mut graph = Graph::new();
    let x = graph.input("x", [elements / 4, 4]);
    let y = graph.add_one("y", Ceiling { rounds }, &[x])?;
    graph.output(y);
    let plan = Plan::new(gpu, &graph, &PlanOptions::default(), &mut Residents::default()).await?;
    let cost = plan.nodes()[0].cost;
    let mut best = f64::INFINITY;
    for _ in 0..6 {
        let start = Instant::now();
        plan.run()?;
        plan.finish().await?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok((cost.flops * 1e-9 / best, cost.bytes * 1e-9 / best))
}

fn lower_median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() - 1) / 2]
}

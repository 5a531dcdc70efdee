//! How long a training step takes on this device, kernel by kernel, and how many forward passes of the same batch that is.

use std::time::Instant;

use super::{Optimizer, Rates, StepSpec, TrainError, TrainingGraph};
use crate::gpu::Gpu;
use crate::graph::{MemoryReport, Plan, PlanOptions};
use crate::infer::{NodeTime, ceilings, lower_median, noise_weights, timed_nodes, timed_run};
use crate::nets::{Architecture, Build};
use crate::tensor::HostTensor;

/// A measured training step.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingBench {
    /// Lower median of a step (forward, loss, backward, update), milliseconds, by the host's clock.
    pub step_ms: f64,
    /// Every step.
    pub steps_ms: Vec<f64>,
    /// Lower median of a forward pass of the same batch, as it is made for segmenting.
    pub forward_ms: f64,
    /// Every forward pass; they took turns with the steps.
    pub forwards_ms: Vec<f64>,
    /// The step's nodes up to the loss.
    pub forward: Vec<NodeTime>,
    /// Those from the loss to the gradients.
    pub backward: Vec<NodeTime>,
    /// Those that update the weights.
    pub update: Vec<NodeTime>,
    /// The loss of the last step: a number, or what was timed is no step.
    pub loss: f32,
    /// GPU memory of the step.
    pub memory: MemoryReport,
    /// Copy bandwidth, GB/s counted as read plus written.
    pub copy_gbs: f64,
    /// Multiply-adds in registers, GFLOP/s.
    pub fma_gflops: f64,
}

impl TrainingBench {
    /// Forward passes of the same batch that a step takes.
    pub fn ratio(&self) -> f64 {
        self.step_ms / self.forward_ms
    }
}

/// Times steps of AdamW on this network with noise as weights, windows and labels, by turns with forward passes; the device
/// should do nothing else meanwhile.
///
/// # Errors
/// [`TrainError`] if the network cannot run.
pub async fn bench_training(
    gpu: &Gpu,
    network: &Architecture,
    spec: &StepSpec<'_>,
    repeats: usize,
) -> Result<TrainingBench, TrainError> {
    let clock = Instant::now();
    let now = || clock.elapsed().as_secs_f64() * 1e3;
    let mut built = network.build(&Build { batch: spec.batch, ..Build::window(spec.window) })?;
    let logits = built.logits()?;
    let graph = &mut built.graph;
    graph.output(logits);
    let mut residents = noise_weights(gpu, graph).await?;
    let forward = Plan::new(gpu, graph, &PlanOptions::default(), &mut residents).await?;
    let windows = HostTensor::noise(graph.shape(built.input).clone(), 1).to_f32();
    forward.write(built.input, &windows)?;

    let mut step = TrainingGraph::new(network, spec)?;
    let differentiated = step.graph.nodes().len();
    let optimizer = Optimizer::new(&mut step.graph, &step.gradients, &spec.optimizer)?;
    let plan = Plan::new(gpu, &step.graph, &PlanOptions::default(), &mut residents).await?;
    plan.write(step.input, &windows)?;
    let classes = if spec.loss.sigmoid { 2 } else { network.out_channels() };
    let label = HostTensor::noise(step.graph.shape(step.label).clone(), 2);
    plan.write(step.label, &label.map(|v| ((v + 1.0) / 2.0 * classes as f64).floor()).to_f32())?;
    if let Some(weights) = step.class_weights {
        plan.write(weights, &vec![1.0; network.out_channels()])?;
    }
    plan.write(optimizer.rates, &Rates::default().at(1))?;

    forward.run()?;
    let mut nodes = timed_nodes(&plan).await?;
    let (mut steps_ms, mut forwards_ms) = (Vec::new(), Vec::new());
    for _ in 0..repeats.max(1) {
        forwards_ms.push(timed_run(&forward, &now).await?);
        steps_ms.push(timed_run(&plan, &now).await?);
    }
    let update = nodes.split_off(differentiated);
    let made = step.graph.nodes().iter().position(|n| n.outputs.contains(&step.loss));
    let backward = nodes.split_off(made.map_or(0, |node| node + 1));
    let (fma_gflops, copy_gbs) = ceilings(gpu, &now).await?;
    Ok(TrainingBench {
        step_ms: lower_median(&steps_ms),
        steps_ms,
        forward_ms: lower_median(&forwards_ms),
        forwards_ms,
        forward: nodes,
        backward,
        update,
        loss: plan.read(step.loss).await?[0],
        memory: plan.memory().clone(),
        copy_gbs,
        fma_gflops,
    })
}

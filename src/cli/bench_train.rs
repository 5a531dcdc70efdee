//! `unetr bench --train`: how fast a step of training runs here, and how many forward passes it takes.

use serde_json::json;

use super::bench::{by_op, gflop, table, to_json};
use super::console::{bytes, fact, print, print_json, sizes};
use super::error::CliError;
use crate::gpu::{AdapterClass, Gpu};
use crate::infer::NodeTime;
use crate::kernels::dice_ce::DiceCe;
use crate::nets::Architecture;
use crate::train::{StepSpec, TrainingBench, bench_training};

pub(super) struct Options {
    pub batch: usize,
    pub repeats: usize,
    pub nodes: bool,
    pub json: bool,
}

pub(super) fn run(gpu: &Gpu, network: &Architecture, roi: [usize; 3], options: &Options) -> Result<(), CliError> {
    let batch = options.batch;
    fact("step", format!("batch of {batch} x {}, Dice + cross entropy, AdamW", sizes(roi)));
    let spec = StepSpec::new(roi, batch, DiceCe::default());
    let report = pollster::block_on(bench_training(gpu, network, &spec, options.repeats))?;
    let phases = [("forward", &report.forward), ("backward", &report.backward), ("update", &report.update)];
    if options.json {
        let phase = |(name, nodes): (&str, &Vec<NodeTime>)| json!({"name": name, "ms": milliseconds(nodes), "gflop": gflop(nodes), "ops": to_json(&by_op(nodes)), "nodes": to_json(nodes)});
        let adapter = gpu.adapter();
        return print_json(&json!({
            "adapter": adapter.to_string(), "software": adapter.class == AdapterClass::Software,
            "network": network.to_json(), "roi_size": roi, "batch": batch, "loss": report.loss,
            "step_ms": report.step_ms, "repeats_ms": report.steps_ms,
            "forward_ms": report.forward_ms, "forward_repeats_ms": report.forwards_ms, "forward_passes": report.ratio(),
            "peak_bytes": report.memory.total(), "copy_gbs": report.copy_gbs, "fma_gflops": report.fma_gflops,
            "phases": phases.map(phase),
        }));
    }
    let mut rows = Vec::new();
    for (name, nodes) in phases {
        let nodes = if options.nodes { nodes.clone() } else { by_op(nodes) };
        rows.extend(nodes.into_iter().map(|n| NodeTime { name: format!("{name} {}", n.name), ..n }));
    }
    print(&text(&report, &rows, phases))
}

/// The sum, where every node is timed.
fn milliseconds(nodes: &[NodeTime]) -> Option<f64> {
    nodes.iter().map(|n| n.milliseconds).sum()
}

fn text(report: &TrainingBench, rows: &[NodeTime], phases: [(&str, &Vec<NodeTime>); 3]) -> String {
    let mut text = table(rows, (report.fma_gflops, report.copy_gbs)) + "\n";
    let mut all = 0.0;
    for (name, nodes) in phases {
        all += gflop(nodes);
        if let Some(ms) = milliseconds(nodes) {
            text += &format!("{name} {ms:.2} ms, {:.1} GFLOP/s\n", gflop(nodes) / ms * 1e3);
        }
    }
    text + &format!(
        "whole step {:.2} ms (lower median of {}), {:.1} GFLOP/s, peak device memory {}\n\
         that is {:.2} forward passes of {:.2} ms\n\
         this adapter's best: {:.1} GFLOP/s of multiply-adds, {:.1} GB/s of copying\n",
        report.step_ms,
        report.steps_ms.len(),
        all / report.step_ms * 1e3,
        bytes(report.memory.total()),
        report.ratio(),
        report.forward_ms,
        report.fma_gflops,
        report.copy_gbs,
    )
}

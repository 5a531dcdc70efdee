//! `unetr bench`: how fast one window runs here, node by node, or a step of training.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::console::{bytes, fact, print, print_json, sizes};
use super::error::CliError;
use super::files;
use super::options::{DeviceArgs, Precision, network_type, three_sizes};
use super::table::Table;
use crate::gpu::AdapterClass;
use crate::infer::{BenchReport, NodeTime, bench};
use crate::nets::{NETWORKS, NetworkType};

/// Time a window of a model (without one, of a network as it was published), or a step of its training, on this adapter. Nothing
/// else should run meanwhile.
#[derive(Debug, Args)]
pub(super) struct Bench {
    /// Model package; only its network matters.
    #[arg(short, long)]
    model: Option<PathBuf>,
    /// Without a model: the type of the network.
    #[arg(long, value_name = "TYPE", value_parser = network_type, default_value = NETWORKS[0].name, conflicts_with = "model")]
    network: &'static NetworkType,
    /// Size of the windows; the model's where it is not given.
    #[arg(long, value_name = "X,Y,Z", value_parser = three_sizes)]
    roi: Option<[usize; 3]>,
    /// Windows or steps to time.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    repeats: u16,
    /// Storage of the weights on the device; arithmetic is f32.
    #[arg(long, default_value = "f32")]
    precision: Precision,
    /// Time steps of training, taking turns with forward passes of the same batch.
    #[cfg(feature = "train")]
    #[arg(long, conflicts_with = "precision")]
    train: bool,
    /// Windows in a step's batch.
    #[cfg(feature = "train")]
    #[arg(long, value_name = "N", default_value_t = 1, requires = "train", value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// Show every node instead of one row per op.
    #[arg(long)]
    nodes: bool,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Bench {
    pub fn run(&self) -> Result<(), CliError> {
        let (network, roi) = match &self.model {
            Some(path) => {
                let model = files::model(path)?;
                let metadata = model.metadata();
                (metadata.network.clone(), metadata.inference.roi_size)
            }
            None => {
                let network = self.network.published()?;
                let roi = network.window().default_size();
                (network, roi)
            }
        };
        let roi = self.roi.unwrap_or(roi);
        let gpu = self.device.open()?;
        fact("adapter", gpu.adapter().to_string());
        if !gpu.choices().is_empty() {
            fact("tuned", format!("{} kernels by measurement; --untuned leaves them out", gpu.choices().len()));
        }
        #[cfg(feature = "train")]
        if self.train {
            let options = super::bench_train::Options {
                batch: usize::from(self.batch),
                repeats: usize::from(self.repeats),
                nodes: self.nodes,
                json: self.json,
            };
            return super::bench_train::run(&gpu, &network, roi, &options);
        }
        let half = self.precision == Precision::F16;
        fact("window", format!("{}, weights as {}", sizes(roi), self.precision.name()));
        let clock = Instant::now();
        let now = || clock.elapsed().as_secs_f64() * 1e3;
        let tick = &mut || ControlFlow::Continue(());
        let report = pollster::block_on(bench(&gpu, &network, roi, half, usize::from(self.repeats), &now, tick))?;
        if self.json {
            let adapter = gpu.adapter();
            return print_json(&json!({
                "adapter": adapter.to_string(), "software": adapter.class == AdapterClass::Software,
                "tuned": **gpu.choices(), "network": network.to_json(), "roi_size": roi,
                "precision": self.precision.name(),
                "window_ms": report.window_ms, "repeats_ms": report.repeats_ms,
                "gflops": gflop(&report.nodes) / report.window_ms * 1e3, "gbs": gigabytes(&report.nodes) / report.window_ms * 1e3,
                "peak_bytes": report.memory.total(), "copy_gbs": report.copy_gbs, "fma_gflops": report.fma_gflops,
                "ops": to_json(&by_op(&report.nodes)), "nodes": to_json(&report.nodes),
            }));
        }
        print(&text(&report, self.nodes))
    }
}

/// Rows as JSON.
pub(super) fn to_json(list: &[NodeTime]) -> Vec<serde_json::Value> {
    let row =
        |n: &NodeTime| json!({"name": n.name, "op": n.op, "ms": n.milliseconds, "gflop": n.gflop, "gb": n.gigabytes});
    list.iter().map(row).collect()
}

pub(super) fn gflop(nodes: &[NodeTime]) -> f64 {
    nodes.iter().map(|n| n.gflop).sum()
}

pub(super) fn gigabytes(nodes: &[NodeTime]) -> f64 {
    nodes.iter().map(|n| n.gigabytes).sum()
}

/// Nodes summed by op, the slowest first.
pub(super) fn by_op(nodes: &[NodeTime]) -> Vec<NodeTime> {
    let mut ops: Vec<NodeTime> = Vec::new();
    for n in nodes {
        match ops.iter_mut().find(|o| o.op == n.op) {
            Some(o) => {
                o.milliseconds = o.milliseconds.zip(n.milliseconds).map(|(a, b)| a + b);
                o.gflop += n.gflop;
                o.gigabytes += n.gigabytes;
            }
            None => ops.push(NodeTime { name: n.op.to_owned(), ..n.clone() }),
        }
    }
    ops.sort_by(|a, b| b.milliseconds.unwrap_or(0.0).total_cmp(&a.milliseconds.unwrap_or(0.0)));
    ops
}

/// The rows with their rates, against this adapter's best: GFLOP/s of multiply-adds, GB/s of copying.
pub(super) fn table(rows: &[NodeTime], (fma_gflops, copy_gbs): (f64, f64)) -> String {
    let mut table = Table::new(&["kernel", "ms", "GFLOP/s", "of best", "GB/s", "of copy"]);
    for n in rows {
        let rate = |amount: f64| n.milliseconds.filter(|&ms| ms > 0.0).map(|ms| amount / ms * 1e3);
        let show = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), |v| format!("{v:.1}"));
        let share = |v: Option<f64>, of: f64| v.map_or_else(|| "-".to_owned(), |v| format!("{:.0} %", 100.0 * v / of));
        let (flops, traffic) = (rate(n.gflop), rate(n.gigabytes));
        let ms = n.milliseconds.map_or_else(|| "-".to_owned(), |v| format!("{v:.3}"));
        table.row([n.name.clone(), ms, show(flops), share(flops, fma_gflops), show(traffic), share(traffic, copy_gbs)]);
    }
    let untimed = if rows.iter().all(|n| n.milliseconds.is_none()) {
        "This adapter has no timestamps: only the whole is timed.\n"
    } else {
        ""
    };
    table.render() + untimed
}

fn text(report: &BenchReport, all: bool) -> String {
    let rows = if all { report.nodes.clone() } else { by_op(&report.nodes) };
    let seconds = report.window_ms * 1e-3;
    format!(
        "{}\nwhole window {:.2} ms (lower median of {}), {:.1} GFLOP/s, {:.1} GB/s, peak device memory {}\n\
         this adapter's best: {:.1} GFLOP/s of multiply-adds, {:.1} GB/s of copying\n",
        table(&rows, (report.fma_gflops, report.copy_gbs)),
        report.window_ms,
        report.repeats_ms.len(),
        gflop(&report.nodes) / seconds,
        gigabytes(&report.nodes) / seconds,
        bytes(report.memory.total()),
        report.fma_gflops,
        report.copy_gbs,
    )
}

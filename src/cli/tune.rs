//! `unetr tune`: which variant of each kernel is fastest here.

use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::console::{fact, print, print_json, sizes};
use super::error::CliError;
use super::options::{DeviceArgs, Precision, network_type, three_sizes};
use super::table::Table;
use super::{files, tuning};
use crate::gpu::Choices;
use crate::graph::{TunedOp, choices, tune};
use crate::nets::{Build, NETWORKS, NetworkType};

/// Time every variant of each kernel that a model's window runs (without a model, of a network as it was published), and keep the
/// fastest for this adapter, driver and version: later commands take them. Nothing else should run meanwhile.
#[derive(Debug, Args)]
pub(super) struct Tune {
    /// Model package; only its network matters.
    #[arg(short, long)]
    model: Option<PathBuf>,
    /// Without a model: the type of the network.
    #[arg(long, value_name = "TYPE", value_parser = network_type, default_value = NETWORKS[0].name, conflicts_with = "model")]
    network: &'static NetworkType,
    /// Size of the windows; the model's where it is not given.
    #[arg(long, value_name = "X,Y,Z", value_parser = three_sizes)]
    roi: Option<[usize; 3]>,
    /// Storage of the weights on the device; arithmetic is f32.
    #[arg(long, default_value = "f32")]
    precision: Precision,
    /// Forget what was found best for this adapter, and time nothing.
    #[arg(long, conflicts_with = "model")]
    reset: bool,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Tune {
    pub fn run(&self) -> Result<(), CliError> {
        let (network, roi) = match &self.model {
            Some(path) => {
                let model = files::model(path)?;
                (model.metadata().network.clone(), model.metadata().inference.roi_size)
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
        if self.reset {
            let file = tuning::save(gpu.adapter(), &Choices::default())?;
            fact("tuning", format!("nothing is kept in {}", file.display()));
            return Ok(());
        }
        fact("window", format!("{}, weights as {}", sizes(roi), self.precision.name()));
        let half_weights = self.precision == Precision::F16;
        let mut built = network.build(&Build { half_weights, ..Build::window(roi) })?;
        let logits = built.logits()?;
        built.graph.output(logits);
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("kernels    {bar:32} {pos}/{len}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let measured = pollster::block_on(tune(&gpu, &built.graph, &mut |done, all| {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        }))?;
        bar.finish_and_clear();
        // What other networks' tuning found stays.
        let mut kept = Choices::clone(gpu.choices());
        measured.iter().for_each(|op| kept.remove(&op.key));
        choices(&measured).iter().for_each(|(key, variant)| kept.insert(key.to_owned(), variant));
        let file = tuning::save(gpu.adapter(), &kept)?;
        if self.json {
            let ops: Vec<_> = measured.iter().map(row).collect();
            return print_json(&json!({
                "adapter": gpu.adapter().to_string(), "driver": gpu.adapter().driver, "network": network.to_json(),
                "precision": self.precision.name(), "file": file,
                "default_ms": total(&measured, |op| op.default_ms), "tuned_ms": total(&measured, TunedOp::best_ms), "ops": ops,
            }));
        }
        print(&text(&measured))?;
        fact("tuning", format!("kept in {}", file.display()));
        Ok(())
    }
}

/// Milliseconds of all nodes of a window.
fn total(measured: &[TunedOp], ms: impl Fn(&TunedOp) -> f64) -> f64 {
    measured.iter().map(|op| op.nodes as f64 * ms(op)).sum()
}

fn row(op: &TunedOp) -> serde_json::Value {
    json!({
        "op": op.key, "nodes": op.nodes, "gflop": op.gflop, "default_ms": op.default_ms, "variants_ms": op.variants_ms,
        "variant": op.choice(),
    })
}

fn text(measured: &[TunedOp]) -> String {
    let mut table = Table::new(&["op and shapes", "nodes", "ms by default", "ms at best", "variant"]);
    for op in measured {
        table.row([
            op.key.clone(),
            op.nodes.to_string(),
            format!("{:.3}", op.default_ms),
            format!("{:.3}", op.best_ms()),
            op.choice().map_or_else(|| "default".to_owned(), |variant| variant.to_string()),
        ]);
    }
    let (before, after) = (total(measured, |op| op.default_ms), total(measured, TunedOp::best_ms));
    format!("{}kernels with variants, whole window: {before:.2} ms by default, {after:.2} ms tuned\n", table.render())
}

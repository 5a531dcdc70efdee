//! `unetr info`: a model's labels, recipe, size, arithmetic and memory.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::complexity::{Complexity, Layer, OneWindow, complexity, lay_out, modules, node};
use super::console::{bytes, grouped, print, print_json, sizes};
use super::error::CliError;
use super::files;
use super::options::{Precision, network_type, three_sizes};
use super::table::Table;
use crate::gpu::{AdapterClass, Limits};
use crate::graph::{MemoryPlan, MemoryReport};
use crate::infer::{InferError, Memory, plan_memory};
use crate::nets::{Architecture, NETWORKS, Network, NetworkType, UnetrConfig};
#[cfg(feature = "train")]
use crate::weights::package::Activation;
use crate::weights::package::Lengths;
use crate::weights::{Metadata, Package};

/// Show what a model expects, means and costs; without a model, a network as it was published.
#[derive(Debug, Args)]
pub(super) struct Info {
    /// Model package.
    model: Option<PathBuf>,
    /// Without a model: the type of the network.
    #[arg(long, value_name = "TYPE", value_parser = network_type, default_value = NETWORKS[0].name, conflicts_with = "model")]
    network: &'static NetworkType,
    /// Size of the windows; the model's where it is not given.
    #[arg(long, value_name = "X,Y,Z", value_parser = three_sizes)]
    roi: Option<[usize; 3]>,
    /// Size of a volume on the model's grid for the memory plan.
    #[arg(long, value_name = "X,Y,Z", value_parser = three_sizes, default_value = "256,256,256")]
    size: [usize; 3],
    /// Storage of the weights on the device.
    #[arg(long, default_value = "f32")]
    precision: Precision,
    /// Show every node instead of one row per module.
    #[arg(long)]
    nodes: bool,
    #[cfg(feature = "train")]
    #[command(flatten)]
    training: super::training_plan::TrainingPlanArgs,
    /// Show the model's card alone: data, scores, limits.
    #[arg(long, requires = "model", conflicts_with = "json")]
    card: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Info {
    pub fn run(&self) -> Result<(), CliError> {
        let package = self.model.as_deref().map(files::model).transpose()?;
        if let (true, Some(package)) = (self.card, &package) {
            let card = package.metadata().card.as_deref();
            let card =
                card.ok_or_else(|| CliError::failed("the model has no card; `unetr describe --card` adds one"))?;
            return print(&(super::console::printable(card) + "\n"));
        }
        let metadata = package.as_ref().map(Package::metadata);
        let network = match metadata {
            Some(m) => m.network.clone(),
            None => self.network.published()?,
        };
        let roi = self.roi.or(metadata.map(|m| m.inference.roi_size)).unwrap_or(network.window().default_size());
        let half = self.precision == Precision::F16;
        let OneWindow { layouted: window, head_products } = lay_out(&network, roi, half)?;
        let complexity = complexity(&network, window.nodes(), head_products);
        let layers = match self.nodes {
            true => window.nodes().iter().map(node).collect(),
            false => modules(&network, window.nodes()),
        };
        let limits = Limits::default();
        let memory = plan_memory(&network, roi, self.size, half, AdapterClass::Discrete, &limits);
        #[cfg(feature = "train")]
        let training = self.training.train.then(|| {
            let sigmoid = metadata.is_some_and(|m| m.output.activation == Activation::Sigmoid);
            self.training.memory(&network, roi, sigmoid)
        });
        if self.json {
            let package = package.as_ref().map(|p| json!({"sha256": p.sha256(), "metadata": p.metadata().to_object()}));
            #[cfg_attr(not(feature = "train"), expect(unused_mut, reason = "nothing is added then"))]
            let mut all = json!({
                "model": package, "network": network.to_json(), "roi_size": roi, "complexity": complexity, "layers": layers,
                "window_memory": memory_json(window.memory()),
                "volume_memory": volume_json(self.size, &memory),
            });
            #[cfg(feature = "train")]
            if let Some(training) = &training {
                all["training_memory"] = self.training.json(training);
            }
            return print_json(&all);
        }
        let mut text = String::new();
        if let (Some(p), Some(m)) = (&package, metadata) {
            text.push_str(&describe(p, m));
        } else {
            text.push_str("A network as it was published (no model given).\n\n");
        }
        text.push_str(&network_text(&network, roi));
        text.push_str(&layer_table(&layers));
        text.push_str(&complexity_text(&network, &complexity));
        text.push_str(&memory_text(self, &window, &memory));
        #[cfg(feature = "train")]
        if let Some(training) = &training {
            text.push_str(&self.training.text(training));
        }
        print(&text)
    }
}

fn describe(package: &Package, m: &Metadata) -> String {
    let mut text = facts_text(m, &package.sha256());
    let mut labels = Table::new(&["label", "value", "colour"]);
    for label in &m.output.labels {
        labels.row([label.name.clone(), label.value.to_string(), label.color.to_string()]);
    }
    text.push_str(&format!("\n{}", labels.render()));
    if let Some(seen) = &m.trained_on {
        let (view, voxels) = (seen.field_of_view_mm, seen.spacing_mm);
        let range = |l: Lengths| match l.min == l.max {
            true => sizes(l.min),
            false => format!("{} to {}", sizes(l.min), sizes(l.max)),
        };
        text.push_str(&format!(
            "\ntrained on   {} scans, {}, covering {} mm in voxels of {} mm (right-left, front-back, head-foot)\n",
            seen.cases,
            seen.modality.as_deref().unwrap_or("modality not known"),
            range(view),
            range(voxels)
        ));
        for v in &seen.volumes {
            text.push_str(&format!("             {} {} to {} ml\n", m.output.label_name(v.value), v.min_ml, v.max_ml));
        }
    }
    if !m.not_for.is_empty() {
        text.push_str(&format!("not for      {}\n", m.not_for.join("; ")));
    }
    if m.card.is_some() {
        text.push_str("card         --card shows it\n");
    }
    if !m.training.is_empty() {
        text.push_str(&format!("\ntraining     {}\n", Value::Object(m.training.clone())));
    }
    super::console::printable(&text) + "\n"
}

/// Every setting of a model, a line each.
pub(super) fn facts_text(m: &Metadata, sha256: &str) -> String {
    let mut text = String::new();
    for (what, value) in m.facts() {
        text.push_str(&format!("{what:<12} {value}\n"));
    }
    super::console::printable(&text) + &format!("SHA-256      {sha256}\n")
}

fn network_text(network: &Architecture, roi: [usize; 3]) -> String {
    format!(
        "network      {network}\nwindow       {}\nparameters   {}\n\n",
        sizes(roi),
        grouped(network.parameter_count())
    )
}

fn layer_table(layers: &[Layer]) -> String {
    let mut table = Table::new(&["layer", "op", "GFLOP", "MB moved"]);
    for l in layers {
        table.row([l.name.clone(), l.op.clone(), format!("{:.3}", l.gflop), format!("{:.1}", l.megabytes)]);
    }
    let sum = |f: fn(&Layer) -> f64| layers.iter().map(f).sum::<f64>();
    table.row([
        "all".into(),
        String::new(),
        format!("{:.3}", sum(|l| l.gflop)),
        format!("{:.1}", sum(|l| l.megabytes)),
    ]);
    table.render()
}

fn complexity_text(network: &Architecture, c: &Complexity) -> String {
    let giga = |v: f64| format!("{:.2} G", v * 1e-9);
    let million = |v: usize| format!("{:.2} M", v as f64 * 1e-6);
    let mut table = Table::new(&["complexity of one window", "parameters", "multiply-adds"]);
    table.row(["all of the network".into(), million(c.parameters), giga(c.multiply_adds)]);
    table.row([
        "as counters of convolutions and linear layers see it".into(),
        million(c.parameters_of_convolutions_and_linears),
        giga(c.multiply_adds_of_such_counters),
    ]);
    table.row(["half of that".into(), String::new(), giga(c.multiply_adds_of_such_counters / 2.0)]);
    let mut text = format!("\n{}", table.render());
    if is_the_papers(network) {
        text.push_str(&format!(
            "The paper's table says 92.58 M and 41.19 GFLOPs for this network. Its parameters are those of convolutions and\n\
             linear layers: {} of {}, without position table and norms. Its GFLOPs are half of what counters give that\n\
             take a transposed convolution for eight times its work and do not see attention. A multiply-add is two\n\
             operations, so one window really takes {} GFLOP.\n",
            grouped(c.parameters_of_convolutions_and_linears),
            grouped(c.parameters),
            (c.flops * 1e-9).round(),
        ));
    }
    text
}

/// Whether the table of UNETR's paper counts this network.
fn is_the_papers(network: &Architecture) -> bool {
    let mut published = UnetrConfig::default().arguments();
    let arguments = network.arguments();
    for free in ["out_channels", "proj_type"] {
        if let Some(value) = arguments.get(free) {
            published.insert(free.to_owned(), value.clone());
        }
    }
    network.kind() == UnetrConfig::default().kind() && arguments == published
}

fn memory_text(info: &Info, window: &MemoryPlan, volume: &Result<Memory, InferError>) -> String {
    let m = window.memory();
    let mut table = Table::new(&["device memory", "one window"]);
    for (name, count) in [
        ("weights", m.weights),
        ("input", m.inputs),
        ("activations (shared)", m.activations),
        ("activations without sharing", m.activations_unshared),
        ("largest buffer", m.largest),
        ("all", m.total()),
    ] {
        table.row([name.to_owned(), bytes(count)]);
    }
    let size = sizes(info.size);
    let whole = match volume {
        Ok(v) => format!(
            "a volume of {size}: {} (network {}, stitching {}), within WebGPU's default limits\n",
            bytes(v.total()),
            bytes(v.network.total()),
            bytes(v.stitching)
        ),
        Err(e) => format!("a volume of {size} does not fit WebGPU's default limits: {e}\n"),
    };
    format!("\n{}{whole}", table.render())
}

fn memory_json(m: &MemoryReport) -> Value {
    json!({
        "weights": m.weights, "inputs": m.inputs, "activations": m.activations,
        "activations_unshared": m.activations_unshared, "uniforms": m.uniforms, "largest": m.largest, "total": m.total(),
    })
}

fn volume_json(size: [usize; 3], memory: &Result<Memory, InferError>) -> Value {
    match memory {
        Ok(m) => {
            json!({"size": size, "network": memory_json(&m.network), "stitching": m.stitching, "total": m.total()})
        }
        Err(e) => json!({"size": size, "error": e.to_string()}),
    }
}

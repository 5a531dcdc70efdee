//! `unetr verify`: every kernel against its double-precision twin on this adapter, and networks against reference files.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::console::{fact, note, print, print_json};
use super::error::{CliError, Context};
use super::files;
use super::options::DeviceArgs;
use super::table::Table;
use crate::gpu::Gpu;
use crate::graph::Case;
use crate::infer::verify_reference;
use crate::kernels::all_cases;
use crate::kernels::selftest::{self, Summary};
#[cfg(feature = "train")]
use crate::train::{GradientError, verify_gradients};
#[cfg(feature = "train")]
use crate::weights::safetensors::{TensorView, Tensors};

/// Check the arithmetic of this adapter; exit 1 if anything is over its tolerance.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Check these kernels alone (`conv3d,linear`).
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    kernel: Vec<String>,
    /// Also run the network of a reference file (safetensors with weights, input, values of each stage, loss, gradients).
    #[arg(long, value_name = "FILE")]
    reference: Vec<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct StageRow {
    stage: String,
    max_abs_error: Option<f64>,
    max_abs_value: f64,
    tolerance: f64,
    ok: bool,
}

/// Lengths of the difference and of the reference.
#[derive(Serialize)]
struct GradientRow {
    name: String,
    error: Option<f64>,
    length: f64,
    tolerance: f64,
    ok: bool,
}

#[derive(Serialize)]
struct ReferenceRows {
    file: String,
    rows: Vec<StageRow>,
    /// The loss, then every gradient.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gradients: Vec<GradientRow>,
    ok: bool,
}

#[derive(Serialize)]
struct Report {
    adapter: String,
    kernels: Vec<Summary>,
    references: Vec<ReferenceRows>,
    ok: bool,
}

/// An op's name and cases.
type Cases = (&'static str, Vec<Arc<Case>>);

impl Verify {
    /// The kernels asked for, all if none is.
    fn chosen(&self) -> Result<Vec<Cases>, CliError> {
        let all: Vec<Cases> =
            all_cases().into_iter().map(|(name, cases)| (name, cases.into_iter().map(Arc::new).collect())).collect();
        let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
        if let Some(other) = self.kernel.iter().find(|wanted| !names.contains(&wanted.as_str())) {
            return Err(CliError::usage(format!(
                "--kernel {other}: there is none of this name; there are {}",
                names.join(", ")
            )));
        }
        let wanted = |name: &str| self.kernel.is_empty() || self.kernel.iter().any(|wanted| wanted == name);
        Ok(all.into_iter().filter(|(name, _)| wanted(name)).collect())
    }

    pub fn run(&self) -> Result<(), CliError> {
        // Read before the kernels run: a wrong name should not cost their time.
        let mut inputs = Vec::new();
        for path in &self.reference {
            inputs.push((path, files::read(path)?));
        }
        let chosen = self.chosen()?;
        let gpu = self.device.open()?;
        fact("adapter", gpu.adapter().to_string());
        // What the driver refuses is told by the case that needs it.
        let _ = pollster::block_on(selftest::compile(&gpu, &chosen));
        let kernels: Vec<_> = chosen.iter().map(|(name, cases)| kernel(&gpu, name, cases)).collect();
        let mut references = Vec::new();
        for (path, bytes) in inputs {
            let gradients = gradients(&gpu, &bytes).map_err(|e| e.at(path))?;
            let report = pollster::block_on(verify_reference(&gpu, bytes)).at(path)?;
            let ok = report.ok() && gradients.iter().all(|g| g.ok);
            let rows = report.rows.into_iter().map(|r| StageRow {
                stage: r.name,
                max_abs_error: r.max_abs.is_finite().then_some(r.max_abs),
                max_abs_value: r.max_value,
                tolerance: r.tolerance,
                ok: r.ok,
            });
            references.push(ReferenceRows { file: path.display().to_string(), rows: rows.collect(), gradients, ok });
        }
        let ok = kernels.iter().all(|k| k.ok) && references.iter().all(|r| r.ok);
        let report = Report { adapter: gpu.adapter().to_string(), kernels, references, ok };
        let printed = match self.json {
            true => print_json(&report),
            false => print(&report.text()),
        };
        // A closed stdout does not turn a failure into success.
        match ok {
            true => printed,
            false => Err(CliError::failed(report.failures().join("; "))),
        }
    }
}

/// Loss and gradients, if the file holds them.
#[cfg(feature = "train")]
fn gradients(gpu: &Gpu, file: &[u8]) -> Result<Vec<GradientRow>, CliError> {
    let held = |t: TensorView<'_>| t.name == "loss" || t.name.starts_with("grad.");
    if !Tensors::read(file.to_vec())?.iter().any(held) {
        return Ok(Vec::new());
    }
    let rows = pollster::block_on(verify_gradients(gpu, file.to_vec()))?;
    let row = |r: GradientError| GradientRow {
        name: r.name,
        error: r.error.is_finite().then_some(r.error),
        length: r.length,
        tolerance: r.tolerance,
        ok: r.ok,
    };
    Ok(rows.into_iter().map(row).collect())
}

/// A program without training has no gradients.
#[cfg(not(feature = "train"))]
fn gradients(_gpu: &Gpu, _file: &[u8]) -> Result<Vec<GradientRow>, CliError> {
    Ok(Vec::new())
}

fn kernel(gpu: &Gpu, name: &'static str, cases: &[Arc<Case>]) -> Summary {
    let summary = pollster::block_on(selftest::summarise(gpu, name, cases));
    summary.failures.iter().for_each(|failure| note(format!("{name}: {failure}")));
    summary
}

fn verdict(ok: bool) -> String {
    if ok { "ok" } else { "FAILED" }.to_owned()
}

fn error(value: Option<f64>) -> String {
    value.map_or_else(|| "not finite".to_owned(), |v| format!("{v:.1e}"))
}

impl Report {
    fn text(&self) -> String {
        let mut table = Table::new(&["kernel", "cases", "worst NMSE", "allowed", "verdict"]);
        for k in &self.kernels {
            let allowed = format!("{:.0e}", k.tolerance);
            table.row([k.kernel.to_owned(), k.cases.to_string(), error(k.worst_nmse), allowed, verdict(k.ok)]);
        }
        let mut text = table.render();
        for reference in &self.references {
            let mut table = Table::new(&["stage", "largest error", "largest value", "allowed", "verdict"]);
            for r in &reference.rows {
                table.row([
                    r.stage.clone(),
                    error(r.max_abs_error),
                    format!("{:.3}", r.max_abs_value),
                    format!("{:.1e}", r.tolerance),
                    verdict(r.ok),
                ]);
            }
            text.push_str(&format!("\n{}\n{}", reference.file, table.render()));
            if reference.gradients.is_empty() {
                continue;
            }
            let mut table = Table::new(&["loss and gradients", "error", "length", "allowed", "verdict"]);
            for g in &reference.gradients {
                let (length, allowed) = (format!("{:.2e}", g.length), format!("{:.1e}", g.tolerance));
                table.row([g.name.clone(), error(g.error), length, allowed, verdict(g.ok)]);
            }
            text.push_str(&format!("\n{}", table.render()));
        }
        text
    }

    fn failures(&self) -> Vec<String> {
        let kernels = self.kernels.iter().filter(|k| !k.ok);
        let mut failures: Vec<String> =
            kernels.map(|k| format!("kernel {} is over its tolerance on this adapter", k.kernel)).collect();
        for r in self.references.iter().filter(|r| !r.ok) {
            if let Some(stage) = r.rows.iter().find(|s| !s.ok) {
                failures.push(format!("{} differs from {} on", r.file, stage.stage));
            }
            let bad: Vec<&str> = r.gradients.iter().filter(|g| !g.ok).map(|g| g.name.as_str()).collect();
            if let [first, rest @ ..] = bad.as_slice() {
                let others = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
                failures.push(format!("{}: {first}{others} over tolerance", r.file));
            }
        }
        failures
    }
}

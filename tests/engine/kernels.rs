//! Every kernel, every case, every variant on this machine's adapter against its double-precision twin.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use unetr_wgpu::gpu::{Gpu, GpuOptions, PipelineSource};
use unetr_wgpu::graph::{Case, Dispatch, MemoryPlan, Target};
use unetr_wgpu::kernels::{all_cases, selftest};

fn gpu(checked: bool) -> Gpu {
    let options = GpuOptions { checked, adapter: std::env::var("UNETR_ADAPTER").ok(), default_limits: true };
    pollster::block_on(Gpu::open(&options)).expect("an adapter: see README, 'tests'")
}

fn planned(gpu: &Gpu, case: &Arc<Case>, variant: usize) -> MemoryPlan {
    let built = selftest::case_graph(case).expect("a case fits its kernel");
    let target = Target { variant: Some(variant), ..Target::of(gpu) };
    MemoryPlan::new(&built.graph, &target, gpu.limits(), false).expect("a case fits its kernel")
}

/// The variants of a case that work differently: those of one kernel are repeated where another has more, and some
/// shapes leave no choice.
fn different(gpu: &Gpu, case: &Arc<Case>) -> Vec<usize> {
    let mut seen: Vec<Vec<Dispatch>> = Vec::new();
    let mut variants = Vec::new();
    for variant in 0..case.kernel.variants() {
        let work: Vec<Dispatch> = planned(gpu, case, variant).dispatches().map(|(_, d)| d.clone()).collect();
        if !seen.contains(&work) {
            seen.push(work);
            variants.push(variant);
        }
    }
    variants
}

/// Memory that this program holds, MiB, where the system tells.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    (pages * 4096) >> 20
}

/// Whether the variable, where it is set, holds this name among others between semicolons.
fn wanted(variable: &str, name: &str) -> bool {
    std::env::var(variable).map_or(true, |list| list.split(';').any(|n| n == name))
}

/// The cases that `UNETR_CASE` names of the ops in `UNETR_OP`, or all. Time and memory of each are told with `--nocapture`.
fn check(gpu: &Gpu, mut variants: impl FnMut(&Arc<Case>) -> Vec<Option<usize>>) {
    let mut failures = Vec::new();
    for (name, cases) in all_cases().into_iter().filter(|(name, _)| wanted("UNETR_OP", name)) {
        for case in cases.into_iter().filter(|case| wanted("UNETR_CASE", &case.name)).map(Arc::new) {
            for variant in variants(&case) {
                let label = format!("{name}: {} (variant {variant:?})", case.name);
                let begin = Instant::now();
                let result = pollster::block_on(selftest::run_case(gpu, &case, variant));
                println!("{:8.3} s {:6} MiB  {label}", begin.elapsed().as_secs_f64(), resident());
                match result {
                    Ok(differences) => {
                        for (i, d) in differences.iter().enumerate() {
                            if d.nmse.is_nan() || d.nmse > selftest::MAX_NMSE {
                                failures.push(format!("{label}: result {i}: {d:?}"));
                            }
                        }
                    }
                    Err(e) => failures.push(format!("{label}: {e}")),
                }
            }
        }
    }
    assert!(failures.is_empty(), "on {}:\n{}", gpu.adapter(), failures.join("\n"));
}

/// The lines of a case's shaders, each with its entry point, without their numbers, which sizes and unrolled loops make
/// different.
fn lines(gpu: &Gpu, case: &Arc<Case>, variant: usize) -> Vec<String> {
    let sources = gpu.missing(planned(gpu, case, variant).pipelines()).expect("shaders of the kernel");
    let plain = |line: &str| line.trim().replace(|c: char| c.is_ascii_digit(), "");
    let named = |source: &PipelineSource| {
        let name = source.label.split('(').next().unwrap_or_default().to_owned();
        source.code.lines().map(|line| format!("{name} {}", plain(line))).collect::<Vec<_>>()
    };
    sources.iter().flat_map(named).collect()
}

#[test]
fn every_line_with_guards() {
    // Guards are put around single expressions, so a case without a new line would find nothing new. Browsers always guard.
    let gpu = gpu(true);
    let mut seen = HashSet::new();
    check(&gpu, |case| {
        let mut new = |variant: &usize| {
            let before = seen.len();
            seen.extend(lines(&gpu, case, *variant));
            seen.len() > before
        };
        different(&gpu, case).into_iter().filter(|v| new(v)).map(Some).collect()
    });
}

#[test]
fn every_variant_without_guards() {
    let gpu = gpu(false);
    check(&gpu, |case| different(&gpu, case).into_iter().map(Some).collect());
}

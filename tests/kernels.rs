//! Every kernel, every case, every variant on this machine's adapter against its double-precision twin.

use std::sync::Arc;

use unetr_wgpu::gpu::{Gpu, GpuOptions};
use unetr_wgpu::kernels::{all_cases, selftest};

/// Variants beyond the last repeat it, so a few more than any kernel has covers all.
const VARIANTS: usize = 4;

fn gpu(checked: bool) -> Gpu {
    let options = GpuOptions { checked, adapter: std::env::var("UNETR_ADAPTER").ok(), default_limits: true };
    pollster::block_on(Gpu::open(&options)).expect("an adapter: see README, 'tests'")
}

fn check(gpu: &Gpu, variant: Option<usize>) {
    let mut failures = Vec::new();
    for (name, cases) in all_cases() {
        for case in cases {
            let case = Arc::new(case);
            let label = format!("{name}: {} (variant {variant:?})", case.name);
            match pollster::block_on(selftest::run_case(gpu, &case, variant)) {
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
    assert!(failures.is_empty(), "on {}:\n{}", gpu.adapter(), failures.join("\n"));
}

#[test]
fn chosen_variant_with_guards() {
    check(&gpu(true), None);
}

#[test]
fn every_variant_without_guards() {
    let gpu = gpu(false);
    (0..VARIANTS).for_each(|v| check(&gpu, Some(v)));
}

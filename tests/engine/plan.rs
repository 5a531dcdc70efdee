//! Plans without a GPU: memory budgets under WebGPU's default limits, the browser's rules, and wgpu's own validation on
//! its noop backend.

use std::collections::HashMap;

use unetr_wgpu::gpu::{AdapterClass, Gpu, GpuError, Limits, Vendor};
use unetr_wgpu::graph::{Dispatch, Graph, MemoryPlan, Plan, PlanError, PlanOptions, Residents, Target, TensorId};
use unetr_wgpu::infer::{InferError, plan_memory};
use unetr_wgpu::nets::{Architecture, Build, Built, NormName, Tail, UnetrConfig};
use unetr_wgpu::weights::package::network_from_json;

const MIB: u64 = 1 << 20;
const CLASSES: [AdapterClass; 3] = [AdapterClass::Software, AdapterClass::Integrated, AdapterClass::Discrete];

fn full() -> UnetrConfig {
    UnetrConfig::default()
}

fn network(config: UnetrConfig) -> Architecture {
    Architecture::new(config).expect("a network")
}

fn build(config: UnetrConfig) -> Built {
    let network = network(config);
    network.build(&Build::of(&*network)).expect("a graph")
}

/// With logits as its output.
fn with_logits(config: UnetrConfig) -> (Graph, TensorId) {
    let mut built = build(config);
    let logits = built.logits().expect("a head");
    built.graph.output(logits);
    (built.graph, logits)
}

/// Up to the last block's end.
fn without_head(config: UnetrConfig) -> Graph {
    let mut built = build(config);
    if let Tail::Head { end, .. } = built.output.tail {
        built.graph.output(end.x);
    }
    built.graph
}

fn small() -> UnetrConfig {
    UnetrConfig {
        img_size: [48, 64, 48],
        feature_size: 8,
        hidden_size: 192,
        mlp_dim: 768,
        num_heads: 6,
        out_channels: 3,
        ..full()
    }
}

#[test]
fn the_full_network_fits_700_mib_within_default_limits() {
    assert_eq!(network(full()).parameter_count(), 92_784_046);
    for class in CLASSES {
        let (graph, _) = with_logits(full());
        let plan =
            MemoryPlan::new(&graph, &Target::new(class), &Limits::default(), false).expect("within default limits");
        let m = plan.memory();
        println!(
            "{class:?}: {} MiB: weights {}, activations {} (unshared {})",
            m.total() / MIB,
            m.weights / MIB,
            m.activations / MIB,
            m.activations_unshared / MIB
        );
        assert!(m.total() <= 700 * MIB, "{class:?}: {} MiB", m.total() / MIB);
        let flops: f64 = plan.nodes().iter().map(|n| n.cost.flops).sum();
        assert!((flops * 1e-9 - 146.5).abs() < 2.0, "{:.1} GFLOP", flops * 1e-9);
    }
}

/// GPUs of every make, with few registers and with many.
fn gpus() -> Vec<Target> {
    let classes = [AdapterClass::Integrated, AdapterClass::Discrete];
    let vendors = [Vendor::Unknown, Vendor::Intel, Vendor::Apple, Vendor::Amd, Vendor::Nvidia];
    classes.iter().flat_map(|&class| vendors.map(|vendor| Target { vendor, ..Target::new(class) })).collect()
}

/// Whether a dispatch is a convolution or product without workgroup memory. A shortcut's convolution of one voxel has little to
/// share.
fn untiled(dispatch: &Dispatch) -> bool {
    let pointwise = dispatch.constants.contains(&("CUBE_0", 0));
    ["linear", "conv3d", "conv_transpose3d", "attention"].contains(&dispatch.shader) && !pointwise
}

/// Every convolution and product of the full network, whatever its shape, has a kernel with workgroup memory on GPUs.
#[test]
fn gpus_get_kernels_with_workgroup_memory() {
    for target in gpus() {
        let graph = without_head(full());
        let plan = MemoryPlan::new(&graph, &target, &Limits::default(), false).expect("within default limits");
        for (name, dispatch) in plan.dispatches() {
            assert!(!untiled(dispatch), "{target:?}: {name} is done by {}", dispatch.shader);
        }
    }
}

/// A shortcut's sums beside the main ones, or 16 channels at a time, are kept in memory where an invocation has 128 registers.
#[test]
fn tiles_fit_the_registers_of_every_make() {
    for target in gpus() {
        let many = matches!(target.vendor, Vendor::Amd | Vendor::Nvidia);
        let graph = without_head(full());
        let plan = MemoryPlan::new(&graph, &target, &Limits::default(), false).expect("within default limits");
        let constants = |d: &Dispatch| d.constants.iter().copied().collect::<HashMap<_, _>>();
        let tiles: Vec<_> =
            plan.dispatches().filter(|(_, d)| d.shader == "conv3d_tiled").map(|(_, d)| constants(d)).collect();
        assert!(!tiles.is_empty());
        let sums = tiles.iter().map(|c| c["QUADS"] * c["BRANCHES"]).max();
        assert!(sums <= Some(if many { 4 } else { 2 }), "{target:?}: {sums:?} blocks of sums");
    }
}

/// The gradients that pass through the network's convolutions of 3x3x3 are convolutions too, and planned as those.
#[cfg(feature = "train")]
#[test]
fn gpus_train_with_workgroup_memory() {
    for target in gpus() {
        let network = network(full());
        let mut built = network.build(&Build { training: true, ..Build::of(&*network) }).expect("a graph");
        let logits = built.logits().expect("a head");
        let mut graph = built.graph;
        let seed = graph.input("seed", graph.shape(logits).clone());
        let gradients = graph.backward(&[(logits, seed)], &[]).expect("gradients");
        gradients.pairs().into_iter().for_each(|(_, gradient)| graph.output(gradient));
        let plan = MemoryPlan::new(&graph, &target, &Limits::default(), false).expect("within default limits");
        let mut tiled = 0;
        for (name, dispatch) in plan.dispatches() {
            assert!(dispatch.shader != "conv3d" || !untiled(dispatch), "{target:?}: {name} is not tiled");
            tiled += usize::from(name.contains("backward") && dispatch.shader == "conv3d_tiled");
        }
        assert!(tiled >= 15, "{target:?}: {tiled} gradients are tiled");
    }
}

#[test]
fn large_scans_fit() {
    let btcv =
        plan_memory(&network(full()), [96; 3], [314, 214, 234], false, AdapterClass::Discrete, &Limits::default())
            .expect("a plan");
    println!("314x214x234, 14 classes: {} MiB", btcv.total() / MIB);
    assert!(btcv.total() <= 1228 * MIB, "{} MiB", btcv.total() / MIB);
    let large =
        plan_memory(&network(full()), [96; 3], [512, 512, 400], false, AdapterClass::Discrete, &Limits::default())
            .expect("a plan");
    println!("512x512x400, 14 classes: {} MiB", large.total() / MIB);
    let half =
        plan_memory(&network(full()), [96; 3], [314, 214, 234], true, AdapterClass::Discrete, &Limits::default())
            .expect("a plan");
    println!("314x214x234, weights in 16 bits: {} MiB", half.total() / MIB);
    assert!(btcv.total() - half.total() > 170 * MIB, "half weights save half the weights");
}

#[test]
fn a_plane_larger_than_a_binding_is_named() {
    let error =
        plan_memory(&network(full()), [96; 3], [96, 4096, 4096], false, AdapterClass::Discrete, &Limits::default())
            .expect_err("too large");
    assert!(matches!(&error, InferError::VolumeTooLarge { .. }), "{error}");
    let wide = UnetrConfig { feature_size: 48, ..full() };
    let error = plan_memory(&network(wide), [96; 3], [96; 3], false, AdapterClass::Discrete, &Limits::default())
        .expect_err("too large");
    assert!(matches!(&error, InferError::Plan(PlanError::TooLarge { .. })), "{error}");
    assert!(error.to_string().contains("bytes in one buffer"), "{error}");
}

#[test]
fn a_window_too_large_is_told_one_that_fits() {
    let plan = |network: &str, roi| {
        let network = network_from_json(network).expect("a network");
        plan_memory(&network, roi, [240, 240, 155], false, AdapterClass::Discrete, &Limits::default())
    };
    let brats = r#"{"type": "SegResNet", "init_filters": 16, "in_channels": 4, "out_channels": 3}"#;
    let error = plan(brats, [240, 240, 160]).expect_err("two thirds of a gigabyte");
    let InferError::WindowTooLarge { window: [240, 240, 160], fits, .. } = error else { panic!("{error}") };
    println!("{error}");
    assert!(fits.iter().all(|side| side % 8 == 0) && fits.iter().product::<usize>() > 120 * 120 * 120, "{fits:?}");
    plan(brats, fits).expect("a window that fits");
    // The logits of 105 classes are beyond a binding, and never stored.
    let whole_body = r#"{"type": "SegResNet", "init_filters": 32, "out_channels": 105}"#;
    let memory = plan(whole_body, [96; 3]).expect("a plan");
    println!("105 classes: {} MiB", memory.total() / MIB);
}

#[test]
fn every_norm_of_the_decoder_is_built() {
    let group = UnetrConfig { norm_name: NormName::Group { num_groups: 8, affine: true }, ..small() };
    build(group);
    let batch = UnetrConfig { norm_name: NormName::Batch { affine: true }, ..small() };
    build(batch);
}

#[test]
fn the_plan_encodes_on_the_noop_backend() {
    let gpu = Gpu::noop();
    let (graph, logits) = with_logits(small());
    let plan = pollster::block_on(Plan::new(&gpu, &graph, &PlanOptions::default(), &mut Residents::default()));
    let plan = plan.expect("wgpu accepts the plan");
    plan.run().expect("and its commands");
    // Nothing ran, which the submission counter must notice: zeros would be a plausible segmentation.
    let read = pollster::block_on(plan.read(logits));
    assert!(matches!(read, Err(PlanError::Gpu(GpuError::WorkDropped { done: 0, submitted: 1 }))), "{read:?}");
}

#[test]
fn a_lost_device_is_an_error() {
    let gpu = Gpu::noop();
    gpu.destroy();
    let graph = without_head(small());
    let plan = pollster::block_on(Plan::new(&gpu, &graph, &PlanOptions::default(), &mut Residents::default()));
    let error = plan.err().expect("no plan on a lost device");
    assert!(matches!(error, PlanError::Gpu(GpuError::DeviceLost { .. } | GpuError::Validation(_))), "{error}");
}

#[cfg(feature = "train")]
mod training {
    use super::*;
    use unetr_wgpu::kernels::dice_ce::DiceCe;
    use unetr_wgpu::train::{OptimizerOptions, StepSpec, TrainingMemory, training_memory};

    fn spec(window: [usize; 3], loss: DiceCe, recompute: bool) -> StepSpec<'static> {
        let optimizer = OptimizerOptions { clip: Some(1.0), ..OptimizerOptions::default() };
        StepSpec { recompute, optimizer, ..StepSpec::new(window, 1, loss) }
    }

    fn show(what: &str, m: &TrainingMemory) {
        println!(
            "{what}: {} MiB: weights {}, moments {}, gradients {}, average {}, activations {} (unshared {}), largest {}, \
             {} dispatches",
            m.total() / MIB,
            m.weights / MIB,
            m.moments / MIB,
            m.gradients / MIB,
            m.average / MIB,
            m.activations / MIB,
            m.activations_unshared / MIB,
            m.largest / MIB,
            m.dispatches,
        );
    }

    #[test]
    fn the_full_network_trains_in_3_5_gib_within_default_limits() {
        for class in CLASSES {
            let plan = |recompute| {
                training_memory(
                    &network(full()),
                    &spec([96; 3], DiceCe::default(), recompute),
                    class,
                    &Limits::default(),
                )
                .expect("within default limits")
            };
            let (kept, again) = (plan(false), plan(true));
            show(&format!("{class:?}"), &kept);
            show(&format!("{class:?}, recomputed"), &again);
            assert!(kept.total() <= 3584 * MIB, "{class:?}: {} MiB", kept.total() / MIB);
            // The gradients of all parameters are among them either way.
            assert!(again.activations <= kept.activations * 4 / 5, "{class:?}: {} MiB", again.activations / MIB);
        }
    }

    #[test]
    fn brain_windows_of_128_voxels_train_within_default_limits() {
        let brats = UnetrConfig { img_size: [128; 3], in_channels: 4, out_channels: 3, ..full() };
        let brats = network(brats);
        let [kept, again] = [false, true].map(|recompute| {
            let loss = DiceCe { sigmoid: true, cross_entropy: 0.0, ..DiceCe::default() };
            let m =
                training_memory(&brats, &spec([128; 3], loss, recompute), AdapterClass::Discrete, &Limits::default());
            let m = m.expect("within default limits");
            show(&format!("128^3, 4 channels, recompute {recompute}"), &m);
            m.total()
        });
        assert!(kept <= 3584 * MIB && again <= kept * 4 / 5, "{} and {} MiB", kept / MIB, again / MIB);
    }
}

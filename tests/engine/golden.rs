//! The network against MONAI's values: stages and logits of small networks, the full-size one, and stitched windows.

use std::ops::ControlFlow;

use unetr_wgpu::gpu::{AdapterClass, Gpu, GpuOptions};
use unetr_wgpu::graph::{Plan, PlanOptions, Residents, TensorId};
use unetr_wgpu::infer::{SegmentOptions, Segmenter, verify_reference};
use unetr_wgpu::nets::Build;
use unetr_wgpu::volume::{Affine, Volume};
use unetr_wgpu::weights::package::{Blend, Metadata, Package, network_from_json};
use unetr_wgpu::weights::{FloatType, Tensors, TensorsBuilder};

use crate::support;
use crate::support::procedural::draw;

fn gpu() -> Gpu {
    let adapter = std::env::var("UNETR_ADAPTER").ok();
    let options = GpuOptions { adapter, default_limits: true, ..GpuOptions::default() };
    pollster::block_on(Gpu::open(&options)).expect("an adapter: see README, 'tests'")
}

fn golden(name: &str) -> Vec<u8> {
    support::golden::bytes(&format!("golden/{name}.safetensors"))
}

#[test]
fn stages_and_logits_equal_monai() {
    let gpu = gpu();
    let names = [
        "unetr-cubic-1to3",
        "unetr-aniso-4to3-sigmoid",
        "unetr-qkvbias-2to14",
        "unetr-affine-noconv",
        "unetr-group-nores",
    ];
    for name in names {
        let bytes = golden(name);
        let file = Tensors::read(bytes.clone()).expect("safetensors");
        let config = network_from_json(&file.metadata()["config"]).expect("a configuration");
        let input = file.get("input").expect("an input");
        let build = Build { batch: input.shape[0], ..Build::of(&*config) };
        let mut network = config.build(&build).expect("a graph");
        let logits = network.logits().expect("a head");
        let stages = network.stages(logits, |_| true).expect("its stages");
        let mut stages: Vec<(String, TensorId)> =
            stages.into_iter().map(|(stage, ids)| (format!("stage.{stage}"), ids[0])).collect();
        let graph = &mut network.graph;
        stages.push(("logits".to_owned(), logits));
        stages.retain(|(stage, _)| file.get(stage).is_some());
        assert_eq!(stages.len(), 15, "{name}: {stages:?}");
        stages.iter().for_each(|(_, id)| graph.output(*id));
        let plan = pollster::block_on(Plan::new(&gpu, graph, &PlanOptions::default(), &mut Residents::default()))
            .expect("a plan");
        for (id, info) in graph.parameters() {
            plan.write(id, &file.to_f32(&format!("weight.{}", info.name)).expect("a weight")).expect("written");
        }
        plan.write(network.input, &file.to_f32("input").expect("an input")).expect("written");
        plan.run().expect("runs");
        for (stage, id) in stages {
            let got = pollster::block_on(plan.read(id)).expect("read");
            let (error, largest) = support::golden::error_at_places(&bytes, &stage, &got);
            println!("{name} {stage:<28} {error:.2e} of {largest:.2}");
            assert!(error <= 1e-4 * largest.max(1.0), "{name}, {stage}: {error} of {largest}");
        }
    }
}

#[test]
fn a_reference_file_is_followed_and_one_changed_weight_is_found() {
    let gpu = gpu();
    let mut bytes = golden("unetr-small");
    let report = pollster::block_on(verify_reference(&gpu, bytes.clone())).expect("it runs");
    assert!(report.rows.len() >= 14 && report.ok(), "{:?}", report.rows);
    let header_bytes = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header_bytes]).expect("JSON");
    let entry = &header["weight.decoder3.conv_block.conv1.conv.weight"]["data_offsets"];
    let at = 8 + header_bytes + entry[0].as_u64().expect("an offset") as usize;
    bytes[at..at + 4].copy_from_slice(&3.0f32.to_le_bytes());
    let report = pollster::block_on(verify_reference(&gpu, bytes)).expect("it runs");
    let bad: Vec<&str> = report.rows.iter().filter(|r| !r.ok).map(|r| r.name.as_str()).collect();
    assert!(bad.contains(&"stage.decoder3") && bad.contains(&"logits"), "{bad:?}");
    assert!(!bad.contains(&"stage.decoder4"), "stages before it are untouched: {bad:?}");
}

/// The full-size network with parameters from a formula: sampled voxels, and statistics over all of them.
#[test]
fn the_full_size_network_equals_monai() {
    let report = pollster::block_on(verify_reference(&gpu(), golden("unetr-full"))).expect("it runs");
    let names: Vec<&str> = report.rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["logits", "mean", "std", "argmax_histogram"]);
    assert!(report.ok(), "{:?}", report.rows);
}

/// With the kernels that GPUs get, on whatever adapter there is.
#[test]
fn the_full_size_network_equals_monai_with_the_kernels_of_gpus() {
    let class = Some(AdapterClass::Discrete);
    let gpu = gpu();
    let file = Tensors::read(golden("unetr-full")).expect("safetensors");
    let config = network_from_json(&file.metadata()["config"]).expect("a configuration");
    let ranges: serde_json::Value = serde_json::from_str(&file.metadata()["parameters"]).expect("JSON");
    let seed: u64 = file.metadata()["seed"].parse().expect("a number");
    let mut network = config.build(&Build::of(&*config)).expect("a graph");
    let logits = network.logits().expect("a head");
    let graph = &mut network.graph;
    graph.output(logits);
    let mut weights = Residents::default();
    for (_, info) in graph.parameters() {
        let range = &ranges[&info.name];
        let (lo, hi) = (range[1].as_f64().expect("a bound"), range[2].as_f64().expect("a bound"));
        let values = drawn(&info.name, info.shape.elements(), seed, lo, hi);
        pollster::block_on(weights.load(&gpu, info, &values)).expect("uploaded");
    }
    let plan = pollster::block_on(Plan::new(&gpu, graph, &PlanOptions { class, ..Default::default() }, &mut weights))
        .expect("a plan");
    let input = drawn("input", graph.shape(network.input).elements(), seed, -1.0, 1.0);
    plan.write(network.input, &input).expect("written");
    plan.run().expect("runs");
    let got = pollster::block_on(plan.read(logits)).expect("read");

    let voxels = got.len() / config.out_channels();
    let names: Vec<&str> = file.iter().map(|t| t.name).collect();
    let sampled = file.get("voxel").or_else(|| file.get("index")).unwrap_or_else(|| panic!("{names:?}")).to_f64();
    let want = file.to_f32("logits").unwrap_or_else(|| panic!("{names:?}"));
    let most = want.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let mut worst = 0.0f32;
    for (i, &v) in sampled.iter().enumerate() {
        for k in 0..config.out_channels() {
            worst = worst.max((got[k * voxels + v as usize] - want[k * sampled.len() + i]).abs());
        }
    }
    println!(
        "{} voxels x {} logits: largest error {worst:.2e}, largest logit {most:.2}",
        sampled.len(),
        config.out_channels()
    );
    assert!(worst <= 1e-4 * most.max(1.0), "largest error {worst}");
    for (k, mean) in file.to_f32("mean").unwrap_or_else(|| panic!("{names:?}")).iter().enumerate() {
        let ours: f64 = got[k * voxels..][..voxels].iter().map(|&v| f64::from(v)).sum::<f64>() / voxels as f64;
        assert!((ours - f64::from(*mean)).abs() <= 1e-4, "mean of class {k}: {ours} and {mean}");
    }
}

fn drawn(name: &str, count: usize, seed: u64, lo: f64, hi: f64) -> Vec<f32> {
    (0..count).map(|i| draw(seed, name, i, lo, hi)).collect()
}

/// Stitched logits of a volume that no window divides, and of one smaller than a window.
#[test]
fn stitching_equals_monai() {
    let gpu = gpu();
    let bytes = golden("sliding-window");
    let file = Tensors::read(bytes.clone()).expect("safetensors");
    let mut worst = 0.0f64;
    for (volume, logits, blend, overlap) in [
        ("volume", "logits.constant.0.25", Blend::Constant, 0.25),
        ("volume", "logits.gaussian.0.25", Blend::Gaussian, 0.25),
        ("volume", "logits.gaussian.0.5", Blend::Gaussian, 0.5),
        ("volume", "logits.gaussian.0.8", Blend::Gaussian, 0.8),
        ("volume_smaller_than_window", "logits.smaller.gaussian.0.5", Blend::Gaussian, 0.5),
    ] {
        let shape = file.get(volume).expect("a volume").shape.to_vec();
        let data = file.to_f32(volume).expect("a volume");
        let scan = Volume::new(data, 1, [shape[2], shape[3], shape[4]], Affine::IDENTITY).expect("a volume");
        let options = SegmentOptions {
            overlap: Some(overlap),
            blend: Some(blend),
            keep_logits: true,
            ..SegmentOptions::default()
        };
        let mut segmenter =
            pollster::block_on(Segmenter::new(&gpu, &plain_package(&file), options)).expect("a segmenter");
        let prepared = segmenter.prepare(&scan).expect("prepared");
        let result =
            pollster::block_on(segmenter.run(&prepared, &mut |_| ControlFlow::Continue(()))).expect("stitched");
        let got = result.logits.expect("kept");
        let [x, y, z] = [shape[2], shape[3], shape[4]];
        assert_eq!((got.channels, got.dims), (3, [x, y, z]), "{logits}");
        worst = worst.max(support::golden::error_at_places(&bytes, logits, &got.data).0);
        assert!(worst <= 1e-4, "{logits}: {worst}");
    }
    println!("largest error {worst:.2e}");
}

/// A package around the file's weights, without preprocessing.
fn plain_package(file: &Tensors) -> Package {
    let network = network_from_json(&file.metadata()["config"]).expect("a configuration");
    let labels = (1..network.out_channels())
        .map(|i| serde_json::json!({"value": i, "name": format!("class_{i}"), "color": "#808080"}));
    let metadata = serde_json::json!({
        "format": "unetr/1", "name": "windows", "version": "1.0.0", "licence": "CC0-1.0", "network": network,
        "input": {"channels": ["any"], "orientation": null, "spacing": null, "crop_foreground": false, "intensity": null},
        "output": {"activation": "softmax", "labels": labels.collect::<Vec<_>>()},
    });
    let metadata = Metadata::from_json(&metadata.to_string()).expect("a good description");
    let mut tensors = TensorsBuilder::new();
    for spec in metadata.network.parameters() {
        let values = file.to_f32(&format!("weight.{}", spec.name)).expect("a weight");
        tensors.push_f32(&spec.name, &spec.shape, &values, FloatType::F32).expect("pushed");
    }
    Package::build(&metadata, tensors).expect("a package")
}

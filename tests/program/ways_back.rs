//! Labels decided on the GPU are those of the probabilities that the host brings back: where the scan's axes are sheared, and
//! where it is resampled several times in a row.

use std::ops::ControlFlow;

use serde_json::json;
use unetr_wgpu::gpu::{Gpu, GpuOptions};
use unetr_wgpu::infer::{SegmentOptions, Segmenter};
use unetr_wgpu::volume::{Affine, Volume};
use unetr_wgpu::weights::{ImportOptions, Package, import_files};

use crate::support::bundle_files::{inference, metadata, set, with};

/// Probabilities nearer than this may be told apart either way.
const NEAR: f32 = 1e-5;

/// The bundle with these steps between reading and scaling.
fn package(steps: &[serde_json::Value]) -> Package {
    let mut config = inference();
    let list = config["preprocessing"]["transforms"].as_array_mut().expect("transforms");
    list.splice(2..4, steps.iter().cloned());
    import_files(set(with(&config, &metadata())), &ImportOptions::default()).expect("a bundle").package
}

fn scan(affine: Affine) -> Volume {
    let dims = [23, 26, 19];
    let value = |i: usize| ((i * 7919 % 241) as f32) - 70.0 + 40.0 * ((i / 19 % 26) as f32 / 4.0).sin();
    Volume::new((0..dims.iter().product()).map(value).collect(), 1, dims, affine).expect("a scan")
}

fn compare(what: &str, package: &Package, scan: &Volume) {
    let adapter = std::env::var("UNETR_ADAPTER").ok();
    let gpu = pollster::block_on(Gpu::open(&GpuOptions { adapter, ..GpuOptions::default() })).expect("an adapter");
    let options = SegmentOptions { keep_probabilities: true, ..SegmentOptions::default() };
    let mut segmenter = pollster::block_on(Segmenter::new(&gpu, package, options)).expect("a segmenter");
    let prepared = segmenter.prepare(scan).expect("prepared");
    let made = pollster::block_on(segmenter.run(&prepared, &mut |_| ControlFlow::Continue(()))).expect("labels");
    let probabilities = made.probabilities.expect("kept");
    let (mut counts, mut near) = ([0; 3], 0);
    for (at, &label) in made.labels.data.iter().enumerate() {
        let values: Vec<f32> = (0..3).map(|class| probabilities.channel(class)[at]).collect();
        let best = values.iter().copied().fold(0.0, f32::max);
        let others = values.iter().enumerate().filter(|(class, _)| *class != usize::from(label));
        let next = others.map(|(_, v)| *v).fold(0.0, f32::max);
        assert!(values[usize::from(label)] >= best - NEAR, "{what}: voxel {at} is {label} of {values:?}");
        counts[usize::from(label)] += 1;
        near += usize::from((best - next).abs() < NEAR);
    }
    assert!(near * 50 < made.labels.data.len(), "{what}: {near} voxels tell nothing");
    assert!(counts.iter().filter(|count| **count > 100).count() > 1, "{what}: {counts:?}");
}

fn spacing(pixdim: [f64; 3]) -> serde_json::Value {
    json!({"_target_": "Spacingd", "keys": "image", "pixdim": pixdim, "mode": "bilinear"})
}

#[test]
fn sheared_scans_are_decided_voxel_by_voxel() {
    let orient = json!({"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"});
    let package = package(&[orient, spacing([1.5, 1.5, 2.0])]);
    // A tilted gantry, and one whose first axis runs backwards.
    for rows in [
        [[1.3, 0.0, 0.0, -15.0], [0.0, 1.2, 0.5, 3.0], [0.0, 0.0, 2.1, -20.0]],
        [[-1.1, 0.3, 0.1, 15.0], [0.1, 1.4, 0.6, 3.0], [0.2, -0.1, 1.9, -20.0]],
    ] {
        compare("sheared", &package, &scan(Affine::from_rows(rows)));
    }
}

#[test]
fn what_was_resampled_twice_is_brought_back_step_by_step() {
    let resize =
        |mode: &str| json!({"_target_": "Resized", "keys": "image", "spatial_size": [17, 24, 13], "mode": mode});
    let orient = json!({"_target_": "Orientationd", "keys": "image", "axcodes": "LPS"});
    let affine = Affine::from_rows([[1.3, 0.0, 0.0, -15.0], [0.0, -1.2, 0.0, 3.0], [0.0, 0.0, 2.1, -20.0]]);
    for mode in ["trilinear", "area", "nearest"] {
        compare(mode, &package(&[orient.clone(), spacing([1.6, 1.7, 1.9]), resize(mode)]), &scan(affine));
    }
    // A mean of three voxels and more.
    let finer = json!({"_target_": "Resized", "keys": "image", "spatial_size": [50, 60, 44], "mode": "area"});
    compare("finer", &package(&[orient, finer]), &scan(affine));
}

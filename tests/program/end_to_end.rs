//! Scans through the whole pipeline against MONAI's labels and logits: the models that are shipped on their samples, a body
//! made in the test, and real scans where `UNETR_DATA` points (reference values of these in `golden`, beside it).
//!
//! To renew `tests/golden/end-to-end`:
//!
//! ```sh
//! UNETR_BODY=out cargo test --release --test program the_body_equals_monai
//! python3 tests/tools/monai_labels.py out/ct.safetensors out/body.nii out/golden --logits
//! ```

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use unetr_wgpu::gpu::{Gpu, GpuOptions};
use unetr_wgpu::infer::{Resample, SegmentOptions, Segmentation, Segmenter};
use unetr_wgpu::metrics;
use unetr_wgpu::volume::{LabelMap, Volume, nifti};
use unetr_wgpu::weights::Tensors;
use unetr_wgpu::weights::package::Package;

use crate::support::procedural::ct_package;
use crate::support::{body, data};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn gpu() -> Gpu {
    let adapter = std::env::var("UNETR_ADAPTER").ok();
    let options = GpuOptions { adapter, default_limits: true, ..GpuOptions::default() };
    pollster::block_on(Gpu::open(&options)).expect("an adapter: see README, 'tests'")
}

fn package(path: &Path) -> Package {
    Package::read(std::fs::read(path).expect("the package")).expect("a good package")
}

fn scan(paths: &[PathBuf]) -> Volume {
    let read = |p: &PathBuf| nifti::read_path(p, &nifti::ReadOptions::default()).expect("a scan").volume;
    Volume::stack(paths.iter().map(read).collect()).expect("channels on one grid")
}

fn labels(path: &Path) -> LabelMap {
    nifti::read_labels_path(path, &nifti::ReadOptions::default()).expect("labels").labels
}

fn segment(gpu: &Gpu, package: &Package, scan: &Volume, options: SegmentOptions) -> Segmentation {
    let mut segmenter = pollster::block_on(Segmenter::new(gpu, package, options)).expect("a segmenter");
    let prepared = segmenter.prepare(scan).expect("prepared");
    pollster::block_on(segmenter.run(&prepared, &mut |_| ControlFlow::Continue(()))).expect("a segmentation")
}

/// Fraction of voxels with equal labels.
fn agreement(a: &LabelMap, b: &LabelMap) -> f64 {
    assert!(a.grid().equals(&b.grid()), "grids differ: {:?} and {:?}", a.dims, b.dims);
    let equal = a.data.iter().zip(&b.data).filter(|(x, y)| x == y).count();
    equal as f64 / a.data.len() as f64
}

/// Logits, and labels by both ways back to the scan's grid.
fn whole_pipeline(gpu: &Gpu, model: &Package, scan: &Volume, folder: &Path, name: &str) {
    for (resample, file) in [(Resample::Probabilities, "probabilities"), (Resample::Labels, "labels")] {
        let options = SegmentOptions { resample: Some(resample), keep_logits: true, ..SegmentOptions::default() };
        let result = segment(gpu, model, scan, options);
        let want = labels(&folder.join(format!("{name}.labels-{file}.nii.gz")));
        let equal = agreement(&result.labels, &want);
        println!("{name}, {file}: {:.4} % of voxels equal", 100.0 * equal);
        assert!(equal >= 0.999, "{name}, {file}: {equal}");
        logits_equal(&folder.join(format!("{name}.logits.safetensors")), result.logits.as_ref().expect("kept"));
    }
}

fn logits_equal(path: &Path, logits: &Volume) {
    let file = Tensors::read(std::fs::read(path).expect("the logits")).expect("safetensors");
    let names: Vec<String> = file.iter().map(|t| format!("{} {:?}", t.name, t.shape)).collect();
    let affine = file.to_f32("affine").unwrap_or_else(|| panic!("no affine in {names:?}"));
    for (a, b) in affine.iter().zip(logits.affine.0.as_flattened()) {
        assert!((f64::from(*a) - b).abs() < 1e-4, "affine {affine:?} and {:?}", logits.affine);
    }
    let shape = file.get("shape").unwrap_or_else(|| panic!("no shape in {names:?}")).to_f64();
    let ours = [logits.channels, logits.dims[0], logits.dims[1], logits.dims[2]].map(|v| v as f64);
    assert_eq!(shape, ours, "model grid");
    let index = file.get("voxel").unwrap_or_else(|| panic!("no voxel in {names:?}")).to_f64();
    let want = file.to_f32("logits").unwrap_or_else(|| panic!("no logits in {names:?}"));
    let voxels = logits.voxels();
    let mut worst = 0.0f32;
    for (i, &at) in index.iter().enumerate() {
        for k in 0..logits.channels {
            let got = logits.data[k * voxels + at as usize];
            worst = worst.max((got - want[k * index.len() + i]).abs());
        }
    }
    println!("  {} logits, largest error {worst:.2e}", want.len());
    assert!(worst <= 1e-3, "logits differ by {worst}");
}

/// Turned, resampled, windowed and cropped.
#[test]
fn the_body_equals_monai() {
    let (model, (scan, file)) = (ct_package(), body::scan());
    if let Some(out) = std::env::var_os("UNETR_BODY").map(PathBuf::from) {
        std::fs::create_dir_all(&out).expect("a folder");
        std::fs::write(out.join("ct.safetensors"), &model).expect("written");
        std::fs::write(out.join("body.nii"), file).expect("written");
    }
    let model = Package::read(model).expect("a good package");
    whole_pipeline(&gpu(), &model, &scan, &root().join("tests/golden/end-to-end"), "body");
}

#[test]
fn shipped_models_give_monais_labels_of_their_samples() {
    let models = [
        ("hippocampus", "hippocampus", 4.0..5.5),
        ("hippocampus_unet", "hippocampus", 3.5..5.0),
        ("brain_regions", "brain_regions", 1700.0..2000.0),
    ];
    for (name, sample, ml) in models {
        let model = package(&root().join(format!("models/{name}.safetensors")));
        let scan = scan(&[root().join(format!("models/samples/{sample}.nii.gz"))]);
        let made = segment(&gpu(), &model, &scan, SegmentOptions::default()).labels;
        let equal = agreement(&made, &labels(&root().join(format!("tests/golden/samples/{name}.nii.gz"))));
        println!("{name}: {:.4} % of voxels equal", 100.0 * equal);
        assert!(equal >= 0.999, "{name}: {equal}");
        let inside = made.data.iter().filter(|&&v| v > 0).count() as f64 * made.affine.voxel_mm3() / 1000.0;
        assert!(ml.contains(&inside), "{name}: {inside} ml");
    }
}

#[test]
fn real_ct_equals_monai() {
    let Some(image) = data::real("ct-multiorgan/ct3mm/image.nii.gz") else { return };
    let Some(golden) = data::real("../golden/end-to-end") else { return };
    let model = package(&golden.join("ct.model.safetensors"));
    whole_pipeline(&gpu(), &model, &scan(&[image]), &golden, "ct");
}

#[test]
fn real_four_channel_mr_equals_monai() {
    let Some(folder) = data::real("tcga-glioma-4ch/TCGA-FG-6692") else { return };
    let Some(golden) = data::real("../golden/end-to-end") else { return };
    let scans = ["t1", "t1ce", "t2", "flair"].map(|c| folder.join(format!("{c}.nii.gz")));
    let model = package(&golden.join("mr4.model.safetensors"));
    whole_pipeline(&gpu(), &model, &scan(&scans), &golden, "mr4");
}

#[test]
fn a_trained_model_gives_monais_labels_and_dice() {
    let Some(val) = data::real("hippocampus/val") else { return };
    let gpu = gpu();
    let model = package(&root().join("models/hippocampus.safetensors"));
    let mut segmenter =
        pollster::block_on(Segmenter::new(&gpu, &model, SegmentOptions::default())).expect("a segmenter");
    let dice: serde_json::Value = serde_json::from_slice(
        &std::fs::read(root().join("tests/golden/hippocampus-shipped/dice.json")).expect("dice"),
    )
    .expect("JSON");
    let mut names: Vec<String> = std::fs::read_dir(val.join("images"))
        .expect("scans")
        .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names.len(), 26);
    let (mut voxels, mut equal) = (0, 0.0);
    let mut sums = [0.0; 2];
    for name in &names {
        let scan = scan(&[val.join("images").join(name)]);
        let prepared = segmenter.prepare(&scan).expect("prepared");
        let result = pollster::block_on(segmenter.run(&prepared, &mut |_| ControlFlow::Continue(()))).expect("labels");
        let monai = labels(&root().join("tests/golden/hippocampus-shipped/labels").join(name));
        let truth = labels(&val.join("labels").join(name));
        let n = monai.data.len();
        equal += agreement(&result.labels, &monai) * n as f64;
        voxels += n;
        for class in [1, 2] {
            let ours = metrics::dice(&result.labels.data, &truth.data, class);
            let theirs = metrics::dice(&monai.data, &truth.data, class);
            assert!((ours - theirs).abs() <= 1e-3, "{name}, class {class}: {ours} and {theirs}");
            sums[class as usize - 1] += ours / 26.0;
        }
    }
    println!(
        "{:.4} % of voxels equal; mean Dice {:.4}, {:.4}; MONAI's {dice}",
        100.0 * equal / voxels as f64,
        sums[0],
        sums[1]
    );
    assert!(equal / voxels as f64 >= 0.999, "{} of {voxels} voxels", equal);
}

#[test]
fn weights_in_16_bits_change_little() {
    let gpu = gpu();
    let model = Package::read(ct_package()).expect("a good package");
    let scan = body::scan().0;
    let run = |half_weights| {
        let options = SegmentOptions { half_weights, keep_logits: true, ..SegmentOptions::default() };
        segment(&gpu, &model, &scan, options)
    };
    let (full, half) = (run(false), run(true));
    let equal = agreement(&full.labels, &half.labels);
    let pairs = full.logits.as_ref().zip(half.logits.as_ref()).expect("kept");
    let worst = pairs.0.data.iter().zip(&pairs.1.data).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    println!("{:.4} % of voxels equal, largest difference of a logit {worst:.2e}", 100.0 * equal);
    assert!(worst > 0.0, "16-bit weights were not used");
    assert!(worst <= 1e-2 && equal >= 0.999, "logits {worst}, labels {equal}");
}

#[test]
fn a_run_repeats_bit_for_bit_and_can_be_cancelled() {
    let gpu = gpu();
    let model = package(&root().join("models/hippocampus.safetensors"));
    let scan = scan(&[root().join("models/samples/hippocampus.nii.gz")]);
    let options = SegmentOptions { keep_logits: true, overlap: Some(0.75), ..SegmentOptions::default() };
    let mut segmenter = pollster::block_on(Segmenter::new(&gpu, &model, options)).expect("a segmenter");
    let prepared = segmenter.prepare(&scan).expect("prepared");
    let mut run = |stop: usize| {
        pollster::block_on(segmenter.run(&prepared, &mut |p| {
            if p.done == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }))
    };
    let first = run(0).expect("a segmentation");
    assert!(run(1).is_err(), "stopped after one window");
    let again = run(0).expect("a segmentation");
    let bits = |s: &Segmentation| s.logits.as_ref().expect("kept").data.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert!(bits(&first) == bits(&again), "the same scan gave other logits");
}

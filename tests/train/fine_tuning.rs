//! Models of other programs trained on: what the recipe does not say is theirs, heads of other classes are made anew, and what comes
//! out segments.

use std::ops::ControlFlow;
use std::path::Path;

use serde_json::{Value, json};
use unetr_wgpu::dataset::Dataset;
use unetr_wgpu::gpu::{Gpu, GpuOptions};
use unetr_wgpu::infer::{SegmentOptions, Segmenter};
use unetr_wgpu::train::Recipe;
use unetr_wgpu::train::run::{Setup, Started, TrainingEvent, train};
use unetr_wgpu::volume::nifti::{self, WriteOptions};
use unetr_wgpu::volume::{Affine, LabelMap, Volume};
use unetr_wgpu::weights::{FileSet, ImportOptions, Package, import_files};

use crate::support::bundle_files;
use crate::support::nnunet_folder::Model;

const RECIPE: &str = r##"
name = "tuned"
[output]
activation = "softmax"
labels = [{ value = 1, name = "box", color = "#e0a040" }]
[run]
steps = 3
[optimizer]
learning_rate = 1e-3
[validation]
surface_distance = false
"##;

/// A box in channels that tell it from what is around it.
fn scan(channels: usize, seed: usize) -> (Volume, LabelMap) {
    let dims = [18, 20, 12];
    let affine = Affine::from_rows([[1.2, 0.0, 0.0, -9.0], [0.0, 1.1, 0.0, 4.0], [0.0, 0.0, 1.9, 0.0]]);
    let place = |i: usize| [i / dims[2] / dims[1], i / dims[2] % dims[1], i % dims[2]];
    let inside = |i: usize| (0..3).all(|a| (4 + seed % 2..10).contains(&place(i)[a]));
    let n: usize = dims.iter().product();
    let noise = |i: usize| ((i * 7919 + seed * 31) % 101) as f32 / 10.0 + 1.0;
    let data = (0..channels * n).map(|i| noise(i) + if inside(i % n) { 40.0 } else { 0.0 }).collect();
    let labels = (0..n).map(|i| u16::from(inside(i))).collect();
    let volume = Volume::new(data, channels, dims, affine).expect("a volume");
    (volume, LabelMap::new(labels, dims, affine).expect("labels"))
}

/// Two training cases and one to judge by, each of several channels in one file.
fn dataset(folder: &Path, channels: usize) -> Dataset {
    let case = |seed: usize| -> Value {
        let (volume, labels) = scan(channels, seed);
        let (mut image, mut label) = (Vec::new(), Vec::new());
        nifti::write_volume(&mut image, &volume, &WriteOptions::default()).expect("an image");
        nifti::write_labels(&mut label, &labels, &WriteOptions::default()).expect("labels");
        let names = [format!("image_{seed}.nii"), format!("label_{seed}.nii")];
        std::fs::write(folder.join(&names[0]), image).expect("a file");
        std::fs::write(folder.join(&names[1]), label).expect("a file");
        json!({"image": names[0], "label": names[1]})
    };
    let json = json!({"training": [case(1), case(2)], "validation": [case(3)]});
    std::fs::write(folder.join("dataset.json"), json.to_string()).expect("a file");
    Dataset::read(&folder.join("dataset.json")).expect("a dataset")
}

/// Trains a few steps from `imported`; gives what became of its tensors and the package that came out.
fn tuned(imported: &Package, channels: usize) -> (Started, Package) {
    let folder = tempfile::tempdir().expect("a folder");
    let adapter = std::env::var("UNETR_ADAPTER").ok();
    let options = GpuOptions { adapter, default_limits: true, ..GpuOptions::default() };
    let gpu = pollster::block_on(Gpu::open(&options)).expect("an adapter");
    let recipe = Recipe::read_for(RECIPE, Some(imported.metadata())).expect("a recipe");
    let (old, new) = (imported.metadata(), &recipe.metadata);
    assert_eq!((&new.input, &new.inference), (&old.input, &old.inference), "what it does not say is the model's");
    assert_eq!((new.network.out_channels(), new.network.kind()), (2, old.network.kind()));
    assert_eq!(Recipe::read(&recipe.to_toml()).expect("its own TOML"), recipe);

    let run = folder.path().join("run");
    let dataset = dataset(folder.path(), channels);
    let setup =
        Setup { folder: &run, data_name: "boxes", dataset, recipe: Some(recipe), resume: false, init: Some(imported) };
    let mut started = Started::default();
    let summary = pollster::block_on(train(&gpu, setup, &mut |told: TrainingEvent<'_>| {
        if let TrainingEvent::Started(now) = told {
            started = now.clone();
        }
        ControlFlow::Continue(())
    }))
    .expect("trained");
    assert!(summary.complete && summary.step == 3, "{summary:?}");
    let package = Package::read(std::fs::read(run.join("model.safetensors")).expect("a model")).expect("a package");

    let mut segmenter = pollster::block_on(Segmenter::new(&gpu, &package, SegmentOptions::default())).expect("a model");
    let (scan, truth) = scan(channels, 4);
    let prepared = segmenter.prepare(&scan).expect("prepared");
    let made = pollster::block_on(segmenter.run(&prepared, &mut |_| ControlFlow::Continue(()))).expect("labels");
    assert!(made.labels.grid().equals(&truth.grid()) && made.labels.data.iter().all(|label| *label < 2));
    (started, package)
}

/// Tensors of a package, by name.
fn names(package: &Package) -> Vec<String> {
    package.tensors().iter().map(|tensor| tensor.name.to_owned()).collect()
}

#[test]
fn a_result_folder_of_nnunet_is_trained_on() {
    let mut model = Model { folds: vec![("0", 1)], ..Model::default() };
    // A channel whose scheme needs no properties has none, in a list.
    model.plans["configurations"]["3d_fullres"]["normalization_schemes"] =
        json!(["CTNormalization", "ZScoreNormalization"]);
    let files = FileSet::from_list("folder", model.files()).expect("files");
    let imported = import_files(files, &ImportOptions::default()).expect("a folder").package;
    let (started, package) = tuned(&imported, 2);
    let anew: Vec<&str> = started.anew.iter().map(|(name, _)| name.as_str()).collect();
    assert!(!anew.is_empty() && anew.iter().all(|name| name.starts_with("decoder.seg_layers.")), "{anew:?}");
    assert_eq!(names(&package), names(&imported));
    let head = package.tensors().get("decoder.seg_layers.0.weight").expect("a head");
    assert_eq!((head.shape[0], package.metadata().output.labels[0].name.as_str()), (2, "box"));
}

#[test]
fn a_monai_bundle_is_trained_on() {
    let files = bundle_files::set(bundle_files::with(&bundle_files::inference(), &bundle_files::metadata()));
    let imported = import_files(files, &ImportOptions::default()).expect("a bundle").package;
    let (started, package) = tuned(&imported, 1);
    let network = &package.metadata().network;
    let anew = started.anew.iter().map(|(name, _)| network.parameter(name).expect("its own").shape[..1].to_vec());
    let anew: Vec<Vec<usize>> = anew.collect();
    // The last convolutions alone give a channel for each class.
    assert!(!anew.is_empty() && started.taken > anew.len(), "{started:?}");
    assert_eq!(names(&package), names(&imported));
}

//! MONAI bundles from import to labels, against MONAI's own labels of real scans (`UNETR_GOLDEN`).

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use unetr_wgpu::gpu::{Gpu, GpuOptions};
use unetr_wgpu::infer::{SegmentOptions, Segmentation, Segmenter};
use unetr_wgpu::volume::nifti::{self, ReadOptions};
use unetr_wgpu::volume::{LabelMap, Volume};
use unetr_wgpu::weights::{FileSet, ImportOptions, import_files};

use crate::support::bundle_files::{inference, metadata, with};
use crate::support::data;
use crate::support::run::{Folder, text, unetr};

fn volume(path: &Path) -> Volume {
    nifti::read_path(path, &ReadOptions::default()).expect("a volume").volume
}

/// The labels that a bundle's model gives to its scans, and MONAI's.
fn segmented(name: &str) -> Option<(Segmentation, PathBuf)> {
    let folder = data::golden(&format!("monai-bundles/{name}"))?;
    let about: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("README.json")).expect("its description")).expect("JSON");
    let scans: Vec<&str> = about["scans"].as_array().expect("scans").iter().filter_map(|s| s.as_str()).collect();
    let scans: Option<Vec<PathBuf>> = scans.into_iter().map(data::real).collect();
    let scan = Volume::stack(scans?.iter().map(|p| volume(p)).collect()).expect("channels on one grid");
    let files = FileSet::from_folder(&folder.join("bundle")).expect("a folder");
    let made = import_files(files, &ImportOptions::default()).expect("a bundle");
    let adapter = std::env::var("UNETR_ADAPTER").ok();
    let gpu = pollster::block_on(Gpu::open(&GpuOptions { adapter, ..GpuOptions::default() })).expect("an adapter");
    let regions = !made.package.metadata().output.regions.is_empty();
    let options = SegmentOptions { keep_probabilities: regions, ..SegmentOptions::default() };
    let mut segmenter = pollster::block_on(Segmenter::new(&gpu, &made.package, options)).expect("a segmenter");
    let prepared = segmenter.prepare(&scan).expect("prepared");
    let result = pollster::block_on(segmenter.run(&prepared, &mut |_| ControlFlow::Continue(()))).expect("labels");
    Some((result, folder.join("expected.nii.gz")))
}

fn labels_equal_monais(name: &str) {
    let Some((result, expected)) = segmented(name) else { return };
    let want: LabelMap = nifti::read_labels_path(&expected, &ReadOptions::default()).expect("labels").labels;
    assert!(result.labels.grid().equals(&want.grid()), "{name}: another grid");
    let equal = result.labels.data.iter().zip(&want.data).filter(|(a, b)| a == b).count();
    let share = equal as f64 / want.data.len() as f64;
    println!("{name}: {:.4} % of voxels equal", 100.0 * share);
    assert!(share >= 0.999, "{name}: {share}");
}

/// Batch norm, references, constant blending, probabilities brought back.
#[test]
fn a_unet_gives_monais_labels() {
    labels_equal_monais("ct-unet");
}

/// Attention in windows, gaussian blending, probabilities brought back.
#[test]
fn a_swin_unetr_gives_monais_labels() {
    labels_equal_monais("ct-swin");
}

/// Several channels, a sigmoid: one volume of 0 and 1 for each of the network's channels.
#[test]
fn a_segresnet_gives_monais_regions() {
    let Some((result, expected)) = segmented("mr-segresnet") else { return };
    let probabilities = result.probabilities.as_ref().expect("kept");
    let want = volume(&expected);
    assert_eq!((want.channels, want.dims), (probabilities.channels, probabilities.dims));
    for c in 0..want.channels {
        let pairs = || probabilities.channel(c).iter().zip(want.channel(c));
        let equal = pairs().filter(|(p, w)| (**p > 0.5) == (**w > 0.5)).count();
        let share = equal as f64 / want.voxels() as f64;
        println!("mr-segresnet, channel {c}: {:.4} % of voxels equal", 100.0 * share);
        assert!(share >= 0.999, "channel {c}: {share}");
    }
    // One label map: painted in the package's order, later over earlier (whole tumour, core, enhancing).
    let painted = |v: usize| {
        [(1, 2), (0, 1), (2, 3)].iter().fold(
            0,
            |label, &(c, value)| {
                if want.channel(c)[v] > 0.5 { value } else { label }
            },
        )
    };
    let equal = (0..want.voxels()).filter(|&v| result.labels.data[v] == painted(v)).count();
    let share = equal as f64 / want.voxels() as f64;
    println!("mr-segresnet, painted: {:.4} % of voxels equal", 100.0 * share);
    assert!(share >= 0.999, "painted: {share}");
}

/// The command line takes a bundle wherever it takes a model, and imports it.
#[test]
fn the_program_takes_a_folder_for_a_model() {
    let folder = Folder::new();
    for (path, bytes) in with(&inference(), &metadata()) {
        let file = folder.path("spleen").join(path);
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("folders");
        std::fs::write(file, bytes).expect("written");
    }
    let made = unetr(&folder, &["import", "spleen", "-o", "model.safetensors", "--json"]).expect(0).json();
    assert_eq!((&made["package"]["name"], &made["package"]["format"]), (&"spleen".into(), &"unetr/2".into()));
    let told = unetr(&folder, &["info", "spleen", "--json"]).expect(0);
    let same = unetr(&folder, &["info", "model.safetensors", "--json"]).expect(0);
    assert!(told.json()["model"]["sha256"].is_string(), "the model is told");
    assert_eq!(told.json()["model"], same.json()["model"]);
    // So does a package that was cut into shards.
    unetr(&folder, &["export", "model.safetensors", "--shards", "-o", "cut.index.json"]).expect(0);
    let cut = unetr(&folder, &["info", "cut.index.json", "--json"]).expect(0);
    assert_eq!(cut.json()["model"], same.json()["model"]);
    folder.write("cut-1-of-1.bin", b"another");
    let error = unetr(&folder, &["info", "cut.index.json"]).expect(1).stderr;
    assert!(error.contains("cut.index.json: cut-1-of-1.bin: it has 7 bytes"), "{error}");
    std::fs::remove_file(folder.path("cut-1-of-1.bin")).expect("removed");
    let error = unetr(&folder, &["info", "cut.index.json"]).expect(1).stderr;
    assert!(error.contains("cut-1-of-1.bin: No such file"), "{error}");
    let option = unetr(&folder, &["import", "spleen", "--folds", "0", "-o", "other.safetensors"]).expect(1).stderr;
    assert!(option.contains("the option `folds` is for result folders of nnU-Net v2"), "{option}");

    let image = text(&folder.path("spleen/configs/inference.json"));
    std::fs::write(&image, "{\"preprocessing\": \"$compute()\"}").expect("written");
    let error = unetr(&folder, &["import", "spleen", "-o", "other.safetensors"]).expect(1).stderr;
    assert!(
        error.contains("spleen: configs/inference.json: preprocessing: \"$compute()\" is an expression"),
        "{error}"
    );
    assert!(!folder.path("other.safetensors").exists());
}

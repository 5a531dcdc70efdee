//! How far passes over a scan disagree, against passes that are run one by one.

use serde_json::{Value, json};
use unetr_wgpu::volume::{Volume, nifti};

use crate::support::raw_models::{assemble, tiny_tensors};
use crate::support::run::{Folder, hippocampus, labels, on_device, part, text, volume};
use crate::support::tiny::tiny_json;

const DIMS: [usize; 3] = [30, 48, 32];
/// What the program says when the first window is done.
const WORK: &str = "windows    1/";

/// The voxel that is there where a volume is mirrored along its first axis.
fn mirrored(at: usize) -> usize {
    let plane = DIMS[1] * DIMS[2];
    (DIMS[0] - 1 - at / plane) * plane + at % plane
}

fn write(folder: &Folder, name: &str, scan: &Volume) -> String {
    let mut bytes = Vec::new();
    nifti::write_volume(&mut bytes, scan, &nifti::WriteOptions::default()).expect("written");
    text(&folder.write(name, &bytes))
}

#[test]
fn mirrored_passes_are_compared() {
    let folder = Folder::new();
    let (sample, model) = hippocampus();
    // One window, with as much padding in front of the scan as behind it.
    let scan = part(&volume(sample.as_ref()), [4, 4, 8], DIMS);
    let turned = Volume { data: (0..scan.data.len()).map(|at| scan.data[mirrored(at)]).collect(), ..scan.clone() };
    let (scan, turned) = (write(&folder, "scan.nii", &scan), write(&folder, "turned.nii", &turned));
    let run = |scan: &str, more: &[&str]| {
        let ran = on_device(&folder, &[&["segment", scan, "-m", &model], more].concat()).expect(0);
        assert!(ran.stderr.contains(WORK), "{}", ran.stderr);
    };
    run(&scan, &["-o", "a.nii", "--save-probabilities", "pa.nii"]);
    run(&turned, &["-o", "b.nii", "--save-probabilities", "pb.nii"]);
    run(&scan, &["-o", "c.nii", "--mirror", "x"]);
    run(&scan, &["-o", "d.nii", "--mirror", "x", "--save-spread", "s.nii.gz", "--statistics", "s.json"]);
    let map = labels(&folder.path("d.nii"));
    assert_eq!(map, labels(&folder.path("c.nii")), "labels do not depend on what else is asked for");

    let [a, b, spread] = ["pa.nii", "pb.nii", "s.nii.gz"].map(|name| volume(&folder.path(name)));
    assert!(spread.channels == 1 && spread.grid().equals(&map.grid()));
    for (at, got) in spread.data.iter().enumerate() {
        let half = |class: usize| (a.channel(class)[at] - b.channel(class)[mirrored(at)]).abs() / 2.0;
        let want = half(0).max(half(1)).max(half(2));
        assert!((got - want).abs() < 1e-4, "voxel {at}: {got} for {want}");
    }
    assert!(spread.data.iter().any(|v| *v > 0.05), "the passes are two");
    let statistics: Value = serde_json::from_slice(&folder.files()["s.json"]).expect("JSON");
    let of: Vec<f64> =
        map.data.iter().zip(&spread.data).filter(|(l, _)| **l == 1).map(|(_, v)| f64::from(*v)).collect();
    let mean = of.iter().sum::<f64>() / of.len() as f64;
    assert!((statistics["hippocampus_anterior"]["spread"].as_f64().expect("a mean") - mean).abs() < 1e-9);
    let record: Value = serde_json::from_slice(&folder.files()["d.json"]).expect("JSON");
    assert_eq!(record["inference"]["mirror_axes"], json!([0]));
}

#[test]
fn what_cannot_be_compared_or_mirrored_is_refused_before_the_work() {
    let folder = Folder::new();
    let (scan, model) = hippocampus();
    let refused = |model: &str, code: i32, more: &[&str]| {
        let ran = on_device(&folder, &[&["segment", &scan, "-m", model, "-o", "a.nii"], more].concat()).expect(code);
        assert!(!folder.files().contains_key("a.nii") && !ran.stderr.contains(WORK), "{}", ran.stderr);
        ran.stderr
    };
    let told = refused(&model, 1, &["--save-spread", "s.nii"]);
    assert!(
        told.contains("spread of one pass: needs a model of several folds, or windows that are mirrored"),
        "{told}"
    );
    let told = refused(&model, 1, &["--save-spread", "s.nii", "--mirror", "x", "--accumulate", "f16"]);
    assert!(told.contains("windows must be added up in f32"), "{told}");
    for (axes, problem) in [("q", "`q` is no axis"), ("x,x", "`x` is there twice"), ("", "`` is no axis")] {
        let told = refused(&model, 2, &["--mirror", axes]);
        assert!(told.contains(problem), "{told}");
    }
    refused(&model, 2, &["--mirror", "x", "--no-mirror"]);

    let mut package = tiny_json();
    package["output"]["labels"][1]["name"] = json!("left_kidney");
    let sided = text(&folder.write("sided.safetensors", &assemble(&tiny_tensors(), Some(&package.to_string()))));
    let told = refused(&sided, 1, &["--mirror", "y,x"]);
    assert!(
        told.contains("mirror x: this axis runs from left to right here, and the label \"left_kidney\" has a side"),
        "{told}"
    );
    on_device(&folder, &["segment", &scan, "-m", &sided, "-o", "b.nii", "--mirror", "y,z"]).expect(0);
}

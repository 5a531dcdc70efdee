//! The program from outside: files, exit codes, stdout and stderr of every command.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::tiny;
use serde_json::Value;
use unetr_wgpu::digest::sha256;
use unetr_wgpu::nets::UnetrConfig;
use unetr_wgpu::volume::nifti::{self, ReadOptions};
use unetr_wgpu::volume::{LabelMap, Volume};
use unetr_wgpu::weights::Tensors;

use crate::support::raw_models::{RawTensor, assemble};
use crate::support::run::{CASE, Folder, Ran, device, hippocampus, labels, monais_labels, on_device, part, volume};

fn segment(folder: &Folder, more: &[&str]) -> Ran {
    let (scan, model) = hippocampus();
    let mut arguments = vec!["segment", &scan, "-m", &model, "-o", "out.nii.gz"];
    arguments.extend(more);
    on_device(folder, &arguments)
}

fn agreement(a: &LabelMap, b: &LabelMap) -> f64 {
    assert!(a.grid().equals(&b.grid()), "{:?} and {:?}", a.dims, b.dims);
    a.data.iter().zip(&b.data).filter(|(x, y)| x == y).count() as f64 / a.data.len() as f64
}

#[test]
fn a_scan_is_segmented_with_everything_beside_it() {
    let folder = Folder::new();
    let ran = segment(
        &folder,
        &[
            "--statistics",
            "s.csv",
            "--preview",
            "p.png",
            "--save-probabilities",
            "p.nii.gz",
            "--save-logits",
            "l.safetensors",
        ],
    )
    .expect(0);
    for word in ["adapter ", "model ", "3,651,323 parameters", "grid ", "windows ", "memory ", "Research use only"] {
        assert!(ran.stderr.contains(word), "no '{word}' in:\n{}", ran.stderr);
    }
    if ran.stderr.contains("llvmpipe") {
        assert!(ran.stderr.contains("software adapter"), "{}", ran.stderr);
    }
    let made = labels(&folder.path("out.nii.gz"));
    let counts = made.counts();
    for (value, name) in [(1, "hippocampus_anterior"), (2, "hippocampus_posterior")] {
        let row = ran.stdout.lines().find(|l| l.starts_with(name)).expect(name);
        // Voxels of 1 mm3.
        let ml = format!("{:.3}", counts[&value] as f64 / 1000.0);
        assert!(row.contains(&counts[&value].to_string()) && row.contains(&ml), "{row}");
    }
    let monai = labels(&monais_labels());
    assert!(agreement(&made, &monai) >= 0.999, "{}", agreement(&made, &monai));
    let names: Vec<String> = folder.files().into_keys().collect();
    assert_eq!(names, ["l.safetensors", "out.json", "out.nii.gz", "p.nii.gz", "p.png", "s.csv"]);
    logits_and_probabilities(&folder, &made);
    picture(&folder.files()["p.png"]);
}

/// The model's grid is the scan's here, so the label is the largest logit's and the largest probability's class.
fn logits_and_probabilities(folder: &Folder, made: &LabelMap) {
    let file = Tensors::read(folder.files()["l.safetensors"].clone()).expect("safetensors");
    let logits = file.get("logits").expect("logits");
    let [x, y, z] = made.dims;
    assert_eq!(logits.shape, [3, x, y, z]);
    let affine = file.get("affine").expect("affine").to_f64();
    assert_eq!(affine, made.affine.0.as_flattened());
    let logits = file.to_f32("logits").expect("floats");
    let probabilities = volume(&folder.path("p.nii.gz"));
    assert_eq!((probabilities.channels, probabilities.dims), (3, made.dims));
    let n = made.data.len();
    for (v, &label) in made.data.iter().enumerate() {
        let class =
            |values: &[f32]| (0..3).max_by(|&a, &b| values[a * n + v].total_cmp(&values[b * n + v])).expect("three");
        assert_eq!(class(&logits), usize::from(label), "voxel {v}");
        let sum: f32 = (0..3).map(|k| probabilities.data[k * n + v]).sum();
        assert!((sum - 1.0).abs() < 1e-5, "voxel {v}: {sum}");
    }
}

fn picture(png: &[u8]) {
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    let size = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().expect("four bytes"));
    // 57 mm from front to back, the longest side, are 540 pixels; 42 from side to side 398; 52 of height 493.
    assert_eq!((size(16), size(20)), (398 + 540 + 3 * 14, 42 + 540 + 493 + 2 * 14 + 58));
    assert_eq!(&png[png.len() - 8..png.len() - 4], b"IEND");
}

#[test]
fn the_record_says_where_the_labels_come_from() {
    let folder = Folder::new();
    let (scan, model) = hippocampus();
    let ran =
        segment(&folder, &["--json", "--overlap", "0.25", "--blend", "constant", "--resample", "labels"]).expect(0);
    let files = folder.files();
    let record: Value = serde_json::from_slice(&files["out.json"]).expect("JSON");
    let hash = |path: &str| sha256(std::fs::read(path).expect("a file"));
    assert_eq!(record["tool"]["name"], "unetr-wgpu");
    assert_eq!(record["tool"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(record["model"]["sha256"], hash(&model));
    assert_eq!(record["inputs"][0]["file"], format!("{CASE}.nii.gz"));
    assert_eq!(record["inputs"][0]["sha256"], hash(&scan));
    assert_eq!(record["output"]["sha256"], sha256(&files["out.nii.gz"]));
    assert_eq!(record["geometry"]["dims"], serde_json::json!([42, 57, 52]));
    assert_eq!(record["geometry"]["axis_codes"], "RAS");
    assert_eq!(record["geometry"]["affine_source"], "sform");
    let inference = &record["inference"];
    assert_eq!(
        (&inference["overlap"], &inference["blend"], &inference["resample"]),
        (&0.25.into(), &"constant".into(), &"labels".into())
    );
    assert_eq!(record["preprocessing"]["intensity"]["kind"], "normalize");
    assert!(record["device"]["software"].is_boolean() && record["seconds"].as_f64() > Some(0.0), "{record}");
    assert!(record["started"].as_str().expect("a time").ends_with('Z'));
    assert!(record["notice"].as_str().expect("a notice").contains("Not a medical device"));
    assert!(!record.to_string().contains(scan.trim_end_matches(&format!("{CASE}.nii.gz"))), "a folder in the record");
    assert_eq!(ran.json()["provenance"], record);

    let written = nifti::read_labels_path(&folder.path("out.nii.gz"), &ReadOptions::default()).expect("labels");
    let comment = written.extensions.iter().find(|e| e.code == nifti::COMMENT).expect("a comment");
    let text = String::from_utf8_lossy(&comment.data).into_owned();
    let embedded: Value = serde_json::from_str(text.trim_end_matches('\0')).expect("JSON");
    assert_eq!(embedded["model"], record["model"]);
    assert!(embedded.get("seconds").is_none() && embedded.get("output").is_none(), "{embedded}");
    let table = written.extensions.iter().find(|e| e.code == nifti::CARET).expect("a label table");
    assert!(String::from_utf8_lossy(&table.data).contains("hippocampus_posterior"), "names in the file");
}

#[test]
fn statistics_are_what_the_files_say() {
    let folder = Folder::new();
    let ran = segment(&folder, &["--statistics", "s.json", "--json"]).expect(0);
    let made: Value = serde_json::from_slice(&folder.files()["s.json"]).expect("JSON");
    assert_eq!(ran.json()["labels"], made);
    let (map, scan) = (labels(&folder.path("out.nii.gz")), volume(Path::new(&hippocampus().0)));
    let [_, ny, nz] = map.dims;
    for (value, name) in [(1, "hippocampus_anterior"), (2, "hippocampus_posterior")] {
        let of = &made[name];
        let at: Vec<usize> = (0..map.data.len()).filter(|&v| map.data[v] == value).collect();
        let n = at.len() as f64;
        let near = |got: &Value, want: f64| {
            let got = got.as_f64().expect("a number");
            assert!((got - want).abs() <= 1e-9 * want.abs().max(1.0), "{name}: {got} instead of {want}");
        };
        assert_eq!(of["voxels"], at.len());
        near(&of["volume_ml"], n * map.affine.determinant().abs() / 1000.0);
        let index = |v: usize| [v / nz / ny, v / nz % ny, v % nz];
        for a in 0..3 {
            let world = |v: usize| map.affine.apply(index(v).map(|i| i as f64))[a];
            near(&of["centroid_mm"][a], at.iter().map(|&v| world(v)).sum::<f64>() / n);
            assert_eq!(of["bounding_box"]["min"][a], at.iter().map(|&v| index(v)[a]).min().expect("voxels"));
            assert_eq!(of["bounding_box"]["max"][a], at.iter().map(|&v| index(v)[a]).max().expect("voxels"));
        }
        let border = at.iter().any(|&v| (0..3).any(|a| index(v)[a] == 0 || index(v)[a] + 1 == map.dims[a]));
        assert_eq!(of["touches_border"], border);
        let mut values: Vec<f64> = at.iter().map(|&v| f64::from(scan.data[v])).collect();
        values.sort_by(f64::total_cmp);
        let mean = values.iter().sum::<f64>() / n;
        let i = &of["intensity"][0];
        assert_eq!(i["channel"], "MR");
        near(&i["mean"], mean);
        near(&i["std"], (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt());
        near(&i["min"], values[0]);
        near(&i["max"], values[values.len() - 1]);
        near(&i["median"], (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0);
    }
}

#[test]
fn nothing_is_overwritten_without_force_and_runs_repeat() {
    let folder = Folder::new();
    segment(&folder, &[]).expect(0);
    let first = folder.files();
    let ran = segment(&folder, &[]).expect(1);
    assert!(ran.stderr.contains("error: --output out.nii.gz exists; --force replaces it"), "{}", ran.stderr);
    assert!(folder.files() == first, "files were changed");
    segment(&folder, &["--force"]).expect(0);
    assert!(folder.files()["out.nii.gz"] == first["out.nii.gz"], "two runs gave different files");
}

#[test]
fn the_record_makes_way_for_statistics_of_its_name() {
    let folder = Folder::new();
    segment(&folder, &["--statistics", "out.json"]).expect(0);
    let files = folder.files();
    assert_eq!(files.keys().collect::<Vec<_>>(), ["out.json", "out.nii.gz", "out.provenance.json"]);
    let statistics: Value = serde_json::from_slice(&files["out.json"]).expect("JSON");
    assert!(statistics["hippocampus_anterior"]["voxels"].is_u64(), "{statistics}");
}

#[test]
fn weights_in_16_bits_give_the_same_labels() {
    let folder = Folder::new();
    segment(&folder, &[]).expect(0);
    let full = labels(&folder.path("out.nii.gz"));
    segment(&folder, &["--precision", "f16", "--force"]).expect(0);
    let agreement = agreement(&full, &labels(&folder.path("out.nii.gz")));
    assert!(agreement >= 0.999, "{agreement}");
}

/// A package like the tiny one with two channels, `A` and `B`.
fn two_channels() -> Vec<u8> {
    let network = UnetrConfig { in_channels: 2, ..tiny::tiny_network() };
    let tensors: Vec<RawTensor> = tiny::parameters(&network)
        .into_iter()
        .map(|spec| RawTensor {
            bytes: tiny::values(spec.len()).iter().flat_map(|v| v.to_le_bytes()).collect(),
            name: spec.name,
            dtype: "F32",
            shape: spec.shape,
        })
        .collect();
    let mut json = tiny::tiny_json();
    json["network"]["in_channels"] = 2.into();
    json["input"]["channels"] = serde_json::json!(["A", "B"]);
    json["input"]["intensity"] = serde_json::json!({"kind": "normalize", "nonzero": false, "channel_wise": true});
    assemble(&tensors, Some(&json.to_string()))
}

#[test]
fn several_scans_are_one_scan_with_channels() {
    let folder = Folder::new();
    folder.write("model.safetensors", &two_channels());
    let scan = part(&volume(Path::new(&hippocampus().0)), [4, 6, 3], [24, 24, 20]);
    let second: Vec<f32> = scan.data.iter().map(|v| 1000.0 - v * v / 500.0).collect();
    let write = |name: &str, volume: &Volume| {
        let mut bytes = Vec::new();
        nifti::write_volume(&mut bytes, volume, &nifti::WriteOptions::default()).expect("written");
        folder.write(name, &bytes);
    };
    let other = Volume { data: second, ..scan.clone() };
    for (names, volume) in [(["a.nii", "x.nii"], &scan), (["b.nii", "y.nii"], &other)] {
        names.iter().for_each(|name| write(name, volume));
    }
    write("ab.nii", &Volume::stack(vec![scan, other]).expect("one grid"));
    let run = |scans: &[&str], out: &str| {
        let mut arguments = vec!["segment"];
        arguments.extend(scans);
        arguments.extend([
            "-m",
            "model.safetensors",
            "-o",
            out,
            "--statistics",
            "s.json",
            "--save-probabilities",
            "p.nii",
            "--force",
        ]);
        let ran = on_device(&folder, &arguments).expect(0);
        let statistics: Value = serde_json::from_slice(&folder.files()["s.json"]).expect("JSON");
        assert_eq!(statistics["spleen"]["intensity"][1]["channel"], "B");
        (volume(&folder.path("p.nii")).data, ran.stderr)
    };
    let (separate, told) = run(&["a.nii", "b.nii"], "1.nii");
    assert!(!told.contains("channels"), "{told}");
    let (joined, _) = run(&["ab.nii"], "2.nii");
    assert!(separate == joined, "one file gives another result than two");
    let (named, told) = run(&["b.nii", "a.nii"], "3.nii");
    assert!(separate == named, "names tell the channels");
    assert!(told.contains("put into the model's order by their names: A = a.nii, B = b.nii"), "{told}");
    let record: Value = serde_json::from_slice(&folder.files()["3.json"]).expect("JSON");
    assert_eq!(record["inputs"][0]["file"], "a.nii");
    assert!(record.to_string().contains("by their names"), "the record says so too");
    let (swapped, told) = run(&["y.nii", "x.nii"], "5.nii");
    assert!(separate != swapped, "the order of the channels must matter");
    assert!(told.contains("taken in the order given: A = y.nii, B = x.nii"), "{told}");
    let ran = on_device(&folder, &["segment", "a.nii", "-m", "model.safetensors", "-o", "4.nii"]).expect(1);
    assert!(ran.stderr.contains("the scan has 1 channel(s), the model needs 2: A, B"), "{}", ran.stderr);
}

#[test]
fn a_window_of_another_size_is_refused_with_the_reason() {
    let ran = segment(&Folder::new(), &["--roi", "96,96,96"]).expect(1);
    assert!(ran.stderr.contains("roi 96,96,96: this model was trained on windows of 32,48,32"), "{}", ran.stderr);
    segment(&Folder::new(), &["--roi", "32x48x32"]).expect(0);
}

#[test]
fn a_reader_who_leaves_is_no_error() {
    for arguments in [&["info", "--nodes"][..], &["--help"], &["devices", "--json"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_unetr"));
        let output = command.args(arguments).stdin(Stdio::null()).stdout(writer).output().expect("the program");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
    // Nor does anything get lost when nobody reads the messages.
    let folder = Folder::new();
    let (scan, model) = hippocampus();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_unetr"));
    command.args(["segment", &scan, "-m", &model, "-o"]).arg(folder.path("out.nii.gz")).args(device());
    let output = command.stdin(Stdio::null()).stderr(writer).output().expect("the program");
    assert_eq!(output.status.code(), Some(0));
    assert!(folder.path("out.nii.gz").exists());
}

//! The program from outside: files, exit codes, stdout and stderr of every command.

#[path = "support/raw_models.rs"]
mod raw_models;
#[path = "support/run.rs"]
mod run;
#[path = "support/tiny.rs"]
mod tiny;

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use unetr_wgpu::model::{UnetrConfig, names};
use unetr_wgpu::report::sha256;
use unetr_wgpu::volume::nifti::{self, ReadOptions};
use unetr_wgpu::volume::{LabelMap, Volume};
use unetr_wgpu::weights::Tensors;

use raw_models::{RawTensor, assemble, tiny_package};
use run::{Folder, Ran, device, repository, unetr};

const CASE: &str = "hippocampus_057";

fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

fn hippocampus() -> (String, String) {
    let scan = repository(&format!("tests/data/hippocampus/images/{CASE}.nii.gz"));
    (
        text(&scan),
        text(&repository("models/hippocampus.safetensors")),
    )
}

/// The program with these arguments and the tests' adapter.
fn on_device(folder: &Folder, arguments: &[&str]) -> Ran {
    let device = device();
    let mut all = arguments.to_vec();
    all.extend(device.iter().map(String::as_str));
    unetr(folder, &all)
}

fn segment(folder: &Folder, more: &[&str]) -> Ran {
    let (scan, model) = hippocampus();
    let mut arguments = vec!["segment", &scan, "-m", &model, "-o", "out.nii.gz"];
    arguments.extend(more);
    on_device(folder, &arguments)
}

fn labels(path: &Path) -> LabelMap {
    nifti::read_labels_path(path, &ReadOptions::default())
        .expect("labels")
        .labels
}

fn volume(path: &Path) -> Volume {
    nifti::read_path(path, &ReadOptions::default())
        .expect("a scan")
        .volume
}

fn agreement(a: &LabelMap, b: &LabelMap) -> f64 {
    assert!(a.same_grid(b), "{:?} and {:?}", a.dims, b.dims);
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
    for word in [
        "adapter ",
        "model ",
        "6,965,947 parameters",
        "grid ",
        "windows ",
        "memory ",
        "Research use only",
    ] {
        assert!(ran.stderr.contains(word), "no '{word}' in:\n{}", ran.stderr);
    }
    if ran.stderr.contains("llvmpipe") {
        assert!(ran.stderr.contains("software adapter"), "{}", ran.stderr);
    }
    let made = labels(&folder.path("out.nii.gz"));
    let counts = made.counts();
    for (value, name) in [(1, "hippocampus_anterior"), (2, "hippocampus_posterior")] {
        let row = ran
            .stdout
            .lines()
            .find(|l| l.starts_with(name))
            .expect(name);
        // Voxels of 1 mm3.
        let ml = format!("{:.3}", counts[&value] as f64 / 1000.0);
        assert!(
            row.contains(&counts[&value].to_string()) && row.contains(&ml),
            "{row}"
        );
    }
    let monai = labels(&repository(&format!(
        "tests/golden/hippocampus-monai/labels/{CASE}.nii.gz"
    )));
    assert!(
        agreement(&made, &monai) >= 0.999,
        "{}",
        agreement(&made, &monai)
    );
    let names: Vec<String> = folder.files().into_keys().collect();
    assert_eq!(
        names,
        [
            "l.safetensors",
            "out.json",
            "out.nii.gz",
            "p.nii.gz",
            "p.png",
            "s.csv"
        ]
    );
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
        let class = |values: &[f32]| {
            (0..3)
                .max_by(|&a, &b| values[a * n + v].total_cmp(&values[b * n + v]))
                .expect("three")
        };
        assert_eq!(class(&logits), usize::from(label), "voxel {v}");
        let sum: f32 = (0..3).map(|k| probabilities.data[k * n + v]).sum();
        assert!((sum - 1.0).abs() < 1e-5, "voxel {v}: {sum}");
    }
}

fn picture(png: &[u8]) {
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    let size = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().expect("four bytes"));
    // 51 mm from front to back, the longest side, are 540 pixels; 35 from side to side 371; 34 of height 360.
    assert_eq!(
        (size(16), size(20)),
        (371 + 540 + 3 * 14, 42 + 540 + 360 + 2 * 14 + 58)
    );
    assert_eq!(&png[png.len() - 8..png.len() - 4], b"IEND");
}

#[test]
fn the_record_says_where_the_labels_come_from() {
    let folder = Folder::new();
    let (scan, model) = hippocampus();
    let ran = segment(
        &folder,
        &[
            "--json",
            "--overlap",
            "0.25",
            "--blend",
            "constant",
            "--resample",
            "labels",
        ],
    )
    .expect(0);
    let files = folder.files();
    let record: Value = serde_json::from_slice(&files["out.json"]).expect("JSON");
    let hash = |path: &str| sha256(&std::fs::read(path).expect("a file"));
    assert_eq!(record["tool"]["name"], "unetr-wgpu");
    assert_eq!(record["tool"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(record["model"]["sha256"], hash(&model));
    assert_eq!(record["inputs"][0]["file"], format!("{CASE}.nii.gz"));
    assert_eq!(record["inputs"][0]["sha256"], hash(&scan));
    assert_eq!(record["output"]["sha256"], sha256(&files["out.nii.gz"]));
    assert_eq!(record["geometry"]["dims"], serde_json::json!([35, 51, 34]));
    assert_eq!(record["geometry"]["axis_codes"], "RAS");
    assert_eq!(record["geometry"]["affine_source"], "sform");
    let inference = &record["inference"];
    assert_eq!(
        (
            &inference["overlap"],
            &inference["blend"],
            &inference["resample"]
        ),
        (&0.25.into(), &"constant".into(), &"labels".into())
    );
    assert_eq!(record["preprocessing"]["intensity"]["kind"], "normalize");
    assert!(
        record["device"]["software"].is_boolean() && record["seconds"].as_f64() > Some(0.0),
        "{record}"
    );
    assert!(record["started"].as_str().expect("a time").ends_with('Z'));
    assert!(
        record["notice"]
            .as_str()
            .expect("a notice")
            .contains("Not a medical device")
    );
    assert!(
        !record
            .to_string()
            .contains(scan.trim_end_matches(&format!("{CASE}.nii.gz"))),
        "a folder in the record"
    );
    assert_eq!(ran.json()["provenance"], record);

    let written = nifti::read_labels_path(&folder.path("out.nii.gz"), &ReadOptions::default())
        .expect("labels");
    let comment = written
        .extensions
        .iter()
        .find(|e| e.code == nifti::COMMENT)
        .expect("a comment");
    let text = String::from_utf8_lossy(&comment.data).into_owned();
    let embedded: Value = serde_json::from_str(text.trim_end_matches('\0')).expect("JSON");
    assert_eq!(embedded["model"], record["model"]);
    assert!(
        embedded.get("seconds").is_none() && embedded.get("output").is_none(),
        "{embedded}"
    );
    let table = written
        .extensions
        .iter()
        .find(|e| e.code == nifti::CARET)
        .expect("a label table");
    assert!(
        String::from_utf8_lossy(&table.data).contains("hippocampus_posterior"),
        "names in the file"
    );
}

#[test]
fn statistics_are_what_the_files_say() {
    let folder = Folder::new();
    let ran = segment(&folder, &["--statistics", "s.json", "--json"]).expect(0);
    let made: Value = serde_json::from_slice(&folder.files()["s.json"]).expect("JSON");
    assert_eq!(ran.json()["labels"], made);
    let (map, scan) = (
        labels(&folder.path("out.nii.gz")),
        volume(Path::new(&hippocampus().0)),
    );
    let [_, ny, nz] = map.dims;
    for (value, name) in [(1, "hippocampus_anterior"), (2, "hippocampus_posterior")] {
        let of = &made[name];
        let at: Vec<usize> = (0..map.data.len())
            .filter(|&v| map.data[v] == value)
            .collect();
        let n = at.len() as f64;
        let near = |got: &Value, want: f64| {
            let got = got.as_f64().expect("a number");
            assert!(
                (got - want).abs() <= 1e-9 * want.abs().max(1.0),
                "{name}: {got} instead of {want}"
            );
        };
        assert_eq!(of["voxels"], at.len());
        near(
            &of["volume_ml"],
            n * map.affine.determinant().abs() / 1000.0,
        );
        let index = |v: usize| [v / nz / ny, v / nz % ny, v % nz];
        for a in 0..3 {
            let world = |v: usize| map.affine.apply(index(v).map(|i| i as f64))[a];
            near(
                &of["centroid_mm"][a],
                at.iter().map(|&v| world(v)).sum::<f64>() / n,
            );
            assert_eq!(
                of["bounding_box"]["min"][a],
                at.iter().map(|&v| index(v)[a]).min().expect("voxels")
            );
            assert_eq!(
                of["bounding_box"]["max"][a],
                at.iter().map(|&v| index(v)[a]).max().expect("voxels")
            );
        }
        let border = at
            .iter()
            .any(|&v| (0..3).any(|a| index(v)[a] == 0 || index(v)[a] + 1 == map.dims[a]));
        assert_eq!(of["touches_border"], border);
        let mut values: Vec<f64> = at.iter().map(|&v| f64::from(scan.data[v])).collect();
        values.sort_by(f64::total_cmp);
        let mean = values.iter().sum::<f64>() / n;
        let i = &of["intensity"][0];
        assert_eq!(i["channel"], "MR");
        near(&i["mean"], mean);
        near(
            &i["std"],
            (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt(),
        );
        near(&i["min"], values[0]);
        near(&i["max"], values[values.len() - 1]);
        near(
            &i["median"],
            (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0,
        );
    }
}

#[test]
fn nothing_is_overwritten_without_force_and_runs_repeat() {
    let folder = Folder::new();
    segment(&folder, &[]).expect(0);
    let first = folder.files();
    let ran = segment(&folder, &[]).expect(1);
    assert!(
        ran.stderr
            .contains("error: --output out.nii.gz exists; --force replaces it"),
        "{}",
        ran.stderr
    );
    assert!(folder.files() == first, "files were changed");
    segment(&folder, &["--force"]).expect(0);
    assert!(
        folder.files()["out.nii.gz"] == first["out.nii.gz"],
        "two runs gave different files"
    );
}

#[test]
fn the_record_makes_way_for_statistics_of_its_name() {
    let folder = Folder::new();
    segment(&folder, &["--statistics", "out.json"]).expect(0);
    let files = folder.files();
    assert_eq!(
        files.keys().collect::<Vec<_>>(),
        ["out.json", "out.nii.gz", "out.provenance.json"]
    );
    let statistics: Value = serde_json::from_slice(&files["out.json"]).expect("JSON");
    assert!(
        statistics["hippocampus_anterior"]["voxels"].is_u64(),
        "{statistics}"
    );
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
    let network = UnetrConfig {
        in_channels: 2,
        ..tiny::tiny_network()
    };
    let tensors: Vec<RawTensor> = names::parameters(&network)
        .into_iter()
        .map(|spec| RawTensor {
            bytes: tiny::values(spec.len())
                .iter()
                .flat_map(|v| v.to_le_bytes())
                .collect(),
            name: spec.name,
            dtype: "F32",
            shape: spec.shape,
        })
        .collect();
    let mut json = tiny::tiny_json();
    json["network"]["in_channels"] = 2.into();
    json["input"]["channels"] = serde_json::json!(["A", "B"]);
    json["input"]["intensity"] =
        serde_json::json!({"kind": "normalize", "nonzero": false, "channel_wise": true});
    assemble(&tensors, Some(&json.to_string()))
}

#[test]
fn several_scans_are_one_scan_with_channels() {
    let folder = Folder::new();
    folder.write("model.safetensors", &two_channels());
    let scan = volume(Path::new(&hippocampus().0));
    let second: Vec<f32> = scan.data.iter().map(|v| 1000.0 - v * v / 500.0).collect();
    let write = |name: &str, volume: &Volume| {
        let mut bytes = Vec::new();
        nifti::write_volume(&mut bytes, volume, &nifti::WriteOptions::default()).expect("written");
        folder.write(name, &bytes);
    };
    let other = Volume {
        data: second,
        ..scan.clone()
    };
    write("a.nii", &scan);
    write("b.nii", &other);
    write(
        "ab.nii",
        &Volume::stack(vec![scan, other]).expect("one grid"),
    );
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
        on_device(&folder, &arguments).expect(0);
        let statistics: Value = serde_json::from_slice(&folder.files()["s.json"]).expect("JSON");
        assert_eq!(statistics["spleen"]["intensity"][1]["channel"], "B");
        volume(&folder.path("p.nii")).data
    };
    let (separate, joined, swapped) = (
        run(&["a.nii", "b.nii"], "1.nii"),
        run(&["ab.nii"], "2.nii"),
        run(&["b.nii", "a.nii"], "3.nii"),
    );
    assert!(separate == joined, "one file gives another result than two");
    assert!(separate != swapped, "the order of the channels must matter");
    let ran = on_device(
        &folder,
        &["segment", "a.nii", "-m", "model.safetensors", "-o", "4.nii"],
    )
    .expect(1);
    assert!(
        ran.stderr
            .contains("the scan has 1 channel(s), the model needs 2: A, B"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_window_of_another_size_is_refused_with_the_reason() {
    let ran = segment(&Folder::new(), &["--roi", "96,96,96"]).expect(1);
    assert!(
        ran.stderr
            .contains("roi 96,96,96: this model was trained on windows of 48,64,48"),
        "{}",
        ran.stderr
    );
    segment(&Folder::new(), &["--roi", "48x64x48"]).expect(0);
}

#[test]
fn labels_are_compared_with_the_truth() {
    let folder = Folder::new();
    let prediction = text(&repository(&format!(
        "tests/golden/hippocampus-monai/labels/{CASE}.nii.gz"
    )));
    let truth = text(&repository(&format!(
        "tests/data/hippocampus/labels/{CASE}.nii.gz"
    )));
    let arguments = ["evaluate", "--prediction", &prediction, "--truth", &truth];
    let ran = unetr(
        &folder,
        &[&arguments[..], &["--json", "-o", "scores.csv"]].concat(),
    )
    .expect(0);
    let json = ran.json();
    let (p, t) = (labels(Path::new(&prediction)), labels(Path::new(&truth)));
    for class in [1u16, 2] {
        let row = &json["cases"][usize::from(class) - 1];
        let both = p
            .data
            .iter()
            .zip(&t.data)
            .filter(|(a, b)| **a == class && **b == class)
            .count() as f64;
        let count = |m: &LabelMap| m.data.iter().filter(|v| **v == class).count() as f64;
        let dice = 2.0 * both / (count(&p) + count(&t));
        assert!(
            (row["dice"].as_f64().expect("a number") - dice).abs() < 1e-12,
            "{row}"
        );
        assert_eq!(row["label"], format!("class_{class}"));
        assert!(
            (row["truth_ml"].as_f64().expect("a number") - count(&t) / 1000.0).abs() < 1e-9,
            "{row}"
        );
        assert!(
            row["hd95_mm"].as_f64() > Some(0.0) && row["assd_mm"].as_f64() > Some(0.0),
            "{row}"
        );
    }
    let csv = String::from_utf8(folder.files()["scores.csv"].clone()).expect("UTF-8");
    assert_eq!(csv.lines().count(), 3, "{csv}");
    let ran = unetr(
        &folder,
        &[&arguments[..], &["-m", &hippocampus().1]].concat(),
    )
    .expect(0);
    assert!(
        ran.stdout.contains("hippocampus_anterior")
            && ran.stdout.contains("NaN is left out of means"),
        "{}",
        ran.stdout
    );
    let ran = unetr(
        &folder,
        &[
            "evaluate",
            "--prediction",
            &truth,
            "--truth",
            &truth,
            "--json",
        ],
    )
    .expect(0);
    assert_eq!(ran.json()["classes"][0]["dice"]["mean"], 1.0);
}

#[test]
fn a_missed_structure_is_counted() {
    let folder = Folder::new();
    let truth = repository(&format!("tests/data/hippocampus/labels/{CASE}.nii.gz"));
    let mut map = labels(&truth);
    map.data
        .iter_mut()
        .filter(|v| **v == 2)
        .for_each(|v| *v = 3);
    let mut bytes = Vec::new();
    nifti::write_labels(&mut bytes, &map, &nifti::WriteOptions::default()).expect("written");
    folder.write("p.nii", &bytes);
    let ran = unetr(
        &folder,
        &[
            "evaluate",
            "--prediction",
            "p.nii",
            "--truth",
            &text(&truth),
            "--json",
        ],
    )
    .expect(0);
    let json = ran.json();
    let case = |i: usize| &json["cases"][i];
    assert_eq!(
        (&case(1)["dice"], &case(1)["presence"]),
        (&0.0.into(), &"missed".into())
    );
    assert!(
        case(1)["hd95_mm"].is_null() && case(2)["dice"].is_null(),
        "{json}"
    );
    assert_eq!(
        (
            &case(2)["presence"],
            &json["classes"][2]["dice"]["excluded"]
        ),
        (&"false alarm".into(), &1.into())
    );
}

#[test]
fn a_model_is_evaluated_over_a_dataset() {
    let folder = Folder::new();
    let cases = ["hippocampus_057", "hippocampus_058"];
    let data = text(&repository("tests/data/hippocampus"));
    let entry = |c: &str| serde_json::json!({"image": format!("{data}/images/{c}.nii.gz"), "label": format!("{data}/labels/{c}.nii.gz")});
    let list: Vec<Value> = cases.iter().map(|c| entry(c)).collect();
    let dataset = serde_json::json!({"name": "Hippocampus", "training": [entry("nothing")], "validation": list});
    folder.write("dataset.json", dataset.to_string().as_bytes());
    let arguments = ["evaluate", "-m", &hippocampus().1, "dataset.json", "--json"];
    let ran = on_device(&folder, &[&arguments[..], &["-o", "scores.json"]].concat()).expect(0);
    assert!(
        ran.stderr.contains("its list \"validation\""),
        "{}",
        ran.stderr
    );
    let json = ran.json();
    let written: Value = serde_json::from_slice(&folder.files()["scores.json"]).expect("JSON");
    assert_eq!(written, json);
    assert_eq!(json["cases"].as_array().map(Vec::len), Some(4));
    for class in [0, 1] {
        let mean = json["classes"][class]["dice"]["mean"]
            .as_f64()
            .expect("a number");
        assert!(mean > 0.8, "class {class}: {mean}");
    }
    // A case that cannot be read is told, the run fails, and no figure is made up for it.
    let ran = on_device(
        &folder,
        &[&arguments[..], &["--split", "training"]].concat(),
    )
    .expect(1);
    assert!(ran.stderr.contains("nothing.nii.gz"), "{}", ran.stderr);
}

#[test]
fn models_go_in_and_out() {
    let folder = Folder::new();
    let (_, model) = hippocampus();
    unetr(
        &folder,
        &[
            "export",
            &model,
            "-o",
            "plain.safetensors",
            "--dtype",
            "f16",
            "--monai",
            "1.3.2",
        ],
    )
    .expect(0);
    let ran = unetr(
        &folder,
        &["import", "plain.safetensors", "-o", "no.safetensors"],
    )
    .expect(1);
    assert!(ran.stderr.contains("network.num_heads"), "{}", ran.stderr);
    assert!(!folder.path("no.safetensors").exists());
    let package = text(&repository("models/hippocampus.json"));
    let ran = unetr(
        &folder,
        &[
            "import",
            "plain.safetensors",
            "--package",
            &package,
            "-o",
            "again.safetensors",
            "--json",
        ],
    )
    .expect(0);
    assert_eq!(ran.json()["parameters"], 6_965_947);
    assert!(
        folder.files()["again.safetensors"] == std::fs::read(&model).expect("the model"),
        "a round trip changes nothing"
    );
    let checkpoint = text(&repository(
        "tests/golden/torch-checkpoints/plain-state-dict.pt",
    ));
    folder.write(
        "heads.json",
        br#"{"network": {"num_heads": 4, "img_size": [32, 32, 32]}}"#,
    );
    let ran = unetr(
        &folder,
        &[
            "import",
            &checkpoint,
            "--package",
            "heads.json",
            "-o",
            "torch.safetensors",
        ],
    );
    if ran.code == Some(0) {
        assert!(
            ran.stderr.contains("warning: "),
            "neutral fields are named: {}",
            ran.stderr
        );
    } else {
        assert!(ran.stderr.contains("error: "), "{}", ran.stderr);
    }
}

#[test]
fn a_model_is_described() {
    let folder = Folder::new();
    let ran = unetr(&folder, &["info", &hippocampus().1]).expect(0);
    for word in [
        "hippocampus_anterior",
        "CC-BY-SA-4.0",
        "6,965,947",
        "GFLOP",
        "device memory",
        "Simpson",
    ] {
        assert!(ran.stdout.contains(word), "no '{word}' in:\n{}", ran.stdout);
    }
    let ran = unetr(&folder, &["info"]).expect(0);
    for word in ["92,784,046", "92.58 M", "92,579,758", "41.19", "73.22 G"] {
        assert!(ran.stdout.contains(word), "no '{word}' in:\n{}", ran.stdout);
    }
    let json = unetr(&folder, &["info", "--json", "--nodes"])
        .expect(0)
        .json();
    assert_eq!(json["complexity"]["parameters"], 92_784_046);
    assert!(
        json["layers"].as_array().expect("layers").len() > 100,
        "every node"
    );
    assert!(
        json["window_memory"]["total"].as_u64() > Some(300 << 20),
        "{}",
        json["window_memory"]
    );
}

#[test]
fn the_adapter_is_verified_listed_and_timed() {
    let folder = Folder::new();
    let reference = repository("tests/golden/unetr-cubic-1to3.safetensors");
    let ran = on_device(
        &folder,
        &["verify", "--json", "--reference", &text(&reference)],
    )
    .expect(0);
    let json = ran.json();
    assert_eq!(json["ok"], true);
    assert_eq!(
        json["kernels"].as_array().map(Vec::len),
        Some(unetr_wgpu::kernels::all_cases().len())
    );
    assert!(
        json["references"][0]["rows"]
            .as_array()
            .expect("rows")
            .len()
            >= 14,
        "{json}"
    );

    // The last logit changed by 1: over the tolerance, and said so.
    let mut bytes = std::fs::read(&reference).expect("the reference");
    let file = Tensors::read(bytes.clone()).expect("safetensors");
    let logits = file.get("logits").expect("logits").bytes;
    let at = logits.as_ptr() as usize - file.file_bytes().as_ptr() as usize;
    let value = f32::from_le_bytes(logits[..4].try_into().expect("four bytes")) + 1.0;
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    folder.write("wrong.safetensors", &bytes);
    let ran = on_device(&folder, &["verify", "--reference", "wrong.safetensors"]).expect(1);
    assert!(
        ran.stdout.contains("FAILED") && ran.stderr.contains("differs from logits on"),
        "{}{}",
        ran.stdout,
        ran.stderr
    );

    let devices = unetr(&folder, &["devices", "--json"]).expect(0).json();
    assert!(
        devices["chosen"].is_u64() && devices["adapters"][0]["limits"]["max_buffer_size"].is_u64(),
        "{devices}"
    );
    folder.write("tiny.safetensors", &tiny_package());
    let bench = on_device(
        &folder,
        &[
            "bench",
            "-m",
            "tiny.safetensors",
            "--repeats",
            "2",
            "--json",
        ],
    )
    .expect(0)
    .json();
    assert!(
        bench["window_ms"].as_f64() > Some(0.0) && bench["peak_bytes"].as_u64() > Some(0),
        "{bench}"
    );
    assert_eq!(bench["repeats_ms"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_reader_who_leaves_is_no_error() {
    for arguments in [
        &["info", "--nodes"][..],
        &["--help"],
        &["devices", "--json"],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_unetr"));
        let output = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(writer)
            .output()
            .expect("the program");
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
    command
        .args(["segment", &scan, "-m", &model, "-o"])
        .arg(folder.path("out.nii.gz"))
        .args(device());
    let output = command
        .stdin(Stdio::null())
        .stderr(writer)
        .output()
        .expect("the program");
    assert_eq!(output.status.code(), Some(0));
    assert!(folder.path("out.nii.gz").exists());
}

#[test]
fn help_and_version_are_data() {
    let folder = Folder::new();
    let ran = unetr(&folder, &["--version"]).expect(0);
    assert_eq!(
        ran.stdout.trim(),
        format!("unetr {}", env!("CARGO_PKG_VERSION"))
    );
    for command in [
        "segment", "evaluate", "import", "export", "info", "verify", "bench", "devices",
    ] {
        let ran = unetr(&folder, &[command, "--help"]).expect(0);
        assert!(
            ran.stdout.contains("Usage: unetr") && ran.stderr.is_empty(),
            "{command}: {}",
            ran.stderr
        );
    }
}

//! The program from outside: evaluation, models in and out, descriptions, self-tests.

use std::path::Path;

use safetensors::SafeTensors;
use serde_json::Value;
use unetr_wgpu::volume::crop::Box3;
use unetr_wgpu::volume::{Affine, LabelMap, nifti};
use unetr_wgpu::weights::Tensors;

use crate::support::raw_models::tiny_package;
use crate::support::run::{
    Folder, hippocampus, labels, monais_labels, on_device, part, repository, text, unetr, volume,
};

/// A safetensors file without the tensors whose names begin so.
fn without(file: &[u8], prefix: &str) -> Vec<u8> {
    let (_, header) = SafeTensors::read_metadata(file).expect("a header");
    let kept = SafeTensors::deserialize(file).expect("a file").tensors();
    let kept = kept.into_iter().filter(|(name, _)| !name.starts_with(prefix));
    safetensors::serialize(kept, header.metadata().clone()).expect("a file")
}

fn written(map: &LabelMap) -> Vec<u8> {
    let mut bytes = Vec::new();
    nifti::write_labels(&mut bytes, map, &nifti::WriteOptions::default()).expect("written");
    bytes
}

#[test]
fn labels_are_compared_with_the_truth() {
    let folder = Folder::new();
    let prediction = text(&monais_labels());
    // The truth lies a voxel further in every direction.
    let mut moved = labels(Path::new(&prediction));
    moved.data.rotate_right(moved.dims[1] * moved.dims[2] + moved.dims[2] + 1);
    let truth = text(&folder.write("truth.nii", &written(&moved)));
    let arguments = ["evaluate", "--prediction", &prediction, "--truth", &truth];
    let ran = unetr(&folder, &[&arguments[..], &["--json", "-o", "scores.csv"]].concat()).expect(0);
    let json = ran.json();
    let (p, t) = (labels(Path::new(&prediction)), labels(Path::new(&truth)));
    for class in [1u16, 2] {
        let row = &json["cases"][usize::from(class) - 1];
        let both = p.data.iter().zip(&t.data).filter(|(a, b)| **a == class && **b == class).count() as f64;
        let count = |m: &LabelMap| m.data.iter().filter(|v| **v == class).count() as f64;
        let dice = 2.0 * both / (count(&p) + count(&t));
        assert!((row["dice"].as_f64().expect("a number") - dice).abs() < 1e-12, "{row}");
        assert_eq!(row["label"], format!("class_{class}"));
        assert!((row["truth_ml"].as_f64().expect("a number") - count(&t) / 1000.0).abs() < 1e-9, "{row}");
        assert!(row["hd95_mm"].as_f64() > Some(0.0) && row["assd_mm"].as_f64() > Some(0.0), "{row}");
    }
    let csv = String::from_utf8(folder.files()["scores.csv"].clone()).expect("UTF-8");
    assert_eq!(csv.lines().count(), 3, "{csv}");
    let ran = unetr(&folder, &[&arguments[..], &["-m", &hippocampus().1]].concat()).expect(0);
    assert!(
        ran.stdout.contains("hippocampus_anterior") && ran.stdout.contains("NaN is left out of means"),
        "{}",
        ran.stdout
    );
    let ran = unetr(&folder, &["evaluate", "--prediction", &truth, "--truth", &truth, "--json"]).expect(0);
    assert_eq!(ran.json()["classes"][0]["dice"]["mean"], 1.0);
}

#[test]
fn truth_is_relabelled_as_in_training() {
    let folder = Folder::new();
    let (_, model) = hippocampus();
    let mut object = unetr(&folder, &["info", &model, "--json"]).expect(0).json()["model"]["metadata"].clone();
    object["training"]["recipe"]["data"]["relabel"] = serde_json::json!({"1": 2, "2": 1});
    unetr(&folder, &["export", &model, "-o", "plain.safetensors"]).expect(0);
    folder.write("package.json", object.to_string().as_bytes());
    unetr(&folder, &["import", "plain.safetensors", "--package", "package.json", "-o", "swapped.safetensors"])
        .expect(0);
    let truth = text(&monais_labels());
    let files = ["evaluate", "--prediction", &truth, "--truth", &truth, "-m", "swapped.safetensors", "--json"];
    let ran = unetr(&folder, &files).expect(0);
    assert_eq!(ran.json()["classes"][0]["dice"]["mean"], 1.0, "two files are taken as they are");
    assert!(ran.stderr.contains("1 -> 2, 2 -> 1"), "{}", ran.stderr);
    let ran = unetr(&folder, &[&files[..], &["--relabel", "training"]].concat()).expect(0);
    assert_eq!(ran.json()["classes"][0]["dice"]["mean"], 0.0);
    assert_eq!(ran.json()["relabel"], serde_json::json!({"1": 2, "2": 1}));
    let plain = ["evaluate", "--prediction", &truth, "--truth", &truth, "-m", &model, "--relabel", "training"];
    let ran = unetr(&folder, &plain).expect(2);
    assert!(ran.stderr.contains("has no data.relabel"), "{}", ran.stderr);

    let image = hippocampus().0;
    let dataset = serde_json::json!({"training": [], "validation": [{"image": image, "label": truth}]});
    folder.write("dataset.json", dataset.to_string().as_bytes());
    for (more, right) in [(&[][..], false), (&["--relabel", "none"], true)] {
        let arguments = [&["evaluate", "-m", "swapped.safetensors", "dataset.json", "--json"][..], more].concat();
        let ran = on_device(&folder, &arguments).expect(0);
        let mean = ran.json()["classes"][0]["dice"]["mean"].as_f64().expect("a number");
        assert_eq!(mean > 0.8, right, "{more:?}: {mean}");
        assert!(ran.stderr.contains("1 -> 2, 2 -> 1"), "{}", ran.stderr);
    }
}

#[test]
fn volumes_of_sheared_grids_are_those_of_their_voxels() {
    let folder = Folder::new();
    // Slices tilted by 45 degrees: 1.41 mm from voxel to voxel along z, 1 mm3 each.
    let rows = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]];
    let data = (0..1000).map(|i| u16::from(i < 500)).collect();
    let map = LabelMap::new(data, [10; 3], Affine(rows)).expect("labels");
    folder.write("tilted.nii", &written(&map));
    let arguments = ["evaluate", "--prediction", "tilted.nii", "--truth", "tilted.nii", "--json"];
    let json = unetr(&folder, &arguments).expect(0).json();
    let ml = json["cases"][0]["truth_ml"].as_f64().expect("a number");
    assert!((ml - 0.5).abs() < 1e-9, "{ml}");
}

#[test]
fn a_missed_structure_is_counted() {
    let folder = Folder::new();
    let truth = monais_labels();
    let mut map = labels(&truth);
    map.data.iter_mut().filter(|v| **v == 2).for_each(|v| *v = 3);
    folder.write("p.nii", &written(&map));
    let ran = unetr(&folder, &["evaluate", "--prediction", "p.nii", "--truth", &text(&truth), "--json"]).expect(0);
    let json = ran.json();
    let case = |i: usize| &json["cases"][i];
    assert_eq!((&case(1)["dice"], &case(1)["presence"]), (&0.0.into(), &"missed".into()));
    assert!(case(1)["hd95_mm"].is_null() && case(2)["dice"].is_null(), "{json}");
    assert_eq!((&case(2)["presence"], &json["classes"][2]["dice"]["excluded"]), (&"false alarm".into(), &1.into()));
}

#[test]
fn a_model_is_evaluated_over_a_dataset() {
    let folder = Folder::new();
    let (image, truth) = (volume(Path::new(&hippocampus().0)), labels(&monais_labels()));
    let (start, dims) = ([3, 4, 2], [37, 50, 48]);
    let mut bytes = Vec::new();
    nifti::write_volume(&mut bytes, &part(&image, start, dims), &nifti::WriteOptions::default()).expect("written");
    let part_image = text(&folder.write("part.nii", &bytes));
    let cut = Box3::within(start, dims);
    let part_truth = LabelMap::new(cut.cut(&truth.data, truth.dims), dims, cut.affine(&truth.affine)).expect("labels");
    let part_truth = text(&folder.write("part_labels.nii", &written(&part_truth)));
    let entry = |image: &str, label: &str| serde_json::json!({"image": image, "label": label});
    let list = [entry(&hippocampus().0, &text(&monais_labels())), entry(&part_image, &part_truth)];
    let nothing = entry("nothing.nii.gz", "nothing_labels.nii.gz");
    let dataset = serde_json::json!({"name": "Hippocampus", "training": [nothing], "validation": list});
    folder.write("dataset.json", dataset.to_string().as_bytes());
    let arguments = ["evaluate", "-m", &hippocampus().1, "dataset.json", "--json"];
    let ran = on_device(&folder, &[&arguments[..], &["-o", "scores.json"]].concat()).expect(0);
    assert!(ran.stderr.contains("its list \"validation\""), "{}", ran.stderr);
    let json = ran.json();
    let written: Value = serde_json::from_slice(&folder.files()["scores.json"]).expect("JSON");
    assert_eq!(written, json);
    assert_eq!(json["cases"].as_array().map(Vec::len), Some(4));
    for class in [0, 1] {
        let mean = json["classes"][class]["dice"]["mean"].as_f64().expect("a number");
        assert!(mean > 0.8, "class {class}: {mean}");
    }
    // A case that cannot be read is told, the run fails, and no figure is made up for it.
    let ran = on_device(&folder, &[&arguments[..], &["--split", "training"]].concat()).expect(1);
    assert!(ran.stderr.contains("nothing.nii.gz"), "{}", ran.stderr);
}

#[test]
fn models_go_in_and_out() {
    let folder = Folder::new();
    let (_, model) = hippocampus();
    unetr(&folder, &["export", &model, "-o", "plain.safetensors", "--dtype", "f16", "--monai", "1.3.2"]).expect(0);
    let ran = unetr(&folder, &["import", "plain.safetensors", "-o", "no.safetensors"]).expect(1);
    assert!(ran.stderr.contains("network.num_heads"), "{}", ran.stderr);
    assert!(!folder.path("no.safetensors").exists());
    let described = unetr(&folder, &["info", &model, "--json"]).expect(0).json();
    folder.write("package.json", described["model"]["metadata"].to_string().as_bytes());
    let ran = unetr(
        &folder,
        &["import", "plain.safetensors", "--package", "package.json", "-o", "again.safetensors", "--json"],
    )
    .expect(0);
    assert_eq!(ran.json()["parameters"], 3_651_323);
    assert!(
        folder.files()["again.safetensors"] == std::fs::read(&model).expect("the model"),
        "a round trip changes nothing"
    );
    let checkpoint = repository("tests/golden/torch-checkpoints/plain-state-dict.pt");
    folder.write("given.json", br#"{"network": {"img_size": [32, 16, 16], "num_heads": 2}}"#);
    let ran =
        unetr(&folder, &["import", &text(&checkpoint), "--package", "given.json", "-o", "torch.safetensors"]).expect(0);
    let as_stored = "input.orientation and input.spacing are null: the network sees scans as they are stored";
    for neutral in ["input.orientation", "output.labels", as_stored] {
        assert!(ran.stderr.contains(neutral), "no warning names {neutral}: {}", ran.stderr);
    }
    for line in ["orientation  as it is", "intensity    as it is", "crop         none", "activation   softmax"] {
        assert!(ran.stdout.contains(line), "no line '{line}' in: {}", ran.stdout);
    }
    // Nothing that is said is dropped: a key that is not known is refused, one of another maker is kept and shown.
    let network = r#""network": {"img_size": [32, 16, 16], "num_heads": 2}"#;
    let input =
        |more: &str| format!(r#"{{{network}, "input": {{"intensity": {{"kind": "normalize"{more}}}}}, "site": "x"}}"#);
    let arguments = ["import", &text(&checkpoint), "--package", "given.json", "-o", "ct.safetensors"];
    folder.write("given.json", input(r#", "non_zero": true"#).as_bytes());
    let ran = unetr(&folder, &arguments).expect(1);
    let words = "input.intensity.non_zero of the model package: unknown key; the nearest known key is `nonzero`";
    assert!(ran.stderr.contains(words), "{}", ran.stderr);
    folder.write("given.json", input(r#", "subtrahend": 99.5, "divisor": [39.25]"#).as_bytes());
    let ran = unetr(&folder, &arguments).expect(0);
    for neutral in ["input.intensity.nonzero is not given; taken as false", "input.intensity.channel_wise"] {
        assert!(ran.stderr.contains(neutral), "no warning names {neutral}: {}", ran.stderr);
    }
    let ran = unetr(&folder, &["info", "ct.safetensors"]).expect(0);
    for words in ["normalize, nonzero false, channel_wise false, subtrahend 99.5, divisor [39.25]", "site: \"x\""] {
        assert!(ran.stdout.contains(words), "no '{words}' in: {}", ran.stdout);
    }
}

#[test]
fn a_model_is_described() {
    let folder = Folder::new();
    let ran = unetr(&folder, &["info", &hippocampus().1]).expect(0);
    for word in ["hippocampus_anterior", "CC-BY-SA-4.0", "3,651,323", "GFLOP", "device memory", "Simpson"] {
        assert!(ran.stdout.contains(word), "no '{word}' in:\n{}", ran.stdout);
    }
    let ran = unetr(&folder, &["info"]).expect(0);
    for word in ["92,784,046", "92.58 M", "92,579,758", "41.19", "73.22 G"] {
        assert!(ran.stdout.contains(word), "no '{word}' in:\n{}", ran.stdout);
    }
    let json = unetr(&folder, &["info", "--json", "--nodes"]).expect(0).json();
    assert_eq!(json["complexity"]["parameters"], 92_784_046);
    assert!(json["layers"].as_array().expect("layers").len() > 100, "every node");
    assert!(json["window_memory"]["total"].as_u64() > Some(300 << 20), "{}", json["window_memory"]);
}

#[cfg(feature = "train")]
#[test]
fn a_training_step_is_planned() {
    let folder = Folder::new();
    let ran = unetr(&folder, &["info", "--train", "--batch", "1"]).expect(0);
    for word in ["a training step, batch of 1", "moments", "moving average", "dispatches"] {
        assert!(ran.stdout.contains(word), "no '{word}' in:\n{}", ran.stdout);
    }
    let plan = |more: &[&str]| {
        let arguments = [&["info", "--json", "--train"][..], more].concat();
        unetr(&folder, &arguments).expect(0).json()["training_memory"].clone()
    };
    let (kept, again) = (plan(&[]), plan(&["--recompute"]));
    assert!(kept["parameters"].as_u64() >= Some(4 * 92_784_046), "{kept}");
    assert!(kept["moments"].as_u64() >= Some(8 * 92_784_046), "{kept}");
    assert!(again["activations"].as_u64() < kept["activations"].as_u64(), "{again} {kept}");
    let ran = unetr(&folder, &["info", "--train", "--batch", "8"]).expect(0);
    assert!(ran.stdout.contains("does not fit WebGPU's default limits: "), "{}", ran.stdout);
    unetr(&folder, &["info", "--batch", "2"]).expect(2);
    unetr(&folder, &["info", "--size", "1000000000000000000,96,96"]).expect(2);
}

#[test]
fn the_adapter_is_verified_listed_and_timed() {
    let folder = Folder::new();
    let reference = repository("tests/golden/unetr-small.safetensors");
    // The second holds a loss but no gradients.
    let whole = std::fs::read(&reference).expect("the reference");
    let second = folder.write("second.safetensors", &without(&whole, "grad."));
    // Every kernel has its own test; here a few say that they are run and told of.
    let some = ["verify", "--kernel", "norm_parameters,linear,transpose"];
    let references = ["--json", "--reference", &text(&reference), "--reference", &text(&second)];
    let ran = on_device(&folder, &[&some[..], &references].concat()).expect(0);
    let json = ran.json();
    assert_eq!(json["ok"], true);
    let told = json["kernels"].as_array().expect("kernels");
    assert_eq!(
        told.iter().map(|k| k["kernel"].as_str()).collect::<Vec<_>>(),
        [Some("linear"), Some("norm_parameters"), Some("transpose")]
    );
    assert!(told.iter().all(|k| k["ok"] == true && k["cases"].as_u64() > Some(1)), "{json}");
    let refused = unetr(&folder, &["verify", "--kernel", "linear,conv4d"]).expect(2);
    let all = unetr_wgpu::kernels::all_cases();
    assert!(
        refused.stderr.contains("conv4d") && all.iter().all(|(name, _)| refused.stderr.contains(name)),
        "{}",
        refused.stderr
    );
    assert!(json["references"][0]["rows"].as_array().expect("rows").len() >= 14, "{json}");
    // The loss, the window and 170 parameters; the loss alone.
    let gradients = |i: usize| json["references"][i]["gradients"].as_array().map(Vec::len);
    let trains = cfg!(feature = "train");
    assert_eq!([gradients(0), gradients(1)], if trains { [Some(172), Some(1)] } else { [None; 2] }, "{json}");

    // A logit and a gradient changed by 1: over the tolerance, and said so.
    let mut bytes = whole;
    let file = Tensors::read(bytes.clone()).expect("safetensors");
    for tensor in ["logits", "grad.vit.norm.bias"] {
        let values = file.get(tensor).expect("the tensor").bytes;
        let at = values.as_ptr() as usize - file.file_bytes().as_ptr() as usize;
        let value = f32::from_le_bytes(values[..4].try_into().expect("four bytes")) + 1.0;
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    folder.write("wrong.safetensors", &bytes);
    let ran = on_device(&folder, &["verify", "--kernel", "add_repeated", "--reference", "wrong.safetensors"]).expect(1);
    let words = ["differs from logits on", ": grad.vit.norm.bias over tolerance"];
    let words = &words[..1 + usize::from(trains)];
    assert_eq!(ran.stdout.matches("FAILED").count(), words.len(), "{}", ran.stdout);
    assert!(words.iter().all(|w| ran.stderr.contains(w)), "{}", ran.stderr);

    let devices = unetr(&folder, &["devices", "--json"]).expect(0).json();
    assert!(devices["chosen"].is_u64() && devices["adapters"][0]["limits"]["max_buffer_size"].is_u64(), "{devices}");
    folder.write("tiny.safetensors", &tiny_package());
    let bench = on_device(&folder, &["bench", "-m", "tiny.safetensors", "--repeats", "2", "--json"]).expect(0).json();
    assert!(bench["window_ms"].as_f64() > Some(0.0) && bench["peak_bytes"].as_u64() > Some(0), "{bench}");
    assert_eq!(bench["repeats_ms"].as_array().map(Vec::len), Some(2));
    if cfg!(feature = "train") {
        let arguments = ["bench", "-m", "tiny.safetensors", "--repeats", "2", "--train", "--batch", "2"];
        let json = on_device(&folder, &[&arguments[..], &["--json"]].concat()).expect(0).json();
        let number = |name: &str| json[name].as_f64().unwrap_or_else(|| panic!("no {name} in {json}"));
        assert!((number("step_ms") / number("forward_ms") - number("forward_passes")).abs() < 1e-6, "{json}");
        assert!(number("loss") > 0.0 && number("step_ms") > number("forward_ms"), "{json}");
        let ops = |phase: usize| -> Vec<&str> {
            let list = json["phases"][phase]["ops"].as_array().expect("ops");
            list.iter().map(|o| o["op"].as_str().expect("a name")).collect()
        };
        assert!(ops(0).contains(&"dice_ce") && !ops(0).contains(&"adamw"), "{:?}", ops(0));
        assert!(ops(1).contains(&"conv3d_weights") && !ops(1).contains(&"dice_ce"), "{:?}", ops(1));
        assert!(ops(2).contains(&"adamw") && !ops(2).contains(&"conv3d_weights"), "{:?}", ops(2));
        let ran = on_device(&folder, &arguments).expect(0);
        assert!(ran.stdout.contains("forward passes of") && ran.stdout.contains("backward linear_backward"));
        unetr(&folder, &["bench", "--batch", "2"]).expect(2);
    }
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "the cache folder is where Linux has it")]
fn what_is_tuned_is_kept_and_said() {
    let folder = Folder::new();
    folder.write("tiny.safetensors", &tiny_package());
    let chosen =
        |index: &Value, devices: &Value| devices["adapters"][index.as_u64().expect("an index") as usize].clone();
    let before = unetr(&folder, &["devices", "--json"]).expect(0).json();
    assert_eq!(chosen(&before["chosen"], &before)["tuned"], serde_json::json!({}));
    let device = before["chosen"].to_string();
    let tuned = unetr(&folder, &["tune", "-m", "tiny.safetensors", "--device", &device, "--json"]).expect(0).json();
    let ops = tuned["ops"].as_array().expect("ops");
    let mut keys: Vec<&str> = ops.iter().map(|op| op["op"].as_str().expect("a key")).collect();
    let all = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert!(keys.len() == all && all > 10, "each op and shape once: {keys:?}");
    let better = ops.iter().filter(|op| op["variant"].is_u64()).count();
    assert!(tuned["tuned_ms"].as_f64() <= tuned["default_ms"].as_f64(), "{tuned}");
    let file = Path::new(tuned["file"].as_str().expect("a path"));
    let kept: Value = serde_json::from_slice(&std::fs::read(file).expect("the file")).expect("JSON");
    assert_eq!(kept["choices"].as_object().map(serde_json::Map::len), Some(better), "{kept}");
    let after = unetr(&folder, &["devices", "--json"]).expect(0).json();
    assert_eq!(chosen(&after["chosen"], &after)["tuned"], kept["choices"]);
    let bench = ["bench", "-m", "tiny.safetensors", "--repeats", "1", "--device", &device, "--json"];
    assert_eq!(unetr(&folder, &bench).expect(0).json()["tuned"], kept["choices"]);
    let plain = unetr(&folder, &[&bench[..], &["--untuned"]].concat()).expect(0).json();
    assert_eq!(plain["tuned"], serde_json::json!({}));
    // Another driver's file, or one that is damaged, is left aside.
    for (field, value) in [("driver", "another"), ("choices", "no list")] {
        let mut other = kept.clone();
        other[field] = value.into();
        std::fs::write(file, other.to_string()).expect("written");
        let devices = unetr(&folder, &["devices", "--json"]).expect(0).json();
        assert_eq!(chosen(&devices["chosen"], &devices)["tuned"], serde_json::json!({}), "{field}");
    }
    unetr(&folder, &["tune", "--reset", "--device", &device]).expect(0);
    let reset: Value = serde_json::from_slice(&std::fs::read(file).expect("the file")).expect("JSON");
    assert_eq!(reset["choices"], serde_json::json!({}));
}

#[test]
fn help_and_version_are_data() {
    let folder = Folder::new();
    let ran = unetr(&folder, &["--version"]).expect(0);
    assert_eq!(ran.stdout.trim(), format!("unetr {}", env!("CARGO_PKG_VERSION")));
    for command in ["segment", "evaluate", "import", "export", "info", "verify", "bench", "devices"] {
        let ran = unetr(&folder, &[command, "--help"]).expect(0);
        assert!(ran.stdout.contains("Usage: unetr") && ran.stderr.is_empty(), "{command}: {}", ran.stderr);
    }
}

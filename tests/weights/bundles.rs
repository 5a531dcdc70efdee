//! MONAI bundles: every form of their configuration, and what each transform comes to.

use std::io::{Cursor, Write};

use serde_json::{Value, json};
use unetr_wgpu::weights::{FileSet, ImportOptions, Imported, WeightsError, import_files};

use crate::support::bundle_files::{self, Files, inference, metadata, set, with};

pub(super) fn import(files: Files) -> Result<Imported, WeightsError> {
    import_files(set(files), &ImportOptions::default())
}

fn object(files: Files) -> Value {
    Value::Object(import(files).expect("a bundle").package.metadata().to_object())
}

/// The bundle whose configuration is changed at JSON pointers.
pub(super) fn changed(changes: &[(&str, Value)]) -> Files {
    let mut config = inference();
    for (pointer, value) in changes {
        match config.pointer_mut(pointer) {
            Some(place) => *place = value.clone(),
            None => {
                let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
                config.pointer_mut(parent).expect("a parent")[key] = value.clone();
            }
        }
    }
    with(&config, &metadata())
}

pub(super) fn replace(mut files: Files, path: &str, bytes: impl Into<Vec<u8>>) -> Files {
    files.retain(|(name, _)| name != path);
    files.push((path.to_owned(), bytes.into()));
    files
}

pub(super) fn without(mut files: Files, path: &str) -> Files {
    files.retain(|(name, _)| name != path);
    files
}

#[test]
fn a_bundle_becomes_a_package() {
    let made = import(changed(&[])).expect("a bundle");
    let m = Value::Object(made.package.metadata().to_object());
    assert_eq!((&m["name"], &m["version"], &m["licence"]), (&json!("tiny"), &json!("0.3.1"), &json!("Apache-2.0")));
    assert_eq!(m["citation"], "One.\nTwo.");
    let card = m["card"].as_str().expect("a card");
    for words in ["# Spleen", "Finds it.", "Modality: CT", "Intended use: An example", "mean_dice 0.96"] {
        assert!(card.contains(words), "{card}");
    }
    assert_eq!((&m["network"]["type"], &m["network"]["channels"]), (&json!("UNet"), &json!([4, 8])));
    assert_eq!(m["input"]["channels"], json!(["CT"]));
    let labels: Vec<(&Value, &Value)> =
        m["output"]["labels"].as_array().expect("labels").iter().map(|l| (&l["value"], &l["name"])).collect();
    assert_eq!(labels, [(&json!(1), &json!("spleen")), (&json!(2), &json!("liver"))]);
    assert_eq!((&m["output"]["activation"], m["output"].get("resample")), (&json!("softmax"), None));
    let expected = json!({"roi_size": [16, 16, 8], "overlap": 0.5, "blend": "constant", "sigma_scale": 0.125});
    assert_eq!(m["inference"], expected);
    let source = &m["source"];
    assert_eq!((&source["program"], &source["made_by"]), (&json!("MONAI bundle"), &json!("MONAI 1.6.1")));
    assert_eq!(source["files"].as_array().map(Vec::len), Some(3));
    assert_eq!(made.warnings, Vec::<String>::new());
}

/// The same configuration, said in other ways.
#[test]
fn every_form_of_saying_it_gives_the_same_package() {
    let expected = object(changed(&[]));
    let same = |what: &str, files: Files| {
        let mut got = object(files);
        got["source"] = expected["source"].clone();
        assert_eq!(got, expected, "{what}");
    };
    let pixdim = "/preprocessing/transforms/3/pixdim";
    let numbers = json!([1.5, 1.5, 2.0]);
    for (what, value, beside) in [
        ("reference", json!("@spacing"), numbers.clone()),
        ("reference within", json!("@spacing::mm"), json!({"mm": numbers})),
        ("old separator", json!("@spacing#mm"), json!({"mm": numbers})),
        ("item of a list", json!("@spacing::0"), json!([numbers])),
        ("reference to a reference", json!("@spacing::mm"), json!({"mm": "@spacing#kept", "kept": numbers})),
        ("counted from the place", json!("@####spacing"), numbers.clone()),
        ("macro", json!("%spacing"), numbers.clone()),
        ("expression that is a reference", json!("$@spacing"), numbers.clone()),
        ("choice", json!("$@spacing#fine if @spacing#high else [3.0] * 3"), json!({"high": true, "fine": numbers})),
        ("other choice", json!("$[3.0] * 3 if not @spacing else @spacing"), numbers.clone()),
        ("repeated", json!("$[@spacing] * 2 + [2.0]"), json!(1.5)),
        ("arithmetic", json!("$(@spacing / 2, 3 * 0.5, -(1 - 3.0))"), json!(3)),
        ("array", json!("$np.array([1.5, 1.5, @spacing])"), json!(2)),
        ("index", json!("$@spacing['a'][-1]"), json!({"a": [0, numbers]})),
    ] {
        same(what, changed(&[(pixdim, value), ("/spacing", beside)]));
    }
    let beside = "/preprocessing/transforms/3/_requires_";
    same("beside", changed(&[(beside, numbers.clone()), (pixdim, json!("@#_requires_"))]));
    let arguments = bundle_files::network();
    same("class with its module", changed(&[("/network_def/_target_", json!("monai.networks.nets.UNet"))]));
    same("class of a reference", changed(&[("/network_def/_target_", json!("@class")), ("/class", json!("UNet"))]));
    same(
        "arguments of references",
        changed(&[("/network_def/channels", json!("@c")), ("/c", arguments["channels"].clone())]),
    );
    same("length", changed(&[("/network_def/out_channels", json!("$len(@names) + 1")), ("/names", json!(["a", "b"]))]));
    same(
        "training's arguments",
        changed(&[("/network_def/use_checkpoint", json!(true)), ("/network_def/_desc_", json!("x"))]),
    );
    let mut network = arguments;
    network["_target_"] = json!("UNet");
    let elsewhere = |id: &str| {
        let files = changed(&[("/network_def", json!(id))]);
        replace(files, "configs/common.yaml", format!("nets:\n  ours: {network}\n"))
    };
    same("macro of a file", elsewhere("%configs/common.yaml::nets::ours"));
    same("macro of a file beside it", elsewhere("%common.yaml#nets#ours"));
    same("macro of a file that lay elsewhere", elsewhere("%/workspace/bundle/configs/common.yaml::nets::ours"));
    let lists = "$@first + @rest";
    let transforms = inference()["preprocessing"]["transforms"].as_array().expect("a list").clone();
    let parts = [
        ("/first", json!(transforms[..2])),
        ("/rest", json!(transforms[2..])),
        ("/preprocessing/transforms", json!(lists)),
    ];
    same("lists that are joined", changed(&parts));
    let nested = json!([{"_target_": "Compose", "transforms": transforms[..2]}, {"_target_": "monai.transforms.Compose", "transforms": transforms[2..]}]);
    same("composed of composed", changed(&[("/preprocessing/transforms", nested)]));
    let mut off = transforms.clone();
    off.insert(3, json!({"_target_": "Nonsense", "_disabled_": "$not @image_key == 'label'"}));
    off.insert(3, json!({"_target_": "Nonsense", "_disabled_": true}));
    off.insert(3, json!({"_target_": "RandFlipd", "keys": "image", "_disabled_": "True"}));
    same("disabled", changed(&[("/preprocessing/transforms", json!(off))]));
    let plain = |c: &Value| {
        let mut c = c.clone();
        let name = c["_target_"].as_str().expect("a class").trim_end_matches('d').to_owned();
        c["_target_"] = json!(format!("monai.transforms.{name}"));
        c.as_object_mut().expect("an object").remove("keys");
        c
    };
    let array: Vec<Value> = transforms.iter().map(plain).collect();
    same("array transforms", changed(&[("/preprocessing/transforms", json!(array))]));
    let upper = |c: &Value, end: &str| {
        let mut c = c.clone();
        c["_target_"] = json!(format!("{}{end}", c["_target_"].as_str().expect("a class").trim_end_matches('d')));
        c["keys"] = json!(["image", "label"]);
        c
    };
    let dict: Vec<Value> = transforms.iter().map(|c| upper(c, "Dict")).collect();
    same("names of dictionary transforms", changed(&[("/preprocessing/transforms", json!(dict))]));
    let mut keyed: Vec<Value> = transforms.iter().map(|c| upper(c, "D")).collect();
    keyed[3]["mode"] = json!(["bilinear", "nearest"]);
    keyed.push(json!({"_target_": "RandFlipd", "_disabled_": true}));
    keyed.push(json!({"_target_": "Orientationd", "keys": "label", "axcodes": "LPS"}));
    same("a value for each key", changed(&[("/preprocessing/transforms", json!(keyed))]));
    let evaluator =
        json!({"inferer": "@window", "postprocessing": inference()["postprocessing"], "network": "@network"});
    let parts = [("/evaluator", evaluator), ("/window", inference()["inferer"].clone())];
    let mut files = changed(&parts);
    let mut config: Value = serde_json::from_slice(&files[1].1).expect("JSON");
    for key in ["inferer", "postprocessing"] {
        config.as_object_mut().expect("an object").remove(key);
    }
    files = replace(files, "configs/inference.json", config.to_string());
    same("what the evaluator is given", files);
    let yaml = without(changed(&[]), "configs/inference.json");
    same("YAML in flow style", replace(yaml.clone(), "configs/inference.yml", inference().to_string()));
    same("YAML", replace(yaml, "configs/inference.yaml", YAML));
    let image_only = json!([{"_target_": "CheckpointLoader", "_disabled_": "$not os.path.exists(@ckpt_path)",
        "load_path": "$os.path.join(@bundle_root, 'models', 'model.pt')", "load_dict": {"model": "@network"}}]);
    same("loader among handlers", changed(&[("/handlers", image_only), ("/checkpointloader", json!(null))]));
    same("loader of another place", changed(&[("/checkpointloader/load_path", json!("/workspace/b/models/model.pt"))]));
    same(
        "enumerations",
        changed(&[
            ("/inferer/mode", json!("$monai.utils.BlendMode.CONSTANT")),
            ("/preprocessing/transforms/2/keys", json!("$monai.utils.CommonKeys.IMAGE")),
        ]),
    );
    same("metadata", changed(&[("/inferer/roi_size", json!("$[16, 16, 8] if @_meta_::task == 'Spleen' else None"))]));
}

const YAML: &str = r#"---
# Said in YAML.
imports:
- $import glob
image_key: image
common: &spacing [1.5, 1.5, 2.0]
network_def:
  _target_: UNet
  spatial_dims: 3
  in_channels: 1
  out_channels: 3
  channels: [4, 8]
  strides:
  - 2
  num_res_units: 1
network: $@network_def.to(@device)
preprocessing:
  _target_: Compose
  transforms:
  - _target_: LoadImaged
    keys: '@image_key'
    reader: ITKReader
  - _target_: EnsureChannelFirstd
    keys: "@image_key"
  - {_target_: Orientationd, keys: image, axcodes: RAS}
  - _target_: Spacingd
    keys: image
    pixdim: *spacing
    mode:
    - bilinear
  - _target_: ScaleIntensityRanged
    keys: image
    a_min: -57
    a_max: 164
    b_min: 0.
    b_max: 1.0
    clip: yes
  - _target_: CastToTyped
    keys: image
    dtype: $torch.float32
inferer:
  _target_: SlidingWindowInferer
  roi_size: [16, 16, 8]
  overlap: 0.5
postprocessing:
  _target_: Compose
  transforms:
  - _target_: Activationsd
    keys: pred
    softmax: true
  - _target_: Invertd
    keys: pred
    transform: '@preprocessing'
    orig_keys: image
    nearest_interp: false
    to_tensor: true
  - _target_: AsDiscreted
    keys: pred
    argmax: true
"#;

fn steps(transforms: Value) -> Value {
    object(changed(&[("/preprocessing/transforms", transforms)]))["input"].clone()
}

/// What `input` is of format `unetr/1`, or the list of `unetr/2`.
#[test]
fn transforms_before_become_steps_in_their_order() {
    let load = json!({"_target_": "LoadImaged", "keys": "image"});
    let list = |steps: &[Value]| {
        let mut all = vec![load.clone()];
        all.extend(steps.iter().map(|step| {
            let mut step = step.clone();
            step["keys"] = json!("image");
            step
        }));
        steps_of(json!(all))
    };
    let steps_of_one = |step: Value| list(&[json!({"_target_": "ScaleIntensityd"}), step])[1].clone();
    assert_eq!(
        list(&[
            json!({"_target_": "NormalizeIntensityd", "nonzero": "True", "channel_wise": true}),
            json!({"_target_": "ScaleIntensityd", "minv": -1, "maxv": 1.0}),
            json!({"_target_": "Orientationd", "axcodes": "LPS"}),
            json!({"_target_": "Spacingd", "pixdim": 2, "mode": "nearest", "align_corners": true}),
        ]),
        json!([
            {"transform": "NormalizeIntensity", "nonzero": true, "channel_wise": true},
            {"transform": "ScaleIntensity", "minv": -1.0, "maxv": 1.0, "channel_wise": false},
            {"transform": "Orientation", "axcodes": "LPS"},
            {"transform": "Spacing", "pixdim": [2.0, 2.0, 2.0], "mode": "nearest"},
        ])
    );
    for (step, expected) in [
        (
            json!({"_target_": "NormalizeIntensityd", "subtrahend": [100.5], "divisor": 40}),
            json!({"transform": "NormalizeIntensity", "nonzero": false, "channel_wise": false, "subtrahend": [100.5], "divisor": 40.0}),
        ),
        (
            json!({"_target_": "ScaleIntensityRanged", "a_min": -10, "a_max": 10}),
            json!({"transform": "ScaleIntensityRange", "a_min": -10.0, "a_max": 10.0, "b_min": 0.0, "b_max": 1.0, "clip": false}),
        ),
        (
            json!({"_target_": "CropForegroundd", "source_key": "image", "margin": [1, 2, 3], "k_divisible": 8, "allow_smaller": true}),
            json!({"transform": "CropForeground", "margin": [1, 2, 3], "k_divisible": [8, 8, 8], "allow_smaller": true}),
        ),
        (
            json!({"_target_": "CropForegroundd", "source_key": "image", "select_fn": "$lambda x: x > 0", "mode": ["minimum"]}),
            json!({"transform": "CropForeground", "margin": [0, 0, 0], "k_divisible": [1, 1, 1], "allow_smaller": false}),
        ),
        (
            json!({"_target_": "Resized", "spatial_size": [32, 32, 16], "mode": "trilinear"}),
            json!({"transform": "Resize", "spatial_size": [32, 32, 16], "mode": "trilinear"}),
        ),
        (
            json!({"_target_": "Orientationd", "as_closest_canonical": true}),
            json!({"transform": "Orientation", "axcodes": "RAS"}),
        ),
        (
            json!({"_target_": "Spacingd", "pixdim": [0.5, 1]}),
            json!({"transform": "Spacing", "pixdim": [0.5, 1.0, 1.0], "mode": "bilinear"}),
        ),
    ] {
        assert_eq!(steps_of_one(step.clone()), expected, "{step}");
    }
    let mut old = metadata();
    old["monai_version"] = json!("1.4.0");
    let mut config = inference();
    config["preprocessing"]["transforms"][3] =
        json!({"_target_": "CropForegroundd", "keys": "image", "source_key": "image", "margin": 2});
    let step = object(with(&config, &old))["input"]["steps"][1].clone();
    assert_eq!(step["allow_smaller"], json!(true), "MONAI 1.4 ends boxes with the image");
}

fn steps_of(transforms: Value) -> Value {
    steps(transforms)["steps"].clone()
}

#[test]
fn images_that_are_joined_are_channels_in_their_order() {
    let keys = json!(["t1", "t2"]);
    let transforms = json!([
        {"_target_": "LoadImaged", "keys": keys}, {"_target_": "EnsureChannelFirstd", "keys": keys},
        {"_target_": "ScaleIntensityd", "keys": keys, "channel_wise": true},
        {"_target_": "ConcatItemsd", "keys": ["t2", "t1"], "name": "image"},
        {"_target_": "NormalizeIntensityd", "keys": "image", "channel_wise": true}
    ]);
    let mut files =
        changed(&[("/preprocessing/transforms", transforms.clone()), ("/network_def/in_channels", json!(2))]);
    let mut about = metadata();
    about["network_data_format"]["inputs"] = json!({});
    files = replace(files, "configs/metadata.json", about.to_string());
    // The weights are of one channel; the error shows that the network has two.
    let error = import(files).expect_err("another network").to_string();
    assert!(error.contains("[4, 2, 3, 3, 3]") || error.contains("in_channels"), "{error}");
    let mut apart = transforms;
    apart.as_array_mut().expect("a list").truncate(3);
    let error = import(changed(&[("/preprocessing/transforms", apart)])).expect_err("apart").to_string();
    assert!(error.contains("the images t1, t2 are never joined"), "{error}");
}

#[test]
fn transforms_after_become_the_output() {
    let out = |transforms: Value| {
        let mut transforms = transforms;
        for t in transforms.as_array_mut().expect("a list") {
            t["keys"] = json!("pred");
        }
        let made = import(changed(&[("/postprocessing/transforms", transforms)])).expect("a bundle");
        let output = made.package.metadata().to_object()["output"].clone();
        (output, made.warnings)
    };
    let soft = json!({"_target_": "Activationsd", "softmax": true});
    let sigmoid = json!({"_target_": "Activationsd", "sigmoid": true});
    let largest = json!({"_target_": "AsDiscreted", "argmax": true});
    let half = json!({"_target_": "AsDiscreted", "threshold": 0.5});
    let back = |nearest: bool| json!({"_target_": "Invertd", "transform": "@preprocessing", "nearest_interp": nearest});
    for (transforms, resample, warned) in [
        (json!([soft, back(false), largest]), None, ""),
        (json!([soft, largest, back(true)]), Some("labels"), ""),
        (json!([soft, back(true), largest]), Some("labels"), ""),
        (json!([largest, back(false)]), Some("labels"), "mixes labels"),
        (json!([back(false), soft, largest]), Some("logits"), ""),
        (json!([back(false), largest]), Some("logits"), ""),
        (json!([soft, largest]), Some("labels"), "brought back"),
        (json!([soft, back(false)]), None, "decides no label"),
    ] {
        let (output, warnings) = out(transforms.clone());
        assert_eq!(output.get("resample").and_then(Value::as_str), resample, "{transforms}");
        let told = warnings.iter().any(|w| w.contains(warned));
        assert!(if warned.is_empty() { warnings.is_empty() } else { told }, "{transforms}: {warnings:?}");
    }
    let keep = |labels: Value| json!({"_target_": "KeepLargestConnectedComponentd", "applied_labels": labels});
    let (output, _) = out(json!([soft, largest, keep(json!([2])), back(true)]));
    assert_eq!(output["keep_largest_component"], json!([2]));
    let (output, _) = out(json!([soft, back(false), largest, keep(json!(null))]));
    assert_eq!(output["keep_largest_component"], json!([1, 2]));

    let (output, warnings) = out(json!([sigmoid, back(false), half]));
    assert_eq!(output["activation"], "sigmoid");
    // Channel 0 is the background: it paints nothing.
    assert_eq!(output["regions"], json!([{"channel": 1, "value": 1}, {"channel": 2, "value": 2}]));
    assert!(warnings.iter().any(|w| w.contains("may overlap")), "{warnings:?}");
    let brats = "$lambda x: torch.where(x[[2]] > 0, 4, torch.where(x[[0]] > 0, 1, torch.where(x[[1]] > 0, 2, 0)))";
    let (output, warnings) = out(json!([sigmoid, back(false), half, {"_target_": "Lambdad", "func": brats}]));
    let painted = json!([{"channel": 1, "value": 2}, {"channel": 0, "value": 1}, {"channel": 2, "value": 4}]);
    assert_eq!((&output["regions"], warnings.len()), (&painted, 0));
    assert_eq!(output["labels"][0]["name"], "edema");
    let mut about = metadata();
    about["network_data_format"]["outputs"]["pred"]["channel_def"] =
        json!({"0": "Tumor core", "1": "Whole tumor", "2": "Enhancing tumor"});
    let mut config = inference();
    config["postprocessing"]["transforms"] =
        json!([{"_target_": "Activations", "sigmoid": true}, {"_target_": "AsDiscrete", "threshold": 0.5}]);
    let nested = json!([{"channel": 1, "value": 2}, {"channel": 0, "value": 1}, {"channel": 2, "value": 3}]);
    assert_eq!(object(with(&config, &about))["output"]["regions"], nested);
}

/// What a package file gives is not looked at in the bundle.
#[test]
fn a_package_file_takes_the_place_of_what_is_not_done() {
    let given = |files: Files, package: Value| {
        let text = package.to_string();
        let options = ImportOptions { package: Some(&text), ..ImportOptions::default() };
        import_files(set(files), &options).expect("a bundle").package.metadata().to_object()
    };
    let strange = json!([{"_target_": "scripts.Mine"}]);
    let steps = json!([{"transform": "ScaleIntensity", "minv": 0.0, "maxv": 2.0, "channel_wise": false}]);
    let files = changed(&[("/preprocessing/transforms", strange.clone())]);
    assert_eq!(given(files, json!({"input": {"steps": steps}}))["input"]["steps"], steps);
    let files = changed(&[("/preprocessing/transforms", strange.clone())]);
    let intensity = json!({"kind": "scale_range", "a_min": 0, "a_max": 9, "b_min": 0, "b_max": 1, "clip": true});
    let fixed = json!({"orientation": "RAS", "spacing": null, "crop_foreground": true, "intensity": intensity});
    let names: Vec<Value> = given(files, json!({"input": fixed}))["input"]["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .map(|step| step["transform"].clone())
        .collect();
    assert_eq!(names, ["Orientation", "ScaleIntensityRange", "CropForeground"]);
    let files = changed(&[("/postprocessing/transforms", strange)]);
    let made = given(files, json!({"output": {"activation": "softmax"}, "name": "mine"}));
    assert_eq!((&made["output"]["activation"], &made["name"]), (&json!("softmax"), &json!("mine")));
    let files = changed(&[("/inferer", json!({"_target_": "SimpleInferer"}))]);
    assert_eq!(
        given(files, json!({"inference": {"roi_size": [32, 32, 32]}}))["inference"]["roi_size"],
        json!([32, 32, 32])
    );
    let files = changed(&[("/inferer/overlap", json!("$f()"))]);
    assert_eq!(given(files, json!({"inference": {"overlap": 0.75}}))["inference"]["overlap"], 0.75);
    let files = changed(&[("/network_def/strides", json!("$f()"))]);
    assert_eq!(given(files, json!({"network": {"strides": [2]}}))["network"]["strides"], json!([[2, 2, 2]]));
}

#[test]
fn folders_zips_and_lists_give_the_same_bytes() {
    let files = changed(&[]);
    let listed = import(files.clone()).expect("a list").package.into_file_bytes();
    let folder = tempfile::tempdir().expect("a folder");
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (path, bytes) in &files {
        let file = folder.path().join("tiny").join(path);
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("folders");
        std::fs::write(file, bytes).expect("written");
        zip.start_file(format!("tiny/{path}"), zip::write::SimpleFileOptions::default()).expect("a file");
        zip.write_all(bytes).expect("written");
    }
    let zip = zip.finish().expect("a zip").into_inner();
    for set in [
        FileSet::from_folder(&folder.path().join("tiny")).expect("a folder"),
        FileSet::from_folder(folder.path()).expect("a folder around it"),
        FileSet::from_zip("other.zip", zip).expect("a zip"),
    ] {
        let shown = format!("{set:?}");
        let made = import_files(set, &ImportOptions::default()).expect("a bundle");
        assert!(made.package.into_file_bytes() == listed, "{shown}");
    }
}

//! MONAI bundles: what is refused, each by the place where it stands.

use serde_json::{Value, json};

use super::bundles::{changed, import, replace, without};

#[test]
fn what_is_not_done_is_refused_by_its_place() {
    let at = |step: usize, value: Value| changed(&[(&format!("/preprocessing/transforms/{step}"), value)]);
    let post = |step: usize, value: Value| changed(&[(&format!("/postprocessing/transforms/{step}"), value)]);
    let mut cycle = changed(&[("/spacing", json!("@other")), ("/other", json!("@spacing"))]);
    let spaced = |value: Value| changed(&[("/preprocessing/transforms/3/pixdim", value)]);
    let looped = {
        let mut config: Value = serde_json::from_slice(&cycle[1].1).expect("JSON");
        config["preprocessing"]["transforms"][3]["pixdim"] = json!("@spacing");
        cycle = replace(cycle, "configs/inference.json", config.to_string());
        cycle
    };
    let mut laughs = serde_json::Map::from_iter([("l0".to_owned(), json!([1.5, 1.5]))]);
    for level in 1..40 {
        let last = format!("@l{}", level - 1);
        laughs.insert(format!("l{level}"), json!([last, last]));
    }
    let mut repeated: Value = serde_json::from_slice(&spaced(json!("@l39"))[1].1).expect("JSON");
    repeated.as_object_mut().expect("an object").extend(laughs);
    let nested = changed(&[("/deep", json!({"x": "@deep"})), ("/network_def/channels", json!("@deep"))]);
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    let mut bad = Vec::new();
    let list = "large_files:\n- path: models/model.pt\n  url: https://example.org/model.pt\n";
    for (what, files, words) in [
        (
            "code",
            spaced(json!("$compute(@x)")),
            "preprocessing::transforms::3::pixdim: \"$compute(@x)\" is an expression, and none is run; give input.steps in the package file of the import",
        ),
        ("comprehension", spaced(json!("$[1.5 for _ in range(3)]")), "is an expression, and none is run"),
        ("import", spaced(json!("$__import__('os').system('true')")), "is an expression, and none is run"),
        (
            "nothing",
            spaced(json!("@nowhere")),
            "pixdim: @nowhere leads to nothing; give input.steps in the package file of the import",
        ),
        ("nothing in it", spaced(json!("@image_key::a")), "@image_key::a leads to nothing"),
        ("cycle", looped, "refers to itself"),
        ("cycle within", nested, "refers to itself, or lies too deep"),
        (
            "repetition",
            replace(changed(&[]), "configs/inference.json", repeated.to_string()),
            "repeat each other without end",
        ),
        ("levels", spaced(json!("@#####spacing")), "counts more levels than there are"),
        ("macro", spaced(json!("%other.json::a")), "the bundle has no file other.json"),
        ("words", spaced(json!("wide")), "Spacingd, pixdim: lengths in mm are needed; give input.steps"),
        (
            "transform",
            at(3, json!({"_target_": "HistogramNormalized", "keys": "image"})),
            "preprocessing::transforms::3: the transform \"HistogramNormalized\" is not done here; give input.steps",
        ),
        ("random", at(3, json!({"_target_": "RandFlipd", "keys": "image"})), "belongs to training"),
        (
            "own code",
            at(3, json!({"_target_": "scripts.transforms.Mine", "keys": "image"})),
            "\"scripts.transforms.Mine\" is a class that comes with the bundle",
        ),
        (
            "argument",
            at(3, json!({"_target_": "Spacingd", "keys": "image", "pixdim": 1, "diagonal": true})),
            "Spacingd, diagonal: true is not done here, only false",
        ),
        (
            "unknown argument",
            at(3, json!({"_target_": "Spacingd", "keys": "image", "pixdim": 1, "padding": 1})),
            "padding: this argument is not known here; the nearest that is known is \"padding_mode\"",
        ),
        (
            "mode",
            at(3, json!({"_target_": "Spacingd", "keys": "image", "pixdim": 1, "mode": 3})),
            "mode: 3 is not done here, only \"bilinear\" or \"nearest\"",
        ),
        (
            "margin by code",
            at(
                3,
                json!({"_target_": "CropForegroundd", "keys": "image", "source_key": "image", "select_fn": "$lambda x: x > 1"}),
            ),
            "only x > 0 is done here",
        ),
        (
            "source",
            at(3, json!({"_target_": "CropForegroundd", "keys": "image", "source_key": "label"})),
            "\"label\" is not the image image",
        ),
        (
            "padding",
            at(
                3,
                json!({"_target_": "CropForegroundd", "keys": "image", "source_key": "image", "margin": 2, "mode": "edge"}),
            ),
            "mode: \"edge\" is not done here",
        ),
        (
            "factor",
            at(3, json!({"_target_": "ScaleIntensityd", "keys": "image", "minv": null, "maxv": null, "factor": 0.1})),
            "scaling by a factor is not done here",
        ),
        (
            "one bound",
            at(3, json!({"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": 0, "a_max": 1, "b_min": 0})),
            "b_min and b_max are needed together",
        ),
        ("codes", at(2, json!({"_target_": "Orientationd", "keys": "image"})), "Orientationd, axcodes: it is missing"),
        (
            "no component",
            at(2, json!({"keys": "image"})),
            "preprocessing::transforms::2: a component with a _target_ is expected",
        ),
        (
            "lambda",
            post(2, json!({"_target_": "Lambdad", "keys": "pred", "func": "$lambda x: x + 1"})),
            "postprocessing::transforms::2: Lambdad, func: \"$lambda x: x + 1\" is code, which is not run; give output",
        ),
        (
            "fill holes",
            post(2, json!({"_target_": "FillHolesd", "keys": "pred"})),
            "the transform \"FillHolesd\" is not done here; give output",
        ),
        (
            "both",
            post(0, json!({"_target_": "Activationsd", "keys": "pred", "softmax": true, "sigmoid": true})),
            "exclude each other",
        ),
        (
            "softmax threshold",
            post(2, json!({"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.3})),
            "a threshold of softmax's probabilities",
        ),
        (
            "connectivity",
            post(3, json!({"_target_": "KeepLargestConnectedComponentd", "keys": "pred", "connectivity": 1})),
            "connectivity: 1 is not done here, only 3",
        ),
        (
            "inferer",
            changed(&[("/inferer", json!({"_target_": "SimpleInferer"}))]),
            "SimpleInferer takes the whole scan as one window, whose size no step fixes; give inference.roi_size",
        ),
        (
            "other inferer",
            changed(&[("/inferer/_target_", json!("SliceInferer"))]),
            "the inferer \"SliceInferer\" is not done here; give inference",
        ),
        ("overlaps", changed(&[("/inferer/overlap", json!([0.5, 0.5, 0.25]))]), "the same along every axis"),
        ("whole axis", changed(&[("/inferer/roi_size", json!([16, 16, -1]))]), "three numbers of voxels above 0"),
        (
            "network",
            changed(&[("/network_def/_target_", json!("DiNTS"))]),
            "network_def: \"DiNTS\" is no network of this program, which has UNETR",
        ),
        (
            "own network",
            changed(&[("/network_def/_target_", json!("scripts.networks.unest.UNesT"))]),
            "comes with the bundle, whose code is not run",
        ),
        ("two dimensions", changed(&[("/network_def/spatial_dims", json!(2))]), "three-dimensional"),
        ("unknown to the network", changed(&[("/network_def/depth", json!(2))]), "network.depth"),
        ("shape", changed(&[("/network_def/channels", json!([4, 16]))]), "the network section needs"),
        ("class", changed(&[("/network_def/_target_", json!("SETR"))]), "the checkpoint holds no SETR"),
        (
            "no weights",
            without(changed(&[]), "models/model.pt"),
            "models/model.pt: the weights are not in the bundle; put them there; in it are LICENSE, configs",
        ),
        (
            "listed",
            replace(without(changed(&[]), "models/model.pt"), "large_files.yml", list),
            "download https://example.org/model.pt to that path",
        ),
        ("pointer", replace(changed(&[]), "models/model.pt", pointer), "models/model.pt: it is a Git LFS pointer"),
        (
            "pointer of the configuration",
            replace(changed(&[]), "configs/inference.json", pointer),
            "configs/inference.json: it is a Git LFS pointer",
        ),
        ("empty", replace(changed(&[]), "configs/inference.json", ""), "configs/inference.json: it is empty; copy"),
        (
            "no checkpoint",
            replace(changed(&[]), "models/model.pt", "hello"),
            "models/model.pt: cannot read the checkpoint",
        ),
        ("no JSON", replace(changed(&[]), "configs/inference.json", "{"), "configs/inference.json: not valid JSON"),
        ("metadata", replace(changed(&[]), "configs/metadata.json", "[]"), "configs/metadata.json: expected an object"),
        (
            "no inference",
            without(changed(&[]), "configs/inference.json"),
            "there is no configuration of inference in the bundle",
        ),
        (
            "no bundle",
            vec![("a/readme.md".into(), Vec::new())],
            "it is no model: a MONAI bundle has configs/metadata.json",
        ),
        (
            "several",
            [("a/configs/metadata.json", "{}"), ("b/configs/metadata.json", "{}")]
                .map(|(p, t)| (p.to_owned(), t.into()))
                .to_vec(),
            "it holds several bundles: a, b",
        ),
    ] {
        let error = import(files).map_or_else(|e| e.to_string(), |_| "it is taken".to_owned());
        if !error.contains(words) {
            bad.push(format!("{what}: {error}\nis not: {words}"));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n\n"));
}

//! Checkpoints of MONAI in and out: what PyTorch users keep and what MONAI loads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::support::{golden, tiny};
use half::f16;
use pytorch_reader::PytorchReader;
use serde_json::json;
use unetr_wgpu::nets::{Architecture, NormName, UnetrConfig};
use unetr_wgpu::weights::package::{Activation, Package};
use unetr_wgpu::weights::{
    Dtype, FloatType, ImportOptions, MonaiVersion, Tensors, TensorsBuilder, WeightsError, export, import,
};

/// What `torch-checkpoints` leaves open.
const GIVEN: &str = r#"{"network": {"img_size": [32, 16, 16], "num_heads": 2}}"#;
const CHECKPOINTS: [&str; 9] = [
    "plain-state-dict",
    "training-checkpoint",
    "data-parallel",
    "legacy-non-zip",
    "half",
    "monai-0.8-keys",
    "monai-1.4-keys",
    "lightning",
    "bundle-backbone",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn checkpoint(name: &str) -> Vec<u8> {
    golden::stored(&golden::path("golden/torch-checkpoints").join(name))
}

fn expected() -> Tensors {
    Tensors::read(checkpoint("expected.safetensors")).expect("the expected values")
}

fn options(package: &str) -> ImportOptions<'_> {
    ImportOptions { package: Some(package), ..ImportOptions::default() }
}

/// The expected values as a file, with each name or tensor changed.
fn rewritten(change: impl Fn(&str, &mut Vec<f32>) -> Option<String>) -> Vec<u8> {
    let mut file = TensorsBuilder::new();
    for tensor in expected().iter() {
        let mut values = tensor.to_f32();
        if let Some(name) = change(tensor.name, &mut values) {
            file.push_f32(&name, tensor.shape, &values, FloatType::F32).expect("a new name");
        }
    }
    file.finish(&BTreeMap::new()).expect("a good file").into_bytes()
}

fn assert_equals_expected(package: &Package, what: &str) {
    let expected = expected();
    for spec in package.metadata().network.parameters() {
        let (found, wanted) = (package.tensors().get(&spec.name).expect(what), expected.get(&spec.name).expect(what));
        assert_eq!(found.shape, wanted.shape, "{what}: {}", spec.name);
        match found.dtype {
            Dtype::F32 => assert_eq!(found.bytes, wanted.bytes, "{what}: {}", spec.name),
            _ => {
                let rounded: Vec<f32> = wanted.to_f32().iter().map(|&v| f16::from_f32(v).to_f32()).collect();
                assert_eq!(found.to_f32(), rounded, "{what}: {}", spec.name);
            }
        }
    }
    // One channel into one, so that the first block has no shortcut.
    assert_eq!(package.tensors().len(), 169, "{what}");
}

#[test]
fn every_checkpoint_of_pytorch_users_imports_equal() {
    for name in CHECKPOINTS {
        let imported = import(checkpoint(&format!("{name}.pt")), &options(GIVEN)).expect(name);
        let stored = imported.package.tensors().get("vit.norm.weight").map(|tensor| tensor.dtype);
        assert_eq!(stored, Some(if name == "half" { Dtype::F16 } else { Dtype::F32 }), "{name}");
        assert_equals_expected(&imported.package, name);
    }
    let safetensors = import(checkpoint("expected.safetensors"), &options(GIVEN)).expect("a safetensors state dict");
    assert_equals_expected(&safetensors.package, "safetensors");
}

#[test]
fn import_can_store_halves() {
    let halves = ImportOptions { dtype: Some(FloatType::F16), ..options(GIVEN) };
    let imported = import(checkpoint("plain-state-dict.pt"), &halves).expect("a checkpoint");
    assert!(imported.package.tensors().iter().all(|tensor| tensor.dtype == Dtype::F16));
    assert_equals_expected(&imported.package, "halves");
}

#[test]
fn the_shipped_model_survives_export_and_import() {
    let kept = std::fs::read(root().join("models/hippocampus.safetensors")).expect("the model");
    let package = Package::read(kept.clone()).expect("a good package");
    let metadata = package.metadata();
    assert_eq!(metadata.network.parameter_count(), 3_651_323);
    assert_eq!(metadata.output.label_name(2), "hippocampus_posterior");
    let state = export(&package, MonaiVersion::default(), FloatType::F16).expect("a state dict");
    let settings = serde_json::Value::Object(metadata.to_object()).to_string();
    let imported = import(state.into_bytes(), &options(&settings)).expect("the state dict");
    assert!(matches!(&imported.warnings[..], [w] if w.contains("input.spacing is null")), "{:?}", imported.warnings);
    assert!(kept == imported.package.file_bytes(), "export and import changed the model");
}

#[test]
fn what_is_not_given_is_neutral_and_reported() {
    let imported = import(checkpoint("plain-state-dict.pt"), &options(GIVEN)).expect("a checkpoint");
    let metadata = imported.package.metadata();
    assert_eq!(metadata.input.preprocess.steps, []);
    let names: Vec<&str> = metadata.output.labels.iter().map(|label| label.name.as_str()).collect();
    assert_eq!(names, ["class_1", "class_2"]);
    assert_eq!(metadata.inference.roi_size, [32, 16, 16]);
    let fields = ["name", "licence", "input.channels", "input.spacing", "output.labels", "inference.overlap"];
    for field in fields {
        let start = format!("{field} is not given");
        assert!(imported.warnings.iter().any(|warning| warning.starts_with(&start)), "{field}");
    }
    let training = import(checkpoint("training-checkpoint.pt"), &options(GIVEN)).expect("a checkpoint");
    assert!(training.package.file_bytes() == imported.package.file_bytes());
}

#[test]
fn what_is_given_is_kept() {
    let given = json!({
        "name": "mine", "network": {"img_size": [32, 16, 16], "num_heads": 2, "feature_size": 1},
        "input": {"spacing": [1, 1, 3]}, "site": "ward 3",
        "output": {"activation": "sigmoid", "regions": [{"channel": 2, "value": 4}, {"channel": 0, "value": 1}]}
    });
    let imported = import(checkpoint("plain-state-dict.pt"), &options(&given.to_string())).expect("a checkpoint");
    let metadata = imported.package.metadata();
    assert_eq!(metadata.name, "mine");
    assert_eq!(metadata.input.preprocess.spacing(), Some([1.0, 1.0, 3.0]));
    assert_eq!(metadata.output.activation, Activation::Sigmoid);
    assert_eq!(metadata.output.labels.iter().map(|label| label.value).collect::<Vec<_>>(), [1, 4]);
    assert_eq!(metadata.to_object()["site"], "ward 3");
    assert!(!imported.warnings.iter().any(|warning| warning.starts_with("input.spacing")));
}

#[test]
fn heads_and_image_size_are_asked_for() {
    let error = import(checkpoint("plain-state-dict.pt"), &ImportOptions::default()).expect_err("nothing given");
    let WeightsError::Undetermined { fields } = &error else { panic!("{error}") };
    let names: Vec<&str> = fields.iter().map(|field| field.field.as_str()).collect();
    assert_eq!(names, ["network.img_size", "network.num_heads"]);
    assert!(fields[0].hint.contains("with 2 patches"), "{error}");
    let heads = r#"{"network": {"img_size": [32, 16, 16]}}"#;
    let error = import(checkpoint("plain-state-dict.pt"), &options(heads)).expect_err("no heads").to_string();
    assert!(error.contains("network.num_heads (attention heads, a divisor of 2)"), "{error}");
    assert!(!error.contains("img_size"), "{error}");
}

/// Channels of MONAI 1.6.1's ConvertToMultiChannelBasedOnBratsClasses and of nnU-Net's region-based training.
#[test]
fn regions_are_asked_for_and_orders_of_brats_are_known_by_name() {
    let with = |regions: serde_json::Value| {
        let mut given: serde_json::Value = serde_json::from_str(GIVEN).expect("JSON");
        given["output"] = json!({"activation": "sigmoid"});
        if !regions.is_null() {
            given["output"]["regions"] = regions;
        }
        import(checkpoint("plain-state-dict.pt"), &options(&given.to_string()))
    };
    let error = with(json!(null)).expect_err("no regions");
    let WeightsError::Undetermined { fields } = &error else { panic!("{error}") };
    assert_eq!(fields[0].field, "output.regions");
    for words in ["3 channels", "\"channel\": 0, \"value\": 1", "brats-monai", "brats-nnunet"] {
        assert!(fields[0].hint.contains(words), "{error}");
    }
    for (name, expected, core) in [
        ("brats-monai", [(1, 2), (0, 1), (2, 4)], 1),
        ("brats-monai-2023", [(1, 2), (0, 1), (2, 3)], 1),
        ("brats-nnunet", [(0, 1), (1, 2), (2, 3)], 2),
    ] {
        let made = with(json!(name)).expect(name);
        let output = &made.package.metadata().output;
        assert_eq!(output.regions.iter().map(|r| (r.channel, r.value)).collect::<Vec<_>>(), expected, "{name}");
        assert_eq!(output.label_name(core), "non_enhancing_tumour", "{name}");
        assert!(!made.warnings.iter().any(|w| w.starts_with("output.regions")), "{:?}", made.warnings);
    }
    let error = with(json!("brats")).expect_err("no such name").to_string();
    assert!(error.contains("output.regions") && error.contains("brats-monai"), "{error}");
}

#[test]
fn fields_that_contradict_the_checkpoint_are_refused() {
    let with = |network: serde_json::Value| {
        let given = json!({"network": network}).to_string();
        import(checkpoint("plain-state-dict.pt"), &options(&given)).expect_err("a contradiction").to_string()
    };
    let patches = with(json!({"img_size": [32, 32, 16], "num_heads": 2}));
    assert!(patches.contains("does not have the checkpoint's 2 patches"), "{patches}");
    let hidden = with(json!({"img_size": [32, 16, 16], "num_heads": 2, "hidden_size": 768}));
    assert!(
        hidden.contains("network.hidden_size") && hidden.contains("768 contradicts the checkpoint's 2"),
        "{hidden}"
    );
    let heads = with(json!({"img_size": [32, 16, 16], "num_heads": 5}));
    assert!(heads.contains("network.num_heads is 5"), "{heads}");
    let text = import(checkpoint("plain-state-dict.pt"), &options("[1]")).expect_err("a list").to_string();
    assert!(text.contains("package file"), "{text}");
}

#[test]
fn separate_projections_are_joined_and_unused_tensors_dropped() {
    let mut file = TensorsBuilder::new();
    let nan = vec![f32::NAN; 16];
    for tensor in expected().iter() {
        if let Some(block) = tensor.name.strip_suffix(".attn.qkv.weight") {
            for (part, rows) in ["to_q", "to_k", "to_v"].into_iter().zip(tensor.bytes.chunks(4 * 4)) {
                file.push(&format!("{block}.attn.{part}.weight"), Dtype::F32, &[2, 2], rows).expect("a new name");
                let cross = format!("{block}.cross_attn.{part}.weight");
                file.push_f32(&cross, &[2, 2], &nan[..4], FloatType::F32).expect("a new name");
            }
        } else if tensor.name.contains("norm_cross_attn") {
            file.push_f32(tensor.name, tensor.shape, &nan[..2], FloatType::F32).expect("a new name");
        } else {
            file.push(tensor.name, tensor.dtype, tensor.shape, tensor.bytes).expect("a new name");
        }
    }
    file.push_f32("vit.patch_embedding.cls_token", &[1, 1, 2], &nan[..2], FloatType::F32).expect("a new name");
    file.push_f32("encoder3.blocks.0.1.conv3.conv.weight", &[4, 4, 1, 1, 1], &nan, FloatType::F32).expect("a new name");
    let bytes = file.finish(&BTreeMap::new()).expect("a good file").into_bytes();
    assert_equals_expected(&import(bytes, &options(GIVEN)).expect("a state dict").package, "joined");
}

#[test]
fn other_files_are_named_for_what_they_are() {
    let refused = |bytes: Vec<u8>| import(bytes, &options(GIVEN)).expect_err("no whole UNETR").to_string();
    let encoder = refused(rewritten(|name, _| name.strip_prefix("vit.").map(str::to_string)));
    assert!(encoder.contains("only the transformer encoder"), "{encoder}");
    let encoder = refused(rewritten(|name, _| name.starts_with("vit.").then(|| name.to_string())));
    assert!(encoder.contains("only the transformer encoder"), "{encoder}");
    let extra = refused(rewritten(|name, _| Some(name.replace("norm_cross_attn", "adapter"))));
    assert!(extra.contains("unexpected tensor \"vit.blocks.0.adapter.bias\" (and 23 more)"), "{extra}");
    let missing = refused(rewritten(|name, _| (name != "decoder3.transp_conv.conv.weight").then(|| name.into())));
    assert!(missing.contains("\"decoder3.transp_conv.conv.weight\" of shape [4, 2, 2, 2, 2] is missing"), "{missing}");
    let deep = refused(rewritten(|name, _| (!name.starts_with("vit.blocks.11.")).then(|| name.into())));
    assert!(deep.contains("it has 11 transformer blocks"), "{deep}");
    let nan = refused(rewritten(|name, values| {
        if name == "out.conv.conv.bias" {
            values[1] = f32::NAN;
        }
        Some(name.to_string())
    }));
    assert!(nan.contains("\"out.conv.conv.bias\": value 1 is NaN"), "{nan}");
}

#[test]
fn one_of_several_networks_is_chosen_by_its_prefix() {
    let both = |first: &str, second: &str| {
        let mut file = TensorsBuilder::new();
        for tensor in expected().iter() {
            let doubled: Vec<f32> = tensor.to_f32().iter().map(|value| value * 2.0).collect();
            file.push_f32(&format!("{first}{}", tensor.name), tensor.shape, &doubled, FloatType::F32).expect("new");
            file.push(&format!("{second}{}", tensor.name), tensor.dtype, tensor.shape, tensor.bytes).expect("new");
        }
        file.finish(&BTreeMap::new()).expect("a good file").into_bytes()
    };
    let error = import(both("teacher.", "student."), &options(GIVEN)).expect_err("two networks").to_string();
    assert!(error.contains("\"student.\", \"teacher.\""), "{error}");
    let chosen = ImportOptions { prefix: Some("student."), ..options(GIVEN) };
    assert_equals_expected(&import(both("teacher.", "student."), &chosen).expect("chosen").package, "student");
    let imported = import(both("ema.", "state_dict."), &options(GIVEN)).expect("the network itself");
    assert_equals_expected(&imported.package, "state_dict");
    assert_eq!(imported.warnings[0], "193 tensors outside \"state_dict.\" were left out");
}

#[test]
fn exports_have_the_keys_of_each_monai_and_import_again() {
    let package = import(checkpoint("plain-state-dict.pt"), &options(GIVEN)).expect("a checkpoint").package;
    let versions = [("0.8.1", 174), ("1.3", 169), ("1.5.0", 253), ("1.6.1", 193)];
    for (version, count) in versions {
        let version: MonaiVersion = version.parse().expect(version);
        let exported = export(&package, version, FloatType::F32).expect("a state dict");
        assert_eq!(exported.len(), count, "{version:?}");
        let again = import(exported.into_bytes(), &options(GIVEN)).expect("its own output");
        assert!(again.package.file_bytes() == package.file_bytes(), "{version:?}");
    }
    for bad in ["", "0.5", "torch", "1"] {
        assert!(bad.parse::<MonaiVersion>().is_err(), "{bad}");
    }
}

#[test]
fn exports_have_the_keys_and_shapes_that_monai_saved() {
    let package = import(checkpoint("plain-state-dict.pt"), &options(GIVEN)).expect("a checkpoint").package;
    let keys = |version| -> BTreeSet<(String, Vec<usize>)> {
        let exported = export(&package, version, FloatType::F32).expect("a state dict");
        exported.iter().map(|tensor| (tensor.name.to_string(), tensor.shape.to_vec())).collect()
    };
    let newest = expected().iter().map(|tensor| (tensor.name.to_string(), tensor.shape.to_vec())).collect();
    assert_eq!(keys(MonaiVersion::default()), newest);
    for (file, version) in [("monai-0.8-keys.pt", MonaiVersion::V0_6), ("monai-1.4-keys.pt", MonaiVersion::V1_4)] {
        let saved = PytorchReader::from_bytes(checkpoint(file), None).expect(file);
        let saved = saved.tensors().iter().map(|(name, tensor)| {
            let name = name.strip_prefix("state_dict.").unwrap_or(name);
            (name.to_string(), tensor.shape().to_vec())
        });
        assert_eq!(keys(version), saved.collect(), "{file}");
    }
}

#[test]
fn exports_can_be_halves() {
    let package = import(checkpoint("plain-state-dict.pt"), &options(GIVEN)).expect("a checkpoint").package;
    let exported = export(&package, MonaiVersion::V0_9, FloatType::F16).expect("a state dict");
    assert!(exported.iter().all(|tensor| tensor.dtype == Dtype::F16));
    let again = import(exported.into_bytes(), &options(GIVEN)).expect("its own output");
    assert_equals_expected(&again.package, "halves");
}

/// Every kind of network survives a trip through a state dict.
#[test]
fn every_variant_is_inferred_from_its_own_export() {
    let norms = [
        NormName::default(),
        NormName::Instance { affine: true },
        NormName::Group { num_groups: 2, affine: true },
        NormName::Batch { affine: true },
    ];
    for norm_name in norms {
        for bits in 0..8 {
            let (qkv_bias, conv_block, res_block) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
            let network = UnetrConfig { qkv_bias, conv_block, res_block, norm_name, ..tiny::tiny_network() };
            let mut tensors = TensorsBuilder::new();
            for spec in tiny::parameters(&network) {
                let values = tiny::values(spec.len());
                tensors.push_f32(&spec.name, &spec.shape, &values, FloatType::F32).expect("a new name");
            }
            let mut json = tiny::tiny_json();
            json["network"] = json!(network);
            let metadata = unetr_wgpu::weights::Metadata::from_json(&json.to_string()).expect("a good package");
            let package = Package::build(&metadata, tensors).expect("a good package");
            let exported = export(&package, MonaiVersion::V0_6, FloatType::F32).expect("a state dict");
            let mut given = json.clone();
            let section = json!({"img_size": [16, 16, 16], "num_heads": 2, "norm_name": network.norm_name});
            given["network"] = section;
            let again = import(exported.into_bytes(), &options(&given.to_string())).expect("its own output");
            assert_eq!(again.package.metadata().network, Architecture::new(network.clone()).expect("a network"));
            assert!(again.package.file_bytes() == package.file_bytes(), "{network:?}");
            assert_eq!(again.warnings, Vec::<String>::new());
        }
    }
}

#[test]
fn affine_norms_need_to_be_named() {
    let network = UnetrConfig { norm_name: NormName::Instance { affine: true }, ..tiny::tiny_network() };
    let mut tensors = TensorsBuilder::new();
    for spec in tiny::parameters(&network) {
        let values = tiny::values(spec.len());
        tensors.push_f32(&spec.name, &spec.shape, &values, FloatType::F32).expect("a new name");
    }
    let bytes = tensors.finish(&BTreeMap::new()).expect("a good file").into_bytes();
    let given = r#"{"network": {"img_size": [16, 16, 16], "num_heads": 2}}"#;
    let error = import(bytes, &options(given)).expect_err("groups or instances").to_string();
    assert!(error.contains("network.norm_name"), "{error}");
}

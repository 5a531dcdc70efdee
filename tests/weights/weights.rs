//! Model files: the table of tensors, the container, the package, and every way they can be wrong.

use std::collections::BTreeMap;

use crate::support::procedural::ct_package;
use crate::support::raw_models::{RawTensor, assemble, tiny_package, tiny_tensors};
use crate::support::tiny::{parameters, tiny_json, tiny_network};
use crate::support::{bad_models, golden, tiny};
use half::{bf16, f16};
use serde_json::{Value, json};
use unetr_wgpu::nets::{Architecture, NormName, Parameter, ProjType, UnetrConfig};
use unetr_wgpu::weights::package::{self, Activation, Blend, Metadata, Package};
use unetr_wgpu::weights::{Dtype, FloatType, Tensors, TensorsBuilder, WeightsError};

fn parameter_count(network: &UnetrConfig) -> usize {
    Architecture::new(network.clone()).expect("a network").parameter_count()
}

fn standard() -> UnetrConfig {
    UnetrConfig { proj_type: ProjType::Perceptron, ..UnetrConfig::default() }
}

#[test]
fn parameters_of_the_standard_network_are_counted_per_part() {
    let specs = parameters(&standard());
    assert_eq!(specs.len(), 170);
    assert_eq!(parameter_count(&standard()), 92_784_046);
    let part =
        |prefix: &str| -> usize { specs.iter().filter(|spec| spec.name.starts_with(prefix)).map(Parameter::len).sum() };
    let counts = [
        ("vit.patch_embedding.", 3_312_384),
        ("vit.blocks.", 85_026_816),
        ("vit.norm.", 1_536),
        ("encoder1.", 7_360),
        ("encoder2.", 323_584),
        ("encoder3.", 647_168),
        ("encoder4.", 786_432),
        ("decoder5.", 2_146_304),
        ("decoder4.", 405_504),
        ("decoder3.", 101_376),
        ("decoder2.", 25_344),
        ("out.", 238),
    ];
    for (prefix, count) in counts {
        assert_eq!(part(prefix), count, "{prefix}");
    }
}

#[test]
fn parameters_of_other_networks_are_counted() {
    let brain = UnetrConfig { in_channels: 4, out_channels: 3, img_size: [128; 3], ..standard() };
    assert_eq!(parameter_count(&UnetrConfig { out_channels: 2, ..standard() }), 92_783_842);
    assert_eq!(parameter_count(&brain), 102_449_715);
    assert_eq!(parameter_count(&UnetrConfig { feature_size: 32, ..standard() }), 101_787_214);
    assert_eq!(parameter_count(&UnetrConfig { proj_type: ProjType::Conv, ..standard() }), 92_784_046);
}

/// Numbers of keys of MONAI 1.6.1's `state_dict` without the 24 of `norm_cross_attn`, with `qkv_bias`.
#[test]
fn every_variant_has_as_many_tensors_as_in_monai() {
    let affine = NormName::Instance { affine: true };
    let group = NormName::Group { num_groups: 2, affine: true };
    let batch = NormName::Batch { affine: true };
    // Batch norm also counts its batches, once per norm; that is no value of the network.
    let variants = [
        (NormName::default(), [206, 201, 200, 195], [0; 4]),
        (affine, [248, 233, 230, 215], [0; 4]),
        (group, [248, 233, 230, 215], [0; 4]),
        (batch, [311, 281, 275, 245], [21, 16, 15, 10]),
    ];
    for (norm_name, counts, counters) in variants {
        let blocks = [(true, true), (true, false), (false, true), (false, false)];
        for (((conv_block, res_block), count), counter) in blocks.into_iter().zip(counts).zip(counters) {
            let config = UnetrConfig { qkv_bias: true, conv_block, res_block, norm_name, ..standard() };
            assert_eq!(parameters(&config).len(), count - 24 - counter, "{norm_name:?} {conv_block} {res_block}");
        }
    }
}

#[test]
fn tables_name_the_tensors_of_every_reference_network() {
    let files = ["unetr-cubic-1to3", "unetr-aniso-4to3-sigmoid", "unetr-qkvbias-2to14"];
    for file in files {
        let tensors = Tensors::read(golden::bytes(&format!("golden/{file}.safetensors"))).expect(file);
        let config = package::network_from_json(&tensors.metadata()["config"]).expect(file);
        let mut found: BTreeMap<String, Vec<usize>> = tensors
            .iter()
            .filter_map(|tensor| Some((tensor.name.strip_prefix("weight.")?.to_string(), tensor.shape.to_vec())))
            .filter(|(name, _)| !name.contains("norm_cross_attn"))
            .collect();
        for spec in config.parameters() {
            assert_eq!(found.remove(&spec.name), Some(spec.shape.clone()), "{file}: {}", spec.name);
        }
        assert!(found.is_empty(), "{file}: {found:?}");
    }
}

#[test]
fn norms_are_read_in_every_spelling_and_written_back() {
    let spellings = [
        (json!("instance"), NormName::Instance { affine: false }),
        (json!("INSTANCE"), NormName::Instance { affine: false }),
        (json!(["instance", {"affine": true}]), NormName::Instance { affine: true }),
        (json!("batch"), NormName::Batch { affine: true }),
        (json!(["group", {"num_groups": 4}]), NormName::Group { num_groups: 4, affine: true }),
    ];
    for (json, norm) in spellings {
        assert_eq!(NormName::from_json(&json), Ok(norm), "{json}");
        assert_eq!(NormName::from_json(&norm.to_json()), Ok(norm));
    }
    for bad in [json!("group"), json!(["instance", {"eps": 1e-3}]), json!(["group", {"num_groups": -1}]), json!(3)] {
        assert!(NormName::from_json(&bad).is_err(), "{bad}");
    }
}

#[test]
fn every_bad_model_is_refused_with_its_reason() {
    let models = bad_models::bad_models();
    assert!(models.len() >= 25);
    for (name, bytes, expected) in models {
        let error = Package::read(bytes).expect_err(name).to_string();
        assert!(error.len() < 1000, "{name}: the message has {} bytes", error.len());
        assert!(!error.contains(char::is_control), "{name}: {error:?}");
        assert!(error.contains(expected), "{name}: {error:?} does not contain {expected:?}");
    }
}

#[test]
fn every_required_key_is_missed_by_name() {
    let paths = [
        "format",
        "name",
        "version",
        "licence",
        "network",
        "input",
        "output",
        "network.in_channels",
        "network.out_channels",
        "network.img_size",
        "network.feature_size",
        "network.hidden_size",
        "network.mlp_dim",
        "network.num_heads",
        "input.channels",
        "input.orientation",
        "input.spacing",
        "input.crop_foreground",
        "input.intensity",
        "output.activation",
        "output.labels",
    ];
    for path in paths {
        let mut package = tiny_json();
        let (section, key) = path.rsplit_once('.').unwrap_or(("", path));
        let section = if section.is_empty() { Some(&mut package) } else { package.get_mut(section) };
        section.and_then(Value::as_object_mut).and_then(|map| map.shift_remove(key)).expect(path);
        let error = Package::read(assemble(&tiny_tensors(), Some(&package.to_string()))).expect_err(path);
        assert!(matches!(&error, WeightsError::MissingField { field } if field == path), "{path}: {error}");
    }
}

#[test]
fn every_truncation_and_every_bit_of_the_header_is_survived() {
    let good = tiny_package();
    let header = 8 + u64::from_le_bytes(good[..8].try_into().expect("eight bytes")) as usize;
    for length in (0..header).step_by(97).chain((header..good.len()).step_by(4099)) {
        assert!(Package::read(good[..length].to_vec()).is_err(), "{length} bytes");
    }
    for bit in (0..header * 8).step_by(61) {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let _ = Package::read(bytes);
    }
}

#[test]
fn a_package_round_trips_with_sections_of_other_makers() {
    let mut json = tiny_json();
    json["site"] = json!({"url": "https://example.org", "list": [1, 2.5, null]});
    json["training"]["loss"] = json!([0.5, 0.25]);
    let package = Package::read(assemble(&tiny_tensors(), Some(&json.to_string()))).expect("a good package");
    assert_eq!(package.metadata().other().keys().collect::<Vec<_>>(), ["site"]);
    assert_eq!(package.metadata().output.activation, Activation::Softmax);
    assert_eq!(package.metadata().inference.blend, Blend::Gaussian);
    assert_eq!(package.metadata().output.label_name(1), "spleen");
    assert_eq!(package.metadata().output.label_name(0), "background");

    let mut renamed = package.metadata().clone();
    renamed.name = "renamed".into();
    let mut copy = TensorsBuilder::new();
    for tensor in package.tensors().iter() {
        copy.push(tensor.name, tensor.dtype, tensor.shape, tensor.bytes).expect("a good tensor");
    }
    let written = Package::build(&renamed, copy).expect("a good package");
    let read = Package::read(written.file_bytes().to_vec()).expect("its own output");
    let stored: Value = serde_json::from_str(&read.tensors().metadata()["unetr"]).expect("JSON");
    json["name"] = json!("renamed");
    assert_eq!(numbers_as_floats(stored), numbers_as_floats(json));
    assert_eq!(read.metadata().network, Architecture::new(tiny_network()).expect("a network"));
}

/// JSON whose equal numbers are equal however they are written.
fn numbers_as_floats(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.into_iter().map(numbers_as_floats).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, numbers_as_floats(value))).collect(),
        other => other,
    }
}

#[test]
fn a_drawn_package_is_read() {
    let ct = Package::read(ct_package()).expect("ct");
    assert_eq!(ct.metadata().inference.roi_size, [48, 32, 48]);
    assert_eq!(ct.metadata().input.preprocess.spacing(), Some([3.0, 3.0, 4.0]));
}

#[test]
fn inference_settings_default() {
    let mut json = tiny_json();
    json.as_object_mut().and_then(|map| map.shift_remove("inference")).expect("the section");
    let metadata = Metadata::from_json(&json.to_string()).expect("a good package");
    assert_eq!(metadata.inference.roi_size, [16; 3]);
    assert_eq!((metadata.inference.overlap, metadata.inference.sigma_scale), (0.5, 0.125));
}

#[test]
fn unused_tensors_of_monai_are_ignored_even_if_they_are_nan() {
    let mut tensors = tiny_tensors();
    let nan: Vec<u8> = [f32::NAN; 16].iter().flat_map(|value| value.to_le_bytes()).collect();
    for name in ["vit.blocks.0.norm_cross_attn.weight", "vit.blocks.0.cross_attn.to_q.weight"] {
        tensors.push(RawTensor { name: name.into(), dtype: "F32", shape: vec![4, 4], bytes: nan.clone() });
    }
    Package::read(assemble(&tensors, Some(&tiny_json().to_string()))).expect("a package with unused tensors");
}

#[test]
fn values_are_decoded_from_every_float_type() {
    let values = [0.0f32, -1.5, 0.333_251_95, 65504.0];
    let mut file = TensorsBuilder::new();
    let bytes = |dtype: Dtype| -> Vec<u8> {
        match dtype {
            Dtype::F64 => values.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect(),
            Dtype::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Dtype::F16 => values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
            _ => values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect(),
        }
    };
    let types = [Dtype::F64, Dtype::F32, Dtype::F16, Dtype::Bf16];
    for dtype in types {
        file.push(dtype.name(), dtype, &[2, 2], &bytes(dtype)).expect("a new name");
    }
    let tensors = file.finish(&BTreeMap::new()).expect("a good file");
    for dtype in types {
        let expected = values.map(|v| if dtype == Dtype::Bf16 { bf16::from_f32(v).to_f32() } else { v });
        assert_eq!(tensors.to_f32(dtype.name()).expect("the tensor"), expected, "{dtype}");
    }
}

#[test]
fn halves_round_to_nearest_and_overflow_is_an_error() {
    let mut file = TensorsBuilder::new();
    file.push_f32("ok", &[3], &[1.0 + 1.0 / 4096.0, 65519.9, 1e-9], FloatType::F16).expect("in range");
    let error = file.push_f32("w", &[2], &[1.0, 65520.0], FloatType::F16).expect_err("out of range");
    assert_eq!(error.to_string(), "tensor \"w\": value 1 is 65520, beyond the range of f16; store it as f32");
    let tensors = file.finish(&BTreeMap::new()).expect("a good file");
    assert_eq!(tensors.to_f32("ok").expect("the tensor"), [1.0, 65504.0, 0.0]);
}

#[test]
fn files_are_written_the_same_each_time_and_the_reference_reader_accepts_them() {
    let write = || {
        let mut file = TensorsBuilder::new();
        file.push_f32("z", &[2, 3], &tiny::values(6), FloatType::F32).expect("a new name");
        file.push_f32("a", &[], &[4.0], FloatType::F16).expect("a new name");
        let metadata = BTreeMap::from([("b".to_string(), "2".to_string()), ("a".to_string(), "\u{e9}\"".to_string())]);
        let mut streamed = Vec::new();
        file.write(&metadata, &mut streamed).expect("memory is writable");
        (streamed, file.finish(&metadata).expect("a good file").into_bytes())
    };
    let (streamed, finished) = write();
    assert_eq!(streamed, finished);
    assert_eq!(write(), (streamed, finished.clone()));
    let read = safetensors::SafeTensors::deserialize(&finished).expect("the reference reader");
    assert_eq!(read.tensor("z").expect("z").shape(), [2, 3]);
    assert_eq!(finished.len() % 2, 0);
}

#[test]
fn a_builder_refuses_equal_names_and_wrong_sizes() {
    let mut file = TensorsBuilder::new();
    file.push("a", Dtype::U8, &[2], &[1, 2]).expect("a new name");
    assert!(file.push("a", Dtype::U8, &[2], &[1, 2]).is_err());
    assert!(file.push("b", Dtype::U8, &[3], &[1, 2]).is_err());
    assert!(file.push("c", Dtype::F64, &[usize::MAX, 2], &[1, 2]).is_err());
    assert!(file.push("__metadata__", Dtype::U8, &[2], &[1, 2]).is_err());
}

#[test]
fn the_hash_is_that_of_the_file() {
    let package = Package::read(tiny_package()).expect("a good package");
    let hash = package.sha256();
    assert_eq!(hash.len(), 64);
    let mut changed = tiny_package();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    assert_ne!(Package::read(changed).expect("still finite").sha256(), hash);
}

//! Every registered network: built, differentiated, planned within WebGPU's default limits, kept in a package, and equal to its
//! reference. A network that lacks one of these fails here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::support::golden;
use serde_json::{Map, Value, json};
use unetr_wgpu::gpu::{AdapterClass, Gpu, GpuOptions, Limits};
use unetr_wgpu::graph::{MemoryPlan, Target};
use unetr_wgpu::infer::{plan_memory, verify_reference};
use unetr_wgpu::nets::{Architecture, Build, DropoutOptions, MonaiVersion, NETWORKS, NetworkType};
use unetr_wgpu::tensor::{HostTensor, Shape};
use unetr_wgpu::weights::package::{Metadata, Package, network_from_json};
use unetr_wgpu::weights::{FloatType, ImportOptions, Tensors, TensorsBuilder, WeightsError, export, import};

fn gpu() -> Gpu {
    let adapter = std::env::var("UNETR_ADAPTER").ok();
    let options = GpuOptions { adapter, default_limits: true, ..GpuOptions::default() };
    pollster::block_on(Gpu::open(&options)).expect("an adapter: see README, 'tests'")
}

/// Name, content and network of every reference file.
fn references() -> Vec<(String, Vec<u8>, Architecture)> {
    let entries = std::fs::read_dir(golden::path("golden/networks")).expect("a folder");
    let unpacked =
        |path: PathBuf| if path.extension().is_some_and(|e| e == "gz") { path.with_extension("") } else { path };
    let mut paths: Vec<PathBuf> = entries.map(|entry| unpacked(entry.expect("an entry").path())).collect();
    paths.push(golden::path("golden/unetr-small.safetensors"));
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "safetensors"));
    let mut found = Vec::new();
    for path in paths {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let bytes = golden::stored(&path);
        let tensors = Tensors::read(bytes.clone()).expect(&name);
        let network = network_from_json(&tensors.metadata()["config"]).expect(&name);
        found.push((name, bytes, network));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

#[test]
fn every_network_has_a_reference() {
    let kinds: BTreeSet<String> = references().iter().map(|(.., network)| network.kind().to_owned()).collect();
    for network in NETWORKS {
        assert!(kinds.contains(network.name), "{} has no reference file in tests/golden", network.name);
    }
}

#[test]
fn every_published_network_fits_default_limits() {
    for network in NETWORKS {
        let network = network.published().expect(network.name);
        for class in [AdapterClass::Software, AdapterClass::Integrated, AdapterClass::Discrete] {
            let mut built = network.build(&Build::of(&*network)).unwrap_or_else(|e| panic!("{}: {e}", network.kind()));
            let logits = built.logits().expect("logits");
            built.graph.output(logits);
            let plan = MemoryPlan::new(&built.graph, &Target::new(class), &Limits::default(), false);
            let plan = plan.unwrap_or_else(|e| panic!("{}, {class:?}: {e}", network.kind()));
            println!("{}, {class:?}: {} MiB", network.kind(), plan.memory().total() >> 20);
        }
    }
}

/// Windows of 128 voxels have tensors beyond one binding, and a whole body one class of sums along X.
#[test]
fn nnunets_windows_on_a_whole_body_fit_default_limits() {
    for name in ["PlainConvUNet", "ResidualEncoderUNet"] {
        for classes in [25, 118] {
            let published = NetworkType::named(name).expect("a network").published().expect(name);
            let mut arguments = Value::Object(published.to_json());
            arguments["num_classes"] = json!(classes);
            let network = network_from_json(&arguments.to_string()).expect(name);
            for class in [AdapterClass::Software, AdapterClass::Discrete] {
                for dims in [[400, 512, 512], [512, 512, 400]] {
                    let memory = plan_memory(&network, [128; 3], dims, false, class, &Limits::default());
                    let memory = memory.unwrap_or_else(|e| panic!("{name}, {classes} classes, {class:?}: {e}"));
                    println!("{name}, {classes} classes, {class:?}, {dims:?}: {} MiB", memory.total() >> 20);
                }
            }
        }
    }
}

/// MONAI's order: norm, dropout, activation, after every convolution that has them; nothing is dropped while segmenting.
#[test]
fn unet_drops_normalised_values_in_training() {
    let network = json!({
        "type": "UNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 2, "channels": [4, 8, 16], "strides": [2, 2],
        "num_res_units": 2, "dropout": 0.3,
    });
    let network = network_from_json(&network.to_string()).expect("a network");
    let dropouts = |build: &Build| {
        let built = network.build(build).expect("a graph");
        let dropped = built.graph.nodes().iter().filter(|node| node.kernel.name() == "dropout");
        dropped.map(|node| node.name.clone()).collect::<Vec<_>>()
    };
    let window = Build::window([16; 3]);
    assert_eq!(dropouts(&window), Vec::<String>::new());
    let options = DropoutOptions { rate: 0.0, seed: 1 };
    let training = dropouts(&Build { training: true, dropout: Some(options), ..window });
    // Two convolutions of each of three units on the way down, and on the way up a transposed one twice and the unit below
    // the topmost level.
    assert_eq!(training.len(), 3 * 2 + 2 + 1, "{training:?}");
    assert!(training.iter().all(|name| name.contains("adn.D")), "{training:?}");
}

/// MONAI's `DynUNet` drops what each of its convolutions gives, before the norm, and logits.
#[test]
fn dynunet_drops_what_convolutions_give_in_training() {
    let network = json!({
        "type": "DynUNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 2, "kernel_size": [[3, 3, 3], [3, 3, 3], [3, 3, 3]],
        "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]], "upsample_kernel_size": [[2, 2, 2], [2, 2, 2]], "filters": [4, 8, 8],
        "res_block": true, "deep_supervision": true, "deep_supr_num": 1, "dropout": 0.3,
    });
    let network = network_from_json(&network.to_string()).expect("a network");
    let options = DropoutOptions { rate: 0.0, seed: 1 };
    let build = Build { training: true, dropout: Some(options), ..Build::window([16; 3]) };
    let dropped = |build: &Build| {
        let mut built = network.build(build).expect("a graph");
        built.logits().expect("logits");
        let dropped = built.graph.nodes().iter().filter(|node| node.kernel.name() == "dropout");
        dropped.map(|node| node.name.clone()).collect::<Vec<_>>()
    };
    let training = dropped(&build);
    // Three residual blocks, two transposed convolutions with two more each, and two heads.
    assert_eq!(training.len(), 3 * 3 + 2 * 3 + 2, "{training:?}");
    assert!(training.iter().all(|name| name.contains(".adn.D")), "{training:?}");
    assert_eq!(dropped(&Build::window([16; 3])), Vec::<String>::new());
}

/// A package of noise around a network.
fn package(network: &Architecture) -> Package {
    let classes = network.out_channels();
    let labels: Vec<Value> =
        (1..classes).map(|i| json!({"value": i, "name": format!("class_{i}"), "color": "#808080"})).collect();
    let channels: Vec<String> = (0..network.in_channels()).map(|i| format!("c{i}")).collect();
    let metadata = json!({
        "format": "unetr/1", "name": "noise", "version": "1.0.0", "licence": "CC0-1.0", "network": network,
        "input": {"channels": channels, "orientation": null, "spacing": null, "crop_foreground": false, "intensity": null},
        "output": {"activation": "softmax", "labels": labels},
    });
    let metadata = Metadata::from_json(&metadata.to_string()).expect("a description");
    let mut tensors = TensorsBuilder::new();
    for (i, parameter) in network.parameters().iter().enumerate() {
        let noise = HostTensor::noise(Shape::new(&parameter.shape), i as u64).to_f32();
        tensors.push_f32(&parameter.name, &parameter.shape, &noise, FloatType::F32).expect("pushed");
    }
    Package::build(&metadata, tensors).expect("a package")
}

/// Into a package, out as a state dict of every version, and in again by its tensors.
#[test]
fn every_network_survives_its_package() {
    for (name, _, network) in references() {
        let made = package(&network);
        assert_eq!(made.metadata().network, network, "{name}");
        for version in [MonaiVersion::V0_9, MonaiVersion::V1_4, MonaiVersion::V1_6] {
            let state = export(&made, version, FloatType::F32).expect("a state dict");
            let given = made.metadata().to_object();
            let given = Value::Object(given).to_string();
            let options = ImportOptions { package: Some(&given), ..ImportOptions::default() };
            let again = import(state.into_bytes(), &options).unwrap_or_else(|e| panic!("{name}: {e}")).package;
            assert!(again.file_bytes() == made.file_bytes(), "{name}, {version:?}: the package is another");
        }
        let mut untyped = made.metadata().to_object();
        untyped.get_mut("network").and_then(Value::as_object_mut).map(|section| section.remove("type"));
        let text = Value::Object(untyped).to_string();
        let options = ImportOptions { package: Some(&text), ..ImportOptions::default() };
        let state = export(&made, MonaiVersion::V1_6, FloatType::F32).expect("a state dict");
        let again = import(state.into_bytes(), &options).unwrap_or_else(|e| panic!("{name}: {e}")).package;
        assert_eq!(again.metadata().network, network, "{name} is known by its tensors");
    }
}

/// With no more of its arguments than import asks for, the network has the parameters of the state dict.
#[test]
fn what_is_not_asked_for_is_told_by_the_tensors() {
    for (name, _, network) in references() {
        let made = package(&network);
        let state = export(&made, MonaiVersion::V1_6, FloatType::F32).expect("a state dict").into_bytes();
        let all = network.to_json();
        let mut section = Map::new();
        let again = loop {
            let mut given = made.metadata().to_object();
            given.insert("network".to_owned(), section.clone().into());
            let given = Value::Object(given).to_string();
            let options = ImportOptions { package: Some(&given), ..ImportOptions::default() };
            match import(state.clone(), &options) {
                Ok(again) => break again.package,
                Err(WeightsError::Undetermined { fields }) => {
                    for field in fields {
                        let key = field.field.strip_prefix("network.").expect("an argument").to_owned();
                        let known = section.insert(key.clone(), all[&key].clone());
                        assert!(known.is_none(), "{name}: {key} is asked for twice");
                    }
                }
                Err(error) => panic!("{name}, with {section:?}: {error}"),
            }
        };
        // Heads of coarser levels are stored where they are not trained, too.
        let shapes = |other: &Architecture| -> Vec<(String, Vec<usize>)> {
            let used = other.parameters().iter().filter(|p| !network.is_unused(&p.name));
            used.map(|p| (p.name.clone(), p.shape.clone())).collect()
        };
        assert_eq!(shapes(&again.metadata().network), shapes(&network), "{name}");
    }
}

/// A state dict under other names: `None` leaves a tensor out, the second value is added to its first element.
fn renamed(state: &Tensors, name: impl Fn(&str) -> Option<(String, f32)>) -> Vec<u8> {
    let mut tensors = TensorsBuilder::new();
    for tensor in state.iter() {
        if let Some((name, add)) = name(tensor.name) {
            let mut values = tensor.to_f32();
            values[0] += add;
            tensors.push_f32(&name, tensor.shape, &values, FloatType::F32).expect("pushed");
        }
    }
    tensors.finish(&BTreeMap::new()).expect("a file").into_bytes()
}

/// Weights that a state dict holds under several names: all are written, any is read, and they must be equal.
#[test]
fn weights_that_are_stored_twice() {
    for (name, _, network) in references() {
        let copied: Vec<String> = network.parameters().iter().flat_map(|p| network.copies(&p.name)).collect();
        if copied.is_empty() || network.parameters().iter().any(|p| !p.trained()) {
            continue;
        }
        let made = package(&network);
        let state = export(&made, MonaiVersion::V1_6, FloatType::F32).expect("a state dict");
        assert!(copied.iter().all(|copy| state.get(copy).is_some()), "{name}");
        let given = Value::Object(made.metadata().to_object()).to_string();
        let options = ImportOptions { package: Some(&given), ..ImportOptions::default() };
        let same = |bytes| import(bytes, &options).expect(&name).package.file_bytes() == made.file_bytes();
        assert!(same(renamed(&state, |n| Some((format!("module._orig_mod.{n}"), 0.0)))), "{name}: prefixes");
        assert!(
            same(renamed(&state, |n| (!copied.iter().any(|c| c == n)).then(|| (n.to_owned(), 0.0)))),
            "{name}: once"
        );
        let last = copied.last().expect("a copy");
        let changed = renamed(&state, |n| Some((n.to_owned(), if n == last { 1.0 } else { 0.0 })));
        let error = import(changed, &options).expect_err(&name).to_string();
        assert!(error.contains(last.as_str()) && error.contains("the same weight"), "{name}: {error}");
    }
}

#[test]
fn every_network_equals_its_reference() {
    let gpu = gpu();
    for (name, bytes, _) in references() {
        let report = pollster::block_on(verify_reference(&gpu, bytes)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let worst = report.rows.iter().map(|r| r.max_abs / r.tolerance).fold(0.0, f64::max);
        println!("{name}: {} stages, largest error {worst:.3} of what is allowed", report.rows.len());
        assert!(report.ok(), "{name}: {:?}", report.rows.iter().filter(|r| !r.ok).collect::<Vec<_>>());
    }
}

#[cfg(feature = "train")]
mod training {
    use super::*;
    use unetr_wgpu::train::verify_gradients;

    #[test]
    fn every_networks_gradients_equal_their_reference() {
        let gpu = gpu();
        for (name, bytes, network) in references() {
            if !bytes.windows(6).any(|w| w == b"\"loss\"") || !bytes.windows(5).any(|w| w == b"grad.") {
                continue;
            }
            let rows = pollster::block_on(verify_gradients(&gpu, bytes)).unwrap_or_else(|e| panic!("{name}: {e}"));
            let worst = rows.iter().map(|r| r.error / r.tolerance).fold(0.0, f64::max);
            println!("{name}: {} gradients, largest error {worst:.3} of what is allowed", rows.len());
            let trained = network.parameters().iter().filter(|p| p.trained()).count();
            assert!(rows.len() > trained, "{name}: {} rows for {trained} parameters", rows.len());
            assert!(rows.iter().all(|r| r.ok), "{name}: {:?}", rows.iter().filter(|r| !r.ok).collect::<Vec<_>>());
        }
    }

    /// One number of a file's data, in single precision, changed.
    fn changed(bytes: &[u8], tensor: &str, value: usize, by: f64) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        let start = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
        let header: Value = serde_json::from_slice(&bytes[8..start]).expect("JSON");
        assert_eq!(header[tensor]["dtype"], "F32");
        let at = start + header[tensor]["data_offsets"][0].as_u64().expect("an offset") as usize + 4 * value;
        let number = f32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) + by as f32;
        bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        bytes
    }

    #[test]
    fn a_changed_reference_is_found() {
        let gpu = gpu();
        let (_, bytes, _) = references().into_iter().find(|(name, ..)| name == "unet-plain").expect("a reference");
        let stages = |bytes: Vec<u8>| pollster::block_on(verify_reference(&gpu, bytes)).expect("it runs").ok();
        let gradients =
            |bytes: Vec<u8>| pollster::block_on(verify_gradients(&gpu, bytes)).expect("it runs").iter().all(|r| r.ok);
        assert!(stages(bytes.clone()) && gradients(bytes.clone()));
        assert!(!stages(changed(&bytes, "logits", 77, 0.01)), "a sample of the logits");
        assert!(!stages(changed(&bytes, "stage.model.1", 511, 0.01)), "a sample of a stage");
        assert!(!gradients(changed(&bytes, "loss", 0, 1e-3)), "the loss");
        let length = |tensor: &str| {
            let tensors = Tensors::read(bytes.clone()).expect("a file");
            tensors.get(tensor).expect("a gradient").to_f64()[0]
        };
        let parameter = "grad.model.2.conv.weight";
        for value in [0, 1, 2, 17] {
            let by = 0.05 * length(parameter) * if value == 1 { 100.0 } else { 1.0 };
            assert!(!gradients(changed(&bytes, parameter, value, by)), "number {value} of a gradient");
        }
        // The upper bound of one weight, in the header: as long as before.
        let text = b"-0.3333333333333333, 0.3333333333333333]";
        let at = bytes.windows(text.len()).position(|w| w == text).expect("a bound");
        let mut other = bytes.clone();
        other[at..at + text.len()].copy_from_slice(b"-0.3333333333333333, 0.3433333333333333]");
        assert!(!stages(other), "a bound of one weight");
    }
}

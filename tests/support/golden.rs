//! Reads reference tensors from `tests/golden`, where large files may be packed by gzip, and much the same ones together.
//! Weights, inputs and labels that a file describes by a formula are made here.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use brotli_decompressor::Decompressor;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use super::procedural::{draw, places};

pub fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(relative)
}

pub fn bytes(relative: &str) -> Vec<u8> {
    let stored = stored(&path(relative));
    // Files of other kinds, and such as hold everything.
    let header = SafeTensors::read_metadata(&stored).map(|(_, header)| header.metadata().clone().unwrap_or_default());
    match header {
        Ok(about) if about.contains_key("shapes") => whole(&stored, &about),
        _ => stored,
    }
}

/// A file as it is; unpacked where it has `.gz` behind its name; or out of the archive of its folder's name, `FOLDER.tar.br`.
pub fn stored(path: &Path) -> Vec<u8> {
    let read = |path: &Path| std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let packed = PathBuf::from(format!("{}.gz", path.display()));
    let archive = path.with_file_name("").with_extension("tar.br");
    let mut bytes = Vec::new();
    if packed.exists() {
        flate2::read::GzDecoder::new(read(&packed).as_slice()).read_to_end(&mut bytes).expect("a whole file");
    } else if archive.exists() && !path.exists() {
        let packed = read(&archive);
        let mut files = tar::Archive::new(Decompressor::new(packed.as_slice(), 4096));
        let mut files = files.entries().expect("an archive").map(|file| file.expect("a whole archive"));
        let wanted = |file: &tar::Entry<'_, _>| file.path().is_ok_and(|name| path.ends_with(name));
        let mut file = files.find(wanted).unwrap_or_else(|| panic!("{} is not in its archive", path.display()));
        file.read_to_end(&mut bytes).expect("a whole file");
    } else {
        bytes = read(path);
    }
    bytes
}

/// The number that the draws of a file start from.
pub fn seed(file: &[u8]) -> u64 {
    let (_, header) = SafeTensors::read_metadata(file).expect("a header");
    header.metadata().as_ref().expect("metadata")["seed"].parse().expect("a seed")
}

/// A file of samples with the weights, inputs and labels that belong to it.
fn whole(stored: &[u8], about: &HashMap<String, String>) -> Vec<u8> {
    let json = |key: &str| -> Value { serde_json::from_str(&about[key]).expect("JSON") };
    let (parameters, shapes, config, seed) = (json("parameters"), json("shapes"), json("config"), seed(stored));
    let shape = |v: &Value| -> Vec<usize> { serde_json::from_value(v.clone()).expect("a shape") };
    let mut drawn: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    let mut add = |key: String, name: &str, shape: Vec<usize>, value: &dyn Fn(f32) -> f32, lo: f64, hi: f64| {
        let count = shape.iter().product();
        let values = (0..count).map(|i| value(draw(seed, name, i, lo, hi))).collect();
        drawn.push((key, shape, values));
    };
    let bound = |v: &Value| v.as_f64().expect("a bound");
    for (name, about) in parameters.as_object().expect("a table") {
        add(format!("weight.{name}"), name, shape(&about[0]), &|v| v, bound(&about[1]), bound(&about[2]));
    }
    for (name, size) in shapes.as_object().expect("a table") {
        if name == "input" || name.starts_with("volume") {
            add(name.clone(), name, shape(size), &|v| v, -1.0, 1.0);
        }
    }
    if let Some(input) = shapes.get("input") {
        let (mut size, classes) = (shape(input), config["out_channels"].as_f64().expect("a number"));
        let sigmoid = config["activation"] == "sigmoid";
        size[1] = if sigmoid { classes as usize } else { 1 };
        let class = |v: f32| if sigmoid { f32::from(v >= 0.5) } else { (f64::from(v) * classes).floor() as f32 };
        add("label".into(), "label", size, &class, 0.0, 1.0);
    }
    let file = SafeTensors::deserialize(stored).expect("a safetensors file");
    let bytes: Vec<Vec<u8>> = drawn.iter().map(|(.., v)| v.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let made = drawn.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).expect("as many values as the shape has"))
    });
    safetensors::serialize(file.tensors().into_iter().chain(made), Some(about.clone())).expect("a file")
}

/// The largest error of a tensor at the places where the file has samples of it, and the largest of the samples.
pub fn error_at_places(file: &[u8], name: &str, got: &[f32]) -> (f64, f64) {
    let want = tensor(file, name).1;
    let mut worst = (0.0f64, 0.0f64);
    for (at, want) in places(seed(file), name, got.len(), want.len()).zip(&want) {
        worst = (worst.0.max((f64::from(got[at]) - want).abs()), worst.1.max(want.abs()));
    }
    worst
}

/// Whether there is a tensor of this name.
pub fn has(file: &[u8], name: &str) -> bool {
    SafeTensors::deserialize(file).expect("a safetensors file").tensor(name).is_ok()
}

/// Shape and values of one tensor, whatever its type.
pub fn tensor(file: &[u8], name: &str) -> (Vec<usize>, Vec<f64>) {
    let file = SafeTensors::deserialize(file).expect("a safetensors file");
    let view = file.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    let data = view.data();
    let values = match view.dtype() {
        Dtype::U8 => data.iter().map(|&v| f64::from(v)).collect(),
        Dtype::F32 => data.as_chunks().0.iter().map(|&b| f64::from(f32::from_le_bytes(b))).collect(),
        Dtype::F64 => data.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b)).collect(),
        Dtype::I64 => data.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b) as f64).collect(),
        other => panic!("{name} is {other:?}"),
    };
    (view.shape().to_vec(), values)
}

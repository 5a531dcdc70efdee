//! Safetensors files written by hand, so that they can be wrong.

use serde_json::json;
use unetr_wgpu::nets::Parameter;

use super::tiny::{parameters, tiny_json, tiny_network, values};

/// One tensor of a file written by hand.
#[derive(Clone)]
pub struct RawTensor {
    pub name: String,
    pub dtype: &'static str,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// The tensors of [`tiny_network`] in f32.
pub fn tiny_tensors() -> Vec<RawTensor> {
    let tensor = |spec: Parameter| {
        let bytes = values(spec.len()).iter().flat_map(|value| value.to_le_bytes()).collect();
        RawTensor { name: spec.name, dtype: "F32", shape: spec.shape, bytes }
    };
    parameters(&tiny_network()).into_iter().map(tensor).collect()
}

/// A file with this header text and data.
pub fn file(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(data);
    file
}

/// The header's entries for tensors laid one after the other, each as `"name":{...}`.
pub fn header_entries(tensors: &[RawTensor]) -> Vec<String> {
    let mut end = 0;
    let mut entry = |tensor: &RawTensor| {
        let start = end;
        end += tensor.bytes.len();
        let body = json!({"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [start, end]});
        format!("{}:{body}", json!(tensor.name))
    };
    tensors.iter().map(&mut entry).collect()
}

/// A file of these tensors, with `unetr` as its package text if there is one.
pub fn assemble(tensors: &[RawTensor], unetr: Option<&str>) -> Vec<u8> {
    let mut entries = header_entries(tensors);
    if let Some(text) = unetr {
        entries.insert(0, format!("\"__metadata__\":{}", json!({"unetr": text})));
    }
    let data: Vec<u8> = tensors.iter().flat_map(|tensor| tensor.bytes.iter().copied()).collect();
    file(&format!("{{{}}}", entries.join(",")), &data)
}

/// A valid package.
pub fn tiny_package() -> Vec<u8> {
    assemble(&tiny_tensors(), Some(&tiny_json().to_string()))
}

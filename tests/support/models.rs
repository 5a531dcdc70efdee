//! A tiny model, and safetensors files written by hand so that they can be wrong.

use serde_json::{Value, json};
use unetr_wgpu::model::config::UnetrConfig;
use unetr_wgpu::model::names;

/// The smallest network with every part: 31,000 parameters.
pub fn tiny_network() -> UnetrConfig {
    UnetrConfig {
        in_channels: 1,
        out_channels: 3,
        img_size: [16; 3],
        feature_size: 2,
        hidden_size: 4,
        mlp_dim: 4,
        num_heads: 2,
        ..UnetrConfig::default()
    }
}

/// A package's JSON for [`tiny_network`].
pub fn tiny_json() -> Value {
    json!({
        "format": "unetr/1", "name": "tiny", "version": "1.0.0", "licence": "CC0-1.0", "citation": "",
        "network": tiny_network(),
        "input": {
            "channels": ["CT"], "orientation": "RAS", "spacing": [1.5, 1.5, 2.0], "crop_foreground": true,
            "intensity": {"kind": "scale_range", "a_min": -175, "a_max": 250, "b_min": 0, "b_max": 1, "clip": true}
        },
        "output": {
            "activation": "softmax",
            "labels": [
                {"value": 1, "name": "spleen", "color": "#c8563c"},
                {"value": 2, "name": "liver", "color": "#3c56c8"}
            ]
        },
        "inference": {"roi_size": [16, 16, 16], "overlap": 0.5, "blend": "gaussian", "sigma_scale": 0.125},
        "training": {"steps": 0}
    })
}

/// One tensor of a file written by hand.
#[derive(Clone)]
pub struct RawTensor {
    pub name: String,
    pub dtype: &'static str,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// Reproducible values between -1 and 1.
pub fn values(count: usize) -> Vec<f32> {
    (0..count).map(|index| ((index * 7919 % 2003) as f32 / 1001.0) - 1.0).collect()
}

/// The tensors of [`tiny_network`] in f32.
pub fn tiny_tensors() -> Vec<RawTensor> {
    let tensor = |spec: names::ParameterSpec| {
        let bytes = values(spec.len()).iter().flat_map(|value| value.to_le_bytes()).collect();
        RawTensor { name: spec.name, dtype: "F32", shape: spec.shape, bytes }
    };
    names::parameters(&tiny_network()).into_iter().map(tensor).collect()
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

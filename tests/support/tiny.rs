//! A tiny model.

use serde_json::{Value, json};
use unetr_wgpu::nets::{Architecture, Parameter, UnetrConfig};

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

/// The parameters of a network.
pub fn parameters(network: &UnetrConfig) -> Vec<Parameter> {
    Architecture::new(network.clone()).expect("a network").parameters().to_vec()
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

/// Reproducible values between -1 and 1.
pub fn values(count: usize) -> Vec<f32> {
    (0..count).map(|index| ((index * 7919 % 2003) as f32 / 1001.0) - 1.0).collect()
}

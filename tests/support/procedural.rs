//! Numbers by formula in place of files: weights of any network, the same here and in `tests/tools`.
//!
//! `draw(name, i, lo, hi) = lo + (hi - lo) * (splitmix64(fnv1a64(name) + seed + i) >> 40) / 2^24`, rounded to f32.

use serde_json::{Value, json};
use unetr_wgpu::nets::{Parameter, UnetrConfig};

use super::raw_models::{RawTensor, assemble};
use super::tiny::parameters;

pub fn fnv1a64(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

pub fn splitmix64(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

pub fn draw(seed: u64, name: &str, i: usize, lo: f64, hi: f64) -> f32 {
    let bits = splitmix64(fnv1a64(name).wrapping_add(seed).wrapping_add(i as u64));
    (lo + (hi - lo) * (bits >> 40) as f64 / f64::from(1 << 24)) as f32
}

fn unit(seed: u64, name: &str, i: usize) -> f64 {
    (splitmix64(fnv1a64(name).wrapping_add(seed).wrapping_add(i as u64)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Where a tensor of this many elements is sampled.
pub fn places(seed: u64, name: &str, elements: usize, count: usize) -> impl Iterator<Item = usize> {
    let name = format!("at.{name}");
    (0..count).map(move |j| (unit(seed, &name, j) * elements as f64) as usize)
}

/// What is kept of a gradient: its length, its sum, and its products with 16 vectors of signs.
pub fn projected(seed: u64, name: &str, gradient: &[f32]) -> [f64; 18] {
    let mut out = [0.0; 18];
    out[0] = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
    out[1] = gradient.iter().map(|&g| f64::from(g)).sum();
    for k in 0..16 {
        let start = fnv1a64(&format!("project.{k}.{name}")).wrapping_add(seed);
        let sign = |i: usize| if splitmix64(start.wrapping_add(i as u64)) >> 63 == 0 { 1.0 } else { -1.0 };
        out[k + 2] = gradient.iter().enumerate().map(|(i, &g)| sign(i) * f64::from(g)).sum();
    }
    out
}

/// Ranges that keep activations within a few units: matrices and kernels by what goes into a sum, norms about 1.
fn range(spec: &Parameter) -> (f64, f64) {
    let fan: usize = spec.shape[1..].iter().product();
    match spec.shape.len() {
        1 if spec.name.ends_with("bias") => (-0.2, 0.2),
        1 => (0.5, 1.5),
        _ if spec.name.ends_with("position_embeddings") => (-1.0, 1.0),
        _ => {
            let bound = (3.0 / fan as f64).sqrt();
            (-bound, bound)
        }
    }
}

/// The tensors of a network, all drawn.
pub fn tensors(network: &UnetrConfig, seed: u64) -> Vec<RawTensor> {
    let tensor = |spec: Parameter| {
        let (lo, hi) = range(&spec);
        let value = |i| draw(seed, &spec.name, i, lo, hi).to_le_bytes();
        let bytes = (0..spec.len()).flat_map(value).collect();
        RawTensor { name: spec.name, dtype: "F32", shape: spec.shape, bytes }
    };
    parameters(network).into_iter().map(tensor).collect()
}

/// A package of drawn weights that takes every step of preprocessing: turned, resampled, windowed, cropped; five classes.
pub fn ct_package() -> Vec<u8> {
    let network = UnetrConfig {
        in_channels: 1,
        out_channels: 5,
        img_size: [48, 32, 48],
        feature_size: 4,
        hidden_size: 48,
        mlp_dim: 96,
        num_heads: 4,
        ..UnetrConfig::default()
    };
    let label = |v: u32| json!({"value": v, "name": format!("class_{v}"), "color": format!("#{:02x}8040", 40 * v)});
    let metadata: Value = json!({
        "format": "unetr/1", "name": "ct", "version": "0.0.0", "licence": "CC0-1.0", "citation": "",
        "network": network,
        "input": {
            "channels": ["CT"], "orientation": "RAS", "spacing": [3.0, 3.0, 4.0], "crop_foreground": true,
            "intensity": {"kind": "scale_range", "a_min": -175, "a_max": 250, "b_min": 0, "b_max": 1, "clip": true}
        },
        "output": {"activation": "softmax", "labels": [label(1), label(2), label(3), label(4)]},
        "inference": {"roi_size": [48, 32, 48], "overlap": 0.5, "blend": "gaussian", "sigma_scale": 0.125},
        "training": {}
    });
    assemble(&tensors(&network, 0), Some(&metadata.to_string()))
}

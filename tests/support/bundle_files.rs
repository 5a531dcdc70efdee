//! A tiny MONAI bundle, its parts to be changed one by one.

use serde_json::{Value, json};
use unetr_wgpu::weights::package::network_from_json;
use unetr_wgpu::weights::{FileSet, FloatType, TensorsBuilder};

use super::procedural::draw;

/// Paths and contents.
pub type Files = Vec<(String, Vec<u8>)>;

/// The network's arguments, without its class.
pub fn network() -> Value {
    json!({"spatial_dims": 3, "in_channels": 1, "out_channels": 3, "channels": [4, 8], "strides": [2], "num_res_units": 1})
}

/// `configs/inference.json`.
pub fn inference() -> Value {
    let mut network = network();
    network["_target_"] = json!("UNet");
    json!({
        "imports": ["$import glob"],
        "bundle_root": "/workspace/somewhere",
        "ckpt_path": "$@bundle_root + '/models/model.pt'",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "datalist": "$list(sorted(glob.glob(@dataset_dir + '/*.nii.gz')))",
        "image_key": "image",
        "network_def": network,
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": [
            {"_target_": "LoadImaged", "keys": "image"},
            {"_target_": "EnsureChannelFirstd", "keys": "image"},
            {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
            {"_target_": "Spacingd", "keys": "image", "pixdim": [1.5, 1.5, 2.0], "mode": "bilinear"},
            {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": -57, "a_max": 164, "b_min": 0, "b_max": 1, "clip": true},
            {"_target_": "EnsureTyped", "keys": "image", "device": "@device"}
        ]},
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [16, 16, 8], "sw_batch_size": 4, "overlap": 0.5},
        "postprocessing": {"_target_": "Compose", "transforms": [
            {"_target_": "Activationsd", "keys": "pred", "softmax": true},
            {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image", "nearest_interp": false},
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": true},
            {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir", "output_dtype": "$torch.int16"}
        ]},
        "handlers": [{"_target_": "StatsHandler", "output_transform": "$lambda x: None"}],
        "checkpointloader": {"_target_": "CheckpointLoader", "load_path": "@ckpt_path", "load_dict": {"model": "@network"}},
        "run": ["$@evaluator.run()"]
    })
}

/// `configs/metadata.json`.
pub fn metadata() -> Value {
    json!({
        "version": "0.3.1", "monai_version": "1.6.1", "task": "Spleen", "description": "Finds it.",
        "intended_use": "An example", "references": ["One.", "Two."], "eval_metrics": {"mean_dice": 0.96},
        "network_data_format": {
            "inputs": {"image": {"modality": "CT", "num_channels": 1, "channel_def": {"0": "image"}}},
            "outputs": {"pred": {"num_channels": 3, "channel_def": {"0": "background", "1": "spleen", "2": "liver"}}}
        }
    })
}

/// A state dict of the network, as safetensors, with drawn values.
pub fn weights() -> Vec<u8> {
    let mut arguments = network();
    arguments["type"] = json!("UNet");
    let network = network_from_json(&arguments.to_string()).expect("a network");
    let mut tensors = TensorsBuilder::new();
    for spec in network.parameters() {
        let values: Vec<f32> = (0..spec.len()).map(|i| draw(1, &spec.name, i, -0.5, 0.5)).collect();
        tensors.push_f32(&spec.name, &spec.shape, &values, FloatType::F32).expect("a tensor");
    }
    tensors.finish(&Default::default()).expect("tensors").into_bytes()
}

/// The bundle with these two files.
pub fn with(inference: &Value, metadata: &Value) -> Files {
    vec![
        ("LICENSE".into(), b"Apache License\nVersion 2.0, January 2004\n".to_vec()),
        ("configs/inference.json".into(), inference.to_string().into_bytes()),
        ("configs/metadata.json".into(), metadata.to_string().into_bytes()),
        ("models/model.pt".into(), weights()),
    ]
}

/// The set of these files.
pub fn set(files: Files) -> FileSet {
    FileSet::from_list("tiny", files).expect("files")
}

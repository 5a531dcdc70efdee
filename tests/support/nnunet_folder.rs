//! A small result folder of nnU-Net v2 with weights by formula: what PyTorch writes, as bytes.

use serde_json::{Map, Value, json};
use unetr_wgpu::fields::Section;
use unetr_wgpu::nets::Architecture;

use super::procedural::draw;
use super::torch_files::{ZipEntry, text, zip};

/// Files by their paths.
pub type Files = Vec<(String, Vec<u8>)>;

/// What a folder is made of; each part can be changed before it is written.
#[derive(Clone)]
pub struct Model {
    pub dataset: Value,
    pub plans: Value,
    /// Name of each fold and the seed of its weights.
    pub folds: Vec<(&'static str, u64)>,
    pub trainer: &'static str,
    pub configuration: &'static str,
    pub mirror: Option<Vec<u8>>,
    pub checkpoint: &'static str,
}

impl Default for Model {
    fn default() -> Self {
        let rule = |order: u8| json!({"is_seg": false, "order": order, "order_z": 0, "force_separate_z": null});
        let dataset = json!({
            "channel_names": {"0": "CT", "1": "PET"}, "labels": {"background": 0, "organ": 1, "lesion": 2},
            "numTraining": 3, "file_ending": ".nii.gz", "licence": "CC0-1.0", "reference": "made by a test",
        });
        let properties = json!({"mean": 20.0, "std": 30.0, "percentile_00_5": -60.0, "percentile_99_5": 90.0,
            "min": -100.0, "max": 200.0, "median": 20.0});
        let plans = json!({
            "dataset_name": "Dataset999_Test", "plans_name": "nnUNetPlans", "image_reader_writer": "SimpleITKIO",
            "transpose_forward": [0, 1, 2], "transpose_backward": [0, 1, 2],
            "foreground_intensity_properties_per_channel": {"0": properties, "1": properties},
            "configurations": {
                "2d": {"patch_size": [32, 32], "spacing": [1.0, 1.0]},
                "3d_fullres": {
                    "preprocessor_name": "DefaultPreprocessor", "patch_size": [8, 8, 8], "spacing": [1.5, 1.25, 1.0],
                    "normalization_schemes": ["CTNormalization", "ZScoreNormalization"], "use_mask_for_norm": [false, true],
                    "resampling_fn_data": "resample_data_or_seg_to_shape", "resampling_fn_data_kwargs": rule(3),
                    "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
                    "resampling_fn_probabilities_kwargs": rule(1),
                    "architecture": {
                        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
                        "arch_kwargs": {
                            "n_stages": 2, "features_per_stage": [4, 6], "conv_op": "torch.nn.modules.conv.Conv3d",
                            "kernel_sizes": [[3, 3, 3], [3, 3, 3]], "strides": [[1, 1, 1], [2, 2, 2]],
                            "n_conv_per_stage": [1, 1], "n_conv_per_stage_decoder": [1], "conv_bias": true,
                            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                            "norm_op_kwargs": {"eps": 1e-5, "affine": true}, "dropout_op": null, "dropout_op_kwargs": null,
                            "nonlin": "torch.nn.LeakyReLU", "nonlin_kwargs": {"inplace": true},
                        },
                        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
                    },
                },
                "3d_fullres_bs4": {"inherits_from": "3d_fullres", "batch_size": 4},
                "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
            },
        });
        Self {
            dataset,
            plans,
            folds: vec![("0", 1), ("1", 2)],
            trainer: "nnUNetTrainer",
            configuration: "3d_fullres",
            mirror: Some(vec![0, 2]),
            checkpoint: "checkpoint_final.pth",
        }
    }
}

impl Model {
    /// The same model with its configuration in the form of nnU-Net before 2.4.
    pub fn of_old_plans() -> Self {
        let mut model = Self::default();
        if let Some(configuration) = model.plans["configurations"]["3d_fullres"].as_object_mut() {
            configuration.remove("architecture");
            let old = json!({
                "UNet_class_name": "PlainConvUNet", "UNet_base_num_features": 4, "unet_max_num_features": 6,
                "n_conv_per_stage_encoder": [1, 1], "n_conv_per_stage_decoder": [1], "num_pool_per_axis": [1, 1, 1],
                "pool_op_kernel_sizes": [[1, 1, 1], [2, 2, 2]], "conv_kernel_sizes": [[3, 3, 3], [3, 3, 3]],
            });
            configuration.extend(old.as_object().expect("an object").clone());
        }
        let properties = model.plans["foreground_intensity_properties_per_channel"].take();
        model.plans["foreground_intensity_properties_by_modality"] = properties;
        model.dataset["modality"] = model.dataset["channel_names"].take();
        model.dataset.as_object_mut().expect("an object").remove("channel_names");
        model
    }

    /// The folder's files.
    pub fn files(&self) -> Files {
        let mut files = vec![
            ("dataset.json".to_owned(), self.dataset.to_string().into_bytes()),
            ("plans.json".to_owned(), self.plans.to_string().into_bytes()),
        ];
        for (fold, seed) in &self.folds {
            files.push((format!("fold_{fold}/{}", self.checkpoint), self.checkpoint_bytes(fold, *seed)));
        }
        files
    }

    /// The folder's files as a zip, within a folder of its own as archivers make it.
    pub fn zip(&self) -> Vec<u8> {
        let entries: Vec<ZipEntry> =
            self.files().into_iter().map(|(path, bytes)| ZipEntry::deflated(&format!("model/{path}"), bytes)).collect();
        zip(&entries)
    }

    /// One `.pth`: every convolution twice and the encoder once more, as the reference's state dict has them.
    fn checkpoint_bytes(&self, fold: &str, seed: u64) -> Vec<u8> {
        let arguments: Map<String, Value> = serde_json::from_value(json!({
            "type": "PlainConvUNet", "input_channels": 2, "num_classes": 3, "n_stages": 2, "features_per_stage": [4, 6],
            "kernel_sizes": 3, "strides": [1, 2], "n_conv_per_stage": 1, "n_conv_per_stage_decoder": 1,
        }))
        .expect("arguments");
        let network = Architecture::from_json(&Section::at("network", &arguments)).expect("a network");
        let (mut storages, mut weights) = (Vec::new(), b"}".to_vec());
        for parameter in network.parameters() {
            let elements: usize = parameter.shape.iter().product();
            // The norms are near 1, and the logits far apart; the encoder is the same in every fold.
            let (lo, hi) = match &*parameter.name {
                name if name.ends_with("norm.weight") => (0.8, 1.2),
                name if name.contains("seg_layers") && name.ends_with(".weight") => (-4.0, 4.0),
                _ => (-0.5, 0.5),
            };
            let seed = if parameter.name.starts_with("encoder.") { 7 } else { seed };
            let values = (0..elements).map(|i| draw(seed, &parameter.name, i, lo, hi));
            let data: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
            let key = storages.len();
            storages.push(ZipEntry::stored(&format!("a/data/{key}"), data));
            for name in copies(&parameter.name) {
                weights.extend(text(&name));
                weights.extend(tensor(key, &parameter.shape));
                weights.push(b's');
            }
        }
        let entry = |key: &str, value: &[u8]| [&text(key)[..], value, b"s"].concat();
        let plans =
            [b"}", &entry("dataset_name", &text("Dataset999_Test"))[..], &entry("plans_name", &text("nnUNetPlans"))]
                .concat();
        let arguments = [
            b"}",
            &entry("plans", &plans)[..],
            &entry("configuration", &text(self.configuration)),
            &entry("fold", &text(fold)),
        ]
        .concat();
        let mirror = match &self.mirror {
            None => b"N".to_vec(),
            Some(axes) => [b"(", &axes.iter().flat_map(|axis| [b'K', *axis]).collect::<Vec<u8>>()[..], b"t"].concat(),
        };
        let root = [
            b"\x80\x02}",
            &entry("network_weights", &weights)[..],
            &entry("trainer_name", &text(self.trainer)),
            &entry("init_args", &arguments),
            &entry("inference_allowed_mirroring_axes", &mirror),
            b".",
        ]
        .concat();
        let mut entries = vec![ZipEntry::stored("a/data.pkl", root)];
        entries.extend(storages);
        zip(&entries)
    }
}

/// All names that a state dict has for a parameter.
fn copies(name: &str) -> Vec<String> {
    let mut names = vec![name.to_owned()];
    for (own, other) in [(".conv.", ".all_modules.0."), (".norm.", ".all_modules.1.")] {
        names.extend(name.contains(own).then(|| name.replace(own, other)));
    }
    if name.starts_with("encoder.") {
        names.extend(names.clone().into_iter().map(|name| format!("decoder.{name}")));
    }
    names
}

/// The instructions that rebuild a tensor over all of a storage.
fn tensor(key: usize, shape: &[usize]) -> Vec<u8> {
    let int = |value: usize| [b"J", &(value as u32).to_le_bytes()[..]].concat();
    let tuple = |values: &[usize]| [b"(", &values.iter().flat_map(|v| int(*v)).collect::<Vec<u8>>()[..], b"t"].concat();
    let strides: Vec<usize> = (0..shape.len()).map(|a| shape[a + 1..].iter().product()).collect();
    let storage = [
        b"(",
        &text("storage")[..],
        b"ctorch\nFloatStorage\n",
        &text(&key.to_string()),
        &text("cpu"),
        &int(shape.iter().product()),
        b"tQ",
    ];
    let hooks = b"\x89ccollections\nOrderedDict\n)Rt";
    let call = b"ctorch._utils\n_rebuild_tensor_v2\n(";
    [call, &storage.concat()[..], &int(0), &tuple(shape), &tuple(&strides), hooks, b"R"].concat()
}

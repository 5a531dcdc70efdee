//! `plans.json`: one configuration of it, in the form of today or that of nnU-Net before 2.4 (`UNet_class_name`...).

use serde_json::{Map, Value, json};

use super::super::super::error::WeightsError;
use super::dataset::Dataset;
use super::{PLANS, field};
use crate::fields::{FieldError, Section, from_json, nearest};
use crate::volume::steps::{
    CropToNonzero, IntensityProperties, Interpolation, Normalization, Orient, Resampling, Scheme, Step, Transpose,
};

/// The parts of a configuration that a package needs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Configuration {
    /// Name of the data set.
    pub dataset_name: Option<String>,
    /// Type and arguments of the network, without its channels.
    pub network: Map<String, Value>,
    /// What a scan is made into.
    pub steps: Vec<Step>,
    pub patch_size: [usize; 3],
    pub warnings: Vec<String>,
}

/// The networks that are built.
const NETWORKS: [&str; 2] = ["PlainConvUNet", "ResidualEncoderUNet"];
/// The kinds of resampling by their names in nnU-Net.
const RESAMPLING: [(&str, Kind); 3] = [
    ("resample_data_or_seg_to_shape", Kind::Spline),
    ("resample_torch_fornnunet", Kind::Linear),
    ("no_resampling_hack", Kind::Not),
];
/// What a resampling function does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// By splines of any order.
    Spline,
    /// PyTorch's `interpolate`: linear, the nearest slice where slices are resampled apart.
    Linear,
    /// Nothing.
    Not,
}
const SCHEMES: [&str; 5] =
    ["CTNormalization", "ZScoreNormalization", "NoNormalization", "RescaleTo01Normalization", "RGBTo01Normalization"];

impl Configuration {
    /// Reads the configuration of this name.
    ///
    /// # Errors
    /// It is not there, is not done here, or has a value that it cannot have.
    pub fn read(
        plans: &Map<String, Value>,
        name: &str,
        dataset_json: &Map<String, Value>,
        dataset: &Dataset,
    ) -> Result<Self, WeightsError> {
        let path = format!("configurations.{name}");
        let object = resolve(plans, name)?;
        let part = Part { object: &object, path: &path };
        let patch: Vec<usize> = part.required("patch_size")?;
        let Ok(patch_size) = <[usize; 3]>::try_from(patch.as_slice()) else {
            let problem =
                format!("the configuration {name} is of two dimensions; 3d_fullres and 3d_lowres are imported");
            return Err(field(PLANS, &format!("{path}.patch_size"), problem));
        };
        if let Some(previous) = object.get("previous_stage").filter(|value| !value.is_null()) {
            let problem = format!(
                "it is the second stage of a cascade, after {previous}; import a configuration that runs alone"
            );
            return Err(field(PLANS, &format!("{path}.previous_stage"), problem));
        }
        let preprocessor: String = part.or("preprocessor_name", "DefaultPreprocessor".to_owned())?;
        if preprocessor != "DefaultPreprocessor" {
            let problem = format!("{preprocessor} is not known here, only DefaultPreprocessor");
            return Err(field(PLANS, &format!("{path}.preprocessor_name"), problem));
        }
        let mut warnings = Vec::new();
        if name.contains("lowres") {
            warnings.push(format!(
                "{name} is meant as the first stage of a cascade: its labels are coarse; a model of 3d_fullres is finer"
            ));
        }
        Ok(Self {
            dataset_name: plans.get("dataset_name").and_then(Value::as_str).map(str::to_owned),
            network: network(&part)?,
            steps: steps(plans, &part, dataset_json, dataset, &mut warnings)?,
            patch_size,
            warnings,
        })
    }
}

/// The configuration with what it inherits.
fn resolve(plans: &Map<String, Value>, name: &str) -> Result<Map<String, Value>, WeightsError> {
    let all = plans.get("configurations").and_then(Value::as_object);
    let all = all.ok_or_else(|| field(PLANS, "configurations", "an object of configurations is needed"))?;
    let (mut whole, mut next, mut seen) = (Map::new(), name.to_owned(), Vec::new());
    loop {
        let Some(object) = all.get(&next).and_then(Value::as_object) else {
            let known: Vec<&str> = all.keys().map(String::as_str).collect();
            let near = nearest(&next, known.iter().copied()).unwrap_or_default();
            let problem = format!(
                "there is no such configuration; the nearest is {near} (known: {}): a checkpoint of another plan?",
                known.join(", ")
            );
            return Err(field(PLANS, &format!("configurations.{next}"), problem));
        };
        for (key, value) in object {
            whole.entry(key.clone()).or_insert_with(|| value.clone());
        }
        seen.push(next);
        next = match object.get("inherits_from") {
            None | Some(Value::Null) => return Ok(whole),
            Some(Value::String(parent)) if !seen.contains(parent) => parent.clone(),
            Some(other) => {
                let problem = format!("{other} is no configuration that it can inherit from");
                return Err(field(PLANS, &format!("configurations.{name}.inherits_from"), problem));
            }
        };
    }
}

/// An object of the plans and its path.
struct Part<'a> {
    object: &'a Map<String, Value>,
    path: &'a str,
}

impl Part<'_> {
    fn section(&self) -> Section<'_> {
        Section::at(self.path, self.object)
    }

    fn required<T: serde::de::DeserializeOwned>(&self, key: &str) -> Result<T, WeightsError> {
        self.section().required(key).map_err(told)
    }

    fn or<T: serde::de::DeserializeOwned>(&self, key: &str, default: T) -> Result<T, WeightsError> {
        self.section().or(key, default).map_err(told)
    }

    fn has(&self, key: &str) -> bool {
        self.object.contains_key(key)
    }

    fn at(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }
}

fn told(error: FieldError) -> WeightsError {
    WeightsError::file(PLANS, error.to_string())
}

/// Type and arguments of the network.
fn network(part: &Part<'_>) -> Result<Map<String, Value>, WeightsError> {
    let (class, mut arguments, path) = if part.has("architecture") {
        let architecture: Map<String, Value> = part.required("architecture")?;
        let path = part.at("architecture");
        let inner = Part { object: &architecture, path: &path };
        let class: String = inner.required("network_class_name")?;
        (class, inner.required::<Map<String, Value>>("arch_kwargs")?, inner.at("network_class_name"))
    } else {
        (part.required::<String>("UNet_class_name")?, old_arguments(part)?, part.at("UNet_class_name"))
    };
    let class = class.rsplit('.').next().unwrap_or(&class).to_owned();
    if !NETWORKS.contains(&class.as_str()) {
        let problem = format!("{class} is no network of this program; {} are imported", NETWORKS.join(" and "));
        return Err(field(PLANS, &path, problem));
    }
    arguments.insert("type".into(), json!(class));
    Ok(arguments)
}

/// The arguments that nnU-Net derives from its old plans.
fn old_arguments(part: &Part<'_>) -> Result<Map<String, Value>, WeightsError> {
    let class: String = part.required("UNet_class_name")?;
    let units: Vec<usize> = part.required("n_conv_per_stage_encoder")?;
    let (base, most): (u64, u64) = (part.required("UNet_base_num_features")?, part.required("unet_max_num_features")?);
    let features: Vec<u64> = (0..units.len() as u32)
        .map(|stage| base.saturating_mul(2_u64.checked_pow(stage).unwrap_or(u64::MAX)).min(most))
        .collect();
    let units_key = if class == "PlainConvUNet" { "n_conv_per_stage" } else { "n_blocks_per_stage" };
    let arguments = json!({
        "n_stages": units.len(), "features_per_stage": features,
        "kernel_sizes": part.required::<Value>("conv_kernel_sizes")?,
        "strides": part.required::<Value>("pool_op_kernel_sizes")?,
        units_key: units,
        "n_conv_per_stage_decoder": part.required::<Value>("n_conv_per_stage_decoder")?,
        "conv_bias": true, "norm_op": "InstanceNorm3d", "norm_op_kwargs": {"eps": 1e-5, "affine": true},
        "nonlin": "LeakyReLU",
    });
    match arguments {
        Value::Object(arguments) => Ok(arguments),
        _ => Ok(Map::new()),
    }
}

/// nnU-Net's order: turned if the reader turns, axes z, y, x transposed, cropped, normalised, resampled.
fn steps(
    plans: &Map<String, Value>,
    part: &Part<'_>,
    dataset_json: &Map<String, Value>,
    dataset: &Dataset,
    warnings: &mut Vec<String>,
) -> Result<Vec<Step>, WeightsError> {
    let mut steps: Vec<Step> = Vec::new();
    let given = |map: &Map<String, Value>, key: &str| map.get(key).and_then(Value::as_str).map(str::to_owned);
    let reader = given(plans, "image_reader_writer").or_else(|| given(dataset_json, "overwrite_image_reader_writer"));
    match reader.as_deref() {
        Some("NibabelIOWithReorient") => steps.push(Orient::to("RAS").into()),
        Some("SimpleITKIO" | "NibabelIO" | "Tiff3DIO") | None => {}
        Some("NaturalImage2DIO") => {
            return Err(field(PLANS, "image_reader_writer", "NaturalImage2DIO reads pictures of two dimensions"));
        }
        Some(other) => {
            warnings.push(format!("{PLANS}: the reader {other} is not known here; scans are taken as they are stored"));
        }
    }
    let whole = Part { object: plans, path: "" };
    let forward: [usize; 3] = whole.section().required("transpose_forward").map_err(told)?;
    if !(0..3).all(|axis| forward.contains(&axis)) {
        return Err(field(PLANS, "transpose_forward", format!("{forward:?} is no order of the axes 0, 1 and 2")));
    }
    // Its arrays are z, y, x.
    steps.push(Transpose { indices: forward.map(|axis| 2 - axis) }.into());
    steps.push(CropToNonzero {}.into());
    steps.push(normalization(plans, part, dataset.channels.len())?.into());
    steps.extend(resampling(part)?.map(Step::from));
    Ok(steps)
}

fn normalization(plans: &Map<String, Value>, part: &Part<'_>, channels: usize) -> Result<Normalization, WeightsError> {
    let names: Vec<String> = part.required("normalization_schemes")?;
    if names.len() != channels {
        let problem = format!("it has {} schemes, and dataset.json has {channels} channels", names.len());
        return Err(field(PLANS, &part.at("normalization_schemes"), problem));
    }
    let scheme = |(at, name): (usize, &String)| {
        from_json::<Scheme>(&json!(name)).map_err(|_| {
            let near = nearest(name, SCHEMES).unwrap_or_default();
            let problem = format!("{name} is not done here; the nearest is {near} (known: {})", SCHEMES.join(", "));
            field(PLANS, &part.at(&format!("normalization_schemes[{at}]")), problem)
        })
    };
    let schemes: Vec<Scheme> = names.iter().enumerate().map(scheme).collect::<Result<_, _>>()?;
    let use_mask: Vec<bool> = part.required("use_mask_for_norm")?;
    if use_mask.len() != channels {
        let problem = format!("it has {} values, and dataset.json has {channels} channels", use_mask.len());
        return Err(field(PLANS, &part.at("use_mask_for_norm"), problem));
    }
    let keys = ["foreground_intensity_properties_per_channel", "foreground_intensity_properties_by_modality"];
    let key = keys.into_iter().find(|key| plans.get(*key).is_some_and(Value::is_object)).unwrap_or(keys[0]);
    let properties = plans.get(key).and_then(Value::as_object);
    let of = |channel: usize| -> Result<Option<IntensityProperties>, WeightsError> {
        let path = format!("{key}.{channel}");
        let Some(object) = properties.and_then(|all| all.get(&channel.to_string())).and_then(Value::as_object) else {
            return match schemes.get(channel) {
                Some(Scheme::CTNormalization) => {
                    Err(field(PLANS, &path, "it is missing: CTNormalization needs mean, std and percentiles"))
                }
                _ => Ok(None),
            };
        };
        if schemes.get(channel) != Some(&Scheme::CTNormalization) {
            return Ok(None);
        }
        let own = Part { object, path: &path };
        Ok(Some(IntensityProperties {
            mean: own.required("mean")?,
            std: own.required("std")?,
            percentile_00_5: own.required("percentile_00_5")?,
            percentile_99_5: own.required("percentile_99_5")?,
        }))
    };
    Ok(Normalization {
        foreground_intensity_properties_per_channel: (0..channels).map(of).collect::<Result<_, _>>()?,
        normalization_schemes: schemes,
        use_mask_for_norm: use_mask,
    })
}

/// How scans and logits are resampled; `None` where they are not.
fn resampling(part: &Part<'_>) -> Result<Option<Resampling>, WeightsError> {
    let function = |key: &str| -> Result<Kind, WeightsError> {
        let name: String = part.or(key, RESAMPLING[0].0.to_owned())?;
        RESAMPLING.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind).ok_or_else(|| {
            let known = RESAMPLING.map(|(name, _)| name).join(", ");
            field(PLANS, &part.at(key), format!("{name} is not done here (known: {known})"))
        })
    };
    let back = if part.has("resampling_fn_softmax") { "resampling_fn_softmax" } else { "resampling_fn_probabilities" };
    let kinds = (function("resampling_fn_data")?, function(back)?);
    match kinds {
        (Kind::Not, Kind::Not) => return Ok(None),
        (Kind::Not, _) | (_, Kind::Not) => {
            return Err(field(PLANS, &part.at(back), "scans are resampled and logits are not, or the other way round"));
        }
        _ => {}
    }
    let rule = |key: &str, kind: Kind, order: u8| -> Result<Interpolation, WeightsError> {
        let arguments = format!("{key}_kwargs");
        let mut object: Map<String, Value> = part.or(&arguments, Map::new())?;
        object.remove("is_seg");
        if kind == Kind::Linear {
            for name in ["num_threads", "device", "memefficient_seg_resampling"] {
                object.remove(name);
            }
            for (name, usual) in [("mode", "linear"), ("aniso_axis_mode", "nearest-exact")] {
                if let Some(other) = object.remove(name).filter(|value| *value != usual) {
                    let path = format!("{}.{name}", part.at(&arguments));
                    return Err(field(PLANS, &path, format!("{other} is not done here, only {usual:?}")));
                }
            }
        }
        let order = if kind == Kind::Linear { 1 } else { order };
        for (name, value) in [("order", json!(order)), ("order_z", json!(0)), ("force_separate_z", Value::Null)] {
            object.entry(name).or_insert(value);
        }
        from_json(&Value::Object(object)).map_err(|e| told(e.within(&part.at(&arguments))))
    };
    Ok(Some(Resampling {
        spacing: part.required("spacing")?,
        data: rule("resampling_fn_data", kinds.0, 3)?,
        probabilities: rule(back, kinds.1, 1)?,
    }))
}

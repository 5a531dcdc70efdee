//! A package as a result folder of nnU-Net v2: `dataset.json`, `plans.json` and a checkpoint for each set of weights.
//!
//! What is written says what the package says. What nnU-Net keeps besides, such as the median shape of the training scans, is
//! filled with what changes no prediction. Source: nnU-Net 2.8.1, `utilities/plans_handling`, `inference/predict_from_raw_data.py`.

use serde_json::{Map, Value, json};

use super::super::error::WeightsError;
use super::super::package::{Activation, Blend, Metadata, Package, Resample, Rule};
use super::State;
use super::torch::{self, Item};
use crate::nets::MonaiVersion;
use crate::tensor::FloatType;
use crate::volume::steps::{Interpolation, Normalization, Resampling, Step};

/// A folder to be written.
#[derive(Debug)]
pub struct Folder {
    /// Paths within it, and contents.
    pub files: Vec<(String, Vec<u8>)>,
    /// What nnU-Net will do otherwise than this program.
    pub warnings: Vec<String>,
}

/// Makes a result folder.
///
/// # Errors
/// The network or the steps are none that nnU-Net has, or a weight is beyond the range of `dtype`.
pub fn nnunet_folder(package: &Package, dtype: FloatType) -> Result<Folder, WeightsError> {
    let m = package.metadata();
    let made = Made::of(m)?;
    let (plans, dataset) = (made.plans(m)?, dataset(m));
    let text = |value: &Value| format!("{value:#}\n").into_bytes();
    let mut files = vec![("dataset.json".to_owned(), text(&dataset)), ("plans.json".to_owned(), text(&plans))];
    let mirror = match m.inference.mirror_axes.as_slice() {
        [] => Value::Null,
        axes => json!(axes),
    };
    for (set, name) in made.folds.iter().enumerate() {
        let state = State::of(package, set, MonaiVersion::default(), dtype)?;
        let arguments =
            json!({"plans": plans, "configuration": made.configuration, "fold": name, "dataset_json": dataset});
        let checkpoint = Item::Dict(vec![
            ("network_weights", Item::State(&state)),
            ("optimizer_state", Item::Plain(json!({}))),
            ("grad_scaler_state", Item::Plain(Value::Null)),
            ("logging", Item::Plain(json!({}))),
            ("_best_ema", Item::Plain(Value::Null)),
            ("current_epoch", Item::Plain(json!(0))),
            ("init_args", Item::Plain(arguments)),
            ("trainer_name", Item::Plain(json!(made.trainer))),
            ("inference_allowed_mirroring_axes", Item::Plain(mirror.clone())),
        ]);
        files.push((format!("fold_{name}/checkpoint_final.pth"), torch::write(&checkpoint, &state)?));
    }
    Ok(Folder { files, warnings: warnings(m) })
}

/// The steps of nnU-Net, and names that the package keeps of where it came from.
struct Made<'a> {
    reoriented: bool,
    transpose: [usize; 3],
    normalization: &'a Normalization,
    resampling: Option<&'a Resampling>,
    trainer: String,
    plans_name: String,
    configuration: String,
    folds: Vec<String>,
}

impl<'a> Made<'a> {
    fn of(m: &'a Metadata) -> Result<Self, WeightsError> {
        let steps = &m.input.preprocess.steps;
        let (reoriented, rest) = match steps.as_slice() {
            [Step::Orient(orient), rest @ ..] if orient.axcodes == "RAS" => (true, rest),
            all => (false, all),
        };
        let (transpose, normalization, resampling) = match rest {
            [Step::Transpose(t), Step::CropToNonzero(_), Step::Normalization(n)] => (t.indices, n, None),
            [Step::Transpose(t), Step::CropToNonzero(_), Step::Normalization(n), Step::Resampling(r)] => {
                (t.indices, n, Some(r))
            }
            _ => {
                let names: Vec<&str> = steps.iter().map(Step::name).collect();
                let problem = format!(
                    "nnU-Net does Transpose, CropToNonzero, Normalization and Resampling, and nothing else; this model has {}",
                    if names.is_empty() { "none of them".to_owned() } else { names.join(", ") }
                );
                return Err(WeightsError::field("input.steps", problem));
            }
        };
        painted_in_order(m)?;
        let source = m.source.as_ref();
        let made_by = source.and_then(|source| source.made_by.as_deref()).unwrap_or_default();
        let mut parts = made_by.split("__");
        let mut part = |default: &str| parts.next().filter(|p| !p.is_empty()).unwrap_or(default).to_owned();
        let (trainer, plans_name, configuration) = (part("nnUNetTrainer"), part("nnUNetPlans"), part("3d_fullres"));
        let fold = |file: &str| Some(file.strip_prefix("fold_")?.split_once('/')?.0.to_owned());
        let kept = || source.into_iter().flat_map(|source| &source.files).find_map(|file| fold(&file.file));
        let folds = match m.folds.is_empty() {
            true => vec![kept().unwrap_or_else(|| "0".to_owned())],
            false => m.folds.clone(),
        };
        Ok(Self { reoriented, transpose, normalization, resampling, trainer, plans_name, configuration, folds })
    }

    fn plans(&self, m: &Metadata) -> Result<Value, WeightsError> {
        let forward = self.transpose.map(|axis| 2 - axis);
        let backward = [0, 1, 2].map(|axis| forward.iter().position(|from| *from == axis).unwrap_or(axis));
        let spacing = self.resampling.map_or([1.0; 3], |resampling| resampling.spacing);
        let n = self.normalization;
        let properties = n.foreground_intensity_properties_per_channel.iter().enumerate().map(|(channel, given)| {
            let known = given.map_or_else(
                || json!({"mean": 0.0, "std": 1.0, "percentile_00_5": 0.0, "percentile_99_5": 1.0}),
                |given| json!(given),
            );
            (channel.to_string(), known)
        });
        let mut configuration = json!({
            "data_identifier": format!("{}_{}", self.plans_name, self.configuration),
            "preprocessor_name": "DefaultPreprocessor", "batch_size": 2,
            "patch_size": m.inference.roi_size, "median_image_size_in_voxels": m.inference.roi_size,
            "spacing": spacing, "normalization_schemes": n.normalization_schemes,
            "use_mask_for_norm": n.use_mask_for_norm, "batch_dice": false, "architecture": architecture(m)?,
        });
        let rules = match self.resampling {
            Some(r) => [
                ("data", kwargs(&r.data, false)),
                ("seg", labels()),
                ("probabilities", kwargs(&r.probabilities, false)),
            ],
            None => [("data", json!({})), ("seg", json!({})), ("probabilities", json!({}))],
        };
        let function = if self.resampling.is_some() { "resample_data_or_seg_to_shape" } else { "no_resampling_hack" };
        for (what, arguments) in rules {
            configuration[format!("resampling_fn_{what}")] = json!(function);
            configuration[format!("resampling_fn_{what}_kwargs")] = arguments;
        }
        Ok(json!({
            "dataset_name": m.name.split(' ').next().unwrap_or("Dataset001_model"), "plans_name": self.plans_name,
            "original_median_spacing_after_transp": spacing,
            "original_median_shape_after_transp": m.inference.roi_size,
            "image_reader_writer": if self.reoriented { "NibabelIOWithReorient" } else { "SimpleITKIO" },
            "transpose_forward": forward, "transpose_backward": backward,
            "configurations": {self.configuration.as_str(): configuration},
            "experiment_planner_used": "ExperimentPlanner", "label_manager": "LabelManager",
            "foreground_intensity_properties_per_channel": properties.collect::<Map<_, _>>(),
        }))
    }
}

/// nnU-Net has a region for each channel and paints them in the channels' order.
fn painted_in_order(m: &Metadata) -> Result<(), WeightsError> {
    let regions = &m.output.regions;
    if m.output.activation == Activation::Softmax {
        return Ok(());
    }
    let problem = match regions.len() {
        1 => "nnU-Net has no model of one region: its classes have a channel for the background",
        n if n != m.network.out_channels() => "nnU-Net has a region for each channel of the network",
        _ if regions.iter().enumerate().any(|(at, region)| region.channel != at) => {
            "nnU-Net paints regions in the order of their channels"
        }
        _ => return Ok(()),
    };
    Err(WeightsError::field("output.regions", problem))
}

fn kwargs(rule: &Interpolation, is_seg: bool) -> Value {
    let mut arguments = json!(rule);
    arguments["is_seg"] = json!(is_seg);
    arguments
}

/// Label maps, which a prediction has none of.
fn labels() -> Value {
    kwargs(&Interpolation::of_order(1), true)
}

/// The class of the network and its arguments.
fn architecture(m: &Metadata) -> Result<Value, WeightsError> {
    let Value::Object(mut arguments) = json!(m.network) else {
        return Err(WeightsError::field("network", "it has no arguments"));
    };
    let kind = arguments.remove("type").and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default();
    if !["PlainConvUNet", "ResidualEncoderUNet"].contains(&kind.as_str()) {
        let kind = if kind.is_empty() { "UNETR" } else { &kind };
        let problem = format!("{kind} is no network of nnU-Net, which has PlainConvUNet and ResidualEncoderUNet");
        return Err(WeightsError::field("network.type", problem));
    }
    for name in ["input_channels", "num_classes", "deep_supervision"] {
        arguments.remove(name);
    }
    arguments.insert("conv_op".into(), json!("torch.nn.modules.conv.Conv3d"));
    arguments.insert("dropout_op".into(), Value::Null);
    arguments.insert("dropout_op_kwargs".into(), Value::Null);
    Ok(json!({
        "network_class_name": format!("dynamic_network_architectures.architectures.unet.{kind}"),
        "arch_kwargs": arguments, "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }))
}

fn dataset(m: &Metadata) -> Value {
    let channels = m.input.channels.iter().enumerate().map(|(at, name)| (at.to_string(), json!(name)));
    let mut labels = Map::from_iter([("background".to_owned(), json!(0))]);
    let mut insert = |name: String, value: Value| {
        let taken = labels.contains_key(&name) || name == "ignore";
        let name = if taken { format!("{name}_{}", labels.len()) } else { name };
        labels.insert(name, value);
    };
    let mut made = json!({
        "channel_names": channels.collect::<Map<_, _>>(), "file_ending": ".nii.gz",
        "numTraining": m.trained_on.as_ref().map_or(0, |known| known.cases),
    });
    if m.output.activation == Activation::Softmax {
        (1..m.network.out_channels()).for_each(|value| {
            insert(m.output.label_name(u16::try_from(value).unwrap_or(u16::MAX)), json!(value));
        });
    } else {
        // A region holds what is painted over it.
        let order: Vec<u16> = m.output.regions.iter().map(|region| region.value).collect();
        for (at, value) in order.iter().enumerate() {
            insert(m.output.label_name(*value), json!(order.get(at..)));
        }
        made["regions_class_order"] = json!(order);
    }
    made["labels"] = Value::Object(labels);
    made
}

/// What nnU-Net does otherwise.
fn warnings(m: &Metadata) -> Vec<String> {
    let (i, o) = (&m.inference, &m.output);
    let mut told = Vec::new();
    if i.windows != Rule::Nnunet || i.importance != Rule::Nnunet || i.blend != Blend::Gaussian {
        told.push("nnU-Net lays and weighs windows by its own rule, this model by another".to_owned());
    }
    if o.resample != Resample::Logits {
        told.push(format!("nnU-Net brings logits back to the scan, this model {}", o.resample.name()));
    }
    if !o.keep_largest_component.is_empty() {
        told.push(
            "nnU-Net keeps its postprocessing in a pickle, which is not written: output.keep_largest_component"
                .to_owned(),
        );
    }
    if o.activation == Activation::Sigmoid {
        told.push("what labels a region is of is written as those that are painted over it, and its own".to_owned());
    }
    told
}

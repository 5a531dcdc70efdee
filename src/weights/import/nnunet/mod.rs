//! Result folders of nnU-Net v2 as packages: `dataset.json`, `plans.json` and `fold_X/checkpoint_final.pth`, read without running any
//! of it. What a scan is made into, how windows are laid, which labels come out: all as nnU-Net does it.
//!
//! | module | reads |
//! | --- | --- |
//! | [`dataset`] | names of the channels, labels or regions |
//! | [`plans`] | the configuration: network, spacing, normalisation, resampling, axes |
//! | [`checkpoint`] | what a checkpoint says besides its weights: configuration, trainer, mirroring |
//! | [`folds`] | which checkpoints there are |
//!
//! # Errors
//! A file that is missing or is none, a configuration that is not done here (2d, a cascade), a network, normalisation or resampling of
//! others, a checkpoint of another plan: each names the file and what to do.
//!
//! # Source
//! nnU-Net 2.8.1: `inference/predict_from_raw_data.py`, `utilities/plans_handling/plans_handler.py`,
//! `utilities/label_handling/label_handling.py`.

mod checkpoint;
mod dataset;
mod folds;
mod plans;

use serde_json::{Map, Value, json};

use super::super::error::WeightsError;
use super::files::FileSet;
use super::source::StateDict;
use super::{ImportOptions, Imported, Set, convert, given_fields, torch};
use crate::digest::sha256;
use crate::fields::FieldError;
use crate::fields::json::parse_object;
use checkpoint::Checkpoint;
use dataset::Dataset;
use folds::Fold;
use plans::Configuration;

const DATASET: &str = "dataset.json";
const PLANS: &str = "plans.json";

/// The folder within `files` that is a result folder, if one is.
///
/// # Errors
/// Several are; or one that lacks a file, or is of nnU-Net v1.
pub(super) fn root(files: &FileSet) -> Result<Option<String>, WeightsError> {
    let has_fold = |root: &str| {
        let prefix = if root.is_empty() { "fold_".to_owned() } else { format!("{root}/fold_") };
        files.paths().any(|path| path.starts_with(&prefix))
    };
    let of_v1 = files.paths().find(|path| {
        let name = path.rsplit('/').next().unwrap_or(path);
        name == "plans.pkl" || name.ends_with(".model.pkl")
    });
    let roots: Vec<&str> = files.folders_with(PLANS).into_iter().filter(|root| has_fold(root)).collect();
    match roots.as_slice() {
        [one] => return Ok(Some((*one).to_owned())),
        [] => {}
        _ if roots.contains(&"") => return Ok(Some(String::new())),
        several => {
            let problem = format!("it holds several trained models: {}; import one of them", several.join(", "));
            return Err(WeightsError::file("", problem));
        }
    }
    if let Some(path) = of_v1 {
        let problem = "it is of nnU-Net v1, whose plans are a pickle and whose networks differ; nnU-Net v2 models are imported: \
                       train or convert it with v2";
        return Err(WeightsError::file(path, problem));
    }
    let checkpoints = |path: &&str| path.ends_with(".pth") && path.split('/').any(|part| part.starts_with("fold_"));
    if let Some(path) = files.paths().find(checkpoints) {
        let within = path.find("fold_").unwrap_or(0);
        let problem = format!(
            "{PLANS} is missing beside {}: an nnU-Net result folder has {DATASET}, {PLANS} and fold_X/checkpoint_final.pth",
            &path[within..]
        );
        return Err(WeightsError::file(path.get(..within).unwrap_or_default(), problem));
    }
    match files.folders_with(PLANS).first() {
        Some(root) if files.folders_with(DATASET).contains(root) => Ok(Some((*root).to_owned())),
        _ => Ok(None),
    }
}

/// Makes a package of the result folder whose root is the root of `files`.
pub(super) fn import(files: &FileSet, options: &ImportOptions<'_>) -> Result<Imported, WeightsError> {
    let given = given_fields(options)?;
    let mut read = Files { files, hashes: Vec::new() };
    let dataset_json = read.object(DATASET)?;
    let plans_json = read.object(PLANS)?;
    let folds = Fold::choose(files, options)?;
    let mut warnings = Vec::new();
    let mut first = None;
    let mut sets = Vec::new();
    warnings.extend(Fold::left_out(files, options, &folds));
    for fold in &folds {
        let (state, about) = read.checkpoint(&fold.path)?;
        if let Some(first) = &first {
            about.check_same(first, &fold.path)?;
        }
        first.get_or_insert(about);
        sets.push(Set { name: fold.name.clone(), file: fold.path.clone(), state });
    }
    let Some(about) = first else {
        return Err(WeightsError::file("", "there is no fold with a checkpoint"));
    };
    about.check_plans(&plans_json, &mut warnings)?;

    let dataset = Dataset::read(&dataset_json)?;
    let batch_norm = sets.first().is_some_and(|set| {
        set.state.names().any(|name| name.starts_with("network_weights.") && name.ends_with(".norm.running_mean"))
    });
    let configuration = Configuration::read(&plans_json, &about.configuration, &dataset_json, &dataset)?;
    warnings.extend(configuration.warnings.iter().cloned());
    warnings.extend(about.doubts());

    let mut object = package(files.name(), &dataset, &dataset_json, &configuration, &about);
    if batch_norm && let Some(network) = object.get_mut("network").and_then(Value::as_object_mut) {
        // nnUNetTrainerBN puts batch norms where the plans have instance norms.
        network.insert("norm_op".into(), json!("BatchNorm3d"));
    }
    if folds.len() > 1 {
        let names: Vec<&str> = folds.iter().map(|fold| fold.name.as_str()).collect();
        object.insert("folds".into(), json!(names));
    }
    let hashed: Vec<Value> = read.hashes.iter().map(|(file, sha256)| json!({"file": file, "sha256": sha256})).collect();
    object.insert("source".into(), json!({"program": "nnU-Net v2", "made_by": about.made_by(), "files": hashed}));
    for (key, value) in given {
        merge(&mut object, key, value);
    }
    // Compiled and parallel modules wrap the network.
    let wraps = ["network_weights._orig_mod.", "network_weights.module."];
    let wrapped = wraps
        .into_iter()
        .find(|wrap| sets.first().is_some_and(|set: &Set<'_>| set.state.names().any(|name| name.starts_with(wrap))));
    let options = ImportOptions { prefix: Some(wrapped.unwrap_or("network_weights.")), ..*options };
    let mut made = convert(sets, object, &options).map_err(|e| about.explain(e))?;
    warnings.append(&mut made.warnings);
    // All that nnU-Net states is set, so what is left out of a checkpoint is its optimiser alone.
    warnings.retain(|warning| !warning.contains("tensors outside"));
    Ok(Imported { package: made.package, warnings })
}

/// The package's fields.
fn package(
    folder: &str,
    dataset: &Dataset,
    dataset_json: &Map<String, Value>,
    configuration: &Configuration,
    about: &Checkpoint,
) -> Map<String, Value> {
    let text = |keys: &[&str]| {
        let found = keys.iter().find_map(|key| dataset_json.get(*key).and_then(Value::as_str));
        found.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let name = configuration.dataset_name.clone().unwrap_or_else(|| folder.to_owned());
    let mut network = configuration.network.clone();
    network.insert("input_channels".into(), json!(dataset.channels.len()));
    network.insert("num_classes".into(), json!(dataset.heads()));
    let object = json!({
        "format": "unetr/2",
        "name": format!("{name} {}", about.configuration),
        "version": text(&["release"]).unwrap_or_else(|| "1.0.0".to_owned()),
        "licence": text(&["licence", "license"]).unwrap_or_else(|| "unknown".to_owned()),
        "citation": text(&["reference", "citation"]).unwrap_or_default(),
        "network": network,
        "input": {"channels": dataset.channels, "steps": configuration.steps},
        "output": dataset.output(),
        "inference": {
            "roi_size": configuration.patch_size, "overlap": 0.5, "blend": "gaussian", "sigma_scale": 0.125,
            "windows": "nnunet", "importance": "nnunet", "mirror_axes": about.mirror_axes,
        },
    });
    match object {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

/// Puts what the caller gives over what the folder says, key by key within sections.
fn merge(object: &mut Map<String, Value>, key: String, value: Value) {
    if let (Some(Value::Object(section)), Value::Object(given)) = (object.get_mut(&key), &value) {
        section.extend(given.clone());
        return;
    }
    object.insert(key, value);
}

/// Files of the folder, hashed as they are read.
struct Files<'a> {
    files: &'a FileSet,
    hashes: Vec<(String, String)>,
}

impl Files<'_> {
    fn bytes(&mut self, path: &str) -> Result<Vec<u8>, WeightsError> {
        if !self.files.has(path) {
            let problem = format!(
                "it is missing: an nnU-Net result folder has {DATASET}, {PLANS} and fold_X/checkpoint_final.pth; {}",
                self.files.summary()
            );
            return Err(WeightsError::file(path, problem));
        }
        let bytes = self.files.read(path)?;
        self.hashes.push((path.to_owned(), sha256(&bytes)));
        Ok(bytes)
    }

    fn object(&mut self, path: &str) -> Result<Map<String, Value>, WeightsError> {
        let bytes = self.bytes(path)?;
        let text = crate::fields::json::decode(&bytes).map_err(|e| WeightsError::file(path, e.to_string()))?;
        parse_object("", &text).map_err(|e| WeightsError::file(path, e.to_string()))
    }

    /// The tensors of a checkpoint, and what it says of itself.
    fn checkpoint(&mut self, path: &str) -> Result<(StateDict<'static>, Checkpoint), WeightsError> {
        let bytes = self.bytes(path)?;
        let told = |e: WeightsError| match e {
            WeightsError::Checkpoint { problem } => WeightsError::file(path, problem),
            other => other,
        };
        let about = torch::plain(&bytes).and_then(|plain| Checkpoint::read(&plain, path)).map_err(told)?;
        let state = torch::read(bytes).map_err(told)?;
        Ok((state, about))
    }
}

/// An error of a key in one of the files.
fn field(file: &str, path: &str, problem: impl std::fmt::Display) -> WeightsError {
    WeightsError::file(file, FieldError::value(path, problem).to_string())
}

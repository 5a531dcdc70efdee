//! MONAI bundles as packages: network, transforms before and after it, inferer and names, read from the bundle's
//! configuration without running any of it.
//!
//! | module | reads |
//! | --- | --- |
//! | [`yaml`], [`config`], [`expression`], [`operators`] | the configuration: references, macros, expressions by their form |
//! | [`component`] | a class and its arguments, none passed over unseen |
//! | [`network`], [`before`], [`inferer`], [`after`] | what inference is made of |
//! | [`metadata`] | names, labels, licence, the release of MONAI |
//! | [`checkpoint`] | which file holds the weights |
//!
//! Fields of a package file take the place of what the bundle says, which is then not looked at.
//!
//! # Errors
//! A transform or argument that would change the result and is not done here, an expression that would have to be run, or
//! weights that are elsewhere; each names its place in the configuration and the package's field that replaces it.
//!
//! # Source
//! MONAI's `docs/source/mb_specification.rst` and `config_syntax.md`.

mod after;
mod before;
mod checkpoint;
mod component;
mod config;
mod expression;
mod inferer;
mod metadata;
mod network;
mod operators;
mod yaml;

use serde_json::{Map, Value, json};

use super::super::error::WeightsError;
use super::files::FileSet;
use super::{ImportOptions, Imported, given_fields, import_given};
use crate::digest::sha256;
use after::Output;
use before::Before;
use config::Config;
use metadata::About;

/// Where the metadata lie.
const METADATA: &str = "configs/metadata.json";
/// Where the configuration of inference lies.
const CONFIGS: [&str; 3] = ["configs/inference.json", "configs/inference.yaml", "configs/inference.yml"];
/// Keys of `input` that stand for steps in a fixed order.
const FIXED: [&str; 4] = ["orientation", "spacing", "intensity", "crop_foreground"];

/// The folder within `files` that is a bundle, if one is.
///
/// # Errors
/// Several are.
pub(super) fn root(files: &FileSet) -> Result<Option<String>, WeightsError> {
    let mut roots = files.folders_with(METADATA);
    if roots.is_empty() {
        roots = CONFIGS.iter().flat_map(|config| files.folders_with(config)).collect();
        roots.dedup();
    }
    match roots.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some((*one).to_owned())),
        _ if roots.contains(&"") => Ok(Some(String::new())),
        several => {
            Err(WeightsError::file("", format!("it holds several bundles: {}; import one of them", several.join(", "))))
        }
    }
}

/// Makes a package of the bundle whose root is the root of `files`.
pub(super) fn import(files: &FileSet, options: &ImportOptions<'_>) -> Result<Imported, WeightsError> {
    let given = given_fields(options)?;
    let file = CONFIGS.into_iter().find(|config| files.has(config)).ok_or_else(|| {
        let problem =
            "there is no configuration of inference in the bundle; import models/model.pt with a package file instead";
        WeightsError::file(CONFIGS[0], problem)
    })?;
    let metadata = if files.has(METADATA) { config::object(files, METADATA)? } else { Map::new() };
    let about = About::read(files, &metadata);
    let config = Config::read(files, file, &metadata)?;
    let mut warnings = Vec::new();
    let mut object = derive(&config, &about, &given, &mut warnings)?;
    let (path, bytes) = checkpoint::find(files, &config)?;
    let mut read: Vec<(&str, String)> = Vec::new();
    for text in [METADATA, file].into_iter().filter(|path| files.has(path)) {
        read.push((text, sha256(&files.read(text)?)));
    }
    read.push((&path, sha256(&bytes)));
    let files: Vec<Value> = read.iter().map(|(file, sha256)| json!({"file": file, "sha256": sha256})).collect();
    let mut source = json!({"program": "MONAI bundle", "files": files});
    if let Some(version) = &about.monai_version {
        source["made_by"] = json!(format!("MONAI {version}"));
    }
    object.entry("source").or_insert(source);
    let mut made = import_given(bytes, object, options).map_err(|e| {
        if matches!(e, WeightsError::Checkpoint { .. }) { WeightsError::file(&path, e.to_string()) } else { e }
    })?;
    warnings.append(&mut made.warnings);
    Ok(Imported { package: made.package, warnings })
}

/// The package's fields, from the bundle where `given` has none.
fn derive(
    config: &Config<'_>,
    about: &About,
    given: &Map<String, Value>,
    warnings: &mut Vec<String>,
) -> Result<Map<String, Value>, WeightsError> {
    let section = |name: &str| given.get(name).and_then(Value::as_object);
    let first = |ids: &[&str], instead: &'static str| {
        ids.iter().map(|id| config.get(id, instead)).find(|found| !matches!(found, Ok(None))).unwrap_or(Ok(None))
    };

    let network = match first(&["network_def", "network", "evaluator::network"], "network")? {
        Some(node) => network::read(&node, section("network"), about.monai_version.as_deref())?,
        None => Map::new(),
    };
    let number = |name: &str| network.get(name).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());

    let has =
        |name: &str, keys: &[&str]| section(name).is_some_and(|map| keys.iter().any(|key| map.contains_key(*key)));
    let mut input = Map::new();
    let mut before = Before::default();
    if has("input", &FIXED) {
        input.insert("steps".into(), fixed_steps(section("input")));
    } else if !has("input", &["steps"]) {
        if let Some(node) = first(&["preprocessing", "dataset::transform"], "input.steps")? {
            before = before::read(node, &about.inputs, about.release)?;
            input.insert("steps".into(), json!(before.steps));
            warnings.append(&mut before.warnings);
        } else {
            warnings.push(format!("{} has no preprocessing; scans are taken as they are", config.file));
        }
    }
    let channels = if about.channels.len() == before.joined.len() || before.joined.is_empty() {
        &about.channels
    } else {
        &before.joined
    };
    if !channels.is_empty() {
        match number("in_channels") {
            Some(n) if n != channels.len() => warnings.push(format!(
                "{METADATA} names {} channels of the image, the network has {n}; they are numbered instead",
                channels.len()
            )),
            _ => {
                input.insert("channels".into(), json!(channels));
            }
        }
    }

    let mut inference = Map::new();
    if let Some(node) = first(&["inferer", "evaluator::inferer"], "inference")? {
        inference = inferer::read(node, before.size, section("inference"), warnings)?;
    }

    let mut output = Map::new();
    if !has("output", &["activation"]) {
        let node = first(&["postprocessing", "evaluator::postprocessing"], "output")?;
        let named = about.outputs.last().map_or(0, |(channel, _)| channel + 1);
        let channels = number("out_channels").unwrap_or(named);
        output = after::read(node, &Output { channels, names: &about.outputs, moved: before.moves }, warnings)?;
    }

    let mut object = about.fields.clone();
    for (name, mut derived) in [("network", network), ("input", input), ("output", output), ("inference", inference)] {
        derived.extend(section(name).cloned().unwrap_or_default());
        if name == "input" {
            derived.retain(|key, _| !FIXED.contains(&key.as_str()));
        }
        if !derived.is_empty() {
            object.insert(name.into(), derived.into());
        }
    }
    for (key, value) in given {
        if !value.is_object() || !object.contains_key(key) {
            object.insert(key.clone(), value.clone());
        }
    }
    Ok(object)
}

/// The list that the four keys of `unetr/1` stand for.
fn fixed_steps(given: Option<&Map<String, Value>>) -> Value {
    let step = |name: &str, arguments: Value| {
        let mut step = Map::from_iter([("transform".to_owned(), json!(name))]);
        step.extend(arguments.as_object().cloned().unwrap_or_default());
        Value::Object(step)
    };
    let get =
        |key: &str| given.and_then(|given| given.get(key)).filter(|value| !value.is_null() && **value != json!(false));
    let intensity = get("intensity").map(|intensity| {
        let mut arguments = intensity.as_object().cloned().unwrap_or_default();
        let kind = arguments.remove("kind");
        let name = if kind == Some(json!("normalize")) { "NormalizeIntensity" } else { "ScaleIntensityRange" };
        step(name, arguments.into())
    });
    let steps = [
        get("orientation").map(|codes| step("Orientation", json!({"axcodes": codes}))),
        get("spacing").map(|mm| step("Spacing", json!({"pixdim": mm}))),
        intensity,
        get("crop_foreground").map(|_| step("CropForeground", json!({}))),
    ];
    steps.into_iter().flatten().collect()
}

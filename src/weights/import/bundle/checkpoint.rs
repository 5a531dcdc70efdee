//! Which file of a bundle holds the weights.

use serde_json::Value;

use super::super::super::error::WeightsError;
use super::super::files::FileSet;
use super::config::{Config, Node, object};

/// Files that name where weights are kept.
const LISTS: [&str; 4] = ["large_files.yml", "large_files.yaml", "large_file.yml", "configs/large_files.yaml"];

/// Path and bytes of the weights: of the checkpoint that the configuration loads, else of what is usual.
///
/// # Errors
/// There is none, or none that can be read.
pub(super) fn find(files: &FileSet, config: &Config<'_>) -> Result<(String, Vec<u8>), WeightsError> {
    let mut candidates = Vec::new();
    match load_path(config) {
        Some(path) => {
            // As it is called where the bundle once lay, and the same weights within a program, whose code is not run.
            let name = path.rsplit(['/', '\\']).next().unwrap_or(&path);
            let here = format!("models/{name}");
            let program = path.strip_suffix(".pt").map(|stem| format!("{stem}.ts"));
            candidates.extend([path, here].into_iter().chain(program));
        }
        None => {
            let usual = ["models/model.pt", "models/model.safetensors", "models/model.ts"];
            candidates.extend(usual.map(str::to_owned));
            candidates.extend(only_weights(files));
        }
    }
    let wanted = candidates.first().map_or("models/model.pt", String::as_str);
    let mut failed = None;
    for path in candidates.iter().filter(|path| files.has(path)) {
        match files.read(path) {
            Ok(bytes) => return Ok((path.clone(), bytes)),
            Err(error) => _ = failed.get_or_insert(error),
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    let remedy = match listed(files, wanted) {
        Some(url) => format!("its list of large files says where it is kept: download {url} to that path"),
        None => format!("put them there; {}", files.summary()),
    };
    Err(WeightsError::file(wanted, format!("the weights are not in the bundle; {remedy}")))
}

/// The path that the checkpoint loader reads, if one is given and can be read. Other handlers may be anything.
fn load_path(config: &Config<'_>) -> Option<String> {
    let get = |id: &str| config.get(id, "").ok().flatten();
    let mut loaders: Vec<Node<'_>> = get("checkpointloader").into_iter().collect();
    for list in ["handlers", "evaluator::val_handlers", "val_handlers"].into_iter().filter_map(get) {
        loaders.extend(list.parts().into_iter().flatten());
    }
    let path = loaders.iter().find_map(|loader| {
        let class = loader.target().ok()??;
        let loads = class.rsplit('.').next() == Some("CheckpointLoader") && !loader.disabled().unwrap_or(false);
        let path = loads.then(|| loader.child("load_path").ok())???;
        path.value.as_str().map(str::to_owned)
    })?;
    Some(path.trim_start_matches("./").to_owned())
}

/// The only file that looks like weights.
fn only_weights(files: &FileSet) -> Option<String> {
    let ends = [".pt", ".pth", ".safetensors", ".ts"];
    let mut found = files.paths().filter(|path| ends.iter().any(|end| path.to_lowercase().ends_with(end)));
    match (found.next(), found.next()) {
        (Some(one), None) => Some(one.to_owned()),
        _ => None,
    }
}

/// The address that a list of large files gives for a path.
fn listed(files: &FileSet, path: &str) -> Option<String> {
    let list = LISTS.into_iter().find(|list| files.has(list))?;
    let list = object(files, list).ok()?;
    let entries = list.get("large_files")?.as_array()?;
    let entry = entries.iter().find(|entry| entry.get("path").and_then(Value::as_str) == Some(path))?;
    entry.get("url")?.as_str().map(str::to_owned)
}

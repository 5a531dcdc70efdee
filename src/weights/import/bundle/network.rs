//! `network_def`, as the package's `network`.

use serde_json::{Map, Value, json};

use super::super::super::error::WeightsError;
use super::config::Node;
use crate::fields::Section;
use crate::nets::registry::{self, NETWORKS};

/// Arguments that say how training is done.
const TRAINING: [&str; 2] = ["use_checkpoint", "save_attn"];
/// Other spellings that MONAI knows a class by.
const ALIASES: [(&str, &str); 2] = [("Unet", "UNet"), ("SwinUnetR", "SwinUNETR")];

/// The class and its arguments; those in `given` are not looked at. `release` is the MONAI of the bundle, on which depends what
/// `SwinUNETR` joins.
///
/// # Errors
/// The class is none that this program has, or an argument cannot be read.
pub(super) fn read(
    node: &Node<'_>,
    given: Option<&Map<String, Value>>,
    release: Option<&str>,
) -> Result<Map<String, Value>, WeightsError> {
    let Some(path) = node.target()? else {
        return Err(node.refused("it must be a component whose _target_ names the network's class"));
    };
    let (module, class) = path.rsplit_once('.').unwrap_or(("", path.as_str()));
    if !module.is_empty() && module != "monai" && !module.starts_with("monai.") {
        let problem = format!("{path:?} is a class that comes with the bundle, whose code is not run");
        return Err(node.wrong(format_args!("{problem}; networks are {}", registry::names())));
    }
    let class = ALIASES.iter().find(|(alias, _)| *alias == class).map_or(class, |(_, name)| *name);
    let network = NETWORKS.iter().find(|network| network.name.eq_ignore_ascii_case(class));
    let network = network.ok_or_else(|| {
        node.wrong(format_args!("{path:?} is no network of this program, which has {}", registry::names()))
    })?;
    let mut arguments = Map::from_iter([("type".to_owned(), json!(network.name))]);
    let keys = node.value.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    for key in keys {
        let ours = given.is_some_and(|given| given.contains_key(&key));
        if key.starts_with('_') || TRAINING.contains(&key.as_str()) || ours {
            continue;
        }
        if let Some(child) = node.child(&key)? {
            arguments.insert(key, child.whole()?);
        }
    }
    if network.name == "UNETR" {
        unetr(node, &mut arguments)?;
    }
    if let Some(dimensions) = arguments.remove("dimensions") {
        // What `spatial_dims` was called up to MONAI 0.8.
        arguments.entry("spatial_dims").or_insert(dimensions);
    }
    // What is not given has the class's default, which shapes need not tell.
    let mut all = arguments.clone();
    all.extend(given.cloned().unwrap_or_default());
    if let Ok(architecture) = (network.read)(&Section::at("network", &all))
        && let Value::Object(whole) = json!(architecture)
    {
        for (key, value) in whole {
            if key != "merging_version" {
                arguments.entry(key).or_insert(value);
            }
        }
    }
    let merges = network.name == "SwinUNETR" && arguments.get("downsample").is_none_or(|d| d == "merging");
    if let Some(release) = release.filter(|_| merges) {
        arguments.entry("merging_version").or_insert_with(|| json!(release));
    }
    Ok(arguments)
}

/// UNETR's arguments as a package has them: MONAI's defaults, which shapes do not tell, and what older releases called them.
fn unetr(node: &Node<'_>, arguments: &mut Map<String, Value>) -> Result<(), WeightsError> {
    for (key, default) in [("feature_size", 16), ("hidden_size", 768), ("mlp_dim", 3072), ("num_heads", 12)] {
        arguments.entry(key).or_insert_with(|| json!(default));
    }
    if let Some(size) = arguments.get("img_size").filter(|size| size.is_number()).cloned() {
        arguments.insert("img_size".into(), json!([size, size, size]));
    }
    if let Some(projection) = arguments.remove("pos_embed") {
        arguments.entry("proj_type").or_insert(projection);
    }
    arguments.remove("dropout_rate");
    match arguments.remove("spatial_dims") {
        Some(dims) if dims != json!(3) => {
            Err(node.wrong(format_args!("spatial_dims is {dims}; networks here have three")))
        }
        _ => Ok(()),
    }
}

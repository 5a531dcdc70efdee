//! Whether a dataset and a model call channels and labels the same, and what makes them agree.

use std::collections::BTreeMap;

use super::error::CliError;
use crate::dataset::Dataset;
use crate::report::label_names;
use crate::volume::{VolumeError, channels};
use crate::weights::Metadata;
use crate::weights::package::Activation;

/// For each channel of the model the dataset's, by their names; `None` where the dataset does not name them all.
///
/// # Errors
/// The dataset has another contrast where the model has one.
pub(super) fn channel_order(dataset: &Dataset, model: &Metadata) -> Result<Option<Vec<usize>>, CliError> {
    let (theirs, ours) = (&dataset.channels, &model.input.channels);
    if theirs.len() != ours.len() {
        return Ok(None);
    }
    if let Some(order) = channels::by_name(theirs, ours) {
        return Ok(Some(order));
    }
    match channels::order(theirs, ours) {
        Err(VolumeError::Channel { file, place, .. }) => Err(CliError::failed(format!(
            "dataset.json has the channels {}, the model {}: it has {file} in the place of {place}; correct the names in \
             dataset.json if they are wrong, or take a dataset with the model's channels",
            theirs.join(", "),
            ours.join(", "),
            place = ours[place]
        ))),
        _ => Ok(None),
    }
}

/// What label values of the dataset become in the model, where both have the name and the values differ. `relabel` is what
/// they become first.
///
/// # Errors
/// `relabel` gives a value another name than the model's, or two values would become one.
pub(super) fn label_values(
    dataset: &Dataset,
    model: &Metadata,
    relabel: &BTreeMap<u16, u16>,
) -> Result<BTreeMap<u16, u16>, CliError> {
    if model.output.activation == Activation::Sigmoid {
        // Regions are made of values, which their names do not tell.
        return Ok(BTreeMap::new());
    }
    let names = label_names(&model.output, model.network.out_channels());
    let mut moved = BTreeMap::new();
    for (value, name) in &dataset.labels {
        let Some(label) = names.iter().find(|label| plain(&label.name) == plain(name)) else { continue };
        let becomes = relabel.get(value).copied().unwrap_or(*value);
        if becomes == label.value {
            continue;
        }
        if !relabel.is_empty() {
            return Err(CliError::failed(format!(
                "dataset.json calls the value {value} '{name}', which is {} in the model, and the model's training makes \
                 {becomes} of it: with --relabel none the names decide",
                label.value
            )));
        }
        moved.insert(*value, label.value);
    }
    let mut targets: BTreeMap<u16, (u16, &str)> = BTreeMap::new();
    for (value, name) in dataset.labels.iter().filter(|_| !moved.is_empty()) {
        let target = moved.get(value).copied().unwrap_or(*value);
        if let Some((other, theirs)) = targets.insert(target, (*value, name)) {
            let label = names.iter().find(|label| label.value == target).map_or("", |label| label.name.as_str());
            return Err(CliError::failed(format!(
                "the labels {other} '{theirs}' and {value} '{name}' of dataset.json would both be the model's {target} \
                 '{label}': give one of them another value in the label files, or correct the names in dataset.json"
            )));
        }
    }
    Ok(moved)
}

/// Names as people vary them: letters and digits alone, small.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn model(channels: &[&str]) -> Metadata {
        let package = json!({
            "format": "unetr/1", "name": "tiny", "version": "1.0.0", "licence": "CC0-1.0", "citation": "",
            "network": {
                "in_channels": channels.len(), "out_channels": 3, "img_size": [16, 16, 16], "patch_size": 16,
                "feature_size": 2, "hidden_size": 4, "mlp_dim": 4, "num_heads": 2, "num_layers": 12, "qkv_bias": false,
                "conv_block": true, "res_block": true, "proj_type": "conv", "norm_name": "instance"
            },
            "input": {"channels": channels, "orientation": "RAS", "spacing": null, "crop_foreground": false, "intensity": null},
            "output": {"activation": "softmax", "labels": [
                {"value": 1, "name": "liver", "color": "#c8563c"}, {"value": 2, "name": "spleen", "color": "#3c56c8"}
            ]},
            "inference": {"roi_size": [16, 16, 16], "overlap": 0.5, "blend": "gaussian", "sigma_scale": 0.125},
            "training": {}
        });
        Metadata::from_json(&package.to_string()).expect("a package")
    }

    fn dataset(channels: &[&str], labels: &[(u16, &str)]) -> Dataset {
        Dataset {
            channels: channels.iter().map(|&c| c.to_owned()).collect(),
            labels: labels.iter().map(|&(value, name)| (value, name.to_owned())).collect(),
            ..Dataset::default()
        }
    }

    #[test]
    fn channels_agree_by_their_names() {
        let order = |theirs: &[&str], ours: &[&str]| channel_order(&dataset(theirs, &[]), &model(ours));
        let order_of = |theirs: &[&str], ours: &[&str]| order(theirs, ours).unwrap_or_else(|e| panic!("{}", e.chain()));
        assert_eq!(order_of(&["T1", "T2 FLAIR"], &["FLAIR", "T1w"]), Some(vec![1, 0]));
        assert_eq!(order_of(&["FLAIR", "T1"], &["FLAIR", "T1w"]), Some(vec![0, 1]));
        assert_eq!(order_of(&["MRI"], &["T1w"]), None, "a name that says nothing");
        assert_eq!(order_of(&[], &["T1w"]), None);
        let error = order(&["T1", "T2"], &["T1w", "FLAIR"]).expect_err("another contrast").chain();
        assert!(error.contains("it has T2 in the place of FLAIR"), "{error}");
    }

    #[test]
    fn labels_agree_by_their_names() {
        let values = |labels: &[(u16, &str)], relabel: &[(u16, u16)]| {
            label_values(&dataset(&[], labels), &model(&["CT"]), &relabel.iter().copied().collect())
                .map_err(|e| e.chain())
        };
        let none = BTreeMap::new();
        assert_eq!(values(&[(0, "background"), (1, "Liver"), (2, "spleen")], &[]), Ok(none.clone()));
        assert_eq!(values(&[(1, "spleen"), (2, "liver")], &[]), Ok(BTreeMap::from([(1, 2), (2, 1)])));
        assert_eq!(values(&[(1, "hepar"), (2, "lien")], &[]), Ok(none.clone()), "names of which only one side knows");
        assert_eq!(values(&[(6, "liver")], &[(6, 1)]), Ok(none), "what the training made of it");
        let error = values(&[(1, "kidney"), (2, "liver")], &[]).expect_err("two become one");
        assert!(
            error.contains("1 'kidney' and 2 'liver' of dataset.json would both be the model's 1 'liver'"),
            "{error}"
        );
        let error = values(&[(6, "liver")], &[(6, 2)]).expect_err("a contradiction");
        assert!(error.contains("--relabel none"), "{error}");
    }
}

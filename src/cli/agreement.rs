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
    let names = label_names(&model.output, model.network.out_channels);
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

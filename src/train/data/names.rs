//! Whether the names that a dataset gives its channels and label values contradict the recipe's.

use std::collections::BTreeSet;

use super::error::DataError;
use super::recipe::DataRecipe;
use crate::dataset::Dataset;
use crate::volume::channels;
use crate::weights::package::{Activation, InputSection, OutputSection};

/// Names as people vary them: letters and digits alone, small.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Channels of the same names in another order or of other contrasts, and labels of the same name and another value, are mistakes that nobody
/// would see. Names that only one side knows say nothing.
///
/// # Errors
/// [`DataError::Recipe`] with what contradicts.
pub fn check_names(
    dataset: &Dataset,
    data: &DataRecipe,
    input: &InputSection,
    output: &OutputSection,
) -> Result<(), DataError> {
    let (theirs, ours) = (&dataset.channels, &input.channels);
    let contradiction = match channels::by_name(theirs, ours) {
        Some(order) => (!order.is_sorted()).then(|| "give both the same order".to_owned()),
        None if theirs.len() == ours.len() => {
            channels::order(theirs, ours).err().map(|_| "these are others".to_owned())
        }
        None => None,
    };
    if let Some(remedy) = contradiction {
        let problem = format!("dataset.json has the channels {theirs:?}: {remedy}");
        return Err(DataError::recipe("input.channels", format!("{ours:?}"), problem));
    }
    if output.activation == Activation::Sigmoid {
        return check_regions(dataset, data);
    }
    for label in &output.labels {
        for (value, name) in dataset.labels.iter().filter(|(_, name)| plain(name) == plain(&label.name)) {
            let becomes = data.relabel.get(value).copied().unwrap_or(*value);
            if becomes != label.value {
                let problem = format!(
                    "dataset.json calls the value {value} '{name}', which is {} here: correct output.labels, or map it \
                     with data.relabel",
                    label.value
                );
                return Err(DataError::recipe("output.labels", format!("'{}' = {}", label.name, label.value), problem));
            }
        }
    }
    Ok(())
}

/// Regions of the same name and other values.
fn check_regions(dataset: &Dataset, data: &DataRecipe) -> Result<(), DataError> {
    for region in &data.regions {
        let Some(name) = &region.name else { continue };
        let Some((theirs, values)) = dataset.regions.iter().find(|(theirs, _)| plain(theirs) == plain(name)) else {
            continue;
        };
        let becomes: BTreeSet<u16> = values.iter().map(|v| data.relabel.get(v).copied().unwrap_or(*v)).collect();
        if becomes != region.values.iter().copied().collect() {
            let problem = format!(
                "dataset.json makes '{theirs}' of the values {values:?}: give both the same, or map them with data.relabel"
            );
            return Err(DataError::recipe("data.regions", format!("'{name}' = {:?}", region.values), problem));
        }
    }
    Ok(())
}

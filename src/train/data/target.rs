//! From the values of a label map to what the network is to answer.
//!
//! Values are first replaced by `[data] relabel`. A softmax network answers with the value itself, one class number per
//! voxel. A sigmoid network has one channel per region, 1 where the value is one of the region's: regions may overlap,
//! and which values make up a region differs between datasets (BraTS and MSD number the same tissues differently), so
//! the map comes from the recipe.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::error::DataError;
use super::recipe::DataRecipe;
use super::task::Task;
use crate::weights::package::{Activation, OutputSection};

/// The label values that make up a sigmoid channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionLabels {
    /// The channel of the logits.
    pub channel: usize,
    /// Values, after `relabel`, whose voxels belong to it.
    pub values: Vec<u16>,
    /// What it is called in scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The map from label values to the network's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Target {
    relabel: BTreeMap<u16, u16>,
    /// Values a label map may have after `relabel`; 0 is among them.
    known: BTreeSet<u16>,
    /// Values of each channel; empty for softmax.
    regions: Vec<Vec<u16>>,
}

impl Target {
    /// The target that the recipe's sections describe.
    ///
    /// # Errors
    /// [`DataError::Recipe`]: regions without sigmoid, a channel without region or with two, a value that is replaced by
    /// an unknown one.
    pub fn new(data: &DataRecipe, task: &Task, output: &OutputSection) -> Result<Self, DataError> {
        let regions = regions(data, task.classes, output.activation)?;
        let known: BTreeSet<u16> = if regions.is_empty() {
            classes(task.classes, output)?
        } else {
            regions.iter().flatten().copied().chain([0]).collect()
        };
        let target = Self { relabel: data.relabel.clone(), known, regions };
        match target.relabel.iter().find(|(_, new)| !target.known.contains(new)) {
            Some((old, new)) => {
                let problem = format!("the network has no such label; known are {}", target.labels());
                Err(DataError::recipe(format!("data.relabel.{old}"), new, problem))
            }
            None => Ok(target),
        }
    }

    /// Channels of the answer: 1 for softmax, else the regions.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.regions.len().max(1)
    }

    /// Values of each region's voxels; empty for softmax.
    #[must_use]
    pub fn regions(&self) -> &[Vec<u16>] {
        &self.regions
    }

    /// The value that stands for `value` after `relabel`, if it is a known one.
    #[must_use]
    pub fn value(&self, value: u16) -> Option<u16> {
        let new = self.relabel.get(&value).copied().unwrap_or(value);
        self.known.contains(&new).then_some(new)
    }

    /// Whether a value, after `relabel`, is one of the network's.
    #[must_use]
    pub fn knows(&self, value: u16) -> bool {
        self.known.contains(&value)
    }

    /// The values of the network, for messages.
    #[must_use]
    pub fn labels(&self) -> String {
        listed(&self.known)
    }

    /// The values that a label map may have, for messages.
    #[must_use]
    pub fn known(&self) -> String {
        listed(&self.known.iter().chain(self.relabel.keys()).copied().collect())
    }

    /// The answer for `labels` (relabelled): class numbers, or 1 and 0 per region.
    ///
    /// # Shapes
    /// `labels` `(X, Y, Z)`; appends `(channels, X, Y, Z)`.
    pub fn encode(&self, labels: &[u16], out: &mut Vec<f32>) {
        if self.regions.is_empty() {
            out.extend(labels.iter().map(|&value| f32::from(value)));
        }
        for values in &self.regions {
            out.extend(labels.iter().map(|value| f32::from(u8::from(values.contains(value)))));
        }
    }
}

fn listed(values: &BTreeSet<u16>) -> String {
    values.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

/// Values of each channel, checked; empty for softmax.
fn regions(data: &DataRecipe, channels: usize, activation: Activation) -> Result<Vec<Vec<u16>>, DataError> {
    match (activation, data.regions.is_empty()) {
        (Activation::Softmax, true) => return Ok(Vec::new()),
        (Activation::Softmax, false) => {
            let problem = "regions belong to output.activation \"sigmoid\", not to \"softmax\"";
            return Err(DataError::recipe("data.regions", format!("a list of {}", data.regions.len()), problem));
        }
        (Activation::Sigmoid, true) => {
            let problem = "a sigmoid network needs a region for each channel, as in \
                           regions = [{channel = 0, values = [1, 2]}]: which label values belong to it";
            return Err(DataError::recipe("data.regions", "empty", problem));
        }
        (Activation::Sigmoid, false) => {}
    }
    let mut regions: Vec<Option<Vec<u16>>> = vec![None; channels];
    for (at, region) in data.regions.iter().enumerate() {
        let Some(slot) = regions.get_mut(region.channel) else {
            let problem = format!("network.out_channels is {channels}");
            return Err(DataError::recipe(format!("data.regions[{at}].channel"), region.channel, problem));
        };
        let distinct: BTreeSet<u16> = region.values.iter().copied().collect();
        if distinct.is_empty() || distinct.contains(&0) || distinct.len() != region.values.len() {
            let problem = "a list of different values above 0 is needed";
            return Err(DataError::recipe(
                format!("data.regions[{at}].values"),
                format!("{:?}", region.values),
                problem,
            ));
        }
        if slot.replace(region.values.clone()).is_some() {
            let problem = "the channel has a region already";
            return Err(DataError::recipe(format!("data.regions[{at}].channel"), region.channel, problem));
        }
    }
    let given = data.regions.len();
    let missing = |channel: usize| {
        let problem = format!("channel {channel} of network.out_channels {channels} has no region");
        DataError::recipe("data.regions", format!("a list of {given}"), problem)
    };
    regions.into_iter().enumerate().map(|(channel, values)| values.ok_or_else(|| missing(channel))).collect()
}

/// The values of a softmax network: those it names, or all of its channels.
fn classes(channels: usize, output: &OutputSection) -> Result<BTreeSet<u16>, DataError> {
    if let Some((at, label)) = output.labels.iter().enumerate().find(|(_, l)| usize::from(l.value) >= channels) {
        let problem = format!("network.out_channels is {channels}");
        return Err(DataError::recipe(format!("output.labels[{at}].value"), label.value, problem));
    }
    if output.labels.is_empty() {
        return Ok((0..=u16::MAX).take(channels).collect());
    }
    Ok(output.labels.iter().map(|label| label.value).chain([0]).collect())
}

//! The package's `output` section: how logits become labels and what the labels are called.
//!
//! With `softmax` the label of a voxel is the channel of its largest logit, 0 being background. With `sigmoid`
//! regions are painted in order, each where its channel's probability exceeds a threshold, 0.5 unless given, so later ones win.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::error::{WeightsError, quoted};
use super::metadata::Format;
use crate::fields::Section;
use crate::volume::codes::LabelCodes;

/// How logits become probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// Classes exclude each other.
    Softmax,
    /// Regions may overlap.
    Sigmoid,
}

/// A colour, `#rrggbb` in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Color(
    /// Red, green, blue.
    pub [u8; 3],
);

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

impl FromStr for Color {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6);
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let value = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let [_, rgb @ ..] = value.ok_or_else(|| format!("color {} is not #rrggbb", quoted(text)))?.to_be_bytes();
        Ok(Self(rgb))
    }
}

impl Serialize for Color {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Color {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// One label value and what it stands for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// Its value in the label map.
    pub value: u16,
    pub name: String,
    /// Its colour in previews.
    pub color: Color,
    /// What it is, in the words of a terminology.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codes: Option<Box<LabelCodes>>,
}

impl Label {
    /// Whether its name speaks of a side: "left" or "right" anywhere, or L, R, lt, rt, lh, rh as a word of its own, as in
    /// `Left Kidney`, `kidney_r`, `KidneyL`, `ctx-lh-cuneus`.
    pub fn has_side(&self) -> bool {
        let lower = self.name.to_lowercase();
        if lower.contains("left") || lower.contains("right") {
            return true;
        }
        let mut words = vec![String::new()];
        let mut before = ' ';
        for letter in self.name.chars() {
            if !letter.is_alphanumeric() || (letter.is_uppercase() && before.is_lowercase()) {
                words.push(String::new());
            }
            if letter.is_alphanumeric()
                && let Some(word) = words.last_mut()
            {
                word.extend(letter.to_lowercase());
            }
            before = letter;
        }
        words.iter().any(|word| matches!(word.as_str(), "l" | "r" | "lt" | "rt" | "lh" | "rh"))
    }
}

/// A sigmoid channel and the label value it paints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// The channel of the logits.
    pub channel: usize,
    /// The value painted where its probability exceeds 0.5.
    pub value: u16,
}

/// What is brought back from the model's grid to the scan's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resample {
    /// Class probabilities; the label is decided on the scan's grid.
    #[default]
    Probabilities,
    /// Logits; the label is decided on the scan's grid.
    Logits,
    /// Labels decided on the model's grid, by nearest neighbour.
    Labels,
}

impl Resample {
    /// As packages, options and records spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Probabilities => "probabilities",
            Self::Logits => "logits",
            Self::Labels => "labels",
        }
    }

    fn is_probabilities(&self) -> bool {
        *self == Self::Probabilities
    }
}

/// The threshold where none is given.
const HALF: f64 = 0.5;

fn is_half(threshold: &f64) -> bool {
    *threshold == HALF
}

/// Keys that `unetr/1` does not have.
pub(super) const SINCE_2: [&str; 4] = ["resample", "keep_largest_component", "components_on_scan", "threshold"];

/// Activation and labels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutputSection {
    /// How logits become probabilities.
    pub activation: Activation,
    /// Regions in the order they are painted; only with [`Activation::Sigmoid`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<Region>,
    /// Label values and their names.
    pub labels: Vec<Label>,
    /// What a region's probability exceeds.
    #[serde(skip_serializing_if = "is_half")]
    pub threshold: f64,
    /// What is brought back.
    #[serde(skip_serializing_if = "Resample::is_probabilities")]
    pub resample: Resample,
    /// Label values of which the largest connected component is kept, each for itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keep_largest_component: Vec<u16>,
    /// Components are told apart on the scan's grid, even where labels are decided on the model's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub components_on_scan: bool,
}

impl OutputSection {
    /// The name of a label value, `class_N` where the package names none.
    pub fn label_name(&self, value: u16) -> String {
        match self.labels.iter().find(|label| label.value == value) {
            Some(label) => label.name.clone(),
            None if value == 0 => "background".into(),
            None => format!("class_{value}"),
        }
    }

    /// An output with these labels, brought back as probabilities.
    pub fn new(activation: Activation, regions: Vec<Region>, labels: Vec<Label>) -> Self {
        let resample = Resample::Probabilities;
        Self {
            activation,
            regions,
            labels,
            threshold: HALF,
            resample,
            keep_largest_component: Vec::new(),
            components_on_scan: false,
        }
    }

    /// Whether this format can say it.
    pub(super) fn fits(&self, format: Format) -> bool {
        let plain =
            self.resample.is_probabilities() && self.keep_largest_component.is_empty() && !self.components_on_scan;
        (plain && is_half(&self.threshold)) || format == Format::Steps
    }

    pub(super) fn read(fields: &Section<'_>, format: Format) -> Result<Self, WeightsError> {
        if !fields.has("labels") {
            return Err(WeightsError::MissingField { field: fields.path("labels") });
        }
        let mut section = Self::new(fields.required("activation")?, fields.list("regions")?, fields.list("labels")?);
        if format == Format::Steps {
            section.resample = fields.or("resample", Resample::Probabilities)?;
            section.keep_largest_component = fields.list("keep_largest_component")?;
            section.components_on_scan = fields.or("components_on_scan", false)?;
            section.threshold = fields.or("threshold", HALF)?;
        }
        fields.finish()?;
        Ok(section)
    }

    pub(super) fn validate(&self, out_channels: usize) -> Result<(), WeightsError> {
        match self.activation {
            Activation::Softmax => self.validate_softmax(out_channels)?,
            Activation::Sigmoid => self.validate_sigmoid(out_channels)?,
        }
        if !(self.threshold > 0.0 && self.threshold < 1.0) {
            let problem = format!("{} must be above 0 and below 1", self.threshold);
            return Err(WeightsError::field("output.threshold", problem));
        }
        if self.activation == Activation::Softmax && !is_half(&self.threshold) {
            let problem = "a threshold belongs to the activation \"sigmoid\", not to \"softmax\"";
            return Err(WeightsError::field("output.threshold", problem));
        }
        for (index, label) in self.labels.iter().enumerate() {
            if label.name.is_empty() {
                return Err(WeightsError::field(format!("output.labels[{index}].name"), "it is empty"));
            }
            if let Some((key, problem)) = label.codes.as_ref().and_then(|codes| codes.problem()) {
                return Err(WeightsError::field(format!("output.labels[{index}].codes.{key}"), problem));
            }
            if self.labels.iter().take(index).any(|other| other.value == label.value) {
                let problem = format!("value {} is given to two labels", label.value);
                return Err(WeightsError::field(format!("output.labels[{index}].value"), problem));
            }
        }
        for (index, value) in self.keep_largest_component.iter().enumerate() {
            if !self.labels.iter().any(|label| label.value == *value && *value > 0) {
                let problem = format!("{value} is none of output.labels, or the background");
                return Err(WeightsError::field(format!("output.keep_largest_component[{index}]"), problem));
            }
        }
        Ok(())
    }

    fn validate_softmax(&self, out_channels: usize) -> Result<(), WeightsError> {
        if !self.regions.is_empty() {
            let problem = "regions belong to the activation \"sigmoid\", not to \"softmax\"";
            return Err(WeightsError::field("output.regions", problem));
        }
        if out_channels < 2 {
            let problem = "softmax over one channel labels nothing; use \"sigmoid\" with a region";
            return Err(WeightsError::field("output.activation", problem));
        }
        let outside = |label: &Label| usize::from(label.value) >= out_channels;
        if let Some(index) = self.labels.iter().position(outside) {
            let value = self.labels.get(index).map_or(0, |label| label.value);
            let problem = format!("{value} is no channel: network.out_channels is {out_channels}");
            return Err(WeightsError::field(format!("output.labels[{index}].value"), problem));
        }
        Ok(())
    }

    fn validate_sigmoid(&self, out_channels: usize) -> Result<(), WeightsError> {
        if self.regions.is_empty() {
            return Err(WeightsError::MissingField { field: "output.regions".into() });
        }
        for (index, region) in self.regions.iter().enumerate() {
            if region.channel >= out_channels {
                let problem = format!("{} is no channel: network.out_channels is {out_channels}", region.channel);
                return Err(WeightsError::field(format!("output.regions[{index}].channel"), problem));
            }
            if region.value == 0 {
                let problem = "0 is the background and cannot be painted";
                return Err(WeightsError::field(format!("output.regions[{index}].value"), problem));
            }
        }
        let painted = |label: &Label| label.value == 0 || self.regions.iter().any(|r| r.value == label.value);
        if let Some(index) = self.labels.iter().position(|label| !painted(label)) {
            let value = self.labels.get(index).map_or(0, |label| label.value);
            let problem = format!("no region paints the value {value}");
            return Err(WeightsError::field(format!("output.labels[{index}].value"), problem));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_speak_of_sides() {
        let sided =
            |name: &str| Label { value: 1, name: name.to_owned(), color: Color([0; 3]), codes: None }.has_side();
        for name in
            ["Left Kidney", "kidney_r", "KidneyL", "ctx-lh-cuneus", "rh.insula", "LH_Vis_1", "hippocampus_right"]
        {
            assert!(sided(name), "{name}");
        }
        for name in ["liver", "rib", "hippocampus_anterior", "Lung", "RV"] {
            assert!(!sided(name), "{name}");
        }
    }
}

//! The JSON of a model package, typed. Its sections have no keys but those that are known; sections of other makers are kept.

use serde_json::{Map, Value, json};

use super::super::error::WeightsError;
use super::inference::{self, InferenceSection};
use super::input::InputSection;
use super::output::{self, OutputSection};
use super::source::Source;
use super::trained_on::TrainedOn;
use crate::fields::json::parse_object;
use crate::fields::{FieldError, Section, is_slip};
use crate::nets::Architecture;

/// Formats that this version reads; it writes the first that can say what is to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `unetr/1`: preprocessing in a fixed order, MONAI's windows, one set of weights.
    Fixed,
    /// `unetr/2`: preprocessing as a list of steps, and all that is said beside it.
    Steps,
}

impl Format {
    /// Its name under `format`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fixed => "unetr/1",
            Self::Steps => "unetr/2",
        }
    }

    /// The format of an object that does not say: `unetr/2` where a key says what only that can.
    #[must_use]
    pub fn needed_by(object: &Map<String, Value>) -> Self {
        let beside = ["folds", "source"].iter().any(|key| object.contains_key(*key));
        let within = [("input", &["steps"][..]), ("inference", &inference::SINCE_2), ("output", &output::SINCE_2)];
        let holds = |(section, keys): (&str, &[&str])| {
            let section = object.get(section).and_then(Value::as_object);
            section.is_some_and(|map| keys.iter().any(|key| map.contains_key(*key)))
        };
        if beside || within.into_iter().any(holds) { Self::Steps } else { Self::Fixed }
    }
}

/// What a model expects, means and is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Metadata {
    /// Name of the model.
    pub name: String,
    /// Version of the model.
    pub version: String,
    /// Licence of the weights, an SPDX identifier where there is one.
    pub licence: String,
    /// What to cite.
    pub citation: String,
    pub network: Architecture,
    /// What the network expects.
    pub input: InputSection,
    /// What the network's channels mean.
    pub output: OutputSection,
    /// How to run it over a scan.
    pub inference: InferenceSection,
    /// What the training scans were like, if that is known.
    pub trained_on: Option<TrainedOn>,
    /// What the model must not be used for, a phrase each: "whole heads".
    pub not_for: Vec<String>,
    /// The model's card for people: data, scores, limits. Markdown.
    pub card: Option<String>,
    /// How it was trained: data, recipe, seed, steps, figures. Free form.
    pub training: Map<String, Value>,
    /// Names of the sets of weights whose logits are averaged, such as folds of a cross-validation; empty for one set.
    pub folds: Vec<String>,
    /// The files of another program that it was made of.
    pub source: Option<Source>,
    /// Outermost keys that are not above: other makers' sections.
    other: Map<String, Value>,
}

impl Metadata {
    /// The metadata of a new model, with [`InferenceSection::default_for`] and nothing about its training.
    pub fn new(name: &str, network: Architecture, input: InputSection, output: OutputSection) -> Self {
        let inference = InferenceSection::default_for(network.window());
        Self {
            name: name.into(),
            version: "1.0.0".into(),
            licence: String::new(),
            citation: String::new(),
            network,
            input,
            output,
            inference,
            trained_on: None,
            not_for: Vec::new(),
            card: None,
            training: Map::new(),
            folds: Vec::new(),
            source: None,
            other: Map::new(),
        }
    }

    /// Reads and validates the JSON text.
    ///
    /// # Errors
    /// No JSON, two equal keys, another format, a required key missing, an unknown key in a known section or one that is
    /// misspelt or misplaced outside of them, a value of a wrong type or out of range.
    pub fn from_json(text: &str) -> Result<Self, WeightsError> {
        Self::from_object(parse_object("unetr", text)?)
    }

    /// Reads and validates the parsed object.
    ///
    /// # Errors
    /// As [`Metadata::from_json`].
    pub fn from_object(source: Map<String, Value>) -> Result<Self, WeightsError> {
        let root = Section::root(&source);
        if let Some(slip) = source.keys().find_map(|key| slip_of(key)) {
            return Err(slip.into());
        }
        let format: String = root.required("format")?;
        let Some(format) = [Format::Fixed, Format::Steps].into_iter().find(|known| known.name() == format) else {
            let [one, two] = [Format::Fixed, Format::Steps].map(Format::name);
            let problem = format!("{format:?} is not supported, this version reads {one:?} and {two:?}");
            return Err(WeightsError::field("format", problem));
        };
        let section = root.section("network")?;
        let network = Architecture::from_json(&section)?;
        section.finish()?;
        let inference = match root.has("inference") {
            true => InferenceSection::read(&root.section("inference")?, network.window(), format)?,
            false => InferenceSection::default_for(network.window()),
        };
        let metadata = Self {
            name: root.required("name")?,
            version: root.required("version")?,
            licence: root.required("licence")?,
            citation: root.or("citation", String::new())?,
            input: InputSection::read(&root.section("input")?, format)?,
            output: OutputSection::read(&root.section("output")?, format)?,
            inference,
            trained_on: root.or("trained_on", None)?,
            not_for: root.or("not_for", Vec::new())?,
            card: root.or("card", None)?,
            training: root.or("training", Map::new())?,
            folds: if format == Format::Steps { root.or("folds", Vec::new())? } else { Vec::new() },
            source: if format == Format::Steps { root.or("source", None)? } else { None },
            network,
            other: Map::new(),
        };
        metadata.validate_as(format)?;
        let known = metadata.to_object();
        if let Some(error) = source.keys().find_map(|key| misplaced(key, &known)) {
            return Err(error.into());
        }
        let mut other = source;
        other.retain(|key, _| !known.contains_key(key));
        Ok(Self { other, ..metadata })
    }

    /// Checks every section against the network.
    ///
    /// # Errors
    /// The first field that breaks a rule.
    pub fn validate(&self) -> Result<(), WeightsError> {
        self.validate_as(self.format())
    }

    /// The format that is written.
    #[must_use]
    pub fn format(&self) -> Format {
        let plain = self.folds.is_empty() && self.source.is_none();
        let fixed = plain && self.input.write(Format::Fixed).is_some();
        let fixed = fixed && self.inference.fits(Format::Fixed) && self.output.fits(Format::Fixed);
        if fixed { Format::Fixed } else { Format::Steps }
    }

    fn validate_as(&self, format: Format) -> Result<(), WeightsError> {
        self.network.validate()?;
        self.input.validate(self.network.in_channels(), format)?;
        self.output.validate(self.network.out_channels())?;
        for (at, name) in self.folds.iter().enumerate() {
            let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
            if !plain || self.folds.iter().take(at).any(|other| other == name) {
                let problem = format!("{name:?}: names are of letters, digits, _ and -, each once");
                return Err(WeightsError::field(format!("folds[{at}]"), problem));
            }
        }
        self.trained_on.as_ref().map_or(Ok(()), |seen| seen.validate(&self.output))?;
        self.inference.validate(self.network.window())
    }

    /// The object to store: the sections in a fixed order, then those of other makers.
    pub fn to_object(&self) -> Map<String, Value> {
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| object.insert(key.into(), value);
        let format = self.format();
        put("format", json!(format.name()));
        put("name", json!(self.name));
        put("version", json!(self.version));
        put("licence", json!(self.licence));
        put("citation", json!(self.citation));
        put("network", json!(self.network));
        put("input", json!(self.input.write(format)));
        put("output", json!(self.output));
        put("inference", json!(self.inference));
        if let Some(trained_on) = &self.trained_on {
            put("trained_on", json!(trained_on));
        }
        if !self.not_for.is_empty() {
            put("not_for", json!(self.not_for));
        }
        if let Some(card) = &self.card {
            put("card", json!(card));
        }
        put("training", json!(self.training));
        if !self.folds.is_empty() {
            put("folds", json!(self.folds));
        }
        if let Some(source) = &self.source {
            put("source", json!(source));
        }
        object.extend(self.other.clone());
        object
    }

    /// Sections of other makers, kept as they are.
    pub fn other(&self) -> &Map<String, Value> {
        &self.other
    }

    /// The JSON text to store.
    pub fn to_json(&self) -> String {
        Value::Object(self.to_object()).to_string()
    }
}

/// Keys of the outermost object.
const KEYS: [&str; 15] = [
    "format",
    "name",
    "version",
    "licence",
    "citation",
    "network",
    "input",
    "output",
    "inference",
    "trained_on",
    "not_for",
    "card",
    "training",
    "folds",
    "source",
];

/// The error for a key that is no section of its own but a misspelt one.
fn slip_of(key: &str) -> Option<FieldError> {
    let slip = !KEYS.contains(&key) && KEYS.iter().any(|known| is_slip(key, known));
    slip.then(|| FieldError::unknown("", key, KEYS))
}

/// The error for a key that stands beside the section it belongs to.
fn misplaced(key: &str, known: &Map<String, Value>) -> Option<FieldError> {
    let holds = |section: &str| known.get(section).and_then(Value::as_object).is_some_and(|map| map.contains_key(key));
    let section = ["network", "input", "output", "inference"].into_iter().find(|section| holds(section));
    let section = section.filter(|_| !KEYS.contains(&key))?;
    Some(FieldError::value(key, format_args!("it belongs into the section {section}: give {section}.{key}")))
}

/// Reads a network from JSON text, as reference files keep it: the reference program's defaults fill what is absent, keys
/// that are not the network's are ignored.
///
/// # Errors
/// No JSON, a missing or wrong value, or a network that cannot be built.
pub fn network_from_json(text: &str) -> Result<Architecture, WeightsError> {
    Ok(Architecture::from_json(&Section::at("network", &parse_object("config", text)?))?)
}

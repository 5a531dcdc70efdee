//! `unetr describe`: a model's name, what its training scans were like, what it is not for, its card and its labels' codes, written
//! into its package.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::agreement;
use super::console::{note, print, print_json};
use super::error::{CliError, Context};
use super::evaluate::{relabelled, replace};
use super::files;
use super::output::Outputs;
use super::scans;
use crate::dataset::Dataset;
use crate::fields::nearest;
use crate::report::fit::{SeenScan, modality_of, trained_on};
use crate::volume::StudyOptions;
use crate::volume::codes::LabelCodes;
use crate::weights::Metadata;
use crate::weights::package::TrainedOn;

/// Write into a package the model's name, what its training scans were like, what it is not for, its card, and its labels' codes.
/// Weights stay, bit for bit.
///
/// `unetr segment` and the browser compare scans and results with that and warn. `unetr train` writes the first part by itself.
#[derive(Debug, Args)]
pub(super) struct Describe {
    /// Model package.
    model: PathBuf,
    /// Package to write.
    #[arg(short, long, value_name = "MODEL.safetensors")]
    output: PathBuf,
    /// The model's name.
    #[arg(long)]
    name: Option<String>,
    /// The model's version.
    #[arg(long, value_name = "VERSION")]
    model_version: Option<String>,
    /// The dataset it was trained on: its training list is surveyed, label values replaced as in the training.
    #[arg(long, value_name = "dataset.json")]
    dataset: Option<PathBuf>,
    /// DICOM's code of what made the training scans: MR, CT, PT, ... [default: by the names of the channels].
    #[arg(long, value_name = "CODE", requires = "dataset", value_parser = modality)]
    modality: Option<String>,
    /// What the model must not be used for, a phrase; once for each. Replaces those that are there.
    #[arg(long, value_name = "PHRASE")]
    not_for: Vec<String>,
    /// The model's card, Markdown.
    #[arg(long, value_name = "CARD.md")]
    card: Option<PathBuf>,
    /// What its labels are in the words of a terminology: for labels by name or value {"category": CODE, "type": CODE,
    /// "modifier": CODE, "region": CODE}, the last two optional, a CODE being {"scheme": "SCT", "value": "10200004", "meaning":
    /// "Liver"}.
    #[arg(long, value_name = "CODES.json")]
    codes: Option<PathBuf>,
    /// Replace the file if it exists.
    #[arg(long)]
    force: bool,
    /// Print what was written as JSON.
    #[arg(long)]
    json: bool,
}

impl Describe {
    pub fn run(&self) -> Result<(), CliError> {
        let named = self.name.is_some() || self.model_version.is_some();
        let described =
            self.dataset.is_some() || !self.not_for.is_empty() || self.card.is_some() || self.codes.is_some();
        if !named && !described {
            let problem = "nothing to write: give --name, --model-version, --dataset, --not-for, --card or --codes";
            return Err(CliError::usage(problem));
        }
        let mut inputs: Vec<&Path> = vec![&self.model];
        inputs.extend([&self.dataset, &self.card, &self.codes].into_iter().filter_map(|p| p.as_deref()));
        let mut outputs = Outputs::new(self.force, &inputs);
        outputs.plan("--output", &self.output)?;
        let package = files::model(&self.model)?;
        let mut metadata = package.metadata().clone();
        if let Some(name) = &self.name {
            metadata.name.clone_from(name);
        }
        if let Some(version) = &self.model_version {
            metadata.version.clone_from(version);
        }
        if let Some(path) = &self.dataset {
            metadata.trained_on = Some(self.survey(path, &metadata)?);
        }
        if !self.not_for.is_empty() {
            metadata.not_for = self.not_for.clone();
        }
        if let Some(path) = &self.card {
            let text = String::from_utf8(files::read(path)?).at(path)?;
            metadata.card = Some(text.trim().to_owned());
        }
        if let Some(path) = &self.codes {
            give_codes(path, &mut metadata)?;
        }
        let made = package.with_metadata(&metadata).at(&self.model)?;
        outputs.stage_bytes(&self.output, made.file_bytes())?;
        outputs.commit()?;
        let output = self.output.display();
        if self.json {
            let (trained_on, not_for, card) = (&metadata.trained_on, &metadata.not_for, &metadata.card);
            return print_json(&json!({
                "output": output.to_string(), "sha256": made.sha256(), "trained_on": trained_on, "not_for": not_for,
                "card": card, "labels": metadata.output.labels,
            }));
        }
        print(&format!("{output}: {} {}, SHA-256 {}\n", metadata.name, metadata.version, made.sha256()))
    }

    fn survey(&self, path: &Path, metadata: &Metadata) -> Result<TrainedOn, CliError> {
        let dataset = Dataset::read(path)?;
        let relabel: BTreeMap<u16, u16> = relabelled(metadata)?;
        let renamed = agreement::label_values(&dataset, metadata, &relabel)?;
        let relabel = if renamed.is_empty() { relabel } else { renamed };
        let mut seen = Vec::with_capacity(dataset.training.len());
        for case in &dataset.training {
            let mut labels = scans::labels(&case.label, &StudyOptions::default())?.labels;
            replace(&mut labels, &relabel);
            seen.push(SeenScan::of(&labels.narrow().at(&case.label)?));
        }
        let names = if dataset.channels.is_empty() { &metadata.input.channels } else { &dataset.channels };
        let named = modality_of(names.iter().map(String::as_str));
        let modality = self.modality.as_deref().or(named);
        if modality.is_none() {
            note(format!("warning: {}: nothing tells the modality; --modality does", path.display()));
        }
        let made = trained_on(&seen, modality, &metadata.output);
        made.ok_or_else(|| CliError::failed(format!("{}: its list of training cases is empty", path.display())))
    }
}

/// Puts the codes of a file into the labels that it names.
fn give_codes(path: &Path, metadata: &mut Metadata) -> Result<(), CliError> {
    let all: BTreeMap<String, Box<LabelCodes>> = serde_json::from_slice(&files::read(path)?).at(path)?;
    for (key, codes) in all {
        let labels = &mut metadata.output.labels;
        let known: Vec<String> = labels.iter().map(|l| format!("{} ({})", l.name, l.value)).collect();
        let Some(label) = labels.iter_mut().find(|l| l.name == key || key.parse() == Ok(l.value)) else {
            let near = nearest(&key, labels.iter().map(|l| l.name.as_str())).unwrap_or_default();
            let (path, known) = (path.display(), known.join(", "));
            return Err(CliError::failed(format!(
                "{path}: {key}: no such label; the nearest is {near} (known: {known})"
            )));
        };
        label.codes = Some(codes);
    }
    Ok(())
}

/// DICOM's codes are two to sixteen capitals and digits.
fn modality(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
    match (2..=16).contains(&text.len()) && text.chars().all(plain) {
        true => Ok(text.to_owned()),
        false => Err("DICOM's code is needed, such as MR, CT or PT".to_owned()),
    }
}

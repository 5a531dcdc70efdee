//! `unetr evaluate`: labels against the truth, from files or by running a model over a dataset.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::agreement;
use super::console::{fact, note, print, print_json, warn_all};
use super::error::{CliError, Context};
use super::files;
use super::options::{DeviceArgs, FormArg, InferenceArgs};
use super::output::Outputs;
use super::pairs::Pairs;
use super::regions::{self, Region, Regions};
use super::scans;
use super::scores::{Score, Scores};
use super::segment::run_windows;
use crate::dataset::{self, Case, Dataset, DatasetError};
use crate::infer::Segmenter;
use crate::metrics::{self, ClassMetrics};
use crate::report::label_names;
use crate::volume::nifti::LabelName;
use crate::volume::{LabelMap, StudyOptions};
use crate::weights::{Metadata, Package};

/// Compare labels with the truth: Dice, 95th percentile of the Hausdorff distance, average surface distance, volumes.
///
/// Two label files or two folders of them (paired by name), or `-m MODEL DATASET.json` (as the Medical Segmentation
/// Decathlon writes it).
#[derive(Debug, Args)]
pub(super) struct Evaluate {
    /// Dataset whose labelled cases the model is run on; or, with TRUTHS, a label file to judge or a folder of such.
    #[arg(value_name = "DATASET.json|PREDICTIONS", required_unless_present = "prediction")]
    dataset: Option<PathBuf>,
    /// Labels that are right: a file, or a folder with files of the same names.
    #[arg(value_name = "TRUTHS")]
    truths: Option<PathBuf>,
    /// Model package; with --prediction it gives the names of the labels.
    #[arg(short, long)]
    model: Option<PathBuf>,
    /// Labels to judge.
    #[arg(long, value_name = "P", requires = "truth", conflicts_with = "dataset")]
    prediction: Option<PathBuf>,
    /// Labels that are right.
    #[arg(long, value_name = "T", requires = "prediction")]
    truth: Option<PathBuf>,
    /// List of the dataset to use [default: its validation cases, or its training cases if there are no others].
    #[arg(long, requires = "dataset", conflicts_with = "truths")]
    split: Option<Split>,
    /// Use the cases of this fold, where the dataset sorts its cases into folds.
    #[arg(long, value_name = "K", requires = "dataset", conflicts_with = "split")]
    fold: Option<u32>,
    /// Judge regions, labels together, instead of single labels: `training` for those of the model's training, `brats-monai`,
    /// `brats-monai-2023`, `brats-nnunet`, or a list as in WT=1,2,4;TC=1,4;ET=4.
    #[arg(long, value_name = "REGIONS", value_parser = regions::parse)]
    regions: Option<Regions>,
    #[command(flatten)]
    inference: InferenceArgs,
    /// Which affine of the files to use where their two disagree.
    #[arg(long, default_value = "auto")]
    form: FormArg,
    #[command(flatten)]
    device: DeviceArgs,
    /// Replace the truth's values before comparing, as `data.relabel` did in the model's training
    /// [default: training for a dataset, none for two files].
    #[arg(long, requires = "model")]
    relabel: Option<Relabel>,
    /// Also write the figures to a file.
    #[arg(short, long, value_name = "OUT.csv|OUT.json")]
    output: Option<PathBuf>,
    /// Replace the file if it exists.
    #[arg(long)]
    force: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Split {
    Training,
    Validation,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Relabel {
    Training,
    None,
}

impl Evaluate {
    pub fn run(&self) -> Result<(), CliError> {
        let predictions = self.prediction.as_ref().or(self.truths.as_ref().and(self.dataset.as_ref()));
        let (scores, failures) = match (predictions, self.truth.as_ref().or(self.truths.as_ref())) {
            (Some(predictions), Some(truths)) => match (predictions.is_dir(), truths.is_dir()) {
                (true, true) => self.folders(predictions, truths)?,
                (false, false) => (self.files(predictions, truths)?, Vec::new()),
                _ => {
                    let (p, t) = (predictions.display(), truths.display());
                    return Err(CliError::usage(format!("{p} and {t}: two files or two folders are needed")));
                }
            },
            _ => match (&self.dataset, &self.model) {
                (Some(dataset), Some(model)) => self.over_dataset(dataset, model)?,
                (Some(dataset), None) => {
                    return Err(CliError::usage(format!(
                        "{}: give --model to run it on a dataset, or a second file or folder with the truth",
                        dataset.display()
                    )));
                }
                _ => return Err(CliError::usage("give --prediction and --truth, or --model and a dataset")),
            },
        };
        match failures.first() {
            Some(first) if scores.rows.is_empty() => {
                return Err(CliError::failed(format!("no case could be evaluated: {first}")));
            }
            None if scores.rows.is_empty() => {
                note("note: neither file has a label but 0: both are empty, and there is nothing to compare");
            }
            _ => {}
        }
        let mut value = scores.json();
        value["failures"] = json!(failures);
        // Printed first: a file that cannot be written must not cost what took hours.
        let printed = match self.json {
            true => print_json(&value),
            false => print(&scores.text()),
        };
        self.write(&scores, &value)?;
        match failures.len() {
            0 => printed,
            n => {
                Err(CliError::failed(format!("{n} case(s) failed and are not in the figures: {}", failures.join("; "))))
            }
        }
    }

    /// Checks the output's name and that none of `inputs` would be overwritten.
    fn outputs(&self, inputs: &[&Path]) -> Result<Outputs, CliError> {
        let mut outputs = Outputs::new(self.force, inputs);
        if let Some(path) = &self.output {
            let name = files::file_name(path).to_ascii_lowercase();
            if !name.ends_with(".csv") && !name.ends_with(".json") {
                return Err(CliError::usage(format!(
                    "--output {}: the name must end in .csv or .json",
                    path.display()
                )));
            }
            outputs.plan("--output", path)?;
        }
        Ok(outputs)
    }

    fn write(&self, scores: &Scores, value: &serde_json::Value) -> Result<(), CliError> {
        let Some(path) = &self.output else {
            return Ok(());
        };
        let inputs = [&self.prediction, &self.truth, &self.dataset, &self.truths, &self.model];
        let inputs: Vec<&Path> = inputs.into_iter().filter_map(|p| p.as_deref()).collect();
        let mut outputs = self.outputs(&inputs)?;
        let text = match files::file_name(path).to_ascii_lowercase().ends_with(".csv") {
            true => scores.csv(),
            false => serde_json::to_string_pretty(value)? + "\n",
        };
        outputs.stage_bytes(path, text.as_bytes())?;
        outputs.commit()
    }

    /// Compares the files of two folders; a case that fails is told and does not stop the others.
    fn folders(&self, predictions: &Path, truths: &Path) -> Result<(Scores, Vec<String>), CliError> {
        let Pairs { pairs, missing, extra } = Pairs::of_folders(predictions, truths)?;
        let mut inputs: Vec<&Path> = pairs.iter().flat_map(|(_, p, t)| [p.as_path(), t.as_path()]).collect();
        inputs.extend(self.model.as_deref());
        self.outputs(&inputs)?;
        if !extra.is_empty() {
            note(format!("warning: {} prediction(s) have no truth and are left out: {}", extra.len(), some(&extra)));
        }
        let mut failures: Vec<String> = missing.iter().map(|name| format!("{name}: no prediction")).collect();
        let (mut scores, names) = self.begun()?;
        for (i, (name, prediction, truth)) in pairs.iter().enumerate() {
            note(format!("case {}/{}  {name}", i + 1, pairs.len()));
            if let Err(e) = self.pair(name, prediction, truth, &names, &mut scores) {
                let why = format!("{name}: {}", e.chain());
                note(format!("warning: {why}"));
                failures.push(why);
            }
        }
        Ok((scores, failures))
    }

    /// The regions to judge; none: every label by itself.
    fn regions(&self, model: Option<&Metadata>) -> Result<Vec<Region>, CliError> {
        self.regions.as_ref().map_or(Ok(Vec::new()), |regions| regions.resolve(model))
    }

    fn files(&self, prediction: &Path, truth: &Path) -> Result<Scores, CliError> {
        let mut inputs = vec![prediction, truth];
        inputs.extend(self.model.as_deref());
        self.outputs(&inputs)?;
        let (mut scores, names) = self.begun()?;
        self.pair(&dataset::stem(prediction), prediction, truth, &names, &mut scores)?;
        Ok(scores)
    }

    /// Scores of label files with nothing in them yet, and the names that the model has for labels.
    fn begun(&self) -> Result<(Scores, Vec<LabelName>), CliError> {
        let model = self.model.as_deref().map(files::model).transpose()?;
        let metadata = model.as_ref().map(Package::metadata);
        let names = metadata.map_or_else(Vec::new, names_of);
        let (relabel, regions) = (self.relabels(metadata, Relabel::None)?, self.regions(metadata)?);
        Ok((Scores { relabel, regions, ..Scores::default() }, names))
    }

    /// Compares two label files.
    fn pair(
        &self,
        name: &str,
        prediction: &Path,
        truth: &Path,
        names: &[LabelName],
        scores: &mut Scores,
    ) -> Result<(), CliError> {
        let options = StudyOptions { nifti: self.form.read_options(), ..StudyOptions::default() };
        let (p, mut t) = (scans::labels(prediction, &options)?, scans::labels(truth, &options)?);
        replace(&mut t.labels, &scores.relabel);
        let [p, t] = scans::on_one_grid([(p, prediction), (t, truth)])?;
        let mut classes: Vec<u32> = p.counts().into_keys().chain(t.counts().into_keys()).collect();
        classes.extend(names.iter().map(|n| u32::from(n.value)));
        score(scores, name.to_owned(), &p, &t, classes, names)
    }

    /// Runs the model on every case; a case that fails is told and does not stop the others.
    fn over_dataset(&self, path: &Path, model: &Path) -> Result<(Scores, Vec<String>), CliError> {
        self.outputs(&[path, model])?;
        let (list, dataset, cases) = self.cases(path)?;
        let package = files::model(model)?;
        let metadata = package.metadata();
        let mut relabel = self.relabels(Some(metadata), Relabel::Training)?;
        let order = agreement::channel_order(&dataset, metadata)?;
        if order.as_ref().is_some_and(|order| !order.is_sorted()) {
            let names = |names: &[String]| names.join(", ");
            let (theirs, ours) = (names(&dataset.channels), names(&metadata.input.channels));
            fact("channels", format!("dataset.json has {theirs}: they are put into the model's order {ours}"));
        }
        let renamed = agreement::label_values(&dataset, metadata, &relabel)?;
        if !renamed.is_empty() {
            let list = renamed.iter().map(|(old, new)| format!("{old} -> {new}")).collect::<Vec<_>>().join(", ");
            fact("truth", format!("values replaced by the names in dataset.json and in the model: {list}"));
            relabel = renamed;
        }
        let gpu = self.device.open()?;
        fact("adapter", gpu.adapter().to_string());
        fact("model", format!("{} {}", package.metadata().name, package.metadata().version));
        fact("dataset", format!("{}, {} case(s) of its list \"{list}\"", path.display(), cases.len()));
        let mut segmenter = pollster::block_on(Segmenter::new(&gpu, &package, self.inference.segment_options()))?;
        let names = names_of(package.metadata());
        let regions = self.regions(Some(package.metadata()))?;
        let (mut scores, mut failures) = (Scores { relabel, regions, ..Scores::default() }, Vec::new());
        for (i, case) in cases.iter().enumerate() {
            note(format!("case {}/{}  {}", i + 1, cases.len(), case.name));
            if let Err(e) = self.case(&mut segmenter, case, (&names, order.as_deref()), &mut scores) {
                let why = format!("{}: {}", case.name, e.chain());
                note(format!("warning: {why}"));
                failures.push(why);
            }
        }
        let preprocess = &segmenter.metadata().input.preprocess;
        let mixed = preprocess.mixed(scores.grids.iter().map(|(codes, spacing)| (codes.as_str(), *spacing)));
        warn_all("dataset", &mixed);
        scores.notes.extend(mixed);
        Ok((scores, failures))
    }

    /// What the truth's values become; told, because it changes what is compared.
    fn relabels(&self, model: Option<&Metadata>, default: Relabel) -> Result<BTreeMap<u16, u16>, CliError> {
        let map = model.map(relabelled).transpose()?.unwrap_or_default();
        if map.is_empty() {
            return match self.relabel {
                Some(Relabel::Training) => Err(CliError::usage(
                    "--relabel training: the model's package has no data.relabel of its training; leave the option out",
                )),
                _ => Ok(map),
            };
        }
        // Atlases have hundreds.
        let first = map.iter().take(5).map(|(old, new)| format!("{old} -> {new}")).collect::<Vec<_>>().join(", ");
        let list = match map.len().saturating_sub(5) {
            0 => first,
            more => format!("{first} and {more} more"),
        };
        if self.relabel.unwrap_or(default) == Relabel::None {
            note(format!("truth values are taken as they are; in the model's training {list} (--relabel training)"));
            return Ok(BTreeMap::new());
        }
        fact("truth", format!("values replaced as in the model's training (or --relabel none): {list}"));
        Ok(map)
    }

    /// The dataset, the cases asked for and the name of their list.
    fn cases(&self, path: &Path) -> Result<(&'static str, Dataset, Vec<Case>), CliError> {
        let dataset = Dataset::read(path)?;
        let dataset = match self.fold {
            Some(fold) => dataset.with_fold(fold)?,
            None => dataset,
        };
        let (training, validation) = (dataset.training.clone(), dataset.validation.clone());
        let (list, cases) = match self.split {
            Some(Split::Training) => ("training", training),
            None if validation.is_empty() => ("training", training),
            Some(Split::Validation) | None => ("validation", validation),
        };
        match cases.is_empty() {
            true => Err(DatasetError::NoCases { path: path.into(), list: list.into() }.into()),
            false => Ok((list, dataset, cases)),
        }
    }

    fn case(
        &self,
        segmenter: &mut Segmenter,
        case: &Case,
        (names, order): (&[LabelName], Option<&[usize]>),
        scores: &mut Scores,
    ) -> Result<(), CliError> {
        let options = StudyOptions { nifti: self.form.read_options(), ..StudyOptions::default() };
        let mut study = scans::read(&case.images, &options)?;
        scans::check_channels(&study, segmenter.metadata())?;
        match order {
            Some(order) => study.arrange_as(order, &segmenter.metadata().input.channels)?,
            None => scans::arrange(&mut study, segmenter.metadata())?,
        }
        let mut truth = scans::labels(&case.label, &options)?;
        replace(&mut truth.labels, &scores.relabel);
        let image = case.images.first().map_or(Path::new(""), PathBuf::as_path);
        let truth = scans::on_grid(truth, &case.label, &study.grid(), image)?;
        let prepared = segmenter.prepare(&study.volume)?;
        let seen = &prepared.volume.affine;
        scores.grids.push((seen.axis_codes(), seen.spacing()));
        let result = run_windows(segmenter, &prepared)?;
        let unknown = truth.counts().into_keys().filter(|v| *v != 0 && !names.iter().any(|n| u32::from(n.value) == *v));
        for value in unknown {
            note(format!("warning: {}: the truth has label {value}, which the model does not know", case.name));
        }
        let classes = names.iter().map(|n| u32::from(n.value)).collect();
        score(scores, case.name.clone(), &result.labels.widen(), &truth, classes, names)
    }
}

/// The map of label values that a model's training recipe has.
pub(super) fn relabelled(metadata: &Metadata) -> Result<BTreeMap<u16, u16>, CliError> {
    let recipe = metadata.training.get("recipe");
    match recipe.and_then(|r| r.get("data")?.get("relabel")) {
        None => Ok(BTreeMap::new()),
        Some(map) => serde_json::from_value(map.clone())
            .map_err(|e| CliError::failed(format!("training.recipe.data.relabel of the model package is {map}: {e}"))),
    }
}

pub(super) fn replace(labels: &mut LabelMap<u32>, map: &BTreeMap<u16, u16>) {
    if map.is_empty() {
        return;
    }
    for value in &mut labels.data {
        let new = u16::try_from(*value).ok().and_then(|old| map.get(&old));
        *value = new.map_or(*value, |new| u32::from(*new));
    }
}

/// The first of many names.
fn some(names: &[String]) -> String {
    let first = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > 5 { format!("{first}, ...") } else { first }
}

fn names_of(metadata: &Metadata) -> Vec<LabelName> {
    label_names(&metadata.output, metadata.network.out_channels())
}

fn score(
    scores: &mut Scores,
    case: String,
    prediction: &LabelMap<u32>,
    truth: &LabelMap<u32>,
    mut classes: Vec<u32>,
    names: &[LabelName],
) -> Result<(), CliError> {
    classes.retain(|&c| c != 0);
    classes.sort_unstable();
    classes.dedup();
    let (dims, spacing, voxel) = (truth.dims, truth.affine.spacing(), truth.affine.voxel_mm3());
    if dims.contains(&1) {
        let text = format!("{case}: one of its axes has one voxel: distances are those of the flat masks");
        note(&text);
        scores.notes.push(text);
    }
    if !scores.regions.is_empty() {
        for (at, region) in scores.regions.iter().enumerate() {
            let masks = [&prediction.data, &truth.data].map(|data| regions::mask(data, region));
            let made = metrics::evaluate(&masks[0], &masks[1], dims, spacing, voxel, &[1]).about(case.clone())?;
            scores.rows.extend(made.into_iter().map(|metrics| {
                let class = u32::try_from(at + 1).unwrap_or(u32::MAX);
                Score { case: case.clone(), label: region.name.clone(), metrics: ClassMetrics { class, ..metrics } }
            }));
        }
        return Ok(());
    }
    let all = metrics::evaluate(&prediction.data, &truth.data, dims, spacing, voxel, &classes).about(case.clone())?;
    scores.rows.extend(all.into_iter().map(|metrics| {
        let named = names.iter().find(|n| u32::from(n.value) == metrics.class);
        let label = named.map_or_else(|| format!("class_{}", metrics.class), |n| n.name.clone());
        Score { case: case.clone(), label, metrics }
    }));
    Ok(())
}

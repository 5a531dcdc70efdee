//! `unetr segment --batch`: many scans, the model loaded once, one report.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::batch::{BatchCase, cases};
use super::console::{duration, fact, note, print, print_json};
use super::error::{CliError, Context};
use super::files;
use super::output::Outputs;
use super::segment::{Moment, Segment, Session};
use super::segment_files::Paths;
use super::signals;
use super::table::Table;
use crate::report::NOTICE;
use crate::report::statistics::csv_row;
use crate::weights::Package;

/// How a case ended.
#[derive(Clone, Copy, PartialEq)]
enum Status {
    Done,
    /// It was there already, made by the same model with the same settings.
    Kept,
    Failed,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Kept => "kept",
            Self::Failed => "failed",
        }
    }
}

/// One line of the report.
struct Row {
    case: String,
    status: Status,
    output: PathBuf,
    seconds: f64,
    error: Option<String>,
    labels: Value,
}

pub(super) fn run(segment: &Segment, list: &Path) -> Result<(), CliError> {
    let folder = segment.output();
    let all = cases(list)?;
    if folder.exists() && !folder.is_dir() {
        return Err(CliError::usage(format!("--output {}: with --batch a folder is needed", folder.display())));
    }
    let package = files::model_of(&segment.model, &segment.folder)?;
    let gpu = segment.device.open()?;
    std::fs::create_dir_all(folder).at(folder)?;
    fact("adapter", gpu.adapter().to_string());
    fact("batch", format!("{}: {} scan(s) to {}", list.display(), all.len(), folder.display()));
    let mut session = segment.session(&gpu, &package, segment.postprocess(&package)?)?;
    let before = earlier(folder);
    let mut report = Report { folder, rows: Vec::new(), model: package.sha256() };
    signals::end_gently();
    for (at, case) in all.iter().enumerate() {
        if signals::asked_to_end() {
            break;
        }
        note(format!("case {}/{}  {}", at + 1, all.len(), case.name));
        let row = one(segment, &mut session, case, (&package, &before));
        // What a signal cut short is no failure of the scan.
        if signals::asked_to_end() && row.status == Status::Failed {
            break;
        }
        if let Some(error) = &row.error {
            note(format!("warning: {}: {error}", case.name));
        }
        report.rows.push(row);
        report.write()?;
    }
    report.tell(segment.json, all.len())
}

/// Segments a case unless that was done; a failure is the row's.
fn one(segment: &Segment, session: &mut Session<'_>, case: &BatchCase, (package, before): (&Package, &Value)) -> Row {
    let output = segment.output().join(format!("{}.nii.gz", case.name));
    let mut row = Row {
        case: case.name.clone(),
        status: Status::Failed,
        output: output.clone(),
        seconds: 0.0,
        error: None,
        labels: Value::Null,
    };
    let started = Moment::now();
    let mut work = || -> Result<(), CliError> {
        let settings = session.settings();
        if output.exists() && !segment.force {
            return match made_by(&output, case, &settings) {
                true => {
                    row.status = Status::Kept;
                    row.labels = before[&case.name]["labels"].clone();
                    Ok(())
                }
                false => Err(CliError::failed(format!(
                    "{} exists and is not of this scan, model and settings; --force replaces it",
                    output.display()
                ))),
            };
        }
        let mut inputs: Vec<&Path> = case.scans.iter().map(PathBuf::as_path).collect();
        inputs.push(&segment.model);
        // A record without labels is of a run that was cut short.
        let mut outputs = Outputs::new(segment.force, &inputs);
        let paths = Paths::new(&output, [&None; 6])?;
        let sidecar = paths.plan(&mut outputs)?;
        session.plan_split(&paths, &mut outputs)?;
        let scans = segment.read(&case.scans, package.metadata())?;
        let done = segment.one(session, (&scans, None, None), (&paths, sidecar, outputs), Moment::now())?;
        row.status = Status::Done;
        row.labels = Value::Object(done.statistics.to_object());
        Ok(())
    };
    if let Err(error) = work() {
        row.error = Some(error.chain());
    }
    row.seconds = started.seconds();
    row
}

/// Whether the labels that are there were made of this scan with these settings.
fn made_by(output: &Path, case: &BatchCase, settings: &Value) -> bool {
    let name = files::file_name(output);
    let sidecar = output.with_file_name(name.replace(".nii.gz", ".json"));
    let Some(record) = std::fs::read(sidecar).ok().and_then(|b| serde_json::from_slice::<Value>(&b).ok()) else {
        return false;
    };
    let names: Vec<String> = case.scans.iter().map(|path| files::file_name(path)).collect();
    let mut found: Vec<String> = record["inputs"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|input| Some(input["file"].as_str()?.to_owned()))
        .collect();
    found.dedup();
    let same_files = names.iter().all(|name| found.contains(name)) && !found.is_empty();
    let part = |key: &str, of: &str| record[key][of].clone();
    let mut postprocessing = record["postprocessing"].clone();
    for step in postprocessing.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        step.retain(|key, _| !key.starts_with("removed"));
    }
    same_files
        && part("model", "sha256") == settings["model"]
        && settings["inference"].as_object().is_some_and(|all| all.iter().all(|(key, v)| part("inference", key) == *v))
        && (postprocessing == settings["postprocessing"]
            || (postprocessing.is_null() && settings["postprocessing"] == json!([])))
}

/// The cases of an earlier run's report, by name.
fn earlier(folder: &Path) -> Value {
    let report = std::fs::read(folder.join("report.json")).ok();
    let report = report.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()).unwrap_or_default();
    let cases = report["cases"].as_array().cloned().unwrap_or_default();
    Value::Object(cases.into_iter().filter_map(|c| Some((c["case"].as_str()?.to_owned(), c))).collect())
}

struct Report<'a> {
    folder: &'a Path,
    rows: Vec<Row>,
    model: String,
}

impl Report<'_> {
    fn count(&self, status: Status) -> usize {
        self.rows.iter().filter(|row| row.status == status).count()
    }

    fn json(&self) -> Value {
        let row = |r: &Row| {
            json!({
                "case": r.case, "status": r.status.name(), "output": files::file_name(&r.output), "seconds": r.seconds,
                "error": r.error, "labels": r.labels,
            })
        };
        let rows: Vec<Value> = self.rows.iter().map(row).collect();
        json!({"notice": NOTICE, "model_sha256": self.model, "cases": rows})
    }

    fn csv(&self) -> String {
        let mut text = String::from("case,status,label,label_value,voxels,volume_ml,seconds,error\n");
        for r in &self.rows {
            let ends = [format!("{:.3}", r.seconds), r.error.clone().unwrap_or_default()];
            let mut line = |label: [String; 4]| {
                let mut fields = vec![r.case.clone(), r.status.name().to_owned()];
                fields.extend(label);
                fields.extend(ends.clone());
                text.push_str(&csv_row(&fields));
            };
            match r.labels.as_object() {
                Some(labels) if !labels.is_empty() => labels.values().for_each(|l| {
                    let plain = |key: &str| l[key].as_str().map_or_else(|| l[key].to_string(), str::to_owned);
                    line(["name", "value", "voxels", "volume_ml"].map(plain));
                }),
                _ => line(Default::default()),
            }
        }
        text
    }

    /// Writes what is known so far, so that a run that is killed leaves a report too.
    fn write(&self) -> Result<(), CliError> {
        let mut outputs = Outputs::new(true, &[]);
        outputs.stage_bytes(&self.folder.join("report.csv"), self.csv().as_bytes())?;
        let text = serde_json::to_string_pretty(&self.json())? + "\n";
        outputs.stage_bytes(&self.folder.join("report.json"), text.as_bytes())?;
        outputs.commit()
    }

    fn tell(&self, json: bool, all: usize) -> Result<(), CliError> {
        let [done, kept, failed] = [Status::Done, Status::Kept, Status::Failed].map(|s| self.count(s));
        let seconds: f64 = self.rows.iter().map(|r| r.seconds).sum();
        let report = self.folder.join("report.csv");
        note(format!(
            "done       {done} scan(s) in {}, {kept} kept, {failed} failed; {}",
            duration(seconds),
            report.display()
        ));
        note(NOTICE);
        match json {
            true => print_json(&self.json())?,
            false => {
                let mut table = Table::new(&["case", "status", "seconds", "error"]);
                for r in &self.rows {
                    let error = r.error.clone().unwrap_or_default();
                    table.row([r.case.clone(), r.status.name().to_owned(), format!("{:.1}", r.seconds), error]);
                }
                print(&table.render())?;
            }
        }
        if self.rows.len() < all {
            let left = all - self.rows.len();
            return Err(CliError::failed(format!(
                "stopped with {left} scan(s) left: the same command goes on with them"
            )));
        }
        match failed {
            0 => Ok(()),
            n => Err(CliError::failed(format!("{n} of {all} scans failed: see {}", report.display()))),
        }
    }
}

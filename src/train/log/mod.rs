//! The records of a training run: numbers as JSON lines and as TensorBoard events, and a report to read.
//!
//! | file in the run folder | holds |
//! | --- | --- |
//! | `metrics.jsonl` | every [`Event`], one JSON object per line |
//! | `events.out.tfevents.*` | the same numbers and pictures for TensorBoard, one file per session |
//! | `overlays/*.png` | pictures of the best and of the latest validation |
//! | `report.html` | curves, scores and pictures in one file, made from the others |
//!
//! [`RunLog`] writes them while a run goes on. After a kill they lack at most the last record; [`RunLog::resume`] drops
//! what came after the checkpoint, so that no step is recorded twice.

mod error;
mod file;
mod history;
mod jsonl;
mod number;
mod overlay;
pub mod records;
mod report;
mod scalars;
mod summary;
mod tensorboard;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

pub use error::LogError;
pub use jsonl::{Line, METRICS, read};
pub use overlay::{OVERLAYS, Overlay};
pub use records::{
    CaseRecord, CheckpointRecord, ClassRecord, Event, Outcome, OverlayRecord, Resume, Start, StepRecord, Stop,
    ValidationRecord, Warning,
};
pub use report::{REPORT, write_report};
pub use summary::Summary;

use history::History;
use tensorboard::{Events, Shown};

use crate::report::provenance::rfc3339;

/// Writes the records of a run.
///
/// Files are opened for each record and never rewritten while the run goes on; only the report is replaced, as a whole.
#[derive(Debug)]
pub struct RunLog {
    run: PathBuf,
    metrics: PathBuf,
    events: Events,
    history: History,
}

impl RunLog {
    /// Begins the records of a new run; makes the folder where it is missing.
    ///
    /// # Errors
    /// [`LogError::Exists`] if the folder holds the records of a run; [`LogError::Write`].
    pub fn create(run: &Path, start: &Start) -> Result<Self, LogError> {
        std::fs::create_dir_all(run).map_err(LogError::write(run))?;
        let metrics = run.join(METRICS);
        let line = line(Event::Start(start.clone()));
        file::create(&metrics, &jsonl::encode(&line)?)?;
        let events = Events::begin(run, 0, seconds_now()).inspect_err(|_| {
            // So that another try does not find a run.
            let _ = std::fs::remove_file(&metrics);
        })?;
        let mut history = History::default();
        history.add(line);
        Ok(Self { run: run.to_owned(), metrics, events, history })
    }

    /// Goes on after a checkpoint: records after its `step`, and validations after the step `validated`, are dropped, since
    /// they will be made again.
    ///
    /// # Errors
    /// [`LogError::Read`] or [`LogError::Line`] if the records cannot be read, [`LogError::Write`]; they are left as
    /// they are.
    pub fn resume(run: &Path, step: u64, validated: u64) -> Result<Self, LogError> {
        let metrics = run.join(METRICS);
        jsonl::rewind(&metrics, step, validated)?;
        let history = History::read(run)?;
        let events = Events::begin(run, step.saturating_add(1), seconds_now())?;
        let mut log = Self { run: run.to_owned(), metrics, events, history };
        log.event(Event::Resume(Resume { step, version: env!("CARGO_PKG_VERSION").to_owned() }))?;
        Ok(log)
    }

    /// Records a step.
    ///
    /// # Errors
    /// [`LogError::Write`].
    pub fn step(&mut self, record: &StepRecord) -> Result<(), LogError> {
        self.event(Event::Step(record.clone()))?;
        self.events.add(record.step, seconds_now(), &scalars::of_step(record))
    }

    /// Records a validation with its pictures, and makes the report anew. Only the best and the latest validation keep
    /// their pictures.
    ///
    /// # Errors
    /// [`LogError::Picture`] if a picture is no PNG, [`LogError::Write`].
    pub fn validation(&mut self, record: &ValidationRecord, overlays: &[Overlay]) -> Result<(), LogError> {
        let mut record = record.clone();
        record.overlays = overlay::save(&self.run, record.step, overlays)?;
        let mut values = scalars::of_validation(&record);
        for picture in overlays {
            values.push((format!("overlay/{}", picture.title), Shown::Picture(picture.size()?, &picture.png)));
        }
        let step = record.step;
        self.event(Event::Validation(record))?;
        self.events.add(step, seconds_now(), &values)?;
        overlay::remove(&self.run, &self.history.outdated());
        report::write(&self.run, &self.history)
    }

    /// Records anything else.
    ///
    /// # Errors
    /// [`LogError::Write`].
    pub fn event(&mut self, event: Event) -> Result<(), LogError> {
        let line = line(event);
        file::append(&self.metrics, &jsonl::encode(&line)?)?;
        self.history.add(line);
        Ok(())
    }

    /// Waits until all records are on the disk: to be called before a checkpoint is written, so that not even a power cut
    /// leaves a checkpoint without the records before it.
    ///
    /// # Errors
    /// [`LogError::Write`].
    pub fn sync(&self) -> Result<(), LogError> {
        file::sync(&self.metrics)
    }

    /// Records the end, and makes the last report.
    ///
    /// # Errors
    /// [`LogError::Write`].
    pub fn finish(mut self, stop: Stop) -> Result<(), LogError> {
        self.event(Event::Stop(stop))?;
        self.sync()?;
        report::write(&self.run, &self.history)
    }
}

/// Seconds since 1970-01-01 UTC.
fn seconds_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

fn line(event: Event) -> Line {
    Line { time: rfc3339(seconds_now() as u64), event }
}

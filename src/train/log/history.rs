//! A run as its records tell it, in as little memory as the report needs.

use std::collections::BTreeMap;
use std::path::Path;

use super::jsonl::{self, Line};
use super::records::{Event, OverlayRecord, Start, StepRecord, Stop, ValidationRecord};
use super::{LogError, METRICS};

/// A step's figures that are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub step: u64,
    pub loss: f64,
    pub learning_rate: f64,
    pub gradient_norm: f64,
    pub cases_per_second: f64,
}

/// Everything recorded so far.
#[derive(Debug, Default)]
pub(super) struct History {
    pub start: Option<Start>,
    /// Ascending by step.
    pub steps: Vec<Point>,
    pub last: Option<StepRecord>,
    pub validations: BTreeMap<u64, ValidationRecord>,
    /// Steps, times and words of what the user should know.
    pub notes: Vec<Note>,
    /// How many [`Note`]s beyond [`NOTES`] were dropped.
    pub notes_dropped: usize,
    /// How the run ended, unless it went on since.
    pub stop: Option<Stop>,
    /// Times of the first and the last line.
    pub times: Option<[String; 2]>,
}

/// A warning, a session's begin or end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub step: u64,
    pub time: String,
    pub kind: &'static str,
    pub text: String,
}

/// More notes than anybody reads; the oldest and the latest are kept.
const NOTES: usize = 60;

impl History {
    pub fn read(run: &Path) -> Result<Self, LogError> {
        let mut history = Self::default();
        jsonl::read(&run.join(METRICS), |line| history.add(line))?;
        Ok(history)
    }

    pub fn add(&mut self, line: Line) {
        let Line { time, event } = line;
        match &mut self.times {
            Some([_, last]) => last.clone_from(&time),
            None => self.times = Some([time.clone(), time.clone()]),
        }
        match event {
            Event::Start(start) => self.start = Some(start),
            Event::Step(record) => self.add_step(record),
            // A validation made again replaces the one before.
            Event::Validation(record) => {
                self.validations.insert(record.step, record);
            }
            Event::Checkpoint(_) => {}
            Event::Resume(resume) => {
                self.stop = None;
                let text = format!("goes on with version {}", resume.version);
                self.note(Note { step: resume.step, time, kind: "resumed", text });
            }
            Event::Warning(warning) => {
                self.note(Note { step: warning.step, time, kind: "warning", text: warning.message });
            }
            Event::Stop(stop) => {
                let kind = stop.outcome.name();
                self.note(Note { step: stop.step, time, kind, text: stop.reason.clone() });
                self.stop = Some(stop);
            }
        }
    }

    fn add_step(&mut self, record: StepRecord) {
        let point = Point {
            step: record.step,
            loss: record.loss,
            learning_rate: record.learning_rate,
            gradient_norm: record.gradient_norm,
            cases_per_second: record.cases_per_second,
        };
        // In order but for files put together by hand; a step made again replaces the one before.
        match self.steps.last() {
            Some(last) if last.step >= point.step => match self.steps.binary_search_by_key(&point.step, |p| p.step) {
                Ok(at) => self.steps[at] = point,
                Err(at) => self.steps.insert(at, point),
            },
            _ => self.steps.push(point),
        }
        if self.last.as_ref().is_none_or(|last| last.step <= record.step) {
            self.last = Some(record);
        }
    }

    fn note(&mut self, note: Note) {
        self.notes.push(note);
        if self.notes.len() > NOTES {
            self.notes.remove(NOTES / 2);
            self.notes_dropped += 1;
        }
    }

    /// The validation with the highest mean Dice, the earliest of equals; `None` if none has a Dice.
    pub fn best(&self) -> Option<&ValidationRecord> {
        let scored = self.validations.values().filter(|v| !v.mean_dice.is_nan());
        scored.reduce(|best, v| if v.mean_dice > best.mean_dice { v } else { best })
    }

    pub fn latest(&self) -> Option<&ValidationRecord> {
        self.validations.values().next_back()
    }

    /// Pictures that neither the best nor the latest validation has.
    pub fn outdated(&self) -> Vec<&OverlayRecord> {
        let kept: Vec<&OverlayRecord> =
            [self.best(), self.latest()].into_iter().flatten().flat_map(|v| &v.overlays).collect();
        let all = self.validations.values().flat_map(|v| &v.overlays);
        all.filter(|o| !kept.iter().any(|k| k.file == o.file)).collect()
    }

    pub fn last_step(&self) -> u64 {
        let of = [
            self.steps.last().map(|p| p.step),
            self.latest().map(|v| v.step),
            self.stop.as_ref().map(|s| s.step),
            self.notes.iter().map(|n| n.step).max(),
        ];
        of.into_iter().flatten().max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::log::records::{Outcome, Resume, Warning};

    fn history(events: impl IntoIterator<Item = Event>) -> History {
        let mut history = History::default();
        for (i, event) in events.into_iter().enumerate() {
            history.add(Line { time: i.to_string(), event });
        }
        history
    }

    fn step(step: u64, loss: f64) -> Event {
        Event::Step(StepRecord { step, loss, ..StepRecord::default() })
    }

    fn validation(step: u64, mean_dice: f64, file: &str) -> Event {
        let overlays = vec![OverlayRecord { file: file.into(), ..OverlayRecord::default() }];
        Event::Validation(ValidationRecord { step, mean_dice, overlays, ..ValidationRecord::default() })
    }

    #[test]
    fn what_is_made_again_replaces_what_was() {
        let h = history([step(1, 1.0), step(2, 2.0), step(4, 4.0), step(2, 5.0), step(3, 3.0), step(5, 6.0)]);
        let steps: Vec<_> = h.steps.iter().map(|p| (p.step, p.loss)).collect();
        assert_eq!(steps, [(1, 1.0), (2, 5.0), (3, 3.0), (4, 4.0), (5, 6.0)]);
        assert_eq!((h.last.map(|l| l.step), h.times), (Some(5), Some(["0".into(), "5".into()])));
    }

    #[test]
    fn the_earliest_of_the_best_counts_and_its_pictures_stay() {
        let nan = f64::NAN;
        let h = history([
            validation(1, nan, "a"),
            validation(2, 0.5, "b"),
            validation(3, 0.7, "c"),
            validation(4, 0.7, "d"),
            validation(5, nan, "e"),
        ]);
        assert_eq!((h.best().map(|v| v.step), h.latest().map(|v| v.step)), (Some(3), Some(5)));
        assert_eq!(h.outdated().iter().map(|o| o.file.as_str()).collect::<Vec<_>>(), ["a", "b", "d"]);
        assert_eq!(history([validation(1, nan, "a")]).best(), None);
    }

    #[test]
    fn a_run_that_goes_on_has_not_ended() {
        let stop = Stop { step: 2, outcome: Outcome::Interrupted, reason: "asked to".into() };
        let ended = history([step(2, 1.0), Event::Stop(stop.clone())]);
        assert_eq!(ended.stop, Some(stop.clone()));
        let on = history([step(2, 1.0), Event::Stop(stop), Event::Resume(Resume { step: 2, version: "1".into() })]);
        assert_eq!((on.stop, on.notes.len()), (None, 2));
        let warnings = (0..100).map(|step| Event::Warning(Warning { step, message: String::new() }));
        let many = history(warnings);
        assert_eq!((many.notes.len(), many.notes_dropped), (NOTES, 100 - NOTES));
        assert_eq!((many.notes[0].step, many.notes[NOTES - 1].step), (0, 99));
    }
}

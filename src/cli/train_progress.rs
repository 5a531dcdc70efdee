//! What a training run tells, for people: a bar on a terminal, now and then a line elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::console::{bytes, duration, is_quiet, note};
use crate::train::log::{StepRecord, ValidationRecord};
use crate::train::run::TrainingEvent;

/// Lines come no faster than this.
const QUIET: Duration = Duration::from_secs(20);

pub(super) struct TrainProgress {
    bar: Option<ProgressBar>,
    told: Option<Instant>,
    total: u64,
}

impl TrainProgress {
    pub fn new() -> Self {
        let bar = (std::io::stderr().is_terminal() && !is_quiet()).then(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{prefix:10} {bar:24} {pos}/{len} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { bar, told: None, total: 0 }
    }

    pub fn tell(&mut self, told: &TrainingEvent<'_>) {
        match told {
            TrainingEvent::Recipe(recipe) => {
                self.total = recipe.run.steps;
                let m = &recipe.metadata;
                let [x, y, z] = m.inference.roi_size;
                self.line(&format!("recipe     {}: window {x} x {y} x {z}, {} steps", m.name, recipe.run.steps));
            }
            TrainingEvent::Preparing(done, of) => self.count("cases", *done, *of),
            TrainingEvent::Cases(training, validation, windows) => self.line(&format!(
                "cases      {training} to train on, {validation} to judge by; {windows} windows an epoch"
            )),
            TrainingEvent::Memory(m) => self.line(&format!(
                "memory     {} on the GPU: weights {}, moments and averages {}, activations {}",
                bytes(m.total()),
                bytes(m.weights),
                bytes(m.states),
                bytes(m.activations)
            )),
            TrainingEvent::Started(started) => {
                if started.taken > 0 {
                    self.line(&format!("start      {} tensors taken from the model", started.taken));
                    for (name, why) in &started.anew {
                        self.line(&format!("           {name} made anew: {why}"));
                    }
                }
            }
            TrainingEvent::Resumed(step) => self.line(&format!("resume     after step {step}")),
            TrainingEvent::Warning(text) => self.line(&format!("warning: {text}")),
            TrainingEvent::Step(record, left) => self.step(record, *left),
            TrainingEvent::Validating(done, of) => self.count("validate", *done, *of),
            TrainingEvent::Validated(record, best) => self.line(&validated(record, *best)),
            TrainingEvent::Saved(_) => {}
        }
    }

    fn step(&mut self, record: &StepRecord, left: f64) {
        let text = format!(
            "epoch {} loss {:.4} rate {:.2e} {:.2} windows/s, about {} left",
            record.epoch,
            record.loss,
            record.learning_rate,
            record.cases_per_second,
            duration(left)
        );
        if let Some(bar) = &self.bar {
            bar.set_prefix("step");
            bar.set_length(self.total);
            bar.set_position(record.step);
            bar.set_message(text);
        } else if self.told.is_none_or(|told| told.elapsed() >= QUIET) || record.step == self.total {
            self.told = Some(Instant::now());
            note(format!("step       {}/{} {text}", record.step, self.total));
        }
    }

    fn count(&self, what: &'static str, done: usize, of: usize) {
        if let Some(bar) = &self.bar {
            bar.set_prefix(what);
            bar.set_length(of as u64);
            bar.set_position(done as u64);
            bar.set_message("");
        }
    }

    /// A line that stays.
    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note(text)),
            None => note(text),
        }
    }

    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn validated(record: &ValidationRecord, best: bool) -> String {
    let classes: Vec<String> = record.classes.iter().map(|c| format!("{} {:.4}", c.name, c.dice.mean)).collect();
    let best = if best { "  (best so far)" } else { "" };
    format!("validation step {}: mean Dice {:.4}{best}: {}", record.step, record.mean_dice, classes.join(", "))
}

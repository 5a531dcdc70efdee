//! Windows done and time left: a bar on a terminal, now and then a line elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::console::{duration, is_quiet, note};
use crate::infer::Progress;

/// Lines come no faster than this, but for the last.
const QUIET: Duration = Duration::from_secs(2);

/// The progress of one run over a scan.
pub(super) struct WindowProgress {
    bar: Option<ProgressBar>,
    start: Instant,
    first: Option<Instant>,
    tenths: usize,
    told: Option<Instant>,
}

impl WindowProgress {
    pub fn new(total: usize) -> Self {
        let bar = (std::io::stderr().is_terminal() && !is_quiet()).then(|| {
            let bar = ProgressBar::new(total as u64);
            let style = ProgressStyle::with_template("windows    {bar:32} {pos}/{len} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { bar, start: Instant::now(), first: None, tenths: 0, told: None }
    }

    /// Seconds still needed; the first window also pays for compiling, so it counts only while it is all there is.
    fn left(&self, done: usize, total: usize) -> f64 {
        let per_window = match self.first {
            Some(first) if done > 1 => first.elapsed().as_secs_f64() / (done - 1) as f64,
            _ => self.start.elapsed().as_secs_f64() / done.max(1) as f64,
        };
        per_window * (total - done.min(total)) as f64
    }

    pub fn update(&mut self, Progress { done, total }: Progress) {
        let time = duration(self.left(done, total));
        let left = match total.saturating_sub(done) {
            0 => "all".to_owned(),
            _ if done == 1 => format!("at most {time} left"),
            _ => format!("about {time} left"),
        };
        self.first.get_or_insert_with(Instant::now);
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
            bar.set_message(left);
            return;
        }
        let tenths = 10 * done / total.max(1);
        let soon = self.told.is_some_and(|told| told.elapsed() < QUIET);
        if done == total || (!soon && (done == 1 || tenths > self.tenths)) {
            self.tenths = tenths;
            self.told = Some(Instant::now());
            note(format!("windows    {done}/{total}, {left}"));
        }
    }

    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

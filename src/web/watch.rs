//! A run's progress on its way to JavaScript, and when the run is worth saving.

use std::ops::ControlFlow;

use js_sys::{Array, Function, Uint8Array};
use wasm_bindgen::prelude::*;

use super::bench::now;
use crate::infer::{LabelBox, Observer, Progress};

/// Saving may cost one part in this many of the time it saves.
const SHARE: f64 = 20.0;
/// Sums larger than this are not saved: the tab has little memory, and they take its half.
const MOST_BYTES: u64 = 512 << 20;

/// Calls a function of JavaScript after each step; it may return true to stop, and what it throws stops too.
pub(super) struct Ticks<'a> {
    tick: &'a Function,
    thrown: Option<JsValue>,
}

impl<'a> Ticks<'a> {
    pub fn new(tick: &'a Function) -> Self {
        Self { tick, thrown: None }
    }

    pub fn call(&mut self) -> ControlFlow<()> {
        match self.tick.call0(&JsValue::NULL) {
            Ok(stop) if !stop.is_truthy() => return ControlFlow::Continue(()),
            Ok(_) => {}
            Err(error) => self.thrown = Some(error),
        }
        ControlFlow::Break(())
    }

    /// What JavaScript threw.
    pub fn check(self) -> Result<(), JsValue> {
        self.thrown.map_or(Ok(()), Err)
    }
}

/// Calls two functions of JavaScript; what they throw ends the run.
pub(super) struct Watch<'a> {
    progress: &'a Function,
    labels: &'a Function,
    thrown: Option<JsValue>,
    saves: bool,
    /// When the last save ended, or the run began, in ms.
    since: f64,
    /// When the save under way began.
    began: f64,
    /// What the last save took.
    cost: f64,
}

impl<'a> Watch<'a> {
    /// `bytes`: of the sums.
    pub fn new(progress: &'a Function, labels: &'a Function, bytes: u64) -> Self {
        let since = now();
        Self { progress, labels, thrown: None, saves: bytes <= MOST_BYTES, since, began: since, cost: 0.0 }
    }

    /// What JavaScript threw.
    pub fn check(self) -> Result<(), JsValue> {
        self.thrown.map_or(Ok(()), Err)
    }
}

impl Observer for Watch<'_> {
    fn window(&mut self, Progress { done, total }: Progress) -> ControlFlow<()> {
        if self.thrown.is_none() {
            match self.progress.call2(&JsValue::NULL, &done.into(), &total.into()) {
                Ok(stop) if !stop.is_truthy() => return ControlFlow::Continue(()),
                Ok(_) => {}
                Err(error) => self.thrown = Some(error),
            }
        }
        ControlFlow::Break(())
    }

    fn labels(&mut self, part: &LabelBox<'_>) {
        let numbers = |values: [usize; 3]| values.iter().map(|&v| JsValue::from(v)).collect::<Array>();
        let bytes: Vec<u8> = part.labels.iter().map(|&l| l as u8).collect();
        let (begin, extent) = (numbers(part.begin), numbers(part.extent));
        let called = self.labels.call3(&JsValue::NULL, &begin, &extent, &Uint8Array::from(bytes.as_slice()));
        if let Err(error) = called {
            self.thrown = Some(error);
        }
    }

    fn save(&mut self) -> bool {
        self.began = now();
        self.saves && self.began - self.since >= SHARE * self.cost
    }

    fn saved(&mut self) {
        self.since = now();
        self.cost = self.since - self.began;
    }
}

//! Threads that keep a few batches ready.
//!
//! Each thread takes the next number that nobody has taken, makes that batch, and puts it into its place; [`Loader::next`]
//! hands them out in order. Since a batch depends on its number alone, neither the number of threads nor their timing
//! shows in the result.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::error::DataError;
use super::recipe::DataRecipe;
use super::sampler::{Batch, BatchIndex, Sampler};

/// Batches in order, made in the background. Dropping it ends and joins its threads.
#[derive(Debug)]
pub struct Loader {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    sampler: Arc<Sampler>,
    state: Mutex<State>,
    /// A batch is ready.
    ready: Condvar,
    /// There is room for another batch, or the work is over.
    room: Condvar,
    /// Batches made in advance at most.
    prefetch: u64,
}

#[derive(Debug)]
struct State {
    /// The number nobody has taken yet.
    taken: BatchIndex,
    /// The number that is handed out next.
    next: BatchIndex,
    done: BTreeMap<BatchIndex, Result<Batch, DataError>>,
    /// Set by the first error handed out, and by dropping.
    over: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does.
    fn work(&self) {
        loop {
            let mut state = self.state();
            while !state.over && state.taken >= state.next.saturating_add(self.prefetch) {
                state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.over {
                return;
            }
            let index = state.taken;
            state.taken += 1;
            drop(state);
            // A thread that dies would leave the trainer waiting for ever.
            let made = catch_unwind(AssertUnwindSafe(|| self.sampler.batch(index)))
                .unwrap_or_else(|_| Err(DataError::Stopped { problem: format!("batch {index} could not be made") }));
            self.state().done.insert(index, made);
            self.ready.notify_all();
        }
    }
}

impl Loader {
    /// Starts making batches from number `start` on, which is the number of batches a run has used already.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn new(sampler: Arc<Sampler>, data: &DataRecipe, start: BatchIndex) -> Result<Self, DataError> {
        let state = State { taken: start, next: start, done: BTreeMap::new(), over: false };
        let shared = Arc::new(Shared {
            sampler,
            state: Mutex::new(state),
            ready: Condvar::new(),
            room: Condvar::new(),
            prefetch: data.prefetch.max(1) as u64,
        });
        let mut loader = Self { shared, threads: Vec::new() };
        for n in 0..data.threads.max(1) {
            let shared = Arc::clone(&loader.shared);
            let thread = std::thread::Builder::new().name(format!("loader {n}")).spawn(move || shared.work());
            // What was started is joined when `loader` is dropped.
            loader.threads.push(thread.map_err(|e| DataError::Stopped { problem: e.to_string() })?);
        }
        Ok(loader)
    }

    /// The next batch, waiting for it if need be. Nothing follows an error.
    ///
    /// # Errors
    /// A case's file is missing or damaged; after that, that the loader has stopped.
    #[expect(clippy::should_implement_trait, reason = "an iterator would hide that nothing follows an error")]
    pub fn next(&mut self) -> Result<Batch, DataError> {
        let mut state = self.shared.state();
        loop {
            if state.over {
                return Err(DataError::Stopped { problem: "an earlier batch could not be made".into() });
            }
            let index = state.next;
            if let Some(made) = state.done.remove(&index) {
                state.next += 1;
                state.over = made.is_err();
                self.shared.room.notify_all();
                return made;
            }
            state = self.shared.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The number of the batch that [`Loader::next`] gives.
    #[must_use]
    pub fn position(&self) -> BatchIndex {
        self.shared.state().next
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.shared.state().over = true;
        self.shared.room.notify_all();
        for thread in self.threads.drain(..) {
            // It catches its panics, so there is nothing to pass on.
            let _ = thread.join();
        }
    }
}

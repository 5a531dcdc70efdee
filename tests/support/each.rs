//! Work that keeps one core busy, on all of them.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs `work` on every item, on each core with what `start` gives there. A panic fails the test once all cores are done.
pub fn each<S, T: Sync>(items: &[T], start: impl Fn() -> S + Sync, work: impl Fn(&S, &T) + Sync) {
    let next = AtomicUsize::new(0);
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores.min(items.len()) {
            scope.spawn(|| {
                let state = start();
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(&state, item);
                }
            });
        }
    });
}

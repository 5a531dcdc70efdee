//! A scan in, labels out: windows, stitching on the GPU, and the way back to the scan's own grid.

mod bench;
mod binding;
mod decision;
mod error;
mod job;
mod observer;
mod reference;
mod run;
mod segmenter;
mod spread;
mod windows;

pub use crate::weights::package::Resample;
pub use bench::{BenchReport, NodeTime, bench};
#[cfg(all(feature = "train", not(target_arch = "wasm32")))]
pub(crate) use bench::{ceilings, lower_median, noise_weights, timed_nodes, timed_run};
pub use error::InferError;
pub use job::Memory;
pub use observer::{LabelBox, Observer, RunState};
pub use reference::{Distance, ReferenceFile, ReferenceReport, StageError, verify_reference};
pub use segmenter::{PreparedScan, Progress, SegmentOptions, Segmentation, Segmenter, plan_memory};
pub use windows::{Importance, WindowGrid, importance};

//! A scan in, labels out: windows, stitching on the GPU, and the way back to the scan's own grid.

#[cfg(not(target_arch = "wasm32"))]
mod bench;
mod decision;
mod error;
mod job;
mod reference;
mod run;
mod segmenter;
mod windows;

#[cfg(not(target_arch = "wasm32"))]
pub use bench::{BenchReport, NodeTime, bench};
pub use error::InferError;
pub use job::Memory;
pub use reference::{ReferenceReport, StageError, verify_reference};
pub use segmenter::{Prepared, Progress, Resample, SegmentOptions, Segmentation, Segmenter, plan_memory};
pub use windows::{Importance, WindowGrid, importance};

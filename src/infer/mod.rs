//! A scan in, labels out: windows, stitching on the GPU, and the way back to the scan's own grid.

mod decision;
mod error;
mod job;
mod reference;
mod run;
mod segmenter;
mod windows;

pub use error::InferError;
pub use job::Memory;
pub use reference::{ReferenceReport, StageError, verify_reference};
pub use segmenter::{Prepared, Progress, Resample, SegmentOptions, Segmentation, Segmenter};
pub use windows::{Importance, WindowGrid, importance};

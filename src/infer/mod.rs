//! A scan in, labels out: windows, stitching on the GPU, and the way back to the scan's own grid.

mod error;
mod reference;

pub use error::InferError;
pub use reference::{ReferenceReport, StageError, verify_reference};

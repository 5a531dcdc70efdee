//! Files made or damaged to harm their reader. A program of its own, because its allocator counts.

#[path = "../support/mod.rs"]
mod support;

mod allocator;
mod checkpoints;
#[cfg(feature = "dicom")]
mod dicom;

//! Model packages and checkpoints.

#[path = "../support/mod.rs"]
mod support;

mod checkpoints;
mod weights;

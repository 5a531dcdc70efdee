//! Model packages and checkpoints.

#[path = "../support/mod.rs"]
mod support;

mod bundles;
mod checkpoints;
mod nnunet;
mod scripts;
mod weights;

//! Model packages and checkpoints.

#[path = "../support/mod.rs"]
mod support;

mod bundles;
mod bundles_refused;
mod checkpoints;
mod nnunet;
mod scripts;
mod weights;

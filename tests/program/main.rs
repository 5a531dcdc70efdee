//! The program from outside.

#[path = "../support/mod.rs"]
mod support;

mod adapters;
mod bad_input;
mod bundles;
mod cli;
mod cli_commands;
mod end_to_end;
mod ensemble;
mod evaluate_folders;
mod fit;
mod known_answers;
#[cfg(unix)]
mod limits;
mod nnunet;
mod outputs;
mod pipes;
mod segment_many;
#[cfg(feature = "serve")]
mod serve;
mod spread;
mod ways_back;

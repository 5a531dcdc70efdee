//! The program from outside.

#[path = "../support/mod.rs"]
mod support;

mod adapters;
mod bad_input;
mod cli;
mod cli_commands;
mod end_to_end;
mod fit;
#[cfg(unix)]
mod limits;
mod known_answers;
mod pipes;
#[cfg(feature = "serve")]
mod serve;

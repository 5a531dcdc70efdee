//! The command line: files in, files out, words to the user.
//!
//! Data goes to stdout, messages and progress to stderr. Exit 0 is success, 1 failure, 2 a command line that cannot be
//! right whatever the files hold. Outputs are written under a temporary name in their own folder and renamed at the end;
//! none replaces a file without `--force`.

mod agreement;
mod bench;
#[cfg(feature = "train")]
mod bench_train;
mod complexity;
mod console;
mod describe;
mod devices;
mod error;
mod evaluate;
mod export;
mod files;
mod import;
mod info;
mod options;
mod output;
mod progress;
mod scans;
mod scores;
mod segment;
mod segment_files;
mod segment_plan;
#[cfg(feature = "serve")]
mod serve;
mod signals;
mod table;
#[cfg(feature = "train")]
mod train;
#[cfg(feature = "train")]
mod train_progress;
#[cfg(feature = "train")]
mod training_plan;
mod tune;
mod tuning;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use error::CliError;

/// UNETR segmentation of 3-D medical scans on any GPU. Research use only, not a medical device.
#[derive(Debug, Parser)]
#[command(name = "unetr", version, about, max_term_width = 110, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Segment(segment::Segment),
    #[cfg(feature = "train")]
    Train(train::Train),
    Evaluate(evaluate::Evaluate),
    Import(import::Import),
    Export(export::Export),
    Describe(describe::Describe),
    Info(info::Info),
    Verify(verify::Verify),
    Bench(bench::Bench),
    Tune(tune::Tune),
    Devices(devices::Devices),
    #[cfg(feature = "serve")]
    Serve(serve::Serve),
}

impl Command {
    fn run(&self) -> Result<(), CliError> {
        match self {
            Self::Segment(c) => c.run(),
            #[cfg(feature = "train")]
            Self::Train(c) => c.run(),
            Self::Evaluate(c) => c.run(),
            Self::Import(c) => c.run(),
            Self::Export(c) => c.run(),
            Self::Describe(c) => c.run(),
            Self::Info(c) => c.run(),
            Self::Verify(c) => c.run(),
            Self::Bench(c) => c.run(),
            Self::Tune(c) => c.run(),
            Self::Devices(c) => c.run(),
            #[cfg(feature = "serve")]
            Self::Serve(c) => c.run(),
        }
    }
}

/// Runs the program with its arguments and says how it ended.
pub fn run() -> ExitCode {
    quiet_device_selection();
    // The drivers' messages, where RUST_LOG asks for them.
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("off")).init();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version go to stdout, complaints to stderr; a closed pipe is nobody's fault.
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    match signals::listen().and_then(|()| cli.command.run()) {
        Ok(()) | Err(CliError::BrokenPipe) => ExitCode::SUCCESS,
        Err(e) => {
            console::note(format!("error: {}", e.chain()));
            ExitCode::from(e.code())
        }
    }
}

/// Mesa's device selection layer prints an error where there is no desktop session. Adapters are chosen here anyway.
fn quiet_device_selection() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: the program has a single thread at this point.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}

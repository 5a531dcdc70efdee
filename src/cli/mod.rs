//! The command line: files in, files out, words to the user.
//!
//! Data goes to stdout, messages and progress to stderr. Exit 0 is success, 1 failure, 2 a command line that cannot be
//! right whatever the files hold. Outputs are written under a temporary name in their own folder and renamed at the end;
//! none replaces a file without `--force`.

mod agreement;
mod batch;
mod batch_run;
mod bench;
#[cfg(feature = "train")]
mod bench_train;
mod bids;
mod complexity;
mod console;
mod describe;
mod devices;
mod dicom_seg;
mod ensemble;
mod error;
mod evaluate;
mod export;
mod files;
mod import;
mod info;
mod meshes;
mod options;
mod output;
mod pairs;
mod postprocess;
mod progress;
mod regions;
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
    /// Tell errors and warnings alone.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Tell more: how long each part took, the driver's warnings. Twice: all that the driver says.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Threads of the processor, where it does the work: cases read while training, software adapters
    /// [default: the recipe's, and all of them].
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Segment(Box<segment::Segment>),
    #[cfg(feature = "train")]
    Train(train::Train),
    Evaluate(evaluate::Evaluate),
    Import(import::Import),
    Export(export::Export),
    Describe(describe::Describe),
    Ensemble(ensemble::Ensemble),
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
            Self::Ensemble(c) => c.run(),
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
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version go to stdout, complaints to stderr; a closed pipe is nobody's fault.
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    cli.set_up();
    match signals::listen().and_then(|()| cli.command.run()) {
        Ok(()) | Err(CliError::BrokenPipe) => ExitCode::SUCCESS,
        Err(e) => {
            console::note(format!("error: {}", e.chain()));
            ExitCode::from(e.code())
        }
    }
}

impl Cli {
    /// What holds for every command; the program has a single thread here.
    fn set_up(&self) {
        // The drivers' messages, where RUST_LOG or --verbose asks for them.
        let filter = ["off", "warn", "debug"][usize::from(self.verbose.min(2))];
        env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(filter)).init();
        console::set_verbosity(match (self.quiet, self.verbose) {
            (true, _) => console::Verbosity::Quiet,
            (_, 0) => console::Verbosity::Normal,
            _ => console::Verbosity::Verbose,
        });
        if let Some(threads) = self.threads {
            options::set_threads(threads.into());
            // Mesa's software adapter reads it when it is opened.
            // SAFETY: the program has a single thread at this point.
            unsafe { std::env::set_var("LP_NUM_THREADS", threads.to_string()) };
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

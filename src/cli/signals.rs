//! Signals: the first one to a run that can be gone on with saves it; any other ends the program and leaves nothing half-written.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::console::note;
use super::error::{CliError, Context};

/// Whether the command ends by itself when it is asked to.
static GENTLE: AtomicBool = AtomicBool::new(false);
/// Whether it was asked to.
static ASKED: AtomicBool = AtomicBool::new(false);
/// Files under temporary names.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Notes a file that must not stay if the program is ended; once it has its final name, nothing happens to it.
pub(super) fn unfinished(path: &Path) {
    if let Ok(mut paths) = UNFINISHED.lock() {
        paths.push(path.to_owned());
    }
}

/// Lets the command end by itself after the first signal; a second one ends it at once.
pub(super) fn end_gently() {
    GENTLE.store(true, Ordering::Relaxed);
}

/// Whether the command was asked to end.
pub(super) fn asked_to_end() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// True if the program goes on for now.
fn goes_on() -> bool {
    if GENTLE.load(Ordering::Relaxed) && !ASKED.swap(true, Ordering::Relaxed) {
        note("stopping   as soon as what is done is saved; once more ends at once");
        return true;
    }
    if let Ok(paths) = UNFINISHED.lock() {
        for path in paths.iter() {
            let _ = std::fs::remove_file(path);
        }
    }
    false
}

/// Ctrl-C, and SIGTERM as batch systems and containers send it. SIGXFSZ, which a limit on the size of files sends, is
/// passed over: the write then fails with an error that is told.
#[cfg(unix)]
pub(super) fn listen() -> Result<(), CliError> {
    use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;

    let mut signals = Signals::new([SIGINT, SIGTERM, SIGXFSZ]).about("signals")?;
    std::thread::spawn(move || {
        for signal in signals.forever().filter(|signal| *signal != SIGXFSZ) {
            if !goes_on() {
                // As if nobody had listened, so that whoever started the program sees which signal it was.
                let _ = emulate_default_handler(signal);
            }
        }
    });
    Ok(())
}

/// Ctrl-C, and the end of the session.
#[cfg(not(unix))]
pub(super) fn listen() -> Result<(), CliError> {
    ctrlc::set_handler(|| {
        if !goes_on() {
            std::process::exit(130);
        }
    })
    .about("Ctrl-C")
}

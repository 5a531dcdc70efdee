//! Real scans and larger cases, which are not part of the project: they lie where the environment variables `UNETR_DATA`,
//! `UNETR_CASES` and `UNETR_GOLDEN` point.

use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Tests of this program that had no scans.
static NOT_RUN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A file or folder below `UNETR_DATA`. Without the variable the calling test is reported as not run, by name and with
/// the count so far, even where the output of tests is captured; a path that is missing below it is a failure.
#[track_caller]
pub fn real(relative: &str) -> Option<PathBuf> {
    below("UNETR_DATA", relative)
}

/// A file or folder below `UNETR_CASES`: small inputs whose right answers other tools have given. As [`real`].
#[track_caller]
pub fn known(relative: &str) -> Option<PathBuf> {
    below("UNETR_CASES", relative)
}

/// A file or folder below `UNETR_GOLDEN`: models of other programs and what these make of real scans. As [`real`].
#[track_caller]
pub fn golden(relative: &str) -> Option<PathBuf> {
    below("UNETR_GOLDEN", relative)
}

#[track_caller]
fn below(variable: &'static str, relative: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os(variable).filter(|v| !v.is_empty()) else {
        let thread = std::thread::current();
        // With one test thread all tests run in the main thread.
        let name = match thread.name().filter(|&n| n != "main") {
            Some(name) => name.to_owned(),
            None => Location::caller().to_string(),
        };
        report(format!("{name} ({variable})"), &mut std::io::stderr());
        return None;
    };
    let path = Path::new(&folder).join(relative);
    assert!(path.exists(), "{variable} is set, but {} is missing", path.display());
    Some(path)
}

fn report(name: String, out: &mut impl std::io::Write) {
    let mut names = NOT_RUN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if !names.contains(&name) {
        names.push(name);
    }
    // The harness captures what macros print, but not what is written here.
    writeln!(out, "not run: {}: {}", names.len(), names.join(", ")).expect("standard error");
}

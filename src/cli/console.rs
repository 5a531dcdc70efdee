//! stdout for data, stderr for words. Neither panics when the other end is gone.

use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicU8, Ordering};

use serde::Serialize;

use super::error::{CliError, Context};

/// Writes data to stdout.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Err(CliError::BrokenPipe),
        Err(e) => Err(e).about("stdout"),
    }
}

/// Writes a value to stdout as JSON.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).about("JSON")?;
    print(&(text + "\n"))
}

/// How much is told on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verbosity {
    /// Errors and warnings.
    Quiet,
    /// What is done, too.
    Normal,
    /// And how long each part took.
    Verbose,
}

static VERBOSITY: AtomicU8 = AtomicU8::new(Verbosity::Normal as u8);

/// Sets how much is told.
pub(super) fn set_verbosity(verbosity: Verbosity) {
    VERBOSITY.store(verbosity as u8, Ordering::Relaxed);
}

/// Whether only errors and warnings are told.
pub(super) fn is_quiet() -> bool {
    VERBOSITY.load(Ordering::Relaxed) == Verbosity::Quiet as u8
}

/// A line for the user on stderr; if nobody listens, nothing is lost. `--quiet` lets errors and warnings through.
pub(super) fn note(text: impl AsRef<str>) {
    let text = text.as_ref();
    if is_quiet() && !["warning:", "error:", "note:"].iter().any(|start| text.starts_with(start)) {
        return;
    }
    let _ = writeln!(std::io::stderr(), "{}", printable(text));
}

/// A line that only `--verbose` shows.
pub(super) fn detail(what: &str, value: impl AsRef<str>) {
    if VERBOSITY.load(Ordering::Relaxed) == Verbosity::Verbose as u8 {
        fact(what, value);
    }
}

/// A line of the plan: what, and its value.
pub(super) fn fact(what: &str, value: impl AsRef<str>) {
    note(format!("{what:<10} {}", value.as_ref()));
}

/// Warnings about one thing.
pub(super) fn warn_all(about: &str, warnings: &[String]) {
    for warning in warnings {
        note(format!("warning: {about}: {warning}"));
    }
}

/// Text that may come from a file without what could command a terminal.
pub(super) fn printable(text: &str) -> String {
    let plain = |c: char| !c.is_control() || c == '\n';
    if text.chars().all(plain) {
        return text.to_owned();
    }
    text.chars().map(|c| if plain(c) { c } else { '\u{fffd}' }).collect()
}

/// Bytes in the unit that suits.
pub(super) fn bytes(count: u64) -> String {
    let mut value = count as f64;
    let mut units = ["B", "KiB", "MiB", "GiB"].iter();
    let mut unit = units.next().unwrap_or(&"");
    for next in units {
        if value < 1000.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    let digits = if value < 10.0 && *unit != "B" { 2 } else { 0 };
    format!("{value:.digits$} {unit}")
}

/// Sizes along three axes, `96 x 96 x 96`.
pub(super) fn sizes<T: std::fmt::Display>([x, y, z]: [T; 3]) -> String {
    format!("{x} x {y} x {z}")
}

/// A count with thousands marked: `92,784,046`.
pub(super) fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration as people say it.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 100.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(92_784_046), "92,784,046");
        assert_eq!([grouped(0), grouped(999), grouped(1000)], ["0", "999", "1,000"]);
        assert_eq!(
            [bytes(12), bytes(2048), bytes(371 << 20), bytes(3 << 30)],
            ["12 B", "2.00 KiB", "371 MiB", "3.00 GiB"]
        );
        assert_eq!([duration(1.25), duration(75.0), duration(600.0)], ["1.2 s", "75 s", "10 min"]);
        assert_eq!(printable("a\u{1b}[31mb\nc"), "a\u{fffd}[31mb\nc");
    }
}

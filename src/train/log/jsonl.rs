//! `metrics.jsonl`: one JSON object per line, only ever appended to.
//!
//! A line is written whole or not at all. A process killed in the middle of one leaves a torn last line, which readers
//! skip and resuming drops.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::records::Event;
use super::{LogError, file};

/// Name of the file in the run folder.
pub const METRICS: &str = "metrics.jsonl";

/// A line of [`METRICS`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// When it was written, UTC, RFC 3339.
    pub time: String,
    #[serde(flatten)]
    pub event: Event,
}

/// As much of a line as resuming needs; events of later versions have it too.
#[derive(Deserialize)]
struct Head {
    event: String,
    step: Option<u64>,
}

pub(super) fn encode(line: &Line) -> Result<Vec<u8>, LogError> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Calls `each` with the lines in order. Lines of kinds that this version does not know are left out, and so is a torn
/// tail.
///
/// # Errors
/// [`LogError::Read`], or [`LogError::Line`] for an unreadable line that is not the last.
pub fn read(path: &Path, mut each: impl FnMut(Line)) -> Result<(), LogError> {
    const KNOWN: [&str; 7] = ["start", "resume", "step", "validation", "checkpoint", "warning", "stop"];
    heads(path, |text, head| {
        if KNOWN.contains(&head.event.as_str()) {
            each(serde_json::from_slice(text)?);
        }
        Ok(())
    })
}

/// Drops every record after `step`, and every validation after `validated`, since it will be made again.
pub(super) fn rewind(path: &Path, step: u64, validated: u64) -> Result<(), LogError> {
    let mut kept = Vec::new();
    heads(path, |text, head| {
        let last = if head.event == "validation" { validated.min(step) } else { step };
        if head.step.is_none_or(|s| s <= last) {
            kept.extend_from_slice(text);
            kept.push(b'\n');
        }
        Ok(())
    })?;
    file::replace(path, &kept)
}

/// Goes through the lines; what `each` finds wrong, or what is no JSON, is an error unless nothing follows.
fn heads(path: &Path, mut each: impl FnMut(&[u8], Head) -> Result<(), serde_json::Error>) -> Result<(), LogError> {
    let metadata = std::fs::metadata(path).map_err(LogError::read(path))?;
    if !metadata.is_file() {
        // A folder, or a device that would never end.
        return Err(LogError::read(path)(io::Error::other("it is not a regular file")));
    }
    let mut reader = BufReader::with_capacity(1 << 16, File::open(path).map_err(LogError::read(path))?);
    let mut text = Vec::new();
    let mut bad: Option<(usize, String)> = None;
    for line in 1.. {
        text.clear();
        if reader.read_until(b'\n', &mut text).map_err(LogError::read(path))? == 0 {
            break;
        }
        let ended = text.pop_if(|b| *b == b'\n').is_some();
        if text.trim_ascii().is_empty() {
            continue;
        }
        let result = match ended {
            true => serde_json::from_slice::<Head>(&text).and_then(|head| each(&text, head)),
            false => break,
        };
        match (result, bad.take()) {
            (Err(e), None) => bad = Some((line, e.to_string())),
            (Err(_), first) => bad = first,
            (Ok(()), None) => {}
            (Ok(()), Some((line, reason))) => return Err(LogError::Line { path: path.to_owned(), line, reason }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::log::records::{StepRecord, Warning};

    fn step(step: u64, loss: f64) -> Line {
        let record = StepRecord { step, loss, ..StepRecord::default() };
        Line { time: "2026-01-02T03:04:05Z".into(), event: Event::Step(record) }
    }

    fn written(lines: &[&[u8]]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(METRICS);
        std::fs::write(&path, lines.concat()).expect("a file");
        (folder, path)
    }

    fn steps(path: &Path) -> Result<Vec<u64>, LogError> {
        let mut steps = Vec::new();
        read(path, |line| steps.extend(line.event.step())).map(|()| steps)
    }

    #[test]
    fn numbers_without_a_json_form_survive() {
        let mut line = step(3, f64::NAN);
        let Event::Step(record) = &mut line.event else { unreachable!() };
        (record.gradient_norm, record.learning_rate, record.dice_loss) = (f64::INFINITY, 1e-4, Some(f64::NEG_INFINITY));
        let bytes = encode(&line).expect("JSON");
        let text = String::from_utf8(bytes.clone()).expect("text");
        assert!(text.starts_with(r#"{"time":"2026-01-02T03:04:05Z","event":"step","step":3,"#), "{text}");
        assert!(text.contains(r#""loss":"NaN""#) && text.contains(r#""gradient_norm":"Infinity""#), "{text}");
        let (_folder, path) = written(&[&bytes, b"{\"time\":\"\",\"event\":\"step\",\"step\":4,\"loss\":null}\n"]);
        let mut back = Vec::new();
        read(&path, |line| back.push(line.event)).expect("lines");
        let [Event::Step(a), Event::Step(b)] = &back[..] else { panic!("{back:?}") };
        assert!(a.loss.is_nan() && b.loss.is_nan());
        assert_eq!((a.gradient_norm, a.dice_loss, a.learning_rate), (f64::INFINITY, Some(f64::NEG_INFINITY), 1e-4));
        assert_eq!(b.cross_entropy, None);
    }

    #[test]
    fn a_torn_tail_is_dropped() {
        let lines = [step(1, 0.5), step(2, 0.25)].map(|l| encode(&l).expect("JSON"));
        for tail in [&lines[0][..20], &lines[0][..lines[0].len() - 1], b"\0\0\0\0", b"\0\0\n\xff\xff\n{", b"\n\n"] {
            let (_folder, path) = written(&[&lines[0], &lines[1], tail]);
            assert_eq!(steps(&path).expect("lines"), [1, 2], "{tail:?}");
            rewind(&path, 9, 9).expect("rewound");
            assert_eq!(std::fs::read(&path).expect("a file"), lines.concat(), "{tail:?}");
        }
    }

    #[test]
    fn a_bad_line_in_the_middle_is_named_and_nothing_is_touched() {
        let lines = [step(1, 0.5), step(2, 0.25)].map(|l| encode(&l).expect("JSON"));
        let (_folder, path) = written(&[&lines[0], b"{\"event\":\n", &lines[1]]);
        let before = std::fs::read(&path).expect("a file");
        for error in [steps(&path).expect_err("a bad line"), rewind(&path, 1, 1).expect_err("a bad line")] {
            assert!(matches!(error, LogError::Line { line: 2, .. }), "{error}");
        }
        assert_eq!(std::fs::read(&path).expect("a file"), before);
    }

    #[test]
    fn rewinding_keeps_what_the_checkpoint_knows() {
        let warning = Warning { step: 2, message: "w".into() };
        let lines = [
            b"{\"time\":\"t\",\"event\":\"start\"}\n".to_vec(),
            encode(&step(1, 0.5)).expect("JSON"),
            encode(&Line { time: "t".into(), event: Event::Warning(warning) }).expect("JSON"),
            b"{\"time\":\"t\",\"event\":\"from a later version\",\"step\":2,\"x\":[1]}\n".to_vec(),
            encode(&step(3, 0.5)).expect("JSON"),
            b"{\"time\":\"t\",\"event\":\"stop\",\"step\":3,\"outcome\":\"interrupted\"}\n".to_vec(),
        ];
        let (_folder, path) = written(&lines.each_ref().map(|l| &l[..]));
        rewind(&path, 2, 2).expect("rewound");
        assert_eq!(std::fs::read(&path).expect("a file"), lines[..4].concat());
        rewind(&path, 0, 0).expect("rewound");
        assert_eq!(std::fs::read(&path).expect("a file"), lines[0]);
    }
}

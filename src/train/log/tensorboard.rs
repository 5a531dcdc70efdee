//! TensorBoard's event files: records of protobuf messages, encoded by hand.
//!
//! ```text
//! record = length: u64, mask(crc32c(length)): u32, message, mask(crc32c(message)): u32      all little-endian
//! mask(c) = rotate_right(c, 15) + 0xa282ead8
//!
//! Event   { 1 wall_time: double, 2 step: int64, one of 3 file_version: string, 5 Summary, 7 SessionLog }
//! Summary { repeated 1 Value { 1 tag: string, one of 2 simple_value: float, 4 Image } }
//! Image   { 1 height, 2 width, 3 colorspace: int32, 4 encoded_image_string: bytes }
//! SessionLog { 1 status: enum, START = 1 }
//! ```
//! A field is the varint `number << 3 | type` and a value: type 0 a varint, 1 eight bytes, 2 a length and bytes, 5 four.
//!
//! Each session of a run writes a file of its own. It opens with a session start whose step tells TensorBoard to forget
//! what earlier files say of that step and later ones; files are read in the order of their names.

use std::path::{Path, PathBuf};

use super::{LogError, file};

const PREFIX: &str = "events.out.tfevents.";

/// What is shown of a step.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shown<'a> {
    Scalar(f64),
    /// A PNG file of a width and height.
    Picture([u32; 2], &'a [u8]),
}

/// The event file of one session.
#[derive(Debug)]
pub(super) struct Events {
    path: PathBuf,
}

impl Events {
    /// Begins a file; `first` is the first step it will tell of.
    pub fn begin(run: &Path, first: u64, now: f64) -> Result<Self, LogError> {
        let latest = sessions(run)?.into_iter().max();
        // Later by name than any other, whatever the clock says.
        let seconds = latest.map_or(0, |s| s.saturating_add(1)).max(now as u64);
        let path = run.join(format!("{PREFIX}{seconds:010}.unetr"));
        let version = message(|m| m.double(1, now).bytes(3, b"brain.Event:2"));
        let start = message(|m| m.double(1, now).varint(2, first).bytes(7, &message(|s| s.varint(1, 1))));
        file::create(&path, &[record(&version), record(&start)].concat())?;
        Ok(Self { path })
    }

    /// Adds values under their tags.
    pub fn add(&self, step: u64, now: f64, values: &[(String, Shown<'_>)]) -> Result<(), LogError> {
        if values.is_empty() {
            return Ok(());
        }
        let summary = values.iter().fold(Message::default(), |m, (tag, shown)| m.bytes(1, &value(tag, shown)));
        file::append(&self.path, &record(&message(|m| m.double(1, now).varint(2, step).bytes(5, &summary.0))))
    }
}

/// When the sessions in a folder began, from the names of their files.
fn sessions(run: &Path) -> Result<Vec<u64>, LogError> {
    let mut seconds = Vec::new();
    for entry in std::fs::read_dir(run).map_err(LogError::read(run))? {
        let name = entry.map_err(LogError::read(run))?.file_name();
        let rest = name.to_str().and_then(|n| n.strip_prefix(PREFIX));
        seconds.extend(rest.and_then(|r| r.split('.').next()?.parse::<u64>().ok()));
    }
    Ok(seconds)
}

fn value(tag: &str, shown: &Shown<'_>) -> Vec<u8> {
    message(|m| match shown {
        Shown::Scalar(v) => m.bytes(1, tag.as_bytes()).float(2, *v as f32),
        Shown::Picture([width, height], png) => {
            // Three channels: red, green, blue.
            let image =
                message(|i| i.varint(1, (*height).into()).varint(2, (*width).into()).varint(3, 3).bytes(4, png));
            m.bytes(1, tag.as_bytes()).bytes(4, &image)
        }
    })
}

#[derive(Default)]
struct Message(Vec<u8>);

fn message(fill: impl FnOnce(Message) -> Message) -> Vec<u8> {
    fill(Message::default()).0
}

impl Message {
    fn raw_varint(mut self, mut value: u64) -> Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    fn varint(self, field: u64, value: u64) -> Self {
        self.raw_varint(field << 3).raw_varint(value)
    }

    fn double(self, field: u64, value: f64) -> Self {
        self.raw_varint(field << 3 | 1).raw(&value.to_le_bytes())
    }

    fn bytes(self, field: u64, value: &[u8]) -> Self {
        self.raw_varint(field << 3 | 2).raw_varint(value.len() as u64).raw(value)
    }

    fn float(self, field: u64, value: f32) -> Self {
        self.raw_varint(field << 3 | 5).raw(&value.to_le_bytes())
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

fn record(message: &[u8]) -> Vec<u8> {
    let masked = |bytes: &[u8]| crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes();
    let length = (message.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), message, &masked(message)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// The files in a folder, by name.
    fn files(run: &Path) -> Vec<PathBuf> {
        let mut files: Vec<_> =
            std::fs::read_dir(run).expect("a folder").map(|e| e.expect("an entry").path()).collect();
        files.sort();
        files
    }

    /// Bytes written by TensorBoard 2.21's own `RecordWriter` and messages.
    #[test]
    fn bytes_are_tensorboards() {
        let run = tempfile::tempdir().expect("a folder");
        let events = Events::begin(run.path(), 5, 1_700_000_000.5).expect("a file");
        assert!(events.path.ends_with("events.out.tfevents.1700000000.unetr"));
        let values = [("loss".to_owned(), Shown::Scalar(0.75)), ("lr".to_owned(), Shown::Scalar(f64::NAN))];
        events.add(301, 1_700_000_001.25, &values).expect("a record");
        events.add(6, 3.0, &[("o".to_owned(), Shown::Picture([2, 300], b"\x89PNG"))]).expect("a record");
        events.add(7, 4.0, &[]).expect("nothing");
        let expected = [
            "1800000000000000a37f4b220900002040fc54d9411a0d627261696e2e4576656e743a322b353110",
            "0f000000000000006d532b0909000020",
            "2600000000000000734fe3000900005040fc54d94110ad022a180a0b0a046c6f7373150000403f0a090a026c72150000c07f08e7c0d1",
            "2100000000000000017becf609000000000000084010062a140a120a016f220d08ac0210021803220489504e47245547d6",
        ];
        let bytes = hex(&std::fs::read(&events.path).expect("a file"));
        let (version, rest) = bytes.split_at(expected[0].len());
        let (start, rest) = rest.split_at(62);
        assert_eq!((version, &start[..32], rest), (expected[0], expected[1], expected[2..].concat().as_str()));
        assert_eq!(hex(&record(&message(|m| m.double(1, 2.0).varint(2, 5).bytes(7, &[8, 1])))), {
            "0f000000000000006d532b0909000000000000004010053a0208019451ed38"
        });
    }

    #[test]
    fn a_later_session_sorts_later_even_if_the_clock_went_back() {
        let run = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(run.path().join("events.out.tfevents.odd")).expect("a folder");
        let mut begun = Vec::new();
        for now in [1_700_000_000.0, 1_700_000_000.9, 9.0, -5.0, 1_800_000_000.0] {
            begun.push(Events::begin(run.path(), 0, now).expect("a file").path);
        }
        let by_name: Vec<_> = files(run.path()).into_iter().filter(|p| p.is_file()).collect();
        assert_eq!(by_name, begun);
    }
}

//! TorchScript files as checkpoints: the weights that a program's modules hold, without the program.
//!
//! Such a file is a zip with code, and a pickle of the module whose objects have their attributes as state: parameters, buffers
//! and inner modules under their names. Where the pickle makes an object of a class, the copy made here has a dictionary, so that
//! the attributes' names joined by `.` are those of `state_dict()`. Code and constants are left out.
//!
//! # Source
//! PyTorch's `torch/csrc/jit/docs/serialization.md`.

use std::io::{Cursor, Read, Write};

use zip::CompressionMethod;
use zip::read::ZipReadOptions;
use zip::write::SimpleFileOptions;

use super::super::error::WeightsError;
use super::{files, pickle};

/// Bytes that an entry may have beyond four times what is stored of it.
const SLACK: u64 = 1 << 20;

/// Opcodes that make an object without arguments of the class on the stack.
const MADE: [u8; 2] = [b')', 0x81];
/// Opcodes that drop the class and put a dictionary there.
const DICTIONARY: [u8; 2] = [b'0', b'}'];

/// The file without its code, its objects as dictionaries. `name` is the pickle's and `text` it.
pub(super) fn without_code(bytes: &[u8], name: &str, mut text: Vec<u8>) -> Result<Vec<u8>, WeightsError> {
    for at in pickle::places_of(&text, MADE)? {
        if let Some(made) = text.get_mut(at..at + MADE.len()) {
            made.copy_from_slice(&DICTIONARY);
        }
    }
    let broken = |e: zip::result::ZipError| WeightsError::checkpoint(files::broken(&e));
    let failed = |e: std::io::Error| WeightsError::checkpoint(format!("broken zip: {e}"));
    let root = name.strip_suffix("data.pkl").unwrap_or_default();
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    let mut copy = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    copy.start_file(name, stored).map_err(broken)?;
    copy.write_all(&text).map_err(failed)?;
    for index in 0..archive.len() {
        // Some files are saved without checksums, as checkpoints are.
        let options = ZipReadOptions::new().ignore_crc32(true);
        let mut entry = archive.by_index_with_options(index, options).map_err(broken)?;
        let entry_name = entry.name().map_err(broken)?.into_owned();
        let Some(inner) = entry_name.strip_prefix(root) else { continue };
        if !(inner.starts_with("data/") || matches!(inner, "version" | "byteorder")) {
            continue;
        }
        let most = entry.compressed_size().saturating_mul(4).saturating_add(SLACK);
        copy.start_file(&entry_name, stored).map_err(broken)?;
        let written = std::io::copy(&mut entry.by_ref().take(most + 1), &mut copy).map_err(failed)?;
        if written > most {
            return Err(WeightsError::checkpoint(format!("its entry {inner} is larger than what holds it")));
        }
    }
    Ok(copy.finish().map_err(broken)?.into_inner())
}

//! PyTorch checkpoints as state dicts, through the `pytorch-reader` crate behind guards.
//!
//! The crate interprets a pickle as data and calls nothing. It bounds what one pickle may copy by counting nodes,
//! which leaves ways to make it allocate far more than the file holds; so every pickle first passes
//! [`super::pickle::check`], and the tensors together may not be much larger than the file.
//!
//! Read are the zip container (PyTorch 1.6 and later), TorchScript programs for their weights ([`super::script`]), and the legacy
//! stream before it. The tar container of 2016 and
//! plain pickles never held a UNETR and are refused.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use pytorch_reader::{DType, PytorchReader};

use super::super::dtype::Dtype;
use super::super::error::WeightsError;
use super::files::broken;
use super::pickle;
use super::plain::{self, Plain};
use super::script;
use super::source::{Source, StateDict};
use crate::filetype::{FileType, HEAD};

/// A file deflated to less than a quarter of its tensors is made to fill memory, not to store weights.
const MOST_EXPANSION: u64 = 4;
/// Entries of the largest zip accepted; a checkpoint with its optimizer has two thousand.
const MAX_ENTRIES: usize = 200_000;
/// The number that opens a legacy file, as protocol 2 and later write it, near the start.
const LEGACY_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Whether it is a zip.
pub(super) fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// Whether a zip is a checkpoint: it has a pickle where PyTorch puts it.
pub(super) fn is_checkpoint(bytes: &[u8]) -> bool {
    let archive = zip::ZipArchive::new(Cursor::new(bytes));
    archive.is_ok_and(|archive| {
        archive.file_names().flatten().any(|name| name == "data.pkl" || name.ends_with("/data.pkl"))
    })
}

/// Reads the tensors of a checkpoint, wherever in its dictionaries they are.
pub(super) fn read(bytes: Vec<u8>) -> Result<StateDict<'static>, WeightsError> {
    let size = bytes.len() as u64;
    let mut bytes = bytes;
    if is_zip(&bytes) {
        let Guarded { name, text, script } = guard_zip(&bytes)?;
        if script {
            bytes = script::without_code(&bytes, &name, text)?;
        }
    } else if bytes.iter().take(64).copied().collect::<Vec<_>>().windows(10).any(|window| window == LEGACY_MAGIC) {
        guard_legacy(&bytes)?;
    } else {
        let what =
            FileType::of(bytes.get(..HEAD).unwrap_or(&bytes)).map_or(String::new(), |t| format!(": it is {}", t.name));
        let problem = format!("it is neither a safetensors file nor a PyTorch checkpoint{what}");
        return Err(WeightsError::checkpoint(problem));
    }
    let reader = PytorchReader::from_bytes(bytes, None).map_err(|error| WeightsError::checkpoint(error.to_string()))?;
    let tensors = reader.into_tensors();
    let claimed = tensors.values().fold(0u64, |sum, tensor| sum.saturating_add(tensor.byte_len() as u64));
    if claimed > size.saturating_mul(MOST_EXPANSION) {
        let problem = format!("its tensors claim {claimed} bytes, the file has only {size}");
        return Err(WeightsError::checkpoint(problem));
    }
    let tensors = tensors.into_iter().map(|(name, tensor)| {
        let source = Source {
            dtype: element_type(tensor.dtype()),
            shape: tensor.shape().to_vec(),
            read: Box::new(move || {
                tensor.read().map(Cow::Owned).map_err(|error| WeightsError::checkpoint(error.to_string()))
            }),
        };
        (name, source)
    });
    Ok(StateDict::new(tensors.collect::<BTreeMap<_, _>>()))
}

fn element_type(dtype: DType) -> Option<Dtype> {
    Some(match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::Bf16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::I16 => Dtype::I16,
        DType::I8 => Dtype::I8,
        DType::U32 => Dtype::U32,
        DType::U16 => Dtype::U16,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::Bool,
        DType::U64 => return None,
    })
}

/// What a zip checkpoint says besides its tensors.
pub(super) fn plain(bytes: &[u8]) -> Result<Plain, WeightsError> {
    if !is_zip(bytes) {
        let what = FileType::of(bytes.get(..HEAD).unwrap_or(bytes)).map_or("no zip", |kind| kind.name);
        return Err(WeightsError::checkpoint(format!(
            "it is {what}, and no checkpoint as PyTorch has saved them since 1.6"
        )));
    }
    plain::read(&guard_zip(bytes)?.text)
}

/// The one pickle of a zip, which passed the check.
struct Guarded {
    name: String,
    text: Vec<u8>,
    /// Whether the zip is a TorchScript program.
    script: bool,
}

/// Finds the one pickle of a zip and checks it, with the zip reader that will read it again.
fn guard_zip(bytes: &[u8]) -> Result<Guarded, WeightsError> {
    let failed = |error: zip::result::ZipError| WeightsError::checkpoint(broken(&error));
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(failed)?;
    if archive.len() > MAX_ENTRIES {
        return Err(WeightsError::checkpoint(format!("{} zip entries are too many", archive.len())));
    }
    let (mut pickles, mut script) = (Vec::new(), false);
    for name in archive.file_names() {
        let name = name.map_err(failed)?;
        if name == "constants.pkl" || name.ends_with("/constants.pkl") {
            script = true;
        }
        if name.ends_with("data.pkl") {
            pickles.push(name.into_owned());
        }
    }
    let [pickle] = pickles.as_slice() else {
        if let Some(other) = FileType::of(bytes.get(..HEAD).unwrap_or(bytes))
            && pickles.is_empty()
        {
            return Err(WeightsError::checkpoint(format!("it is {}, not a PyTorch checkpoint", other.name)));
        }
        let problem = format!("{} entries of the zip are named data.pkl, a checkpoint has one", pickles.len());
        return Err(WeightsError::checkpoint(problem));
    };
    let index = archive.index_for_name(pickle).ok_or_else(|| WeightsError::checkpoint("broken zip: no data.pkl"))?;
    // Some files are saved without checksums; the reader proper decides about those.
    let options = zip::read::ZipReadOptions::new().ignore_crc32(true);
    let mut entry = archive.by_index_with_options(index, options).map_err(failed)?;
    let mut text = Vec::new();
    let limit = pickle::MAX_BYTES as u64 + 1;
    let read = entry.by_ref().take(limit).read_to_end(&mut text);
    read.map_err(|error| WeightsError::checkpoint(format!("broken zip: data.pkl: {error}")))?;
    pickle::check(&text)?;
    drop(entry);
    Ok(Guarded { name: pickle.clone(), text, script })
}

/// Checks the five pickles of a legacy file: magic, version, system, the object, the storage keys.
fn guard_legacy(bytes: &[u8]) -> Result<(), WeightsError> {
    let mut rest = bytes;
    for _ in 0..5 {
        let length = pickle::check(rest)?;
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(())
}

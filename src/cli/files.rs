//! Reading models and hashing files.

use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::error::{CliError, Context};
use crate::report::hex;
use crate::report::provenance::FileRecord;
use crate::weights::Package;

/// A whole file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).at(path)
}

/// A model package.
pub(super) fn model(path: &Path) -> Result<Package, CliError> {
    Package::read(read(path)?).at(path)
}

/// Name and hash of a file, read piece by piece.
pub(super) fn record(path: &Path) -> Result<FileRecord, CliError> {
    let mut file = std::fs::File::open(path).at(path)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece).at(path)? {
            0 => break,
            n => hash.update(&piece[..n]),
        }
    }
    Ok(FileRecord { file: file_name(path), sha256: hex(hash.finalize()) })
}

/// The last part of a path.
pub(super) fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

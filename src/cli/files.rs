//! Reading models and hashing files.

use std::fs::File;
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::error::{CliError, Context};
use crate::report::hex;
use crate::report::provenance::FileRecord;
use crate::volume::nifti;
use crate::weights::Package;

/// A whole file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).at(path)
}

/// A model package.
pub(super) fn model(path: &Path) -> Result<Package, CliError> {
    Package::read(read(path)?).at(path)
}

/// Name and hash of a file, read piece by piece; of a pair of header and image, of both one after the other.
pub(super) fn record(path: &Path) -> Result<FileRecord, CliError> {
    let mut hash = Sha256::new();
    for part in nifti::files_of(path) {
        File::open(&part).and_then(|mut file| io::copy(&mut file, &mut hash)).at(&part)?;
    }
    Ok(FileRecord { file: file_name(path), sha256: hex(hash.finalize()) })
}

/// The last part of a path.
pub(super) fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_hashed_whole_whichever_file_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let write = |name: &str, content: &str| std::fs::write(at(name), content).expect("written");
        write("a.hdr", "header");
        write("a.img", "image");
        let hash = |name: &str| record(&at(name)).expect("a record").sha256;
        let before = hash("a.hdr");
        assert_eq!(before, crate::report::sha256(b"headerimage"));
        assert_eq!(hash("a.img"), before);
        write("a.img", "other");
        assert_ne!(hash("a.hdr"), before);
    }
}

//! Reading models and other whole files.

use std::path::Path;

use super::error::{CliError, Context};
use crate::fields::json::decode;
use crate::weights::Package;

/// A whole file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).at(path)
}

/// A file of text, with or without a byte-order mark.
pub(super) fn text(path: &Path) -> Result<String, CliError> {
    Ok(decode(&read(path)?).at(path)?.into_owned())
}

/// A model package.
pub(super) fn model(path: &Path) -> Result<Package, CliError> {
    Package::read(read(path)?).at(path)
}

/// The last part of a path.
pub(super) fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

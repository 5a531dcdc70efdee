//! A model file on its way into the tab.

use js_sys::Uint8Array;
use sha2::{Digest, Sha256};
use wasm_bindgen::prelude::*;

use super::error::WebError;
use crate::digest::hex;
use crate::weights::{FileSet, ImportOptions, Imported, Package, import, import_files, is_zip_of_files, needs_import};

/// Collects a model package chunk by chunk, so that the file never lies twice in memory, and hashes it on the way.
#[wasm_bindgen]
pub struct ModelFile {
    bytes: Vec<u8>,
    hasher: Sha256,
}

#[wasm_bindgen]
impl ModelFile {
    /// An empty file with room for `length` bytes (0 where the length is not known).
    #[wasm_bindgen(constructor)]
    pub fn new(length: usize) -> Result<ModelFile, JsValue> {
        let mut bytes = Vec::new();
        reserve(&mut bytes, length)?;
        Ok(Self { bytes, hasher: Sha256::new() })
    }

    /// Appends a chunk.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), JsValue> {
        if self.bytes.capacity() - self.bytes.len() < chunk.len() {
            reserve(&mut self.bytes, chunk.len())?;
        }
        self.bytes.extend_from_slice(chunk);
        self.hasher.update(chunk);
        Ok(())
    }

    /// Bytes so far.
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// SHA-256 of the bytes so far, 64 hexadecimal digits.
    pub fn sha256(&self) -> String {
        hex(self.hasher.clone().finalize())
    }

    /// Copies all bytes that were pushed into `target`, of [`ModelFile::length`] bytes. The page makes it, because an
    /// allocation that fails there must not be thrown through this module.
    #[wasm_bindgen(js_name = copyTo)]
    pub fn copy_to(&self, target: &Uint8Array) -> Result<(), JsValue> {
        if target.length() as usize != self.bytes.len() {
            return Err(WebError::new("internal", "the target has another length than the file").into());
        }
        target.copy_from(&self.bytes);
        Ok(())
    }

    /// Whether it is a checkpoint that [`ModelFile::import`] must make a package of.
    #[wasm_bindgen(js_name = needsImport)]
    pub fn needs_import(&self) -> bool {
        needs_import(&self.bytes)
    }

    /// A PyTorch checkpoint, a state dict, or a zip of a MONAI bundle as a package; no code in a pickle ever runs. `package`: JSON text with any
    /// subset of the package's fields; `prefix`: of the network's names, where a file holds several.
    pub fn import(self, package: Option<String>, prefix: Option<String>) -> Result<ImportedModel, JsValue> {
        let options =
            ImportOptions { package: package.as_deref(), prefix: prefix.as_deref(), ..ImportOptions::default() };
        let made = match is_zip_of_files(&self.bytes) {
            true => FileSet::from_zip("", self.bytes).and_then(|files| import_files(files, &options)),
            false => import(self.bytes, &options),
        };
        Ok(made.map_err(WebError::from)?.into())
    }

    pub(super) fn into_package(self) -> Result<(Package, String), WebError> {
        let sha256 = self.sha256();
        Ok((Package::read(self.bytes)?, sha256))
    }
}

/// Several files that are a model together, such as a MONAI bundle, as a page is given a folder.
#[wasm_bindgen]
#[derive(Default)]
pub struct ModelFolder {
    files: Vec<(String, Vec<u8>)>,
}

#[wasm_bindgen]
impl ModelFolder {
    /// Without files.
    #[wasm_bindgen(constructor)]
    pub fn new() -> ModelFolder {
        Self::default()
    }

    /// Adds a file under its path within the folder.
    pub fn add(&mut self, path: String, bytes: &[u8]) -> Result<(), JsValue> {
        let mut held = Vec::new();
        reserve(&mut held, bytes.len())?;
        held.extend_from_slice(bytes);
        self.files.push((path, held));
        Ok(())
    }

    /// The files as a package; none of their code ever runs. `name`: of the folder; `package`: JSON text with any subset of the
    /// package's fields.
    pub fn import(self, name: &str, package: Option<String>) -> Result<ImportedModel, JsValue> {
        let options = ImportOptions { package: package.as_deref(), ..ImportOptions::default() };
        let made = FileSet::from_list(name, self.files).and_then(|files| import_files(files, &options));
        Ok(made.map_err(WebError::from)?.into())
    }
}

/// A package made of a checkpoint.
#[wasm_bindgen]
pub struct ImportedModel {
    package: Package,
    hasher: Sha256,
    warnings: Vec<String>,
}

#[wasm_bindgen]
impl ImportedModel {
    /// One sentence per field that was not given and per part of the checkpoint that was left out.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    /// The package as a file, to be kept.
    pub fn bytes(&self) -> Vec<u8> {
        self.package.file_bytes().to_vec()
    }

    /// The package as if it had been read.
    #[wasm_bindgen(js_name = intoFile)]
    pub fn into_file(self) -> ModelFile {
        ModelFile { bytes: self.package.into_file_bytes(), hasher: self.hasher }
    }
}

impl From<Imported> for ImportedModel {
    fn from(made: Imported) -> Self {
        let hasher = Sha256::new_with_prefix(made.package.file_bytes());
        Self { package: made.package, hasher, warnings: made.warnings }
    }
}

fn reserve(bytes: &mut Vec<u8>, length: usize) -> Result<(), WebError> {
    bytes.try_reserve(length).map_err(|_| {
        let have = bytes.len() + length;
        WebError::new("out-of-memory", format!("this tab has no room for a model of {have} bytes"))
    })
}

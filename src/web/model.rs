//! A model file on its way into the tab.

use sha2::{Digest, Sha256};
use wasm_bindgen::prelude::*;

use super::error::WebError;
use crate::weights::Package;

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
        self.hasher.clone().finalize().iter().map(|b| format!("{b:02x}")).collect()
    }

    pub(super) fn into_package(self) -> Result<(Package, String), WebError> {
        let sha256 = self.sha256();
        Ok((Package::read(self.bytes)?, sha256))
    }
}

fn reserve(bytes: &mut Vec<u8>, length: usize) -> Result<(), WebError> {
    bytes.try_reserve(length).map_err(|_| {
        let have = bytes.len() + length;
        WebError::new("out-of-memory", format!("this tab has no room for a model of {have} bytes"))
    })
}

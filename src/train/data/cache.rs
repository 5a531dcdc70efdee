//! Prepared cases as files, so that neither memory nor a restart limits a run.
//!
//! A case is one safetensors file with `image` (f32, `(C, X, Y, Z)`), `label` (u16, `(X, Y, Z)`), `spacing` (f64, `(3)`)
//! and axis codes, named by SHA-256 of everything its content depends on: the `input` section, the labels' map and the case's
//! files. A changed setting or file thus has another name. Files are written under a temporary name, flushed and renamed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};

use super::crop::Places;
use super::error::DataError;
use super::prepare::{CaseFiles, PreparedCase, Source};
use crate::dataset::Case;
use crate::digest::hex;
use crate::train::files::{is_partial, write_atomically};

/// Changes when preprocessing gives other values.
const VERSION: &str = "unetr case 1";

/// The key of a file's metadata that says where the axes point.
const AXIS_CODES: &str = "axis_codes";

/// A folder of prepared cases.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Opens a folder, making it if need be, and removes what an interrupted run left half-written.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(folder: &Path) -> Result<Self, DataError> {
        let at = |path: &Path, source| DataError::Io { path: path.into(), source };
        std::fs::create_dir_all(folder).map_err(|e| at(folder, e))?;
        for entry in std::fs::read_dir(folder).map_err(|e| at(folder, e))? {
            let path = entry.map_err(|e| at(folder, e))?.path();
            if is_partial(&path) {
                std::fs::remove_file(&path).map_err(|e| at(&path, e))?;
            }
        }
        Ok(Self { folder: folder.into() })
    }

    /// The file of a case.
    #[must_use]
    pub fn path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.safetensors"))
    }

    /// Writes a case; afterwards its file is complete or does not exist.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn write(&self, key: &str, case: &PreparedCase) -> Result<(), DataError> {
        let path = self.path(key);
        let bad = |problem: String| DataError::Cache { path: path.clone(), problem };
        let image: Vec<u8> = case.image.iter().flat_map(|value| value.to_le_bytes()).collect();
        let label: Vec<u8> = case.label.iter().flat_map(|value| value.to_le_bytes()).collect();
        let spacing: Vec<u8> = case.spacing.iter().flat_map(|value| value.to_le_bytes()).collect();
        let [x, y, z] = case.dims;
        let tensors = [
            ("image", TensorView::new(Dtype::F32, vec![case.channels, x, y, z], &image)),
            ("label", TensorView::new(Dtype::U16, vec![x, y, z], &label)),
            ("spacing", TensorView::new(Dtype::F64, vec![3], &spacing)),
        ];
        let tensors =
            tensors.into_iter().map(|(name, view)| view.map(|view| (name, view))).collect::<Result<Vec<_>, _>>();
        let metadata = HashMap::from([(AXIS_CODES.to_owned(), case.axis_codes.clone())]);
        let bytes = tensors
            .and_then(|tensors| safetensors::serialize(tensors, Some(metadata)))
            .map_err(|e| bad(format!("the case cannot be stored: {e}")))?;
        let written = write_atomically(&path, |out| out.write_all(&bytes));
        written.map_err(|e| bad(format!("{e}; free some space, or raise data.memory so that no file is needed")))
    }

    /// Reads a case.
    ///
    /// # Errors
    /// The file is missing or damaged.
    pub fn read(&self, key: &str, source: &Source) -> Result<PreparedCase, DataError> {
        let path = self.path(key);
        let bad = |problem: String| DataError::Cache {
            path: path.clone(),
            problem: format!("{problem}; start again, it is then made anew"),
        };
        let bytes = std::fs::read(&path).map_err(|e| bad(e.to_string()))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| bad(e.to_string()))?;
        let tensor = |name: &str, dtype: Dtype| {
            let found = tensors.tensor(name).map_err(|e| bad(e.to_string()))?;
            if found.dtype() == dtype { Ok(found) } else { Err(bad(format!("{name} has another type"))) }
        };
        let (image, label) = (tensor("image", Dtype::F32)?, tensor("label", Dtype::U16)?);
        let spacing = tensor("spacing", Dtype::F64)?;
        let (&[channels, x, y, z], [3]) = (image.shape(), spacing.shape()) else {
            return Err(bad("the shapes are not those of a case".into()));
        };
        if label.shape() != [x, y, z] || channels != source.channels.len() {
            return Err(bad("the shapes do not fit together".into()));
        }
        let values = numbers(image.data(), f32::from_le_bytes);
        let labels = numbers(label.data(), u16::from_le_bytes);
        let mut mm = [0.0; 3];
        mm.iter_mut().zip(numbers(spacing.data(), f64::from_le_bytes)).for_each(|(to, from)| *to = from);
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| bad(e.to_string()))?;
        let codes = header.metadata().as_ref().and_then(|m| m.get(AXIS_CODES)).cloned();
        let axis_codes = codes.ok_or_else(|| bad("it does not say where its axes point".into()))?;
        let dims = [x, y, z];
        let places = Places::new(&values, &labels, dims, source.image_threshold);
        Ok(PreparedCase { image: values, label: labels, channels, dims, spacing: mm, axis_codes, places })
    }
}

fn numbers<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| read(*chunk)).collect()
}

/// The name of a case's file: 64 hexadecimal digits that change with anything its content depends on.
///
/// # Errors
/// A file of the case cannot be read.
pub(super) fn key(source: &Source, case: &Case, files: &mut CaseFiles) -> Result<String, DataError> {
    let mut hash = Sha256::new();
    hash.update(VERSION);
    // Both are plain data, which JSON can always hold.
    for part in [serde_json::to_vec(&source.preprocess), serde_json::to_vec(&source.target)] {
        hash.update(part.map_err(|e| DataError::Stopped { problem: e.to_string() })?);
    }
    let path = case.images.first().map_or(Path::new(""), PathBuf::as_path);
    for digest in files.images.digests().map_err(|e| DataError::volume(path, e))? {
        hash.update(raw(&digest));
    }
    hash.update(raw(&files.label.digest().map_err(|e| DataError::volume(&case.label, e))?));
    Ok(hex(hash.finalize()))
}

/// The bytes that hexadecimal digits stand for.
fn raw(digits: &str) -> Vec<u8> {
    digits
        .as_bytes()
        .as_chunks::<2>()
        .0
        .iter()
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

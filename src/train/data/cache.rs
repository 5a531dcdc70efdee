//! Prepared cases as files, so that neither memory nor a restart limits a run.
//!
//! A case is one safetensors file with `image` (f32, `(C, X, Y, Z)`), `label` (u16, `(X, Y, Z)`) and `spacing` (f64,
//! `(3)`), named by SHA-256 of everything its content depends on: the `input` section, the labels' map and the case's
//! files. A changed setting or file thus has another name. Files are written under a temporary name, flushed and renamed.

use std::io;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};

use super::error::DataError;
use super::prepare::{PreparedCase, Source};
use crate::dataset::Case;
use crate::report::hex;
use crate::train::files::{is_partial, write_atomically};
use crate::volume::nifti::files_of;

/// Changes when preprocessing gives other values.
const VERSION: &str = "unetr case 1";

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
        let bytes = tensors
            .and_then(|tensors| safetensors::serialize(tensors, None))
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
        Ok(source.assemble(values, labels, channels, [x, y, z], mm))
    }
}

fn numbers<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| read(*chunk)).collect()
}

/// The name of a case's file: 64 hexadecimal digits that change with anything its content depends on.
///
/// # Errors
/// A file of the case cannot be read.
pub fn key(source: &Source, case: &Case) -> Result<String, DataError> {
    let mut hash = Sha256::new();
    hash.update(VERSION);
    // Both are plain data, which JSON can always hold.
    for part in [serde_json::to_vec(&source.preprocess), serde_json::to_vec(&source.target)] {
        hash.update(part.map_err(|e| DataError::Stopped { problem: e.to_string() })?);
    }
    for path in source.images(case).into_iter().chain([case.label.as_path()]) {
        for file in files_of(path) {
            hash.update(digest(&file).map_err(|source| DataError::Io { path: file.clone(), source })?);
        }
    }
    Ok(hex(hash.finalize()))
}

fn digest(path: &Path) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    io::copy(&mut std::fs::File::open(path)?, &mut hash)?;
    Ok(hash.finalize().into())
}

//! A model package: one safetensors file with the network's weights and, in `__metadata__["unetr"]`, the JSON that
//! says what to feed it and what its channels mean.
//!
//! # Shapes
//! Tensors have the names and shapes of the network's parameters ([`crate::nets::Architecture::parameters`]), in f32, f16 or bf16. Tensors that MONAI
//! stores but never uses are tolerated and ignored.
//!
//! # Errors
//! Every deviation is an error that names the key or the tensor; see [`WeightsError`].

mod brats;
mod ensemble;
mod facts;
mod inference;
mod input;
mod metadata;
mod output;
mod source;
mod trained_on;

use std::collections::{BTreeMap, HashSet};

pub use brats::{BRATS_ORDERS, BratsOrder, BratsRegion};
pub use inference::{Blend, InferenceSection, Rule};
pub use input::InputSection;
pub use metadata::{Format, Metadata, network_from_json};
pub use output::{Activation, Color, Label, OutputSection, Region, Resample};
pub use source::{Source, SourceFile};
pub use trained_on::{LabelVolume, Lengths, TrainedOn};

use super::dtype::Dtype;
use super::error::{WeightsError, quoted};
use super::export::counters;
use super::safetensors::{TensorView, Tensors, TensorsBuilder};
use crate::digest::sha256;
use crate::filetype::{self, FileType};
use crate::nets::Architecture;

/// Key of the package's JSON in the header's `__metadata__`.
pub(super) const KEY: &str = "unetr";

/// A model that passed every check.
#[derive(Debug)]
pub struct Package {
    metadata: Metadata,
    tensors: Tensors,
}

impl Package {
    /// Reads a package. The bytes are kept, not copied; tensors are decoded when asked for.
    ///
    /// # Errors
    /// A broken file, a missing or wrong key, a missing, unexpected or misshapen tensor, a non-finite weight.
    pub fn read(bytes: Vec<u8>) -> Result<Self, WeightsError> {
        if let Some(other) = FileType::of(bytes.get(..filetype::HEAD).unwrap_or(&bytes))
            && !bytes.is_empty()
            && other != filetype::SAFETENSORS
        {
            return Err(WeightsError::header(format!("it is {}; {}", other.name, other.remedy_as_model())));
        }
        let tensors = Tensors::read(bytes)?;
        let Some(text) = tensors.metadata().get(KEY) else {
            let problem = "its __metadata__ has no entry \"unetr\": a plain state dict? import it into a package first";
            return Err(WeightsError::header(problem));
        };
        let metadata = Metadata::from_json(text)?;
        let package = Self { metadata, tensors };
        package.check()?;
        Ok(package)
    }

    /// Makes a package of metadata and the tensors collected for it.
    ///
    /// # Errors
    /// As [`Package::read`].
    pub fn build(metadata: &Metadata, tensors: TensorsBuilder) -> Result<Self, WeightsError> {
        metadata.validate()?;
        let text = BTreeMap::from([(KEY.to_string(), metadata.to_json())]);
        Self::read(tensors.finish(&text)?.into_bytes())
    }

    /// The same tensors, byte for byte and in their order, under other metadata.
    ///
    /// # Errors
    /// Metadata that is not valid or has another network.
    pub fn with_metadata(&self, metadata: &Metadata) -> Result<Self, WeightsError> {
        let mut tensors = TensorsBuilder::new();
        for tensor in self.tensors.iter() {
            tensors.push(tensor.name, tensor.dtype, tensor.shape, tensor.bytes)?;
        }
        Self::build(metadata, tensors)
    }

    /// What the model expects and means.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Its weights.
    pub fn tensors(&self) -> &Tensors {
        &self.tensors
    }

    /// Sets of weights: 1, or as many as the package has folds.
    pub fn folds(&self) -> usize {
        self.metadata.folds.len().max(1)
    }

    /// A weight of one set: of its own, or the one that all sets share.
    pub fn weight(&self, fold: usize, name: &str) -> Option<TensorView<'_>> {
        self.tensors.get(&self.fold_tensor(fold, name)).or_else(|| self.tensors.get(name))
    }

    /// Whether a set has a weight of its own.
    pub fn has_own(&self, fold: usize, name: &str) -> bool {
        self.tensors.get(&self.fold_tensor(fold, name)).is_some()
    }

    /// The name of a weight that a set has for itself; the first set's are those of the network.
    fn fold_tensor(&self, fold: usize, name: &str) -> String {
        match (fold, self.metadata.folds.get(fold)) {
            (0, _) | (_, None) => name.to_owned(),
            (_, Some(fold)) => fold_tensor(fold, name),
        }
    }

    /// Compares the tensors with what the network needs.
    fn check(&self) -> Result<(), WeightsError> {
        let (network, tensors) = (&self.metadata.network, &self.tensors);
        let mut known = HashSet::new();
        for fold in 0..self.folds() {
            for spec in network.parameters() {
                let own = self.fold_tensor(fold, &spec.name);
                let Some(tensor) = tensors.get(&own) else {
                    if fold > 0 {
                        continue;
                    }
                    return Err(WeightsError::MissingTensor { name: quoted(&spec.name), shape: spec.shape.clone() });
                };
                check_shape(&own, tensor.shape, &spec.shape)?;
                if !matches!(tensor.dtype, Dtype::F32 | Dtype::F16 | Dtype::Bf16) {
                    let problem = format!("weights are stored as F32, F16 or BF16, not {}", tensor.dtype);
                    return Err(WeightsError::tensor(&own, problem));
                }
                tensor.check_finite()?;
                known.insert(own);
            }
        }
        refuse_unexpected(tensors.iter().map(|tensor| tensor.name).filter(|name| !known.contains(*name)), network)
    }

    /// The file, as read or built.
    pub fn file_bytes(&self) -> &[u8] {
        self.tensors.file_bytes()
    }

    /// The file itself.
    pub fn into_file_bytes(self) -> Vec<u8> {
        self.tensors.into_bytes()
    }

    /// SHA-256 of the file, 64 hexadecimal digits.
    pub fn sha256(&self) -> String {
        sha256(self.file_bytes())
    }
}

/// The name of a weight that a fold after the first has for itself.
pub(super) fn fold_tensor(fold: &str, name: &str) -> String {
    format!("folds.{fold}.{name}")
}

/// Refuses a shape other than the network's.
pub(super) fn check_shape(name: &str, found: &[usize], expected: &[usize]) -> Result<(), WeightsError> {
    if found == expected {
        return Ok(());
    }
    Err(WeightsError::WrongShape { name: quoted(name), found: found.to_vec(), expected: expected.to_vec() })
}

/// Refuses names beyond the network's, but for those that the reference program stores and never uses.
pub(super) fn refuse_unexpected<'a>(
    extra: impl Iterator<Item = &'a str>,
    network: &Architecture,
) -> Result<(), WeightsError> {
    let counters: HashSet<String> = counters(network).collect();
    let unexpected: Vec<&str> = extra.filter(|name| !network.is_unused(name) && !counters.contains(*name)).collect();
    let Some(first) = unexpected.first() else {
        return Ok(());
    };
    let others = match unexpected.len() {
        1 => String::new(),
        more => format!(" (and {} more)", more - 1),
    };
    Err(WeightsError::UnexpectedTensor { name: quoted(first), others })
}

//! Packages to state dicts, alone or in the form that another program keeps its models in.
//!
//! `load_state_dict(strict=True)` wants exactly the keys of the MONAI that loads, and versions differ in tensors that a
//! network never executes ([`crate::nets::Network::unused`]). Those are written with the values of a fresh module (norms 1
//! and 0, the rest 0); a batch norm's number of batches is written as 0. What a module registered twice holds is written under
//! both names ([`crate::nets::Network::copies`]), an index ([`crate::nets::Network::indices`]) as it follows from the arguments.
//!
//! | function | writes |
//! | --- | --- |
//! | [`export`] | a safetensors state dict |
//! | [`export_torch`] | a state dict as `torch.load` reads it |
//! | [`nnunet_folder`] | a result folder of nnU-Net v2 |

mod nnunet;
mod torch;

use std::collections::BTreeMap;

use super::dtype::Dtype;
use super::error::{WeightsError, quoted};
use super::package::Package;
use super::safetensors::{Tensors, TensorsBuilder};
use crate::nets::{Architecture, MonaiVersion};
use crate::tensor::FloatType;

pub use nnunet::nnunet_folder;

/// A state dict: what names stand for, and what is stored.
struct State {
    storages: Vec<Storage>,
    tensors: Vec<Entry>,
}

struct Storage {
    dtype: Dtype,
    bytes: Vec<u8>,
}

struct Entry {
    name: String,
    shape: Vec<usize>,
    /// Its place among the storages.
    storage: usize,
}

impl State {
    /// The weights of one set, with all that a strict loader wants.
    fn of(package: &Package, fold: usize, version: MonaiVersion, dtype: FloatType) -> Result<Self, WeightsError> {
        let network = &package.metadata().network;
        let mut state = Self { storages: Vec::new(), tensors: Vec::new() };
        for parameter in network.parameters() {
            let tensor = package.weight(fold, &parameter.name);
            let tensor = tensor.ok_or_else(|| WeightsError::MissingTensor {
                name: quoted(&parameter.name),
                shape: parameter.shape.clone(),
            })?;
            let names = std::iter::once(parameter.name.clone()).chain(network.copies(&parameter.name));
            state.push(names, &parameter.shape, dtype.into(), tensor.to_bytes(dtype)?.into_owned());
        }
        for unused in network.unused(version) {
            let count = unused.shape.iter().product();
            let values: Vec<u8> = std::iter::repeat_n(unused.value.to_le_bytes(), count).flatten().collect();
            let bytes = match dtype {
                FloatType::F32 => values,
                half => super::dtype::convert(&unused.name, Dtype::F32, &values, half)?,
            };
            state.push([unused.name], &unused.shape, dtype.into(), bytes);
        }
        for index in network.indices() {
            let bytes = index.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            state.push([index.name], &index.shape, Dtype::I64, bytes);
        }
        for counter in counters(network) {
            state.push([counter], &[], Dtype::I64, 0i64.to_le_bytes().to_vec());
        }
        Ok(state)
    }

    fn push(&mut self, names: impl IntoIterator<Item = String>, shape: &[usize], dtype: Dtype, bytes: Vec<u8>) {
        let entry = |name| Entry { name, shape: shape.to_vec(), storage: self.storages.len() };
        self.tensors.extend(names.into_iter().map(entry));
        self.storages.push(Storage { dtype, bytes });
    }
}

/// The package's weights as a safetensors state dict for one MONAI version.
///
/// # Errors
/// A weight beyond the range of `dtype`.
pub fn export(package: &Package, version: MonaiVersion, dtype: FloatType) -> Result<Tensors, WeightsError> {
    let state = State::of(package, 0, version, dtype)?;
    let mut file = TensorsBuilder::new();
    for entry in &state.tensors {
        if let Some(storage) = state.storages.get(entry.storage) {
            file.push(&entry.name, storage.dtype, &entry.shape, &storage.bytes)?;
        }
    }
    file.finish(&BTreeMap::from([("format".to_string(), "pt".to_string())]))
}

/// As [`export`], as `torch.load` reads it.
///
/// # Errors
/// As [`export`].
pub fn export_torch(package: &Package, version: MonaiVersion, dtype: FloatType) -> Result<Vec<u8>, WeightsError> {
    let state = State::of(package, 0, version, dtype)?;
    torch::write(&torch::Item::State(&state), &state)
}

/// The numbers of batches that batch norms have seen, which nothing reads.
pub(super) fn counters(network: &Architecture) -> impl Iterator<Item = String> {
    let variances = network.parameters().iter().filter(|p| p.name.ends_with(".running_var"));
    let all = variances.flat_map(|p| [vec![p.name.clone()], network.copies(&p.name)].concat());
    all.filter_map(|name| Some(format!("{}.num_batches_tracked", name.strip_suffix(".running_var")?)))
}

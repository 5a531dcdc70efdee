//! Packages to plain state dicts.
//!
//! `load_state_dict(strict=True)` wants exactly the keys of the MONAI that loads, and versions differ in tensors that a
//! network never executes ([`crate::nets::Network::unused`]). Those are written with the values of a fresh module (norms 1
//! and 0, the rest 0); a batch norm's number of batches is written as 0. What a module registered twice holds is written under
//! both names ([`crate::nets::Network::copies`]), an index ([`crate::nets::Network::indices`]) as it follows from the arguments.

use std::collections::BTreeMap;

use super::dtype::Dtype;
use super::error::{WeightsError, quoted};
use super::package::Package;
use super::safetensors::{Tensors, TensorsBuilder};
use crate::nets::{Architecture, MonaiVersion};
use crate::tensor::FloatType;

/// The package's weights as a safetensors state dict for one MONAI version.
///
/// # Errors
/// A weight beyond the range of `dtype`.
pub fn export(package: &Package, version: MonaiVersion, dtype: FloatType) -> Result<Tensors, WeightsError> {
    let network = &package.metadata().network;
    let mut file = TensorsBuilder::new();
    for parameter in network.parameters() {
        let tensor = package.tensors().get(&parameter.name);
        let tensor = tensor.ok_or_else(|| WeightsError::MissingTensor {
            name: quoted(&parameter.name),
            shape: parameter.shape.clone(),
        })?;
        let bytes = tensor.to_bytes(dtype)?;
        file.push(&parameter.name, dtype.into(), &parameter.shape, &bytes)?;
        for copy in network.copies(&parameter.name) {
            file.push(&copy, dtype.into(), &parameter.shape, &bytes)?;
        }
    }
    for unused in network.unused(version) {
        let count = unused.shape.iter().product();
        file.push_f32(&unused.name, &unused.shape, &vec![unused.value; count], dtype)?;
    }
    for index in network.indices() {
        let bytes: Vec<u8> = index.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        file.push(&index.name, Dtype::I64, &index.shape, &bytes)?;
    }
    for counter in counters(network) {
        file.push(&counter, Dtype::I64, &[], &0i64.to_le_bytes())?;
    }
    file.finish(&BTreeMap::from([("format".to_string(), "pt".to_string())]))
}

/// The numbers of batches that batch norms have seen, which nothing reads.
pub(super) fn counters(network: &Architecture) -> impl Iterator<Item = String> {
    let variances = network.parameters().iter().filter(|p| p.name.ends_with(".running_var"));
    let all = variances.flat_map(|p| [vec![p.name.clone()], network.copies(&p.name)].concat());
    all.filter_map(|name| Some(format!("{}.num_batches_tracked", name.strip_suffix(".running_var")?)))
}

//! State dicts to packages: PyTorch checkpoints and safetensors files. Which network they hold is told by their tensors.
//!
//! What the shapes tell is inferred; what they cannot tell (attention heads, the grid's shape) must be given; what
//! describes data and meaning is neutral where not given (no preprocessing, `class_1`...) and reported.
//!
//! Accepted around the network: wrapping dictionaries (`state_dict`, `model`, ...) and prefixes (`module.`,
//! `backbone.`, ...), both found by a name that every checkpoint of a network holds. Dropped: tensors MONAI stores and never
//! uses.
//! Weights that are stored twice must be equal.
//! Query, key and value weights kept apart are joined, rows q, k, v.
//!
//! # Errors
//! Checkpoints that cannot be read, hold no known network, or only its encoder; fields that contradict
//! the shapes; see [`WeightsError`].

mod bundle;
mod fields;
mod files;
mod nnunet;
mod pickle;
mod plain;
mod regions;
mod script;
mod source;
mod torch;

use std::borrow::Cow;
use std::collections::HashSet;

use sha2::{Digest, Sha256};

use super::dtype::Dtype;
use super::error::WeightsError;
use super::header;
use super::package;
use super::package::{Metadata, Package, check_shape, refuse_unexpected};
use super::safetensors::{Tensors, TensorsBuilder};
use super::shards::{self, ShardIndex};
use crate::fields::Section;
use crate::fields::json::parse_object;
use crate::nets::{Architecture, Dialect};
use crate::tensor::FloatType;
use crate::volume::steps::Step;
pub use files::FileSet;
use source::StateDict;

/// What the caller knows beyond the checkpoint.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImportOptions<'a> {
    /// JSON text with any subset of a package's fields.
    pub package: Option<&'a str>,
    /// The prefix of the network's names, for a file that holds several networks.
    pub prefix: Option<&'a str>,
    /// Type to store the weights in; as in the checkpoint (f64 as f32) where not given.
    pub dtype: Option<FloatType>,
    /// Folds of an nnU-Net result folder, by name; all numbered ones where not given.
    pub folds: Option<&'a [String]>,
    /// Which checkpoint of an nnU-Net fold; the final one where not given.
    pub checkpoint: Option<CheckpointKind>,
}

/// Which of a training's checkpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckpointKind {
    /// That of the last epoch.
    #[default]
    Final,
    /// That of the best score.
    Best,
}

impl CheckpointKind {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Final => "final",
            Self::Best => "best",
        }
    }

    /// Its file in a fold of nnU-Net.
    fn file(self) -> &'static str {
        match self {
            Self::Final => "checkpoint_final.pth",
            Self::Best => "checkpoint_best.pth",
        }
    }
}

/// A package and what was assumed for it.
#[derive(Debug)]
pub struct Imported {
    pub package: Package,
    /// One sentence per field that was not given and per part of the file that was left out.
    pub warnings: Vec<String>,
}

/// Makes a package of a checkpoint: a safetensors state dict, or a PyTorch `.pt`/`.pth` file, zip or legacy.
///
/// # Errors
/// See the module.
pub fn import(bytes: Vec<u8>, options: &ImportOptions<'_>) -> Result<Imported, WeightsError> {
    not_of_folds(options)?;
    import_given(bytes, given_fields(options)?, options)
}

/// # Errors
/// Folds are asked for where there are none.
fn not_of_folds(options: &ImportOptions<'_>) -> Result<(), WeightsError> {
    let given = [options.folds.map(|_| "folds"), options.checkpoint.map(|_| "checkpoint")];
    match given.into_iter().flatten().next() {
        None => Ok(()),
        Some(option) => {
            let problem =
                format!("the option `{option}` is for result folders of nnU-Net v2, and it is none; leave it out");
            Err(WeightsError::file("", problem))
        }
    }
}

/// Makes a package of several files: a MONAI bundle, an nnU-Net v2 result folder, or a package that was cut into files.
///
/// # Errors
/// They are none, or lack what a bundle or result folder needs.
pub fn import_files(files: FileSet, options: &ImportOptions<'_>) -> Result<Imported, WeightsError> {
    if let Some(root) = bundle::root(&files)? {
        not_of_folds(options)?;
        return bundle::import(&files.below(&root), options);
    }
    if let Some(root) = nnunet::root(&files)? {
        return nnunet::import(&files.below(&root), options);
    }
    if let Some(path) = files.paths().find(|path| path.ends_with(shards::INDEX)).map(str::to_owned) {
        return joined(&files, &path, options);
    }
    let problem = "it is no model: a MONAI bundle has configs/metadata.json and configs/inference.json, an nnU-Net result \
                   folder dataset.json, plans.json and fold_X/checkpoint_final.pth";
    Err(WeightsError::file("", format!("{problem}; {}", files.summary())))
}

/// The package that was cut into files beside an index.
fn joined(files: &FileSet, path: &str, options: &ImportOptions<'_>) -> Result<Imported, WeightsError> {
    not_of_folds(options)?;
    if options.package.is_some() || options.prefix.is_some() || options.dtype.is_some() {
        return Err(WeightsError::file(path, "it is the index of a package, which says all of itself already"));
    }
    let folder = &path[..path.rfind('/').map_or(0, |at| at + 1)];
    let within = |e: WeightsError| WeightsError::file(path, e.to_string());
    let index = ShardIndex::read(&files.text(path)?).map_err(within)?;
    let bytes = index.join(|file| files.read(&format!("{folder}{file}")))?;
    Ok(Imported { package: Package::read(bytes)?, warnings: Vec::new() })
}

/// Whether a file is a zip of several files, for [`FileSet::from_zip`] and [`import_files`], and no checkpoint.
pub fn is_zip_of_files(bytes: &[u8]) -> bool {
    torch::is_zip(bytes) && !torch::is_checkpoint(bytes)
}

/// The fields that the caller gives.
fn given_fields(options: &ImportOptions<'_>) -> Result<serde_json::Map<String, serde_json::Value>, WeightsError> {
    Ok(match options.package {
        Some(text) => parse_object("package file", text)?,
        None => serde_json::Map::new(),
    })
}

fn import_given(
    bytes: Vec<u8>,
    given: serde_json::Map<String, serde_json::Value>,
    options: &ImportOptions<'_>,
) -> Result<Imported, WeightsError> {
    if looks_like_safetensors(&bytes) {
        let tensors = Tensors::read(bytes)?;
        return convert(vec![Set::only(StateDict::from_tensors(&tensors))], given, options);
    }
    convert(vec![Set::only(torch::read(bytes)?)], given, options)
}

/// One set of weights: all there is, or a fold.
struct Set<'a> {
    name: String,
    /// Its file, if it is one of several.
    file: String,
    state: StateDict<'a>,
}

impl<'a> Set<'a> {
    fn only(state: StateDict<'a>) -> Self {
        Self { name: String::new(), file: String::new(), state }
    }
}

/// Whether a file must pass [`import`] before it is a package: anything but a safetensors file that has package metadata.
/// A broken safetensors file needs none: its reader names the fault.
pub fn needs_import(bytes: &[u8]) -> bool {
    !looks_like_safetensors(bytes)
        || header::read(bytes).is_ok_and(|header| !header.metadata.contains_key(package::KEY))
}

/// A safetensors file starts with a header length whose upper half is 0, then `{`.
fn looks_like_safetensors(bytes: &[u8]) -> bool {
    matches!(bytes, [_, _, _, _, 0, 0, 0, 0, b'{', ..])
}

/// Makes a package of one or several sets of weights; the first tells the network.
fn convert(
    sets: Vec<Set<'_>>,
    given: serde_json::Map<String, serde_json::Value>,
    options: &ImportOptions<'_>,
) -> Result<Imported, WeightsError> {
    let none = serde_json::Map::new();
    let root = Section::root(&given);
    let section = if root.has("network") { root.section("network")? } else { Section::at("network", &none) };
    let mut sets = sets.into_iter();
    let Some(Set { state, .. }) = sets.next() else {
        return Err(WeightsError::checkpoint("there is none"));
    };
    let (network_type, state, mut warnings) = state.select(options.prefix, &section)?;
    let dialect = network_type.dialect;
    let shapes = state.shapes();
    let told = |e| WeightsError::dialect(network_type.name, e);
    let asked = regions::undetermined(&given, dialect.out_channels(&shapes).map_err(told)?)?;
    let network = match (dialect.infer(&shapes, &section).map_err(told), asked) {
        (Ok(network), None) => network,
        (Ok(_), Some(field)) => return Err(WeightsError::Undetermined { fields: vec![field] }),
        (Err(WeightsError::Undetermined { mut fields }), asked) => {
            fields.extend(asked);
            return Err(WeightsError::Undetermined { fields });
        }
        (Err(e), _) => return Err(e),
    };
    warnings.extend(dialect.assumed(&section));
    let mut rest = Vec::new();
    for Set { name, file, state } in sets {
        let within = |e: WeightsError| WeightsError::file(&file, e.to_string());
        let (_, state, _) = state.select(options.prefix, &section).map_err(within)?;
        rest.push((name, file, state));
    }
    let object = fields::complete(given, &network, &mut warnings);
    let metadata = Metadata::from_object(object)?;
    warnings.extend(stored_axes(&metadata));
    let mut tensors = TensorsBuilder::new();
    let network = &metadata.network;
    let digests = add_weights(&mut tensors, network, dialect, &state, options, None)?;
    for (name, file, state) in rest {
        add_weights(&mut tensors, network, dialect, &state, options, Some((&name, &digests))).map_err(|e| {
            WeightsError::file(
                &file,
                format!("fold {name} is not like the first: {e}; the option `folds` takes those that are alike"),
            )
        })?;
    }
    Ok(Imported { package: Package::build(&metadata, tensors)?, warnings })
}

/// What is to be told of a model that sees scans as they are stored.
fn stored_axes(metadata: &Metadata) -> Option<String> {
    let input = &metadata.input.preprocess;
    let as_stored = "the network sees scans as they are stored, and these differ between scanners";
    // nnU-Net's own order is that of its training.
    let transposed = input.steps.iter().any(|step| matches!(step, Step::Transpose(_)));
    match (input.axcodes(), input.spacing()) {
        (None, None) => Some(format!("input.orientation and input.spacing are null: {as_stored}")),
        (None, _) if !transposed => Some(format!("input.orientation is null: {as_stored}")),
        (_, None) => Some(format!("input.spacing is null: {as_stored}")),
        _ => None,
    }
}

/// Adds the network's weights; of a fold after the first only those that differ from it. Gives a digest of each.
fn add_weights(
    tensors: &mut TensorsBuilder,
    network: &Architecture,
    dialect: &dyn Dialect,
    state: &StateDict<'_>,
    options: &ImportOptions<'_>,
    fold: Option<(&str, &[[u8; 32]])>,
) -> Result<Vec<[u8; 32]>, WeightsError> {
    let mut used = HashSet::new();
    let mut digests = Vec::new();
    for (at, spec) in network.parameters().iter().enumerate() {
        let copies = network.copies(&spec.name);
        let tensor = state.gather(dialect, &spec.name, &copies, &spec.shape)?;
        check_shape(&spec.name, &tensor.shape, &spec.shape)?;
        let data = tensor.read()?;
        let dtype = match (options.dtype, tensor.dtype) {
            (Some(to), _) => Dtype::from(to),
            (None, Dtype::F64) => Dtype::F32,
            (None, stored) => stored,
        };
        let data =
            super::safetensors::TensorView { name: &spec.name, dtype: tensor.dtype, shape: &spec.shape, bytes: &data };
        data.check_finite()?;
        let bytes = match dtype {
            Dtype::F32 => data.to_bytes(FloatType::F32)?,
            Dtype::F16 => data.to_bytes(FloatType::F16)?,
            _ => Cow::Borrowed(data.bytes),
        };
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        match fold {
            None => tensors.push(&spec.name, dtype, &spec.shape, &bytes)?,
            Some((_, first)) if first.get(at) == Some(&digest) => {}
            Some((name, _)) => tensors.push(&package::fold_tensor(name, &spec.name), dtype, &spec.shape, &bytes)?,
        }
        for copy in copies {
            state.check_copy(&tensor, &copy)?;
            used.insert(copy);
        }
        digests.push(digest);
        used.extend(tensor.sources);
    }
    refuse_unexpected(state.names().filter(|name| !used.contains(*name)), network)?;
    Ok(digests)
}

//! Model files: the package the program runs, and the state dicts of MONAI it comes from and goes to.
//!
//! | module | is |
//! | --- | --- |
//! | [`safetensors`] | the container: named tensors over one buffer, read strictly, written deterministically |
//! | [`package`] | a model: tensors and the JSON that says what they expect and mean |
//! | [`mod@import`] | PyTorch checkpoints and safetensors state dicts to packages |
//! | [`shards`] | a package in files of a size that any server keeps |
//! | [`mod@export`] | packages to state dicts that a chosen MONAI loads with `strict=True` |
//!
//! Everything works on bytes in memory; paths are the caller's business. No pickle is ever executed: a pickle is
//! checked by [`mod@import`] and read as data.

mod dtype;
mod error;
pub mod export;
mod header;
pub mod import;
pub mod package;
pub mod safetensors;
pub mod shards;

pub use crate::nets::{MonaiVersion, Undetermined};
pub use crate::tensor::FloatType;
pub use dtype::Dtype;
pub use error::WeightsError;
pub use export::{export, export_torch, nnunet_folder};
pub use import::{
    CheckpointKind, FileSet, ImportOptions, Imported, import, import_files, is_zip_of_files, needs_import,
};
pub use package::{Metadata, Package};
pub use safetensors::{TensorView, Tensors, TensorsBuilder};

//! From a dataset to batches: split, preprocessing, crops, augmentation, and threads that keep a few batches ready.
//!
//! ```text
//! Dataset -> split -> Prepared::new: every case read, checked, preprocessed once (memory, then RUN/cache)
//!                  -> Sampler: (epoch, case, sample) -> crop -> geometry -> intensity -> input and label
//!                  -> Loader: batches in order, made by background threads
//! ```
//! | module | holds |
//! | --- | --- |
//! | [`recipe`] | the recipe's sections `[data]` and `[augment]` |
//! | [`mod@split`], [`subject`] | training and validation cases that share no subject |
//! | `names` | what the dataset calls channels and labels, against the recipe |
//! | [`target`], [`task`] | from label values to what the network is to answer; what data has to fit |
//! | [`prepare`], [`prepared`], [`cache`] | cases on the model's grid |
//! | [`crop`] | where windows are cut |
//! | [`augment`] | the random transforms, one file each |
//! | [`sampler`], [`loader`] | samples, batches, threads |
//!
//! Every random number comes from a generator keyed by (seed, epoch, case, sample), see [`random`]: the batches of a run are
//! the same whatever the number of threads, and a run that starts at batch `n` sees what an unbroken one would.

pub mod augment;
pub mod cache;
pub mod crop;
mod error;
pub mod loader;
mod names;
pub mod prepare;
pub mod prepared;
pub mod random;
pub mod recipe;
pub mod sampler;
pub mod split;
pub mod subject;
pub mod target;
pub mod task;

pub use augment::AugmentRecipe;
pub use error::{CaseError, DataError};
pub use loader::Loader;
pub use names::check_names;
pub use prepare::{PreparedCase, RawCase, Source};
pub use prepared::{CaseFacts, Checked, PreparedDataset, check};
pub use recipe::DataRecipe;
pub use sampler::{Batch, BatchIndex, Sampler};
pub use split::{Split, split};
pub use target::Target;
pub use task::Task;

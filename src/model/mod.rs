//! UNETR: configuration, names of its weights, and the network as a graph.

mod blocks;
pub mod config;
mod dropout;
pub mod names;
mod unetr;
mod vit;

pub use config::{ConfigError, NormName, ProjType, UnetrConfig};
pub use dropout::DropoutOptions;
pub use names::{ParameterSpec, parameter_count, parameters};
pub use unetr::{Network, unetr, unetr_with_dropout};

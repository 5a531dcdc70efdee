//! Networks: what each is made of, and what is known of its parameters.
//!
//! | module | holds |
//! | --- | --- |
//! | [`network`] | what a network says of itself, and [`Architecture`], any of them |
//! | [`registry`] | the networks, one line each |
//! | [`builder`] | the graph being built, and [`Built`], what comes of it |
//! | [`parameter`] | a parameter: name, shape, first values, decay; said once, where its layer is made |
//! | [`layers`] | layers that several networks share |
//! | [`dialect`] | what other programs call a network's tensors |
//! | [`config`] | what can be wrong with arguments |
//!
//! A network is a folder of three files: its configuration, its layers (`mod.rs`) and its dialect.

pub mod attention_unet;
pub mod basic_unet;
pub mod builder;
pub mod config;
pub mod dialect;
pub mod dynunet;
pub mod layers;
pub mod network;
pub mod nnunet;
pub mod parameter;
pub mod registry;
pub mod segresnet;
pub mod segresnet_ds;
pub mod setr;
pub mod swin_unetr;
pub mod transbts;
pub mod unet;
pub mod unetr;

pub use attention_unet::AttentionUnetConfig;
pub use basic_unet::BasicUNetConfig;
pub use builder::{Build, Built, Net};
pub use config::ConfigError;
pub use dialect::{Dialect, DialectError, Index, MonaiVersion, Shapes, Undetermined, Unused};
pub use dynunet::DynUNetConfig;
pub use layers::dropout::DropoutOptions;
pub use layers::norm::NormName;
pub use layers::vit::ProjType;
pub use network::{Architecture, Network, Output, Stage, Tail, Window};
pub use nnunet::NnUNetConfig;
pub use parameter::{Init, Kind, Parameter};
pub use registry::{NETWORKS, NetworkType};
pub use segresnet::SegResNetConfig;
pub use segresnet_ds::SegResNetDsConfig;
pub use setr::SetrConfig;
pub use swin_unetr::SwinUnetrConfig;
pub use transbts::TransBtsConfig;
pub use unet::UNetConfig;
pub use unetr::UnetrConfig;

//! Kernels, graphs, plans and the network on this machine's adapter, against their twins and against MONAI.

#[path = "../support/mod.rs"]
mod support;

mod architecture;
mod golden;
#[cfg(feature = "train")]
mod gradients;
mod kernels;
mod networks;
#[cfg(feature = "train")]
mod not_finite;
#[cfg(feature = "train")]
mod parts;
mod plan;
mod resume;
mod shaders;
mod tuning;

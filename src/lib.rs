//! UNETR, a vision transformer for 3-D medical image segmentation, as WGSL compute shaders on any GPU.
pub mod gpu;
pub mod graph;
pub mod infer;
pub mod kernels;
pub mod metrics;
pub mod model;
pub mod tensor;
#[cfg(feature = "train")]
pub mod train;
pub mod volume;
pub mod weights;

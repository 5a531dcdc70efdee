use crate::gpu::GpuError;
use crate::graph::{GraphError, PlanError};
use crate::nets::ConfigError;
use crate::volume::VolumeError;
use crate::weights::WeightsError;

/// Why a scan could not be segmented.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InferError {
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// From the model package or a reference file.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// A tensor of a reference file is missing or has another shape.
    #[error("reference file: {0}")]
    Reference(String),
    /// The scan has another number of channels than the model.
    #[error(
        "the scan has {got} channel(s), the model needs {want}: {names}. Give one file per channel in this order, or one 4-D file"
    )]
    Channels {
        /// What the scan has.
        got: usize,
        /// What the model needs.
        want: usize,
        names: String,
    },
    /// The scan has more voxels than this adapter can bind.
    #[error(
        "the scan has {}x{}x{} voxels on the model's grid: one class of {planes} planes needs {bytes} bytes in one buffer, \
         this adapter binds {limit}",
        dims[0], dims[1], dims[2]
    )]
    VolumeTooLarge {
        /// Voxels along X, Y, Z on the model's grid.
        dims: [usize; 3],
        /// Planes of the ring of sums.
        planes: usize,
        /// Bytes of one class of them.
        bytes: u64,
        /// Bytes that can be bound.
        limit: u64,
    },
    /// The window has a tensor that is larger than this adapter can bind.
    #[error(
        "a window of {},{},{} voxels: {tensor} needs {bytes} bytes in one buffer; this adapter binds at most {limit}, which is \
         enough for {},{},{}",
        window[0], window[1], window[2], fits[0], fits[1], fits[2]
    )]
    WindowTooLarge {
        /// Voxels along X, Y, Z.
        window: [usize; 3],
        /// The tensor and its shape.
        tensor: String,
        bytes: u64,
        /// Bytes that can be bound.
        limit: u64,
        /// A window that fits.
        fits: [usize; 3],
    },
    /// The model has no tensor of this name.
    #[error("the model has no tensor '{name}'")]
    MissingTensor { name: String },
    /// An option out of its range.
    #[error("{option} {value}: {rule}")]
    Option {
        option: &'static str,
        value: String,
        /// What it must be.
        rule: String,
    },
    /// The caller stopped the run.
    #[error("cancelled after {done} of {total} windows")]
    Cancelled { done: usize, total: usize },
    /// Values that are not finite came out: weights or input broke the arithmetic.
    #[error(
        "the network gave {count} values that are not finite. Check the scan's intensities and the model's `input` section"
    )]
    NotFinite { count: usize },
}

/// What can go wrong between the program and the GPU.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// There is no adapter at all.
    #[error(
        "no GPU adapter found. Install a Vulkan, Metal or DX12 driver; without a GPU, Debian and Ubuntu have a software \
         driver: apt-get install mesa-vulkan-drivers"
    )]
    NoAdapter,
    /// The adapter asked for is not there.
    #[error("no adapter matches '{wanted}'. Adapters here: {available}")]
    AdapterNotFound {
        /// What was asked for.
        wanted: String,
        available: String,
    },
    /// The adapter gave no device.
    #[error("adapter '{adapter}' gave no device: {reason}")]
    NoDevice {
        adapter: String,
        /// The driver's words.
        reason: String,
    },
    /// The device could not give the memory.
    #[error(
        "the GPU is out of memory while allocating {what}. Close other programs that use the GPU, choose a model with a \
         smaller window, or use another adapter"
    )]
    OutOfMemory {
        /// What was being allocated.
        what: String,
    },
    /// The device was lost: driver reset, unplugged, or destroyed.
    #[error("the GPU device was lost: {reason}. Run again; if it repeats, the driver resets long work: update it")]
    DeviceLost {
        /// The driver's words.
        reason: String,
    },
    /// A command or shader was refused: a fault of this program or of the driver.
    #[error("the GPU refused a command: {0}")]
    Validation(String),
    /// A buffer could not be read back.
    #[error("reading {what} back from the GPU failed: {reason}")]
    Readback {
        /// Which buffer.
        what: String,
        /// The driver's words.
        reason: String,
    },
    /// Work that was submitted did not run although nothing was reported.
    #[error(
        "the GPU dropped submitted work without saying so ({done} of {submitted} submissions ran). No result is given"
    )]
    WorkDropped {
        /// Submissions that ran.
        done: u32,
        /// Submissions made.
        submitted: u32,
    },
}

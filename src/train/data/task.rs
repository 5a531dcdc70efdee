//! What data has to fit of the network: windows, channels and classes.

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Voxels of a window along X, Y, Z.
    pub window: [usize; 3],
    /// Channels of an image.
    pub channels: usize,
    /// Channels of the logits: classes with background, or regions.
    pub classes: usize,
}

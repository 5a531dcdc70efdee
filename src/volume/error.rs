//! What can be wrong with a volume, its file or its geometry.

use thiserror::Error;

/// Errors of reading, writing and transforming volumes.
///
/// Each message names the thing that is wrong, its value, and what would be right.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// The bytes are no NIfTI header at all.
    #[error("not a NIfTI file: {reason}")]
    NotNifti { reason: String },

    /// A header field holds a value that cannot be used.
    #[error("NIfTI header: {field} is {value}: {problem}")]
    Header { field: &'static str, value: String, problem: String },

    /// A gzip stream is damaged or holds more than its header declares.
    #[error("gzip: {problem}")]
    Compression { problem: String },

    /// The file ends before what it declares.
    #[error("{what} is cut short: {needed} bytes declared, {found} present")]
    Truncated { what: &'static str, needed: u64, found: u64 },

    /// The voxels need more memory than allowed.
    #[error("the volume needs {needed} bytes, more than the limit of {limit}")]
    TooLarge { needed: u64, limit: u64 },

    /// A `.hdr` header came without its `.img`.
    #[error("the header is of a .hdr/.img pair: the .img file with the voxels is needed too")]
    ImageMissing,

    /// sform and qform put left and right, or the axes, differently.
    #[error(
        "sform says {sform} and qform says {qform}: the sides of this scan are not known; \
         choose one of the two explicitly if you know which is right"
    )]
    SidesDisagree { sform: String, qform: String },

    /// The file states no orientation and a stated one was asked for.
    #[error("sform_code and qform_code are both 0: the file does not say which side is left")]
    SidesUnknown,

    /// An affine that maps no volume to space.
    #[error("affine from {origin}: {problem}")]
    Affine { origin: &'static str, problem: String },

    /// Dimensions, channels and lengths that do not fit together.
    #[error("{what}: expected {expected}, got {got}")]
    Shape { what: &'static str, expected: String, got: String },

    /// A label image with values that are no labels.
    #[error("labels: voxel ({x}, {y}, {z}) is {value}: labels are whole numbers from 0 to 65535")]
    Label { x: usize, y: usize, z: usize, value: f64 },

    /// A setting that cannot be applied.
    #[error("{setting} is {value}: {problem}")]
    Setting { setting: &'static str, value: String, problem: &'static str },

    /// Nothing remains after the foreground crop.
    #[error("no voxel is above 0 after intensity scaling: there is no foreground to segment")]
    NoForeground,

    /// Files that are DICOM, or should be.
    #[cfg(feature = "dicom")]
    #[error(transparent)]
    Dicom(#[from] super::dicom::DicomError),

    /// Reading or writing failed outside of the format.
    #[error("{path}: {source}")]
    Io { path: String, source: std::io::Error },
}

impl VolumeError {
    pub(crate) fn header(field: &'static str, value: impl ToString, problem: impl Into<String>) -> Self {
        Self::Header { field, value: value.to_string(), problem: problem.into() }
    }

    pub(crate) fn shape(what: &'static str, expected: impl ToString, got: impl ToString) -> Self {
        Self::Shape { what, expected: expected.to_string(), got: got.to_string() }
    }
}

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
    #[error("{format} header: {field} is {value}: {problem}")]
    Header { format: &'static str, field: String, value: String, problem: String },

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

    /// A header came without a file that it names.
    #[error("its voxels lie in {file}, which is needed too: give both files, side by side")]
    VoxelsMissing { file: String },

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
    #[error("labels: voxel ({x}, {y}, {z}) is {value}: labels are whole numbers from 0 to {limit}")]
    Label { x: usize, y: usize, z: usize, value: f64, limit: u32 },

    /// Two images that should lie on one grid lie on two.
    #[error("{first} and {second} must lie on one grid: {problem}")]
    Grids { first: String, second: String, problem: String },

    /// An error of one of several files.
    #[error("{file}: {source}")]
    File { file: String, source: Box<VolumeError> },

    /// A file whose name says another contrast than the place among the channels that it would take.
    #[error(
        "{file} is {named} by its name and would be taken as {}: give the files in the order {}, or rename it if its name is \
         wrong",
        .channels.get(*.place).map_or("a channel", String::as_str), .channels.join(", ")
    )]
    Channel { file: String, named: String, place: usize, channels: Vec<String> },

    /// A zip that is not opened.
    #[error("{file}: {problem}")]
    Archive { file: String, problem: String },

    /// Files of formats that cannot be read together.
    #[error("{file} is {format} and others are {others}: give one kind alone")]
    MixedFormats { file: String, format: &'static str, others: &'static str },

    /// Series or acquisitions were chosen, but not one for each scan.
    #[error("{what} is chosen {given} time(s) for {scans} scans: choose one for each")]
    Choices { what: &'static str, given: usize, scans: usize },

    /// A series or acquisition was chosen of a file that holds none.
    #[error("{file} is {format}: {what} can only be chosen of DICOM")]
    NoChoice { what: &'static str, file: String, format: &'static str },

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
        Self::field("NIfTI", field, value, problem)
    }

    /// A field of another format's header.
    pub(crate) fn field(
        format: &'static str,
        field: impl Into<String>,
        value: impl ToString,
        problem: impl Into<String>,
    ) -> Self {
        // Headers are text, and may hold anything.
        let value: String = value.to_string().chars().take(200).flat_map(char::escape_default).collect();
        Self::Header { format, field: field.into(), value, problem: problem.into() }
    }

    /// The same error, told of a file.
    #[must_use]
    pub fn of(self, file: &str) -> Self {
        match self {
            Self::Io { .. } | Self::File { .. } | Self::Archive { .. } | Self::Grids { .. } | Self::Channel { .. } => {
                self
            }
            source => Self::File { file: file.to_owned(), source: Box::new(source) },
        }
    }

    /// The voxel at a place in `(X, Y, Z)` that is no label.
    pub(crate) fn label(at: usize, [_, ny, nz]: [usize; 3], value: f64, limit: u32) -> Self {
        Self::Label { x: at / (ny * nz), y: at / nz % ny, z: at % nz, value, limit }
    }

    pub(crate) fn shape(what: &'static str, expected: impl ToString, got: impl ToString) -> Self {
        Self::Shape { what, expected: expected.to_string(), got: got.to_string() }
    }
}

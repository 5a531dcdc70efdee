//! The package's `source` section: the files of another program that it was made of.

use serde::{Deserialize, Serialize};

/// Files of another program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The program whose form they have, such as `nnU-Net v2`.
    pub program: String,
    /// What they were made with, as they say: a trainer, a version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<String>,
    pub files: Vec<SourceFile>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Its path within the folder that was imported.
    pub file: String,
    /// SHA-256 of its bytes, 64 hexadecimal digits.
    pub sha256: String,
}

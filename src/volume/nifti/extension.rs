//! Header extensions: blocks of `esize`, `ecode` and content between header and voxels.

use crate::volume::VolumeError;
use crate::volume::datatype::Endian;

/// `ecode` of free text (NIFTI_ECODE_COMMENT).
pub const COMMENT: i32 = 6;
/// `ecode` of Caret and Connectome Workbench XML (NIFTI_ECODE_CARET), which holds label tables.
pub const CARET: i32 = 30;

/// More than any program writes; a file that is full of empty ones would take many times its size in memory.
const MOST: usize = 1024;

/// One header extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    pub code: i32,
    /// Content without the zeros that pad it to 16 bytes.
    pub data: Vec<u8>,
}

impl Extension {
    /// The content as text, if it is UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.data).ok()
    }

    /// `esize`, `ecode`, content and zeros up to a multiple of 16 bytes.
    pub(super) fn encode(&self) -> Result<Vec<u8>, VolumeError> {
        let size = (self.data.len() + 8).next_multiple_of(16);
        let esize =
            i32::try_from(size).map_err(|_| VolumeError::header("extension size", size, "2 GiB is the limit"))?;
        let mut out = Vec::with_capacity(size);
        out.extend_from_slice(&esize.to_le_bytes());
        out.extend_from_slice(&self.code.to_le_bytes());
        out.extend_from_slice(&self.data);
        out.resize(size, 0);
        Ok(out)
    }
}

/// Reads the extensions in `region`, the bytes after the extender up to the voxels (or the end of a
/// `.hdr` file).
///
/// # Errors
/// An extension smaller than its own head or longer than the region; more than 1,024 of them.
pub(super) fn parse(
    mut region: &[u8],
    endian: Endian,
    warnings: &mut Vec<String>,
) -> Result<Vec<Extension>, VolumeError> {
    let mut found = Vec::new();
    let mut odd = None;
    while let Some((head, _)) = region.split_first_chunk::<8>() {
        if region.iter().all(|&b| b == 0) {
            break;
        }
        let [s0, s1, s2, s3, c0, c1, c2, c3] = *head;
        let (size, code) = (endian.i32([s0, s1, s2, s3]), endian.i32([c0, c1, c2, c3]));
        let bad = |problem: String| Err(VolumeError::header("extension size", size, problem));
        let Ok(length) = usize::try_from(size) else {
            return bad("at least 8 bytes are needed".into());
        };
        if length < 8 {
            return bad("at least 8 bytes are needed".into());
        }
        let Some(block) = region.get(8..length) else {
            return bad(format!("only {} bytes are left before the voxels", region.len()));
        };
        if found.len() == MOST {
            return bad(format!("there are more than {MOST} extensions: the header is damaged"));
        }
        if length % 16 != 0 {
            odd.get_or_insert(size);
        }
        let end = block.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
        found.push(Extension { code, data: block[..end].to_vec() });
        region = &region[length..];
    }
    warnings.extend(odd.map(|size| format!("extension size {size} is not a multiple of 16")));
    Ok(found)
}

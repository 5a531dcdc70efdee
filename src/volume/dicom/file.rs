//! A file: preamble, its own header (group 0002), and the data set behind it (PS3.10, 7).

use super::elements::{EXPLICIT_BIG, EXPLICIT_LITTLE, Elements, Encoding, IMPLICIT_LITTLE};
use super::error::DicomError;
use super::syntax::{Coding, Syntax};
use super::tags;
use super::values::DataSet;

/// What the user is told where a list of files stands for its folder.
pub(super) const LIST_READ: &str = "DICOMDIR is a list of other files: the folder in which it lies is read";

const PREAMBLE: usize = 128;
const MAGIC: &[u8] = b"DICM";
/// Media Storage Directory Storage.
const MEDIA_DIRECTORY: &str = "1.2.840.10008.1.3.10";

/// A data set and how it is encoded.
pub(super) struct File<'a> {
    /// It lists other files (`DICOMDIR`).
    pub directory: bool,
    pub syntax: Syntax,
    pub data: &'a [u8],
}

/// True if the bytes begin as a DICOM file does, or as one without preamble and signature. The first 132 bytes suffice.
/// Never fails.
#[must_use]
pub fn is_dicom(bytes: &[u8]) -> bool {
    has_magic(bytes) || guess(bytes).is_some()
}

/// True if the bytes begin as those of a `DICOMDIR`, which lists other files.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn is_directory(bytes: &[u8]) -> bool {
    has_magic(bytes) && File::open(bytes).is_ok_and(|file| file.directory)
}

fn has_magic(bytes: &[u8]) -> bool {
    bytes.get(PREAMBLE..PREAMBLE + MAGIC.len()) == Some(MAGIC)
}

/// The encoding of a file that begins with its first element: of group 0002 or 0008, with a value representation or a
/// small even length.
fn guess(bytes: &[u8]) -> Option<Encoding> {
    let [g0, g1, _, e1, v0, v1, l0, l1, ..] = *bytes else { return None };
    let explicit = v0.is_ascii_uppercase() && v1.is_ascii_uppercase();
    match (g0, g1) {
        (0x02 | 0x08, 0) if explicit => Some(EXPLICIT_LITTLE),
        (0, 0x08) if explicit => Some(EXPLICIT_BIG),
        // The length of a first element is that of a short text or number.
        (0x08, 0) if v0 & 1 == 0 && [v1, l0, l1] == [0; 3] && e1 == 0 => Some(IMPLICIT_LITTLE),
        _ => None,
    }
}

/// The encoding that the first element shows. Where the transfer syntax says otherwise, it is the syntax that is wrong: so
/// read pydicom and dcm2niix.
fn shown(data: &[u8], stated: Encoding) -> Encoding {
    let [g0, g1, _, _, v0, v1, ..] = *data else { return stated };
    let big = match (g0, g1) {
        (0, 1..) => true,
        (1.., 0) => false,
        _ => stated.big,
    };
    // As a length without representation, two letters would be 16 kB and more.
    Encoding { explicit: v0.is_ascii_uppercase() && v1.is_ascii_uppercase(), big }
}

impl<'a> File<'a> {
    /// # Errors
    /// No DICOM, a damaged header, or a transfer syntax that is not read.
    pub fn open(bytes: &'a [u8]) -> Result<Self, DicomError> {
        let start = if has_magic(bytes) { PREAMBLE + MAGIC.len() } else { 0 };
        let rest = bytes.get(start..).unwrap_or_default();
        let guessed = guess(rest);
        if start == 0 && guessed.is_none() {
            let reason = "it has no signature DICM behind 128 bytes, and does not begin with an element either";
            return Err(DicomError::NotDicom { reason });
        }
        let mut meta = Elements::new(rest, EXPLICIT_LITTLE);
        let mut end = 0;
        while meta.peek().is_some_and(|tag| tag >> 16 == 2) {
            meta.next()?;
            end = meta.position();
        }
        let (head, data) = rest.split_at(end);
        let head = DataSet::read(head, EXPLICIT_LITTLE)?;
        let directory = head.text(&tags::MEDIA_STORAGE_CLASS).is_some_and(|class| class == MEDIA_DIRECTORY);
        let syntax = match head.text(&tags::TRANSFER_SYNTAX) {
            Some(uid) => Syntax::of(&uid)?,
            // PS3.5 (10.1) makes implicit little-endian the default.
            None => Syntax { encoding: IMPLICIT_LITTLE, coding: Coding::Native },
        };
        Ok(Self { directory, syntax: Syntax { encoding: shown(data, syntax.encoding), ..syntax }, data })
    }
}

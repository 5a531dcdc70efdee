//! Transfer syntaxes (PS3.5, A; PS3.6, table A-1).

use super::elements::{EXPLICIT_BIG, EXPLICIT_LITTLE, Encoding, IMPLICIT_LITTLE};
use super::error::DicomError;

/// How pixels are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Native,
    Rle,
    Jpeg,
    JpegLs,
    Jpeg2000,
    /// Pixels that are not decoded here.
    Other(&'static str, Convert),
}

/// A command that unpacks pixels.
type Convert = &'static str;

/// Encoding of elements and pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Syntax {
    pub encoding: Encoding,
    pub coding: Coding,
}

impl Syntax {
    const fn packed(coding: Coding) -> Self {
        Self { encoding: EXPLICIT_LITTLE, coding }
    }

    /// # Errors
    /// A syntax whose elements are not read, named with a way to convert it.
    pub fn of(uid: &str) -> Result<Self, DicomError> {
        const ANY: &str = "gdcmconv --raw IN OUT";
        const SERIES: &str = "dcm2niix -o FOLDER SERIES";
        let other = |name, convert| Ok(Self::packed(Coding::Other(name, convert)));
        match uid.strip_prefix("1.2.840.10008.1.2") {
            Some("") => Ok(Self { encoding: IMPLICIT_LITTLE, coding: Coding::Native }),
            Some(".1") => Ok(Self::packed(Coding::Native)),
            Some(".2") => Ok(Self { encoding: EXPLICIT_BIG, coding: Coding::Native }),
            Some(".5") => Ok(Self::packed(Coding::Rle)),
            Some(".4.50" | ".4.51" | ".4.57" | ".4.70") => Ok(Self::packed(Coding::Jpeg)),
            Some(".4.90" | ".4.91") => Ok(Self::packed(Coding::Jpeg2000)),
            Some(".4.80" | ".4.81") => Ok(Self::packed(Coding::JpegLs)),
            Some(".4.92" | ".4.93") => other("JPEG 2000 Part 2", ANY),
            Some(".4.110" | ".4.111" | ".4.112") => other("JPEG XL", SERIES),
            Some(".4.201" | ".4.202" | ".4.203") => other("High-Throughput JPEG 2000", SERIES),
            Some(rest) if rest.starts_with(".4.10") => other("MPEG video", SERIES),
            Some(".1.99") => {
                let (name, convert) =
                    ("Deflated Explicit VR Little Endian".into(), "dcmconv --write-xfer-little IN OUT");
                Err(DicomError::Syntax { name, convert })
            }
            _ => Err(DicomError::Syntax { name: uid.to_owned(), convert: ANY }),
        }
    }

    /// # Errors
    /// Pixels that are not decoded, named with a way to convert them.
    pub fn check(self) -> Result<(), DicomError> {
        match self.coding {
            Coding::Other(name, convert) => Err(DicomError::Syntax { name: name.to_owned(), convert }),
            _ => Ok(()),
        }
    }
}

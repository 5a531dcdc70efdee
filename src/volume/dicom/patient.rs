//! What a file says of patient and study, taken as it is for files that are made of the same series.

use super::elements::Elements;
use super::error::DicomError;
use super::file::File;
use crate::volume::source::Patient;

/// Attributes of patient, study and series that an object made of a series takes over (PS3.3, C.7.1 and C.7.2), all of them
/// text. What is written and what is asked for elsewhere is in [`super::tags`].
const TAKEN: [(u32, &[u8; 2]); 20] = [
    (0x0008_0005, b"CS"), // Specific Character Set
    (0x0008_0020, b"DA"), // Study Date
    (0x0008_0030, b"TM"), // Study Time
    (0x0008_0050, b"SH"), // Accession Number
    (0x0008_0090, b"PN"), // Referring Physician's Name
    (0x0008_1030, b"LO"), // Study Description
    (0x0010_0010, b"PN"), // Patient's Name
    (0x0010_0020, b"LO"), // Patient ID
    (0x0010_0021, b"LO"), // Issuer of Patient ID
    (0x0010_0030, b"DA"), // Patient's Birth Date
    (0x0010_0040, b"CS"), // Patient's Sex
    (0x0010_1010, b"AS"), // Patient's Age
    (0x0010_1020, b"DS"), // Patient's Size
    (0x0010_1030, b"DS"), // Patient's Weight
    (0x0012_0062, b"CS"), // Patient Identity Removed
    (0x0012_0063, b"LO"), // De-identification Method
    (0x0018_0015, b"CS"), // Body Part Examined
    (0x0020_0010, b"SH"), // Study ID
    (0x0020_0011, b"IS"), // Series Number
    (0x0020_1040, b"LO"), // Position Reference Indicator
];
/// Longer values are none of these.
const MOST: usize = 1024;

/// # Errors
/// The file's header is damaged. What lies behind a damaged element is left out.
pub(super) fn patient(bytes: &[u8]) -> Result<Patient, DicomError> {
    let file = File::open(bytes)?;
    let mut elements = Elements::new(file.data, file.syntax.encoding);
    let last = TAKEN.last().map_or(0, |(tag, _)| *tag);
    let mut taken: Vec<(u32, [u8; 2], Vec<u8>)> = Vec::new();
    while elements.peek().is_some_and(|tag| tag <= last) {
        let Ok(Some(element)) = elements.next() else { break };
        let Some((tag, vr)) = TAKEN.iter().find(|(tag, _)| *tag == element.tag) else { continue };
        let end = element.body.iter().rposition(|b| !matches!(b, b' ' | 0)).map_or(0, |at| at + 1);
        if (1..=MOST).contains(&end) && taken.iter().all(|(other, ..)| other != tag) {
            taken.push((*tag, **vr, element.body[..end].to_vec()));
        }
    }
    Ok(Patient(taken))
}

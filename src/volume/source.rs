//! The DICOM series that an image was read from: what results about it refer to.

use std::fmt;

use serde::{Serialize, Serializer};

use super::grid::VoxelGrid;

/// A series, its slices in the order of the volume's third axis.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceSeries {
    /// Study Instance UID; empty if the files do not say.
    pub study_instance_uid: String,
    /// Series Instance UID; empty if the files do not say.
    pub series_instance_uid: String,
    /// Frame of Reference UID; empty if the files do not say.
    pub frame_of_reference_uid: String,
    pub slices: Vec<SourceSlice>,
    /// The series' own grid: X along its columns, Y along its rows, Z along its slices.
    pub grid: VoxelGrid,
    /// Patient and study, for DICOM files that are made of the series and for nothing else.
    pub patient: Patient,
}

/// A slice of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceSlice {
    pub sop_class_uid: String,
    /// Empty if the file does not say.
    pub sop_instance_uid: String,
    /// Of a file of several frames: which it is, counted from 1.
    pub frame: Option<u32>,
    /// Image Position (Patient): centre of the first pixel, LPS mm.
    pub position: [f64; 3],
}

/// Elements about patient and study as the source file holds them: tag, value representation, value without padding.
///
/// They are never shown: what prints them says how many there are.
#[derive(Clone, Default, PartialEq)]
pub struct Patient(pub(super) Vec<(u32, [u8; 2], Vec<u8>)>);

impl fmt::Debug for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Patient({} elements)", self.0.len())
    }
}

impl SourceSeries {
    /// SOP Instance UIDs of its files, in the order of their first slices.
    #[must_use]
    pub fn sop_instance_uids(&self) -> Vec<&str> {
        let mut seen = std::collections::BTreeSet::new();
        let uids = self.slices.iter().map(|s| s.sop_instance_uid.as_str());
        uids.filter(|uid| !uid.is_empty() && seen.insert(*uid)).collect()
    }
}

/// Its identifiers, and nothing of the patient.
impl Serialize for SourceSeries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Uids<'a> {
            study_instance_uid: &'a str,
            series_instance_uid: &'a str,
            frame_of_reference_uid: &'a str,
            sop_instance_uids: Vec<&'a str>,
        }
        let uids = Uids {
            study_instance_uid: &self.study_instance_uid,
            series_instance_uid: &self.series_instance_uid,
            frame_of_reference_uid: &self.frame_of_reference_uid,
            sop_instance_uids: self.sop_instance_uids(),
        };
        uids.serialize(serializer)
    }
}

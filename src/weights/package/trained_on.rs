//! The package's `trained_on` section: what the training scans were like, so that a scan unlike them can be told.

use serde::{Deserialize, Serialize};

use super::super::error::WeightsError;
use super::output::OutputSection;

/// Least and largest of three lengths in mm along the patient's axes: right to left, front to back, head to foot.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lengths {
    /// Least.
    pub min: [f64; 3],
    /// Largest.
    pub max: [f64; 3],
}

/// Least and largest volume of a label in a training scan.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelVolume {
    pub value: u16,
    /// Least, millilitres; 0 if the label was absent in a scan.
    pub min_ml: f64,
    /// Largest, millilitres.
    pub max_ml: f64,
}

/// What the training scans were like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainedOn {
    pub cases: usize,
    /// DICOM's code of what made them, such as `MR` or `CT`; null if several did or nobody says.
    pub modality: Option<String>,
    /// Size of the scans.
    pub field_of_view_mm: Lengths,
    /// Size of their voxels.
    pub spacing_mm: Lengths,
    /// Volumes of the labels that occurred.
    pub volumes: Vec<LabelVolume>,
}

impl TrainedOn {
    pub(super) fn validate(&self, output: &OutputSection) -> Result<(), WeightsError> {
        let bad = |field: &str, problem: String| Err(WeightsError::field(format!("trained_on.{field}"), problem));
        if self.cases == 0 {
            return bad("cases", "0 scans say nothing: leave the section out".to_owned());
        }
        for (field, lengths) in [("field_of_view_mm", self.field_of_view_mm), ("spacing_mm", self.spacing_mm)] {
            let Lengths { min, max } = lengths;
            if (0..3).any(|a| !(min[a] > 0.0 && min[a] <= max[a] && max[a] <= 1e6)) {
                return bad(field, format!("{min:?} to {max:?}: each must be above 0, and min no more than max"));
            }
        }
        for (at, LabelVolume { value, min_ml, max_ml }) in self.volumes.iter().enumerate() {
            let field = format!("volumes[{at}]");
            if !output.labels.iter().any(|label| label.value == *value) {
                return bad(&field, format!("output.labels has no value {value}"));
            }
            if !(*min_ml >= 0.0 && min_ml <= max_ml && *max_ml <= 1e9) {
                let problem =
                    format!("{min_ml} to {max_ml} ml: they must be at least 0, and min_ml no more than max_ml");
                return bad(&field, problem);
            }
        }
        Ok(())
    }
}

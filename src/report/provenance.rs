//! Where a segmentation comes from: enough to run it again and to see whether a file was changed since.
//!
//! The full record, with times, the hash of the output and the identifiers of a DICOM scan, is written beside the output. The copy
//! inside the output ([`Provenance::for_embedding`]) has none of them, so that equal runs give equal files. Only file names are kept, no folders.

use serde::Serialize;
use serde_json::Value;

use super::NOTICE;
use crate::gpu::{AdapterClass, AdapterReport};
use crate::infer::{PreparedScan, Segmenter};
use crate::volume::Study;
use crate::volume::nifti::LabelName;
pub use crate::volume::study::FileRecord;
use crate::weights::Metadata;

/// The model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelRecord {
    pub name: String,
    /// Its version.
    pub version: String,
    /// Licence of its weights.
    pub licence: String,
    /// SHA-256 of its file.
    pub sha256: String,
}

/// The scan's grid as it was read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GeometryRecord {
    /// Voxels along i, j, k.
    pub dims: [usize; 3],
    pub channels: usize,
    pub spacing_mm: [f64; 3],
    /// Where the voxel axes point.
    pub axis_codes: String,
    /// Voxel index to mm, RAS+.
    pub affine: [[f64; 4]; 4],
    /// `sform`, `qform`, `pixdim`, `dicom`, or `given` by the caller.
    pub affine_source: String,
    /// Voxels of the model's grid, on which the network ran.
    pub model_dims: [usize; 3],
    /// What was repaired or is doubtful.
    pub warnings: Vec<String>,
}

/// The sliding window and the way back.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InferenceRecord {
    /// Voxels of a window.
    pub roi_size: [usize; 3],
    pub windows: usize,
    /// Fraction of a window shared with the next.
    pub overlap: f64,
    /// `gaussian` or `constant`.
    pub blend: String,
    /// Standard deviation of the gaussian as a fraction of the window.
    pub sigma_scale: f64,
    /// `probabilities`, `logits` or `labels`.
    pub resample: String,
    /// Axes of the model's grid along which windows were mirrored; the mean is over each subset of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mirror_axes: Vec<usize>,
    /// Sets of weights whose logits were averaged, if there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub folds: Vec<String>,
    /// Storage of the weights on the device: `f32` or `f16`; arithmetic is f32.
    pub precision: String,
    /// In which precision windows were added up, where not in f32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accumulate: Option<String>,
}

/// The device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceRecord {
    pub adapter: String,
    /// `Vulkan`, `Metal`, `Dx12`, ...
    pub backend: String,
    pub driver: String,
    /// Whether it is a CPU that plays a GPU.
    pub software: bool,
    /// Kernels whose variant was chosen by measurement.
    pub tuned_kernels: usize,
}

/// A label value and its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabelRecord {
    pub value: u16,
    pub name: String,
}

/// When, and how long it took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TimeRecord {
    /// Start, UTC, RFC 3339.
    pub started: String,
    /// From reading the first file to the last result.
    pub seconds: f64,
}

/// The record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Provenance {
    /// What it is for, and what not.
    pub notice: String,
    pub tool: ToolRecord,
    pub model: ModelRecord,
    /// The scans, in the order of the channels.
    pub inputs: Vec<FileRecord>,
    /// The scan's grid.
    pub geometry: GeometryRecord,
    /// The package's `input` section as it was applied.
    pub preprocessing: Value,
    /// Windows and the way back.
    pub inference: InferenceRecord,
    /// What was done to the labels afterwards, step by step: labels left out, components removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub postprocessing: Vec<Value>,
    /// Meaning of the values.
    pub labels: Vec<LabelRecord>,
    /// What of scan and labels is unlike the model's training scans; absent where the model does not say what these were like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubts: Option<Vec<String>>,
    pub device: DeviceRecord,
    /// When; only beside the output.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeRecord>,
    /// The output and its hash; only beside the output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<FileRecord>,
}

/// Name and version of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ToolRecord {
    pub name: String,
    pub version: String,
}

impl ModelRecord {
    fn of(metadata: &Metadata, sha256: &str) -> Self {
        Self {
            name: metadata.name.clone(),
            version: metadata.version.clone(),
            licence: metadata.licence.clone(),
            sha256: sha256.to_owned(),
        }
    }
}

impl GeometryRecord {
    fn of(study: &Study, prepared: &PreparedScan) -> Self {
        let volume = &study.volume;
        let mut warnings = study.warning_texts();
        warnings.extend(prepared.warnings.iter().cloned());
        Self {
            dims: volume.dims,
            channels: volume.channels,
            spacing_mm: volume.affine.spacing(),
            axis_codes: volume.affine.axis_codes(),
            affine: volume.affine.0,
            affine_source: study.affine_source.to_owned(),
            model_dims: prepared.volume.dims,
            warnings,
        }
    }
}

impl InferenceRecord {
    fn of(segmenter: &Segmenter, prepared: &PreparedScan) -> Self {
        Self {
            roi_size: prepared.grid().roi,
            windows: prepared.windows(),
            overlap: prepared.overlap,
            blend: segmenter.blend().name().to_owned(),
            sigma_scale: segmenter.metadata().inference.sigma_scale,
            resample: segmenter.resample().name().to_owned(),
            mirror_axes: prepared.mirror_axes().to_vec(),
            folds: segmenter.metadata().folds.clone(),
            precision: if segmenter.options().half_weights { "f16" } else { "f32" }.to_owned(),
            accumulate: segmenter.options().half_sums.then(|| "f16".to_owned()),
        }
    }
}

impl DeviceRecord {
    fn of(adapter: &AdapterReport) -> Self {
        Self {
            adapter: adapter.name.clone(),
            backend: adapter.backend.clone(),
            driver: adapter.driver.clone(),
            software: adapter.class == AdapterClass::Software,
            tuned_kernels: adapter.tuned_kernels,
        }
    }
}

impl ToolRecord {
    /// This program.
    pub fn this() -> Self {
        Self { name: env!("CARGO_PKG_NAME").into(), version: env!("CARGO_PKG_VERSION").into() }
    }
}

/// A run on a scan, as its record tells it.
pub struct Origin<'a> {
    /// The model on its device, with the settings of the run.
    pub segmenter: &'a Segmenter,
    /// SHA-256 of the model's file.
    pub model_sha256: &'a str,
    /// The scan as it was read.
    pub study: &'a Study,
    /// The scan as the network sees it.
    pub prepared: &'a PreparedScan,
    /// Meaning of the labels.
    pub names: &'a [LabelName],
    /// What is unlike the model's training scans, if the model says what these were like.
    pub doubts: Option<&'a [String]>,
}

impl Provenance {
    /// The notice every record carries.
    pub const NOTICE: &'static str = NOTICE;

    /// The record of a run before its labels are changed, timed and written.
    pub fn of(run: &Origin<'_>) -> Self {
        let metadata = run.segmenter.metadata();
        Self {
            notice: NOTICE.to_owned(),
            tool: ToolRecord::this(),
            model: ModelRecord::of(metadata, run.model_sha256),
            inputs: run.study.files.clone(),
            geometry: GeometryRecord::of(run.study, run.prepared),
            preprocessing: metadata.input.to_object().into(),
            inference: InferenceRecord::of(run.segmenter, run.prepared),
            postprocessing: Vec::new(),
            labels: run.names.iter().map(|n| LabelRecord { value: n.value, name: n.name.clone() }).collect(),
            doubts: run.doubts.map(<[String]>::to_vec),
            device: DeviceRecord::of(run.segmenter.gpu().adapter()),
            time: None,
            output: None,
        }
    }

    /// The record without what differs between equal runs, and without the identifiers of a DICOM study: a file may go where
    /// these must not.
    pub fn for_embedding(&self) -> Self {
        let plain = |input: &FileRecord| FileRecord::new(input.file.clone(), input.sha256.clone());
        Self { inputs: self.inputs.iter().map(plain).collect(), time: None, output: None, ..self.clone() }
    }

    /// Indented JSON text.
    pub fn to_json(&self) -> String {
        // Strings and numbers always serialise.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

/// A moment as `2026-11-23T19:44:35Z`, from the seconds since 1970-01-01 UTC.
pub fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days to a date of the Gregorian calendar, in eras of 400 years that begin on 1 March (Hinnant, "chrono-compatible
    // low-level date algorithms").
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (h, m, s) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day_of_month:02}T{h:02}:{m:02}:{s:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_the_calendars() {
        // `date -u -d @N +%FT%TZ`
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_200, "2024-03-01T00:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }
}

//! The files that `unetr segment` writes.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::bids::Bids;
use super::dicom_seg::Target;
use super::error::CliError;
use super::files::file_name;
use super::output::{Outputs, ends_in};
use super::postprocess::Postprocess;
use super::segment::Made;
use crate::digest::sha256;
use crate::report::color_table::ColorTable;
use crate::report::preview::{PreviewOptions, Window, preview};
use crate::report::provenance::FileRecord;
use crate::report::{NOTICE, Provenance};
use crate::volume::dicom::seg::SegOptions;
use crate::volume::label_file::{LabelFormat, LabelOptions};
use crate::volume::nifti::{self, LabelName, WriteOptions};
use crate::volume::{LabelMap, Volume};
use crate::weights::{Dtype, FloatType, TensorsBuilder};

/// Names of the outputs, their kinds checked.
pub(super) struct Paths<'a> {
    output: &'a Path,
    statistics: Option<&'a Path>,
    preview: Option<&'a Path>,
    probabilities: Option<&'a Path>,
    logits: Option<&'a Path>,
    uncertainty: Option<&'a Path>,
    spread: Option<&'a Path>,
    tables: &'a [PathBuf],
    bids: Option<&'a Bids>,
}

const NIFTI: &[&str] = &[".nii", ".nii.gz"];

impl<'a> Paths<'a> {
    /// # Errors
    /// A name whose ending is of no format that is written there.
    pub fn new(output: &'a Path, others: [&'a Option<PathBuf>; 6]) -> Result<Self, CliError> {
        let [statistics, preview, probabilities, logits, uncertainty, spread] = others.map(|p| p.as_deref());
        let endings: Vec<&str> = LabelFormat::ENDINGS.iter().map(|(ending, _)| *ending).collect();
        ends_in("--output", Some(output), &endings)?;
        ends_in("--statistics", statistics, &[".json", ".csv"])?;
        ends_in("--preview", preview, &[".png"])?;
        ends_in("--save-probabilities", probabilities, NIFTI)?;
        ends_in("--save-logits", logits, &[".safetensors"])?;
        ends_in("--save-uncertainty", uncertainty, NIFTI)?;
        ends_in("--save-spread", spread, NIFTI)?;
        Ok(Self { output, statistics, preview, probabilities, logits, uncertainty, spread, tables: &[], bids: None })
    }

    /// With tables of the labels for other programs, and those of BIDS.
    ///
    /// # Errors
    /// A name whose ending is of no table.
    pub fn with_tables(self, tables: &'a [PathBuf], bids: Option<&'a Bids>) -> Result<Self, CliError> {
        let endings: Vec<&str> = ColorTable::ENDINGS.iter().map(|(ending, _)| *ending).collect();
        tables.iter().try_for_each(|path| ends_in("--color-table", Some(path), &endings))?;
        Ok(Self { tables, bids, ..self })
    }

    /// The labels' own file.
    pub fn output(&self) -> &'a Path {
        self.output
    }

    /// Announces the files of single labels.
    pub fn plan_split(&self, postprocess: &Postprocess, outputs: &mut Outputs) -> Result<(), CliError> {
        postprocess.files(self.output).iter().try_for_each(|(path, _)| outputs.plan("--split-labels", path))
    }

    /// Announces every file; gives the name of the record beside the labels: `OUT.json`, or `OUT.provenance.json` where
    /// another output has that name.
    pub fn plan(&self, outputs: &mut Outputs) -> Result<PathBuf, CliError> {
        outputs.plan("--output", self.output)?;
        for (option, path) in [
            ("--statistics", self.statistics),
            ("--preview", self.preview),
            ("--save-probabilities", self.probabilities),
            ("--save-logits", self.logits),
            ("--save-uncertainty", self.uncertainty),
            ("--save-spread", self.spread),
        ] {
            path.map_or(Ok(()), |path| outputs.plan(option, path))?;
        }
        self.tables.iter().try_for_each(|path| outputs.plan("--color-table", path))?;
        self.bids.map_or(Ok(()), |bids| bids.plan(outputs))?;
        let name = file_name(self.output);
        let stem = &name[..name.len() - LabelFormat::of_name(&name).map_or(0, |(_, ending)| ending)];
        let mut sidecar = self.output.with_file_name(format!("{stem}.json"));
        if outputs.is_planned(&sidecar) {
            sidecar = self.output.with_file_name(format!("{stem}.provenance.json"));
        }
        outputs.plan("the record", &sidecar)?;
        Ok(sidecar)
    }
}

/// Stages every file; gives the record with the hash of the labels.
pub(super) fn write(
    outputs: &mut Outputs,
    paths: &Paths<'_>,
    sidecar: &Path,
    made: &Made<'_>,
) -> Result<Provenance, CliError> {
    let comment = made.provenance.for_embedding().to_json();
    let mut bytes = Vec::new();
    let like = made.scans.header.as_ref();
    let options = LabelOptions { like, label_names: made.names, comment: Some(&comment), dicom: made.dicom() };
    format(paths.output).write(&mut bytes, &made.segmentation.labels, &options)?;
    outputs.stage_bytes(paths.output, &bytes)?;

    let mut record = made.provenance.clone();
    record.output = Some(FileRecord::new(file_name(paths.output), sha256(&bytes)));
    let text = record.to_json();
    match paths.bids {
        Some(bids) => {
            outputs.stage_bytes(sidecar, bids.sidecar(&text)?.as_bytes())?;
            bids.write(outputs, made.names)?;
        }
        None => outputs.stage_bytes(sidecar, text.as_bytes())?,
    }
    for path in paths.tables {
        let table = ColorTable::of_name(&file_name(path)).unwrap_or(ColorTable::ItkSnap);
        outputs.stage_bytes(path, table.text(made.names).as_bytes())?;
    }
    if let Some(path) = paths.statistics {
        let csv = file_name(path).to_ascii_lowercase().ends_with(".csv");
        let text = match csv {
            true => made.statistics.to_csv(),
            false => made.statistics.to_json(),
        };
        outputs.stage_bytes(path, text.as_bytes())?;
    }
    if let Some(path) = paths.preview {
        outputs.stage_bytes(path, &picture(made)?)?;
    }
    let segmentation = made.segmentation;
    for (path, volume) in [
        (paths.probabilities, &segmentation.probabilities),
        (paths.uncertainty, &segmentation.uncertainty),
        (paths.spread, &segmentation.spread),
    ] {
        let (Some(path), Some(volume)) = (path, volume) else { continue };
        let gzip = nifti::is_gzip_name(&file_name(path));
        let options = WriteOptions { gzip, like, label_names: &[], comment: Some(&comment) };
        outputs.stage(path, |out| nifti::write_volume(out, volume, &options))?;
    }
    if let (Some(path), Some(logits)) = (paths.logits, &made.segmentation.logits) {
        outputs.stage(path, |out| write_logits(out, logits))?;
    }
    Ok(record)
}

/// Stages a file of 0 and 1 for each label.
pub(super) fn write_split(outputs: &mut Outputs, files: &[(PathBuf, u16)], made: &Made<'_>) -> Result<(), CliError> {
    let comment = made.provenance.for_embedding().to_json();
    for (path, value) in files {
        let all = &made.segmentation.labels;
        let data = all.data.iter().map(|v| u16::from(v == value)).collect();
        let one = LabelMap::new(data, all.dims, all.affine)?;
        let names: Vec<LabelName> =
            made.names.iter().filter(|n| n.value == *value).map(|n| LabelName { value: 1, ..n.clone() }).collect();
        let like = made.scans.header.as_ref();
        let options = LabelOptions { like, label_names: &names, comment: Some(&comment), dicom: made.dicom() };
        outputs.stage(path, |out| format(path).write(out, &one, &options))?;
    }
    Ok(())
}

impl Made<'_> {
    fn dicom(&self) -> Option<SegOptions<'_>> {
        let Target { source, kind, all_frames } = self.target?;
        Some(SegOptions {
            kind: *kind,
            source,
            all_frames: *all_frames,
            algorithm: &self.metadata.name,
            version: &self.metadata.version,
            notice: NOTICE,
            moment: self.provenance.time.as_ref().map_or("", |time| &time.started),
        })
    }
}

/// The format of a name that was checked before.
fn format(path: &Path) -> LabelFormat {
    LabelFormat::of_name(&file_name(path)).map_or(LabelFormat::Nifti { gzip: true }, |(format, _)| format)
}

fn picture(made: &Made<'_>) -> Result<Vec<u8>, CliError> {
    let scans: Vec<&str> = made.scans.files.iter().map(|f| f.file.as_str()).collect();
    let title = format!("{}: {} {}", scans.join(" + "), made.metadata.name, made.metadata.version);
    // A model that is given a fixed range of intensities looks at the scan through that window; so do we.
    let window = made.metadata.input.preprocess.window().map(|[low, high]| Window { low, high });
    let options = PreviewOptions {
        title: &title,
        channel: 0,
        channel_name: made.metadata.input.channels.first().map_or("channel 1", String::as_str),
        window,
        names: made.names,
    };
    Ok(preview(&made.segmentation.labels, &made.scans.volume, &options)?)
}

/// `logits` `[K, X, Y, Z]` and `affine` `[4, 4]`, voxel index of the model's grid to mm.
fn write_logits(out: impl Write, logits: &Volume) -> Result<(), CliError> {
    let [x, y, z] = logits.dims;
    let affine: Vec<u8> = logits.affine.0.as_flattened().iter().flat_map(|v| v.to_le_bytes()).collect();
    let mut tensors = TensorsBuilder::new();
    tensors.push("affine", Dtype::F64, &[4, 4], &affine)?;
    tensors.push_f32("logits", &[logits.channels, x, y, z], &logits.data, FloatType::F32)?;
    Ok(tensors.write(&BTreeMap::new(), out)?)
}

//! `unetr segment`: scans and a model in, labels out.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::json;

use super::console::{duration, note, print, print_json, warn_all};
use super::error::CliError;
use super::files;
use super::options::{DeviceArgs, FormArg, InferenceArgs};
use super::output::Outputs;
use super::progress::WindowProgress;
use super::scans;
use super::segment_files::{self, Paths};
use super::segment_plan::{SegmentPlan, label_table};
use crate::gpu::AdapterClass;
use crate::infer::{Prepared, Segmentation, Segmenter};
use crate::report::fit::{label_doubts, scan_doubts};
use crate::report::provenance::{
    self, DeviceRecord, GeometryRecord, InferenceRecord, LabelRecord, ModelRecord, TimeRecord, ToolRecord,
};
use crate::report::{NOTICE, Provenance, Statistics, label_names, statistics};
use crate::volume::nifti::LabelName;
use crate::volume::{Study, StudyOptions};
use crate::weights::Metadata;
use crate::weights::package::Blend;

/// Segment a scan: labels on its own grid, and a JSON record of their origin beside them.
#[derive(Debug, Args)]
pub(super) struct Segment {
    /// NIfTI files (.nii, .nii.gz, .hdr/.img): one per channel, or one 4-D file. Or DICOM: the folder of a series or its
    /// files; several folders for several channels. Files whose names each hold one channel's name (T1w, FLAIR, ...) are
    /// put into the model's order; others are taken in the order given.
    #[arg(required = true, value_name = "SCAN")]
    scans: Vec<PathBuf>,
    /// Model package.
    #[arg(short, long)]
    model: PathBuf,
    /// Labels to write, .nii or .nii.gz; the record goes beside it as .json.
    #[arg(short, long, value_name = "OUT.nii.gz")]
    output: PathBuf,
    #[command(flatten)]
    inference: InferenceArgs,
    /// Volume, place and intensity of each label.
    #[arg(long, value_name = "OUT.json|OUT.csv")]
    statistics: Option<PathBuf>,
    /// A picture of three planes with the labels.
    #[arg(long, value_name = "OUT.png")]
    preview: Option<PathBuf>,
    /// Class probabilities on the scan's grid, one volume per class.
    #[arg(long, value_name = "P.nii.gz")]
    save_probabilities: Option<PathBuf>,
    /// Logits [K, X, Y, Z] before the activation, and the affine of the model's grid.
    #[arg(long, value_name = "L.safetensors")]
    save_logits: Option<PathBuf>,
    /// The DICOM series to take where a folder holds several, by its Series Instance UID; once for each channel.
    #[arg(long, value_name = "UID")]
    series: Vec<String>,
    /// The acquisition to take where a DICOM series holds several (echoes, phases, b-values), by its number in the list that
    /// the error shows; once for each channel.
    #[arg(long, value_name = "N")]
    acquisition: Vec<usize>,
    /// Which affine of a NIfTI file to use where its two disagree.
    #[arg(long, default_value = "auto")]
    form: FormArg,
    #[command(flatten)]
    device: DeviceArgs,
    /// Replace files that exist.
    #[arg(long)]
    force: bool,
    /// Print statistics and record as JSON.
    #[arg(long)]
    json: bool,
}

/// What was made, with all that describes it.
pub(super) struct Made<'a> {
    pub scans: &'a Study,
    pub metadata: &'a Metadata,
    pub names: &'a [LabelName],
    pub segmentation: &'a Segmentation,
    pub statistics: &'a Statistics,
    pub provenance: &'a Provenance,
}

impl Segment {
    pub fn run(&self) -> Result<(), CliError> {
        let (clock, started) = (Instant::now(), SystemTime::now());
        let paths =
            Paths::new(&self.output, [&self.statistics, &self.preview, &self.save_probabilities, &self.save_logits])?;
        let mut inputs: Vec<&Path> = self.scans.iter().map(PathBuf::as_path).collect();
        inputs.push(&self.model);
        let mut outputs = Outputs::new(self.force, &inputs);
        let sidecar = paths.plan(&mut outputs)?;

        let package = files::model(&self.model)?;
        let metadata = package.metadata();
        let options = StudyOptions {
            nifti: self.form.read_options(),
            series: self.series.clone(),
            acquisition: self.acquisition.clone(),
        };
        let mut scans = scans::read(&self.scans, &options)?;
        scans::check_channels(&scans, metadata)?;
        scans::arrange(&mut scans, metadata)?;
        let gpu = self.device.open()?;
        let mut options = self.inference.segment_options();
        options.keep_probabilities = self.save_probabilities.is_some();
        options.keep_logits = self.save_logits.is_some();
        let mut segmenter = pollster::block_on(Segmenter::new(&gpu, &package, options))?;
        let prepared = segmenter.prepare(&scans.volume)?;
        let hash = package.sha256();
        let (overlap, blend) = self.blending(metadata);
        let plan = SegmentPlan {
            adapter: gpu.adapter(),
            metadata,
            hash: &hash,
            scans: &scans,
            prepared: &prepared,
            overlap,
            blend,
            precision: self.inference.precision.name(),
            doubts: scan_doubts(metadata, &scans.modalities, &scans.volume),
        };
        plan.show();
        let segmentation = run_windows(&mut segmenter, &prepared)?;

        let names = label_names(&metadata.output, metadata.network.out_channels);
        let numbers = statistics(&segmentation.labels, &scans.volume, &names, &metadata.input.channels)?;
        let mut record = self.provenance(&plan, &names);
        if let Some(doubts) = label_doubts(metadata, &numbers) {
            warn_all("labels", &doubts);
            record.doubts.get_or_insert_default().extend(doubts);
        }
        let since = started.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        record.time = Some(TimeRecord { started: provenance::rfc3339(since), seconds: clock.elapsed().as_secs_f64() });
        let made = Made {
            scans: &scans,
            metadata,
            names: &names,
            segmentation: &segmentation,
            statistics: &numbers,
            provenance: &record,
        };
        let record = segment_files::write(&mut outputs, &paths, &sidecar, &made)?;
        outputs.commit()?;
        note(format!("done       {} in {}", self.output.display(), duration(clock.elapsed().as_secs_f64())));
        note(NOTICE);
        if self.json {
            let output = self.output.display().to_string();
            let sidecar = sidecar.display().to_string();
            return print_json(&json!({
                "output": output, "sidecar": sidecar, "labels": numbers.to_object(), "provenance": record
            }));
        }
        print(&label_table(&numbers))
    }

    fn blending(&self, metadata: &Metadata) -> (f64, &'static str) {
        let options = self.inference.segment_options();
        let overlap = options.overlap.unwrap_or(metadata.inference.overlap);
        let blend = match options.blend.unwrap_or(metadata.inference.blend) {
            Blend::Gaussian => "gaussian",
            Blend::Constant => "constant",
        };
        (overlap, blend)
    }

    fn provenance(&self, plan: &SegmentPlan<'_>, names: &[LabelName]) -> Provenance {
        let SegmentPlan { metadata, scans, prepared, adapter, .. } = plan;
        let volume = &scans.volume;
        let mut warnings = scans.warning_texts();
        warnings.extend(prepared.warnings.iter().cloned());
        Provenance {
            notice: NOTICE.to_owned(),
            tool: ToolRecord::this(),
            model: ModelRecord {
                name: metadata.name.clone(),
                version: metadata.version.clone(),
                licence: metadata.licence.clone(),
                sha256: plan.hash.to_owned(),
            },
            inputs: scans.files.clone(),
            geometry: GeometryRecord {
                dims: volume.dims,
                channels: volume.channels,
                spacing_mm: volume.affine.spacing(),
                axis_codes: volume.affine.axis_codes(),
                affine: volume.affine.0,
                affine_source: scans.affine_source.to_owned(),
                model_dims: prepared.volume.dims,
                warnings,
            },
            preprocessing: json!(metadata.input),
            inference: InferenceRecord {
                roi_size: metadata.network.img_size,
                windows: prepared.windows(),
                overlap: plan.overlap,
                blend: plan.blend.to_owned(),
                sigma_scale: metadata.inference.sigma_scale,
                resample: format!("{:?}", self.inference.resample).to_lowercase(),
                precision: plan.precision.to_owned(),
            },
            labels: names.iter().map(|n| LabelRecord { value: n.value, name: n.name.clone() }).collect(),
            doubts: plan.doubts.clone(),
            device: DeviceRecord {
                adapter: adapter.name.clone(),
                backend: adapter.backend.clone(),
                driver: adapter.driver.clone(),
                software: adapter.class == AdapterClass::Software,
                tuned_kernels: adapter.tuned_kernels,
            },
            time: None,
            output: None,
        }
    }
}

/// All windows of a scan, with their progress on stderr.
pub(super) fn run_windows(segmenter: &mut Segmenter, prepared: &Prepared) -> Result<Segmentation, CliError> {
    let mut progress = WindowProgress::new(prepared.windows());
    let result = pollster::block_on(segmenter.run(prepared, &mut |p| {
        progress.update(p);
        ControlFlow::Continue(())
    }));
    progress.finish();
    Ok(result?)
}

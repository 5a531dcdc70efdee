//! `unetr segment`: scans and a model in, labels out.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Value, json};

use super::batch_run;
use super::bids::Bids;
use super::console::{detail, duration, note, print, print_json, warn_all};
use super::dicom_seg::{SegArgs, Target};
use super::error::CliError;
use super::files;
use super::meshes::{Meshes, SpaceArg};
use super::options::{DeviceArgs, FolderArgs, FormArg, InferenceArgs};
use super::output::Outputs;
use super::postprocess::{Postprocess, PostprocessArgs};
use super::progress::WindowProgress;
use super::scans;
use super::segment_files::{self, Paths};
use super::segment_plan::{self, label_table};
use super::signals;
use crate::gpu::Gpu;
use crate::infer::{InferError, PreparedScan, Progress, Segmentation, Segmenter};
use crate::report::fit::{label_doubts, scan_doubts};
use crate::report::provenance::{self, Origin, TimeRecord};
use crate::report::{NOTICE, Provenance, Statistics, label_names, statistics};
use crate::volume::nifti::LabelName;
use crate::volume::{Study, StudyOptions};
use crate::weights::{Metadata, Package};

/// Segment a scan: labels on its own grid, and a JSON record of their origin beside them.
#[derive(Debug, Args)]
pub(super) struct Segment {
    /// NIfTI (.nii, .nii.gz, .hdr/.img), NRRD, MetaImage or MGH files: one per channel, or one 4-D file. Or DICOM: the folder of a series or its
    /// files; several folders for several channels. A zip stands for what is in it. Files whose names each hold one channel's name (T1w, FLAIR, ...) are
    /// put into the model's order; others are taken in the order given.
    #[arg(required_unless_present = "batch", value_name = "SCAN")]
    scans: Vec<PathBuf>,
    /// Many scans with the model loaded once: a folder of scans, or a list of them in .csv or .json. OUT is a folder then; what is
    /// in it already is kept, a scan that fails does not stop the others, and report.csv and report.json tell of all.
    #[arg(long, value_name = "LIST", conflicts_with_all = ["scans", "statistics", "preview", "save_probabilities", "save_logits", "save_uncertainty", "save_spread", "meshes", "color_table", "series"])]
    batch: Option<PathBuf>,
    /// Model package, MONAI bundle or nnU-Net result folder, the latter two as folder or zip.
    #[arg(short, long)]
    pub(super) model: PathBuf,
    #[command(flatten)]
    pub(super) folder: FolderArgs,
    /// Labels to write: .nii.gz, .nii, .seg.nrrd (3D Slicer), .nrrd, .mha or .dcm (DICOM Segmentation); the record goes beside it
    /// as .json. With --batch, a folder.
    #[arg(short, long, value_name = "OUT.nii.gz|FOLDER", required_unless_present = "bids")]
    output: Option<PathBuf>,
    /// In place of --output, the folder of a BIDS dataset: labels, table of labels and record go to its derivatives/unetr, by the
    /// entities of the scan's name.
    #[arg(long, value_name = "ROOT", conflicts_with_all = ["output", "batch"])]
    bids: Option<PathBuf>,
    #[command(flatten)]
    pub(super) inference: InferenceArgs,
    #[command(flatten)]
    labels: PostprocessArgs,
    #[command(flatten)]
    seg: SegArgs,
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
    /// How undecided the model is about each voxel, on the scan's grid, from 0 to 1: the entropy of the class probabilities over
    /// the entropy of classes that are all as likely; of regions, the mean of each one's. The statistics get its mean over each label.
    #[arg(long, value_name = "U.nii.gz")]
    save_uncertainty: Option<PathBuf>,
    /// How far the passes over the scan (each fold, each way that windows are mirrored) disagree about each voxel, from 0 to 0.5:
    /// the standard deviation over passes of the class probability, of the class where it is largest. Each pass is run again, by
    /// itself. The statistics get its mean over each label.
    #[arg(long, value_name = "S.nii.gz")]
    save_spread: Option<PathBuf>,
    /// Names and colours of the labels for other programs, by the name's ending: .json (NiiVue), .label or .txt (ITK-SNAP), LUT.txt
    /// (FreeSurfer). Once for each.
    #[arg(long, value_name = "FILE")]
    color_table: Vec<PathBuf>,
    /// A folder for the surface of each label, LABEL.stl and LABEL.glb: closed, smoothed within half a voxel, in mm.
    #[arg(long, value_name = "FOLDER")]
    meshes: Option<PathBuf>,
    /// Axes of the surfaces' coordinates: to the right, front and head (RAS), or to the left, back and head (LPS).
    #[arg(long, value_name = "ras|lps", default_value = "ras", requires = "meshes")]
    mesh_space: SpaceArg,
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
    pub(super) device: DeviceArgs,
    /// Replace files that exist.
    #[arg(long)]
    pub(super) force: bool,
    /// Print statistics and record as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// What was made, with all that describes it.
pub(super) struct Made<'a> {
    pub scans: &'a Study,
    pub metadata: &'a Metadata,
    pub names: &'a [LabelName],
    pub segmentation: &'a Segmentation,
    pub statistics: &'a Statistics,
    pub provenance: &'a Provenance,
    /// Of an output that is DICOM: its series.
    pub target: Option<&'a Target>,
}

/// A model on a device, and what is done with its labels.
pub(super) struct Session<'a> {
    package: &'a Package,
    segmenter: Segmenter,
    hash: String,
    postprocess: Postprocess,
}

impl Session<'_> {
    /// What the labels follow from besides the scan: `inference` with the names and values that the record has, null for what it
    /// leaves out.
    pub fn settings(&self) -> Value {
        let (segmenter, options) = (&self.segmenter, self.segmenter.options());
        let axes = options.mirror_axes.as_ref().unwrap_or(&segmenter.metadata().inference.mirror_axes);
        json!({
            "model": self.hash, "postprocessing": self.postprocess.settings(),
            "inference": {
                "roi_size": segmenter.roi_size(), "overlap": segmenter.overlap(), "blend": segmenter.blend().name(),
                "precision": if options.half_weights { "f16" } else { "f32" }, "resample": segmenter.resample().name(),
                "mirror_axes": (!axes.is_empty()).then_some(axes), "accumulate": options.half_sums.then_some("f16"),
            },
        })
    }

    /// Announces the files of single labels.
    pub fn plan_split(&self, paths: &Paths<'_>, outputs: &mut Outputs) -> Result<(), CliError> {
        paths.plan_split(&self.postprocess, outputs)
    }
}

/// What one scan gave.
pub(super) struct Segmented {
    pub statistics: Statistics,
    pub record: Provenance,
    pub sidecar: PathBuf,
    pub seconds: f64,
}

impl Segment {
    pub fn run(&self) -> Result<(), CliError> {
        if let Some(list) = &self.batch {
            return batch_run::run(self, list);
        }
        let others = [
            &self.statistics,
            &self.preview,
            &self.save_probabilities,
            &self.save_logits,
            &self.save_uncertainty,
            &self.save_spread,
        ];
        let scan = self.scans.first().map_or(Path::new(""), PathBuf::as_path);
        let bids = self.bids.as_deref().map(|root| Bids::new(root, scan)).transpose()?;
        let output = bids.as_ref().map_or_else(|| self.output().to_owned(), Bids::output);
        let paths = Paths::new(&output, others)?.with_tables(&self.color_table, bids.as_ref())?;
        let mut inputs: Vec<&Path> = self.scans.iter().map(PathBuf::as_path).collect();
        inputs.push(&self.model);
        inputs.extend(self.seg.input());
        self.seg.check(&output)?;
        bids.as_ref().map_or(Ok(()), Bids::make_folders)?;
        let mut outputs = Outputs::new(self.force, &inputs);
        let sidecar = paths.plan(&mut outputs)?;

        let package = files::model_of(&self.model, &self.folder)?;
        let postprocess = self.postprocess(&package)?;
        paths.plan_split(&postprocess, &mut outputs)?;
        let meshes =
            self.meshes.as_deref().map(|folder| Meshes::plan(folder, self.mesh_space, &postprocess, &mut outputs));
        let meshes = meshes.transpose()?;
        let started = Moment::now();
        let scans = self.read(&self.scans, package.metadata())?;
        let target = self.seg.target(&output, &scans, &self.study_options())?;
        target.iter().for_each(|target| target.tell(&postprocess.names));
        let gpu = self.device.open()?;
        let mut session = self.session(&gpu, &package, postprocess)?;
        let done =
            self.one(&mut session, (&scans, target.as_ref(), meshes.as_ref()), (&paths, sidecar, outputs), started)?;
        note(format!("done       {} in {}", output.display(), duration(done.seconds)));
        note(NOTICE);
        if self.json {
            let output = output.display().to_string();
            let sidecar = done.sidecar.display().to_string();
            return print_json(&json!({
                "output": output, "sidecar": sidecar, "labels": done.statistics.to_object(), "provenance": done.record
            }));
        }
        print(&label_table(&done.statistics))
    }

    /// The file or folder that is written; empty only where --bids stands for it.
    pub(super) fn output(&self) -> &Path {
        self.output.as_deref().unwrap_or(Path::new(""))
    }

    /// The options about labels, for this model.
    pub(super) fn postprocess(&self, package: &Package) -> Result<Postprocess, CliError> {
        let m = package.metadata();
        self.labels.resolve(&label_names(&m.output, m.network.out_channels()))
    }

    /// Reads one scan as the model wants it.
    pub(super) fn read(&self, files: &[PathBuf], metadata: &Metadata) -> Result<Study, CliError> {
        let mut study = scans::read(files, &self.study_options())?;
        scans::check_channels(&study, metadata)?;
        scans::arrange(&mut study, metadata)?;
        Ok(study)
    }

    fn study_options(&self) -> StudyOptions {
        StudyOptions {
            nifti: self.form.read_options(),
            series: self.series.clone(),
            acquisition: self.acquisition.clone(),
        }
    }

    /// Puts the model on the device.
    pub(super) fn session<'a>(
        &self,
        gpu: &Gpu,
        package: &'a Package,
        postprocess: Postprocess,
    ) -> Result<Session<'a>, CliError> {
        let mut options = self.inference.segment_options();
        options.keep_probabilities = self.save_probabilities.is_some();
        options.keep_logits = self.save_logits.is_some();
        options.keep_uncertainty = self.save_uncertainty.is_some();
        let segmenter = pollster::block_on(Segmenter::new(gpu, package, options))?;
        Ok(Session { package, segmenter, hash: package.sha256(), postprocess })
    }

    /// Segments one scan and writes all its files.
    pub(super) fn one(
        &self,
        session: &mut Session<'_>,
        (scans, target, meshes): (&Study, Option<&Target>, Option<&Meshes>),
        (paths, sidecar, mut outputs): (&Paths<'_>, PathBuf, Outputs),
        started: Moment,
    ) -> Result<Segmented, CliError> {
        let Session { package, segmenter, hash, postprocess } = session;
        let metadata = package.metadata();
        detail("read", duration(started.seconds()));
        let prepared = segmenter.prepare(&scans.volume)?;
        detail("prepared", duration(started.seconds()));
        let doubts = scan_doubts(metadata, &scans.modalities, &scans.volume);
        let origin = Origin {
            segmenter,
            model_sha256: hash,
            study: scans,
            prepared: &prepared,
            names: &postprocess.names,
            doubts: doubts.as_deref(),
        };
        segment_plan::show(&origin);
        let mut record = Provenance::of(&origin);
        let spread_windows = self.save_spread.as_ref().map(|_| segmenter.spread_windows(&prepared)).transpose()?;
        let mut segmentation = run_windows(segmenter, &prepared)?;
        detail("segmented", duration(started.seconds()));
        if let Some(windows) = spread_windows {
            let run = |tick: &mut Tick<'_>| pollster::block_on(segmenter.spread(&prepared, tick));
            segmentation.spread = Some(with_progress(windows, run)?);
            detail("compared", duration(started.seconds()));
        }

        record.postprocessing = postprocess.apply(&mut segmentation.labels);
        let names = &postprocess.names;
        let mut numbers = statistics(&segmentation.labels, &scans.volume, names, &metadata.input.channels)?;
        if let Some(uncertainty) = &segmentation.uncertainty {
            numbers.add_uncertainty(&segmentation.labels, uncertainty)?;
        }
        if let Some(spread) = &segmentation.spread {
            numbers.add_spread(&segmentation.labels, spread)?;
        }
        if let Some(doubts) = label_doubts(metadata, &numbers) {
            warn_all("labels", &doubts);
            record.doubts.get_or_insert_default().extend(doubts);
        }
        record.time = Some(started.record());
        let made = Made {
            scans,
            metadata,
            names,
            segmentation: &segmentation,
            statistics: &numbers,
            provenance: &record,
            target,
        };
        let record = segment_files::write(&mut outputs, paths, &sidecar, &made)?;
        segment_files::write_split(&mut outputs, &postprocess.files(paths.output()), &made)?;
        if let Some(meshes) = meshes {
            meshes.write(&mut outputs, &made)?;
        }
        outputs.commit()?;
        let seconds = started.seconds();
        detail("written", duration(seconds));
        Ok(Segmented { statistics: numbers, record, sidecar, seconds })
    }
}

/// When the work on a scan began.
pub(super) struct Moment {
    clock: Instant,
    time: SystemTime,
}

impl Moment {
    pub fn now() -> Self {
        Self { clock: Instant::now(), time: SystemTime::now() }
    }

    pub fn seconds(&self) -> f64 {
        self.clock.elapsed().as_secs_f64()
    }

    fn record(&self) -> TimeRecord {
        let since = self.time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        TimeRecord { started: provenance::rfc3339(since), seconds: self.seconds() }
    }
}

/// All windows of a scan, with their progress on stderr.
pub(super) fn run_windows(segmenter: &mut Segmenter, prepared: &PreparedScan) -> Result<Segmentation, CliError> {
    with_progress(prepared.windows(), |tick| pollster::block_on(segmenter.run(prepared, tick)))
}

/// Hears of windows.
type Tick<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

fn with_progress<T>(windows: usize, run: impl FnOnce(&mut Tick<'_>) -> Result<T, InferError>) -> Result<T, CliError> {
    let mut progress = WindowProgress::new(windows);
    let result = run(&mut |p| {
        progress.update(p);
        if signals::asked_to_end() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    progress.finish();
    Ok(result?)
}

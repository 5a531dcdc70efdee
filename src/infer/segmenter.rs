//! A model on a device, ready for scans.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::InferError;
use super::binding::check_window;
use super::decision::{Decision, Rules, channel_table};
use super::job::{Graphs, Job, Memory};
use super::observer::{FinishedPlanes, Observer, ProgressObserver, RunState};
use super::run::{Keep, Pass, Run};
use super::spread::Spread;
use super::windows::{WindowGrid, importance};
use crate::gpu::{AdapterClass, Gpu, Limits, PipelineSource};
use crate::graph::{Residents, Target};
use crate::kernels::blend::Activation;
use crate::nets::{Architecture, Build, Built};
use crate::volume::components::{KeepRule, remove_components};
use crate::volume::{Geometry, LabelMap, Orientation, Volume};
use crate::weights::package::{self, Blend, Metadata, Package, Resample, Rule};

/// What a run is asked to do; `None` takes the package's value.
#[derive(Clone, Debug, Default)]
pub struct SegmentOptions {
    /// Window size; the network says which it takes.
    pub roi_size: Option<[usize; 3]>,
    /// Fraction of a window shared with its neighbour, `0 <= overlap < 1`.
    pub overlap: Option<f64>,
    /// Weighting of overlapping windows.
    pub blend: Option<Blend>,
    /// The way back to the scan's grid.
    pub resample: Option<Resample>,
    /// Axes of the model's grid along which it sees each window mirrored too.
    pub mirror_axes: Option<Vec<usize>>,
    /// Keep the weights in 16 bits on the GPU.
    pub half_weights: bool,
    /// Add windows up in half precision, as nnU-Net does: to compare with it.
    pub half_sums: bool,
    /// Give class probabilities on the scan's grid too.
    pub keep_probabilities: bool,
    /// Give logits on the model's grid too.
    pub keep_logits: bool,
    /// Tell how undecided the model is about each voxel.
    pub keep_uncertainty: bool,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub done: usize,
    pub total: usize,
}

/// A segmented scan.
#[derive(Clone, Debug)]
pub struct Segmentation {
    /// Labels on the scan's grid.
    pub labels: LabelMap,
    /// Class probabilities on the scan's grid, if asked for.
    pub probabilities: Option<Volume>,
    /// Mean logits on the model's grid, if asked for.
    pub logits: Option<Volume>,
    /// How undecided the model is, on the scan's grid, if asked for: the entropy of the class probabilities, from 0 to 1, where
    /// all classes are as likely; of regions, the mean of each one's.
    pub uncertainty: Option<Volume>,
    /// How far the passes that are averaged disagree, on the scan's grid, if that was asked for ([`Segmenter::spread`]).
    pub spread: Option<Volume>,
}

/// A scan made ready: preprocessed, with its windows and its memory planned.
pub struct PreparedScan {
    /// The scan on the model's grid.
    pub volume: Volume,
    /// The way back.
    pub geometry: Geometry,
    /// What the user should know about how the scan was treated.
    pub warnings: Vec<String>,
    /// Fraction of a window shared with the next.
    pub overlap: f64,
    pub(super) job: Job,
    pub(super) graphs: Graphs,
    pub(super) decision: Decision,
    mirror_axes: Vec<usize>,
    memory: Memory,
}

impl PreparedScan {
    /// Axes of the model's grid along which windows are mirrored.
    pub fn mirror_axes(&self) -> &[usize] {
        &self.mirror_axes
    }

    /// What is averaged: each set of weights sees each window mirrored along each subset of the axes.
    pub(super) fn passes(&self, folds: usize) -> Vec<Pass> {
        let axes = &self.mirror_axes;
        let along =
            |subset: usize, a: usize| axes.iter().position(|axis| *axis == a).is_some_and(|bit| subset >> bit & 1 == 1);
        let subsets = 0..1_usize << axes.len();
        let mirrored = |subset| std::array::from_fn(|a| along(subset, a));
        (0..folds)
            .flat_map(|fold| subsets.clone().map(move |subset| Pass { fold, mirrored: mirrored(subset) }))
            .collect()
    }

    /// Number of windows.
    pub fn windows(&self) -> usize {
        self.job.grid.count()
    }

    /// Where they lie.
    pub fn grid(&self) -> &WindowGrid {
        &self.job.grid
    }

    /// GPU memory of the run.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }
}

/// A model on a device.
pub struct Segmenter {
    gpu: Gpu,
    metadata: Metadata,
    options: SegmentOptions,
    /// The network for one window.
    network: Arc<Built>,
    /// Its weights, a set for each fold.
    weights: Vec<Residents>,
}

impl Segmenter {
    /// Checks the options and uploads the weights; `package` may be dropped afterwards.
    ///
    /// # Errors
    /// [`InferError`] if an option is out of range, a weight is missing, or the device has not the memory.
    pub async fn new(gpu: &Gpu, package: &Package, options: SegmentOptions) -> Result<Self, InferError> {
        let metadata = package.metadata().clone();
        let roi = options.roi_size.unwrap_or(metadata.inference.roi_size);
        if let Err(rule) = metadata.network.window().check(roi) {
            return Err(InferError::Option { option: "roi", value: format!("{},{},{}", roi[0], roi[1], roi[2]), rule });
        }
        WindowGrid::new(roi, roi, options.overlap.unwrap_or(metadata.inference.overlap), metadata.inference.windows)?;
        let axes = options.mirror_axes.as_deref().unwrap_or(&[]);
        if axes.iter().enumerate().any(|(i, axis)| *axis > 2 || axes.iter().take(i).any(|other| other == axis)) {
            let rule = "each of the axes 0, 1 and 2 may be there once".to_owned();
            return Err(InferError::Option { option: "mirror", value: format!("{axes:?}"), rule });
        }
        let build = Build { half_weights: options.half_weights, ..Build::window(roi) };
        let network = metadata.network.build(&build)?;
        check_window(&metadata.network, &network, &build, binding_limit(gpu.limits()))?;
        let mut weights: Vec<Residents> = Vec::new();
        for fold in 0..package.folds() {
            // What the first set has too is kept once.
            let mut set = weights.first().cloned().unwrap_or_default();
            for (_, info) in network.graph.parameters() {
                if fold == 0 || package.has_own(fold, &info.name) {
                    let values = package.weight(fold, &info.name).map(|tensor| tensor.to_f32());
                    let values = values.ok_or_else(|| InferError::MissingTensor { name: info.name.clone() })?;
                    set.load(gpu, info, &values).await?;
                }
            }
            weights.push(set);
        }
        Ok(Self { gpu: gpu.clone(), metadata, options, network: Arc::new(network), weights })
    }

    /// Voxels of a window.
    pub fn roi_size(&self) -> [usize; 3] {
        self.options.roi_size.unwrap_or(self.metadata.inference.roi_size)
    }

    /// What the package says of itself.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// What was asked for.
    pub fn options(&self) -> &SegmentOptions {
        &self.options
    }

    /// Fraction of a window shared with its neighbour.
    pub fn overlap(&self) -> f64 {
        self.options.overlap.unwrap_or(self.metadata.inference.overlap)
    }

    /// Weighting of overlapping windows.
    pub fn blend(&self) -> Blend {
        self.options.blend.unwrap_or(self.metadata.inference.blend)
    }

    /// The device.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Overlap of the windows of scans prepared from now on; `None` takes the package's.
    ///
    /// # Errors
    /// [`InferError::Option`] unless `0 <= overlap < 1`.
    pub fn set_overlap(&mut self, overlap: Option<f64>) -> Result<(), InferError> {
        let size = self.roi_size();
        WindowGrid::new(size, size, overlap.unwrap_or(self.metadata.inference.overlap), Rule::Monai)?;
        self.options.overlap = overlap;
        Ok(())
    }

    /// Whether the next runs tell how undecided the model is about each voxel.
    pub fn keep_uncertainty(&mut self, keep: bool) {
        self.options.keep_uncertainty = keep;
    }

    /// Preprocesses a scan and plans its run; nothing is asked of the device.
    ///
    /// # Errors
    /// [`InferError`] if the channels do not fit, preprocessing fails, or a buffer would be too large.
    pub fn prepare(&self, scan: &Volume) -> Result<PreparedScan, InferError> {
        let input = &self.metadata.input;
        let channels = self.metadata.network.in_channels();
        if scan.channels != channels {
            return Err(InferError::Channels { got: scan.channels, want: channels, names: input.channels.join(", ") });
        }
        let made = input.preprocess.apply(scan)?;
        let overlap = self.overlap();
        let grid = WindowGrid::new(made.volume.dims, self.roi_size(), overlap, self.metadata.inference.windows)?;
        let (rule, before) = (self.decides(), grid.before);
        let (job, decision) = self.job(grid, &|ring| match self.resample() {
            Resample::Labels => Decision::on_model_grid(made.volume.dims, before, ring, rule),
            Resample::Probabilities | Resample::Logits => Decision::on_scan(&made.geometry, before, ring, rule),
        })?;
        let graphs = job.graphs(&decision)?;
        let memory = job.memory(&graphs, &self.target(), self.gpu.limits())?;
        let (volume, geometry, warnings) = (made.volume, made.geometry, made.warnings);
        let mirror_axes = self.mirror_axes(&geometry)?;
        Ok(PreparedScan { volume, geometry, warnings, overlap, job, graphs, decision, mirror_axes, memory })
    }

    /// Axes along which windows are mirrored: the model's own, or those asked for, which may not make a left label a right one.
    fn mirror_axes(&self, geometry: &Geometry) -> Result<Vec<usize>, InferError> {
        let own = &self.metadata.inference.mirror_axes;
        let Some(axes) = &self.options.mirror_axes else { return Ok(own.clone()) };
        let sided = self.metadata.output.labels.iter().find(|label| label.has_side());
        let world = Orientation::of(&geometry.model_affine()).axis;
        let across = axes.iter().find(|axis| !own.contains(axis) && world.get(**axis) == Some(&0));
        if let (Some(label), Some(&axis)) = (sided, across) {
            let name = ["x", "y", "z"][axis];
            return Err(InferError::Option {
                option: "mirror",
                value: name.to_owned(),
                rule: format!(
                    "this axis runs from left to right here, and the label \"{}\" has a side, which mirrored windows would \
                     exchange: leave {name} out",
                    label.name
                ),
            });
        }
        Ok(axes.clone())
    }

    /// Pipelines that a run of this scan needs and the device has not made yet; without a scan, those of any scan that fits
    /// into the buffers of one window's sums.
    ///
    /// # Errors
    /// [`InferError`].
    pub fn missing_pipelines(&self, prepared: Option<&PreparedScan>) -> Result<Vec<PipelineSource>, InferError> {
        let (target, limits) = (self.target(), self.gpu.limits());
        let keys = match prepared {
            Some(p) => p.graphs.pipelines(&target, limits)?,
            None => {
                let roi = self.roi_size();
                let grid = WindowGrid::new(roi, roi, 0.0, Rule::Monai)?;
                let before = grid.before;
                let decision = |ring| Decision::on_model_grid(roi, before, ring, self.decides());
                let (job, decision) = self.job(grid, &decision)?;
                job.graphs(&decision)?.pipelines(&target, limits)?
            }
        };
        Ok(self.gpu.missing(keys)?)
    }

    fn regions(&self) -> bool {
        self.metadata.output.activation == package::Activation::Sigmoid
    }

    /// What is brought back to the scan's grid.
    pub fn resample(&self) -> Resample {
        self.options.resample.unwrap_or(self.metadata.output.resample)
    }

    fn decides(&self) -> Rules {
        let (logits, threshold) = (self.resample() == Resample::Logits, self.metadata.output.threshold);
        let least = if logits { (threshold / (1.0 - threshold)).ln() } else { threshold };
        Rules { regions: self.regions(), logits, least: least as f32 }
    }

    fn keep(&self) -> Keep {
        let SegmentOptions { keep_logits, keep_probabilities, keep_uncertainty, .. } = self.options;
        Keep { labels: true, logits: keep_logits, probabilities: keep_probabilities || keep_uncertainty }
    }

    fn target(&self) -> Target {
        Target::of(&self.gpu)
    }

    fn job(&self, grid: WindowGrid, decision: &dyn Fn(usize) -> Decision) -> Result<(Job, Decision), InferError> {
        let limit = binding_limit(self.gpu.limits());
        let activation = match (self.resample(), self.regions()) {
            (Resample::Logits, _) => Activation::None,
            (_, true) => Activation::Sigmoid,
            (_, false) => Activation::Softmax,
        };
        let classes = self.metadata.network.out_channels();
        let half = self.options.half_sums.then_some(self.weights.len());
        Job::new(self.network.clone(), classes, grid, activation, decision, limit, half)
    }

    /// Runs a prepared scan; `progress` is called after each window and may stop the run.
    ///
    /// # Errors
    /// [`InferError`]; nothing of the run is left behind.
    pub async fn run(
        &mut self,
        prepared: &PreparedScan,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Segmentation, InferError> {
        self.run_observed(prepared, &mut RunState::default(), &mut ProgressObserver(progress)).await
    }

    /// Runs what `state` has not reached yet. If the device is lost, `state` keeps what the observer had saved: a segmenter
    /// of the same package and options on a new device goes on from there, and on the same adapter gives the same bits.
    ///
    /// # Errors
    /// [`InferError`].
    pub async fn run_observed(
        &self,
        prepared: &PreparedScan,
        state: &mut RunState,
        observer: &mut dyn Observer,
    ) -> Result<Segmentation, InferError> {
        self.plans(prepared, self.keep()).await?.windows(prepared, state, observer).await?;
        self.bring_back(prepared, finite(std::mem::take(&mut state.result))?)
    }

    /// Runs the first window `times` over and forgets it: compiles what a run needs, and lets the caller, who hears of
    /// each by `tick` and may stop there, time a window.
    ///
    /// # Errors
    /// [`InferError`].
    pub async fn rehearse(
        &self,
        prepared: &PreparedScan,
        times: usize,
        tick: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<(), InferError> {
        self.plans(prepared, self.keep()).await?.rehearse(prepared, times, tick).await
    }

    /// Windows of [`Self::spread`], in all passes.
    ///
    /// # Errors
    /// [`InferError::Option`]: fewer than two passes; sums in half precision, where passes are not told apart.
    pub fn spread_windows(&self, prepared: &PreparedScan) -> Result<usize, InferError> {
        let passes = prepared.passes(self.weights.len()).len();
        let refuse = |value: &str, rule: &str| {
            Err(InferError::Option { option: "spread", value: value.to_owned(), rule: rule.to_owned() })
        };
        if passes < 2 {
            return refuse("of one pass", "needs a model of several folds, or windows that are mirrored");
        }
        if self.options.half_sums {
            return refuse("of sums in f16", "windows must be added up in f32");
        }
        Ok(passes * prepared.windows())
    }

    /// How far the passes that are averaged disagree about each voxel, on the scan's grid: the standard deviation over passes
    /// of the class probability, of the class where it is largest, from 0 to 0.5. Each pass is run again, by itself; `progress`
    /// is called after each of its windows.
    ///
    /// # Errors
    /// As [`Self::spread_windows`], and of the run.
    pub async fn spread(
        &self,
        prepared: &PreparedScan,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Volume, InferError> {
        let (windows, total) = (prepared.windows(), self.spread_windows(prepared)?);
        let (classes, rules) = (self.metadata.network.out_channels(), self.decides());
        let mut spread = Spread::default();
        for (i, pass) in prepared.passes(self.weights.len()).into_iter().enumerate() {
            // Made anew, because the last planes of a run stay in its rings.
            let mut run = self.plans(prepared, Keep { probabilities: true, ..Keep::default() }).await?;
            run.only(pass);
            let mut state = RunState::default();
            let mut tick = |p: Progress| progress(Progress { done: i * windows + p.done, total });
            match run.windows(prepared, &mut state, &mut ProgressObserver(&mut tick)).await {
                Err(InferError::Cancelled { done, .. }) => {
                    return Err(InferError::Cancelled { done: i * windows + done, total });
                }
                result => result?,
            }
            spread.add(&mut finite(state.result)?.probabilities, classes, rules);
        }
        let geometry = &prepared.geometry;
        let values = geometry.invert_channel(&spread.finish(classes))?;
        Ok(Volume::new(values, 1, geometry.scan_dims, geometry.scan_affine)?)
    }

    async fn plans(&self, prepared: &PreparedScan, keep: Keep) -> Result<Run, InferError> {
        let importance = importance(prepared.job.grid.roi, self.blend(), &self.metadata.inference);
        let table = channel_table(&self.metadata.output, self.metadata.network.out_channels());
        Run::new(&self.gpu, prepared, &self.weights, &table, importance, keep).await
    }

    /// What lies on the model's grid, on the scan's.
    fn bring_back(&self, prepared: &PreparedScan, result: FinishedPlanes) -> Result<Segmentation, InferError> {
        let table = channel_table(&self.metadata.output, self.metadata.network.out_channels());
        let geometry = &prepared.geometry;
        let rules = self.decides();
        // Where labels are decided, their components are told apart, unless the model wants it on the scan.
        let largest = &self.metadata.output.keep_largest_component;
        let whole = |mut labels: LabelMap| {
            if !largest.is_empty() {
                let rule = KeepRule { largest: true, min_ml: 0.0 };
                remove_components(&mut labels, &largest.iter().map(|value| (*value, rule)).collect());
            }
            labels
        };
        let labels = match self.resample() {
            Resample::Labels => {
                let labels = LabelMap::new(result.labels, prepared.decision.dims, geometry.model_affine())?;
                match self.metadata.output.components_on_scan {
                    true => whole(geometry.invert_labels(&labels)?),
                    false => geometry.invert_labels(&whole(labels))?,
                }
            }
            _ => whole(LabelMap::new(result.labels, prepared.decision.dims, geometry.scan_affine)?),
        };
        let probabilities = self
            .options
            .keep_probabilities
            .then(|| on_scan(geometry, &result.probabilities, table.len(), rules))
            .transpose()?;
        let logits = self
            .options
            .keep_logits
            .then(|| Volume::new(result.logits, table.len(), geometry.model_dims(), geometry.model_affine()))
            .transpose()?;
        let uncertainty = self
            .options
            .keep_uncertainty
            .then(|| {
                let mut values = vec![0.0; table.len()];
                let one = |p: &[f32]| {
                    values.copy_from_slice(p);
                    rules.uncertainty(&mut values)
                };
                let data = geometry.invert_mixed(&result.probabilities, table.len(), 0.0, one)?;
                Volume::new(data, 1, geometry.scan_dims, geometry.scan_affine)
            })
            .transpose()?;
        Ok(Segmentation { labels, probabilities, logits, uncertainty, spread: None })
    }
}

/// Bytes of the largest tensor that can be bound.
fn binding_limit(limits: &Limits) -> u64 {
    limits.max_storage_buffer_binding_size.min(limits.max_buffer_size)
}

/// GPU memory of segmenting a volume of `dims` voxels on the model's grid in windows of `roi`, planned without a device.
///
/// # Errors
/// [`InferError`] if the window does not fit the network, or a buffer would exceed `limits`.
pub fn plan_memory(
    network: &Architecture,
    roi: [usize; 3],
    dims: [usize; 3],
    half_weights: bool,
    class: AdapterClass,
    limits: &Limits,
) -> Result<Memory, InferError> {
    let build = Build { half_weights, ..Build::window(roi) };
    let built = Arc::new(network.build(&build)?);
    let limit = binding_limit(limits);
    check_window(network, &built, &build, limit)?;
    let grid = WindowGrid::new(dims, roi, 0.5, Rule::Monai)?;
    let before = grid.before;
    let decision = |ring| Decision::on_model_grid(dims, before, ring, Rules::default());
    let (job, decision) = Job::new(built, network.out_channels(), grid, Activation::Softmax, &decision, limit, None)?;
    let target = Target { workgroup_bytes: limits.max_compute_workgroup_storage_size, ..Target::new(class) };
    job.memory(&job.graphs(&decision)?, &target, limits)
}

/// Logits and probabilities that are kept must be finite; labels were checked as they were decided.
fn finite(result: FinishedPlanes) -> Result<FinishedPlanes, InferError> {
    let kept = result.logits.iter().chain(&result.probabilities);
    match kept.filter(|v| !v.is_finite()).count() {
        0 => Ok(result),
        count => Err(InferError::NotFinite { count }),
    }
}

/// Class probabilities of the model's grid on the scan's, class by class; logits become probabilities there.
fn on_scan(geometry: &Geometry, values: &[f32], classes: usize, rules: Rules) -> Result<Volume, InferError> {
    let voxels = values.len() / classes.max(1);
    let mut data = Vec::new();
    for class in values.chunks(voxels.max(1)) {
        data.extend(geometry.invert_channel(class)?);
    }
    if rules.logits {
        let inside = geometry.invert_channel(&vec![1.0; voxels])?;
        rules.activate_all(&mut data, classes, |at| inside[at] > 0.0);
    }
    Ok(Volume::new(data, classes, geometry.scan_dims, geometry.scan_affine)?)
}

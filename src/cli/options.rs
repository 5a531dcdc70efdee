//! Options that several commands share.

use std::sync::atomic::{AtomicUsize, Ordering};

use clap::{Args, ValueEnum};

use super::error::CliError;
use super::tuning;
use crate::gpu::{Choices, Gpu, GpuOptions};
use crate::infer::{Resample, SegmentOptions};
use crate::nets::{NetworkType, registry};
use crate::volume::nifti;
use crate::weights::package;
use crate::weights::{CheckpointKind, FloatType, ImportOptions};

static THREADS: AtomicUsize = AtomicUsize::new(0);

/// Sets the threads of the processor that `--threads` asks for.
pub(super) fn set_threads(threads: usize) {
    THREADS.store(threads, Ordering::Relaxed);
}

/// Threads of the processor, where `--threads` is given.
pub(super) fn threads() -> Option<usize> {
    Some(THREADS.load(Ordering::Relaxed)).filter(|threads| *threads > 0)
}

/// Which adapter to run on.
#[derive(Clone, Debug, Args)]
pub(super) struct DeviceArgs {
    /// Adapter to run on: `gpu` or `cpu` for the best of that kind, or its index or a part of its name, as `unetr devices`
    /// lists them.
    #[arg(long, value_name = "gpu|cpu|INDEX|NAME")]
    pub device: Option<String>,
    /// Keep the driver's bounds checks in shaders: slower, for finding faults.
    #[arg(long)]
    pub checked: bool,
    /// Take kernels by kind of adapter, not those that `unetr tune` found best.
    #[arg(long)]
    pub untuned: bool,
}

impl DeviceArgs {
    pub fn open(&self) -> Result<Gpu, CliError> {
        let options = GpuOptions { adapter: self.device.clone(), default_limits: false, checked: self.checked };
        let gpu = pollster::block_on(Gpu::open(&options))?;
        let choices = if self.untuned { Choices::default() } else { tuning::load(gpu.adapter()) };
        Ok(gpu.tuned(choices))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum BlendArg {
    Gaussian,
    Constant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ResampleArg {
    Probabilities,
    Logits,
    Labels,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Precision {
    #[default]
    F32,
    F16,
}

impl Precision {
    pub fn name(self) -> &'static str {
        self.float_type().name()
    }

    pub fn float_type(self) -> FloatType {
        match self {
            Self::F32 => FloatType::F32,
            Self::F16 => FloatType::F16,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum CheckpointArg {
    Final,
    Best,
}

impl CheckpointArg {
    pub fn kind(self) -> CheckpointKind {
        match self {
            Self::Final => CheckpointKind::Final,
            Self::Best => CheckpointKind::Best,
        }
    }
}

/// What is taken of an nnU-Net result folder.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct FolderArgs {
    /// Folds of an nnU-Net result folder, 0 to 4 or all [default: every numbered one].
    #[arg(long, value_name = "0,1", value_delimiter = ',')]
    pub folds: Option<Vec<String>>,
    /// Which checkpoint of each fold of an nnU-Net result folder [default: final].
    #[arg(long = "checkpoint", value_name = "final|best")]
    pub checkpoint_of: Option<CheckpointArg>,
}

impl FolderArgs {
    /// As import takes them.
    pub fn import_options(&self) -> ImportOptions<'_> {
        ImportOptions {
            folds: self.folds.as_deref(),
            checkpoint: self.checkpoint_of.map(CheckpointArg::kind),
            ..ImportOptions::default()
        }
    }

    /// The first option that is given.
    pub fn given(&self) -> Option<&'static str> {
        self.folds.as_ref().map(|_| "--folds").or(self.checkpoint_of.map(|_| "--checkpoint"))
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum FormArg {
    #[default]
    Auto,
    Sform,
    Qform,
    Pixdim,
}

impl FormArg {
    pub fn read_options(self) -> nifti::ReadOptions {
        let form = match self {
            Self::Auto => nifti::Form::Auto,
            Self::Sform => nifti::Form::Sform,
            Self::Qform => nifti::Form::Qform,
            Self::Pixdim => nifti::Form::Pixdim,
        };
        nifti::ReadOptions { form, ..nifti::ReadOptions::default() }
    }
}

/// How the model is run over a scan.
#[derive(Clone, Debug, Args)]
pub(super) struct InferenceArgs {
    /// Fraction of a window shared with the next, from 0 to below 1 [default: the model's].
    #[arg(long, value_name = "F", value_parser = overlap)]
    pub overlap: Option<f64>,
    /// Step from one window to the next as a fraction of a window: 1 less the overlap, by its name in nnU-Net.
    #[arg(long, value_name = "F", value_parser = step, conflicts_with = "overlap")]
    pub step: Option<f64>,
    /// Average over windows mirrored along each subset of these axes of the model's grid, as `x` or `x,y,z` [default: the model's].
    #[arg(long, value_name = "AXES", value_parser = axes, conflicts_with = "no_mirror")]
    pub mirror: Option<MirrorAxes>,
    /// Do not average over mirrored windows, where the model does.
    #[arg(long)]
    pub no_mirror: bool,
    /// Weighting of overlapping windows [default: the model's].
    #[arg(long)]
    pub blend: Option<BlendArg>,
    /// Window size in voxels [default: the model's]; networks with a position table take their own alone.
    #[arg(long, value_name = "X,Y,Z", value_parser = three_sizes)]
    pub roi: Option<[usize; 3]>,
    /// The way back to the scan's grid: interpolate class probabilities or logits and decide there, or take the nearest
    /// label [default: the model's].
    #[arg(long)]
    pub resample: Option<ResampleArg>,
    /// Storage of the weights on the device; arithmetic is f32.
    #[arg(long, default_value = "f32")]
    pub precision: Precision,
    /// In which precision windows are added up. nnU-Net does it in f16, and rounds where few windows overlap: for comparisons
    /// with it.
    #[arg(long, default_value = "f32")]
    pub accumulate: Precision,
}

/// Axes of a grid, ascending.
#[derive(Clone, Debug)]
pub(super) struct MirrorAxes(pub Vec<usize>);

/// `x`, `y,z` and so on.
pub(super) fn axes(text: &str) -> Result<MirrorAxes, String> {
    let mut axes = Vec::new();
    for name in text.split(',').map(str::trim) {
        let axis = ["x", "y", "z"].iter().position(|axis| axis.eq_ignore_ascii_case(name));
        let axis = axis.ok_or_else(|| format!("`{name}` is no axis; take x, y and z, as in `x` or `x,y`"))?;
        if axes.contains(&axis) {
            return Err(format!("`{name}` is there twice"));
        }
        axes.push(axis);
    }
    axes.sort_unstable();
    Ok(MirrorAxes(axes))
}

impl InferenceArgs {
    /// Axes along which windows are mirrored, where that is not left to the model.
    pub fn mirror_axes(&self) -> Option<Vec<usize>> {
        if self.no_mirror { Some(Vec::new()) } else { self.mirror.as_ref().map(|MirrorAxes(axes)| axes.clone()) }
    }

    pub fn segment_options(&self) -> SegmentOptions {
        SegmentOptions {
            roi_size: self.roi,
            overlap: self.overlap.or(self.step.map(|step| 1.0 - step)),
            mirror_axes: self.mirror_axes(),
            blend: self.blend.map(|b| match b {
                BlendArg::Gaussian => package::Blend::Gaussian,
                BlendArg::Constant => package::Blend::Constant,
            }),
            resample: self.resample.map(|resample| match resample {
                ResampleArg::Probabilities => Resample::Probabilities,
                ResampleArg::Logits => Resample::Logits,
                ResampleArg::Labels => Resample::Labels,
            }),
            half_weights: self.precision == Precision::F16,
            half_sums: self.accumulate == Precision::F16,
            ..SegmentOptions::default()
        }
    }
}

/// A network by its type.
pub(super) fn network_type(text: &str) -> Result<&'static NetworkType, String> {
    NetworkType::named(text).ok_or_else(|| format!("there is no such network; use one of {}", registry::names()))
}

fn overlap(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "a number is needed, such as 0.5".to_owned())?;
    match (0.0..1.0).contains(&value) {
        true => Ok(value),
        false => Err("it must be at least 0 and less than 1".to_owned()),
    }
}

fn step(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "a number is needed, such as 0.5".to_owned())?;
    match value > 0.0 && value <= 1.0 {
        true => Ok(value),
        false => Err("it must be above 0 and at most 1".to_owned()),
    }
}

/// More voxels along an axis than any scan has.
const MOST: usize = 1 << 16;

/// `96,96,96` or `96x96x96`.
pub(super) fn three_sizes(text: &str) -> Result<[usize; 3], String> {
    let sizes: Vec<usize> = text.split([',', 'x']).map(|part| part.trim().parse().unwrap_or(0)).collect();
    match sizes[..] {
        [x, y, z] if sizes.iter().all(|n| (1..=MOST).contains(n)) => Ok([x, y, z]),
        _ => Err(format!("three sizes are needed, each from 1 to {MOST}, such as 96,96,96")),
    }
}

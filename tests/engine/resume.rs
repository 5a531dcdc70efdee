//! A run whose device is lost goes on, on another one, and gives the same bits; what is told on the way is the result.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use unetr_wgpu::gpu::{Gpu, GpuOptions};
use unetr_wgpu::infer::{
    InferError, LabelBox, Observer, PreparedScan, Progress, Resample, RunState, SegmentOptions, Segmentation, Segmenter,
};
use unetr_wgpu::volume::{Affine, Volume};
use unetr_wgpu::weights::Package;

use crate::support::procedural::ct_package;

fn gpu() -> Gpu {
    let adapter = std::env::var("UNETR_ADAPTER").ok();
    pollster::block_on(Gpu::open(&GpuOptions { adapter, ..GpuOptions::default() })).expect("an adapter")
}

fn package() -> Package {
    Package::read(ct_package()).expect("a good package")
}

/// Three rows of two windows, on a grid that lies the other way round and between the model's voxels.
fn scan(package: &Package) -> Volume {
    let spacing = package.metadata().input.preprocess.spacing().unwrap_or([1.0; 3]);
    let roi = package.metadata().inference.roi_size;
    let dims = [roi[0] * 5 / 2, roi[1] * 3 / 2, roi[2]];
    let at = |i: usize| (i as f32 * 0.37).sin() * 100.0 + (i % 977) as f32 / 8.0;
    let data = (0..dims.iter().product()).map(at).collect();
    let [x, y, z] = spacing.map(|s| s * 0.8);
    let rows = [[-x, 0.0, 0.0, 30.0], [0.0, y, 0.0, -7.0], [0.0, 0.0, z, 2.0], [0.0, 0.0, 0.0, 1.0]];
    Volume::new(data, 1, dims, Affine(rows)).expect("a volume")
}

/// Saves behind every `every`-th window, collects labels, and destroys the device behind window `lose`.
struct Watch {
    gpu: Gpu,
    every: usize,
    lose: Option<usize>,
    windows: Vec<usize>,
    saved: usize,
    labels: Vec<(u16, usize)>,
    dims: [usize; 3],
}

impl Watch {
    fn new(gpu: &Gpu, every: usize, lose: Option<usize>, dims: [usize; 3]) -> Self {
        let labels = vec![(0, 0); dims.iter().product()];
        Self { gpu: gpu.clone(), every, lose, windows: Vec::new(), saved: 0, labels, dims }
    }
}

impl Observer for Watch {
    fn window(&mut self, progress: Progress) -> ControlFlow<()> {
        self.windows.push(progress.done);
        if self.lose == Some(progress.done) {
            self.gpu.destroy();
        }
        ControlFlow::Continue(())
    }

    fn labels(&mut self, part: &LabelBox<'_>) {
        let ([bx, by, bz], [_, ey, ez], [_, dy, dz]) = (part.begin, part.extent, self.dims);
        for (i, &label) in part.labels.iter().enumerate() {
            let (x, y, z) = (bx + i / ez / ey, by + i / ez % ey, bz + i % ez);
            let (old, times) = &mut self.labels[(x * dy + y) * dz + z];
            (*old, *times) = (label, *times + 1);
        }
    }

    fn save(&mut self) -> bool {
        self.windows.last().is_some_and(|w| w % self.every == 0)
    }

    fn saved(&mut self) {
        self.saved += 1;
    }
}

fn segmenter(gpu: &Gpu, package: &Package) -> Segmenter {
    resampling(gpu, package, Resample::Probabilities)
}

fn resampling(gpu: &Gpu, package: &Package, resample: Resample) -> Segmenter {
    let options = SegmentOptions {
        keep_logits: true,
        keep_probabilities: true,
        resample: Some(resample),
        ..SegmentOptions::default()
    };
    pollster::block_on(Segmenter::new(gpu, package, options)).expect("a segmenter")
}

fn run(
    segmenter: &Segmenter,
    prepared: &PreparedScan,
    state: &mut RunState,
    watch: &mut Watch,
) -> Result<Segmentation, InferError> {
    pollster::block_on(segmenter.run_observed(prepared, state, watch))
}

fn same(a: &Segmentation, b: &Segmentation) {
    assert_eq!(a.labels, b.labels);
    let bits = |v: &Option<Volume>| v.as_ref().expect("kept").data.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
    assert!(bits(&a.logits) == bits(&b.logits), "logits differ");
    assert!(bits(&a.probabilities) == bits(&b.probabilities), "probabilities differ");
}

#[test]
fn pipelines_are_listed_before_a_run_makes_them() {
    let (package, gpu) = (package(), gpu());
    let scan = scan(&package);
    let segmenter = segmenter(&gpu, &package);
    let prepared = segmenter.prepare(&scan).expect("a plan");
    let list = |prepared| -> BTreeSet<String> {
        let missing = segmenter.missing_pipelines(prepared).expect("a list");
        let labels: BTreeSet<String> = missing.iter().map(|p| p.label.clone()).collect();
        assert_eq!(labels.len(), missing.len(), "each has a label of its own");
        assert!(missing.iter().all(|p| p.code.contains(p.entry) && !p.bindings.is_empty()));
        labels
    };
    let of_scan = list(Some(&prepared));
    assert!(of_scan.len() > 20, "{} pipelines", of_scan.len());
    assert_eq!(list(None), of_scan, "any scan needs the same");
    let mut watch = Watch::new(&gpu, usize::MAX, None, scan.dims);
    run(&segmenter, &prepared, &mut RunState::default(), &mut watch).expect("a result");
    // Nothing was made that was not listed, or it would be missing still.
    assert_eq!(list(Some(&prepared)), BTreeSet::new());
    assert_eq!(list(None), BTreeSet::new());
}

#[test]
fn a_lost_device_costs_no_window_that_was_saved_and_no_bit() {
    let (package, first) = (package(), gpu());
    let scan = scan(&package);
    let one = segmenter(&first, &package);
    let prepared = one.prepare(&scan).expect("a plan");
    let total = prepared.windows();
    assert!(total >= 6, "{total} windows");
    let mut watch = Watch::new(&first, 1, None, scan.dims);
    let whole = run(&one, &prepared, &mut RunState::default(), &mut watch).expect("a result");
    assert_eq!(watch.saved, total - 1, "nothing is saved behind the last window");
    assert!(watch.labels.iter().all(|&(_, times)| times == 1), "every voxel is told once");
    assert!(watch.labels.iter().map(|l| l.0).eq(whole.labels.data.iter().copied()), "what is told is the result");
    assert!(whole.labels.counts().len() > 1, "the scan has labels: {:?}", whole.labels.counts());

    for (every, lose) in [(1, 1), (1, total - 1), (2, 3), (3, total), (total, 2)] {
        let (second, third) = (gpu(), gpu());
        let mut state = RunState::default();
        let mut watch = Watch::new(&second, every, Some(lose), scan.dims);
        let lost = run(&segmenter(&second, &package), &prepared, &mut state, &mut watch);
        let lost = lost.map(|_| ()).expect_err("the device is lost");
        assert!(lost.to_string().contains("device was lost"), "lost behind window {lose}: {lost}");
        // The device went before this window was saved.
        assert_eq!(state.windows(), (lose - 1) / every * every, "saved every {every}, lost behind {lose}");
        let mut rest = Watch::new(&third, every, None, scan.dims);
        let reached = state.windows();
        let resumed = run(&segmenter(&third, &package), &prepared, &mut state, &mut rest).expect("the rest");
        assert_eq!(rest.windows, (reached + 1..=total).collect::<Vec<_>>(), "only the rest is run");
        same(&whole, &resumed);
    }
}

#[test]
fn a_rehearsal_leaves_nothing_behind() {
    let (package, gpu) = (package(), gpu());
    let scan = scan(&package);
    let segmenter = segmenter(&gpu, &package);
    let prepared = segmenter.prepare(&scan).expect("a plan");
    let whole = |state: &mut RunState| {
        run(&segmenter, &prepared, state, &mut Watch::new(&gpu, usize::MAX, None, scan.dims)).expect("a result")
    };
    let before = whole(&mut RunState::default());
    let mut ticks = 0;
    pollster::block_on(segmenter.rehearse(&prepared, 3, &mut || {
        ticks += 1;
        if ticks == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }))
    .expect("a rehearsal");
    assert_eq!(ticks, 2);
    same(&before, &whole(&mut RunState::default()));
}

#[test]
fn labels_of_another_grid_are_not_told() {
    let (package, gpu) = (package(), gpu());
    let scan = scan(&package);
    let one = resampling(&gpu, &package, Resample::Labels);
    let prepared = one.prepare(&scan).expect("a plan");
    let mut watch = Watch::new(&gpu, 1, None, scan.dims);
    let result = run(&one, &prepared, &mut RunState::default(), &mut watch).expect("a result");
    assert_eq!(result.labels.dims, scan.dims);
    assert!(result.labels.counts().len() > 1, "the scan has labels: {:?}", result.labels.counts());
    assert!(watch.labels.iter().all(|&(_, times)| times == 0), "they lie on the model's grid");
}

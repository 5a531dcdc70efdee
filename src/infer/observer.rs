//! What a run tells on the way, and what another device needs to go on from there.
//!
//! A device can be lost in the middle of a run: the driver is reset, the machine slept. All that a run has reached lies in
//! its rings of sums, so these are read back now and then, and a new device takes them up. The same adapter gives the
//! same bits then, because what follows is computed from the same numbers in the same order.

use std::ops::ControlFlow;

use super::decision::Decision;
use super::segmenter::Progress;

/// Hears of a run, may stop it, and says when it is worth saving.
pub trait Observer {
    /// A window is finished; `Break` stops the run.
    fn window(&mut self, progress: Progress) -> ControlFlow<()>;

    /// Labels on the scan's grid that no later window changes, as soon as there are any. Not called where labels are brought back
    /// by nearest neighbour. Where the axes of scan and model are not parallel, voxels that are not decided yet are 0, and come
    /// again.
    fn labels(&mut self, _part: &LabelBox<'_>) {}

    /// Whether to save the sums behind this window. Saving reads back four bytes per class and voxel of the rings.
    fn save(&mut self) -> bool {
        false
    }

    /// The sums are saved.
    fn saved(&mut self) {}
}

/// An observer that only hears of windows.
pub(super) struct ProgressObserver<'a>(pub &'a mut dyn FnMut(Progress) -> ControlFlow<()>);

impl Observer for ProgressObserver<'_> {
    fn window(&mut self, progress: Progress) -> ControlFlow<()> {
        (self.0)(progress)
    }
}

/// Labels of a box of the scan.
#[derive(Clone, Copy, Debug)]
pub struct LabelBox<'a> {
    /// First voxel.
    pub begin: [usize; 3],
    /// Voxels along X, Y, Z.
    pub extent: [usize; 3],
    /// `(X, Y, Z)`, Z contiguous.
    pub labels: &'a [u16],
}

/// How far a run is; begins empty, and outlives the device it ran on.
#[derive(Default)]
pub struct RunState {
    pub(super) result: FinishedPlanes,
    pub(super) saved: Option<Saved>,
}

impl RunState {
    /// Windows that need not be run again.
    pub fn windows(&self) -> usize {
        self.saved.as_ref().map_or(0, |s| s.done)
    }
}

/// Labels in the decision's grid, logits and probabilities on the model's grid, the latter two if kept. Parts that are
/// finished stay right when windows are run again.
#[derive(Default)]
pub(super) struct FinishedPlanes {
    pub labels: Vec<u16>,
    pub logits: Vec<f32>,
    pub probabilities: Vec<f32>,
}

/// The sums behind a window.
pub(super) struct Saved {
    /// Windows in them.
    pub done: usize,
    /// Planes finished.
    pub planes: usize,
    /// Which slices were decided.
    pub decision: Decision,
    /// Rings of weighted logits and of weights.
    pub sums: Vec<Vec<f32>>,
}

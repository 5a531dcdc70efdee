//! The way between a scan's grid and the model's grid, recorded move by move and followed both ways.
//!
//! ```text
//! scan grid --turn, crop, resample, in the order of the steps--> model grid
//! ```
//! The way back equals MONAI's `Invertd` and nnU-Net's export: outside of a crop is background, then each voxel of the scan
//! reads the model's grid where the moves took it, clamped to the border of each grid that was resampled: the
//! nearest label, or the mix of the neighbours' probabilities or logits, and the label is decided on the scan. Through several
//! resamplings in a row values are mixed again and again ([`AxisTaps`]); where axes are not parallel, once.

mod taps;

pub use taps::AxisTaps;

use super::crop::Box3;
use super::orientation::Turn;
use super::resample::{Grid, Points, grid_between, sample_nearest};
use super::{Affine, LabelMap, VolumeError, VoxelGrid, checked_len};

/// One move of the voxels. A scan has a handful, so their sizes need not be alike.
#[expect(clippy::large_enum_variant, reason = "boxed, a move would be no plain value any more")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Move {
    /// Axes permuted and flipped.
    Turn(Turn),
    /// A box of the grid, which may reach beyond it.
    Crop(Box3),
    /// Onto another grid in world space.
    Resample(Grid),
    /// Onto another number of voxels in index space.
    Resize(Resized),
}

/// A grid of other dimensions over the same extent: voxel `i` of `n` lies at index `(i + 0.5) m / n - 0.5` of `m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resized {
    pub dims: [usize; 3],
    /// What the way back takes along each axis.
    pub back: [Taken; 3],
    /// What labels take.
    pub labels: Taken,
}

/// What is taken for a place between voxels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Both neighbours by their distance.
    Linear,
    /// The nearest voxel.
    Nearest,
    /// The voxel at or before the place, counted from the corner: PyTorch's `nearest`.
    Before,
    /// The mean of the voxels that a voxel covers: PyTorch's `area`.
    Mean,
}

impl Resized {
    /// The affine of this grid, where it replaces one of `from` voxels and `affine`.
    #[must_use]
    pub fn affine(&self, affine: &Affine, from: [usize; 3]) -> Affine {
        let mut rows = [[0.0; 4]; 3];
        for (a, row) in rows.iter_mut().enumerate() {
            let ratio = from[a] as f64 / self.dims[a] as f64;
            (row[a], row[3]) = (ratio, 0.5 * ratio - 0.5);
        }
        affine.then_after(&Affine::from_rows(rows))
    }
}

/// A move and the grid before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placed {
    pub dims: [usize; 3],
    pub affine: Affine,
    pub by: Move,
}

impl Placed {
    /// For a resampling in world space, the grid before it as it is seen from the one after it, whose affine on the way back is
    /// `after`.
    fn before(self, grid: &Grid, after: &Affine) -> Grid {
        Grid { zeros: grid.zeros, ..grid_between(after, grid.dims, self.affine, self.dims) }
    }
}

/// What preprocessing did to the grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Geometry {
    pub scan_dims: [usize; 3],
    pub scan_affine: Affine,
    moves: Vec<Placed>,
    dims: [usize; 3],
    affine: Affine,
}

/// Where the scan's voxels lie along one axis of the model's grid.
#[derive(Debug, Clone, PartialEq)]
pub struct AxisTable {
    /// The scan's axis that runs along it.
    pub scan_axis: usize,
    /// For each index along that axis, where it is; neighbours beyond the grid hold 0 for every class, and where both do the
    /// voxel is background.
    pub places: Vec<Place>,
}

/// A place between two voxels. Each has its weight, as one that is nearly 0 may be of the only neighbour that has values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// The neighbour below; the other is the next.
    pub low: i32,
    /// The weight of the one below.
    pub below: f32,
    /// The weight of the one above.
    pub above: f32,
}

/// Of a scan voxel that no crop kept: it has no neighbours.
const NOWHERE: i32 = -2;

/// Cross terms below this many voxels over the whole grid are rounding of the stored affine.
const SEPARABLE_VOXELS: f64 = 1e-3;

impl Geometry {
    /// The geometry of a volume used as it is.
    #[must_use]
    pub fn identity(dims: [usize; 3], affine: Affine) -> Self {
        Self { scan_dims: dims, scan_affine: affine, moves: Vec::new(), dims, affine }
    }

    /// The geometry of a scan that was moved onto the grid of `dims` and `affine`.
    #[must_use]
    pub fn new(scan: VoxelGrid, moves: Vec<Placed>, model: VoxelGrid) -> Self {
        Self { scan_dims: scan.dims, scan_affine: scan.affine, moves, dims: model.dims, affine: model.affine }
    }

    /// Dimensions of the model's grid.
    #[must_use]
    pub fn model_dims(&self) -> [usize; 3] {
        self.dims
    }

    /// Affine of the model's grid.
    #[must_use]
    pub fn model_affine(&self) -> Affine {
        self.affine
    }

    /// After each move, the affine that the grid has on the way back. Crops and other numbers of voxels are undone by moving and
    /// scaling once more, as MONAI does, and not to the same bits: they decide on which side of the box's edge a voxel of the scan lies that falls on it.
    fn affines_back(&self) -> Vec<Affine> {
        let mut affine = self.affine;
        let mut back: Vec<Affine> = (self.moves.iter().rev())
            .map(|placed| {
                let after = affine;
                affine = match placed.by {
                    Move::Turn(turn) => turn.inverse().affine(&after, turn.dims(placed.dims)),
                    Move::Crop(to) => Box3 { start: to.start.map(|s| -s), dims: placed.dims }.affine(&after),
                    Move::Resample(_) => placed.affine,
                    Move::Resize(back) => Resized { dims: placed.dims, ..back }.affine(&after, back.dims),
                };
                after
            })
            .collect();
        back.reverse();
        back
    }

    /// The way back axis by axis, for any moves; `None` where the axes of scan and model are not parallel.
    #[must_use]
    pub fn axis_tables(&self) -> Option<[AxisTable; 3]> {
        let way = Way::new(self);
        if !way.separable {
            return None;
        }
        Some(std::array::from_fn(|t| {
            let scan_axis = way.turn.source[t];
            let place = |i: usize| {
                let mut index = [0.0; 3];
                index[scan_axis] = i as f64;
                Place::of(way.follow(index)[t])
            };
            AxisTable { scan_axis, places: (0..self.scan_dims[scan_axis]).map(place).collect() }
        }))
    }

    /// Labels of the scan's grid brought to the model's grid: the same moves, nearest neighbour. For training and
    /// evaluation on the model's grid.
    ///
    /// # Errors
    /// The labels lie on another grid than the scan.
    pub fn apply_labels(&self, labels: &LabelMap) -> Result<LabelMap, VolumeError> {
        let scan = VoxelGrid { dims: self.scan_dims, affine: self.scan_affine };
        let (place, _) = scan.join(&labels.grid(), ["the scan", "the label map"])?;
        let mut data = place.apply(&labels.data, labels.dims);
        for placed in &self.moves {
            data = match placed.by {
                Move::Turn(turn) => turn.apply(&data, placed.dims),
                Move::Crop(to) => to.cut(&data, placed.dims),
                Move::Resample(grid) => sample_nearest(&data, placed.dims, &grid),
                Move::Resize(resized) => pick(&data, placed.dims, resized.dims, resized.labels),
            };
        }
        LabelMap::new(data, self.dims, self.affine)
    }

    /// Labels decided on the model's grid, brought back by nearest neighbour.
    ///
    /// # Errors
    /// The labels do not have the model grid's dimensions.
    pub fn invert_labels(&self, labels: &LabelMap) -> Result<LabelMap, VolumeError> {
        expect_dims("label map on the model's grid", self.dims, labels.dims)?;
        let mut data = labels.data.clone();
        let mut dims = self.dims;
        for (placed, after) in self.moves.iter().zip(self.affines_back()).rev() {
            data = match placed.by {
                Move::Turn(turn) => turn.inverse().apply(&data, dims),
                Move::Crop(from) => from.paste(&data, placed.dims),
                Move::Resample(grid) => sample_nearest(&data, dims, &placed.before(&grid, &after)),
                Move::Resize(resized) => pick(&data, dims, placed.dims, resized.labels),
            };
            dims = placed.dims;
        }
        LabelMap::new(data, self.scan_dims, self.scan_affine)
    }

    /// Class probabilities (or logits) brought back, the label decided voxel by voxel on the scan.
    ///
    /// `decide` gets the K values of one scan voxel. Memory beyond the result: K values.
    /// This is the reference for a kernel that does the same.
    ///
    /// # Shapes
    /// `probabilities`: `(K, X, Y, Z)` on the model's grid.
    ///
    /// # Errors
    /// The length is not `channels` times the model grid's voxels.
    pub fn invert_probabilities(
        &self,
        probabilities: &[f32],
        channels: usize,
        decide: impl FnMut(&[f32]) -> u16,
    ) -> Result<LabelMap, VolumeError> {
        LabelMap::new(self.invert_mixed(probabilities, channels, 0, decide)?, self.scan_dims, self.scan_affine)
    }

    /// What `make` makes of the values of all channels at each voxel of the scan; `outside` where the crops have left them.
    ///
    /// # Errors
    /// As [`Geometry::invert_probabilities`].
    pub fn invert_mixed<T: Copy>(
        &self,
        probabilities: &[f32],
        channels: usize,
        outside: T,
        mut make: impl FnMut(&[f32]) -> T,
    ) -> Result<Vec<T>, VolumeError> {
        let n = checked_len(channels, self.dims)? / channels;
        expect_len("probabilities on the model's grid", n * channels, probabilities.len())?;
        let mut mixed = vec![0.0_f32; channels];
        let mut made = Vec::with_capacity(checked_len(1, self.scan_dims)?);
        self.each_scan_voxel(|neighbours| {
            if neighbours.is_empty() {
                made.push(outside);
                return;
            }
            for (class, value) in probabilities.chunks_exact(n).zip(&mut mixed) {
                let sum: f64 = neighbours.iter().map(|&(at, w)| w * f64::from(class[at])).sum();
                *value = sum as f32;
            }
            made.push(make(&mixed));
        });
        Ok(made)
    }

    /// One channel brought back; 0 outside of the crops.
    ///
    /// # Errors
    /// The length is not that of the model's grid.
    pub fn invert_channel(&self, channel: &[f32]) -> Result<Vec<f32>, VolumeError> {
        expect_len("channel on the model's grid", checked_len(1, self.dims)?, channel.len())?;
        let mut out = Vec::with_capacity(checked_len(1, self.scan_dims)?);
        self.each_scan_voxel(|neighbours| {
            let sum: f64 = neighbours.iter().map(|&(at, w)| w * f64::from(channel[at])).sum();
            out.push(sum as f32);
        });
        Ok(out)
    }

    /// Calls `visit` for each scan voxel in order with its neighbours on the model's grid: position in a channel and weight.
    fn each_scan_voxel(&self, mut visit: impl FnMut(&[(usize, f64)])) {
        if let Some(axes) = self.axis_taps() {
            return self.each_by_taps(&axes, visit);
        }
        let way = Way::new(self);
        let mut neighbours: Vec<(usize, f64)> = Vec::with_capacity(8);
        for i in 0..self.scan_dims[0] {
            for j in 0..self.scan_dims[1] {
                for k in 0..self.scan_dims[2] {
                    let index = [i, j, k].map(|v| v as f64);
                    let places = way.follow(index).map(|c| {
                        let low = Place::of(c).low;
                        (i64::from(low), if low == NOWHERE { 0.0 } else { c - c.floor() })
                    });
                    neighbours.clear();
                    for corner in 0..8_usize {
                        let mut weight = 1.0;
                        let at: [i64; 3] = std::array::from_fn(|a| {
                            let (low, upper) = (places[a].0, corner >> a & 1 == 1);
                            weight *= if upper { places[a].1 } else { 1.0 - places[a].1 };
                            low + i64::from(upper)
                        });
                        if weight > 0.0 && (0..3).all(|a| at[a] >= 0 && at[a] < self.dims[a] as i64) {
                            let [x, y, z] = at.map(|i| i as usize);
                            neighbours.push(((x * self.dims[1] + y) * self.dims[2] + z, weight));
                        }
                    }
                    visit(&neighbours);
                }
            }
        }
    }
}

impl Geometry {
    fn each_by_taps(&self, axes: &[AxisTaps; 3], mut visit: impl FnMut(&[(usize, f64)])) {
        let mut neighbours: Vec<(usize, f64)> = Vec::new();
        for i in 0..self.scan_dims[0] {
            for j in 0..self.scan_dims[1] {
                for k in 0..self.scan_dims[2] {
                    let [xs, ys, zs] = axes.each_ref().map(|axis| &axis.taps[[i, j, k][axis.scan_axis]]);
                    neighbours.clear();
                    for (x, wx) in xs {
                        for (y, wy) in ys {
                            let row = (x * self.dims[1] + y) * self.dims[2];
                            let weight = f64::from(*wx) * f64::from(*wy);
                            neighbours.extend(zs.iter().map(|(z, wz)| (row + z, weight * f64::from(*wz))));
                        }
                    }
                    visit(&neighbours);
                }
            }
        }
    }

    /// Calls `visit` for each voxel of a box of the scan with its places along the axes of the model's grid; as
    /// [`Geometry::axis_tables`], for any axes.
    pub fn places(&self, begin: [usize; 3], extent: [usize; 3], mut visit: impl FnMut([Place; 3])) {
        let way = Way::new(self);
        for i in 0..extent[0] {
            for j in 0..extent[1] {
                for k in 0..extent[2] {
                    let index = [begin[0] + i, begin[1] + j, begin[2] + k].map(|v| v as f64);
                    visit(way.follow(index).map(Place::of));
                }
            }
        }
    }
}

/// The least weight of a neighbour that counts: the product of three must not vanish in single precision.
const LEAST_WEIGHT: f64 = 1e-12;

impl Place {
    /// A continuous index; NaN was cropped away and has no neighbours.
    fn of(c: f64) -> Self {
        if c.is_nan() {
            return Self { low: NOWHERE, below: 1.0, above: 0.0 };
        }
        let above = c - c.floor();
        let weight = |w: f64| if w > 0.0 { w.max(LEAST_WEIGHT) as f32 } else { 0.0 };
        Self { low: c.floor() as i32, below: weight(1.0 - above), above: weight(above) }
    }
}

/// The moves as maps of continuous indices, first to last.
struct Way {
    links: Vec<Link>,
    /// All turns together.
    turn: Turn,
    /// No resampling crosses axes.
    separable: bool,
}

enum Link {
    Turn {
        turn: Turn,
        dims: [usize; 3],
    },
    /// `bounded`: what lies outside is nowhere. Else a neighbour outside counts as 0.
    Crop {
        to: Box3,
        bounded: bool,
    },
    /// `last`: within the border, whose voxels are the last; `None`: beyond the grid a neighbour counts as 0.
    World {
        points: Points,
        dims: [usize; 3],
        last: Option<[f64; 3]>,
    },
    Scale {
        ratio: [f64; 3],
        last: [f64; 3],
        back: [Taken; 3],
    },
}

impl Way {
    fn new(geometry: &Geometry) -> Self {
        let moves = &geometry.moves;
        let resamples = |placed: &Placed| matches!(placed.by, Move::Resample(_) | Move::Resize(_));
        let (first, last) = (moves.iter().position(resamples), moves.iter().rposition(resamples));
        let (mut turn, mut separable) = (Turn::NONE, true);
        let mut links = Vec::with_capacity(moves.len());
        for (at, (placed, after)) in moves.iter().zip(geometry.affines_back()).enumerate() {
            let end = |dims: [usize; 3]| dims.map(|n| n.saturating_sub(1) as f64);
            links.push(match placed.by {
                Move::Turn(next) => {
                    turn = turn.then(&next);
                    Link::Turn { turn: next, dims: placed.dims }
                }
                Move::Crop(to) => {
                    Link::Crop { to, bounded: first.is_none_or(|f| at < f) || last.is_some_and(|l| at < l) }
                }
                Move::Resample(grid) => {
                    let Some(mut map) = placed.before(&grid, &after).to_source else { continue };
                    let crossing = |row: &[f64; 4], t: usize| -> f64 {
                        (0..3).filter(|&a| a != t).map(|a| row[a].abs() * placed.dims[a] as f64).sum()
                    };
                    let mut rows = map.0.iter().take(3).enumerate();
                    if rows.all(|(t, row)| crossing(row, t) <= SEPARABLE_VOXELS) {
                        for (t, row) in map.0.iter_mut().take(3).enumerate() {
                            (0..3).filter(|&a| a != t).for_each(|a| row[a] = 0.0);
                        }
                    } else {
                        separable = false;
                    }
                    let last = (!grid.zeros).then(|| end(grid.dims));
                    Link::World { points: Points::new(grid.dims, placed.dims, &map), dims: grid.dims, last }
                }
                Move::Resize(Resized { dims, back, .. }) => Link::Scale {
                    ratio: std::array::from_fn(|a| dims[a] as f64 / placed.dims[a] as f64),
                    last: end(dims),
                    back,
                },
            });
        }
        Self { links, turn, separable }
    }

    /// The continuous index on the model's grid, NaN along an axis on which the place was cropped away.
    fn follow(&self, index: [f64; 3]) -> [f64; 3] {
        self.links.iter().fold(index, |p, link| match link {
            Link::Turn { turn, dims } => std::array::from_fn(|t| {
                let (a, c) = (turn.source[t], p[turn.source[t]]);
                if turn.flip[t] { (dims[a] - 1) as f64 - c } else { c }
            }),
            Link::Crop { to, bounded } => std::array::from_fn(|a| {
                let c = p[a] - to.start[a] as f64;
                let outside = *bounded && !(-0.5..to.dims[a] as f64 - 0.5).contains(&c);
                if outside { f64::NAN } else { c }
            }),
            Link::World { points, last, .. } => {
                let place = points.at(p);
                last.map_or(place, |last| std::array::from_fn(|a| clamped(place[a], last[a])))
            }
            Link::Scale { ratio, last, back } => {
                std::array::from_fn(|a| Link::scaled(p[a], ratio[a], last[a], back[a]))
            }
        })
    }
}

impl Link {
    /// A place on a grid of `ratio` times as many voxels over the same extent, up to `last`.
    fn scaled(p: f64, ratio: f64, last: f64, taken: Taken) -> f64 {
        let centre = (p + 0.5) * ratio - 0.5;
        match taken {
            Taken::Linear => clamped(centre, last),
            Taken::Nearest => (clamped(centre, last) + 0.5).floor(),
            Taken::Before => clamped(before(p, ratio), last),
            Taken::Mean => {
                // Between two voxels their mean.
                let (first, end) = Self::covered((p + 0.5).floor(), ratio);
                clamped((first + end - 1.0) / 2.0, last)
            }
        }
    }

    /// The voxels that voxel `i` covers there, first and end; a place is within rounding of where it is counted.
    fn covered(i: f64, ratio: f64) -> (f64, f64) {
        ((i * ratio + 1e-9).floor(), ((i + 1.0) * ratio - 1e-9).ceil())
    }
}

/// Within the border; NaN stays.
fn clamped(c: f64, last: f64) -> f64 {
    if c.is_nan() { c } else { c.clamp(0.0, last) }
}

/// The voxel at or before voxel `i` of a grid that has `ratio` times as many; in single precision, as PyTorch counts.
pub(crate) fn before(i: f64, ratio: f64) -> f64 {
    f64::from((i as f32 * ratio as f32).floor())
}

/// Labels on another number of voxels over the same extent.
fn pick(labels: &[u16], dims: [usize; 3], to: [usize; 3], taken: Taken) -> Vec<u16> {
    let axis = |a: usize| -> Vec<usize> {
        let ratio = dims[a] as f64 / to[a] as f64;
        let place = |i: usize| match taken {
            Taken::Before => before(i as f64, ratio),
            _ => (i as f64 + 0.5) * ratio,
        };
        (0..to[a]).map(|i| (place(i) as usize).min(dims[a] - 1)).collect()
    };
    let [xs, ys, zs] = [axis(0), axis(1), axis(2)];
    let mut out = Vec::with_capacity(to.iter().product());
    for x in &xs {
        for y in &ys {
            let row = (x * dims[1] + y) * dims[2];
            out.extend(zs.iter().map(|z| labels[row + z]));
        }
    }
    out
}

fn expect_dims(what: &'static str, expected: [usize; 3], got: [usize; 3]) -> Result<(), VolumeError> {
    if expected == got {
        return Ok(());
    }
    Err(VolumeError::shape(what, format!("{expected:?}"), format!("{got:?}")))
}

fn expect_len(what: &'static str, expected: usize, got: usize) -> Result<(), VolumeError> {
    if expected == got {
        return Ok(());
    }
    Err(VolumeError::shape(what, format!("{expected} values"), format!("{got} values")))
}

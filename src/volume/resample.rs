//! Resampling onto another spacing, as MONAI's `Spacing` and `SpatialResample` do it.
//!
//! Output index `i` reads source index `M * i` (voxel centre to voxel centre), clamped to the grid
//! ("border"), trilinear in f64 with an f32 result, or nearest. The arithmetic follows PyTorch's
//! path through normalised coordinates, whose rounding is visible in the results.
//!
//! Source: `monai/transforms/spatial/{array,functional}.py`, `monai/data/utils.py`
//! (`zoom_affine`, `compute_shape_offset`), `monai/networks/utils.py` (`to_norm_affine`).

use super::affine::{corners, inverse3, multiply3};
use super::{Affine, VolumeError, checked_len};

/// A target spacing that leaves an axis its own.
pub const OWN: f64 = -1.0;

/// Spacings and affines closer than this count as equal (MONAI's `AFFINE_TOL`).
const AFFINE_TOL: f64 = 1e-3;

/// Largest grid a target spacing may ask for, in bytes of f32 voxels of one channel.
pub(crate) const MAX_GRID_BYTES: u64 = if cfg!(target_pointer_width = "64") { 16 << 30 } else { 1 << 30 };

/// A grid to resample onto, and how its voxels lie in the source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    pub dims: [usize; 3],
    pub affine: Affine,
    /// Index on this grid to (continuous) index on the source grid; `None`: the grids are equal.
    pub to_source: Option<Affine>,
    /// Beyond the grids values are 0, not those of the border.
    pub zeros: bool,
}

/// The grid of `spacing` mm over the field of view of the source.
///
/// Axes whose spacing is within 1e-3 mm of the target, or whose target is [`OWN`], keep their own. Direction cosines are kept,
/// shear is removed. Voxel 0 keeps its place; where the removed shear makes that impossible, the
/// centres are aligned, as in MONAI.
///
/// # Errors
/// A target that is not positive and finite, a singular affine, or a grid beyond memory.
pub fn spacing_grid(source: &Affine, source_dims: [usize; 3], spacing: [f64; 3]) -> Result<Grid, VolumeError> {
    source.check("the volume to resample")?;
    if !spacing.iter().all(|s| s.is_finite() && (*s > 0.0 || *s == OWN)) {
        return Err(VolumeError::Setting {
            setting: "spacing",
            value: format!("{spacing:?}"),
            problem: "three positive numbers of mm are needed, or -1 for an axis that keeps its own",
        });
    }
    let own = source.spacing();
    let target: [f64; 3] = std::array::from_fn(|a| match spacing[a] {
        mm if mm == OWN || (own[a] - mm).abs() <= AFFINE_TOL => own[a],
        mm => mm,
    });
    let linear = without_shear(source, target);
    let (dims, origin) = shape_and_origin(source, source_dims, &linear)?;
    let affine = Affine::from_parts(linear, origin);
    Ok(grid_between(source, source_dims, affine, dims))
}

/// The grid `affine`, `dims` seen from the source; equal grids are recognised as MONAI does.
#[must_use]
pub fn grid_between(source: &Affine, source_dims: [usize; 3], affine: Affine, dims: [usize; 3]) -> Grid {
    let to_source = solve(source, &affine);
    let unchanged = dims == source_dims && (all_close(source, &affine) || all_close(&to_source, &Affine::IDENTITY));
    if unchanged {
        return Grid { dims, affine: *source, to_source: None, zeros: false };
    }
    Grid { dims, affine, to_source: Some(to_source), zeros: false }
}

/// `Q diag(target)` with `source = Q S`, S upper triangular with a positive diagonal.
fn without_shear(source: &Affine, target: [f64; 3]) -> [[f64; 3]; 3] {
    let m = source.linear();
    // Cholesky of m^T m = S^T S.
    let gram: [[f64; 3]; 3] = std::array::from_fn(|i| std::array::from_fn(|j| (0..3).map(|k| m[k][i] * m[k][j]).sum()));
    let mut s = [[0.0_f64; 3]; 3];
    for j in 0..3 {
        for i in 0..=j {
            let rest: f64 = (0..i).map(|k| s[k][i] * s[k][j]).sum();
            let value = gram[i][j] - rest;
            s[i][j] = if i == j { value.sqrt() } else { value / s[i][i] };
        }
    }
    let rotation = multiply3(&m, &inverse3(&s));
    std::array::from_fn(|r| std::array::from_fn(|c| rotation[r][c] * target[c]))
}

/// MONAI's `compute_shape_offset` for `scale_extent=False`.
fn shape_and_origin(
    source: &Affine,
    source_dims: [usize; 3],
    linear: &[[f64; 3]; 3],
) -> Result<([usize; 3], [f64; 3]), VolumeError> {
    let to_target = solve(&Affine::from_parts(*linear, [0.0; 3]), source);
    let there: Vec<[f64; 3]> = corners(source_dims).map(|c| to_target.apply(c)).collect();
    let low: [f64; 3] = std::array::from_fn(|a| there.iter().map(|p| p[a]).fold(f64::INFINITY, f64::min));
    let high: [f64; 3] = std::array::from_fn(|a| there.iter().map(|p| p[a]).fold(f64::NEG_INFINITY, f64::max));
    let size: [f64; 3] = std::array::from_fn(|a| (high[a] - low[a] + 1.0).round_ties_even());
    let bytes = size.iter().product::<f64>() * 4.0;
    if bytes.is_nan() || bytes > MAX_GRID_BYTES as f64 {
        // Saturates: the number is only for the message.
        return Err(VolumeError::TooLarge { needed: bytes as u64, limit: MAX_GRID_BYTES });
    }
    let dims = size.map(|n| n as usize);
    checked_len(1, dims)?;

    // The corner that is smallest along every target axis becomes voxel 0.
    let first = corners(source_dims).zip(&there).find(|(_, p)| (0..3).all(|a| (low[a] - p[a]).abs() <= 1e-8));
    let origin = match first {
        Some((corner, _)) => source.apply(corner),
        None => {
            let centre = source.apply(source_dims.map(|n| n as f64 / 2.0));
            let half = size.map(|n| n / 2.0);
            std::array::from_fn(|r| centre[r] - (0..3).map(|c| linear[r][c] * half[c]).sum::<f64>())
        }
    };
    Ok((dims, origin))
}

/// `numpy.allclose(a, b, rtol=1e-5, atol=AFFINE_TOL)`.
fn all_close(a: &Affine, b: &Affine) -> bool {
    let pairs = a.0.iter().flatten().zip(b.0.iter().flatten());
    pairs.into_iter().all(|(x, y)| (x - y).abs() <= AFFINE_TOL + 1e-5 * y.abs())
}

/// `a^-1 b` by elimination with row pivots, in the order of operations of LAPACK's `gesv`, so that
/// round numbers come out as in numpy. The caller has checked that `a` is not singular.
#[must_use]
pub fn solve(a: &Affine, b: &Affine) -> Affine {
    let (mut a, mut b) = (a.0, b.0);
    for k in 0..4 {
        let pivot = (k..4).fold(k, |p, r| if a[r][k].abs() > a[p][k].abs() { r } else { p });
        a.swap(k, pivot);
        b.swap(k, pivot);
        let reciprocal = 1.0 / a[k][k];
        for r in k + 1..4 {
            let factor = a[r][k] * reciprocal;
            a[r] = std::array::from_fn(|c| a[r][c] - factor * a[k][c]);
            b[r] = std::array::from_fn(|c| b[r][c] - factor * b[k][c]);
        }
    }
    for r in (0..4).rev() {
        let reciprocal = 1.0 / a[r][r];
        b[r] = std::array::from_fn(|c| {
            let known: f64 = (r + 1..4).map(|k| a[r][k] * b[k][c]).sum();
            (b[r][c] - known) * reciprocal
        });
    }
    b[3] = [0.0, 0.0, 0.0, 1.0];
    Affine(b)
}

/// The two neighbours of a continuous index along one axis and the weight of the upper one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tap {
    low: usize,
    high: usize,
    weight: f64,
    /// What the two count altogether.
    whole: f64,
}

impl Tap {
    /// The neighbours and their weights.
    fn each(self) -> [(usize, f64); 2] {
        [(self.low, self.whole - self.weight), (self.high, self.weight)]
    }

    /// Beyond the border, which is itself at the coordinate's one side, values are 0.
    fn fade(&mut self, coordinate: f64) {
        let beyond = if coordinate < 0.0 { -coordinate } else { coordinate - self.high as f64 };
        if coordinate < 0.0 || coordinate > self.high as f64 {
            // The clamped coordinate is that of one voxel, whose weight is what is left of it.
            (self.weight, self.whole) = (0.0, (1.0 - beyond).max(0.0));
        }
    }
}

/// Clamps to the grid ("border") and splits into neighbours; `n` is at least 1.
pub(crate) fn tap(coordinate: f64, n: usize) -> Tap {
    let last = n - 1;
    // `max` before `min`: a NaN coordinate falls to 0 and never out of the grid.
    let clamped = coordinate.max(0.0).min(last as f64);
    let low = clamped.floor() as usize;
    Tap { low, high: (low + 1).min(last), weight: clamped - low as f64, whole: 1.0 }
}

/// Trilinear sampling of one channel onto `grid`, where it is another.
///
/// # Shapes
/// `source` has the product of `source_dims` values, the result that of the grid's.
#[must_use]
pub fn sample_linear(source: &[f32], source_dims: [usize; 3], grid: &Grid) -> Vec<f32> {
    let Some(to_source) = &grid.to_source else { return source.to_vec() };
    let points = Points::new(source_dims, grid.dims, to_source);
    let mut out = Vec::with_capacity(grid.dims.iter().product());
    points.each(grid.dims, |p| {
        let mut taps: [Tap; 3] = std::array::from_fn(|a| tap(p[a], source_dims[a]));
        if grid.zeros {
            (0..3).for_each(|a| taps[a].fade(p[a]));
        }
        out.push(blend(source, source_dims, taps));
    });
    out
}

/// The weighted sum of the eight neighbours; neighbours of weight 0 are not read.
fn blend(source: &[f32], dims: [usize; 3], [tx, ty, tz]: [Tap; 3]) -> f32 {
    let mut sum = 0.0_f64;
    for (x, wx) in tx.each() {
        for (y, wy) in ty.each() {
            let row = (x * dims[1] + y) * dims[2];
            for (z, wz) in tz.each() {
                let weight = wx * wy * wz;
                if weight != 0.0 {
                    sum += weight * f64::from(source[row + z]);
                }
            }
        }
    }
    sum as f32
}

/// Nearest-neighbour sampling of one channel onto `grid`, where it is another.
///
/// # Shapes
/// `source` has the product of `source_dims` values, the result that of the grid's.
#[must_use]
pub fn sample_nearest<T: Copy + Default>(source: &[T], source_dims: [usize; 3], grid: &Grid) -> Vec<T> {
    let Some(to_source) = &grid.to_source else { return source.to_vec() };
    let points = Points::new(source_dims, grid.dims, to_source);
    let mut out = Vec::with_capacity(grid.dims.iter().product());
    points.each(grid.dims, |p| {
        let [i, j, k] = nearest(p, source_dims);
        let outside = grid.zeros && (0..3).any(|a| !within(p[a].round_ties_even(), source_dims[a]));
        out.push(if outside { T::default() } else { source[(i * source_dims[1] + j) * source_dims[2] + k] });
    });
    out
}

/// Whether an index is one of `n` voxels.
fn within(index: f64, n: usize) -> bool {
    (0.0..n as f64).contains(&index)
}

/// The voxel nearest to a continuous index, clamped to the grid; ties to even.
pub(crate) fn nearest(point: [f64; 3], dims: [usize; 3]) -> [usize; 3] {
    std::array::from_fn(|a| point[a].max(0.0).min((dims[a] - 1) as f64).round_ties_even() as usize)
}

/// Continuous source index of each output voxel, by the arithmetic of PyTorch's `affine_grid` and
/// `grid_sample`, which MONAI calls: both grids are normalised to [-1, 1] and back.
///
/// The detour leaves an error of 1e-14 voxels, and this error is worth having: it decides on which
/// side an exact tie of nearest-neighbour sampling falls, and it makes a zero voxel beside tissue
/// non-zero, which counts for normalisation over non-zero voxels.
pub(crate) struct Points {
    /// Normalised output coordinate to normalised source coordinate.
    theta: [[f64; 4]; 3],
    /// Normalised coordinate of each output index, per axis.
    grid: [Vec<f64>; 3],
    source_dims: [usize; 3],
}

impl Points {
    pub(crate) fn new(source_dims: [usize; 3], dims: [usize; 3], to_source: &Affine) -> Self {
        let theta = std::array::from_fn(|r| {
            let n = source_dims[r] as f64;
            let (scale, shift) = (2.0 / n, 1.0 / n - 1.0);
            let m = to_source.0[r];
            let row = [scale * m[0], scale * m[1], scale * m[2], scale * m[3] + shift];
            let mut normalised = [0.0; 4];
            for c in 0..3 {
                let size = dims[c] as f64;
                let inverse = 1.0 / (2.0 / size);
                normalised[c] = row[c] * inverse;
                normalised[3] += row[c] * (-(1.0 / size - 1.0) * inverse);
            }
            normalised[3] += row[3];
            normalised
        });
        Self { theta, grid: dims.map(normalised_axis), source_dims }
    }

    /// Visits the points of all output voxels in order, Z fastest.
    pub(crate) fn each(&self, dims: [usize; 3], mut visit: impl FnMut([f64; 3])) {
        let [gx, gy, gz] = &self.grid;
        debug_assert_eq!(dims, [gx.len(), gy.len(), gz.len()], "the grid the points were made for");
        let diagonal = (0..3).all(|r| (0..3).all(|c| r == c || self.theta[r][c] == 0.0));
        if diagonal {
            let axes: [Vec<f64>; 3] =
                std::array::from_fn(|a| self.grid[a].iter().map(|&u| self.index(a, self.theta[a][a] * u)).collect());
            for &x in &axes[0] {
                for &y in &axes[1] {
                    axes[2].iter().for_each(|&z| visit([x, y, z]));
                }
            }
            return;
        }
        for &x in gx {
            for &y in gy {
                for &z in gz {
                    visit(std::array::from_fn(|a| {
                        let t = &self.theta[a];
                        self.index(a, t[2] * z + t[1] * y + t[0] * x)
                    }));
                }
            }
        }
    }

    /// The point of one place on the output grid, which need not be a voxel's. Coordinates that take no part may be NaN.
    pub(crate) fn at(&self, place: [f64; 3]) -> [f64; 3] {
        let u: [f64; 3] = std::array::from_fn(|a| normalised(place[a], self.grid[a].len()));
        std::array::from_fn(|a| {
            let terms = (0..3).rev().filter(|&c| self.theta[a][c] != 0.0).map(|c| self.theta[a][c] * u[c]);
            self.index(a, terms.reduce(|sum, term| sum + term).unwrap_or(0.0))
        })
    }

    /// Continuous index along source axis `a` from its normalised coordinate less the constant.
    fn index(&self, a: usize, sum: f64) -> f64 {
        let u = sum + self.theta[a][3];
        ((u + 1.0) * self.source_dims[a] as f64 - 1.0) / 2.0
    }
}

/// `linspace(-1, 1, n) * (n - 1) / n`; PyTorch fills `linspace` from both ends with fused
/// multiply-adds.
fn normalised_axis(n: usize) -> Vec<f64> {
    (0..n).map(|i| normalised(i as f64, n)).collect()
}

/// Place `i` of the `n` in [`normalised_axis`]; NaN stays.
fn normalised(i: f64, n: usize) -> f64 {
    if n < 2 {
        return 0.0 * i;
    }
    let (steps, last) = (n as f64, (n - 1) as f64);
    let step = 2.0 / last;
    let value = if i < (n / 2) as f64 { step.mul_add(i, -1.0) } else { (-step).mul_add(last - i, 1.0) };
    value * (steps - 1.0) / steps
}

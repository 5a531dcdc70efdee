//! Distances between the surfaces of two masks, in mm.
//!
//! The surface of a mask is what erosion by the 6-neighbour cross takes away; the volume's border
//! counts as outside. From each surface voxel of one mask the exact distance to the nearest surface
//! voxel of the other is taken, in both directions.
//! HD is the largest, HD95 the larger of the two directed 95th percentiles (linear between order
//! statistics), ASSD the mean over both directions together. Along an axis of one voxel there is no inside and no outside:
//! a mask of one slice is measured as the 2-D mask that it is.
//!
//! Source: `monai/metrics/{hausdorff_distance,surface_distance,utils}.py`.

use super::{Label, MetricsError, check, distance_to};

/// Surface distances of one class, mm; see the table of special values in [`super`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SurfaceDistance {
    pub hd: f64,
    pub hd95: f64,
    pub assd: f64,
}

/// Measures one class of two label maps.
///
/// # Shapes
/// `prediction` and `truth`: `(X, Y, Z)`, Z contiguous, of `dims`; `spacing` in mm.
///
/// # Errors
/// Lengths that do not match `dims`, or a spacing that is not positive.
pub fn surface_distance<T: Label>(
    prediction: &[T],
    truth: &[T],
    dims: [usize; 3],
    spacing: [f64; 3],
    class: T,
) -> Result<SurfaceDistance, MetricsError> {
    check(prediction, truth, dims, spacing)?;
    let Some(region) = Region::around(prediction, truth, dims, class) else {
        return Ok(SurfaceDistance { hd: f64::NAN, hd95: f64::NAN, assd: f64::NAN });
    };
    let surfaces = [prediction, truth].map(|labels| region.surface(labels, dims, class));
    let [p, t] = &surfaces;
    if !p.contains(&true) || !t.contains(&true) {
        // One is empty: every distance is infinite, and a percentile between infinities is NaN.
        return Ok(SurfaceDistance { hd: f64::INFINITY, hd95: f64::NAN, assd: f64::INFINITY });
    }
    let directed = |from: &[bool], to: &[bool]| -> Vec<f64> {
        let distance = distance_to(to, region.dims, spacing);
        let mut found: Vec<f64> = from.iter().zip(distance).filter(|(on, _)| **on).map(|(_, d)| d).collect();
        found.sort_unstable_by(f64::total_cmp);
        found
    };
    let (there, back) = (directed(p, t), directed(t, p));
    let largest = |d: &[f64]| d.last().copied().unwrap_or(f64::NAN);
    let total: f64 = there.iter().chain(&back).sum();
    Ok(SurfaceDistance {
        hd: largest(&there).max(largest(&back)),
        hd95: percentile(&there, 0.95).max(percentile(&back, 0.95)),
        assd: total / (there.len() + back.len()) as f64,
    })
}

/// Linear between the order statistics of sorted values; at least one is there.
fn percentile(sorted: &[f64], q: f64) -> f64 {
    let last = sorted.len() - 1;
    let position = q * last as f64;
    let low = position.floor() as usize;
    let (a, b) = (sorted[low], sorted[(low + 1).min(last)]);
    a + (b - a) * (position - low as f64)
}

/// The box around both masks: distances need no more.
struct Region {
    start: [usize; 3],
    dims: [usize; 3],
}

impl Region {
    fn around<T: Label>(a: &[T], b: &[T], dims: [usize; 3], class: T) -> Option<Self> {
        let (mut low, mut high) = ([usize::MAX; 3], [0; 3]);
        for (at, _) in a.iter().zip(b).enumerate().filter(|(_, (a, b))| **a == class || **b == class) {
            let index = [at / (dims[1] * dims[2]), at / dims[2] % dims[1], at % dims[2]];
            for axis in 0..3 {
                low[axis] = low[axis].min(index[axis]);
                high[axis] = high[axis].max(index[axis]);
            }
        }
        (low[0] != usize::MAX)
            .then(|| Self { start: low, dims: std::array::from_fn(|axis| high[axis] + 1 - low[axis]) })
    }

    /// Voxels of the class with a 6-neighbour outside of it, within the box.
    fn surface<T: Label>(&self, labels: &[T], dims: [usize; 3], class: T) -> Vec<bool> {
        let strides = [dims[1] * dims[2], dims[2], 1];
        let mut out = Vec::with_capacity(self.dims.iter().product());
        for x in 0..self.dims[0] {
            for y in 0..self.dims[1] {
                for z in 0..self.dims[2] {
                    let index = [self.start[0] + x, self.start[1] + y, self.start[2] + z];
                    let at: usize = (0..3).map(|a| index[a] * strides[a]).sum();
                    let inside = |a: usize| {
                        dims[a] == 1
                            || (index[a] > 0
                                && index[a] + 1 < dims[a]
                                && labels[at - strides[a]] == class
                                && labels[at + strides[a]] == class)
                    };
                    out.push(labels[at] == class && (dims == [1; 3] || !(0..3).all(inside)));
                }
            }
        }
        out
    }
}

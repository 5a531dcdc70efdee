//! The way back through several resamplings, each of which mixes what the one before has mixed, as MONAI's `Invertd` goes: along
//! each axis the voxels of the model's grid that a voxel of the scan is made of, with their weights.

use super::{Geometry, LEAST_WEIGHT, Link, Taken, Way};

/// What the scan's voxels are made of along one axis of the model's grid.
#[derive(Debug, Clone, PartialEq)]
pub struct AxisTaps {
    /// The scan's axis that runs along it.
    pub scan_axis: usize,
    /// For each index along that axis, indices of the model's grid and their weights; none where the scan was cropped.
    pub taps: Vec<Vec<(usize, f32)>>,
}

impl Geometry {
    /// The way back axis by axis where one place between two voxels does not tell it; `None` where it does, or where the axes of
    /// scan and model are not parallel.
    #[must_use]
    pub fn axis_taps(&self) -> Option<[AxisTaps; 3]> {
        let way = Way::new(self);
        (way.separable && way.mixes_again()).then(|| {
            std::array::from_fn(|t| {
                let scan_axis = way.turn.source[t];
                let taps = (0..self.scan_dims[scan_axis]).map(|i| way.taps(scan_axis, i)).collect();
                AxisTaps { scan_axis, taps }
            })
        })
    }

    /// Whether several resamplings in a row are followed as one: their axes are not parallel.
    #[must_use]
    pub fn skips_resamplings(&self) -> bool {
        let way = Way::new(self);
        !way.separable && way.mixes_again()
    }
}

impl Way {
    /// Whether a voxel may be made of more than two along an axis.
    fn mixes_again(&self) -> bool {
        let mixes = self.links.iter().filter(|link| matches!(link, Link::World { .. } | Link::Scale { .. }));
        let wide = |link: &Link| match link {
            Link::Scale { ratio, back, .. } => (0..3).any(|a| back[a] == Taken::Mean && ratio[a] > 1.0),
            _ => false,
        };
        mixes.count() > 1 || self.links.iter().any(wide)
    }

    /// What index `i` along an axis of the scan is made of.
    fn taps(&self, scan_axis: usize, i: usize) -> Vec<(usize, f32)> {
        let (mut axis, mut taps) = (scan_axis, vec![(i as f64, 1.0)]);
        for link in &self.links {
            let mut next: Vec<(f64, f64)> = Vec::new();
            for (index, weight) in taps {
                link.taps(axis, index, |at, share| match next.iter_mut().find(|(known, _)| *known == at) {
                    Some((_, sum)) => *sum += weight * share,
                    None => next.push((at, weight * share)),
                });
            }
            if let Link::Turn { turn, .. } = link {
                axis = turn.source.iter().position(|source| *source == axis).unwrap_or(axis);
            }
            taps = next;
        }
        let counts = taps.into_iter().filter(|(_, weight)| *weight > 0.0);
        let mut taps: Vec<(usize, f32)> = counts.map(|(at, w)| (at as usize, w.max(LEAST_WEIGHT) as f32)).collect();
        taps.sort_by_key(|(at, _)| *at);
        taps
    }
}

impl Link {
    /// Calls `add` with each voxel behind the move that voxel `index` along an axis before it is made of, and its share.
    fn taps(&self, axis: usize, index: f64, mut add: impl FnMut(f64, f64)) {
        let mut between = |c: f64, last: f64| {
            let above = c - c.floor();
            for (at, weight) in [(c.floor(), 1.0 - above), (c.floor() + 1.0, above)] {
                if weight > 0.0 && (0.0..=last).contains(&at) {
                    add(at, weight);
                }
            }
        };
        match self {
            Self::Turn { turn, dims } => {
                let flips = turn.source.iter().zip(turn.flip).any(|(source, flip)| *source == axis && flip);
                add(if flips { (dims[axis] - 1) as f64 - index } else { index }, 1.0);
            }
            Self::Crop { to, .. } => {
                let at = index - to.start[axis] as f64;
                if (0.0..to.dims[axis] as f64).contains(&at) {
                    add(at, 1.0);
                }
            }
            Self::World { points, dims, last } => {
                let mut place = [0.0; 3];
                place[axis] = index;
                let c = points.at(place)[axis];
                let end = dims[axis].saturating_sub(1) as f64;
                between(last.map_or(c, |last| c.clamp(0.0, last[axis])), end);
            }
            Self::Scale { ratio, last, back } => match back[axis] {
                Taken::Mean => {
                    let (first, end) = Self::covered(index, ratio[axis]);
                    let share = 1.0 / (end - first);
                    let mut at = first;
                    while at < end {
                        add(at, share);
                        at += 1.0;
                    }
                }
                Taken::Linear | Taken::Nearest | Taken::Before => {
                    between(Self::scaled(index, ratio[axis], last[axis], back[axis]), last[axis]);
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Move, Placed, Resized};
    use super::*;
    use crate::volume::{Affine, VoxelGrid};

    fn resized(from: [usize; 3], dims: [usize; 3], back: Taken) -> Placed {
        let by = Move::Resize(Resized { dims, back: [back; 3], labels: Taken::Nearest });
        Placed { dims: from, affine: Affine::IDENTITY, by }
    }

    fn geometry(moves: Vec<Placed>, model: [usize; 3]) -> Geometry {
        let scan = VoxelGrid { dims: moves[0].dims, affine: Affine::IDENTITY };
        Geometry::new(scan, moves, VoxelGrid { dims: model, affine: Affine::IDENTITY })
    }

    /// PyTorch: `interpolate` from 2 to 3 to 5, trilinear, of a 1 in each place.
    #[test]
    fn what_was_mixed_is_mixed_again() {
        let moves = vec![resized([5; 3], [3; 3], Taken::Linear), resized([3; 3], [2; 3], Taken::Linear)];
        let taps = geometry(moves, [2; 3]).axis_taps().expect("parallel axes");
        let first: Vec<f32> = taps[0].taps.iter().map(|t| t.iter().find(|t| t.0 == 0).map_or(0.0, |t| t.1)).collect();
        for (got, want) in first.iter().zip([1.0, 0.8, 0.5, 0.2, 0.0]) {
            assert!((got - want).abs() < 1e-6, "{first:?}");
        }
    }

    /// PyTorch: `interpolate` from 5 to 2, area: the means of 0 to 2 and of 2 to 4.
    #[test]
    fn a_mean_is_of_all_that_is_covered() {
        let taps = geometry(vec![resized([2; 3], [5; 3], Taken::Mean)], [5; 3]).axis_taps().expect("parallel axes");
        let third = 1.0_f32 / 3.0;
        assert_eq!(taps[1].taps, [[(0, third), (1, third), (2, third)], [(2, third), (3, third), (4, third)]]);
        assert!(geometry(vec![resized([5; 3], [2; 3], Taken::Mean)], [2; 3]).axis_taps().is_none(), "one or two do");
    }
}

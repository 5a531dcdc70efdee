//! Whether two images lie on one grid: the one rule that every command, the tab and training go by.
//!
//! Grids are compared by where their voxel centres lie, not by the numbers of their headers. The distance is counted in
//! voxels of the first grid, the largest over the three axes and all corners: below half a voxel every voxel's nearest
//! neighbour is its own partner.
//!
//! | centres apart | answer |
//! | --- | --- |
//! | up to 0.1 voxel | one grid |
//! | up to 0.5 voxel | one grid, with a warning |
//! | more, or other sizes | two grids |
//!
//! An image that is stored in another order of axes on the same centres is turned: values move, none is interpolated.

use super::orientation::Turn;
use super::{Affine, LabelMap, Volume, VolumeError};

/// Centres closer than this, in voxels, are one grid.
pub const SAME_VOXELS: f64 = 0.1;
/// Centres closer than this, in voxels, are taken as one grid with a warning.
pub const CLOSE_VOXELS: f64 = 0.5;
/// What the rounding of stored numbers can make of one and the same grid, in mm: at 1 m from the origin an f32 is off by
/// 6e-5 mm a coordinate.
const ROUNDING_MM: f64 = 1e-3;

/// Size and place of an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VoxelGrid {
    pub dims: [usize; 3],
    /// Voxel index to mm, RAS+.
    pub affine: Affine,
}

/// How one grid lies on another.
#[derive(Debug, Clone, PartialEq)]
pub enum Alignment {
    /// Their voxels are the same, once the second is turned.
    Same(Turn),
    /// As [`Alignment::Same`], but the centres lie up to so many voxels and mm apart.
    Close { turn: Turn, voxels: f64, mm: f64 },
    /// They are two grids, and why.
    Other(String),
}

impl VoxelGrid {
    /// True if no corner differs by more than the rounding of a file's numbers, and the axes are in the same order.
    #[must_use]
    pub fn equals(&self, other: &Self) -> bool {
        self.dims == other.dims && self.affine.max_displacement(&other.affine, self.dims) <= ROUNDING_MM
    }

    /// How `other` lies on this grid.
    #[must_use]
    pub fn align(&self, other: &Self) -> Alignment {
        let Ok(to_index) = self.affine.inverse() else {
            return Alignment::Other("the affine of the first is singular".into());
        };
        let apart = |turn: &Turn| {
            let turned = turn.affine(&other.affine, other.dims);
            (to_index.then_after(&turned).max_step(self.dims), turned)
        };
        let mut best: Option<(Turn, f64, Affine)> = None;
        for turn in Turn::all().filter(|turn| turn.dims(other.dims) == self.dims) {
            let (voxels, turned) = apart(&turn);
            // On axes of one voxel several turns are the same: the first, which changes least, is taken.
            if best.as_ref().is_none_or(|(_, least, _)| voxels + 1e-9 < *least) {
                best = Some((turn, voxels, turned));
            }
        }
        let Some((turn, voxels, turned)) = best else {
            return Alignment::Other(format!("they have {:?} and {:?} voxels", self.dims, other.dims));
        };
        let mm = self.affine.max_displacement(&turned, self.dims);
        match voxels {
            v if v <= SAME_VOXELS => Alignment::Same(turn),
            v if v <= CLOSE_VOXELS => Alignment::Close { turn, voxels, mm },
            _ if self.dims == other.dims => {
                let mm = self.affine.max_displacement(&other.affine, self.dims).min(mm);
                let mut problem = format!("they have the same size but lie up to {mm:.3} mm apart");
                let ratio = (self.affine.voxel_mm3() / other.affine.voxel_mm3()).cbrt();
                let factor = ratio.max(1.0 / ratio);
                if [1e3, 1e6].iter().any(|f| (factor / f - 1.0).abs() < 0.01) {
                    let hint = "is the unit in the header (xyzt_units) of one wrong?";
                    problem = format!("{problem}, and the voxels of one are {factor:.0} times as large: {hint}");
                }
                Alignment::Other(problem)
            }
            _ => Alignment::Other(format!(
                "they have {:?} and {:?} voxels; with the axes in the same order they lie up to {mm:.3} mm apart",
                self.dims, other.dims
            )),
        }
    }

    /// The turn that puts `other` on this grid, and what the user is to be told about it; `names` are theirs.
    ///
    /// # Errors
    /// They are two grids.
    pub fn join(&self, other: &Self, names: [&str; 2]) -> Result<(Turn, Option<String>), VolumeError> {
        let [first, second] = names;
        match self.align(other) {
            Alignment::Same(turn) => Ok((turn, None)),
            Alignment::Close { turn, voxels, mm } => {
                let text = format!(
                    "{second} lies up to {mm:.3} mm ({voxels:.2} of a voxel) beside {first}: they are taken as one grid"
                );
                Ok((turn, Some(text)))
            }
            Alignment::Other(problem) => {
                Err(VolumeError::Grids { first: first.to_owned(), second: second.to_owned(), problem })
            }
        }
    }
}

impl Affine {
    /// The largest change of an index, in voxels along any axis, that this map from index to index makes at a corner.
    fn max_step(&self, dims: [usize; 3]) -> f64 {
        super::affine::corners(dims)
            .flat_map(|corner| {
                let moved = self.apply(corner);
                (0..3).map(move |a| (moved[a] - corner[a]).abs())
            })
            .fold(0.0, |worst, d| if d.is_nan() { f64::INFINITY } else { f64::max(worst, d) })
    }
}

impl Turn {
    /// All 48 orders and directions of the axes, [`Turn::NONE`] first and those that only flip before the others.
    pub fn all() -> impl Iterator<Item = Self> {
        const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]];
        ORDERS.into_iter().flat_map(|source| {
            (0..8_u8).map(move |bits| Self { source, flip: std::array::from_fn(|a| bits >> a & 1 == 1) })
        })
    }
}

impl Volume {
    /// Its grid.
    #[must_use]
    pub fn grid(&self) -> VoxelGrid {
        VoxelGrid { dims: self.dims, affine: self.affine }
    }

    /// This volume on a grid that it was found to lie on by `turn`.
    pub(super) fn placed(mut self, turn: &Turn, grid: &VoxelGrid) -> Self {
        if *turn != Turn::NONE {
            self.data = (0..self.channels).flat_map(|c| turn.apply(self.channel(c), self.dims)).collect();
        }
        Self { dims: grid.dims, affine: grid.affine, ..self }
    }
}

impl<T: Copy> LabelMap<T> {
    /// Its grid.
    #[must_use]
    pub fn grid(&self) -> VoxelGrid {
        VoxelGrid { dims: self.dims, affine: self.affine }
    }

    /// These labels on the grid of a scan, turned if need be; and what the user is to be told. `names` are the scan's and
    /// the labels'.
    ///
    /// # Errors
    /// They lie on another grid.
    pub fn on_grid(mut self, grid: &VoxelGrid, names: [&str; 2]) -> Result<(Self, Option<String>), VolumeError> {
        let (turn, told) = grid.join(&self.grid(), names)?;
        if turn != Turn::NONE {
            self.data = turn.apply(&self.data, self.dims);
        }
        Ok((Self { data: self.data, dims: grid.dims, affine: grid.affine }, told))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(dims: [usize; 3], rows: [[f64; 4]; 3]) -> VoxelGrid {
        VoxelGrid { dims, affine: Affine::from_rows(rows) }
    }

    fn shifted(by: f64) -> VoxelGrid {
        grid([4, 5, 6], [[0.8, 0.0, 0.0, 10.0], [0.0, 0.8, 0.0, 20.0], [0.0, 0.0, 3.0, 30.0 + 3.0 * by]])
    }

    #[test]
    fn a_tenth_is_silent_and_a_half_is_told() {
        let scan = shifted(0.0);
        assert_eq!(scan.align(&shifted(0.09)), Alignment::Same(Turn::NONE));
        let (turn, told) = scan.join(&shifted(-0.3), ["scan", "labels"]).expect("one grid");
        assert_eq!(turn, Turn::NONE);
        assert_eq!(
            told.as_deref(),
            Some("labels lies up to 0.900 mm (0.30 of a voxel) beside scan: they are taken as one grid")
        );
        assert!(matches!(scan.align(&shifted(0.51)), Alignment::Other(_)));
        assert!(scan.equals(&shifted(0.0003)) && !scan.equals(&shifted(0.001)));
    }

    #[test]
    fn every_order_of_axes_is_turned_back() {
        let scan = grid([4, 5, 6], [[0.8, 0.01, 0.0, 10.0], [0.0, 0.7, 0.0, 20.0], [0.0, 0.02, 3.0, 30.0]]);
        let data: Vec<u16> = (0..120).collect();
        let labels = LabelMap::new(data, scan.dims, scan.affine).expect("labels");
        for turn in Turn::all() {
            let dims = turn.dims(scan.dims);
            let other = LabelMap {
                data: turn.apply(&labels.data, scan.dims),
                dims,
                affine: turn.affine(&scan.affine, scan.dims),
            };
            let (back, told) = other.on_grid(&scan, ["a", "b"]).expect("one grid");
            assert_eq!((back, told), (labels.clone(), None), "{turn:?}");
        }
    }

    #[test]
    fn other_sizes_and_units_are_named() {
        let scan = shifted(0.0);
        let larger = VoxelGrid { dims: [4, 5, 7], ..scan };
        assert!(matches!(scan.align(&larger), Alignment::Other(p) if p.contains("[4, 5, 6] and [4, 5, 7] voxels")));
        let metres = VoxelGrid {
            affine: Affine::from_rows(std::array::from_fn(|r| scan.affine.0[r].map(|v| v / 1000.0))),
            ..scan
        };
        assert!(matches!(scan.align(&metres), Alignment::Other(p) if p.contains("1000 times")));
    }

    #[test]
    fn an_axis_of_one_voxel_has_no_step() {
        let flat =
            |thickness: f64| grid([4, 5, 1], [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, thickness, 7.0]]);
        assert_eq!(flat(1.0).align(&flat(-5.0)), Alignment::Same(Turn::NONE));
    }
}

//! Which way the voxel axes point, and turning a volume so that they point another way.
//!
//! Turning only permutes and flips axes; no value is interpolated, so it is exactly invertible.
//! The rules are nibabel's `io_orientation`, `ornt_transform` and `inv_ornt_aff`, which MONAI's
//! `Orientation` uses: the axis most along a world axis takes it, strongest first.

use super::affine::closest_rotation;
use super::{Affine, VolumeError};

/// For each voxel axis: the world axis it follows most, and whether against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orientation {
    /// World axis (0 x, 1 y, 2 z) of each voxel axis: a permutation.
    pub axis: [usize; 3],
    /// True where the voxel axis runs from R to L, A to P or S to I.
    pub flip: [bool; 3],
}

/// Negative and positive end of each world axis.
const ENDS: [[char; 2]; 3] = [['L', 'R'], ['P', 'A'], ['I', 'S']];

impl Orientation {
    /// The closest orientation of a non-singular affine.
    #[must_use]
    pub fn of(affine: &Affine) -> Self {
        let spacing = affine.spacing().map(|s| if s == 0.0 { 1.0 } else { s });
        let linear = affine.linear();
        let directions: [[f64; 3]; 3] = std::array::from_fn(|r| std::array::from_fn(|c| linear[r][c] / spacing[c]));
        let rotation = closest_rotation(&directions);
        let strength = |c: usize| (0..3).map(|r| rotation[r][c].powi(2)).fold(0.0, f64::max);
        let mut order = [0, 1, 2];
        // A stable sort: equally strong axes keep their order, as in nibabel.
        order.sort_by(|&a, &b| strength(b).total_cmp(&strength(a)));

        let (mut axis, mut flip, mut taken) = ([0; 3], [false; 3], [false; 3]);
        for voxel_axis in order {
            let mut best: Option<usize> = None;
            for world in (0..3).filter(|&w| !taken[w]) {
                let value = rotation[world][voxel_axis].abs();
                if best.is_none_or(|b| value > rotation[b][voxel_axis].abs()) {
                    best = Some(world);
                }
            }
            if let Some(world) = best {
                taken[world] = true;
                axis[voxel_axis] = world;
                flip[voxel_axis] = rotation[world][voxel_axis] < 0.0;
            }
        }
        Self { axis, flip }
    }

    /// Reads axis codes such as `RAS` or `LPI`.
    ///
    /// # Errors
    /// Not three letters, one of each pair L/R, P/A and I/S.
    pub fn from_codes(codes: &str) -> Result<Self, VolumeError> {
        let bad = || VolumeError::Setting {
            setting: "orientation",
            value: format!("{codes:?}"),
            problem: "three letters are needed, one of each pair L/R, P/A and I/S, as in RAS",
        };
        let (mut axis, mut flip, mut taken) = ([0; 3], [false; 3], [false; 3]);
        let mut letters = codes.chars();
        for a in 0..3 {
            let letter = letters.next().ok_or_else(bad)?;
            let world = ENDS.iter().position(|ends| ends.contains(&letter)).ok_or_else(bad)?;
            if std::mem::replace(&mut taken[world], true) {
                return Err(bad());
            }
            axis[a] = world;
            flip[a] = letter == ENDS[world][0];
        }
        if letters.next().is_some() {
            return Err(bad());
        }
        Ok(Self { axis, flip })
    }

    /// The three letters, one for each voxel axis: where it points to.
    #[must_use]
    pub fn codes(&self) -> String {
        (0..3).map(|a| ENDS[self.axis[a]][usize::from(!self.flip[a])]).collect()
    }

    /// The turn that takes a volume of this orientation to `target`.
    #[must_use]
    pub fn turn_to(&self, target: &Self) -> Turn {
        // For each axis of the result, the source axis along the same world axis.
        let source = std::array::from_fn(|t| self.axis.iter().position(|&w| w == target.axis[t]).unwrap_or(t));
        let flip = std::array::from_fn(|t| self.flip[source[t]] != target.flip[t]);
        Turn { source, flip }
    }
}

/// A permutation and flips of the three axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// For each axis of the result, the axis of the source it comes from.
    pub source: [usize; 3],
    /// For each axis of the result, whether it runs against its source axis.
    pub flip: [bool; 3],
}

impl Turn {
    /// No change.
    pub const NONE: Self = Self { source: [0, 1, 2], flip: [false; 3] };

    /// The turn that undoes this one.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let mut inverse = Self::NONE;
        for (t, (&source, &flip)) in self.source.iter().zip(&self.flip).enumerate() {
            inverse.source[source] = t;
            inverse.flip[source] = flip;
        }
        inverse
    }

    /// This turn, then `next`.
    #[must_use]
    pub fn then(&self, next: &Self) -> Self {
        let (source, flip) = (next.source.map(|a| self.source[a]), next.source.map(|a| self.flip[a]));
        Self { source, flip: std::array::from_fn(|t| flip[t] != next.flip[t]) }
    }

    /// Dimensions of the result.
    #[must_use]
    pub fn dims(&self, source_dims: [usize; 3]) -> [usize; 3] {
        self.source.map(|a| source_dims[a])
    }

    /// The map from an index of the result to the index of the source.
    #[must_use]
    pub fn to_source(&self, source_dims: [usize; 3]) -> Affine {
        let mut rows = [[0.0; 4]; 3];
        for t in 0..3 {
            let a = self.source[t];
            let last = source_dims[a].saturating_sub(1) as f64;
            rows[a][t] = if self.flip[t] { -1.0 } else { 1.0 };
            rows[a][3] = if self.flip[t] { last } else { 0.0 };
        }
        Affine::from_rows(rows)
    }

    /// The map from an index of the source to the index of the result.
    #[must_use]
    pub fn to_result(&self, source_dims: [usize; 3]) -> Affine {
        self.inverse().to_source(self.dims(source_dims))
    }

    /// The affine of the result.
    #[must_use]
    pub fn affine(&self, source: &Affine, source_dims: [usize; 3]) -> Affine {
        source.then_after(&self.to_source(source_dims))
    }

    /// Turns one channel `(X, Y, Z)`; `source` has the product of `source_dims` values.
    #[must_use]
    pub fn apply<T: Copy>(&self, source: &[T], source_dims: [usize; 3]) -> Vec<T> {
        if *self == Self::NONE {
            return source.to_vec();
        }
        let dims = self.dims(source_dims);
        let strides = [source_dims[1] * source_dims[2], source_dims[2], 1];
        // Position in `source` of result index `i` along result axis `t`.
        let along = |t: usize, i: usize| {
            let i = if self.flip[t] { dims[t] - 1 - i } else { i };
            i * strides[self.source[t]]
        };
        let z: Vec<usize> = (0..dims[2]).map(|i| along(2, i)).collect();
        let mut out = Vec::with_capacity(source.len());
        for x in 0..dims[0] {
            for y in 0..dims[1] {
                let base = along(0, x) + along(1, y);
                out.extend(z.iter().map(|&offset| source[base + offset]));
            }
        }
        out
    }
}

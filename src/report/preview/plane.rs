//! Planes through a scan: where each picture point lies in the patient, and what is there.
//!
//! The frame is the right-handed orthogonal one closest to the voxel axes, with its axes named by the side of the
//! patient they point to most. A point of a picture is a position in mm, and `A⁻¹` of it a voxel index; so spacing,
//! flips, permutations, rotation and shear need no case of their own.

use crate::volume::affine::{closest_rotation, corners};
use crate::volume::{Affine, LabelMap, Orientation, Volume, VolumeError};

/// A standard plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plane {
    Axial,
    Coronal,
    Sagittal,
}

impl Plane {
    pub fn name(self) -> &'static str {
        match self {
            Self::Axial => "axial",
            Self::Coronal => "coronal",
            Self::Sagittal => "sagittal",
        }
    }

    /// Frame axes (0 right, 1 front, 2 up) that run to the left and up in the picture: rows and columns both run against.
    fn axes(self) -> [usize; 2] {
        match self {
            Self::Axial => [0, 1],
            Self::Coronal => [0, 2],
            Self::Sagittal => [1, 2],
        }
    }
}

/// A scan with its labels, cut at one point.
pub(super) struct Section<'a> {
    labels: &'a LabelMap,
    channel: &'a [f32],
    dims: [usize; 3],
    inverse: Affine,
    /// Unit vectors towards right, front and up, as far as the scan's axes follow them.
    frame: [[f64; 3]; 3],
    /// Least and largest position of the voxels' outer faces along each frame axis, mm.
    range: [[f64; 2]; 3],
    center: [f64; 3],
}

impl<'a> Section<'a> {
    pub fn new(labels: &'a LabelMap, scan: &'a Volume, channel: usize) -> Result<Self, VolumeError> {
        let affine = scan.affine;
        let inverse = affine.inverse()?;
        let (linear, spacing) = (affine.linear(), affine.spacing());
        let unit = std::array::from_fn(|r| std::array::from_fn(|c| linear[r][c] / spacing[c]));
        let rotation: [[f64; 3]; 3] = closest_rotation(&unit);
        let orientation = Orientation::of(&affine);
        let mut frame = [[0.0; 3]; 3];
        for a in 0..3 {
            let sign = if orientation.flip[a] { -1.0 } else { 1.0 };
            frame[orientation.axis[a]] = std::array::from_fn(|r| sign * rotation[r][a]);
        }
        let outer = corners(scan.dims.map(|d| d + 1)).map(|c| affine.apply(c.map(|v| v - 0.5)));
        let mut range = [[f64::INFINITY, f64::NEG_INFINITY]; 3];
        for corner in outer {
            for (axis, range) in frame.iter().zip(&mut range) {
                let at = dot(axis, &corner);
                *range = [range[0].min(at), range[1].max(at)];
            }
        }
        let middle = scan.dims.map(|d| (d as f64 - 1.0) / 2.0);
        let center = affine.apply(centroid_of_largest(labels).unwrap_or(middle));
        Ok(Self { labels, channel: scan.channel(channel), dims: scan.dims, inverse, frame, range, center })
    }

    /// Cuts where another section of the same scan does.
    pub fn cut_as(&mut self, other: &Section<'_>) {
        self.center = other.center;
    }

    /// Size of the scan along right, front and up.
    pub fn extent_mm(&self) -> [f64; 3] {
        self.range.map(|[low, high]| high - low)
    }

    /// Where the planes meet.
    pub fn center_mm(&self) -> [f64; 3] {
        self.center
    }

    /// What is at the left, right, top and bottom edge.
    pub fn letters(&self, plane: Plane) -> [String; 4] {
        let [across, upright] = plane.axes().map(|a| self.frame[a]);
        [letters(&across), letters(&across.map(|v| -v)), letters(&upright), letters(&upright.map(|v| -v))]
    }

    /// A picture of `size` pixels, which cover the scan from face to face.
    pub fn view(&self, plane: Plane, size: [i32; 2]) -> View<'_> {
        let [a, b] = plane.axes();
        let normal = 3 - a - b;
        // The centre of the first pixel: the largest position along both axes, less half a pixel.
        let pitch = |axis: usize| {
            let count = if axis == a { size[0] } else { size[1] };
            (self.range[axis][1] - self.range[axis][0]) / f64::from(count.max(1))
        };
        let first = |axis: usize| self.range[axis][1] - 0.5 * pitch(axis);
        let depth = dot(&self.frame[normal], &self.center);
        let start: [f64; 3] = std::array::from_fn(|r| {
            self.frame[a][r] * first(a) + self.frame[b][r] * first(b) + self.frame[normal][r] * depth
        });
        let origin = self.inverse.apply(start);
        let m = self.inverse.linear();
        let step = |axis: usize| {
            let d = self.frame[axis].map(|v| -v * pitch(axis));
            std::array::from_fn(|r| dot(&m[r], &d))
        };
        let cut =
            [a, b].map(|axis| ((self.range[axis][1] - dot(&self.frame[axis], &self.center)) / pitch(axis)) as i32);
        let cut = [cut[0].clamp(0, size[0] - 1), cut[1].clamp(0, size[1] - 1)];
        View { section: self, origin, du: step(a), dv: step(b), cut }
    }

    fn at(&self, index: [usize; 3]) -> usize {
        (index[0] * self.dims[1] + index[1]) * self.dims[2] + index[2]
    }
}

/// What a picture point shows.
pub(super) struct Sample {
    pub intensity: f32,
    pub label: u16,
}

/// A plane as pixels.
pub(super) struct View<'a> {
    section: &'a Section<'a>,
    origin: [f64; 3],
    du: [f64; 3],
    dv: [f64; 3],
    cut: [i32; 2],
}

impl View<'_> {
    /// The pixel where the other two planes cut this one.
    pub fn cut(&self) -> [i32; 2] {
        self.cut
    }

    fn index(&self, u: i32, v: i32) -> [f64; 3] {
        std::array::from_fn(|a| self.origin[a] + self.du[a] * f64::from(u) + self.dv[a] * f64::from(v))
    }

    /// The voxel around a pixel; `None` outside of the scan.
    fn nearest(&self, u: i32, v: i32) -> Option<[usize; 3]> {
        let mut voxel = [0; 3];
        for (a, value) in self.index(u, v).into_iter().enumerate() {
            let r = value.round();
            if !(r >= 0.0 && r < self.section.dims[a] as f64) {
                return None;
            }
            voxel[a] = r as usize;
        }
        Some(voxel)
    }

    /// The label at a pixel, 0 outside of the scan.
    pub fn label(&self, u: i32, v: i32) -> u16 {
        let at = self.nearest(u, v).map(|voxel| self.section.at(voxel));
        at.and_then(|at| self.section.labels.data.get(at).copied()).unwrap_or(0)
    }

    /// Trilinear intensity and nearest label; `None` outside of the scan.
    pub fn sample(&self, u: i32, v: i32) -> Option<Sample> {
        self.nearest(u, v)?;
        let index = self.index(u, v);
        let mut sum = 0.0;
        for corner in 0..8usize {
            let mut weight = 1.0;
            let voxel = std::array::from_fn(|a| {
                let last = self.section.dims[a] - 1;
                let p = index[a].clamp(0.0, last as f64);
                let (low, fraction) = (p.floor(), p - p.floor());
                let upper = corner >> a & 1;
                weight *= if upper == 1 { fraction } else { 1.0 - fraction };
                (low as usize + upper).min(last)
            });
            if weight > 0.0 {
                sum +=
                    weight * f64::from(self.section.channel.get(self.section.at(voxel)).copied().unwrap_or(f32::NAN));
            }
        }
        Some(Sample { intensity: sum as f32, label: self.label(u, v) })
    }
}

/// Mean index of the voxels of the commonest label but 0.
fn centroid_of_largest(labels: &LabelMap) -> Option<[f64; 3]> {
    let counts = labels.counts();
    let (&largest, &count) =
        counts.iter().filter(|(v, _)| **v != 0).max_by_key(|(v, n)| (**n, std::cmp::Reverse(**v)))?;
    let [_, ny, nz] = labels.dims;
    let mut sum = [0.0; 3];
    for (at, _) in labels.data.iter().enumerate().filter(|(_, v)| **v == largest) {
        for (sum, index) in sum.iter_mut().zip([at / nz / ny, at / nz % ny, at % nz]) {
            *sum += index as f64;
        }
    }
    Some(sum.map(|s| s / count as f64))
}

/// Sides of the patient a direction points to: the main one, then others that make up more than 15 degrees.
fn letters(direction: &[f64; 3]) -> String {
    const SIN_15: f64 = 0.258_819;
    let mut parts: Vec<(f64, char)> = [['R', 'L'], ['A', 'P'], ['S', 'I']]
        .iter()
        .zip(direction)
        .map(|(ends, &v)| (v.abs(), ends[usize::from(v < 0.0)]))
        .collect();
    parts.sort_by(|a, b| b.0.total_cmp(&a.0));
    let main = parts.iter().take(1);
    let others = parts.iter().skip(1).filter(|p| p.0 > SIN_15);
    main.chain(others).map(|p| p.1).collect()
}

fn dot(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

//! Surfaces of labels: closed, every edge between two triangles, normals outward, smooth within half a voxel.
//!
//! Dual of marching cubes (Nielson 2004): a vertex for each sheet of the surface in each cube of eight voxels, a quadrilateral
//! for each pair of neighbouring voxels of which one has the label. Vertices are smoothed (Taubin 1995), moved outward until the
//! surface holds the voxels' volume, and kept within their cube, as in Gibson's constrained surface nets (1998): the centre of every voxel of the label stays inside,
//! that of every other voxel outside.

mod cell;
mod glb;
mod smooth;
mod stl;

use std::collections::HashMap;

pub use glb::write_glb;
pub use stl::write_stl;

use super::{Affine, LabelMap};
use cell::{Sheets, edge_of};

/// The patient's axes that coordinates are along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Space {
    /// To the right, front and head, as NIfTI's.
    #[default]
    Ras,
    /// To the left, back and head, as DICOM's.
    Lps,
}

impl Space {
    /// Its three letters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ras => "RAS",
            Self::Lps => "LPS",
        }
    }
}

/// A surface of triangles.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mesh {
    /// mm.
    pub vertices: Vec<[f32; 3]>,
    /// Counter-clockwise, seen from outside.
    pub triangles: Vec<[u32; 3]>,
}

impl Mesh {
    /// The volume that it encloses, ml.
    #[must_use]
    pub fn volume_ml(&self) -> f64 {
        let at = |i: u32| self.vertices[i as usize].map(f64::from);
        let tetrahedron = |t: &[u32; 3]| {
            let [[a, b, c], [d, e, f], [g, h, i]] = t.map(at);
            a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
        };
        self.triangles.iter().map(tetrahedron).sum::<f64>() / 6000.0
    }
}

/// The surface of a label; none where it has no voxel.
#[must_use]
pub fn surface(labels: &LabelMap, value: u16, space: Space) -> Option<Mesh> {
    let grid = Cropped::new(labels, value)?;
    let net = Net::new(&grid);
    let points = smooth::smooth(&net.points, &net.cells, &net.quads, grid.voxels() as f64);
    let mut affine = Affine::from_parts(labels.affine.linear(), labels.affine.apply(grid.first));
    if space == Space::Lps {
        affine.0[..2].iter_mut().for_each(|row| row.iter_mut().for_each(|v| *v = -*v));
    }
    let places: Vec<[f64; 3]> = points.iter().map(|p| affine.apply(*p)).collect();
    let apart = |a: u32, b: u32| (0..3).map(|r| (places[a as usize][r] - places[b as usize][r]).powi(2)).sum::<f64>();
    // An affine that mirrors turns surfaces inside out.
    let mirrored = affine.determinant() < 0.0;
    let triangles = net.quads.iter().flat_map(|&[a, b, c, d]| {
        // The shorter diagonal bends less.
        let split = if apart(a, c) <= apart(b, d) { [[a, b, c], [a, c, d]] } else { [[b, c, d], [b, d, a]] };
        split.map(|[a, b, c]| if mirrored { [a, c, b] } else { [a, b, c] })
    });
    Some(Mesh { triangles: triangles.collect(), vertices: places.iter().map(|p| p.map(|v| v as f32)).collect() })
}

/// The voxels of a label with a border of others around them.
struct Cropped {
    dims: [usize; 3],
    inside: Vec<bool>,
    /// Index in the label map of the first voxel; the border may lie outside of it.
    first: [f64; 3],
}

impl Cropped {
    fn new(labels: &LabelMap, value: u16) -> Option<Self> {
        let [_, ny, nz] = labels.dims;
        let index = |at: usize| [at / (ny * nz), at / nz % ny, at % nz];
        let found = || labels.data.iter().enumerate().filter(|(_, v)| **v == value).map(|(at, _)| index(at));
        let (mut low, mut high) = ([usize::MAX; 3], [0; 3]);
        for index in found() {
            for a in 0..3 {
                low[a] = low[a].min(index[a]);
                high[a] = high[a].max(index[a]);
            }
        }
        if low[0] == usize::MAX {
            return None;
        }
        let dims: [usize; 3] = std::array::from_fn(|a| high[a] - low[a] + 3);
        let mut inside = vec![false; dims.iter().product()];
        for [x, y, z] in found() {
            inside[((x - low[0] + 1) * dims[1] + y - low[1] + 1) * dims[2] + z - low[2] + 1] = true;
        }
        Some(Self { dims, inside, first: low.map(|v| v as f64 - 1.0) })
    }

    fn voxels(&self) -> usize {
        self.inside.iter().filter(|inside| **inside).count()
    }

    fn at(&self, [x, y, z]: [usize; 3]) -> bool {
        self.inside[(x * self.dims[1] + y) * self.dims[2] + z]
    }

    /// The eight voxels of a cube, a bit each.
    fn corners(&self, [x, y, z]: [usize; 3]) -> u8 {
        (0..8).fold(0, |bits, i| bits | u8::from(self.at([x + i / 4, y + i / 2 % 2, z + i % 2])) << i)
    }
}

/// Vertices and quadrilaterals, in voxels.
struct Net {
    points: Vec<[f64; 3]>,
    /// The first voxel of each vertex's cube.
    cells: Vec<[usize; 3]>,
    quads: Vec<[u32; 4]>,
}

impl Net {
    fn new(grid: &Cropped) -> Self {
        let [nx, ny, nz] = grid.dims;
        let mut net = Self { points: Vec::new(), cells: Vec::new(), quads: Vec::new() };
        // The sheets of each cube that has any, and its first vertex.
        let mut sheets: HashMap<[usize; 3], (Sheets, u32)> = HashMap::new();
        let cubes = (0..nx - 1).flat_map(|x| (0..ny - 1).flat_map(move |y| (0..nz - 1).map(move |z| [x, y, z])));
        for cube in cubes {
            let bits = grid.corners(cube);
            if bits == 0 || bits == 255 {
                continue;
            }
            let turned = |axis: usize, side: usize| {
                let mut other = cube;
                // Cubes at the border have no surface there.
                match side {
                    0 if cube[axis] == 0 => return false,
                    0 => other[axis] -= 1,
                    _ if cube[axis] + 2 >= grid.dims[axis] => return false,
                    _ => other[axis] += 1,
                }
                cell::pinched(bits, axis, side) && cell::pinched(grid.corners(other), axis, 1 - side)
            };
            let made = Sheets::new(bits, turned);
            sheets.insert(cube, (made, net.points.len() as u32));
            for point in made.points() {
                net.points.push(std::array::from_fn(|a| cube[a] as f64 + point[a]));
                net.cells.push(cube);
            }
        }
        let voxels = (0..nx).flat_map(|x| (0..ny).flat_map(move |y| (0..nz).map(move |z| [x, y, z])));
        for voxel in voxels {
            for axis in 0..3 {
                let mut next = voxel;
                next[axis] += 1;
                if next[axis] < grid.dims[axis] && grid.at(voxel) != grid.at(next) {
                    net.quad(grid.at(voxel), voxel, axis, &sheets);
                }
            }
        }
        net
    }

    /// The quadrilateral between a voxel and the next along an axis.
    fn quad(&mut self, inside: bool, voxel: [usize; 3], axis: usize, sheets: &HashMap<[usize; 3], (Sheets, u32)>) {
        let (b, c) = ((axis + 1) % 3, (axis + 2) % 3);
        // Around the axis, counter-clockwise seen from its end; 1 where the cube begins a voxel before.
        let around = [[0, 0], [1, 0], [1, 1], [0, 1]].map(|[back_b, back_c]: [usize; 2]| {
            let mut cube = voxel;
            cube[b] -= back_b;
            cube[c] -= back_c;
            let (sheet, first) = sheets.get(&cube).copied().unwrap_or_default();
            first + u32::from(sheet.of_edge(edge_of(axis, back_b, back_c)))
        });
        let [p, q, r, s] = around;
        self.quads.push(if inside { [p, q, r, s] } else { [s, r, q, p] });
    }
}

//! Smoothing that neither takes a surface past a voxel's centre nor shrinks it: thin structures keep their volume too.

/// Steps of a shrinking and a growing pass; their sum below 0 lets no low frequency shrink (Taubin 1995).
const STEPS: [f64; 2] = [0.5, -0.526];
const PASSES: usize = 12;
/// Steps towards the volume of the voxels, and the most of one, in voxels.
const SWELLS: usize = 8;
const SWELL: f64 = 0.15;
/// How far from the middle of its cube a vertex may move along an axis, in voxels; the centres of voxels are at 0.5.
const REACH: f64 = 0.49;

/// Moves vertices towards the mean of their neighbours and away again, then along their normals until the surface holds
/// `volume`, always within their cubes. Voxels.
pub(super) fn smooth(points: &[[f64; 3]], cells: &[[usize; 3]], quads: &[[u32; 4]], volume: f64) -> Vec<[f64; 3]> {
    let mut neighbours = vec![Vec::new(); points.len()];
    for quad in quads {
        for (at, v) in quad.iter().enumerate() {
            // Each edge lies in two quadrilaterals, which run along it in opposite directions.
            neighbours[*v as usize].push(quad[(at + 1) % 4]);
        }
    }
    let mut points = points.to_vec();
    for step in (0..PASSES).flat_map(|_| STEPS) {
        points = points
            .iter()
            .zip(&neighbours)
            .zip(cells)
            .map(|((point, around), cell)| {
                let count = around.len().max(1) as f64;
                within(*cell, |r| {
                    let mean = around.iter().map(|v| points[*v as usize][r]).sum::<f64>() / count;
                    point[r] + step * (mean - point[r])
                })
            })
            .collect();
    }
    for _ in 0..SWELLS {
        let (held, normals) = measure(&points, quads);
        let length = |n: &[f64; 3]| n.iter().map(|v| v * v).sum::<f64>().sqrt();
        let area: f64 = normals.iter().map(length).sum();
        let step = ((volume - held) / area.max(f64::MIN_POSITIVE)).clamp(-SWELL, SWELL);
        for ((point, normal), cell) in points.iter_mut().zip(&normals).zip(cells) {
            let by = step / length(normal).max(f64::MIN_POSITIVE);
            *point = within(*cell, |r| point[r] + by * normal[r]);
        }
    }
    points
}

/// A place within a vertex' cube.
fn within(cell: [usize; 3], place: impl Fn(usize) -> f64) -> [f64; 3] {
    std::array::from_fn(|r| {
        let middle = cell[r] as f64 + 0.5;
        place(r).clamp(middle - REACH, middle + REACH)
    })
}

/// The volume within, and for each vertex by how much the volume grows as it moves: a third of its triangles' areas, along
/// their normals.
fn measure(points: &[[f64; 3]], quads: &[[u32; 4]]) -> (f64, Vec<[f64; 3]>) {
    let mut normals = vec![[0.0; 3]; points.len()];
    let mut volume = 0.0;
    for &[a, b, c, d] in quads {
        for triangle in [[a, b, c], [a, c, d]] {
            let [p, q, r] = triangle.map(|v| points[v as usize]);
            let (u, v) = ([q[0] - p[0], q[1] - p[1], q[2] - p[2]], [r[0] - p[0], r[1] - p[1], r[2] - p[2]]);
            let cross = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
            volume += p.iter().zip(cross).map(|(p, n)| p * n).sum::<f64>() / 6.0;
            for vertex in triangle {
                (0..3).for_each(|axis| normals[vertex as usize][axis] += cross[axis] / 6.0);
            }
        }
    }
    (volume, normals)
}

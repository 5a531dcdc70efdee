//! Smoothing that neither shrinks a surface nor takes it past a voxel's centre.

/// Steps of a shrinking and a growing pass; their sum below 0 lets no low frequency shrink (Taubin 1995).
const STEPS: [f64; 2] = [0.5, -0.526];
const PASSES: usize = 12;
/// How far from the middle of its cube a vertex may move along an axis, in voxels; the centres of voxels are at 0.5.
const REACH: f64 = 0.49;

/// Moves vertices towards the mean of their neighbours and away again, within their cubes. Voxels.
pub(super) fn smooth(points: &[[f64; 3]], cells: &[[usize; 3]], quads: &[[u32; 4]]) -> Vec<[f64; 3]> {
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
                std::array::from_fn(|r| {
                    let mean = around.iter().map(|v| points[*v as usize][r]).sum::<f64>() / count;
                    let middle = cell[r] as f64 + 0.5;
                    (point[r] + step * (mean - point[r])).clamp(middle - REACH, middle + REACH)
                })
            })
            .collect();
    }
    points
}

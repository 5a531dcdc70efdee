//! A body that is nobody's: organs as ellipsoids in millimetres, with Hounsfield units of tissue and a little noise. Left and
//! right, front and back, top and bottom differ, so that a turn or a mirror image is another body on any grid.

use unetr_wgpu::volume::{Affine, LabelMap, Volume, nifti};

use super::procedural::splitmix64;

/// Label, Hounsfield units, centre and radii in mm (right, front and top positive), later ones over earlier ones.
type Organ = (u16, f32, [f64; 3], [f64; 3]);

const ORGANS: [Organ; 10] = [
    // Skin and fat, muscle.
    (0, -100.0, [0.0, 0.0, 0.0], [85.0, 62.0, 95.0]),
    (0, 50.0, [0.0, 2.0, 0.0], [76.0, 52.0, 90.0]),
    // A lung on each side, of unequal size.
    (0, -820.0, [36.0, 6.0, 52.0], [28.0, 34.0, 36.0]),
    (0, -850.0, [-38.0, 2.0, 56.0], [24.0, 30.0, 30.0]),
    // Liver to the right, spleen to the left and back, stomach to the left and front.
    (1, 110.0, [34.0, 10.0, 4.0], [36.0, 32.0, 26.0]),
    (2, 125.0, [-50.0, -18.0, 12.0], [16.0, 18.0, 20.0]),
    (0, 20.0, [-30.0, 24.0, 2.0], [22.0, 18.0, 16.0]),
    // Kidneys, the right one lower.
    (3, 160.0, [34.0, -26.0, -34.0], [14.0, 14.0, 22.0]),
    (3, 150.0, [-36.0, -26.0, -22.0], [14.0, 14.0, 24.0]),
    // The spine, at the back.
    (4, 420.0, [0.0, -38.0, 0.0], [15.0, 13.0, 88.0]),
];

const AIR: f32 = -1000.0;

/// The body on a grid, in whole Hounsfield units as scanners store them, and its organs' labels.
pub fn body(dims: [usize; 3], affine: Affine) -> (Volume, LabelMap) {
    let (mut data, mut labels) = (Vec::new(), Vec::new());
    for at in 0..dims.iter().product() {
        let index = [at / (dims[1] * dims[2]), at / dims[2] % dims[1], at % dims[2]];
        let there = affine.apply(index.map(|i| i as f64));
        let inside = |o: &&Organ| (0..3).map(|a| ((there[a] - o.2[a]) / o.3[a]).powi(2)).sum::<f64>() <= 1.0;
        let (label, hu) = ORGANS.iter().rev().find(inside).map_or((0, AIR), |o| (o.0, o.1));
        let noise = (splitmix64(at as u64) >> 59) as f32 - 16.0;
        data.push(hu + noise);
        labels.push(label);
    }
    (Volume::new(data, 1, dims, affine).expect("a volume"), LabelMap::new(labels, dims, affine).expect("labels"))
}

/// A grid near the body's middle whose axes point to left, back and top, turned a little about the first.
pub fn oblique(dims: [usize; 3], spacing: [f64; 3]) -> Affine {
    let (sin, cos) = 0.12_f64.sin_cos();
    let columns = [[-1.0, 0.0, 0.0], [0.0, -cos, sin], [0.0, sin, cos]];
    let m: [[f64; 3]; 3] = std::array::from_fn(|r| std::array::from_fn(|c| columns[c][r] * spacing[c]));
    let middle: [f64; 3] = std::array::from_fn(|a| (dims[a] as f64 - 1.0) / 2.0);
    // Not about the very middle: a grid that is its own mirror image has ties.
    let aside = [1.3, -0.7, 2.1];
    let origin = std::array::from_fn(|r| aside[r] - (0..3).map(|c| m[r][c] * middle[c]).sum::<f64>());
    Affine::from_parts(m, origin)
}

/// A body in 59 x 48 x 40 voxels as a NIfTI file has it, and that file.
pub fn scan() -> (Volume, Vec<u8>) {
    let dims = [59, 48, 40];
    let mut file = Vec::new();
    let volume = body(dims, oblique(dims, [3.17, 2.83, 4.9])).0;
    nifti::write_volume(&mut file, &volume, &nifti::WriteOptions::default()).expect("written");
    (nifti::read(&file, None, &nifti::ReadOptions::default()).expect("a scan").volume, file)
}

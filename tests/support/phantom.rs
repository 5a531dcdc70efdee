//! A phantom that looks different from every side, and the whole way through the library with each
//! station compared with what the phantom is known to be.

use std::collections::BTreeSet;

use super::nifti_file::{Rows, Spec, outside};
use unetr_wgpu::volume::steps::Orient;
use unetr_wgpu::volume::{LabelMap, Preprocess, Volume, nifti};

pub const DIMS: [usize; 3] = [9, 11, 7];
pub const SPACING: [f64; 3] = [1.5, 0.9, 2.4];
pub const ORIGIN: [f64; 3] = [-6.2, 3.1, -20.0];
/// Marker voxels in RAS order: left, right, front, back, top, bottom, none symmetric.
pub const MARKERS: [(u16, [usize; 3]); 12] = [
    (1, [1, 2, 1]),
    (1, [1, 3, 1]),
    (1, [1, 2, 2]),
    (2, [7, 2, 1]),
    (2, [7, 8, 5]),
    (3, [4, 9, 3]),
    (4, [3, 0, 3]),
    (4, [4, 0, 3]),
    (5, [4, 5, 6]),
    (5, [2, 5, 6]),
    (6, [5, 5, 0]),
    (6, [5, 6, 0]),
];
pub const TOLERANCE_MM: f64 = 1e-3;

pub fn ras_value([x, y, z]: [usize; 3]) -> i16 {
    (1 + (x * DIMS[1] + y) * DIMS[2] + z) as i16
}

pub fn world(index: [usize; 3]) -> [f64; 3] {
    std::array::from_fn(|a| ORIGIN[a] + SPACING[a] * index[a] as f64)
}

#[derive(Clone)]
pub struct Case {
    pub name: String,
    pub spec: Spec,
    pub rows: Rows,
}

/// Voxel axis `a` runs along world axis `order[a]`, backwards if `flip[a]`.
pub fn case(order: [usize; 3], flip: [bool; 3], encoding: &str) -> Case {
    let dims = order.map(|w| DIMS[w]);
    let mut rows = [[0.0; 4]; 3];
    for a in 0..3 {
        let w = order[a];
        rows[w][a] = if flip[a] { -SPACING[w] } else { SPACING[w] };
        rows[w][3] = ORIGIN[w] + if flip[a] { SPACING[w] * (DIMS[w] - 1) as f64 } else { 0.0 };
    }
    let mut voxels = Vec::new();
    for k in 0..dims[2] {
        for j in 0..dims[1] {
            for i in 0..dims[0] {
                let index = [i, j, k];
                let mut ras = [0; 3];
                for a in 0..3 {
                    ras[order[a]] = if flip[a] { dims[a] - 1 - index[a] } else { index[a] };
                }
                voxels.push(ras_value(ras));
            }
        }
    }
    let letters = (0..3).map(|a| ["RL", "AP", "SI"][order[a]].as_bytes()[usize::from(flip[a])]);
    let codes: String = letters.map(char::from).collect();
    let spec = Spec {
        two: encoding == "nifti2",
        big: encoding == "big-endian",
        dims,
        sform: (encoding != "qform").then_some(rows),
        qform: (encoding != "sform").then_some(rows),
        voxels,
    };
    Case { name: format!("{codes}-{encoding}"), spec, rows }
}

pub const ENCODINGS: [&str; 5] = ["sform", "qform", "both", "nifti2", "big-endian"];

pub fn cases(encodings: &[&str]) -> Vec<Case> {
    let mut all = Vec::new();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        for signs in 0..8 {
            let flip = std::array::from_fn(|a| signs >> a & 1 == 1);
            all.extend(encodings.iter().map(|encoding| case(order, flip, encoding)));
        }
    }
    all
}

/// Places where a defect can be planted.
#[derive(Clone, Copy)]
pub struct Hooks {
    pub scan: fn(&mut Volume),
    pub model: fn(&mut Volume),
    pub labels: fn(&mut LabelMap),
    pub file: fn(&mut Vec<u8>),
}

pub const HONEST: Hooks = Hooks { scan: |_| {}, model: |_| {}, labels: |_| {}, file: |_| {} };

pub fn expect(condition: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(what()) }
}

pub fn apart(a: [f64; 3], b: [f64; 3]) -> f64 {
    (0..3).map(|n| (a[n] - b[n]).powi(2)).sum::<f64>().sqrt()
}

/// The whole way, with every station compared with what the phantom is known to be.
pub fn gate(case: &Case, hooks: &Hooks) -> Result<Vec<u8>, String> {
    let text = |error: &dyn std::fmt::Display| format!("{}: {error}", case.name);
    let scan = nifti::read(&case.spec.bytes(), None, &Default::default()).map_err(|e| text(&e))?;
    let mut volume = scan.volume;
    (hooks.scan)(&mut volume);
    expect(volume.affine.axis_codes() == case.name[..3], || {
        format!("{}: read as {}", case.name, volume.affine.axis_codes())
    })?;

    let settings = Preprocess::new([Orient::to("RAS").into()]);
    let mut ready = settings.apply(&volume).map_err(|e| text(&e))?;
    (hooks.model)(&mut ready.volume);
    let model = &ready.volume;
    expect(model.dims == DIMS, || format!("{}: RAS dimensions {:?}", case.name, model.dims))?;
    for (at, &value) in model.data.iter().enumerate() {
        let index = [at / (DIMS[1] * DIMS[2]), at / DIMS[2] % DIMS[1], at % DIMS[2]];
        expect(value == f32::from(ras_value(index)), || format!("{}: RAS voxel {index:?} holds {value}", case.name))?;
        let there = model.affine.apply(index.map(|v| v as f64));
        expect(apart(there, world(index)) < TOLERANCE_MM, || {
            format!("{}: RAS voxel {index:?} lies at {there:?}", case.name)
        })?;
    }

    // The identity network: a voxel is labelled by its own value.
    let label_of = |value: f32| {
        let marked = MARKERS.iter().find(|(_, index)| f32::from(ras_value(*index)) == value);
        marked.map_or(0, |(label, _)| *label)
    };
    let labels = model.data.iter().map(|&v| label_of(v)).collect();
    let labels = LabelMap::new(labels, model.dims, model.affine).map_err(|e| text(&e))?;
    let mut labels = ready.geometry.invert_labels(&labels).map_err(|e| text(&e))?;
    (hooks.labels)(&mut labels);
    let mut file = Vec::new();
    let options = nifti::WriteOptions { like: Some(&scan.header), ..Default::default() };
    nifti::write_labels(&mut file, &labels, &options).map_err(|e| text(&e))?;
    (hooks.file)(&mut file);
    check_file(case, &file)?;
    Ok(file)
}

/// What an outside reader finds in the result.
pub fn check_file(case: &Case, file: &[u8]) -> Result<(), String> {
    let read = outside(file);
    expect(read.dims == case.spec.dims, || format!("{}: dims {:?}", case.name, read.dims))?;
    expect(read.codes == [1, 1], || format!("{}: codes {:?}", case.name, read.codes))?;
    let place = |rows: &Rows, index: [usize; 3]| -> [f64; 3] {
        std::array::from_fn(|r| (0..3).map(|a| rows[r][a] * index[a] as f64).sum::<f64>() + rows[r][3])
    };
    let mut left: BTreeSet<usize> = (0..MARKERS.len()).collect();
    for (at, &label) in read.labels.iter().enumerate() {
        let [nx, ny, _] = read.dims;
        let index = [at % nx, at / nx % ny, at / (nx * ny)];
        for (form, rows) in [("sform", &read.sform), ("qform", &read.qform)] {
            let moved = apart(place(rows, index), place(&case.rows, index));
            expect(moved < TOLERANCE_MM, || format!("{}: {form} moves {moved} mm", case.name))?;
        }
        if label == 0 {
            continue;
        }
        let there = place(&read.sform, index);
        let marker =
            (0..MARKERS.len()).find(|&m| MARKERS[m].0 == label && apart(world(MARKERS[m].1), there) < TOLERANCE_MM);
        expect(marker.is_some_and(|m| left.remove(&m)), || format!("{}: label {label} at {there:?}", case.name))?;
    }
    expect(left.is_empty(), || format!("{}: markers {left:?} are missing", case.name))
}

//! Left stays left: 48 orientations in 5 encodings, read, turned to RAS, segmented and written back.
//!
//! The phantom has a different marker on each side and a unique value in each voxel. Files are made
//! and results are read without the library. `tests/golden/nibabel-orientations.json` holds what
//! nibabel and SimpleITK read from the very same result files (by hash); to renew it:
//!
//! ```sh
//! UNETR_ORIENTATIONS=out cargo test --test orientations -- left
//! python3 tests/tools/nibabel_check.py outputs out > tests/golden/nibabel-orientations.json
//! ```

#[path = "support/golden.rs"]
mod golden;
#[path = "support/nifti_file.rs"]
mod nifti_file;

use std::collections::BTreeSet;

use nifti_file::{Rows, Spec, outside};
use sha2::{Digest, Sha256};
use unetr_wgpu::volume::{LabelMap, Orientation, Preprocess, Volume, nifti};

const DIMS: [usize; 3] = [9, 11, 7];
const SPACING: [f64; 3] = [1.5, 0.9, 2.4];
const ORIGIN: [f64; 3] = [-6.2, 3.1, -20.0];
/// Marker voxels in RAS order: left, right, front, back, top, bottom, none symmetric.
const MARKERS: [(u16, [usize; 3]); 12] = [
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
const TOLERANCE_MM: f64 = 1e-3;

fn ras_value([x, y, z]: [usize; 3]) -> i16 {
    (1 + (x * DIMS[1] + y) * DIMS[2] + z) as i16
}

fn world(index: [usize; 3]) -> [f64; 3] {
    std::array::from_fn(|a| ORIGIN[a] + SPACING[a] * index[a] as f64)
}

#[derive(Clone)]
struct Case {
    name: String,
    spec: Spec,
    rows: Rows,
}

/// Voxel axis `a` runs along world axis `order[a]`, backwards if `flip[a]`.
fn case(order: [usize; 3], flip: [bool; 3], encoding: &str) -> Case {
    let dims = order.map(|w| DIMS[w]);
    let mut rows = [[0.0; 4]; 3];
    for a in 0..3 {
        let w = order[a];
        rows[w][a] = if flip[a] { -SPACING[w] } else { SPACING[w] };
        rows[w][3] = ORIGIN[w]
            + if flip[a] {
                SPACING[w] * (DIMS[w] - 1) as f64
            } else {
                0.0
            };
    }
    let mut voxels = Vec::new();
    for k in 0..dims[2] {
        for j in 0..dims[1] {
            for i in 0..dims[0] {
                let index = [i, j, k];
                let mut ras = [0; 3];
                for a in 0..3 {
                    ras[order[a]] = if flip[a] {
                        dims[a] - 1 - index[a]
                    } else {
                        index[a]
                    };
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
    Case {
        name: format!("{codes}-{encoding}"),
        spec,
        rows,
    }
}

const ENCODINGS: [&str; 5] = ["sform", "qform", "both", "nifti2", "big-endian"];

fn cases(encodings: &[&str]) -> Vec<Case> {
    let mut all = Vec::new();
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        for signs in 0..8 {
            let flip = std::array::from_fn(|a| signs >> a & 1 == 1);
            all.extend(encodings.iter().map(|encoding| case(order, flip, encoding)));
        }
    }
    all
}

/// Places where a defect can be planted.
#[derive(Clone, Copy)]
struct Hooks {
    scan: fn(&mut Volume),
    model: fn(&mut Volume),
    labels: fn(&mut LabelMap),
    file: fn(&mut Vec<u8>),
}

const HONEST: Hooks = Hooks {
    scan: |_| {},
    model: |_| {},
    labels: |_| {},
    file: |_| {},
};

fn expect(condition: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(what()) }
}

fn apart(a: [f64; 3], b: [f64; 3]) -> f64 {
    (0..3).map(|n| (a[n] - b[n]).powi(2)).sum::<f64>().sqrt()
}

/// The whole way, with every station compared with what the phantom is known to be.
fn gate(case: &Case, hooks: &Hooks) -> Result<Vec<u8>, String> {
    let text = |error: &dyn std::fmt::Display| format!("{}: {error}", case.name);
    let scan = nifti::read(&case.spec.bytes(), None, &Default::default()).map_err(|e| text(&e))?;
    let mut volume = scan.volume;
    (hooks.scan)(&mut volume);
    expect(volume.affine.axis_codes() == case.name[..3], || {
        format!("{}: read as {}", case.name, volume.affine.axis_codes())
    })?;

    let settings = Preprocess {
        orientation: Some("RAS".into()),
        ..Preprocess::default()
    };
    let mut ready = settings.apply(&volume).map_err(|e| text(&e))?;
    (hooks.model)(&mut ready.volume);
    let model = &ready.volume;
    expect(model.dims == DIMS, || {
        format!("{}: RAS dimensions {:?}", case.name, model.dims)
    })?;
    for (at, &value) in model.data.iter().enumerate() {
        let index = [
            at / (DIMS[1] * DIMS[2]),
            at / DIMS[2] % DIMS[1],
            at % DIMS[2],
        ];
        expect(value == f32::from(ras_value(index)), || {
            format!("{}: RAS voxel {index:?} holds {value}", case.name)
        })?;
        let there = model.affine.apply(index.map(|v| v as f64));
        expect(apart(there, world(index)) < TOLERANCE_MM, || {
            format!("{}: RAS voxel {index:?} lies at {there:?}", case.name)
        })?;
    }

    // The identity network: a voxel is labelled by its own value.
    let label_of = |value: f32| {
        let marked = MARKERS
            .iter()
            .find(|(_, index)| f32::from(ras_value(*index)) == value);
        marked.map_or(0, |(label, _)| *label)
    };
    let labels = model.data.iter().map(|&v| label_of(v)).collect();
    let labels = LabelMap::new(labels, model.dims, model.affine).map_err(|e| text(&e))?;
    let mut labels = ready
        .geometry
        .invert_labels(&labels)
        .map_err(|e| text(&e))?;
    (hooks.labels)(&mut labels);
    let mut file = Vec::new();
    let options = nifti::WriteOptions {
        like: Some(&scan.header),
        ..Default::default()
    };
    nifti::write_labels(&mut file, &labels, &options).map_err(|e| text(&e))?;
    (hooks.file)(&mut file);
    check_file(case, &file)?;
    Ok(file)
}

/// What an outside reader finds in the result.
fn check_file(case: &Case, file: &[u8]) -> Result<(), String> {
    let read = outside(file);
    expect(read.dims == case.spec.dims, || {
        format!("{}: dims {:?}", case.name, read.dims)
    })?;
    expect(read.codes == [1, 1], || {
        format!("{}: codes {:?}", case.name, read.codes)
    })?;
    let place = |rows: &Rows, index: [usize; 3]| -> [f64; 3] {
        std::array::from_fn(|r| {
            (0..3).map(|a| rows[r][a] * index[a] as f64).sum::<f64>() + rows[r][3]
        })
    };
    let mut left: BTreeSet<usize> = (0..MARKERS.len()).collect();
    for (at, &label) in read.labels.iter().enumerate() {
        let [nx, ny, _] = read.dims;
        let index = [at % nx, at / nx % ny, at / (nx * ny)];
        for (form, rows) in [("sform", &read.sform), ("qform", &read.qform)] {
            let moved = apart(place(rows, index), place(&case.rows, index));
            expect(moved < TOLERANCE_MM, || {
                format!("{}: {form} moves {moved} mm", case.name)
            })?;
        }
        if label == 0 {
            continue;
        }
        let there = place(&read.sform, index);
        let marker = (0..MARKERS.len())
            .find(|&m| MARKERS[m].0 == label && apart(world(MARKERS[m].1), there) < TOLERANCE_MM);
        expect(marker.is_some_and(|m| left.remove(&m)), || {
            format!("{}: label {label} at {there:?}", case.name)
        })?;
    }
    expect(left.is_empty(), || {
        format!("{}: markers {left:?} are missing", case.name)
    })
}

#[test]
fn left_is_left_in_240_files() {
    let out = std::env::var_os("UNETR_ORIENTATIONS").map(std::path::PathBuf::from);
    let readings: serde_json::Value = match out {
        Some(_) => serde_json::Value::Null,
        None => serde_json::from_slice(&golden::bytes("golden/nibabel-orientations.json")).unwrap(),
    };
    if let Some(out) = &out {
        let truth: Vec<_> = MARKERS
            .iter()
            .map(|(label, index)| (label, world(*index)))
            .collect();
        std::fs::create_dir_all(out).unwrap();
        std::fs::write(
            out.join("truth.json"),
            serde_json::to_string(&truth).unwrap(),
        )
        .unwrap();
    }
    let all = cases(&ENCODINGS);
    assert_eq!(all.len(), 240);
    for case in &all {
        let file = gate(case, &HONEST).unwrap_or_else(|error| panic!("{error}"));
        if let Some(out) = &out {
            std::fs::write(out.join(format!("{}.nii", case.name)), &file).unwrap();
            continue;
        }
        // nibabel and SimpleITK read exactly these bytes and found the markers in place.
        let reading = &readings[&case.name];
        let hash: String = Sha256::digest(&file)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(
            reading["sha256"], hash,
            "{}: renew the readings of this file",
            case.name
        );
        assert_eq!(reading["codes"], case.name[..3], "{}", case.name);
        for reader in ["nibabel_mm", "itk_mm"] {
            if reader == "itk_mm" && case.spec.two {
                assert!(reading[reader].is_null(), "SimpleITK does not read NIfTI-2");
                continue;
            }
            let worst = reading[reader].as_f64().expect("a distance");
            assert!(worst < TOLERANCE_MM, "{}: {reader} {worst}", case.name);
        }
        let ours = nifti::read_labels(&file, None, &Default::default()).unwrap();
        for (n, value) in ours.labels.affine.0.iter().flatten().take(12).enumerate() {
            let theirs = reading["affine"][n].as_f64().expect("an affine");
            assert!(
                (value - theirs).abs() < 1e-6,
                "{}: affine {value} {theirs}",
                case.name
            );
        }
    }
}

fn flip_axis<T: Copy>(data: &mut [T], dims: [usize; 3], axis: usize) {
    let strides = [dims[1] * dims[2], dims[2], 1];
    for at in 0..data.len() {
        let i = at / strides[axis] % dims[axis];
        let mirrored = at + (dims[axis] - 1) * strides[axis] - 2 * i * strides[axis];
        if at < mirrored {
            data.swap(at, mirrored);
        }
    }
}

fn negate_row(volume: &mut Volume, row: usize) {
    volume.affine.0[row].iter_mut().for_each(|v| *v = -*v);
}

/// Changes the f32 at `offset` of a NIfTI-1 file.
fn change(file: &mut [u8], offset: usize, by: fn(f32) -> f32) {
    let value = f32::from_le_bytes(file[offset..offset + 4].try_into().unwrap());
    file[offset..offset + 4].copy_from_slice(&by(value).to_le_bytes());
}

fn negate_sform_x(file: &mut [u8]) {
    (0..4).for_each(|n| change(file, 280 + 4 * n, |v| -v));
}

/// Deliberate mistakes, each in one or two places.
fn defects() -> Vec<(&'static str, Hooks)> {
    vec![
        (
            "reader keeps LPS signs",
            Hooks {
                scan: |v| (0..2).for_each(|r| negate_row(v, r)),
                ..HONEST
            },
        ),
        (
            "reader mirrors x",
            Hooks {
                scan: |v| flip_axis(&mut v.data, v.dims, 0),
                ..HONEST
            },
        ),
        (
            "reader mirrors y",
            Hooks {
                scan: |v| flip_axis(&mut v.data, v.dims, 1),
                ..HONEST
            },
        ),
        (
            "reader reverses the slices",
            Hooks {
                scan: |v| flip_axis(&mut v.data, v.dims, 2),
                ..HONEST
            },
        ),
        (
            "reader mirrors the affine",
            Hooks {
                scan: |v| negate_row(v, 0),
                ..HONEST
            },
        ),
        (
            "reader swaps two axes",
            Hooks {
                scan: |v| {
                    v.dims.swap(0, 1);
                    v.affine.0.iter_mut().for_each(|row| row.swap(0, 1));
                },
                ..HONEST
            },
        ),
        (
            "reader swaps two columns of the affine",
            Hooks {
                scan: |v| v.affine.0.iter_mut().for_each(|row| row.swap(1, 2)),
                ..HONEST
            },
        ),
        (
            "reader mirrors a column and not the origin",
            Hooks {
                scan: |v| (0..3).for_each(|r| v.affine.0[r][0] *= -1.0),
                ..HONEST
            },
        ),
        (
            "turn to RAS mirrors x",
            Hooks {
                model: |v| flip_axis(&mut v.data, v.dims, 0),
                ..HONEST
            },
        ),
        (
            "turn to RAS forgets the origin",
            Hooks {
                model: |v| v.affine.0[0][3] += 1.5,
                ..HONEST
            },
        ),
        (
            "writer mirrors x",
            Hooks {
                labels: |l| flip_axis(&mut l.data, l.dims, 0),
                ..HONEST
            },
        ),
        (
            "writer reverses the slices",
            Hooks {
                labels: |l| flip_axis(&mut l.data, l.dims, 2),
                ..HONEST
            },
        ),
        (
            "reader and writer mirror x and cancel",
            Hooks {
                scan: |v| flip_axis(&mut v.data, v.dims, 0),
                labels: |l| flip_axis(&mut l.data, l.dims, 0),
                ..HONEST
            },
        ),
        (
            "reader and writer mirror the affine and cancel",
            Hooks {
                scan: |v| negate_row(v, 0),
                labels: |l| {
                    l.affine.0[0].iter_mut().for_each(|v| *v = -*v);
                },
                ..HONEST
            },
        ),
        (
            "turn there and back both mirror and cancel",
            Hooks {
                model: |v| flip_axis(&mut v.data, v.dims, 0),
                labels: |l| {
                    let axis = Orientation::of(&l.affine).axis.iter().position(|&w| w == 0);
                    flip_axis(&mut l.data, l.dims, axis.unwrap());
                },
                ..HONEST
            },
        ),
        (
            "left and right labels swapped",
            Hooks {
                labels: |l| {
                    l.data
                        .iter_mut()
                        .for_each(|v| *v = [0, 2, 1, 3, 4, 5, 6][usize::from(*v)]);
                },
                ..HONEST
            },
        ),
        (
            "voxels written in the wrong order",
            Hooks {
                labels: |l| l.data.reverse(),
                ..HONEST
            },
        ),
        (
            "voxels shifted by one",
            Hooks {
                labels: |l| l.data.rotate_right(1),
                ..HONEST
            },
        ),
        (
            "sform mirrored in the file",
            Hooks {
                file: |f| negate_sform_x(f),
                ..HONEST
            },
        ),
        (
            "qfac negated in the file",
            Hooks {
                file: |f| change(f, 76, |v| -v),
                ..HONEST
            },
        ),
        (
            "qoffset negated in the file",
            Hooks {
                file: |f| change(f, 268, |v| -v - 1.0),
                ..HONEST
            },
        ),
        (
            "quaternion conjugated in the file",
            Hooks {
                file: |f| {
                    (0..3).for_each(|n| change(f, 256 + 4 * n, |v| -v));
                    change(f, 256, |v| v + 0.1);
                },
                ..HONEST
            },
        ),
    ]
}

#[test]
fn planted_defects_are_caught_in_every_orientation() {
    let defects = defects();
    assert!(defects.len() >= 16);
    let cases = cases(&["both"]);
    for (name, hooks) in &defects {
        let missed: Vec<_> = cases
            .iter()
            .filter(|case| gate(case, hooks).is_ok())
            .map(|case| case.name.as_str())
            .collect();
        assert!(missed.is_empty(), "{name} is not caught in {missed:?}");
    }
}

/// `rotation * rows`.
fn turned(rotation: &[[f64; 3]; 3], rows: &Rows) -> Rows {
    std::array::from_fn(|r| {
        std::array::from_fn(|c| (0..3).map(|k| rotation[r][k] * rows[k][c]).sum())
    })
}

#[test]
fn oblique_scans_keep_their_sides() {
    let mut seen = 0;
    for (n, case) in cases(&["sform"]).iter().step_by(2).enumerate() {
        // Up to 44 degrees about each axis in turn.
        let (s, c) = (f64::from(44 - n as i32 * 3 % 80).to_radians()).sin_cos();
        let rotation = match n % 3 {
            0 => [[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]],
            1 => [[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]],
            _ => [[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]],
        };
        let rows = turned(&rotation, &case.rows);
        let spec = Spec {
            sform: Some(rows),
            ..case.spec.clone()
        };
        let scan = nifti::read(&spec.bytes(), None, &Default::default()).unwrap();
        assert_eq!(scan.volume.affine.axis_codes(), case.name[..3], "{n}");
        let settings = Preprocess {
            orientation: Some("RAS".into()),
            ..Preprocess::default()
        };
        let ready = settings.apply(&scan.volume).unwrap();
        let values: Vec<u16> = ready.volume.data.iter().map(|&v| v as u16).collect();
        for (at, &value) in values.iter().enumerate() {
            let index = [
                at / (DIMS[1] * DIMS[2]),
                at / DIMS[2] % DIMS[1],
                at % DIMS[2],
            ];
            assert_eq!(value, ras_value(index) as u16);
            let there = ready.volume.affine.apply(index.map(|v| v as f64));
            let world = world(index);
            let truth = rotation.map(|r| r[0] * world[0] + r[1] * world[1] + r[2] * world[2]);
            assert!(
                apart(there, truth) < TOLERANCE_MM,
                "{n}: {there:?} {truth:?}"
            );
        }
        let labels = LabelMap::new(values, DIMS, ready.volume.affine).unwrap();
        let back = ready.geometry.invert_labels(&labels).unwrap();
        let mut file = Vec::new();
        let options = nifti::WriteOptions {
            like: Some(&scan.header),
            ..Default::default()
        };
        nifti::write_labels(&mut file, &back, &options).unwrap();
        let read = outside(&file);
        let expected: Vec<u16> = case.spec.voxels.iter().map(|&v| v as u16).collect();
        assert_eq!(
            (read.dims, read.codes, read.labels),
            (spec.dims, [1, 1], expected),
            "{n}"
        );
        for form in [read.sform, read.qform] {
            for corner in 0..8_usize {
                let index: [f64; 3] =
                    std::array::from_fn(|a| ((corner >> a & 1) * (spec.dims[a] - 1)) as f64);
                let place = |rows: &Rows| {
                    rows.map(|r| r[0] * index[0] + r[1] * index[1] + r[2] * index[2] + r[3])
                };
                assert!(apart(place(&form), place(&rows)) < TOLERANCE_MM, "{n}");
            }
        }
        seen += 1;
    }
    assert_eq!(seen, 24);
}

#[test]
fn one_head_in_many_orientations_is_one_head() {
    let folder = golden::path("data/nifti-orientations");
    let read = |path: &std::path::Path| {
        nifti::read_path(path, &Default::default())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            .volume
    };
    let reference = read(&folder.join("RAS.nii.gz"));
    let settings = Preprocess {
        orientation: Some("RAS".into()),
        ..Preprocess::default()
    };
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(codes) = name.strip_suffix(".nii.gz") else {
            continue;
        };
        seen += 1;
        let scan = read(&path);
        assert_eq!(scan.affine.axis_codes(), codes);
        let ready = settings.apply(&scan).unwrap();
        assert_eq!(ready.volume.dims, reference.dims, "{name}");
        assert_eq!(ready.volume.data, reference.data, "{name}");
        let moved = ready
            .volume
            .affine
            .max_displacement(&reference.affine, reference.dims);
        assert!(moved < TOLERANCE_MM, "{name} lies {moved} mm away");

        let bright: Vec<u16> = ready
            .volume
            .data
            .iter()
            .map(|&v| u16::from(v > 40.0))
            .collect();
        let labels = LabelMap::new(bright, ready.volume.dims, ready.volume.affine).unwrap();
        let back = ready.geometry.invert_labels(&labels).unwrap();
        let expected: Vec<u16> = scan.data.iter().map(|&v| u16::from(v > 40.0)).collect();
        assert_eq!(
            (back.dims, back.data),
            (scan.dims, expected),
            "{name} on its own grid"
        );
    }
    assert!(seen >= 8, "{seen} orientations found");
}

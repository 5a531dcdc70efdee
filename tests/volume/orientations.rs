//! Left stays left: 48 orientations in 5 encodings, read, turned to RAS, segmented and written back.
//!
//! The phantom has a different marker on each side and a unique value in each voxel. Files are made
//! and results are read without the library. `tests/golden/nibabel-orientations.json.gz` holds what
//! nibabel and SimpleITK read from the very same result files (by hash); to renew it:
//!
//! ```sh
//! UNETR_ORIENTATIONS=out cargo test --release --test volume left
//! python3 tests/tools/nibabel_check.py outputs out | gzip -9n > tests/golden/nibabel-orientations.json.gz
//! ```

use crate::support::defects::defects;
use crate::support::nifti_file::{Rows, Spec, outside};
use crate::support::phantom::{DIMS, ENCODINGS, HONEST, MARKERS, TOLERANCE_MM};
use crate::support::phantom::{apart, cases, gate, ras_value, world};
use crate::support::{data, golden};
use sha2::{Digest, Sha256};
use unetr_wgpu::volume::steps::Orient;
use unetr_wgpu::volume::{LabelMap, Preprocess, Volume, nifti};

#[test]
fn left_is_left_in_240_files() {
    let out = std::env::var_os("UNETR_ORIENTATIONS").map(std::path::PathBuf::from);
    let readings: serde_json::Value = match out {
        Some(_) => serde_json::Value::Null,
        None => serde_json::from_slice(&golden::bytes("golden/nibabel-orientations.json")).unwrap(),
    };
    if let Some(out) = &out {
        let truth: Vec<_> = MARKERS.iter().map(|(label, index)| (label, world(*index))).collect();
        std::fs::create_dir_all(out).unwrap();
        std::fs::write(out.join("truth.json"), serde_json::to_string(&truth).unwrap()).unwrap();
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
        let hash: String = Sha256::digest(&file).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(reading["sha256"], hash, "{}: renew the readings of this file", case.name);
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
            assert!((value - theirs).abs() < 1e-6, "{}: affine {value} {theirs}", case.name);
        }
    }
}

#[test]
fn planted_defects_are_caught_in_every_orientation() {
    let defects = defects();
    assert!(defects.len() >= 16);
    let cases = cases(&["both"]);
    for (name, hooks) in &defects {
        let missed: Vec<_> =
            cases.iter().filter(|case| gate(case, hooks).is_ok()).map(|case| case.name.as_str()).collect();
        assert!(missed.is_empty(), "{name} is not caught in {missed:?}");
    }
}

/// `rotation * rows`.
fn turned(rotation: &[[f64; 3]; 3], rows: &Rows) -> Rows {
    std::array::from_fn(|r| std::array::from_fn(|c| (0..3).map(|k| rotation[r][k] * rows[k][c]).sum()))
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
        let spec = Spec { sform: Some(rows), ..case.spec.clone() };
        let scan = nifti::read(&spec.bytes(), None, &Default::default()).unwrap();
        assert_eq!(scan.volume.affine.axis_codes(), case.name[..3], "{n}");
        let settings = Preprocess::new([Orient::to("RAS").into()]);
        let ready = settings.apply(&scan.volume).unwrap();
        let values: Vec<u16> = ready.volume.data.iter().map(|&v| v as u16).collect();
        for (at, &value) in values.iter().enumerate() {
            let index = [at / (DIMS[1] * DIMS[2]), at / DIMS[2] % DIMS[1], at % DIMS[2]];
            assert_eq!(value, ras_value(index) as u16);
            let there = ready.volume.affine.apply(index.map(|v| v as f64));
            let world = world(index);
            let truth = rotation.map(|r| r[0] * world[0] + r[1] * world[1] + r[2] * world[2]);
            assert!(apart(there, truth) < TOLERANCE_MM, "{n}: {there:?} {truth:?}");
        }
        let labels = LabelMap::new(values, DIMS, ready.volume.affine).unwrap();
        let back = ready.geometry.invert_labels(&labels).unwrap();
        let mut file = Vec::new();
        let options = nifti::WriteOptions { like: Some(&scan.header), ..Default::default() };
        nifti::write_labels(&mut file, &back, &options).unwrap();
        let read = outside(&file);
        let expected: Vec<u16> = case.spec.voxels.iter().map(|&v| v as u16).collect();
        assert_eq!((read.dims, read.codes, read.labels), (spec.dims, [1, 1], expected), "{n}");
        for form in [read.sform, read.qform] {
            for corner in 0..8_usize {
                let index: [f64; 3] = std::array::from_fn(|a| ((corner >> a & 1) * (spec.dims[a] - 1)) as f64);
                let place = |rows: &Rows| rows.map(|r| r[0] * index[0] + r[1] * index[1] + r[2] * index[2] + r[3]);
                assert!(apart(place(&form), place(&rows)) < TOLERANCE_MM, "{n}");
            }
        }
        seen += 1;
    }
    assert_eq!(seen, 24);
}

/// One head in eight orientations is one head: turned to RAS, and labels of it back on its own grid.
fn one_head(reference: &Volume, scans: &[(String, Volume)]) {
    let settings = Preprocess::new([Orient::to("RAS").into()]);
    assert!(scans.len() >= 8, "{} orientations", scans.len());
    for (codes, scan) in scans {
        assert_eq!(scan.affine.axis_codes(), *codes);
        let ready = settings.apply(scan).unwrap();
        assert_eq!(ready.volume.dims, reference.dims, "{codes}");
        assert_eq!(ready.volume.data, reference.data, "{codes}");
        let moved = ready.volume.affine.max_displacement(&reference.affine, reference.dims);
        assert!(moved < TOLERANCE_MM, "{codes} lies {moved} mm away");

        let bright: Vec<u16> = ready.volume.data.iter().map(|&v| u16::from(v > 40.0)).collect();
        let labels = LabelMap::new(bright, ready.volume.dims, ready.volume.affine).unwrap();
        let back = ready.geometry.invert_labels(&labels).unwrap();
        let expected: Vec<u16> = scan.data.iter().map(|&v| u16::from(v > 40.0)).collect();
        assert_eq!((back.dims, back.data), (scan.dims, expected), "{codes} on its own grid");
    }
}

fn read(path: &std::path::Path) -> Volume {
    nifti::read_path(path, &Default::default()).unwrap_or_else(|error| panic!("{}: {error}", path.display())).volume
}

const CODES: [&str; 8] = ["ASL", "IPL", "LAS", "LPS", "LSA", "PIL", "RAS", "SAR"];

#[test]
fn one_head_in_many_orientations_is_one_head() {
    let head = read(&golden::path("../models/samples/hippocampus.nii.gz"));
    let stored = |codes: &str| {
        let turn = Preprocess::new([Orient::to(codes).into()]);
        (codes.to_owned(), turn.apply(&head).unwrap().volume)
    };
    one_head(&head, &CODES.map(stored));
}

#[test]
fn a_real_head_in_many_orientations_is_one_head() {
    let Some(folder) = data::real("nifti-orientations") else { return };
    let file = |codes: &str| (codes.to_owned(), read(&folder.join(format!("{codes}.nii.gz"))));
    one_head(&file("RAS").1, &CODES.map(file));
}

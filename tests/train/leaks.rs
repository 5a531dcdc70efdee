//! One scan on both sides of a split, and scans stored in different ways.

use std::ops::ControlFlow;
use std::path::Path;

use crate::support::cases::{case, data, fill, noise, sections, write_case, write_labels};
use unetr_wgpu::dataset::{Case, Dataset};
use unetr_wgpu::train::data::{Checked, DataError, PreparedDataset, Source, check, split};
use unetr_wgpu::volume::Affine;
use unetr_wgpu::volume::nifti::{WriteOptions, write_volume};
use unetr_wgpu::volume::{Study, StudyOptions, Volume};

const WINDOW: [usize; 3] = [16; 3];

fn checked(cases: &[Case], source: &Source) -> Checked {
    check(cases, source, 1, &|_, _| ControlFlow::Continue(())).unwrap_or_else(|e| panic!("{e}"))
}

fn write(path: &Path, volume: &Volume, gzip: bool) {
    let file = std::fs::File::create(path).expect("a file");
    write_volume(file, volume, &WriteOptions { gzip, ..WriteOptions::default() }).expect("written");
}

#[test]
fn a_copy_under_another_name_is_a_leak() {
    let folder = tempfile::tempdir().expect("a folder");
    let [a, b, c] = ["a", "b", "c"].map(|name| write_case(folder.path(), name, WINDOW));
    let s = sections(WINDOW, |_| {});
    let (recipe, cache) = (data(""), folder.path().join("cache"));
    let source = s.source(&recipe);
    // Packed, under another name, with other labels: the bytes of no file are the same.
    let copy = case("copy", vec![folder.path().join("copy.nii.gz")], c.label.clone());
    let scan = Study::open(&a.images, &StudyOptions::default()).expect("a scan").volume;
    write(&copy.images[0], &scan, true);
    // Once from files, once from the cache.
    for _ in 0..2 {
        let prepared = s.prepared(&[a.clone(), b.clone()], &data("memory = 0"), Some(&cache)).expect("sound cases");
        prepared.check_apart(&checked(std::slice::from_ref(&c), &source)).expect("another scan");
        let error = prepared.check_apart(&checked(&[c.clone(), copy.clone()], &source)).expect_err("a leak");
        assert!(matches!(error, DataError::Split { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("the training case a and the validation case copy show the same scan"), "{text}");
    }
}

#[test]
fn empty_channels_that_are_alike_are_no_leak() {
    let folder = tempfile::tempdir().expect("a folder");
    let s = sections(WINDOW, |package| {
        package["network"]["in_channels"] = 2.into();
        package["input"]["channels"] = serde_json::json!(["T1", "T2"]);
    });
    let cases = ["a", "b"].map(|name| {
        let plain = write_case(folder.path(), name, WINDOW);
        let path = folder.path().join(format!("{name}_both.nii"));
        let seed = usize::from(name.as_bytes()[0]);
        // The second contrast was not taken.
        let value =
            |c: usize, [x, y, z]: [usize; 3]| if c == 0 { noise(seed * 7919 + (x * 16 + y) * 16 + z) } else { 0.0 };
        write(&path, &Volume::new(fill(2, WINDOW, value), 2, WINDOW, Affine::IDENTITY).expect("a volume"), false);
        Case { images: vec![path], ..plain }
    });
    let [a, b] = cases;
    let prepared: PreparedDataset = s.prepared(&[a], &data(""), None).expect("a sound case");
    prepared.check_apart(&checked(&[b], &s.source(&data("")))).expect("two scans");
}

#[cfg(unix)]
#[test]
fn a_link_is_the_file_that_it_leads_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let [a, b] = ["a", "b"].map(|name| write_case(folder.path(), name, WINDOW));
    let link = folder.path().join("link.nii");
    std::os::unix::fs::symlink(&a.images[0], &link).expect("a link");
    let linked = Case { images: vec![link], ..b };
    let dataset = Dataset { training: vec![a], validation: vec![linked], ..Dataset::default() };
    let error = split(&dataset, &data("")).expect_err("a leak").to_string();
    assert!(error.contains("use the same file"), "{error}");
}

#[test]
fn scans_stored_in_different_ways_are_told_with_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let stored = |name: &str, rows: [[f64; 4]; 3]| {
        let plain = write_case(folder.path(), name, WINDOW);
        let affine = Affine::from_rows(rows);
        let seed = usize::from(name.as_bytes()[0]);
        let value = |_, [x, y, z]: [usize; 3]| noise(seed * 7919 + (x * 16 + y) * 16 + z);
        write(&plain.images[0], &Volume::new(fill(1, WINDOW, value), 1, WINDOW, affine).expect("a volume"), false);
        write_labels(&plain.label, WINDOW, affine, |[x, ..]| u16::from(x > 7));
        plain
    };
    let diagonal = |x: f64, y: f64, z: f64| [[x, 0.0, 0.0, 0.0], [0.0, y, 0.0, 0.0], [0.0, 0.0, z, 0.0]];
    let training = [
        stored("a", diagonal(1.0, 1.0, 1.0)),
        stored("b", diagonal(1.0, 1.0, 1.0)),
        stored("c", diagonal(-1.0, -1.0, 3.0)),
    ];
    let validation = [stored("d", diagonal(1.0, 1.0, 1.0))];
    let told = |change: fn(&mut serde_json::Value)| {
        let s = sections(WINDOW, change);
        let prepared = s.prepared(&training, &data(""), None).expect("sound cases");
        prepared.mixed(&checked(&validation, &s.source(&data(""))))
    };
    let lines = told(|package| package["input"]["orientation"] = serde_json::Value::Null);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("input.orientation is null") && lines[0].contains("3 of RAS, 1 of LPS"), "{lines:?}");
    assert!(lines[1].contains("3 of 1.00 x 1.00 x 1.00 mm, 1 of 1.00 x 1.00 x 3.00 mm"), "{lines:?}");
    assert_eq!(told(|_| {}).len(), 1, "the axes are turned alike");
    assert!(told(|package| package["input"]["spacing"] = serde_json::json!([1.0, 1.0, 1.0])).is_empty());
}

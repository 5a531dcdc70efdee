//! A zip in place of the scans in it.

use std::io::{Cursor, Write};
use std::path::PathBuf;

use crate::support::dicom_file::{Encoding, series, slice};
use unetr_wgpu::volume::study::LabelFiles;
use unetr_wgpu::volume::{Affine, InputFile, Study, StudyFiles, StudyOptions, Volume, VolumeError, nifti};

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).expect("a file");
        writer.write_all(bytes).expect("written");
    }
    writer.finish().expect("finished").into_inner()
}

fn scan(first: f32) -> (Volume, Vec<u8>) {
    let data = (0..60).map(|i| first + i as f32).collect();
    let volume = Volume::new(data, 1, [3, 4, 5], Affine::IDENTITY).expect("a volume");
    let mut bytes = Vec::new();
    nifti::write_volume(&mut bytes, &volume, &nifti::WriteOptions::default()).expect("written");
    (volume, bytes)
}

fn dropped(bytes: Vec<u8>) -> Result<Study, VolumeError> {
    StudyFiles::dropped(vec![InputFile::in_memory("case.zip", bytes)])?.read(&StudyOptions::default())
}

#[test]
fn a_zip_is_the_scans_in_it() {
    let ((a, a_file), (b, b_file)) = (scan(0.0), scan(100.0));
    let files = zip(&[
        ("case/b.nii", &b_file),
        ("__MACOSX/case/._a.nii", b"x"),
        ("readme.txt", b"hello"),
        ("case/a.nii", &a_file),
    ]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("case.zip");
    std::fs::write(&path, &files).expect("written");
    let on_disk = Study::open(std::slice::from_ref(&path), &StudyOptions::default()).expect("a study");
    for study in [dropped(files).expect("a study"), on_disk] {
        assert_eq!(study.volume.data, [a.data.clone(), b.data.clone()].concat());
        assert_eq!(study.files.iter().map(|f| f.file.as_str()).collect::<Vec<_>>(), ["a.nii", "b.nii"]);
    }
    let one = dropped(zip(&[("x/a.nii", &a_file)])).expect("a study");
    assert_eq!((one.volume.data, one.name, one.files[0].file.as_str()), (a.data, "case.zip".into(), "case.zip"));
    let labels = zip(&[("l.nii", &a_file)]);
    let labels = LabelFiles::dropped(vec![InputFile::in_memory("l.zip", labels)]).expect("labels");
    assert_eq!(labels.read(&StudyOptions::default()).expect("labels").labels.data[59], 59);
}

#[test]
fn a_zipped_series_is_a_series() {
    let volume = Volume::new((0..60).map(|i| i as f32).collect(), 1, [3, 4, 5], Affine::IDENTITY).expect("a volume");
    let files = series(&volume, "1.2.840.99999.9", "zipped");
    let names: Vec<String> = (0..5).map(|i| format!("IMAGES/S1/I{i}")).collect();
    let all: Vec<(&str, &[u8])> = names.iter().map(String::as_str).zip(files.iter().map(Vec::as_slice)).collect();
    let bytes = zip(&[&all[..], &[("VIEWER/autorun.inf", b"[autorun]")]].concat());
    let study = dropped(bytes.clone()).expect("a study");
    assert_eq!(
        (study.volume.dims, study.files[0].file.as_str(), study.name.as_str()),
        ([3, 4, 5], "case.zip", "case.zip")
    );
    let folder = tempfile::tempdir().expect("a folder");
    let paths: Vec<PathBuf> = ["one.zip", "two.zip"].iter().map(|name| folder.path().join(name)).collect();
    paths.iter().for_each(|path| std::fs::write(path, &bytes).expect("written"));
    // Each is a channel; the files of both are not one series.
    let two = Study::open(&paths, &StudyOptions::default()).expect("a study");
    assert_eq!((two.volume.channels, &two.volume.data[..60]), (2, &study.volume.data[..]));
}

#[test]
fn zips_that_are_no_scans_or_bombs_are_refused() {
    let zeros = vec![0; 300 << 20];
    let damaged = {
        let mut bytes = zip(&[("a.nii", &scan(0.0).1)]);
        let middle = bytes.len() / 2;
        bytes.truncate(middle);
        bytes
    };
    let lone = slice(Encoding::Explicit, 0).file(Encoding::Explicit, false);
    for (bytes, words) in [
        (zip(&[("bomb.nii", &zeros)]), "would unpack to more than 268435456 bytes"),
        (zip(&[("a.txt", b"hello"), ("b/c.csv", b"1,2")]), "case.zip: there is no scan in it, but a.txt, b/c.csv"),
        (zip(&[("inner.zip", &zip(&[("a.nii", &scan(0.0).1)]))]), "there is no scan in it, but inner.zip"),
        (damaged, "broken zip"),
        (zip(&[("a.dcm", &lone), ("b.nii", &scan(0.0).1)]), "b.nii is NIfTI and others are DICOM"),
    ] {
        let error = dropped(bytes).map(|_| ()).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
}

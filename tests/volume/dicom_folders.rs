//! Folders of DICOM files as people have them: links that lead back, lists of files, names that look like files'.

use std::path::PathBuf;

use crate::dicom::expect_made;
use crate::support::dicom_file::{Dicom, Encoding, slice};
use crate::support::nifti_file::Spec;
use crate::support::run::Folder;
use unetr_wgpu::volume::dicom::{ReadOptions, Series, read_paths};
use unetr_wgpu::volume::{Study, StudyOptions, VolumeError};

const E: Encoding = Encoding::Explicit;

fn filled(folder: &Folder, name: &str) -> PathBuf {
    let path = folder.path(name);
    std::fs::create_dir_all(&path).expect("a folder");
    for z in 0..4 {
        std::fs::write(path.join(format!("{z}.dcm")), slice(E, z).file(E, false)).expect("a slice");
    }
    path
}

fn read(path: PathBuf) -> Result<Vec<Series>, VolumeError> {
    read_paths(&[path], &ReadOptions::default())
}

#[cfg(unix)]
#[test]
fn folders_that_links_lead_back_to_are_read_once() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new();
    let series = filled(&folder, "series");
    symlink(".", series.join("self")).expect("a link");
    symlink(folder.path("series"), series.join("again")).expect("a link");
    symlink("missing", series.join("nowhere")).expect("a link");
    let inner = series.join("inner");
    std::fs::create_dir(&inner).expect("a folder");
    symlink("..", inner.join("up")).expect("a link");
    for path in [series.clone(), folder.path("series/self")] {
        let all = read(path).expect("a series");
        expect_made(&all[0], 4);
        assert_eq!((all[0].files.len(), all[0].warnings.len()), (4, 0), "{:?}", all[0].warnings);
    }
    // Twice on one line, and a link to a single file.
    let all = read_paths(&[series.clone(), series.join("again")], &ReadOptions::default()).expect("a series");
    expect_made(&all[0], 4);
    symlink("2.dcm", series.join("copy.dcm")).expect("a link");
    let all = read(series.clone()).expect("a series");
    expect_made(&all[0], 4);
    assert!(all[0].warnings[0].contains("exact copies: copy.dcm (of 2.dcm)"), "{:?}", all[0].warnings);
    let study = Study::open(&[series], &StudyOptions::default()).expect("a study");
    assert_eq!(study.volume, all[0].volume);
}

/// A list of files, as it lies on discs.
fn list() -> Vec<u8> {
    let mut bytes = vec![0; 128];
    bytes.extend(b"DICM");
    let meta =
        Dicom::default().text(0x0002_0002, "UI", "1.2.840.10008.1.3.10").text(0x0002_0010, "UI", "1.2.840.10008.1.2.1");
    meta.write(&mut bytes, E, false);
    Dicom::default().text(0x0004_1130, "CS", "DISC").write(&mut bytes, E, false);
    bytes
}

#[test]
fn a_list_of_files_stands_for_its_folder() {
    let folder = Folder::new();
    let disc = filled(&folder, "disc");
    std::fs::write(disc.join("DICOMDIR"), list()).expect("a list");
    expect_made(&read(disc.clone()).expect("the folder")[0], 4);
    let all = read(disc.join("DICOMDIR")).expect("the list");
    expect_made(&all[0], 4);
    assert!(all[0].warnings[0].contains("DICOMDIR is a list of other files"), "{:?}", all[0].warnings);
    let study = Study::open(&[disc.join("DICOMDIR")], &StudyOptions::default()).expect("a study");
    assert_eq!(study.volume, all[0].volume);
    assert!(study.warnings[0].text.contains("DICOMDIR is a list of other files"), "{:?}", study.warnings);
    // Without the files that it lists.
    let text = crate::dicom::from(&[list()]).expect_err("a list alone").to_string();
    assert!(text.contains("0.dcm is a DICOMDIR") && text.contains("give the folder"), "{text}");
}

#[test]
fn folders_are_called_what_they_are() {
    let folder = Folder::new();
    // As archives unpack: a folder with the name of the file in it.
    let named = folder.path("scan.nii.gz");
    std::fs::create_dir(&named).expect("a folder");
    let empty = folder.path("empty.dcm");
    std::fs::create_dir(&empty).expect("a folder");
    let letters = folder.path("letters");
    std::fs::create_dir(&letters).expect("a folder");
    std::fs::write(letters.join("letter.txt"), "Dear reader,").expect("a file");
    let place = Some([[1., 0., 0., 0.], [0., 1., 0., 0.], [0., 0., 1., 0.]]);
    let scan = Spec { two: false, big: false, dims: [2, 2, 2], sform: place, qform: None, voxels: vec![1; 8] };
    std::fs::write(named.join("scan.nii"), scan.bytes()).expect("a file");
    for (path, words) in [
        (&named, "it is a folder, and there is NIfTI in it; give the file, for example "),
        (&empty, "it is a folder without files"),
        (&letters, "letter.txt is none; it is a folder, and scans in folders are DICOM series"),
    ] {
        let by_reader = read(path.clone()).expect_err(words).to_string();
        let by_study = Study::open(std::slice::from_ref(path), &StudyOptions::default()).expect_err(words).to_string();
        for text in [by_reader, by_study] {
            assert!(text.contains(words), "\"{text}\" does not say \"{words}\"");
        }
    }
    // A folder named like a file may well be a series.
    let series = filled(&folder, "ct.dcm");
    expect_made(&read(series).expect("a series")[0], 4);
}

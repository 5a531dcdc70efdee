//! The one way in for scans: formats told by content, files read once, channels and labels on one grid.

use std::path::PathBuf;

use crate::support::data::{known, real};
use crate::support::dicom_file::{Encoding, slice};
use crate::support::run::{Folder, repository};
use unetr_wgpu::digest::sha256;
use unetr_wgpu::volume::nifti::{WriteOptions, write_labels, write_volume};
use unetr_wgpu::volume::orientation::Turn;
use unetr_wgpu::volume::study::{FORMATS, LabelFiles};
use unetr_wgpu::volume::{Alignment, InputFile, LabelMap, Study, StudyFiles, StudyOptions, Volume, VolumeError};

fn open(paths: &[PathBuf]) -> Study {
    Study::open(paths, &StudyOptions::default()).unwrap_or_else(|e| panic!("{e}"))
}

fn labels(path: PathBuf) -> LabelMap<u32> {
    let files = LabelFiles::open(&path).unwrap_or_else(|e| panic!("{e}"));
    files.read(&StudyOptions::default()).unwrap_or_else(|e| panic!("{e}")).labels
}

fn nifti(volume: &Volume) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_volume(&mut bytes, volume, &WriteOptions::default()).expect("a file");
    bytes
}

#[test]
fn paths_and_bytes_are_one_door() {
    let path = repository("models/samples/hippocampus.nii.gz");
    let bytes = std::fs::read(&path).expect("a scan");
    let from_path = open(&[path]);
    let file = InputFile::in_memory("hippocampus.nii.gz", bytes.clone());
    let files = StudyFiles::dropped(vec![file]).expect("a file");
    let from_bytes = files.read(&StudyOptions::default()).expect("a scan");
    assert_eq!(from_path.volume, from_bytes.volume);
    assert_eq!(from_path.files, from_bytes.files);
    assert_eq!(from_path.files[0].file, "hippocampus.nii.gz");
    assert_eq!(from_path.files[0].sha256, sha256(&bytes));
}

#[test]
fn a_pair_is_one_file_whichever_is_named() {
    let folder = Folder::new();
    let scan = open(&[repository("models/samples/hippocampus.nii.gz")]).volume;
    let mut bytes = nifti(&scan);
    bytes[344..348].copy_from_slice(b"ni1\0");
    bytes[108..112].copy_from_slice(&0f32.to_le_bytes());
    let (header, voxels) = bytes.split_at(352);
    let pair = [folder.write("a.hdr", &header[..348]), folder.write("a.img", voxels)];
    let hash = sha256([&header[..348], voxels].concat());
    for path in &pair {
        let study = open(std::slice::from_ref(path));
        assert_eq!((study.volume == scan, study.files[0].sha256.as_str()), (true, hash.as_str()));
    }
    let dropped = pair.map(|p| InputFile::in_memory(p.display().to_string(), std::fs::read(&p).expect("a file")));
    let study = StudyFiles::dropped(dropped.into()).and_then(|f| f.read(&StudyOptions::default())).expect("a pair");
    assert_eq!(study.volume, scan);
}

#[test]
fn a_scan_in_dicom_takes_labels_in_another_order_of_axes() {
    let folder = Folder::new();
    for z in 0..4 {
        folder.write(&format!("{z}.dcm"), &slice(Encoding::Explicit, z).file(Encoding::Explicit, false));
    }
    let study = open(&[folder.path("0.dcm").parent().expect("a folder").to_path_buf()]);
    assert_eq!((study.volume.dims, study.affine_source), ([5, 3, 4], "dicom"));
    let data: Vec<u32> = (0..60).collect();
    let truth = LabelMap::new(data, study.volume.dims, study.volume.affine).expect("labels");
    for turn in Turn::all() {
        let stored = LabelMap {
            data: turn.apply(&truth.data, truth.dims).iter().map(|v| *v as u16).collect(),
            dims: turn.dims(truth.dims),
            affine: turn.affine(&truth.affine, truth.dims),
        };
        let mut bytes = Vec::new();
        write_labels(&mut bytes, &stored, &WriteOptions::default()).expect("a file");
        let read = labels(folder.write("label.nii", &bytes));
        let (placed, told) = read.on_grid(&study.grid(), ["scan", "label"]).expect("one grid");
        assert_eq!((placed, told), (truth.clone(), None), "{turn:?}");
    }
}

/// Directions from a public report: image and label 0.0016 mm apart by the rounding of a quaternion.
#[test]
fn rounding_of_directions_is_one_grid() {
    let at = |name: &str| repository("tests/data/grid").join(name);
    let mut pairs = vec![(at("pub_image.nii.gz"), at("pub_label.nii.gz"))];
    if let Some(folder) = known("grid") {
        pairs.push((folder.join("skew5.nii.gz"), folder.join("skew5_itk.nii.gz")));
    }
    for (image, label) in pairs {
        let (study, labels) = (open(std::slice::from_ref(&image)), labels(label));
        let apart = study.volume.affine.max_displacement(&labels.affine, labels.dims);
        assert!(apart > 1e-3, "{apart}");
        assert_eq!(study.grid().align(&labels.grid()), Alignment::Same(Turn::NONE), "{}", image.display());
    }
}

#[test]
fn a_real_series_and_its_label_stored_the_other_way() {
    let Some(folder) = real("ct-multiorgan/ct_dicom_j2k") else { return };
    let (study, read) = (open(&[folder.join("series")]), labels(folder.join("label.nii.gz")));
    let Alignment::Same(turn) = study.grid().align(&read.grid()) else { panic!("two grids") };
    assert_ne!(turn, Turn::NONE);
    let counts = read.counts();
    let (placed, _) = read.on_grid(&study.grid(), ["scan", "label"]).expect("one grid");
    assert_eq!(placed.counts(), counts);
}

#[test]
fn channels_follow_an_order_that_is_known_from_elsewhere() {
    let folder = Folder::new();
    let volume = |value: f32| {
        Volume::new(vec![value; 24], 1, [2, 3, 4], unetr_wgpu::volume::Affine::IDENTITY).expect("a volume")
    };
    let write = |name: &str, value: f32| folder.write(name, &nifti(&volume(value)));
    let channels = ["FLAIR".to_owned(), "T1".to_owned()];
    let mut study = open(&[write("a.nii", 1.0), write("b.nii", 2.0)]);
    study.arrange_as(&[1, 0], &channels).expect("names that say nothing");
    assert_eq!((study.volume.channel(0)[0], study.volume.channel(1)[0]), (2.0, 1.0));
    assert_eq!(study.files.iter().map(|f| f.file.as_str()).collect::<Vec<_>>(), ["b.nii", "a.nii"]);
    let mut study = open(&[write("x_t1.nii", 1.0), write("x_flair.nii", 2.0)]);
    study.arrange_as(&[1, 0], &channels).expect("names that say the same");
    assert_eq!(study.volume.channel(0)[0], 2.0);
    let mut study = open(&[write("x_t1.nii", 1.0), write("x_flair.nii", 2.0)]);
    let error = study.arrange_as(&[0, 1], &channels).expect_err("names that say another order");
    assert!(matches!(error, VolumeError::Channel { .. }), "{error}");
    // All channels in one file.
    let both = Volume::stack(vec![volume(1.0), volume(2.0)]).expect("one grid");
    let mut study = open(&[folder.write("both.nii", &nifti(&both))]);
    study.arrange_as(&[1, 0], &channels).expect("two channels");
    assert_eq!(study.volume.channel(0)[0], 2.0);
}

/// More loose files than a process may hold open.
#[test]
fn a_series_of_many_loose_files_is_read() {
    let folder = Folder::new();
    let paths: Vec<PathBuf> = (0..1200)
        .map(|z| folder.write(&format!("{z}.dcm"), &slice(Encoding::Explicit, z).file(Encoding::Explicit, false)))
        .collect();
    assert_eq!(open(&paths).volume.dims, [5, 3, 1200]);
}

#[test]
fn formats_do_not_mix_in_a_series() {
    let dicom = InputFile::in_memory("1.dcm", slice(Encoding::Explicit, 0).file(Encoding::Explicit, false));
    let scan = open(&[repository("models/samples/hippocampus.nii.gz")]).volume;
    let error = StudyFiles::dropped(vec![dicom, InputFile::in_memory("a.nii", nifti(&scan))]).err().expect("refused");
    assert!(matches!(&error, VolumeError::MixedFormats { file, .. } if file == "a.nii"), "{error}");
}

#[test]
fn formats_are_told_apart_by_their_content() {
    let scan = open(&[repository("models/samples/hippocampus.nii.gz")]).volume;
    let files = [nifti(&scan), slice(Encoding::Explicit, 0).file(Encoding::Explicit, false)];
    for bytes in files {
        assert_eq!(FORMATS.iter().filter(|format| format.recognises(&bytes)).count(), 1);
    }
    assert!(FORMATS.iter().all(|format| !format.recognises(b"hello") && !format.recognises(b"")));
}

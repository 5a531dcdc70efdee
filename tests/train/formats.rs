//! Training data in other forms than NIfTI files that fit each other voxel by voxel.
#![cfg(feature = "dicom")]

use crate::support::cases::{case, data, sections};
use crate::support::dicom_file::{Encoding, SIZE, slice, stored};
use unetr_wgpu::volume::nifti::{WriteOptions, write_labels};
use unetr_wgpu::volume::orientation::Turn;
use unetr_wgpu::volume::{LabelMap, Study, StudyOptions};

#[test]
fn a_case_may_be_a_dicom_series_with_its_label_stored_in_another_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let series = folder.path().join("series");
    std::fs::create_dir(&series).expect("a folder");
    for z in 0..16 {
        let name = series.join(format!("{z}.dcm"));
        std::fs::write(name, slice(Encoding::Explicit, z).file(Encoding::Explicit, false)).expect("a file");
    }
    let study = Study::open(std::slice::from_ref(&series), &StudyOptions::default()).expect("a series");
    let [nx, ny, nz] = study.volume.dims;
    assert_eq!([nx, ny, nz], [SIZE[0], SIZE[1], 16]);
    let marked = |at: usize| u16::from(at.is_multiple_of(7));
    let labels = LabelMap::new((0..nx * ny * nz).map(marked).collect(), study.volume.dims, study.volume.affine);
    let labels = labels.expect("labels");
    let turn = Turn { source: [2, 0, 1], flip: [true, false, true] };
    let stored_labels = LabelMap {
        data: turn.apply(&labels.data, labels.dims),
        dims: turn.dims(labels.dims),
        affine: turn.affine(&labels.affine, labels.dims),
    };
    let label = folder.path().join("label.nii");
    let file = std::fs::File::create(&label).expect("a file");
    write_labels(file, &stored_labels, &WriteOptions::default()).expect("written");

    let case = case("series", vec![series.clone()], label);
    let source = sections([16; 3], |package| package["input"]["orientation"] = serde_json::Value::Null);
    let source = source.source(&data(""));
    let raw = source.read(&case).expect("a case");
    assert_eq!((&raw.labels, raw.warnings.as_slice()), (&labels, [].as_slice()));
    assert_eq!(raw.volume.data[(2 * ny + 1) * nz + 3], f32::from(stored(2, 1, 3)) * 4.0 - 1024.0);
    let (prepared, _) = source.prepare(&case).expect("a case");
    assert_eq!(prepared.label, labels.data);

    // What was read is known by its content: another slice, another fingerprint.
    let before = source.fingerprint(&case).expect("a fingerprint");
    std::fs::rename(series.join("3.dcm"), series.join("other name.dcm")).expect("renamed");
    assert_eq!(source.fingerprint(&case).expect("a fingerprint"), before);
    std::fs::remove_file(series.join("15.dcm")).expect("removed");
    assert_ne!(source.fingerprint(&case).expect("a fingerprint"), before);
}

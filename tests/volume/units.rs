//! Lengths in metres and micrometres, and time along a fourth axis.

use crate::support::data::known;
use unetr_wgpu::volume::nifti::{self, ReadOptions, Scan, WriteOptions, write_labels, write_volume};
use unetr_wgpu::volume::{Affine, LabelMap, Study, StudyOptions, Volume};

const AFFINE: [[f64; 4]; 3] = [[-0.8, 0.01, 0.0, 90.5], [0.01, 0.8, 0.0, -126.25], [0.0, 0.0, 3.0, -72.0]];

fn read(bytes: &[u8]) -> Scan {
    nifti::read(bytes, None, &ReadOptions::default()).unwrap_or_else(|e| panic!("{e}"))
}

/// The file of a scan in mm with its lengths in a unit of so many mm.
fn in_unit(scan: &Volume, code: u8, mm: f64) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_volume(&mut bytes, scan, &WriteOptions::default()).expect("a file");
    for at in (80..92).chain(268..328).step_by(4) {
        let field: &mut [u8; 4] = bytes[at..].first_chunk_mut().expect("a field");
        *field = ((f64::from(f32::from_le_bytes(*field)) / mm) as f32).to_le_bytes();
    }
    bytes[123] = code;
    bytes
}

#[test]
fn metres_and_micrometres_are_read_and_written() {
    let scan =
        Volume::new((0..24).map(|v| v as f32).collect(), 1, [2, 3, 4], Affine::from_rows(AFFINE)).expect("a scan");
    let mm = read(&in_unit(&scan, 2, 1.0));
    for (code, unit) in [(1, 1e3), (3, 1e-3)] {
        let bytes = in_unit(&scan, code, unit);
        let read_back = read(&bytes);
        assert!(read_back.warnings.is_empty(), "{:?}", read_back.warnings);
        let apart = read_back.volume.affine.max_displacement(&mm.volume.affine, scan.dims);
        assert!(apart < 1e-4, "{apart} mm");
        assert!((read_back.volume.affine.voxel_mm3() / mm.volume.affine.voxel_mm3() - 1.0).abs() < 1e-6);

        // What is written for it has its unit and lies on its grid.
        let labels = LabelMap::new(vec![1; 24], scan.dims, read_back.volume.affine).expect("labels");
        let mut written = Vec::new();
        let options = WriteOptions { like: Some(&read_back.header), ..WriteOptions::default() };
        write_labels(&mut written, &labels, &options).expect("a file");
        assert_eq!(written[123], code);
        let srow = f32::from_le_bytes(*written[280..].first_chunk().expect("a field"));
        assert!((f64::from(srow) * unit + 0.8).abs() < 1e-6, "{srow}");
        let again = nifti::read_labels(&written, None, &ReadOptions::default()).expect("labels");
        assert!(again.labels.grid().equals(&labels.grid()));
        // The qform says the same.
        let form = ReadOptions { form: nifti::Form::Qform, ..ReadOptions::default() };
        let form = nifti::read_labels(&written, None, &form).expect("labels").labels;
        assert!(form.affine.max_displacement(&labels.affine, labels.dims) < 0.01);
    }
    // 0.001 m is 1 mm, not the nearest number to 0.001 times 1000.
    let one = Volume { affine: Affine::IDENTITY, ..scan };
    assert_eq!(read(&in_unit(&one, 1, 1e3)).volume.affine, Affine::IDENTITY);
}

/// One scan in three units (nibabel).
#[test]
fn one_scan_in_three_units() {
    let Some(folder) = known("units") else { return };
    let open = |name: &str| {
        let study = Study::open(&[folder.join(name)], &StudyOptions::default()).unwrap_or_else(|e| panic!("{e}"));
        assert!(study.warnings.is_empty(), "{:?}", study.warnings);
        study.volume
    };
    let mm = open("mm.nii.gz");
    assert_eq!(mm.affine.spacing(), [1.0; 3]);
    for name in ["metres.nii.gz", "microns.nii.gz"] {
        assert_eq!(open(name), mm, "{name}");
    }
}

#[test]
fn time_along_the_fourth_axis_is_told() {
    let series = Volume::new(vec![1.0; 48], 2, [2, 3, 4], Affine::IDENTITY).expect("two volumes");
    let file = |units: u8, step: f32| {
        let mut bytes = in_unit(&series, units, 1.0);
        bytes[92..96].copy_from_slice(&step.to_le_bytes());
        read(&bytes).warnings.join("; ")
    };
    assert_eq!(file(2, 1.0), "");
    assert_eq!(file(2, 0.0), "");
    for (units, step, said) in [
        (10, 1.0, "pixdim[4] is 1 s"),
        (18, 2500.0, "2500 ms"),
        (2, 2.5, "pixdim[4] is 2.5)"),
        (10, 0.0, "xyzt_units has s"),
    ] {
        let text = file(units, step);
        assert!(text.contains(said) && text.contains("its 2 volumes are taken as channels"), "{text}");
    }
    // One volume has no time, whatever its header says.
    let one = Volume { channels: 1, data: vec![1.0; 24], ..series };
    assert!(read(&in_unit(&one, 10, 1.0)).warnings.is_empty());
}

//! Writing NIfTI: what comes back equals what went in, on the scan's own grid.

use crate::support::bad_nifti::{qform_only, sound, sound_2, with};
use unetr_wgpu::volume::nifti::{self, Datatype, LabelName, ReadOptions, Version, WriteOptions};
use unetr_wgpu::volume::{Affine, LabelMap, Volume};

fn read(bytes: &[u8]) -> nifti::Scan {
    nifti::read(bytes, None, &ReadOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn labels(dims: [usize; 3], affine: Affine, top: u16) -> LabelMap {
    let n = dims.iter().product::<usize>();
    let data = (0..n).map(|v| (v % (usize::from(top) + 1)) as u16).collect();
    LabelMap::new(data, dims, affine).unwrap()
}

fn written(labels: &LabelMap, options: &WriteOptions<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    nifti::write_labels(&mut out, labels, options).unwrap();
    out
}

#[test]
fn a_label_file_returns_as_written() {
    // Turned about two axes, left-handed.
    let ((s, c), (u, v)) = (0.3_f64.sin_cos(), 2.1_f64.sin_cos());
    let oblique = Affine::from_rows([
        [0.9 * c, -1.1 * s * v, -2.0 * s * u, 12.5],
        [0.9 * s, 1.1 * c * v, 2.0 * c * u, -40.0],
        [0.0, 1.1 * u, -2.0 * v, 7.25],
    ]);
    let sheared = Affine::from_rows([[0.5, 0.0, 0.0, 1.0], [0.0, 0.5, 0.4, 2.0], [0.0, 0.0, -2.4, 3.0]]);
    for (affine, top) in [(oblique, 255), (oblique, 256), (sheared, 3)] {
        let map = labels([5, 9, 7], affine, top);
        for gzip in [false, true] {
            let bytes = written(&map, &WriteOptions { gzip, ..Default::default() });
            assert_eq!(bytes.starts_with(&[0x1f, 0x8b]), gzip);
            let back = nifti::read_labels(&bytes, None, &ReadOptions::default()).unwrap();
            assert_eq!(back.labels.data, map.data);
            assert!(back.labels.grid().equals(&map.grid()));
            let datatype = if top > 255 { Datatype::U16 } else { Datatype::U8 };
            assert_eq!(back.header.datatype, datatype);
            assert_eq!((back.header.intent_code, back.header.scaling), (1002, Some((1.0, 0.0))));
            assert_eq!(back.header.cal_max, f64::from(top));
            assert_eq!(bytes, written(&map, &WriteOptions { gzip, ..Default::default() }));
            // The qform cannot hold shear, so a sheared grid has none.
            assert_eq!(back.header.qform_code == 0, affine == sheared);
            assert!(back.warnings.is_empty(), "{:?}", back.warnings);
        }
    }
}

#[test]
fn the_scans_header_is_taken_over() {
    let take = |scan: &[u8]| {
        let scan = read(scan);
        let map = labels(scan.volume.dims, scan.volume.affine, 3);
        let options = WriteOptions { like: Some(&scan.header), ..Default::default() };
        let back = nifti::read_labels(&written(&map, &options), None, &ReadOptions::default()).unwrap();
        assert!(back.labels.grid().equals(&map.grid()));
        let axes = scan.header.dimensions();
        assert_eq!(back.header.dim[..=axes], scan.header.dim[..=axes]);
        assert_eq!(back.header.xyzt_units, scan.header.xyzt_units);
        assert_eq!(back.header.descrip, scan.header.descrip);
        assert_eq!(back.header.version, scan.header.version);
        (back.header.sform_code, back.header.qform_code)
    };
    let described = with(sound(), &[(148, b"a scan"), (123, &[10]), (254, &[4, 0])]);
    assert_eq!(take(&described), (4, 4));
    assert_eq!(take(&with(qform_only(), &[(252, &[3, 0])])), (3, 3));
    assert_eq!(take(&sound_2()), (1, 1));
    // Without codes the label map has none either, so that viewers treat both alike.
    assert_eq!(take(&with(sound(), &[(254, &[0, 0])])), (0, 0));
    let flat: Vec<u8> = [2_i16, 4, 6].iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(take(&with(sound(), &[(40, &flat)])), (1, 1));

    let long = labels([40_000, 1, 1], Affine::IDENTITY, 1);
    let bytes = written(&long, &WriteOptions::default());
    assert_eq!(nifti::header_only(&bytes).unwrap().0.version, Version::Two);
}

#[test]
fn names_and_provenance_travel_with_the_labels() {
    let names = [
        LabelName { value: 1, name: "left kidney".into(), color: [200, 86, 60], codes: None },
        LabelName { value: 2, name: "odd ]]> <name> & é\u{7}".into(), color: [0, 255, 0], codes: None },
    ];
    let provenance = r#"{"model": "test", "sha256": "00"}"#;
    let map = labels([4, 4, 4], Affine::IDENTITY, 2);
    for version_two in [false, true] {
        let scan = read(&if version_two { sound_2() } else { sound() });
        let options =
            WriteOptions { like: Some(&scan.header), label_names: &names, comment: Some(provenance), gzip: true };
        let back = nifti::read_labels(&written(&map, &options), None, &ReadOptions::default()).unwrap();
        assert_eq!(back.labels.data, map.data);
        let [table, comment] = &back.extensions[..] else { panic!("{:?}", back.extensions) };
        assert_eq!((table.code, comment.code), (nifti::CARET, nifti::COMMENT));
        assert_eq!(comment.text(), Some(provenance));
        let xml = table.text().unwrap();
        assert!(xml.contains(
            "<Label Key=\"1\" Red=\"0.784314\" Green=\"0.337255\" Blue=\"0.235294\" Alpha=\"1\">\
             <![CDATA[left kidney]]></Label>"
        ));
        assert!(xml.contains("<![CDATA[odd ]] > <name> & é]]>"), "{xml}");
    }
}

#[test]
fn volumes_return_as_written() {
    let data: Vec<f32> = (0..120).map(|v| v as f32 * 0.37 - 9.0).collect();
    let affine = read(&sound()).volume.affine;
    for (channels, dims) in [(1, [4, 5, 6]), (2, [3, 4, 5]), (5, [4, 3, 2])] {
        let volume = Volume::new(data.clone(), channels, dims, affine).unwrap();
        let mut bytes = Vec::new();
        nifti::write_volume(&mut bytes, &volume, &WriteOptions::default()).unwrap();
        let back = read(&bytes);
        assert_eq!(back.volume, volume);
        assert_eq!(back.header.dimensions(), if channels > 1 { 4 } else { 3 });
    }
    assert!(nifti::is_gzip_name("A.NII.GZ") && !nifti::is_gzip_name("a.nii"));
    assert!(Volume::new(data, 1, [1, 1, 119], affine).is_err());
    let singular = Affine([[0.0; 4]; 4]);
    assert!(LabelMap::new(vec![0], [1; 3], singular).is_err());
}

#[test]
fn a_full_disk_is_an_error() {
    struct Full(usize);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.0 == 0 {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            let written = bytes.len().min(self.0);
            self.0 -= written;
            Ok(written)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let map = labels([40, 40, 40], Affine::IDENTITY, 250);
    for gzip in [false, true] {
        for room in [0, 100, 352, 1000] {
            let options = WriteOptions { gzip, ..Default::default() };
            let result = nifti::write_labels(Full(room), &map, &options);
            let packed = written(&map, &options).len();
            assert_eq!(result.is_err(), room < packed, "{room} of {packed} bytes");
        }
    }
}

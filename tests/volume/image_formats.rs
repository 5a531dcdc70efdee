//! NRRD, MetaImage and MGH: what ITK and nibabel write, voxel for voxel in its place; segmentations; files that are half right.

use std::path::{Path, PathBuf};

use crate::support::data::real;
use crate::support::golden;
use crate::support::run::Folder;
use unetr_wgpu::volume::label_file::{LabelFormat, LabelOptions};
use unetr_wgpu::volume::nifti::LabelName;
use unetr_wgpu::volume::study::LabelFiles;
use unetr_wgpu::volume::{Affine, InputFile, LabelMap, Study, StudyFiles, StudyOptions, VolumeError};

fn path(name: &str) -> PathBuf {
    golden::path(&format!("golden/formats/{name}"))
}

fn open(path: &Path) -> Study {
    Study::open(&[path.to_path_buf()], &StudyOptions::default()).unwrap_or_else(|e| panic!("{e}"))
}

fn in_memory(files: &[(&str, &[u8])]) -> Result<Study, VolumeError> {
    let files = files.iter().map(|(name, bytes)| InputFile::in_memory(*name, bytes.to_vec())).collect();
    StudyFiles::dropped(files)?.read(&StudyOptions::default())
}

fn labels(name: &str, bytes: &[u8]) -> Result<(LabelMap<u32>, Vec<String>), VolumeError> {
    let read = LabelFiles::dropped(vec![InputFile::in_memory(name, bytes.to_vec())])?.read(&StudyOptions::default())?;
    Ok((read.labels, read.warnings))
}

/// Single precision in NIfTI's header and MGH's.
#[track_caller]
fn same_place(name: &str, got: &Affine, want: &Affine) {
    let far = got.max_displacement(want, [3, 5, 4]);
    assert!(far < 1e-4, "{name}: {far} mm away");
}

#[test]
fn other_programs_files_are_read_as_nifti_is() {
    for (name, like) in [
        ("int8.nrrd", "int8"),
        ("int8.mha", "int8"),
        ("uint16.nrrd", "uint16"),
        ("uint16.mha", "uint16"),
        ("int32.nrrd", "int32"),
        ("int32.mha", "int32"),
        ("float64.nrrd", "float64"),
        ("float64.mha", "float64"),
        ("detached.nhdr", "int32"),
        ("detached.mhd", "int32"),
        ("int16.mgh", "int32"),
        ("int32.mgz", "int32"),
        ("float32.mgz", "int32"),
    ] {
        let (got, want) = (open(&path(name)), open(&path(&format!("{like}.nii.gz"))));
        assert_eq!(got.volume.dims, [3, 5, 4], "{name}");
        assert_eq!(got.volume.data, want.volume.data, "{name}");
        same_place(name, &got.volume.affine, &want.volume.affine);
        assert!(got.warnings.is_empty(), "{name}: {:?}", got.warnings);
    }
    for name in ["vector.nrrd", "vector.mha"] {
        let (got, want) = (open(&path(name)), [0, 1].map(|c| open(&path(&format!("vector_{c}.nii.gz")))));
        assert_eq!(got.volume.channels, 2, "{name}");
        assert_eq!(got.volume.data, [&want[0].volume.data[..], &want[1].volume.data].concat(), "{name}");
        same_place(name, &got.volume.affine, &want[0].volume.affine);
    }
}

#[test]
fn real_images_lie_on_their_labels() {
    let Some(folder) = real("nrrd-tumours") else { return };
    for name in ["brain1", "breast1", "prostate_phantom"] {
        let scan = open(&folder.join(format!("{name}_image.nrrd")));
        let label = LabelFiles::open(&folder.join(format!("{name}_label.nrrd"))).expect("a label map");
        let label = label.read(&StudyOptions::default()).expect("a label map").labels;
        assert_eq!(scan.volume.dims, label.dims, "{name}");
        same_place(name, &scan.volume.affine, &label.affine);
        assert!(label.counts().keys().any(|value| *value > 0), "{name}");
    }
}

/// An NRRD of 2 x 1 x 2 voxels whose lines are `lines`.
fn nrrd(lines: &str, voxels: &[u8]) -> Vec<u8> {
    [format!("NRRD0005\n{lines}\n\n").as_bytes(), voxels].concat()
}

const PLACE: &str = "space: left-posterior-superior\nspace directions: (2,0,0) (0,3,0) (0,0,4)\nspace origin: (1,2,3)";
const BYTES: &str = "type: uint8\ndimension: 3\nsizes: 2 1 2\nencoding: raw";

#[test]
fn spaces_units_and_spellings() {
    let at = |lines: &str| in_memory(&[("a.nrrd", &nrrd(&format!("{BYTES}\n{lines}"), &[1, 2, 3, 4]))]);
    let affine = |lines: &str| at(lines).unwrap_or_else(|e| panic!("{lines}: {e}")).volume.affine.0;
    let rows = |x: [f64; 2], y: [f64; 2]| {
        [[x[0], 0.0, 0.0, x[1]], [0.0, y[0], 0.0, y[1]], [0.0, 0.0, 4.0, 3.0], [0.0, 0.0, 0.0, 1.0]]
    };
    assert_eq!(affine(PLACE), rows([-2.0, -1.0], [-3.0, -2.0]));
    assert_eq!(affine(&PLACE.replace("left-posterior-superior", "RAS")), rows([2.0, 1.0], [3.0, 2.0]));
    assert_eq!(
        affine(&PLACE.replace("left-posterior-superior", "Left-Anterior-Superior")),
        rows([-2.0, -1.0], [3.0, 2.0])
    );
    let metres = affine(&format!("{PLACE}\nspace units: \"m\" \"m\" \"m\""));
    assert_eq!(metres[2], [0.0, 0.0, 4000.0, 3000.0]);
    // x fastest in the file, z in memory.
    assert_eq!(at(PLACE).expect("a scan").volume.data, [1.0, 3.0, 2.0, 4.0]);
    let guessed = at("spacings: 2 3 4").expect("a scan");
    assert!(
        guessed.warnings.iter().any(|w| w.text.contains("which side is left is a guess")),
        "{:?}",
        guessed.warnings
    );
    assert_eq!(guessed.volume.affine.spacing(), [2.0, 3.0, 4.0]);
    let text = BYTES.replace("raw", "ascii");
    let text = nrrd(&format!("# words\r\n{text}\r\n{PLACE}\r\nkey:=value\r"), b"1 2\n3,4\n");
    assert_eq!(in_memory(&[("a.nrrd", &text)]).expect("a scan").volume.data, [1.0, 3.0, 2.0, 4.0]);
    let hex = nrrd(&format!("{}\n{PLACE}", BYTES.replace("raw", "hex")), b"0102 fF04");
    assert_eq!(in_memory(&[("a.nrrd", &hex)]).expect("a scan").volume.data, [1.0, 255.0, 2.0, 4.0]);
    let big = nrrd(
        &format!("{}\nendian: big\n{PLACE}", BYTES.replace("uint8", "signed short")),
        &[0, 1, 0, 2, 255, 255, 0, 4],
    );
    assert_eq!(in_memory(&[("a.nrrd", &big)]).expect("a scan").volume.data, [1.0, -1.0, 2.0, 4.0]);
}

#[test]
fn voxels_in_other_files() {
    let folder = Folder::new();
    folder.write("a.raw", &[9, 9, 1, 2, 3, 4]);
    let header = folder.write("a.nhdr", &nrrd(&format!("{BYTES}\n{PLACE}\ndata file: a.raw\nbyte skip: -1"), &[]));
    assert_eq!(open(&header).volume.data, [1.0, 3.0, 2.0, 4.0]);
    folder.write("s_01.raw", &[1, 2]);
    folder.write("s_02.raw", &[3, 4]);
    let header = folder.write("s.nhdr", &nrrd(&format!("{BYTES}\n{PLACE}\ndata file: s_%02d.raw 1 2 1 2"), &[]));
    assert_eq!(open(&header).volume.data, [1.0, 3.0, 2.0, 4.0]);
    let header =
        folder.write("l.nhdr", format!("NRRD0005\n{BYTES}\n{PLACE}\ndata file: LIST\ns_02.raw\ns_01.raw\n").as_bytes());
    assert_eq!(open(&header).volume.data, [3.0, 1.0, 4.0, 2.0]);
    let mhd = "NDims = 3\nDimSize = 2 1 2\nElementType = MET_UCHAR\nElementSpacing = 2 3 4\nTransformMatrix = 1 0 0 0 1 0 0 0 1\n";
    let slices = folder.write("m.mhd", format!("{mhd}ElementDataFile = s_%02d.raw 1 2 1\n").as_bytes());
    assert_eq!(open(&slices).volume.data, [1.0, 3.0, 2.0, 4.0]);
    let list = folder.write("n.mhd", format!("{mhd}ElementDataFile = LIST\ns_02.raw\ns_01.raw\n").as_bytes());
    assert_eq!(open(&list).volume.data, [3.0, 1.0, 4.0, 2.0]);
    let skipped = folder.write("o.mhd", format!("{mhd}HeaderSize = -1\nElementDataFile = a.raw").as_bytes());
    assert_eq!(open(&skipped).volume.data, [1.0, 3.0, 2.0, 4.0]);
    let alone = in_memory(&[("o.mhd", format!("{mhd}ElementDataFile = a.raw").as_bytes())]);
    assert!(alone.expect_err("no voxels").to_string().contains("a.raw, which is needed too"));
    let pair: [(&str, &[u8]); 2] =
        [("o.mhd", &format!("{mhd}ElementDataFile = a.raw").into_bytes()), ("a.raw", &[1, 2, 3, 4])];
    assert_eq!(in_memory(&pair).expect("a pair").volume.data, [1.0, 3.0, 2.0, 4.0]);
}

#[test]
fn segments_in_layers_become_one_label_map() {
    let lines = "type: uint8\ndimension: 4\nsizes: 2 2 1 2\nencoding: raw\nkinds: list domain domain domain\n\
                 space: left-posterior-superior\nspace directions: none (2,0,0) (0,3,0) (0,0,4)\nspace origin: (1,2,3)";
    let segment = |n: usize, name: &str, layer: usize, value: usize| {
        format!(
            "\nSegment{n}_ID:=s{n}\nSegment{n}_Name:={name}\nSegment{n}_Layer:={layer}\nSegment{n}_LabelValue:={value}"
        )
    };
    // Voxel by voxel: layer 0, layer 1.
    let voxels = [1, 0, 2, 1, 0, 1, 0, 0];
    let own =
        format!("{lines}{}{}{}", segment(0, "liver", 0, 1), segment(1, "spleen", 0, 2), segment(2, "lesion", 1, 5));
    let other: Vec<u8> = voxels.iter().enumerate().map(|(i, v)| if i % 2 == 1 { v * 5 } else { *v }).collect();
    let (map, told) = labels("a.seg.nrrd", &nrrd(&own, &other)).expect("a label map");
    assert_eq!(map.data, [1, 5, 5, 0]);
    assert!(told.iter().any(|t| t.starts_with("1 voxels are of several segments")), "{told:?}");
    let shared = own.replace("LabelValue:=5", "LabelValue:=1");
    let (map, told) = labels("a.seg.nrrd", &nrrd(&shared, &voxels)).expect("a label map");
    assert_eq!(map.data, [1, 3, 3, 0]);
    assert!(told.iter().any(|t| t.contains("1 liver, 2 spleen, 3 lesion")), "{told:?}");
    let wrong = own.replace("Layer:=1", "Layer:=7");
    assert!(
        labels("a.seg.nrrd", &nrrd(&wrong, &other)).expect_err("no layer").to_string().contains("Segment2_Layer is 7")
    );
}

#[test]
fn what_is_wrong_is_named() {
    let good = format!("{BYTES}\n{PLACE}");
    for (change, words) in [
        (("type: uint8", "type: block"), "type is block"),
        (("sizes: 2 1 2", "sizes: 2 1"), "dimension is 3: there are 2 sizes"),
        (("sizes: 2 1 2", "sizes: 2 0 2"), "sizes is 2 0 2"),
        (("sizes: 2 1 2", "sizes: 99999 99999 99999"), "declared"),
        (("encoding: raw", "encoding: bzip2"), "save it as gzip"),
        (("encoding: raw", "encoding: gzip"), "gzip stream"),
        (("left-posterior-superior", "scanner-xyz"), "space is scanner-xyz"),
        (("(2,0,0)", "(2,0)"), "space directions"),
        (("(2,0,0)", "(0,3,0)"), "span"),
        (("(2,0,0)", "none"), "three axes of space"),
        (("type: uint8", "type: short"), "endian is missing"),
        (("dimension: 3", "dimension: 3\ndimension: 3"), "twice"),
        (("encoding: raw", "byte skip: x\nencoding: raw"), "byte skip is x"),
    ] {
        let lines = good.replace(change.0, change.1);
        assert_ne!(lines, good, "{change:?}");
        let error = in_memory(&[("a.nrrd", &nrrd(&lines, &[1, 2, 3, 4]))]).expect_err(words).to_string();
        assert!(error.contains(words), "{change:?}: {error}");
    }
    let mha = std::fs::read(path("int32.mha")).expect("a file");
    for (change, words) in [
        (("NDims = 3", "NDims = 2"), "NDims is 2"),
        (("MET_INT", "MET_FOO"), "ElementType is MET_FOO"),
        (("DimSize = 3 5 4", "DimSize = 3 5 5"), "declared"),
        (("Offset = 12.5", "Offset = a2.5"), "Offset"),
    ] {
        let at = mha.windows(change.0.len()).position(|w| w == change.0.as_bytes()).expect(change.0);
        let mut other = mha.clone();
        other[at..at + change.0.len()].copy_from_slice(change.1.as_bytes());
        let error = in_memory(&[("a.mha", &other)]).expect_err(words).to_string();
        assert!(error.contains(words), "{change:?}: {error}");
    }
    let mut mgh = std::fs::read(path("int16.mgh")).expect("a file");
    mgh[29] = 0;
    let placeless = in_memory(&[("a.mgh", &mgh)]).expect("a scan");
    assert!(placeless.warnings.iter().any(|w| w.text.contains("goodRASFlag")), "{:?}", placeless.warnings);
    mgh[23] = 9;
    assert!(in_memory(&[("a.mgh", &mgh)]).expect_err("a type").to_string().contains("type is 9"));
    mgh[7] = 0;
    assert!(in_memory(&[("a.mgh", &mgh)]).expect_err("a size").to_string().contains("width is 0"));
}

#[test]
fn labels_are_written_in_every_format_and_read_back() {
    let affine = open(&path("int8.nii.gz")).volume.affine;
    for top in [2_u16, 300] {
        let data: Vec<u16> = (0..60).map(|i| if i % 7 == 0 { top } else { u16::from(i % 3 == 0) }).collect();
        let map = LabelMap::new(data, [3, 5, 4], affine).expect("a label map");
        let names = [(1, "left, \\ lobe"), (top, "Gehirn\nnerv"), (9, "absent")].map(|(value, name)| LabelName {
            value,
            name: name.into(),
            color: [255, 0, 51],
            codes: None,
        });
        let options = LabelOptions { label_names: &names, comment: Some("{\n}"), ..LabelOptions::default() };
        // DICOM needs a series: `dicom_seg.rs`.
        for (ending, format) in LabelFormat::ENDINGS.iter().filter(|(ending, _)| *ending != ".dcm") {
            let mut bytes = Vec::new();
            format.write(&mut bytes, &map, &options).expect("written");
            let (read, _) = labels(&format!("a{ending}"), &bytes).unwrap_or_else(|e| panic!("{ending}: {e}"));
            assert_eq!(read.data, map.widen().data, "{ending}");
            same_place(ending, &read.affine, &affine);
        }
        let mut bytes = Vec::new();
        LabelFormat::SegNrrd.write(&mut bytes, &map, &options).expect("written");
        let text = String::from_utf8_lossy(&bytes);
        for line in [
            "Segment0_Name:=left, \\\\ lobe\n",
            "Segment1_Name:=Gehirn\\nnerv\n",
            &format!("Segment1_LabelValue:={top}\n"),
            "Segment1_Color:=1.000000 0.000000 0.200000\n",
            "Segment0_Extent:=0 2 0 4 0 3\n",
            "Segment2_Extent:=0 -1 0 -1 0 -1\n",
            "unetr:={\\n}\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
    assert_eq!(LabelFormat::of_name("A.SEG.NRRD"), Some((LabelFormat::SegNrrd, 9)));
    assert_eq!(LabelFormat::of_name(".nrrd"), None);
}

/// Cut anywhere, and with any byte changed: a volume or a reason.
#[test]
fn damaged_files_end_in_a_reason() {
    for name in [
        "int8.nrrd",
        "uint16.nrrd",
        "vector.nrrd",
        "int32.mha",
        "uint16.mha",
        "int16.mgh",
        "int32.mgz",
        "detached.nhdr",
    ] {
        let bytes = std::fs::read(path(name)).expect("a file");
        for end in 0..bytes.len() {
            let _ = in_memory(&[(name, &bytes[..end])]);
            let _ = labels(name, &bytes[..end]);
        }
        for at in 0..bytes.len() {
            for flip in [1, 0x10, 0x80, 0xff] {
                let mut other = bytes.clone();
                other[at] ^= flip;
                if let Ok(study) = in_memory(&[(name, &other)]) {
                    let voxels: usize = study.volume.dims.iter().product();
                    assert_eq!(study.volume.data.len(), voxels * study.volume.channels, "{name}, byte {at}");
                }
            }
        }
    }
}

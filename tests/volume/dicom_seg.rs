//! DICOM Segmentation: read as highdicom writes it, written so that it reads back in place.

use crate::support::dicom_file::{Dicom, Encoding, Value, series, slice};
use crate::support::run::repository;
use unetr_wgpu::volume::codes::{Code, LabelCodes};
use unetr_wgpu::volume::dicom::seg::{SegKind, SegOptions, write_labels};
use unetr_wgpu::volume::dicom::{InMemory, ReadOptions, read};
use unetr_wgpu::volume::nifti::LabelName;
use unetr_wgpu::volume::study::{LabelFiles, LabelImage};
use unetr_wgpu::volume::{Affine, InputFile, LabelMap, SourceSeries, StudyOptions, Volume, VolumeError, VoxelGrid};

const DIMS: [usize; 3] = [13, 9, 6];

/// The grid of the series in `tests/tools/dicom_segs.py`: its directions in RAS times 0.7 mm a column, 1.5 a row, 2.5 a slice.
fn grid() -> VoxelGrid {
    let rows = [[-0.56, 0.0, 1.5, -10.0], [-0.42, 0.0, -2.0, 20.0], [0.0, -1.5, 0.0, 30.0]];
    VoxelGrid { dims: DIMS, affine: Affine::from_rows(rows) }
}

fn labels(name: &str, bytes: Vec<u8>) -> Result<LabelImage, VolumeError> {
    LabelFiles::dropped(vec![InputFile::in_memory(name, bytes)])?.read(&StudyOptions::default())
}

fn golden(name: &str) -> LabelImage {
    let bytes = std::fs::read(repository(&format!("tests/golden/dicom/seg_{name}.dcm"))).expect("the file");
    labels(name, bytes).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn map(dims: [usize; 3], label: impl Fn(usize, usize, usize) -> u32) -> Vec<u32> {
    let [nx, ny, nz] = dims;
    (0..nx * ny * nz).map(|at| label(at / (ny * nz), at / nz % ny, at % nz)).collect()
}

/// What `tests/tools/dicom_segs.py` draws.
fn drawn(x: usize, y: usize, z: usize) -> u32 {
    match (x, y, z) {
        (..=5, _, 1..=3) => 1,
        (7.., 4.., 1 | 4) => 2,
        _ => 0,
    }
}

#[test]
fn segmentations_of_every_kind_are_read_in_place() {
    for name in ["binary", "labelmap", "rle"] {
        let read = golden(name);
        assert!(read.partial && read.warnings.is_empty(), "{name}: {:?}", read.warnings);
        // Slices 1 to 4 have frames.
        assert_eq!(read.labels.dims, [13, 9, 4], "{name}");
        let (placed, told) = read.on_grid(&grid(), ["the scan", name]).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((placed.data, told), (map(DIMS, drawn), None), "{name}");
    }
    let (placed, _) = golden("fractional").on_grid(&grid(), ["the scan", "it"]).expect("one grid");
    // x / 12 of 200 is half from x = 6 on.
    assert_eq!(placed.data, map(DIMS, |x, _, z| u32::from(x >= 6 && z == 2)));
}

#[test]
fn overlapping_segments_are_told_by_name() {
    let read = golden("overlapping");
    assert_eq!(
        read.warnings,
        ["segments overlap: 1 (part 1) and 2 (part 2) in 18 voxels; there the higher number is taken"]
    );
    let (placed, _) = read.on_grid(&grid(), ["the scan", "it"]).expect("one grid");
    let want = |x, _, z| match (x, z) {
        (..=5, 2) => 1,
        (6.., 2) => 2,
        _ => 0,
    };
    assert_eq!(placed.data, map(DIMS, want));
}

#[test]
fn parts_of_scans_are_placed_by_their_voxels() {
    let affine = Affine::from_rows([[-1.0, 0.0, 0.0, 5.0], [0.0, -1.0, 0.0, 6.0], [0.0, 0.0, 2.0, 7.0]]);
    let whole = VoxelGrid { dims: [6, 5, 9], affine };
    let part = |dims: [usize; 3], first: [f64; 3], step: f64| {
        let mut linear = affine.linear();
        linear[2][2] *= step;
        let labels = LabelMap::new(map(dims, |x, y, z| (x + 10 * y + 100 * z + 1) as u32), dims, {
            Affine::from_parts(linear, affine.apply(first))
        });
        LabelImage {
            labels: labels.expect("labels"),
            partial: true,
            warnings: Vec::new(),
            file: unetr_wgpu::volume::study::FileRecord::new("part".into(), String::new()),
        }
    };
    let place = |part: LabelImage| part.on_grid(&whole, ["scan", "part"]);
    // Every other slice, from the third on.
    let (placed, told) = place(part([6, 5, 3], [0.0, 0.0, 2.0], 2.0)).expect("inside");
    let want = map(whole.dims, |x, y, z| match z {
        2 | 4 | 6 => (x + 10 * y + 100 * ((z - 2) / 2) + 1) as u32,
        _ => 0,
    });
    assert_eq!((placed.data, told), (want, None));
    // A single slice of another thickness.
    let (placed, _) = place(part([6, 5, 1], [0.0, 0.0, 8.0], 3.0)).expect("inside");
    assert_eq!(placed.data, map(whole.dims, |x, y, z| if z == 8 { (x + 10 * y + 1) as u32 } else { 0 }));
    let (_, told) = place(part([6, 5, 3], [0.0, 0.3, 2.0], 1.0)).expect("near");
    assert_eq!(told.as_deref(), Some("part lies up to 0.30 of a voxel beside scan: they are taken as one grid"));
    for (part, words) in [
        (part([6, 5, 3], [0.0, 0.0, 7.0], 1.0), "30 voxels with labels lie outside"),
        (part([6, 5, 3], [0.0, 0.0, -1.0], 1.0), "30 voxels with labels lie outside"),
        (part([6, 5, 3], [0.0, 0.0, 2.0], 1.4), "are not voxels of the first"),
        (part([6, 5, 3], [0.0, 0.0, 2.0], 0.3), "are not voxels of the first"),
    ] {
        let error = place(part).map(|_| ()).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
    let (a, b) = (part([6, 5, 2], [0.0, 0.0, 1.0], 1.0), part([6, 5, 2], [0.0, 0.0, 4.0], 2.0));
    let joint = a.joint_grid(&b, ["a", "b"]).expect("of one scan");
    assert_eq!((joint.dims, joint.affine.origin()), ([6, 5, 6], [5.0, 6.0, 9.0]));
    assert_eq!(b.joint_grid(&a, ["b", "a"]).expect("of one scan"), joint);
    assert!(part([6, 5, 2], [1.0, 0.0, 0.0], 1.0).joint_grid(&a, ["c", "a"]).is_ok_and(|g| g.dims[0] == 7));
}

/// A series of 13 x 7 x 5 voxels, whose bits end within a byte.
fn scan() -> (Volume, Vec<Vec<u8>>) {
    let affine = Affine::from_rows([[0.7, 0.0, 0.0, -3.0], [0.0, 1.5, 0.0, 4.0], [0.0, 0.0, 2.5, 1.0]]);
    let dims = [13, 7, 5];
    let data = (0..dims.iter().product()).map(|i: usize| (i % 90) as f32).collect();
    let volume = Volume::new(data, 1, dims, affine).expect("a volume");
    let files = series(&volume, "1.2.840.99999.8", "made");
    (volume, files)
}

fn source(files: &[Vec<u8>]) -> SourceSeries {
    read(&InMemory { files, names: &[] }, &ReadOptions::default()).expect("a series").remove(0).source
}

fn options(source: &SourceSeries, kind: SegKind) -> SegOptions<'_> {
    SegOptions {
        kind,
        source,
        all_frames: false,
        algorithm: "made up",
        version: "1.2",
        notice: "Research use only.",
        moment: "2026-11-29T23:10:11Z",
    }
}

fn name(value: u16, name: &str) -> LabelName {
    let codes = LabelCodes {
        category: Code::sct("123037004", "Anatomical Structure"),
        kind: Code::sct("64033007", "Kidney"),
        modifier: Some(Code::sct("7771000", "Left")),
        region: None,
    };
    LabelName { value, name: name.into(), color: [200, 80, 60], codes: (value == 1).then(|| Box::new(codes)) }
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn what_is_written_reads_back_in_place() {
    let (volume, files) = scan();
    let source = source(&files);
    // On the scan's own grid, which runs the other way along two axes.
    let data: Vec<u16> = map(volume.dims, |x, y, z| match (x, y, z) {
        (..=3, 1.., 1 | 2) => 1,
        (5, 0, 4) => 4,
        (6.., ..3, 2) => 4,
        _ => 0,
    })
    .into_iter()
    .map(|v| v as u16)
    .collect();
    let labels_map = LabelMap::new(data.clone(), volume.dims, volume.affine).expect("labels");
    let names = [name(1, "left kidney"), name(2, "absent"), name(4, "tumor \\ Tumör")];
    for kind in [SegKind::Binary, SegKind::LabelMap] {
        for all_frames in [false, true] {
            let mut bytes = Vec::new();
            let options = SegOptions { all_frames, ..options(&source, kind) };
            let numbers = write_labels(&mut bytes, &labels_map, &names, &options).expect("written");
            let numbers: Vec<u16> = numbers.into_iter().map(|(number, _)| number).collect();
            let last = if kind == SegKind::Binary { 3 } else { 4 };
            assert_eq!(numbers, [1, 2, last]);
            let read = labels("out.dcm", bytes.clone()).expect("read");
            assert_eq!(read.warnings, Vec::<String>::new());
            // Slices 1, 2 and 4 have voxels.
            assert_eq!(read.labels.dims[2], if all_frames { 5 } else { 4 });
            let (placed, told) = read.on_grid(&volume.grid(), ["scan", "labels"]).expect("one grid");
            let want: Vec<u32> = data.iter().map(|v| if *v == 4 { last.into() } else { u32::from(*v) }).collect();
            assert_eq!((placed.data, told), (want, None), "{kind:?} {all_frames}");
            assert!(bytes.len() % 2 == 0 && bytes[128..132] == *b"DICM");
            for text in [
                "Secret^Name",
                "SECRET-ID",
                "1.2.840.99999.7",
                "1.2.840.99999.8.4",
                "64033007",
                "7771000",
                "made up",
                "20261129",
                "231011",
                "AUTOMATIC",
                "Research use only.",
                "tumor / Tumör",
                "85756007",
                "ISO_IR 192",
            ] {
                assert!(has(&bytes, text), "{text}");
            }
            let empty = has(&bytes, "1.2.840.99999.8.0");
            assert!(empty, "all images of the series are referred to");
        }
    }
    // Another grid is refused.
    let other = LabelMap::new(data, volume.dims, Affine::IDENTITY).expect("labels");
    let error = write_labels(Vec::new(), &other, &names, &options(&source, SegKind::Binary)).map(|_| ());
    assert!(matches!(error, Err(VolumeError::Grids { .. })), "{error:?}");
}

#[test]
fn wide_labels_empty_maps_and_unnamed_values_are_written() {
    let (volume, files) = scan();
    let source = source(&files);
    let of = |value: u16| {
        let data = map(volume.dims, |x, y, z| u32::from((x, y, z) == (3, 3, 3)) * u32::from(value));
        LabelMap::new(data.into_iter().map(|v| v as u16).collect(), volume.dims, volume.affine).expect("labels")
    };
    for (value, kind, read_as) in [
        (300, SegKind::LabelMap, 300),
        (65_535, SegKind::LabelMap, 65_535),
        (300, SegKind::Binary, 2),
        (0, SegKind::Binary, 0),
        (0, SegKind::LabelMap, 0),
    ] {
        let mut bytes = Vec::new();
        write_labels(&mut bytes, &of(value), &[name(1, "one")], &options(&source, kind)).expect("written");
        let read = labels("out.dcm", bytes).expect("read");
        assert_eq!(read.labels.dims[2], 1, "a single frame");
        let (placed, _) = read.on_grid(&volume.grid(), ["scan", "labels"]).expect("one grid");
        assert_eq!(placed.data.iter().copied().max(), Some(read_as), "{value} {kind:?}");
        assert_eq!(placed.data.iter().filter(|v| **v != 0).count(), usize::from(value != 0));
    }
}

#[test]
fn what_comes_of_a_series_names_its_images_and_nobody() {
    let (volume, files) = scan();
    let record = {
        let inputs = files.iter().enumerate().map(|(i, f)| InputFile::in_memory(format!("{i}.dcm"), f.clone()));
        let study = unetr_wgpu::volume::StudyFiles::dropped(inputs.collect()).expect("files");
        study.read(&StudyOptions::default()).expect("a study").files.remove(0)
    };
    let json = serde_json::to_value(&record).expect("JSON");
    let uids: Vec<String> = (0..volume.dims[2]).map(|z| format!("1.2.840.99999.8.{z}")).collect();
    assert_eq!(json["dicom"]["study_instance_uid"], "1.2.840.99999.7");
    assert_eq!(json["dicom"]["series_instance_uid"], "1.2.840.99999.8");
    assert_eq!(json["dicom"]["sop_instance_uids"], serde_json::json!(uids));
    let shown = format!("{record:?}{json}");
    assert!(!shown.contains("Secret") && !shown.contains("SECRET"), "{shown}");
}

#[test]
fn damaged_segmentations_are_refused() {
    let bytes = std::fs::read(repository("tests/golden/dicom/seg_binary.dcm")).expect("the file");
    for cut in [600, 2000, bytes.len() - 40] {
        let error = labels("cut", bytes[..cut].to_vec()).map(|_| ()).expect_err("cut").to_string();
        assert!(error.contains("cut short") || error.contains("no DICOM image"), "{cut}: {error}");
    }
    let frame = |z: f64, segment: u16| {
        let place = Dicom::default().text(0x0020_0032, "DS", &format!("0\\0\\{z}"));
        let number = Dicom::default().short(0x0062_000b, segment);
        Dicom::default().set(0x0020_9113, "SQ", Value::Items(vec![place])).set(
            0x0062_000a,
            "SQ",
            Value::Items(vec![number]),
        )
    };
    let made = |kind: &str, heights: &[f64], segment: u16| {
        let frames = heights.iter().map(|z| frame(*z, segment)).collect();
        slice(Encoding::Explicit, 0)
            .without(0x0020_0032)
            .text(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.66.4")
            .text(0x0062_0001, "CS", kind)
            .text(0x0028_0008, "IS", &heights.len().to_string())
            .short(0x0028_0100, 8)
            .short(0x0028_0101, 8)
            .short(0x0028_0102, 7)
            .short(0x0028_0103, 0)
            .set(0x5200_9230, "SQ", Value::Items(frames))
            .set(0x7fe0_0010, "OB", Value::Bytes(vec![1; 15 * heights.len() + heights.len() % 2]))
            .file(Encoding::Explicit, false)
    };
    let read = labels("made", made("BINARY", &[0.0, 4.0, 6.0], 3)).expect("sound");
    assert_eq!((read.labels.dims, read.labels.data[..4].to_vec()), ([5, 3, 4], vec![3, 0, 3, 3]));
    for (file, words) in [
        (made("SURFACE", &[0.0], 1), "Segmentation Type (0062,0001): it is \"SURFACE\""),
        (made("FRACTIONAL", &[0.0], 1), "Maximum Fractional Value"),
        (made("BINARY", &[0.0, 1.0], 0), "Referenced Segment Number"),
        (made("BINARY", &[0.0, 1.0, 1.37, 9.21], 1), "whole multiples"),
        (made("BINARY", &[0.0, 1.0, 90_000.0], 1), "more than any scan has"),
    ] {
        let error = labels("made", file).map(|_| ()).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
}

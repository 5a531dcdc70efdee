//! DICOM series as volumes: against pydicom and SimpleITK on real files, against the equations on made ones; what is
//! refused and in which words; and the command line from a folder to labels.

use std::path::PathBuf;

use crate::support::dicom_file::{Dicom, Encoding, SIZE, Value, enhanced, slice, stored};
use crate::support::run::{Folder, labels, on_device, part, repository, text, volume};
use crate::support::{data, dicom_file};
use unetr_wgpu::volume::dicom::{InMemory, ReadOptions, Series, is_dicom, read, read_paths};
use unetr_wgpu::volume::nifti::{self, WriteOptions};
use unetr_wgpu::volume::steps::Orient;
use unetr_wgpu::volume::{Affine, Preprocess, VolumeError};

/// One series of these files or folders.
fn one(paths: &[PathBuf]) -> Series {
    let mut all = read_paths(paths, &ReadOptions::default()).unwrap_or_else(|e| panic!("{paths:?}: {e}"));
    assert_eq!(all.len(), 1, "{paths:?}");
    all.remove(0)
}

/// A slice in a transfer syntax, made by `tests/tools/dicom_slices.py`.
fn packed(name: &str) -> Series {
    one(&[repository(&format!("tests/golden/dicom/{name}.dcm"))])
}

pub fn from(files: &[Vec<u8>]) -> Result<Vec<Series>, VolumeError> {
    let names: Vec<String> = (0..files.len()).map(|i| format!("{i}.dcm")).collect();
    read(&InMemory { files, names: &names }, &ReadOptions::default())
}

/// Tells elements apart by place, so that a transposed or mirrored volume differs.
fn weighted(values: impl Iterator<Item = f32>) -> f64 {
    values.enumerate().map(|(i, v)| f64::from(v) * (i % 251) as f64).sum()
}

/// Figures of pydicom 3.0.2 (voxels) and SimpleITK 2.5.7 (affine, LPS turned to RAS).
#[test]
fn real_series_are_what_pydicom_and_simpleitk_say() {
    let at =
        |s: &Series, x: usize, y: usize, z: usize| s.volume.data[(x * s.volume.dims[1] + y) * s.volume.dims[2] + z];

    let Some(hippocampus) = data::real("hippocampus-dicom/series1") else { return };
    let s = one(&[hippocampus]);
    assert_eq!(s.volume.dims, [35, 51, 32]);
    assert_eq!(s.volume.affine, Affine::from_rows([[-1., 0., 0., 0.], [0., -1., 0., 0.], [0., 0., 1., 1.]]));
    assert_eq!(s.volume.data.iter().map(|&v| f64::from(v)).sum::<f64>(), 3_346_681.0);
    assert_eq!(weighted(s.volume.data.iter().copied()), 418_488_257.0);
    let ends = [0, 34].map(|x| [0, 50].map(|y| [0, 31].map(|z| at(&s, x, y, z))));
    assert_eq!(ends, [[[78., 48.], [55., 68.]], [[33., 56.], [87., 100.]]]);
    assert_eq!(s.warnings, Vec::<String>::new());
    assert_eq!(s.files.len(), 32);
    // sha256sum *.dcm | cut -c1-64 | sort | sha256sum
    assert_eq!(s.sha256, "7d8bc3b52afc87d62eafaf17d145fc5815b99d617cde6a82cef6d9c173de70f8");

    let Some(rotated) = data::real("dicom-misc/mr_rotated_series") else { return };
    let s = one(&[5, 6, 7, 8, 9].map(|n| rotated.join(format!("IMG{n:04}.dcm"))));
    assert_eq!(s.volume.dims, [88, 128, 5]);
    let affine = Affine::from_rows([[2., 0., 0., -82.1807], [0., 2., 0., -122.163], [0., 0., 2., -16.707]]);
    assert!(s.volume.affine.max_displacement(&affine, s.volume.dims) < 1e-9, "{:?}", s.volume.affine);
    assert_eq!(weighted(s.volume.data.iter().copied()), 1_025_193_621.0);
    assert_eq!([at(&s, 44, 64, 0), at(&s, 44, 64, 4), at(&s, 87, 0, 0), at(&s, 0, 127, 4)], [100.0, 245.0, 2.0, 0.0]);
}

/// pydicom's figures are those of the files' pixels, rows first.
#[test]
fn one_slice_is_the_same_in_every_transfer_syntax() {
    let text = std::fs::read(repository("tests/golden/dicom/readings.json")).expect("the readings");
    let readings: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let names = ["explicit", "implicit", "big_endian", "padded", "rle", "jpeg_2000", "jpeg_2000_signed"];
    for name in names.into_iter().chain(["jpeg_ls", "jpeg_ls_near_3", "jpeg_lossless", "jpeg_8_bits"]) {
        let s = packed(name);
        assert_eq!(s.volume.dims, [64, 64, 1]);
        let values: Vec<f32> = (0..4096).map(|i| s.volume.data[i % 64 * 64 + i / 64]).collect();
        let number = |v: &serde_json::Value| v.as_f64().expect("a number");
        let want = &readings[name];
        let corners = [0, 63, 4032, 4095].map(|i| f64::from(values[i]));
        let sum = values.iter().map(|&v| f64::from(v)).sum::<f64>();
        // Lossy JPEG is rounded differently, by one at most.
        let slack = if name == "jpeg_8_bits" { 1.0 } else { 0.0 };
        assert!((sum - number(&want["sum"])).abs() <= slack * 409.6, "{name}: {sum}");
        for (at, corner) in corners.iter().enumerate() {
            assert!((corner - number(&want["corners"][at])).abs() <= slack, "{name}: {corners:?}");
        }
        if slack == 0.0 {
            assert_eq!(weighted(values.iter().copied()), number(&want["weighted"]), "{name}");
        }
        let affine = Affine::from_rows([[-2., 0., 0., 62.5], [0., -2., 0., 45.5], [0., 0., 2., 19.5]]);
        assert!(s.volume.affine.max_displacement(&affine, s.volume.dims) < 1e-9, "{name}: {:?}", s.volume.affine);
        assert!(s.warnings.iter().any(|w| w.contains("single slice")), "{name}: {:?}", s.warnings);
    }
}

pub fn expect_made(series: &Series, count: usize) {
    let [nx, ny] = SIZE;
    assert_eq!(series.volume.dims, [nx, ny, count]);
    let affine = Affine::from_rows([[-0.5, 0., 0., -10.], [0., -2., 0., 20.], [0., 0., 3., 0.]]);
    assert_eq!(series.volume.affine, affine);
    for (i, &v) in series.volume.data.iter().enumerate() {
        let (x, y, z) = (i / (ny * count), i / count % ny, i % count);
        assert_eq!(v, f32::from(stored(x, y, z)) * (z + 1) as f32 - 1024.0, "({x}, {y}, {z})");
    }
}

#[test]
fn slices_sort_by_place_and_scale_by_their_own_numbers_in_every_encoding() {
    for encoding in [Encoding::Explicit, Encoding::Implicit, Encoding::Big] {
        let files: Vec<Vec<u8>> = [2, 0, 3, 1].map(|z| slice(encoding, z).file(encoding, false)).into();
        let all = from(&files).expect("a series");
        expect_made(&all[0], 4);
        assert_eq!(all[0].files, [1, 3, 0, 2]);
        for loose in [false, true] {
            let file = enhanced(encoding, 4).file(encoding, loose);
            expect_made(&from(&[file]).expect("an enhanced file")[0], 4);
        }
        // Neither preamble nor header of the file.
        let bare = |z| {
            let mut bytes = Vec::new();
            slice(encoding, z).write(&mut bytes, encoding, false);
            bytes
        };
        let files: Vec<Vec<u8>> = (0..2).map(bare).collect();
        assert!(files.iter().all(|f| is_dicom(f)));
        expect_made(&from(&files).expect("a series without headers")[0], 2);
    }
}

#[test]
fn orientation_tilt_and_bits_are_followed_exactly() {
    let e = Encoding::Explicit;
    // Sagittal: columns to the back, rows down, so that the normal points to the patient's right.
    let sagittal = |z: usize| {
        slice(e, z)
            .text(0x0020_0037, "DS", "0\\1\\0\\0\\0\\-1")
            .text(0x0020_0032, "DS", &format!("{}\\-7\\40", 5 - 3 * z as i32))
            .file(e, false)
    };
    let all = from(&(0..3).map(sagittal).collect::<Vec<_>>()).expect("sagittal slices");
    let affine = Affine::from_rows([[0., 0., 3., -5.], [-0.5, 0., 0., 7.], [0., -2., 0., 40.]]);
    assert_eq!(all[0].volume.affine, affine);
    assert_eq!(all[0].volume.data[0], f32::from(stored(0, 0, 0)) - 1024.0);

    // Each slice 1 mm further back: a shear.
    let tilted = |z: usize| slice(e, z).text(0x0020_0032, "DS", &format!("10\\{}\\{}", -20 + z as i32, 3 * z));
    let all = from(&(0..4).map(|z| tilted(z).file(e, false)).collect::<Vec<_>>()).expect("tilted slices");
    let affine = Affine::from_rows([[-0.5, 0., 0., -10.], [0., -2., -1., 20.], [0., 0., 3., 0.]]);
    assert_eq!(all[0].volume.affine, affine);
    assert!(all[0].warnings[0].contains("gantry tilt of 18.4 degrees"), "{:?}", all[0].warnings);

    // Twelve bits, unsigned, with an overlay above them; and bytes.
    let words = dicom_file::words(e, (0..15).map(|i| 0x7000 | i));
    let twelve = slice(e, 0).short(0x0028_0101, 12).short(0x0028_0102, 11).short(0x0028_0103, 0);
    let one = twelve.set(0x7fe0_0010, "OW", Value::Bytes(words)).text(0x0018_0050, "DS", "3").file(e, false);
    assert_eq!(from(&[one]).expect("12 bits")[0].volume.data[1], 5.0 - 1024.0);
    for (encoding, vr) in [(Encoding::Explicit, "OB"), (Encoding::Big, "OB"), (Encoding::Big, "OW")] {
        let mut bytes: Vec<u8> = (200..216).map(|v: u16| v as u8).collect();
        if vr == "OW" && encoding == Encoding::Big {
            bytes.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
        }
        let eight = slice(encoding, 0).short(0x0028_0100, 8).short(0x0028_0101, 8).short(0x0028_0102, 7);
        let eight = eight.short(0x0028_0103, 0).text(0x0018_0050, "DS", "3").set(0x7fe0_0010, vr, Value::Bytes(bytes));
        let all = from(&[eight.file(encoding, false)]).expect("8 bits");
        assert_eq!(all[0].volume.data[..4], [200., 205., 210., 201.].map(|v: f32| v - 1024.0));
    }
}

/// Changes to a sound series of four slices, and words that the refusal must hold.
#[test]
fn what_is_no_volume_is_refused_by_name() {
    let e = Encoding::Explicit;
    let sound = || -> Vec<Dicom> { (0..4).map(|z| slice(e, z)).collect() };
    let place = |d: &Dicom, text: &str| d.clone().text(0x0020_0032, "DS", text);
    let all = |change: &dyn Fn(Dicom) -> Dicom| -> Vec<Dicom> { sound().into_iter().map(change).collect() };
    let second = |change: &dyn Fn(&Dicom) -> Dicom| {
        let mut all = sound();
        all[1] = change(&all[1]);
        all
    };
    let mut missing = sound();
    missing.remove(2);
    let mut echoes = sound();
    echoes.extend(
        sound()
            .iter()
            .enumerate()
            .map(|(z, d)| d.clone().text(0x0018_0081, "DS", "20").text(0x0008_0018, "UI", &format!("9.{z}"))),
    );
    let echoes: Vec<Dicom> =
        echoes.into_iter().enumerate().map(|(i, d)| if i < 4 { d.text(0x0018_0081, "DS", "10") } else { d }).collect();
    let mut copies = sound();
    copies.push(slice(e, 3).set(0x7fe0_0010, "OW", Value::Bytes(dicom_file::pixels(e, 2))));
    let mut two = sound();
    two.extend(sound().into_iter().map(|d| d.text(0x0020_000e, "UI", "4.5.6").text(0x0008_103e, "LO", "thick")));
    let cases: Vec<(&str, Vec<Dicom>, &[&str])> = vec![
        ("a missing slice", missing, &["1 slice(s) are missing", "3.000 mm apart", "1.dcm and 2.dcm are 6.000 mm"]),
        ("uneven", second(&|d| place(d, "10\\-20\\4")), &["not evenly spaced", "0.dcm and 1.dcm are 4.000 mm"]),
        ("echoes", echoes, &["2 acquisitions", "1: 4 image(s), Echo Time 10; 2: 4 image(s), Echo Time 20"]),
        ("copies with other pixels", copies, &["3.dcm and 4.dcm", "share one SOP Instance UID, but not their pixels"]),
        ("two series", two, &["2 series", "1.2.3 (CT, \"thin\", 4 image file(s))", "4.5.6 (CT, \"thick\""]),
        ("irregular shear", second(&|d| place(d, "10\\-18\\3")), &["1.dcm lies 2.000 mm beside", "resample"]),
        ("other orientation", second(&|d| d.clone().text(0x0020_0037, "DS", "0\\1\\0\\0\\0\\-1")), &["not parallel"]),
        ("other pixels", second(&|d| d.clone().text(0x0028_0030, "DS", "2\\0.6")), &["1.dcm of 0.6 x 2 mm"]),
        ("other size", second(&|d| d.clone().short(0x0028_0010, 2)), &["5 x 3 pixels and 1.dcm 5 x 2"]),
        ("no position", all(&|d| d.without(0x0020_0032)), &["Image Position (Patient) (0020,0032): it is missing"]),
        ("no orientation", all(&|d| d.without(0x0020_0037)), &["Image Orientation (Patient)"]),
        ("no pixel size", all(&|d| d.without(0x0028_0030)), &["Pixel Spacing"]),
        ("one slice", vec![slice(e, 0)], &["single slice without Slice Thickness", "all files"]),
        ("colour", all(&|d| d.short(0x0028_0002, 3).text(0x0028_0004, "CS", "RGB")), &["0.dcm", "colour image"]),
        ("palette", all(&|d| d.text(0x0028_0004, "CS", "PALETTE COLOR")), &["Photometric Interpretation is not"]),
        ("65 bits", all(&|d| d.short(0x0028_0100, 65)), &["Bits Allocated (0028,0100): it is 65"]),
        ("no directions", all(&|d| d.text(0x0020_0037, "DS", "1\\0\\0\\1\\0\\0")), &["unit vectors at right angles"]),
        ("not a number", all(&|d| d.text(0x0020_0032, "DS", "1\\2\\x")), &["3 finite number(s) are needed"]),
        ("infinity", all(&|d| d.text(0x0028_1053, "DS", "inf")), &["Rescale Slope", "finite"]),
        ("no number", all(&|d| d.text(0x0028_0010, "LO", "ab")), &["Rows", "1 finite number(s) are needed"]),
        ("slope 0", all(&|d| d.text(0x0028_1053, "DS", "0")), &["Rescale Slope", "all voxels equal"]),
        (
            "a table",
            all(&|d| {
                let table = Dicom::default().set(0x0028_3006, "OW", Value::Bytes(vec![0; 4]));
                d.set(0x0028_3000, "SQ", Value::Items(vec![table]))
            }),
            &["Modality LUT"],
        ),
        ("frames without places", vec![slice(e, 0).text(0x0028_0008, "IS", "4")], &["4 frames and no Per-Frame"]),
        ("frames and items", vec![enhanced(e, 4).text(0x0028_0008, "IS", "3")], &["4 items for 3 frames"]),
        ("segmentation", all(&|d| d.text(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.66.4")), &["DICOM Segmentation"]),
        (
            "structure set",
            all(&|d| d.text(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.481.3").without(0x7fe0_0010)),
            &["radiotherapy structure set", "image series"],
        ),
        ("few pixels", second(&|d| d.clone().set(0x7fe0_0010, "OW", Value::Bytes(vec![0; 28]))), &["30 bytes", "28"]),
    ];
    for (name, files, wanted) in cases {
        for encoding in [Encoding::Explicit, Encoding::Implicit] {
            // Without a representation, the text is a number.
            if name == "no number" && encoding == Encoding::Implicit {
                continue;
            }
            let files: Vec<Vec<u8>> = files.iter().map(|d| d.file(encoding, true)).collect();
            let text = from(&files).err().unwrap_or_else(|| panic!("{name}: accepted")).to_string();
            for word in wanted {
                assert!(text.contains(word), "{name}: \"{text}\" does not say \"{word}\"");
            }
            assert!(!text.to_ascii_lowercase().contains("secret"), "{name}: {text}");
        }
    }
    for (syntax, words) in [
        ("1.2.840.10008.1.2.4.92", ["JPEG 2000 Part 2", "gdcmconv --raw"]),
        ("1.2.840.10008.1.2.4.201", ["High-Throughput JPEG 2000", "dcm2niix"]),
        ("1.2.840.10008.1.2.1.99", ["Deflated", "dcmconv"]),
        ("1.2.3.4", ["1.2.3.4", "gdcmconv --raw"]),
    ] {
        let text = from(&[slice(e, 0).file_of(syntax, e, false)]).expect_err(syntax).to_string();
        assert!(words.iter().all(|w| text.contains(w)), "{syntax}: {text}");
    }
    let mut cut = std::fs::read(repository("tests/golden/dicom/explicit.dcm")).expect("a slice");
    cut.truncate(cut.len() - 2000);
    let text = from(&[cut]).expect_err("cut").to_string();
    assert!(text.contains("0.dcm") && text.contains("8192 bytes declared, 6192 present"), "{text}");
    assert!(from(&[b"a letter".to_vec()]).expect_err("a letter").to_string().contains("0.dcm is none"));
}

#[test]
fn strangers_are_left_out_with_a_warning_and_series_can_be_chosen() {
    let e = Encoding::Explicit;
    let mut files: Vec<Vec<u8>> = (0..3).map(|z| slice(e, z).file(e, false)).collect();
    let other = |d: Dicom| d.text(0x0020_000e, "UI", "4.5.6");
    files.push(b"Dear reader,".to_vec());
    files.push(other(slice(e, 0).text(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.66.4")).file(e, false));
    let all = from(&files).expect("one series of images");
    expect_made(&all[0], 3);
    let text = all[0].warnings.join("\n");
    assert!(text.contains("left out as no DICOM: 3.dcm") && text.contains("4.dcm (DICOM Segmentation)"), "{text}");

    // A series that cannot be read is not passed over for one that can.
    let syntax = "1.2.840.10008.1.2.4.201";
    files.push(slice(e, 0).text(0x0020_000e, "UI", "7.8").file_of(syntax, e, false));
    let text = from(&files).expect_err("two series").to_string();
    assert!(text.contains("2 series") && text.contains("7.8 (CT"), "{text}");

    files.truncate(3);
    files.extend((0..3).map(|z| other(slice(e, z)).file(e, false)));
    let names: Vec<String> = (0..files.len()).map(|i| format!("{i}.dcm")).collect();
    let source = InMemory { files: &files, names: &names };
    let choose = |uids: &[&str]| {
        let series = uids.iter().map(|&uid| uid.to_owned()).collect();
        read(&source, &ReadOptions { series, ..ReadOptions::default() })
    };
    let both = choose(&["4.5.6", "1.2.3"]).expect("both");
    assert_eq!(both.iter().map(|s| s.files.clone()).collect::<Vec<_>>(), [vec![3, 4, 5], vec![0, 1, 2]]);
    let text = choose(&["7"]).expect_err("no such series").to_string();
    assert!(text.contains("no series 7 here") && text.contains("1.2.3 (CT"), "{text}");
    let limited = ReadOptions { max_bytes: 100, series: vec!["1.2.3".into()], ..ReadOptions::default() };
    assert!(matches!(read(&source, &limited), Err(VolumeError::TooLarge { needed: 180, limit: 100 })));

    let inverted = (0..2).map(|z| slice(e, z).text(0x0028_0004, "CS", "MONOCHROME1").file(e, false));
    let all = from(&inverted.collect::<Vec<_>>()).expect("MONOCHROME1");
    expect_made(&all[0], 2);
    assert!(all[0].warnings[0].contains("MONOCHROME1"), "{:?}", all[0].warnings);
}

/// A frame of words as RLE of single bytes.
pub fn rle(words: &[u8]) -> Vec<u8> {
    let plane = |at: usize| words.iter().skip(at).step_by(2).flat_map(|&b| [0, b]);
    let (high, low): (Vec<u8>, Vec<u8>) = (plane(1).collect(), plane(0).collect());
    let mut out: Vec<u8> = [2, 64, 64 + high.len() as u32].iter().flat_map(|v| v.to_le_bytes()).collect();
    out.resize(64, 0);
    out.extend(high);
    out.extend(low);
    out
}

#[test]
fn fragments_are_told_apart_by_their_number_or_by_their_table() {
    let e = Encoding::Explicit;
    // The file's frames run from the last slice to the first.
    let frames: Vec<Vec<u8>> = (0..3).rev().map(|z| rle(&dicom_file::pixels(e, z))).collect();
    let file = |fragments: Vec<Vec<u8>>| {
        let packed = enhanced(e, 3).set(0x7fe0_0010, "OB", Value::Fragments(fragments));
        from(&[packed.file_of("1.2.840.10008.1.2.5", e, false)])
    };
    let whole = [vec![Vec::new()], frames.clone()].concat();
    expect_made(&file(whole).expect("a fragment each")[0], 3);
    let halves: Vec<Vec<u8>> = frames.iter().flat_map(|f| [f[..80].to_vec(), f[80..].to_vec()]).collect();
    let length = frames[0].len() as u32 + 16;
    let table: Vec<u8> = (0..3).flat_map(|i| (i * length).to_le_bytes()).collect();
    expect_made(&file([vec![table], halves.clone()].concat()).expect("two fragments each")[0], 3);
    let text = file([vec![Vec::new()], halves].concat()).expect_err("no table").to_string();
    assert!(text.contains("6 fragments of 3 frames"), "{text}");
}

#[test]
fn a_folder_is_segmented_as_its_nifti_file_is_and_names_nobody() {
    let folder = Folder::new();
    let sample = volume(&repository("models/samples/hippocampus.nii.gz"));
    let uid = "1.2.840.99999.1";
    let folder_of = |name: &str, files: Vec<Vec<u8>>| {
        let path = folder.path(name);
        std::fs::create_dir_all(&path).expect("a folder");
        // As text sorts the names the slices do not lie.
        for (i, file) in files.iter().enumerate() {
            std::fs::write(path.join(format!("{}.dcm", i + 1)), file).expect("written");
        }
        path
    };
    let slices = dicom_file::series(&sample, uid, "HippoCrop");
    let scan = folder_of("hippocampus", slices.clone());
    let model = text(&repository("models/hippocampus.safetensors"));
    let run = |scan: &str, more: &[&str]| {
        let mut arguments = vec!["segment", scan, "-m", &model];
        arguments.extend(more);
        on_device(&folder, &arguments)
    };
    let all = ["-o", "d.nii.gz", "--preview", "d.png", "--statistics", "d.csv", "--json"];
    let ran = run(&text(&scan), &all).expect(0);
    let series = one(&[scan]);
    let turned = Preprocess::new([Orient::to("RAS").into()]).apply(&series.volume);
    assert_eq!(turned.expect("turned").volume, sample);
    let mut bytes = Vec::new();
    nifti::write_volume(&mut bytes, &series.volume, &WriteOptions::default()).expect("a file");
    folder.write("scan.nii", &bytes);
    run("scan.nii", &["-o", "n.nii.gz"]).expect(0);
    let (made, same) = (labels(&folder.path("d.nii.gz")), labels(&folder.path("n.nii.gz")));
    assert!(made.grid().equals(&same.grid()) && made.affine == series.volume.affine);
    assert_eq!(made.data, same.data);
    assert!(made.counts().get(&1).is_some_and(|&n| n > 100) && made.counts().get(&2).is_some_and(|&n| n > 100));
    let input = &ran.json()["provenance"]["inputs"][0];
    assert_eq!((input["file"].as_str(), input["sha256"].as_str()), (Some("hippocampus"), Some(&*series.sha256)));
    assert_eq!(ran.json()["provenance"]["geometry"]["affine_source"], "dicom");
    for name in ["d.nii.gz", "d.csv", "d.json"] {
        let mut bytes = std::fs::read(folder.path(name)).expect("an output");
        if name.ends_with(".gz") {
            let mut plain = Vec::new();
            std::io::copy(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut plain).expect("gzip");
            bytes = plain;
        }
        let said = String::from_utf8_lossy(&bytes).into_owned() + &ran.stdout + &ran.stderr;
        // Name and number of the patient as these files have them; the record alone says of which study they are.
        for secret in ["Secret", "SECRET-ID"] {
            assert!(!said.contains(secret), "{name} has {secret}");
        }
        assert_eq!(String::from_utf8_lossy(&bytes).contains("1.2.840.99999.7"), name == "d.json", "{name}");
    }
    let other = part(&sample, [0, 0, 0], [30, 20, 3]);
    folder_of("both/hippocampus", slices);
    folder_of("both/other", dicom_file::series(&other, "1.2.840.99999.2", "other"));
    let ran = run("both", &["-o", "x.nii.gz"]).expect(1);
    assert!(ran.stderr.contains("--series UID chooses") && ran.stderr.contains("HippoCrop"), "{}", ran.stderr);
    run("both", &["-o", "s.nii.gz", "--series", uid]).expect(0);
    assert_eq!(labels(&folder.path("s.nii.gz")), made);
    let ran = run("scan.nii", &["-o", "x.nii.gz", "--series", uid]).expect(2);
    assert!(ran.stderr.contains("--series is for DICOM"), "{}", ran.stderr);
}

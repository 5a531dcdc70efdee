//! Siemens mosaics: unpacked as dcm2niix 1.0.20260724 does with files of the same elements (affines turned from its order of
//! rows to the stored one), or refused by name.

use crate::dicom::from;
use crate::support::dicom_file::{Dicom, Encoding, Value, words};
use unetr_wgpu::volume::Affine;
use unetr_wgpu::volume::dicom::{InMemory, ReadOptions, read};

const E: Encoding = Encoding::Explicit;
/// Columns and rows of a tile.
const TILE: [usize; 2] = [8, 6];

/// Siemens' own header, in the newer or the older form.
fn csa(new: bool, tags: &[(&str, Vec<String>)]) -> Vec<u8> {
    const ITEMS: u32 = 6;
    let mut out = if new { b"SV10\x04\x03\x02\x01".to_vec() } else { Vec::new() };
    let number = |out: &mut Vec<u8>, v: u32| out.extend(v.to_le_bytes());
    [tags.len() as u32, 77].iter().for_each(|v| number(&mut out, *v));
    for (name, values) in tags {
        let mut field = name.as_bytes().to_vec();
        field.resize(64, 0);
        out.extend(field);
        [1, 0, 6, ITEMS, 77].iter().for_each(|v| number(&mut out, *v));
        for i in 0..ITEMS as usize {
            let text = values.get(i).map_or_else(Vec::new, |v| [v.as_bytes(), &[0]].concat());
            let length = text.len() as u32;
            let fields = if new { [length, length, 77, length] } else { [length + ITEMS, ITEMS, 77, ITEMS] };
            fields.iter().for_each(|v| number(&mut out, *v));
            out.extend(&text);
            out.resize(out.len() + text.len().next_multiple_of(4) - text.len(), 0);
        }
    }
    out.extend([0; 4]);
    out
}

fn header(new: bool, tiles: usize, normal: [f64; 3]) -> Vec<u8> {
    let normal = normal.iter().map(|v| format!("{v:.8}")).collect();
    csa(
        new,
        &[
            ("EchoLinePosition", vec!["32".into()]),
            ("NumberOfImagesInMosaic", vec![tiles.to_string()]),
            ("SliceNormalVector", normal),
        ],
    )
}

/// Voxel (x, y) of tile `k` is `8 y + x + 100 (k + 1)`.
fn mosaic(tiles: usize, orientation: &str, number: usize) -> Dicom {
    let side = (tiles as f64).sqrt().ceil() as usize;
    let [width, height] = TILE;
    let value = |i: usize| {
        let (x, y) = (i % (side * width), i / (side * width));
        let k = y / height * side + x / width;
        if k < tiles { (width * (y % height) + x % width + 100 * (k + 1) + 1000 * (number - 1)) as i16 } else { 0 }
    };
    Dicom::default()
        .text(0x0008_0008, "CS", "ORIGINAL\\PRIMARY\\M\\ND\\NORM\\MOSAIC")
        .text(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.4")
        .text(0x0008_0018, "UI", &format!("1.2.3.{number}"))
        .text(0x0008_0060, "CS", "MR")
        .text(0x0018_0050, "DS", "3")
        .text(0x0018_0088, "DS", "3.3")
        .text(0x0020_000e, "UI", "1.2.3")
        .text(0x0020_0012, "IS", &number.to_string())
        .text(0x0020_0013, "IS", &number.to_string())
        .text(0x0020_0032, "DS", "-100\\-80\\7.5")
        .text(0x0020_0037, "DS", orientation)
        .short(0x0028_0002, 1)
        .text(0x0028_0004, "CS", "MONOCHROME2")
        .short(0x0028_0010, (side * height) as u16)
        .short(0x0028_0011, (side * width) as u16)
        .text(0x0028_0030, "DS", "2\\1.5")
        .short(0x0028_0100, 16)
        .short(0x0028_0101, 12)
        .short(0x0028_0102, 11)
        .short(0x0028_0103, 0)
        .set(0x7fe0_0010, "OW", Value::Bytes(words(E, (0..side * side * width * height).map(value))))
}

fn with_header(d: Dicom, header: Vec<u8>) -> Dicom {
    d.text(0x0029_0010, "LO", "SIEMENS CSA HEADER").set(0x0029_1010, "OB", Value::Bytes(header))
}

#[test]
fn tiles_become_slices_where_dcm2niix_has_them() {
    let axial = "1\\0\\0\\0\\1\\0";
    let half = 0.5_f64.sqrt();
    // Tiles, directions, normal in the private header, and for each axis the step of the columns, the rows and the slices
    // in RAS with the place of the first voxel. dcm2niix turns rows around: its second column is the negative.
    let cases = [
        (7, axial.to_owned(), [0., 0., 1.], [[-1.5, 0., 0., 88.], [0., -2., 0., 68.], [0., 0., 3.3, 7.5]], false),
        (7, axial.to_owned(), [0., 0., -1.], [[-1.5, 0., 0., 88.], [0., -2., 0., 68.], [0., 0., -3.3, 7.5]], true),
        (
            9,
            format!("1\\0\\0\\0\\{half}\\{half}"),
            [0., -half, half],
            [
                [-1.5, 0., 0., 88.],
                [0., -2.0 * half, 2.333_452_4, 71.514_718_6],
                [0., 2.0 * half, 2.333_452_4, 15.985_281_4],
            ],
            false,
        ),
        (
            5,
            "0\\1\\0\\0\\0\\-1".into(),
            [-1., 0., 0.],
            [[0., 0., 3.3, 100.], [-1.5, 0., 0., 68.], [0., -2., 0., -4.5]],
            false,
        ),
        (
            5,
            "0\\1\\0\\0\\0\\-1".into(),
            [1., 0., 0.],
            [[0., 0., -3.3, 100.], [-1.5, 0., 0., 68.], [0., -2., 0., -4.5]],
            true,
        ),
    ];
    for (tiles, orientation, normal, want, turned) in cases {
        for new in [true, false] {
            let file = with_header(mosaic(tiles, &orientation, 1), header(new, tiles, normal));
            let series = from(&[file.file(E, false)]).expect("a mosaic").remove(0);
            let [nx, ny] = TILE;
            assert_eq!(series.volume.dims, [nx, ny, tiles]);
            // Slices run along the cross product of rows and columns: where the header turns them, from the last tile on.
            let mut affine = Affine::from_rows(want);
            if turned {
                for row in 0..3 {
                    affine.0[row][3] += affine.0[row][2] * (tiles - 1) as f64;
                    affine.0[row][2] = 0.0 - affine.0[row][2];
                }
            }
            let off = series.volume.affine.max_displacement(&affine, series.volume.dims);
            assert!(off < 1e-5, "{orientation} {normal:?}: {off} {:?}", series.volume.affine);
            for (i, &v) in series.volume.data.iter().enumerate() {
                let (x, y, z) = (i / (ny * tiles), i / tiles % ny, i % tiles);
                let k = if turned { tiles - 1 - z } else { z };
                assert_eq!(v, (nx * y + x + 100 * (k + 1)) as f32, "({x}, {y}, {z})");
            }
            assert_eq!(series.warnings, Vec::<String>::new());
        }
    }
}

#[test]
fn the_number_of_tiles_is_taken_from_where_it_is() {
    let axial = "1\\0\\0\\0\\1\\0";
    let dims = |d: Dicom| from(&[d.file(E, false)]).map(|all| all[0].volume.dims);
    let private = |d: Dicom| d.text(0x0019_0010, "LO", "SIEMENS MR HEADER").short(0x0019_100a, 7);
    // An element of its own; the header without the word in Image Type; the header in another block.
    assert_eq!(dims(private(mosaic(7, axial, 1))).ok(), Some([8, 6, 7]));
    let unnamed = mosaic(7, axial, 1).text(0x0008_0008, "CS", "DERIVED\\PRIMARY");
    assert_eq!(dims(with_header(unnamed, header(true, 7, [0., 0., 1.]))).ok(), Some([8, 6, 7]));
    let moved = mosaic(7, axial, 1).set(0x0029_1110, "OB", Value::Bytes(header(true, 7, [0., 0., 1.])));
    assert_eq!(dims(moved).ok(), Some([8, 6, 7]));
    // Not known, not whole, without a distance: never one slice.
    for (d, words) in [
        (mosaic(7, axial, 1), "Siemens mosaic, slices as tiles of one image, and does not say of how many"),
        (private(mosaic(7, axial, 1)).short(0x0019_100a, 17), "no multiple of its tiles"),
        (private(mosaic(7, axial, 1)).without(0x0018_0050).without(0x0018_0088), "Spacing Between Slices"),
        (
            mosaic(7, axial, 1).set(0x0065_1051, "SQ", Value::Items(vec![Dicom::default().short(0x0028_0010, 1)])),
            "United Imaging",
        ),
    ] {
        let text = dims(d).expect_err(words).to_string();
        assert!(text.contains(words), "{text}");
    }
    // Headers that are cut or lie about their sizes.
    let whole = header(true, 7, [0., 0., 1.]);
    for at in 0..whole.len() {
        let _either = dims(with_header(mosaic(7, axial, 1), whole[..at].to_vec()));
        let mut bytes = whole.clone();
        bytes[at] = 0xff;
        let _either = dims(with_header(mosaic(7, axial, 1), bytes));
    }
}

#[test]
fn mosaics_in_a_row_are_moments_to_choose_from() {
    let file = |n: usize| with_header(mosaic(7, "1\\0\\0\\0\\1\\0", n), header(true, 7, [0., 0., 1.])).file(E, false);
    let files: Vec<Vec<u8>> = (1..=20).map(file).collect();
    let text = from(&files).expect_err("moments").to_string();
    assert!(text.contains("20 acquisitions") && text.contains("1: 7 image(s), Acquisition Number 1"), "{text}");
    assert!(text.contains("and so on, 20 in all"), "{text}");
    let options = ReadOptions { acquisition: vec![12], ..ReadOptions::default() };
    let series = read(&InMemory { files: &files, names: &[] }, &options).expect("one").remove(0);
    assert_eq!((series.volume.dims, series.volume.data[0]), ([8, 6, 7], 11_100.0 % 4096.0));
    assert_eq!(series.files, [11]);
}

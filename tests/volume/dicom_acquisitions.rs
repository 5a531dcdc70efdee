//! Several volumes in one series: told and chosen, never one volume of alternating slices; and volumes of which times and
//! numbers alternate, which are one.

use crate::support::data;
use crate::support::dicom_file::{Dicom, Encoding, SIZE, Value, enhanced, pixels, slice, stored};
use unetr_wgpu::volume::VolumeError;
use unetr_wgpu::volume::dicom::{InMemory, ReadOptions, Series, read, read_paths};

const E: Encoding = Encoding::Explicit;

fn read_all(files: &[Dicom], acquisition: &[usize]) -> Result<Vec<Series>, VolumeError> {
    let files: Vec<Vec<u8>> = files.iter().map(|d| d.file(E, false)).collect();
    let names: Vec<String> = (0..files.len()).map(|i| format!("{i}.dcm")).collect();
    let options = ReadOptions { acquisition: acquisition.to_vec(), ..ReadOptions::default() };
    read(&InMemory { files: &files, names: &names }, &options)
}

/// A slice that holds what slice `content` of the made series does, `height` mm up.
fn at(height: f64, content: usize) -> Dicom {
    slice(E, content).text(0x0020_0032, "DS", &format!("10\\-20\\{height}")).text(0x0028_1053, "DS", "1")
}

/// Slices of the made series that a volume holds, from the lowest.
fn contents(series: &Series) -> Vec<usize> {
    let [_, ny, nz] = series.volume.dims;
    let slices: Vec<usize> = (0..nz).map(|z| (series.volume.data[z] + 1024.0 + 50.0) as usize / 100).collect();
    for (z, &content) in slices.iter().enumerate() {
        let last = series.volume.data[((SIZE[0] - 1) * ny + ny - 1) * nz + z];
        assert_eq!(last, f32::from(stored(SIZE[0] - 1, ny - 1, content)) - 1024.0, "slice {z}");
    }
    slices
}

#[track_caller]
fn refused(files: &[Dicom], words: &[&str]) {
    let error = read_all(files, &[]).expect_err("several acquisitions");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "\"{text}\" does not say \"{word}\"");
    }
}

/// Refused as two acquisitions that differ in `words`, each of which can be chosen and holds its own slices.
#[track_caller]
fn two(name: &str, files: &[Dicom], slices: [&[usize]; 2], words: &str) {
    refused(files, &["series 1.2.3 holds 2 acquisitions where one is needed", "by its number: 1: ", words]);
    for (number, want) in slices.iter().enumerate() {
        let all = read_all(files, &[number + 1]).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(contents(&all[0]), *want, "{name}");
        assert!(all[0].warnings.iter().any(|w| w.contains(&format!("acquisition {} of 2 is taken", number + 1))));
    }
    let both = read_all(files, &[2, 1]).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(both.iter().map(contents).collect::<Vec<_>>(), [slices[1].to_vec(), slices[0].to_vec()], "{name}");
    let text = read_all(files, &[3]).expect_err("a third").to_string();
    assert!(text.contains("holds 2 acquisition(s) and no number 3: 1: "), "{name}: {text}");
}

/// What tells two acquisitions apart: an element, its two values, and the words for the first.
type Telling = (u32, &'static str, Option<&'static str>, Option<&'static str>, &'static str);

const TELLING: &[Telling] = &[
    (0x0020_0012, "IS", Some("1"), Some("2"), "Acquisition Number 1"),
    (0x0018_1060, "DS", Some("0"), Some("450"), "Trigger Time 0"),
    (0x0018_0081, "DS", Some("4.6"), Some("9.2"), "Echo Time 4.6"),
    (0x0018_0086, "IS", Some("1"), Some("2"), "Echo Number(s) 1"),
    (0x0020_0100, "IS", Some("1"), Some("2"), "Temporal Position Identifier 1"),
    (0x0008_0033, "TM", Some("115900"), Some("120000.5"), "Content Time 115900"),
    (0x0008_0033, "TM", None, Some("120000"), "Content Time absent"),
    (0x0008_0032, "TM", Some("115900"), Some("120000"), "Acquisition Time 115900"),
    (0x0008_002a, "DT", Some("20260101115900"), Some("20260101120000"), "Acquisition Time 115900"),
    (0x0008_0008, "CS", Some("ORIGINAL\\PRIMARY\\M"), Some("ORIGINAL\\PRIMARY\\P"), "Image Type ORIGINAL\\PRIMARY\\M"),
    (0x0018_1314, "DS", Some("5"), Some("26"), "Flip Angle 5"),
    (0x0018_0082, "DS", Some("100"), Some("2500"), "Inversion Time 100"),
    (0x0018_0060, "DS", Some("80"), Some("140"), "KVP 80"),
    (0x0018_1210, "SH", Some("Br40"), Some("Br64"), "Convolution Kernel Br40"),
    (0x0018_0010, "LO", None, Some("IOHEXOL"), "Contrast/Bolus Agent absent"),
    (0x0020_9241, "FD", Some("35"), Some("75"), "Nominal Percentage of Cardiac Phase 35"),
    (0x0018_9087, "FD", Some("0"), Some("1000"), "Diffusion b-value 0"),
    (0x0020_9128, "UL", Some("1"), Some("2"), "Temporal Position Index 1"),
];

fn mark(d: Dicom, tag: u32, vr: &str, value: Option<&str>) -> Dicom {
    let number = |v: &str| v.parse::<f64>().expect("a number");
    match (vr, value) {
        (_, None) => d,
        ("FD", Some(v)) => d.set(tag, vr, Value::Bytes(number(v).to_le_bytes().to_vec())),
        ("UL", Some(v)) => d.set(tag, vr, Value::Bytes((number(v) as u32).to_le_bytes().to_vec())),
        (_, Some(v)) => d.text(tag, vr, v),
    }
}

#[test]
fn acquisitions_half_a_step_apart_or_at_the_same_places_are_told_apart() {
    for &(tag, vr, first, second, words) in TELLING {
        for step in [1.5, 0.0, 1.0] {
            let mut files: Vec<Dicom> = (0..5).map(|z| mark(at(3.0 * z as f64, z), tag, vr, first)).collect();
            files.extend((0..5).map(|z| mark(at(3.0 * z as f64 + step, 10 + z), tag, vr, second)));
            two(words, &files, [&[0, 1, 2, 3, 4], &[10, 11, 12, 13, 14]], words);
            // In any order of the files.
            files.reverse();
            two(words, &files, [&[0, 1, 2, 3, 4], &[10, 11, 12, 13, 14]], words);
        }
    }
}

#[test]
fn acquisitions_of_several_values_and_of_other_lengths_are_told_apart() {
    // Two echoes of two time points: two attributes together.
    let mut files = Vec::new();
    for volume in 0..4 {
        let echo = |d: Dicom| d.text(0x0018_0081, "DS", ["5", "10"][volume % 2]);
        let time = |d: Dicom| d.text(0x0020_0100, "IS", ["1", "2"][volume / 2]);
        files.extend((0..4).map(|z| time(echo(at(3.0 * z as f64, 10 * volume + z)))));
    }
    refused(&files, &["4 acquisitions", "2: 4 image(s), Echo Time 5, Temporal Position Identifier 2"]);
    assert_eq!(contents(&read_all(&files, &[4]).expect("the last")[0]), [30, 31, 32, 33]);
    // The second is shorter, lies at a third of a step, and lacks a slice: the first can be chosen.
    let phase = |d: Dicom, n: usize| d.text(0x0020_0012, "IS", &n.to_string());
    let mut files: Vec<Dicom> = (0..8).map(|z| phase(at(3.0 * z as f64, z), 1)).collect();
    files.extend([1, 2, 4, 5].map(|z| phase(at(3.0 * z as f64 + 1.0, 10 + z), 2)));
    refused(&files, &["2 acquisitions", "1: 8 image(s), Acquisition Number 1; 2: 4 image(s), Acquisition Number 2"]);
    assert_eq!(contents(&read_all(&files, &[1]).expect("the first")[0]), [0, 1, 2, 3, 4, 5, 6, 7]);
    let text = read_all(&files, &[2]).expect_err("a hole").to_string();
    assert!(text.contains("1 slice(s) are missing"), "{text}");
    // Two stations of one table, with a gap between.
    let mut files: Vec<Dicom> = (0..5).map(|z| phase(at(3.0 * z as f64, z), 1)).collect();
    files.extend((0..6).map(|z| phase(at(50.0 + 2.0 * z as f64, 10 + z), 2)));
    two("stations", &files, [&[0, 1, 2, 3, 4], &[10, 11, 12, 13, 14, 15]], "Acquisition Number 2");
    // A localizer among the slices.
    let mut files: Vec<Dicom> = (0..5).map(|z| at(3.0 * z as f64, z)).collect();
    files.push(at(3.0, 20).text(0x0020_0037, "DS", "1\\0\\0\\0\\0\\-1").text(0x0018_0050, "DS", "5").text(
        0x0028_0030,
        "DS",
        "4\\4",
    ));
    let words = ["1: 5 image(s), axial, 5 x 3 pixels of 0.5 x 2 mm; 2: 1 image(s), coronal, 5 x 3 pixels of 4 x 4 mm"];
    refused(&files, &words);
    assert_eq!(contents(&read_all(&files, &[1]).expect("the slices")[0]), [0, 1, 2, 3, 4]);
}

#[test]
fn acquisitions_that_only_numbers_tell_apart_are_told_apart() {
    let number = |d: Dicom, n: usize| d.text(0x0020_0013, "IS", &n.to_string());
    let time = |d: Dicom, n: usize| d.text(0x0008_0033, "TM", &format!("1200{n:02}.25"));
    let slices: [&[usize]; 2] = [&[0, 1, 2, 3, 4], &[10, 11, 12, 13, 14]];
    for step in [1.5, 0.0] {
        // One volume after the other, by number and by a clock that differs from slice to slice.
        for change in [&number as &dyn Fn(Dicom, usize) -> Dicom, &time] {
            let mut files: Vec<Dicom> = (0..5).map(|z| change(at(3.0 * z as f64, z), 10 + z)).collect();
            files.extend((0..5).map(|z| change(at(3.0 * z as f64 + step, 10 + z), 40 + z)));
            two("numbers", &files, slices, " to ");
        }
    }
    // One place after the other.
    let mut files: Vec<Dicom> = (0..5).map(|z| number(at(3.0 * z as f64, z), 2 * z)).collect();
    files.extend((0..5).map(|z| number(at(3.0 * z as f64, 10 + z), 2 * z + 1)));
    two("places", &files, slices, "Instance Number");
    // Numbers in no order tell nothing.
    let mut files: Vec<Dicom> =
        [7, 2, 9, 4, 1].iter().enumerate().map(|(z, &n)| number(at(3.0 * z as f64, z), n)).collect();
    files.extend([8, 3, 0, 6, 5].iter().enumerate().map(|(z, &n)| number(at(3.0 * z as f64, 10 + z), n)));
    refused(&files, &["lie at the same place", "Instance Number is ", "split the series"]);
}

#[test]
fn volumes_acquired_in_turns_are_one() {
    let mr = |d: Dicom| d.text(0x0008_0060, "CS", "MR");
    let number = |d: Dicom, n: usize| d.text(0x0020_0013, "IS", &n.to_string());
    let turns = |z: usize| z / 2 + 4 * (z % 2);
    let whole = |files: Vec<Dicom>| {
        let all = read_all(&files, &[]).expect("one volume");
        assert_eq!(contents(&all[0]), (0..8).collect::<Vec<_>>());
        all[0].warnings.clone()
    };
    let made = |change: &dyn Fn(Dicom, usize) -> Dicom| (0..8).map(|z| change(at(3.0 * z as f64, z), z)).collect();
    // Every second slice first, each with its own time and number.
    let time = |z: usize| format!("1200{:02}.5", 3 * turns(z));
    let slices: Vec<Dicom> = made(&|d, z| number(mr(d), turns(z)).text(0x0008_0032, "TM", &time(z)));
    assert_eq!(whole(slices), Vec::<String>::new());
    // Two passes of one time each: told.
    let passes: Vec<Dicom> = made(&|d, z| mr(d).text(0x0008_0032, "TM", ["120000", "120130"][z % 2]));
    let told = whole(passes);
    assert!(told[0].contains("Acquisition Time (0008,0032) alternates between 2 values"), "{told:?}");
    // Slices excited together share a time; a tube that moves has a number for each turn; two stations meet.
    whole(made(&|d, z| mr(d).text(0x0018_1060, "DS", &(z % 4).to_string())));
    whole(made(&|d, z| d.text(0x0020_0012, "IS", &(z + 1).to_string())));
    whole(made(&|d, z| d.text(0x0020_0012, "IS", &(z / 2).to_string())));
    whole(made(&|d, z| {
        d.text(0x0020_0012, "IS", &(z / 4).to_string()).text(0x0008_0033, "TM", &format!("12{z:02}00"))
    }));
    // Echo times that differ by the rounding of single precision.
    whole(made(&|d, z| d.text(0x0018_0081, "DS", ["4.6", "4.5999999046326"][z % 2])));
}

#[test]
fn frames_of_an_enhanced_file_are_told_apart() {
    let group = |volume: usize, z: usize, inner: Dicom| {
        let place = Dicom::default().text(0x0020_0032, "DS", &format!("10\\-20\\{}", 3 * z));
        inner.set(0x0020_9113, "SQ", Value::Items(vec![place])).and(Dicom::default().set(0x0028_9145, "SQ", {
            let one = Dicom::default().text(0x0028_1052, "DS", "-1024").text(0x0028_1053, "DS", "1");
            Value::Items(vec![one.text(0x0028_1054, "LO", &format!("volume {volume}"))])
        }))
    };
    let inside = |tag: u32, item: Dicom| Dicom::default().set(tag, "SQ", Value::Items(vec![item]));
    let fd = |tag: u32, v: f64| Dicom::default().set(tag, "FD", Value::Bytes(v.to_le_bytes().to_vec()));
    let ul = |tag: u32, v: usize| Dicom::default().set(tag, "UL", Value::Bytes((v as u32).to_le_bytes().to_vec()));
    type Inner<'a> = &'a dyn Fn(usize) -> Dicom;
    let kinds: [(Inner<'_>, &str); 6] = [
        (&|v| inside(0x0018_9114, fd(0x0018_9082, 5.0 + v as f64)), "Effective Echo Time 5"),
        (&|v| inside(0x0020_9111, ul(0x0020_9128, v + 1)), "Temporal Position Index 1"),
        (&|v| inside(0x0018_9117, fd(0x0018_9087, 800.0 * v as f64)), "Diffusion b-value 0"),
        (
            &|v| {
                let axes = [[0.0_f64, 1., 0.], [1., 0., 0.]][v].iter().flat_map(|x| x.to_le_bytes()).collect();
                let direction = Dicom::default().set(0x0018_9089, "FD", Value::Bytes(axes));
                inside(0x0018_9117, inside(0x0018_9076, direction))
            },
            "Diffusion Gradient Orientation",
        ),
        (&|v| inside(0x0018_9118, fd(0x0020_9153, 40.0 * v as f64)), "Nominal Cardiac Trigger Delay Time 0"),
        (
            &|v| inside(0x0018_9226, Dicom::default().text(0x0008_9007, "CS", ["ORIGINAL\\M", "ORIGINAL\\P"][v])),
            "Frame Type ORIGINAL\\M",
        ),
    ];
    for (inner, words) in kinds {
        let frames: Vec<(usize, usize)> = (0..4).flat_map(|z| [(0, z), (1, z)]).collect();
        let file = enhanced(E, 8)
            .set(0x5200_9230, "SQ", Value::Items(frames.iter().map(|&(v, z)| group(v, z, inner(v))).collect()))
            .set(0x7fe0_0010, "OW", Value::Bytes(frames.iter().flat_map(|&(v, z)| pixels(E, 10 * v + z)).collect()));
        two(words, &[file], [&[0, 1, 2, 3], &[10, 11, 12, 13]], words);
    }
    // A file for each moment, told apart by its number alone.
    let file = |n: usize| {
        let frames: Vec<Dicom> = (0..4).map(|z| group(n, z, Dicom::default())).collect();
        enhanced(E, 4)
            .text(0x0008_0018, "UI", &format!("1.2.3.{n}"))
            .text(0x0020_0013, "IS", &(n + 1).to_string())
            .set(0x5200_9230, "SQ", Value::Items(frames))
            .set(0x7fe0_0010, "OW", Value::Bytes((0..4).flat_map(|z| pixels(E, 10 * n + z)).collect()))
    };
    two("moments", &[file(0), file(1)], [&[0, 1, 2, 3], &[10, 11, 12, 13]], "Instance Number 1");
}

/// The whole of `cases/dicom`, all of which hold the CT of `truth.nii.gz` (values as SimpleITK 2.5.7 and dcm2niix
/// 1.0.20260724 read them).
#[test]
fn the_known_cases_are_read() {
    let Some(folder) = data::known("dicom") else { return };
    let truth = unetr_wgpu::volume::nifti::read_path(&folder.join("truth.nii.gz"), &Default::default()).expect("truth");
    let one = |name: &str| {
        let mut all =
            read_paths(&[folder.join(name)], &ReadOptions::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        all.remove(0)
    };
    for name in ["enh_toprescale", "uid_letters", "sc_class", "implicit_as_explicit", "int32", "duplicates"] {
        let series = one(name);
        assert_eq!(series.volume.dims, [50, 44, 44], "{name}");
        // The files of a volume in RAS hold their rows from the other side.
        let mut far = 0.0_f32;
        for x in 0..50 {
            for y in 0..44 {
                for z in 0..44 {
                    let mm = series.volume.affine.apply([x as f64, y as f64, z as f64]);
                    let place =
                        truth.volume.affine.inverse().expect("an inverse").apply(mm).map(|v| v.round() as usize);
                    let of = |v: &unetr_wgpu::volume::Volume, [x, y, z]: [usize; 3]| {
                        v.data[(x * v.dims[1] + y) * v.dims[2] + z]
                    };
                    far = far.max((of(&series.volume, [x, y, z]) - of(&truth.volume, place)).abs());
                }
            }
        }
        assert_eq!(far, 0.0, "{name}");
    }
    assert_eq!(one("duplicates").files.len(), 44);
    assert!(
        one("duplicates").warnings[0].contains("left out as exact copies: copy_of_000.dcm (of 000.dcm) and 14 more")
    );
    let text = read_paths(&[folder.join("two_phases")], &ReadOptions::default()).expect_err("two phases").to_string();
    assert!(text.contains("holds 2 acquisitions") && text.contains("1: 22 image(s), Acquisition Number 1"), "{text}");
    for number in [1, 2] {
        let options = ReadOptions { acquisition: vec![number], ..ReadOptions::default() };
        let series = read_paths(&[folder.join("two_phases")], &options).expect("a phase").remove(0);
        assert_eq!(series.volume.dims, [50, 44, 22]);
        assert!((series.volume.affine.0[2][2] - 6.0).abs() < 1e-6);
    }
}

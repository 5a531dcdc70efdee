//! DICOM at the edge of the standard: read as pydicom 3.0.2, SimpleITK 2.5.7 or dcm2niix 1.0.20260724 read such files, which
//! were tried on files of each kind, and told where something is put right.

use crate::dicom::{expect_made, from, rle};
use crate::support::dicom_file::{Dicom, Encoding, SIZE, Value, enhanced, pixels, slice, stored, words};
use unetr_wgpu::volume::Affine;
use unetr_wgpu::volume::dicom::Series;

const E: Encoding = Encoding::Explicit;

fn files(change: impl Fn(Dicom, usize) -> Dicom) -> Vec<Vec<u8>> {
    (0..4).map(|z| change(slice(E, z), z).file(E, false)).collect()
}

#[track_caller]
fn one(files: &[Vec<u8>]) -> Series {
    let mut all = from(files).expect("a series");
    assert_eq!(all.len(), 1);
    all.remove(0)
}

#[track_caller]
fn told(series: &Series, words: &str) {
    assert!(series.warnings.iter().any(|w| w.contains(words)), "{:?} do not say \"{words}\"", series.warnings);
}

/// One item of a sequence.
fn inside(tag: u32, item: Dicom) -> Dicom {
    Dicom::default().set(tag, "SQ", Value::Items(vec![item]))
}

/// Groups of an enhanced file: what each frame has, what all share, and what the file has.
fn grouped(own: impl Fn(usize) -> Dicom, shared: Dicom, top: impl Fn(Dicom) -> Dicom) -> Series {
    let frame = |z: usize| {
        let place = Dicom::default().text(0x0020_0032, "DS", &format!("10\\-20\\{}", 3 * z));
        own(z).set(0x0020_9113, "SQ", Value::Items(vec![place]))
    };
    let file = enhanced(E, 4).set(0x5200_9229, "SQ", Value::Items(vec![shared])).set(
        0x5200_9230,
        "SQ",
        Value::Items((0..4).rev().map(frame).collect()),
    );
    one(&[top(file).file(E, true)])
}

#[test]
fn attributes_of_a_frame_are_its_own_or_shared_or_the_files() {
    let orientation = || Dicom::default().text(0x0020_0037, "DS", "1\\0\\0\\0\\1\\0");
    let spacing = || Dicom::default().text(0x0028_0030, "DS", "2\\0.5");
    let scaling =
        |slope: usize| Dicom::default().text(0x0028_1052, "DS", "-1024").text(0x0028_1053, "DS", &slope.to_string());
    let both = |a: Dicom, b: Dicom| a.and(b);
    let measures = || both(inside(0x0020_9116, orientation()), inside(0x0028_9110, spacing()));
    // Everything in the frame's own groups; or all but the scaling shared, or at the top level.
    let own = |z: usize| both(measures(), inside(0x0028_9145, scaling(z + 1)));
    expect_made(&grouped(own, Dicom::default(), |d| d), 4);
    let scaled = |z: usize| inside(0x0028_9145, scaling(z + 1));
    expect_made(&grouped(scaled, measures(), |d| d), 4);
    expect_made(&grouped(scaled, Dicom::default(), |d| d.and(orientation()).and(spacing())), 4);
    // What a frame has itself goes before what all share, and that before the file's.
    let wrong = || both(measures(), inside(0x0028_9145, scaling(9)));
    expect_made(&grouped(own, wrong(), |d| d.and(scaling(7))), 4);
    // An empty value says nothing.
    let empty = |z: usize| {
        let blank = scaling(1).text(0x0028_1052, "DS", "").text(0x0028_1053, "DS", &(z + 1).to_string());
        inside(0x0028_9145, blank)
    };
    expect_made(&grouped(empty, both(measures(), inside(0x0028_9145, scaling(9))), |d| d), 4);
    // Outside of the group that it belongs in.
    expect_made(&grouped(|z| both(measures(), scaling(z + 1)), Dicom::default(), |d| d), 4);

    let same = |series: &Series, slope: f32| {
        let [nx, ny] = SIZE;
        for (i, &v) in series.volume.data.iter().enumerate() {
            let (x, y, z) = (i / (ny * 4), i / 4 % ny, i % 4);
            assert_eq!(v, f32::from(stored(x, y, z)) * slope - if slope == 1.0 { 0.0 } else { 1024.0 }, "{nx}");
        }
    };
    // Scaling of all frames: shared, or of the file alone.
    let none = |_: usize| Dicom::default();
    same(&grouped(none, both(measures(), inside(0x0028_9145, scaling(3))), |d| d), 3.0);
    let top = grouped(none, measures(), |d| d.and(scaling(2)));
    same(&top, 2.0);
    assert_eq!(top.warnings, Vec::<String>::new());
    let without = grouped(none, measures(), |d| d);
    same(&without, 1.0);
    told(&without, "CT without Rescale Slope (0028,1053) and Rescale Intercept (0028,1052)");
    let plain = one(&files(|d, _| d.without(0x0028_1052).without(0x0028_1053)));
    same(&plain, 1.0);
    told(&plain, "may not be Hounsfield units");
    let mr = one(&files(|d, _| d.without(0x0028_1052).without(0x0028_1053).text(0x0008_0060, "CS", "MR")));
    assert_eq!(mr.warnings, Vec::<String>::new());
}

#[test]
fn identifiers_and_classes_need_not_follow_the_rules() {
    let long = "1.2.826.".repeat(12) + "anonymous patient";
    for uid in ["1.2.anon.77", "not a uid", &long] {
        let named = |d: Dicom, z: usize| d.text(0x0020_000e, "UI", uid).text(0x0008_0018, "UI", &format!("{uid}.{z}"));
        expect_made(&one(&files(named)), 4);
    }
    let capture = |d: Dicom| d.text(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.7").text(0x0008_0060, "CS", "OT");
    expect_made(&one(&files(|d, _| capture(d))), 4);
    let text = from(&files(|d, _| capture(d).without(0x0020_0037))).expect_err("no place").to_string();
    assert!(text.contains("secondary capture that does not say where it lies"), "{text}");
    // Frames of a secondary capture, and of emission tomography, whose detector holds the place of the first.
    let frames = |class: &str| {
        let data: Vec<u8> = (0..4).flat_map(|z| pixels(E, z)).collect();
        slice(E, 0)
            .text(0x0008_0016, "UI", class)
            .text(0x0008_0060, "CS", "NM")
            .text(0x0018_0088, "DS", "3")
            .text(0x0028_0008, "IS", "4")
            .text(0x0028_1052, "DS", "0")
            .set(0x7fe0_0010, "OW", Value::Bytes(data))
    };
    let emission = frames("1.2.840.10008.5.1.4.1.1.20").without(0x0020_0032).without(0x0020_0037);
    let detector = Dicom::default().text(0x0020_0032, "DS", "10\\-20\\0").text(0x0020_0037, "DS", "1\\0\\0\\0\\1\\0");
    let emission = emission.and(inside(0x0054_0022, detector));
    for file in [frames("1.2.840.10008.5.1.4.1.1.7.3"), emission] {
        let series = one(&[file.file(E, false)]);
        let affine = Affine::from_rows([[-0.5, 0., 0., -10.], [0., -2., 0., 20.], [0., 0., 3., 0.]]);
        assert_eq!((series.volume.dims, series.volume.affine), ([5, 3, 4], affine));
        assert_eq!(series.volume.data[3], f32::from(stored(0, 0, 3)));
    }
}

#[test]
fn elements_are_read_as_they_are_written_and_not_as_the_syntax_says() {
    let [explicit, implicit, big] = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"];
    for (syntax, encoding) in [
        (explicit, Encoding::Implicit),
        (implicit, Encoding::Explicit),
        (explicit, Encoding::Big),
        (implicit, Encoding::Big),
        (big, Encoding::Explicit),
        (big, Encoding::Implicit),
    ] {
        let files: Vec<Vec<u8>> = (0..4).map(|z| slice(encoding, z).file_of(syntax, encoding, false)).collect();
        expect_made(&one(&files), 4);
        for loose in [false, true] {
            expect_made(&one(&[enhanced(encoding, 4).file_of(syntax, encoding, loose)]), 4);
        }
    }
    // Representations that say nothing, or letters that are none, with lengths of four bytes and of two.
    for vr in ["UN", "OB", "OW", "OV", "ZZ"] {
        let files: Vec<Vec<u8>> = (0..4).map(|z| slice(E, z).all_as(vr).file(E, false)).collect();
        expect_made(&one(&files), 4);
        for loose in [false, true] {
            expect_made(&one(&[enhanced(E, 4).set(0x0009_1001, vr, Value::Bytes(vec![1; 6])).file(E, loose)]), 4);
        }
    }
    for vr in ["??", "  ", "\0\0", "xx"] {
        let files = files(|d, _| d.set(0x0009_1001, vr, Value::Bytes(vec![1; 6])));
        expect_made(&one(&files), 4);
    }
    // Numbers in wider and in signed forms, and as text.
    for (vr, body) in [
        ("UV", &[5, 0, 0, 0, 0, 0, 0, 0][..]),
        ("SV", &[5, 0, 0, 0, 0, 0, 0, 0]),
        ("UL", &[5, 0, 0, 0]),
        ("SL", &[5, 0, 0, 0]),
        ("SS", &[5, 0]),
        ("IS", b"5 "),
        ("FD", &5_f64.to_le_bytes()),
    ] {
        expect_made(&one(&files(|d, _| d.set(0x0028_0011, vr, Value::Bytes(body.to_vec())))), 4);
    }
    // One implicit element among explicit ones.
    let mixed = |z: usize| {
        let mut bytes = slice(E, z).file(E, false);
        let at = bytes.windows(8).position(|w| w[..6] == [0x20, 0, 0x0e, 0, b'U', b'I']).expect("the series");
        bytes.splice(at + 4..at + 8, [6, 0, 0, 0]);
        bytes
    };
    expect_made(&one(&(0..4).map(mixed).collect::<Vec<_>>()), 4);
}

#[test]
fn values_are_read_as_people_write_them() {
    let comma = |d: Dicom, z: usize| {
        d.text(0x0028_0030, "DS", "2,0\\0,5").text(0x0020_0032, "DS", &format!("10,0\\-20\\{},00", 3 * z))
    };
    expect_made(&one(&files(comma)), 4);
    expect_made(&one(&files(|d, _| d.without(0x0028_0002))), 4);
    expect_made(&one(&files(|d, _| d.without(0x0028_0002).without(0x0028_0004))), 4);
    expect_made(&one(&files(|d, _| d.without(0x0028_0101).without(0x0028_0102))), 4);
    expect_made(&one(&files(|d, _| d.text(0x0028_1052, "DS", "-1024\\-1024"))), 4);
    expect_made(&one(&files(|d, z| d.text(0x0028_1053, "DS", &format!(" +{}.0e0\0", z + 1)))), 4);
    for items in
        [vec![], vec![Dicom::default()], vec![Dicom::default().set(0x0028_3006, "OW", Value::Bytes(Vec::new()))]]
    {
        expect_made(&one(&files(|d, _| d.set(0x0028_3000, "SQ", Value::Items(items.clone())))), 4);
    }
}

/// The bits of a number in a place of `bits`, the lowest first.
fn bits_of(values: &[i64], bits: usize) -> Vec<u8> {
    let mut bytes = vec![0_u8; (values.len() * bits).div_ceil(8)];
    for (at, &value) in values.iter().enumerate() {
        for i in (0..bits).filter(|i| value >> i & 1 == 1) {
            bytes[(at * bits + i) / 8] |= 1 << ((at * bits + i) % 8);
        }
    }
    bytes
}

#[test]
fn pixels_of_any_width_are_read() {
    let count = SIZE[0] * SIZE[1];
    let bare = |encoding| slice(encoding, 0).text(0x0018_0050, "DS", "3").text(0x0028_1052, "DS", "0");
    let by_rows = |series: &Series| -> Vec<f32> {
        (0..count).map(|i| series.volume.data[i % SIZE[0] * SIZE[1] + i / SIZE[0]]).collect()
    };
    for (allocated, written, signed, low) in [
        (8, 8, false, 0_i64),
        (8, 8, true, -7),
        (16, 16, true, -30_000),
        (16, 16, false, 60_000),
        (32, 32, true, -2_000_000),
        (32, 32, false, 1 << 23),
        (64, 64, true, -70_000),
        (24, 24, true, -70_000),
        // As the standard has it, and in whole words, as some writers have it.
        (12, 12, false, 4000),
        (12, 16, false, 4000),
        (12, 12, true, -2000),
        (10, 16, true, -500),
        (20, 32, true, -500_000),
        (4, 4, false, 1),
        (4, 8, false, 1),
    ] {
        let values: Vec<i64> = (0..count as i64).map(|i| low + i).collect();
        let data = bits_of(&values, written);
        let file = bare(E)
            .short(0x0028_0100, allocated)
            .short(0x0028_0101, allocated)
            .short(0x0028_0102, allocated - 1)
            .short(0x0028_0103, signed.into());
        for vr in ["OB", "OW", "OV"] {
            let series = one(&[file.clone().set(0x7fe0_0010, vr, Value::Bytes(data.clone())).file(E, false)]);
            let mask = if signed { i64::MAX } else { (1 << allocated.min(62)) - 1 };
            let want: Vec<f32> = values.iter().map(|v| (v & mask | v & i64::MIN) as f32).collect();
            assert_eq!(by_rows(&series), want, "{allocated} bits in {written}, signed: {signed}, {vr}");
        }
    }
    // One bit a pixel.
    let values: Vec<i64> = (0..count as i64).map(|i| i % 3 % 2).collect();
    let mask = bare(E).short(0x0028_0100, 1).short(0x0028_0101, 1).short(0x0028_0102, 0).short(0x0028_0103, 0);
    let series = one(&[mask.set(0x7fe0_0010, "OB", Value::Bytes(bits_of(&values, 1))).file(E, false)]);
    assert_eq!(by_rows(&series), values.iter().map(|&v| v as f32).collect::<Vec<_>>());
    // Floating point, as parametric maps have it.
    let float: Vec<f32> = (0..count).map(|i| i as f32 * 0.37 - 2.0).collect();
    let map = bare(E).without(0x7fe0_0010).without(0x0028_0101).without(0x0028_0102).without(0x0028_0103);
    let map = map.text(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.30").short(0x0028_0100, 32);
    let single: Vec<u8> = float.iter().flat_map(|v| v.to_le_bytes()).collect();
    let double: Vec<u8> = float.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect();
    for (tag, vr, data) in [(0x7fe0_0008, "OF", single), (0x7fe0_0009, "OD", double)] {
        let series = one(&[map.clone().set(tag, vr, Value::Bytes(data)).file(E, false)]);
        assert_eq!(by_rows(&series), float);
    }
    // 32 bits, big-endian and in runs.
    let wide = |encoding: Encoding| bare(encoding).short(0x0028_0100, 32).short(0x0028_0101, 32).short(0x0028_0102, 31);
    let values: Vec<i32> = (0..count as i32).map(|i| i * 70_001 - 300_000).collect();
    let want: Vec<f32> = values.iter().map(|&v| v as f32).collect();
    let data = values.iter().flat_map(|v| v.to_be_bytes()).collect();
    let series = one(&[wide(Encoding::Big).set(0x7fe0_0010, "OW", Value::Bytes(data)).file(Encoding::Big, false)]);
    assert_eq!(by_rows(&series), want);
    let planes: Vec<Vec<u8>> = (0..4).map(|b| values.iter().flat_map(|v| [0, v.to_be_bytes()[b]]).collect()).collect();
    let mut packed: Vec<u8> = 4_u32.to_le_bytes().to_vec();
    (0..4).for_each(|b| packed.extend((64 + b * 2 * count as u32).to_le_bytes()));
    packed.resize(64, 0);
    packed.extend(planes.concat());
    let runs = wide(E).set(0x7fe0_0010, "OB", Value::Fragments(vec![Vec::new(), packed]));
    assert_eq!(by_rows(&one(&[runs.file_of("1.2.840.10008.1.2.5", E, false)])), want);
}

#[test]
fn of_exact_copies_one_is_kept_and_told() {
    let sound = || files(|d, _| d);
    let copied = |extra: Vec<Vec<u8>>| one(&[sound(), extra].concat());
    let series = copied(vec![slice(E, 1).file(E, false), slice(E, 3).file(E, false)]);
    expect_made(&series, 4);
    assert_eq!(series.files, [0, 1, 2, 3]);
    told(&series, "left out as exact copies: 4.dcm (of 1.dcm) and 1 more");
    // Sent again, with other identifiers and numbers, in another encoding, or packed.
    let again = [
        slice(E, 2).text(0x0008_0018, "UI", "9.9").text(0x0020_0013, "IS", "77").file(E, false),
        slice(Encoding::Implicit, 2).file(Encoding::Implicit, false),
        slice(E, 2).set(0x7fe0_0010, "OB", Value::Fragments(vec![Vec::new(), rle(&pixels(E, 2))])).file_of(
            "1.2.840.10008.1.2.5",
            E,
            false,
        ),
    ];
    for file in again {
        let series = copied(vec![file]);
        expect_made(&series, 4);
        told(&series, "4.dcm (of 2.dcm)");
    }
    // A whole series twice; slices that share an identifier and are none.
    let series = copied(sound());
    expect_made(&series, 4);
    expect_made(&one(&files(|d, _| d.text(0x0008_0018, "UI", "1.2.3"))), 4);
    // Frames of one file, there twice.
    let file = enhanced(E, 4).file(E, false);
    expect_made(&one(&[file.clone(), file]), 4);
}

#[test]
fn directions_that_are_off_by_less_than_half_a_degree_are_put_right() {
    let turned = |degrees: f64, length: f64| {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let text = format!("1\\0\\0\\{:.6}\\{:.6}\\0", sin * length, cos * length);
        from(&files(|d, _| d.text(0x0020_0037, "DS", &text)))
    };
    for degrees in [0.1, 0.3, 0.49, -0.3] {
        let series = turned(degrees, 1.0).expect("a series").remove(0);
        told(&series, &format!("is {:.2} degrees off", f64::abs(degrees)));
        let column = |c: usize| std::array::from_fn::<f64, 3, _>(|r| series.volume.affine.0[r][c]);
        let dot = |a: [f64; 3], b: [f64; 3]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        assert!(dot(column(0), column(1)).abs() < 1e-12 && dot(column(0), column(2)).abs() < 1e-12);
        assert!((dot(column(0), column(0)).sqrt() - 0.5).abs() < 1e-12);
        assert!((dot(column(1), column(1)).sqrt() - 2.0).abs() < 1e-12);
        // Each direction has turned by half of it.
        let half = (degrees / 2.0).to_radians().sin();
        assert!((series.volume.affine.0[1][0] - half * 0.5).abs() < 1e-6, "{:?}", series.volume.affine);
    }
    told(&turned(0.0, 0.995).expect("a series")[0], "orthonormalised");
    assert_eq!(turned(0.02, 1.0).expect("rounding")[0].warnings, Vec::<String>::new());
    let text = turned(0.6, 1.0).expect_err("too far").to_string();
    assert!(text.contains("to half a degree"), "{text}");
}

#[test]
fn a_bad_file_is_left_out_where_a_whole_volume_remains() {
    let sound = || (0..6).map(|z| slice(E, z).file(E, false)).collect::<Vec<_>>();
    let with = |extra: Vec<Vec<u8>>| from(&[sound(), extra].concat());
    // Cut among the elements, without a place, in a syntax that is not read, or cut pixels beside a sound copy.
    let cut = slice(E, 2).file(E, false)[..400].to_vec();
    let none = slice(E, 2).without(0x0020_0032).file(E, false);
    let short = slice(E, 2).set(0x7fe0_0010, "OW", Value::Bytes(vec![0; 20])).file(E, false);
    let mut torn = slice(E, 2).file(E, false);
    torn.truncate(torn.len() - 5);
    for (file, words) in
        [(cut, "cut short"), (none, "Image Position"), (short, "30 bytes declared, 20"), (torn, "cut short")]
    {
        let series = with(vec![file]).expect("a volume").remove(0);
        expect_made(&series, 6);
        told(&series, "left out as damaged; the slices that remain lie evenly: 6.dcm");
        told(&series, words);
    }
    // A colour picture and a report of the same series.
    let picture = slice(E, 2).short(0x0028_0002, 3).text(0x0028_0004, "CS", "RGB").file(E, false);
    let report =
        slice(E, 2).text(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.88.22").without(0x7fe0_0010).file(E, false);
    let series = with(vec![picture, report]).expect("a volume").remove(0);
    expect_made(&series, 6);
    told(&series, "left out as no image of a scan: 6.dcm (colour image");
    // The only image of its place, within the stack or at its end, whichever it is that is cut.
    for at in [0, 3, 5] {
        let mut files = sound();
        let length = files[at].len() - 7;
        files[at].truncate(length);
        let text = from(&files).expect_err("a hole").to_string();
        assert!(text.contains(&format!("{at}.dcm: ")) && text.contains("cannot be left out"), "{text}");
    }
    // Every second file is bad: what remains lies evenly, and is half a scan.
    let mut files = sound();
    files.iter_mut().skip(1).step_by(2).for_each(|f| f.truncate(300));
    let text = from(&files).expect_err("half of it").to_string();
    assert!(text.contains("1.dcm: ") && text.contains("slices may be missing"), "{text}");
    let text = from(&[slice(E, 0).file(E, false)[..305].to_vec()]).expect_err("nothing else").to_string();
    assert!(text.contains("0.dcm: ") && text.contains("cut short"), "{text}");
}

#[test]
fn lengths_are_not_taken_for_letters() {
    // Lengths whose bytes are capital letters must not be read as a representation.
    let long = Value::Bytes(words(Encoding::Implicit, (0..0x4142 / 2).map(|i| i as i16)));
    let files: Vec<Vec<u8>> = (0..4)
        .map(|z| slice(Encoding::Implicit, z).set(0x0009_1001, "OB", long.clone()))
        .flat_map(|d| ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"].map(|s| d.file_of(s, Encoding::Implicit, false)))
        .collect();
    // Under either syntax, so that each slice is there twice.
    expect_made(&one(&files), 4);
}

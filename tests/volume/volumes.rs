//! Reading NIfTI: real odd files, malformed files, and the rules where readers differ.

use crate::support::bad_nifti::{gzip, qform_only, sound, sound_2, with, with_extension};
use crate::support::{bad_nifti, data, golden};
use unetr_wgpu::volume::VolumeError;
use unetr_wgpu::volume::nifti::{self, AffineFrom, Endian, Form, ReadOptions, WriteOptions};

fn read(bytes: &[u8]) -> nifti::Scan {
    nifti::read(bytes, None, &ReadOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn read_as(bytes: &[u8], form: Form) -> Result<nifti::Scan, VolumeError> {
    nifti::read(bytes, None, &ReadOptions { form, ..ReadOptions::default() })
}

#[test]
fn odd_files_read_as_nibabel_reads_them() {
    let table: serde_json::Value = serde_json::from_slice(&golden::bytes("golden/nibabel-readings.json")).unwrap();
    let table = table.as_object().unwrap();
    assert_eq!(table.len(), 10);
    let Some(folder) = data::real("nifti-misc") else { return };
    for (name, reading) in table {
        let path = folder.join(name);
        let scan = nifti::read_path(&path, &ReadOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let volume = &scan.volume;
        let number = |v: &serde_json::Value| v.as_f64().expect("a number");
        let shape: Vec<usize> = reading["shape"].as_array().unwrap().iter().map(|v| number(v) as usize).collect();
        assert_eq!(shape[..3], volume.dims, "{name}");
        assert_eq!(shape.get(3).copied().unwrap_or(1), volume.channels, "{name}");
        for (n, value) in volume.affine.0.iter().flatten().take(12).enumerate() {
            let theirs = number(&reading["affine"][n]);
            assert!((value - theirs).abs() < 1e-6, "{name}: affine {value} {theirs}");
        }
        assert_eq!(reading["codes"], volume.affine.axis_codes(), "{name}");
        let odd = number(&reading["non_finite"]) as usize;
        assert_eq!(volume.non_finite(), odd, "{name}");
        assert_eq!(scan.warnings.iter().any(|w| w.contains("NaN or infinite")), odd > 0, "{name}");
        let finite = volume.data.iter().filter(|v| v.is_finite());
        let sum: f64 = finite.map(|&v| f64::from(v)).sum();
        let theirs = number(&reading["sum"]);
        assert!((sum - theirs).abs() <= 1e-6 * theirs.abs(), "{name}: sum {sum} {theirs}");
        let sizes: Vec<_> = scan.extensions.iter().map(|e| (e.code, e.data.len())).collect();
        let theirs: Vec<_> = reading["extensions"].as_array().unwrap().iter().collect();
        assert_eq!(sizes.len(), theirs.len(), "{name}");
        for ((code, size), theirs) in sizes.iter().zip(theirs) {
            assert_eq!((f64::from(*code), *size as f64), (number(&theirs[0]), number(&theirs[1])));
        }
        for sample in reading["voxels"].as_array().unwrap() {
            let index: Vec<usize> = sample[0].as_array().unwrap().iter().map(|v| number(v) as usize).collect();
            let [_, ny, nz] = volume.dims;
            let at = (index[0] * ny + index[1]) * nz + index[2];
            let got = volume.channel(index.get(3).copied().unwrap_or(0))[at];
            match sample[1].as_f64() {
                Some(theirs) => assert_eq!(got, theirs as f32, "{name} at {index:?}"),
                None => assert!(!got.is_finite(), "{name} at {index:?}"),
            }
        }
    }
}

#[test]
fn malformed_files_are_refused_by_name() {
    let files = bad_nifti::bad_nifti();
    assert!(files.len() >= 40, "{} files", files.len());
    for (name, bytes, fragment) in &files {
        let started = std::time::Instant::now();
        let refused = |message: String, from: &str| {
            assert!(message.contains(fragment), "{name} by {from}: {message}");
        };
        match nifti::read(bytes, None, &ReadOptions::default()) {
            Ok(_) => panic!("{name} is accepted"),
            Err(error) => refused(error.to_string(), "read"),
        }
        match nifti::read_labels(bytes, None, &ReadOptions::default()) {
            Ok(_) => panic!("{name} is accepted as labels"),
            Err(error) => refused(error.to_string(), "read_labels"),
        }
        let seconds = started.elapsed().as_secs_f64();
        assert!(seconds < 5.0, "{name} takes {seconds} s");
    }
}

#[test]
fn pairs_need_both_files_whole() {
    let pair = with(sound(), &[(344, b"ni1\0"), (108, &0_f32.to_le_bytes())]);
    let (head, image) = pair.split_at(352);
    let options = ReadOptions::default();
    let whole = nifti::read(head, Some(image), &options).unwrap();
    assert_eq!(whole.volume.data, read(&sound()).volume.data);
    let packed = nifti::read(&gzip(head), Some(&gzip(image)), &options).unwrap();
    assert_eq!(packed.volume, whole.volume);
    // 348 bytes without an extender are a whole header file.
    assert_eq!(nifti::read(&head[..348], Some(image), &options).unwrap().volume, whole.volume);
    assert!(matches!(nifti::read(head, None, &options), Err(VolumeError::ImageMissing)));
    let short = nifti::read(head, Some(&image[..47]), &options);
    assert!(matches!(short, Err(VolumeError::Truncated { what: "the .img file", .. })));

    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("a.hdr"), head).unwrap();
    assert!(matches!(nifti::read_path(&path("a.hdr"), &options), Err(VolumeError::ImageMissing)));
    std::fs::write(path("a.img"), image).unwrap();
    for name in ["a.hdr", "a.img"] {
        assert_eq!(nifti::read_path(&path(name), &options).unwrap().volume, whole.volume);
    }
    let error = nifti::read_path(&path("b.nii"), &options).unwrap_err().to_string();
    assert!(error.contains("b.nii"), "{error}");
}

/// The sound scan with other voxels.
fn stored(code: i16, bits: i16, big: bool, voxels: &[Vec<u8>; 24]) -> Vec<u8> {
    let mut bytes = with(sound(), &[(70, &code.to_le_bytes()), (72, &bits.to_le_bytes())])[..352].to_vec();
    if big {
        // Swap each field of the header in place: 2-byte and 4-byte numbers.
        bytes[0..4].reverse();
        (40..56).step_by(2).chain([68, 70, 72, 74, 252, 254]).for_each(|at| {
            bytes[at..at + 2].reverse();
        });
        (76..148).step_by(4).filter(|&at| at != 120).chain((256..328).step_by(4)).for_each(|at| {
            bytes[at..at + 4].reverse();
        });
        bytes[123] = 2;
    }
    for voxel in voxels {
        bytes.extend(voxel.iter().copied().rev().take(usize::from(big) * voxel.len()));
        bytes.extend(voxel.iter().copied().take(usize::from(!big) * voxel.len()));
    }
    bytes
}

#[test]
fn all_types_in_both_byte_orders() {
    type Write = fn(f64) -> Vec<u8>;
    let types: [(i16, i16, f64, f64, Write); 10] = [
        (2, 8, 0.0, 255.0, |v| (v as u8).to_le_bytes().into()),
        (256, 8, -128.0, 127.0, |v| (v as i8).to_le_bytes().into()),
        (4, 16, -32768.0, 32767.0, |v| (v as i16).to_le_bytes().into()),
        (512, 16, 0.0, 65535.0, |v| (v as u16).to_le_bytes().into()),
        (8, 32, -2147483648.0, 2147483647.0, |v| (v as i32).to_le_bytes().into()),
        (768, 32, 0.0, 4294967295.0, |v| (v as u32).to_le_bytes().into()),
        (1024, 64, -9e15, 9e15, |v| (v as i64).to_le_bytes().into()),
        (1280, 64, 0.0, 9e15, |v| (v as u64).to_le_bytes().into()),
        (16, 32, -1.5e30, 2.5e-30, |v| (v as f32).to_le_bytes().into()),
        (64, 64, -1.5e30, 2.5e-30, |v| v.to_le_bytes().into()),
    ];
    for (code, bits, low, high, write) in types {
        let values: [f64; 24] = std::array::from_fn(|n| match n {
            0 => low,
            1 => high,
            n => n as f64,
        });
        for big in [false, true] {
            let scan = read(&stored(code, bits, big, &values.map(write)));
            assert_eq!(scan.header.endian, if big { Endian::Big } else { Endian::Little });
            assert_eq!(scan.volume.affine, read(&sound()).volume.affine);
            // First axis fastest on disk, last axis fastest in memory.
            for (n, value) in values.iter().enumerate() {
                let (i, j, k) = (n % 4, n / 4 % 3, n / 12);
                let got = scan.volume.data[(i * 3 + j) * 2 + k];
                assert_eq!(got, *value as f32, "datatype {code}, voxel {n}");
            }
        }
    }
}

#[test]
fn scaling_follows_nibabel() {
    let raw = read(&sound()).volume.data;
    let slope = |a: f32, b: f32| {
        let bytes = with(sound(), &[(112, &a.to_le_bytes()), (116, &b.to_le_bytes())]);
        read(&bytes).volume.data
    };
    for none in [0.0, f32::NAN, f32::INFINITY] {
        assert_eq!(slope(none, f32::NAN), raw, "slope {none} is no scaling");
    }
    let scaled: Vec<f32> = raw.iter().map(|&v| (f64::from(v) * f64::from(0.1_f32) - 3.0) as f32).collect();
    assert_eq!(slope(0.1, -3.0), scaled);
}

#[test]
fn voxels_begin_where_the_header_says() {
    // 16 bytes of padding without the extender flag: the voxels are not at 352.
    let sound = sound();
    let mut padded = with(sound[..352].to_vec(), &[(108, &368_f32.to_le_bytes())]);
    padded.extend([0xaa; 16]);
    padded.extend(&sound[352..]);
    let scan = read(&padded);
    assert_eq!(scan.volume, read(&sound).volume);
    assert!(scan.extensions.is_empty());

    let scan = read(&with_extension(32));
    assert_eq!(scan.volume, read(&sound).volume);
    assert_eq!(scan.extensions[0].text(), Some("a comment of 24 bytes..."));
    assert_eq!(scan.extensions[0].code, nifti::COMMENT);
}

#[test]
fn gzip_is_told_by_content_and_may_have_members() {
    let sound = sound();
    let expected = read(&sound).volume;
    let mut members = gzip(&sound[..100]);
    members.extend(gzip(&[]));
    members.extend(gzip(&sound[100..390]));
    members.extend(gzip(&sound[390..]));
    assert_eq!(read(&members).volume, expected);
    members.extend([0; 512]);
    assert_eq!(read(&members).volume, expected, "zero padding is no damage");

    let mut longer = sound.clone();
    longer.extend([7; 100]);
    for bytes in [gzip(&longer), longer] {
        let scan = read(&bytes);
        assert_eq!(scan.volume, expected);
        assert!(scan.warnings.iter().any(|w| w.starts_with("100 bytes after")));
    }
    assert!(nifti::is_nifti(&members) && nifti::is_nifti(&sound) && nifti::is_nifti(&sound_2()));
    assert!(!nifti::is_nifti(b"") && !nifti::is_nifti(&[0x1f, 0x8b, 8]));
    let (header, _) = nifti::header_only(&gzip(&sound)).unwrap();
    assert_eq!(header.shape().unwrap(), ([4, 3, 2], 1));
}

#[test]
fn the_size_limit_holds() {
    let options = ReadOptions { max_bytes: 300, ..ReadOptions::default() };
    let refused = nifti::read(&sound(), None, &options);
    assert!(matches!(refused, Err(VolumeError::TooLarge { needed: 400, limit: 300 })));
}

#[test]
fn the_right_form_is_used() {
    let base = read(&sound());
    assert_eq!(base.affine_from, AffineFrom::Sform);
    assert!(base.warnings.is_empty(), "{:?}", base.warnings);

    let q = read(&qform_only());
    assert_eq!(q.affine_from, AffineFrom::Qform);
    assert_eq!(q.volume.affine.spacing(), [1.5, 2.0, 2.5]);
    assert_eq!(q.volume.affine.origin(), [0.0; 3]);

    // Neither code: nibabel's LAS with the centre at the origin, and a warning.
    let none = with(sound(), &[(254, &[0, 0])]);
    let scan = read(&none);
    assert_eq!(scan.affine_from, AffineFrom::Pixdim);
    assert_eq!(scan.volume.affine.axis_codes(), "LAS");
    assert_eq!(scan.volume.affine.origin(), [2.25, -2.0, -1.25]);
    assert!(scan.warnings[0].contains("which side is left"), "{:?}", scan.warnings);
    let strict = ReadOptions { require_orientation: true, ..ReadOptions::default() };
    assert!(matches!(nifti::read(&none, None, &strict), Err(VolumeError::SidesUnknown)));
    assert!(nifti::read(&qform_only(), None, &strict).is_ok());

    // An sform of zeros yields to a qform, and is an error without one.
    let zeros = [0u8; 48];
    let scan = read(&with(qform_only(), &[(254, &[1, 0]), (280, &zeros)]));
    assert_eq!((scan.affine_from, &scan.volume), (AffineFrom::Qform, &read(&qform_only()).volume));
    assert!(scan.warnings.iter().any(|w| w.contains("the sform is singular")), "{:?}", scan.warnings);
    assert!(read_as(&with(sound(), &[(280, &zeros)]), Form::Auto).is_err());

    // Opposed sides: refused, unless the caller decides, which is recorded.
    let opposed = with(sound(), &[(252, &[1, 0]), (76, &(-1_f32).to_le_bytes())]);
    let error = read_as(&opposed, Form::Auto).unwrap_err().to_string();
    assert!(error.contains("RAS (right-handed)") && error.contains("RAI (left-handed)"), "{error}");
    for (form, codes) in [(Form::Sform, "RAS"), (Form::Qform, "RAI"), (Form::Pixdim, "LAS")] {
        let scan = read_as(&opposed, form).unwrap();
        assert_eq!(scan.volume.affine.axis_codes(), codes);
        assert!(scan.warnings.iter().any(|w| w.contains("the caller asked")));
    }

    // A small difference is a warning; codes that differ by a turn near 45 degrees are none.
    let near = with(sound(), &[(252, &[1, 0]), (264, &0.05_f32.to_le_bytes())]);
    let scan = read(&near);
    assert!(scan.warnings[0].contains("mm apart; the sform is used"), "{:?}", scan.warnings);

    // MONAI: an sform whose spacing is not pixdim yields to a coded qform whose spacing is.
    let quirk = with(sound(), &[(252, &[1, 0]), (280, &1.8_f32.to_le_bytes())]);
    let scan = read(&quirk);
    assert_eq!(scan.affine_from, AffineFrom::Qform);
    let uncoded = with(sound(), &[(280, &1.8_f32.to_le_bytes())]);
    let scan = read(&uncoded);
    assert_eq!(scan.affine_from, AffineFrom::Sform);
    assert!(scan.warnings[0].contains("the affine is used"), "{:?}", scan.warnings);
    // An invalid qform beside a valid sform is ignored, with a warning.
    let broken = with(sound(), &[(252, &[1, 0]), (256, &2_f32.to_le_bytes())]);
    let scan = read(&broken);
    assert_eq!(scan.volume.affine, base.volume.affine);
    assert!(scan.warnings[0].starts_with("the qform is ignored"), "{:?}", scan.warnings);
}

#[test]
fn repairs_are_reported() {
    let warned = |changes: &[(usize, &[u8])], base: Vec<u8>, fragment: &str| {
        let scan = read(&with(base, changes));
        assert!(scan.warnings.iter().any(|w| w.contains(fragment)), "{:?}", scan.warnings);
        assert_eq!(scan.volume.data, read(&sound()).volume.data);
    };
    warned(&[(72, &[0, 0])], sound(), "bitpix is not set");
    warned(&[(123, &[1])], sound(), "xyzt_units says metres, which makes voxels of");
    warned(&[(123, &[5])], sound(), "not defined: mm is taken");
    warned(&[(252, &[77, 0])], sound(), "qform_code 77 is not defined");
    warned(&[(76, &0_f32.to_le_bytes())], qform_only(), "counts as 1");
    warned(&[(8, &[0; 4])], sound_2(), "line-end check is empty");
}

#[test]
fn shapes_of_fewer_and_more_axes() {
    let dims = |values: [i16; 8]| {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        read(&with(sound(), &[(40, &bytes)])).volume
    };
    // Unused sizes are ignored, whatever they hold.
    assert_eq!(dims([2, 4, 6, -9, 0, 0, 0, 0]).dims, [4, 6, 1]);
    assert_eq!(dims([1, 24, 0, 0, 0, 0, 0, 0]).dims, [24, 1, 1]);
    let four = dims([4, 4, 3, 1, 2, 1, 1, 1]);
    assert_eq!((four.dims, four.channels), ([4, 3, 1], 2));
    // The second channel follows the first on disk.
    assert_eq!((four.channel(0)[3], four.channel(1)[0]), (10.0, 120.0));
    let vector = dims([5, 4, 3, 1, 1, 2, 1, 1]);
    assert_eq!((vector.dims, vector.channels, vector.data), ([4, 3, 1], 2, four.data));
}

#[test]
fn labels_are_exact_or_refused() {
    let options = ReadOptions::default();
    let labels = nifti::read_labels(&sound(), None, &options).unwrap().labels;
    assert_eq!(labels.data[..4], [0, 120, 40, 160]);
    let float = |value: f32| {
        let voxels: [Vec<u8>; 24] = std::array::from_fn(|n| (if n == 5 { value } else { 3.0 }).to_le_bytes().into());
        nifti::read_labels(&stored(16, 32, false, &voxels), None, &options)
    };
    assert_eq!(float(65535.0).unwrap().labels.counts()[&65535], 1);
    for value in [0.5, -1.0, 65536.0, f32::NAN, f32::INFINITY] {
        match float(value).unwrap_err() {
            VolumeError::Label { x: 1, y: 1, z: 0, value: got, .. } => {
                assert!(got == f64::from(value) || value.is_nan());
            }
            other => panic!("{value}: {other}"),
        }
    }
    let four: Vec<u8> = [4_i16, 4, 3, 1, 2].iter().flat_map(|v| v.to_le_bytes()).collect();
    let refused = nifti::read_labels(&with(sound(), &[(40, &four)]), None, &options);
    assert!(refused.unwrap_err().to_string().contains("channels of a label map"));
    // Resampled masks carry rounding; more than a thousandth is no rounding.
    assert_eq!(float(3.0009).unwrap().labels.counts()[&3], 24);
    assert_eq!(float(-0.0004).unwrap().labels.counts()[&0], 1);
    assert!(float(3.002).is_err());
    let bytes: [Vec<u8>; 24] = std::array::from_fn(|n| (if n == 5 { u32::MAX } else { 70_000 }).to_le_bytes().into());
    let wide = nifti::read_labels_wide(&stored(768, 32, false, &bytes), None, &options).unwrap().labels;
    assert_eq!((wide.data[8], wide.counts()[&u32::MAX], wide.counts()[&70_000]), (u32::MAX, 1, 23));
    let narrow = wide.narrow().unwrap_err().to_string();
    assert!(narrow.contains("is 70000: labels are whole numbers from 0 to 65535"), "{narrow}");
    // A slope stored as f32 does not make labels fractional.
    let scaled = with(sound(), &[(112, &0.1_f32.to_le_bytes())]);
    assert_eq!(nifti::read_labels(&scaled, None, &options).unwrap().labels.data[1], 12);
}

#[test]
fn random_damage_never_panics() {
    let seeds = [sound(), sound_2(), qform_only(), with_extension(32), gzip(&sound())];
    let mut state = 42_u64;
    let mut random = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n as u64) as usize
    };
    let options = ReadOptions { max_bytes: 1 << 20, ..ReadOptions::default() };
    let mut accepted = 0;
    for round in 0..20_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..=random(4) {
            let at = random(bytes.len());
            bytes[at] = [0, 0xff, 0x7f, 0x80, random(256) as u8][random(5)];
        }
        if random(8) == 0 {
            bytes.truncate(random(bytes.len() + 1));
        }
        if let Ok(scan) = nifti::read(&bytes, Some(&[0; 64]), &options) {
            accepted += 1;
            let mut out = Vec::new();
            let like = WriteOptions { like: Some(&scan.header), ..Default::default() };
            nifti::write_volume(&mut out, &scan.volume, &like).unwrap();
            let back = read(&out).volume;
            assert_eq!(back.dims, scan.volume.dims);
        }
        let _ = nifti::read_labels(&bytes, None, &options);
    }
    assert!(accepted > 1000, "{accepted} of 20000 damaged files are still sound");
}

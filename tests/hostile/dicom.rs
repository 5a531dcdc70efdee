//! DICOM files cut, flipped and made to harm their reader: a result or a reason, memory bounded, no panic.

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use crate::allocator::{ALONE, HELD, PEAK};
use crate::support::dicom_file::{Dicom, Encoding, Value, enhanced, slice};
use unetr_wgpu::volume::dicom::{InMemory, ReadOptions, Series, read};
use unetr_wgpu::volume::study::LabelFiles;
use unetr_wgpu::volume::{InputFile, StudyOptions, VolumeError};

/// Bytes allocated per byte of a file: its own, words, values and the volume. A packed byte may stand for 4096 pixels.
const NATIVE: usize = 32;
const PACKED: usize = 4096 * 16;
/// What a decoder has besides.
const FIXED: usize = 2 << 20;

#[track_caller]
fn attempt(name: &str, per_byte: usize, files: &[Vec<u8>]) -> Result<Vec<Series>, VolumeError> {
    let bytes: usize = files.iter().map(Vec::len).sum();
    let before = HELD.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = read(&InMemory { files, names: &[] }, &ReadOptions::default());
    let grown = PEAK.load(Relaxed).saturating_sub(before);
    assert!(grown < FIXED + per_byte * bytes, "{name}: {grown} bytes allocated for {bytes}");
    if let Ok(all) = &result {
        assert!(all.iter().all(|s| s.volume.data.len() == s.volume.dims.iter().product::<usize>()), "{name}");
    }
    result
}

fn data(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/dicom").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Real and made files in every encoding, each readable by itself.
fn sound() -> Vec<(String, usize, Vec<u8>)> {
    let mut all: Vec<(String, usize, Vec<u8>)> = Vec::new();
    for name in ["rle", "jpeg_2000", "jpeg_ls", "jpeg_ls_near_3", "jpeg_lossless", "jpeg_8_bits"] {
        all.push((name.into(), PACKED, data(&format!("{name}.dcm"))));
    }
    for name in ["big_endian", "implicit", "padded"] {
        all.push((name.into(), NATIVE, data(&format!("{name}.dcm"))));
    }
    for encoding in [Encoding::Explicit, Encoding::Implicit, Encoding::Big] {
        all.push(("a slice".into(), NATIVE, slice(encoding, 0).text(0x0018_0050, "DS", "3").file(encoding, false)));
        for loose in [false, true] {
            all.push(("frames".into(), NATIVE, enhanced(encoding, 3).file(encoding, loose)));
        }
    }
    all
}

#[test]
fn files_cut_anywhere_are_refused() {
    let _alone = ALONE.lock();
    for (name, per_byte, file) in sound() {
        let whole = attempt(&name, per_byte, std::slice::from_ref(&file)).unwrap_or_else(|e| panic!("{name}: {e}"));
        // Every place among the elements, and some among the pixels.
        let places = (0..file.len()).filter(|&at| at < 4096 || at % 97 == 0 || at + 40 > file.len());
        for at in places {
            if let Ok(cut) = attempt(&name, per_byte, &[file[..at].to_vec()]) {
                // Only padding behind the pixels may be missing.
                assert_eq!(cut[0].volume, whole[0].volume, "{name} cut at {at}");
            }
        }
    }
}

#[test]
fn flipped_bytes_give_a_volume_or_a_reason() {
    let _alone = ALONE.lock();
    // xorshift64*
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below
    };
    for (name, per_byte, file) in sound() {
        for _ in 0..400 {
            let mut bytes = file.clone();
            for _ in 0..=random(6) {
                // Half of them among the elements.
                let at = if random(2) == 0 { 132 + random(bytes.len().min(2200) - 132) } else { random(bytes.len()) };
                bytes[at] = if random(3) == 0 { [0, 0xff, 0x80, 0x7f][random(4)] } else { random(256) as u8 };
            }
            let _either = attempt(&name, per_byte, &[bytes]);
        }
    }
}

/// What slices without frames of such small files can come to.
const GAPS: usize = 64 << 20;

#[test]
fn damaged_segmentations_give_labels_or_a_reason() {
    let _alone = ALONE.lock();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below
    };
    for name in ["seg_binary.dcm", "seg_fractional.dcm", "seg_rle.dcm", "seg_overlapping.dcm"] {
        let file = data(name);
        let cut = (140..file.len()).step_by(41).map(|at| file[..at].to_vec());
        let flipped: Vec<Vec<u8>> = (0..400)
            .map(|_| {
                let mut bytes = file.clone();
                for _ in 0..=random(6) {
                    let at = 132 + random(bytes.len() - 132);
                    bytes[at] = if random(3) == 0 { [0, 0xff, 0x80, 0x39][random(4)] } else { random(256) as u8 };
                }
                bytes
            })
            .collect();
        for bytes in cut.chain(flipped) {
            let before = HELD.load(Relaxed);
            PEAK.store(before, Relaxed);
            let files = LabelFiles::dropped(vec![InputFile::in_memory(name, bytes)]);
            let read = files.and_then(|files| files.read(&StudyOptions::default()));
            let grown = PEAK.load(Relaxed).saturating_sub(before);
            assert!(grown < FIXED + GAPS, "{name}: {grown} bytes allocated");
            if let Ok(read) = read {
                assert_eq!(read.labels.data.len(), read.labels.dims.iter().product::<usize>(), "{name}");
            }
        }
    }
}

#[test]
fn lies_about_sizes_and_depths_cost_nothing() {
    let _alone = ALONE.lock();
    let e = Encoding::Explicit;
    let one = || slice(e, 0).text(0x0018_0050, "DS", "3");
    let large = |d: Dicom| d.short(0x0028_0010, 65535).short(0x0028_0011, 65535);
    let packed = |d: Dicom, syntax: &str, bytes: Vec<u8>| {
        d.set(0x7fe0_0010, "OB", Value::Fragments(vec![Vec::new(), bytes])).file_of(syntax, e, false)
    };
    let mut rle: Vec<u8> = [2_u32, 64, 66].iter().flat_map(|v| v.to_le_bytes()).collect();
    rle.resize(68, 0);
    // A frame header of 65535 x 65535 pixels.
    let jpeg = [0xff, 0xd8, 0xff, 0xc3, 0, 11, 16, 255, 255, 255, 255, 1, 1, 0x11, 0].to_vec();
    let two = [0xff, 0xd8, 0xff, 0xc3, 0, 14, 8, 0, 3, 0, 5, 2, 1, 0x11, 0, 2, 0x11, 0].to_vec();
    let mut j2k = vec![0xff, 0x4f, 0xff, 0x51, 0, 41, 0, 0];
    j2k.extend([0xffff_u32, 0xffff, 0, 0, 1, 1, 0, 0].iter().flat_map(|v| v.to_be_bytes()));
    j2k.extend([0, 1, 15, 1, 1]);
    let nested = (0..30_000).fold(one().file(e, false), |mut bytes, _| {
        // Behind the header of the file: a sequence in a sequence, never closed.
        let open = [8, 0, 0x40, 0x11, b'S', b'Q', 0, 0, 255, 255, 255, 255, 0xfe, 0xff, 0, 0xe0, 255, 255, 255, 255];
        bytes.truncate(bytes.len().max(160));
        bytes.extend(open);
        bytes
    });
    let mut deep = one().file(e, false);
    let at = deep.windows(4).position(|w| w == [8, 0, 0x16, 0]).expect("the first element");
    deep.splice(at.., nested[nested.len() - 600_000..].iter().copied());
    let files = [
        ("large", large(one()).file(e, false)),
        ("frames", enhanced(e, 3).text(0x0028_0008, "IS", "2147483647").file(e, false)),
        ("RLE", packed(large(one()), "1.2.840.10008.1.2.5", rle.clone())),
        ("short RLE", packed(one(), "1.2.840.10008.1.2.5", rle)),
        ("empty RLE", packed(one(), "1.2.840.10008.1.2.5", Vec::new())),
        ("JPEG", packed(large(one()), "1.2.840.10008.1.2.4.70", jpeg.clone())),
        ("another size", packed(one(), "1.2.840.10008.1.2.4.70", jpeg)),
        ("two components", packed(one(), "1.2.840.10008.1.2.4.70", two)),
        ("JPEG 2000", packed(large(one()), "1.2.840.10008.1.2.4.90", j2k.clone())),
        ("another size", packed(one(), "1.2.840.10008.1.2.4.90", j2k)),
        (
            "no fragments",
            one().set(0x7fe0_0010, "OB", Value::Fragments(Vec::new())).file_of("1.2.840.10008.1.2.5", e, false),
        ),
        ("native in fragments", packed(one(), "1.2.840.10008.1.2.1", vec![0; 30])),
        ("packed in one piece", one().file_of("1.2.840.10008.1.2.5", e, false)),
        ("deep", deep),
    ];
    for (name, file) in files {
        let error = attempt(name, NATIVE, &[file]).err().unwrap_or_else(|| panic!("{name}: accepted"));
        assert!(matches!(error, VolumeError::Dicom(_)), "{name}: {error}");
    }
}

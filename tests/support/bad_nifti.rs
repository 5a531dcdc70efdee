//! Malformed NIfTI files: name, bytes, and a piece of the message that must refuse them.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};

/// A sound 4 x 3 x 2 i16 scan with an sform, NIfTI-1, little-endian.
pub fn sound() -> Vec<u8> {
    let mut bytes = vec![0_u8; 352];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &348_i32.to_le_bytes());
    for (n, d) in [3_i16, 4, 3, 2, 1, 1, 1, 1].iter().enumerate() {
        put(40 + 2 * n, &d.to_le_bytes());
    }
    put(70, &4_i16.to_le_bytes());
    put(72, &16_i16.to_le_bytes());
    for (n, size) in [1.0_f32, 1.5, 2.0, 2.5].iter().enumerate() {
        put(76 + 4 * n, &size.to_le_bytes());
    }
    put(108, &352_f32.to_le_bytes());
    put(112, &1_f32.to_le_bytes());
    put(123, &[2]);
    put(254, &1_i16.to_le_bytes());
    for (at, value) in [(280, 1.5_f32), (300, 2.0), (320, 2.5), (292, -3.0), (308, 4.0)] {
        put(at, &value.to_le_bytes());
    }
    put(344, b"n+1\0");
    bytes.extend((0..24_i16).flat_map(|v| (v * 10).to_le_bytes()));
    bytes
}

/// The same scan as NIfTI-2.
pub fn sound_2() -> Vec<u8> {
    let mut bytes = vec![0_u8; 544];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &540_i32.to_le_bytes());
    put(4, b"n+2\0\r\n\x1a\n");
    put(12, &4_i16.to_le_bytes());
    put(14, &16_i16.to_le_bytes());
    for (n, d) in [3_i64, 4, 3, 2, 1, 1, 1, 1].iter().enumerate() {
        put(16 + 8 * n, &d.to_le_bytes());
    }
    for (n, size) in [1.0_f64, 1.5, 2.0, 2.5].iter().enumerate() {
        put(104 + 8 * n, &size.to_le_bytes());
    }
    put(168, &544_i64.to_le_bytes());
    put(348, &1_i32.to_le_bytes());
    for (at, value) in [(400, 1.5_f64), (440, 2.0), (480, 2.5), (424, -3.0), (456, 4.0)] {
        put(at, &value.to_le_bytes());
    }
    bytes.extend((0..24_i16).flat_map(|v| (v * 10).to_le_bytes()));
    bytes
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(bytes).expect("memory");
    packer.finish().expect("memory")
}

/// `base` with little-endian values put at offsets.
pub fn with(mut base: Vec<u8>, changes: &[(usize, &[u8])]) -> Vec<u8> {
    for (at, value) in changes {
        base[*at..at + value.len()].copy_from_slice(value);
    }
    base
}

fn short(value: i16) -> [u8; 2] {
    value.to_le_bytes()
}

fn real(value: f32) -> [u8; 4] {
    value.to_le_bytes()
}

/// The scan with its qform alone, upright.
pub fn qform_only() -> Vec<u8> {
    with(sound(), &[(254, &short(0)), (252, &short(1))])
}

/// Empty extensions, as many as a small file can hold.
fn with_many_extensions() -> Vec<u8> {
    let mut bytes = with(sound(), &[(108, &real(352.0 + 8.0 * 4096.0)), (348, &[1])]);
    let voxels = bytes.split_off(352);
    let empty = [8_i32.to_le_bytes(), 6_i32.to_le_bytes()].concat();
    bytes.extend(empty.repeat(4096));
    bytes.extend(voxels);
    bytes
}

/// One extension of `size` bytes (as written in its head) before the voxels at byte 384.
pub fn with_extension(size: i32) -> Vec<u8> {
    let sound = sound();
    let mut bytes = with(sound[..352].to_vec(), &[(108, &real(384.0)), (348, &[1])]);
    bytes.extend(size.to_le_bytes());
    bytes.extend(6_i32.to_le_bytes());
    bytes.extend(b"a comment of 24 bytes...");
    bytes.extend(&sound[352..]);
    bytes
}

type Bad = (&'static str, Vec<u8>, &'static str);

/// All malformed files.
pub fn bad_nifti() -> Vec<Bad> {
    let mut all = identity();
    all.extend(sizes());
    all.extend(datatypes());
    all.extend(offsets());
    all.extend(scaling_and_extensions());
    all.extend(sforms());
    all.extend(qforms());
    all.extend(container());
    all
}

const TEXT: &[u8] = b"this is a text file and certainly no scan of anything, however long it gets";

/// Damaged files of other formats under NIfTI's name, which the program reads by what they hold.
pub fn other_formats() -> Vec<Bad> {
    vec![
        ("nrrd", [&b"NRRD0004\ntype: short\n"[..], TEXT].concat(), "NRRD header: line 3 is"),
        ("mgz", gzip(&[&b"\0\0\0\x01\0\0\0\x40"[..], &TEXT.repeat(8)].concat()), "MGH header: type is"),
    ]
}

fn identity() -> Vec<Bad> {
    vec![
        ("empty", Vec::new(), "it has only 0 bytes"),
        ("three bytes", vec![92, 1, 0], "it has only 3 bytes"),
        ("text", TEXT.repeat(8), "sizeof_hdr is"),
        ("png", [&b"\x89PNG\r\n\x1a\n"[..], TEXT].concat(), "it is a PNG picture"),
        ("html", [&b"<!DOCTYPE html>"[..], TEXT].concat(), "it is an HTML page"),
        ("lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n".to_vec(), "it is a Git LFS pointer"),
        ("header of 100 bytes", sound()[..100].to_vec(), "the NIfTI header is cut short"),
        ("NIfTI-2 header of 400 bytes", sound_2()[..400].to_vec(), "540 bytes declared"),
        ("sizeof_hdr 349", with(sound(), &[(0, &[0x5d, 1])]), "348 or 540 is needed"),
        ("ANALYZE, no signature", with(sound(), &[(344, &[0; 4])]), "no NIfTI signature"),
        ("signature n+9", with(sound(), &[(344, b"n+9\0")]), "no NIfTI signature"),
        ("signature of NIfTI-2 in NIfTI-1", with(sound(), &[(344, b"n+2\0")]), "no NIfTI signature"),
        ("NIfTI-2 signature n+1", with(sound_2(), &[(4, b"n+1\0")]), "no NIfTI signature"),
        ("NIfTI-2 after line-end conversion", with(sound_2(), &[(8, b"\n\n\x1a\n")]), "line ends"),
        (".hdr alone", with(sound(), &[(344, b"ni1\0")])[..352].to_vec(), "the .img file"),
    ]
}

fn sizes() -> Vec<Bad> {
    let dims = |values: [i16; 8]| -> Vec<u8> {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        with(sound(), &[(40, &bytes)])
    };
    let dims_2 = |values: [i64; 8]| -> Vec<u8> {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        with(sound_2(), &[(16, &bytes)])
    };
    let m = i16::MAX;
    vec![
        ("no dimensions", dims([0, 4, 3, 2, 1, 1, 1, 1]), "dim[0] is 0"),
        ("8 dimensions", dims([8, 4, 3, 2, 1, 1, 1, 1]), "dim[0] is 8"),
        ("-1 dimensions", dims([-1, 4, 3, 2, 1, 1, 1, 1]), "dim[0] is -1"),
        ("size 0", dims([3, 4, 0, 2, 1, 1, 1, 1]), "dim[2] is 0"),
        ("size -1", dims([3, -1, 3, 2, 1, 1, 1, 1]), "dim[1] is -1"),
        ("size -32768", dims([3, 4, 3, i16::MIN, 1, 1, 1, 1]), "dim[3] is -32768"),
        ("60 GB in 400 bytes", dims([3, 3100, 3100, 3100, 1, 1, 1, 1]), "59582000352 bytes declared"),
        ("7 axes of 32767", dims([7, m, m, m, m, m, m, m]), "only one axis beyond the third"),
        ("two channel axes", dims([5, 4, 3, 2, 2, 2, 1, 1]), "only one axis beyond the third"),
        ("2^64 voxels", dims_2([3, 1 << 32, 1 << 32, 2, 1, 1, 1, 1]), "the size overflows"),
        ("2^63 voxels", dims_2([3, 1 << 62, 1, 2, 1, 1, 1, 1]), "overflows"),
        ("2^40 voxels", dims_2([3, 1 << 20, 1 << 20, 1, 1, 1, 1, 1]), "bytes declared"),
        ("NIfTI-2 size -5", dims_2([3, 4, -5, 2, 1, 1, 1, 1]), "dim[2] is -5"),
        ("60 GB, packed", gzip(&dims([3, 3100, 3100, 3100, 1, 1, 1, 1])), "compressed bytes can hold"),
    ]
}

fn datatypes() -> Vec<Bad> {
    let datatype = |code: i16, bits: i16| with(sound(), &[(70, &short(code)), (72, &short(bits))]);
    vec![
        ("datatype 0", datatype(0, 16), "no NIfTI type has this code"),
        ("datatype 3", datatype(3, 16), "no NIfTI type has this code"),
        ("bits", datatype(1, 1), "1-bit binary voxels are not supported"),
        ("RGB", datatype(128, 24), "RGB24 voxels are not supported"),
        ("RGBA", datatype(2304, 32), "RGBA32 voxels are not supported"),
        ("complex", datatype(32, 64), "complex64 voxels are not supported"),
        ("double complex", datatype(1792, 128), "complex128 voxels are not supported"),
        ("long complex", datatype(2048, 256), "complex256 voxels are not supported"),
        ("quadruple precision", datatype(1536, 128), "float128 voxels are not supported"),
        ("i16 of 8 bits", datatype(4, 8), "bitpix is 8"),
        ("u8 of 16 bits", datatype(2, 16), "bitpix is 16"),
        ("-16 bits", datatype(4, -16), "bitpix is -16"),
    ]
}

fn offsets() -> Vec<Bad> {
    let offset = |value: f32| with(sound(), &[(108, &real(value))]);
    vec![
        ("vox_offset 0", offset(0.0), "vox_offset is 0"),
        ("vox_offset 351", offset(351.0), "cannot begin before byte 352"),
        ("vox_offset 352.5", offset(352.5), "a whole number of bytes"),
        ("vox_offset NaN", offset(f32::NAN), "vox_offset is NaN"),
        ("vox_offset infinite", offset(f32::INFINITY), "vox_offset is inf"),
        ("vox_offset -5", offset(-5.0), "vox_offset is -5"),
        ("vox_offset past the end", offset(4096.0), "the file is cut short"),
        ("vox_offset 1e30", offset(1e30), "a whole number of bytes"),
        ("NIfTI-2 vox_offset 352", with(sound_2(), &[(168, &352_i64.to_le_bytes())]), "before byte 544"),
        ("NIfTI-2 vox_offset 2^62", with(sound_2(), &[(168, &(1_i64 << 62).to_le_bytes())]), "cut short"),
    ]
}

fn scaling_and_extensions() -> Vec<Bad> {
    let slope = |a: f32, b: f32| with(sound(), &[(112, &real(a)), (116, &real(b))]);
    vec![
        ("intercept NaN", slope(2.0, f32::NAN), "scl_inter is NaN"),
        ("intercept infinite", slope(1.0, f32::INFINITY), "scl_inter is inf"),
        ("extension of 0 bytes", with_extension(0), "extension size is 0"),
        ("extension of 7 bytes", with_extension(7), "extension size is 7"),
        ("extension of -16 bytes", with_extension(-16), "extension size is -16"),
        ("extension of 1 MB", with_extension(1 << 20), "only 32 bytes are left"),
        ("extensions without end", with_many_extensions(), "more than 1024 extensions"),
        ("extension of 2 GB", with_extension(i32::MAX), "extension size is 2147483647"),
    ]
}

fn sforms() -> Vec<Bad> {
    let both_flipped = with(sound(), &[(252, &short(1)), (76, &real(-1.0))]);
    let turned = with(sound(), &[(252, &short(1)), (264, &real(std::f32::consts::FRAC_1_SQRT_2))]);
    vec![
        ("sform NaN", with(sound(), &[(280, &real(f32::NAN))]), "affine from the sform: holds NaN"),
        ("sform infinite", with(sound(), &[(292, &real(f32::INFINITY))]), "holds inf"),
        ("sform zero", with(sound(), &[(280, &[0; 48])]), "is singular"),
        ("sform flat", with(sound(), &[(320, &real(0.0))]), "is singular"),
        ("sform with equal columns", with(sound(), &[(284, &real(1.5)), (300, &real(0.0))]), "singular"),
        ("sform and qform mirrored", both_flipped, "the sides of this scan are not known"),
        ("sform and qform turned", turned, "the sides of this scan are not known"),
    ]
}

fn qforms() -> Vec<Bad> {
    let quatern = |b: f32, c: f32, d: f32| with(qform_only(), &[(256, &real(b)), (260, &real(c)), (264, &real(d))]);
    vec![
        ("quaternion too long", quatern(1.0, 0.5, 0.0), "a unit quaternion"),
        ("quaternion NaN", quatern(f32::NAN, 0.0, 0.0), "a unit quaternion"),
        ("qoffset NaN", with(qform_only(), &[(268, &real(f32::NAN))]), "affine from the qform: holds NaN"),
        ("qfac -3", with(qform_only(), &[(76, &real(-3.0))]), "qfac"),
        ("qfac NaN", with(qform_only(), &[(76, &real(f32::NAN))]), "qfac"),
        ("pixdim 0", with(qform_only(), &[(80, &real(0.0))]), "pixdim[1] is 0"),
        ("pixdim -2", with(qform_only(), &[(84, &real(-2.0))]), "pixdim[2] is -2"),
        ("pixdim NaN", with(qform_only(), &[(88, &real(f32::NAN))]), "pixdim[3] is NaN"),
        ("no codes, pixdim 0", with(sound(), &[(254, &short(0)), (80, &real(0.0))]), "pixdim[1] is 0"),
    ]
}

fn container() -> Vec<Bad> {
    let packed = gzip(&sound());
    let n = packed.len();
    let mut wrong_sum = packed.clone();
    wrong_sum[n - 8] ^= 1;
    let mut wrong_length = packed.clone();
    wrong_length[n - 4] ^= 1;
    let mut damaged = packed.clone();
    damaged[n / 2] ^= 0x10;
    let mut garbage = packed.clone();
    garbage.extend(b"garbage");
    let mut bomb = sound();
    bomb.resize(64 << 20, 0);
    let mut second_cut = packed.clone();
    second_cut.extend(&packed[..n - 3]);
    let sound = sound();
    vec![
        ("voxels missing", sound[..352].to_vec(), "400 bytes declared, 352 present"),
        ("one byte missing", sound[..sound.len() - 1].to_vec(), "399 present"),
        ("packed, one byte missing", gzip(&sound[..sound.len() - 1]), "399 present"),
        ("packed, header only", gzip(&sound[..348]), "cut short"),
        ("gzip wrong checksum", wrong_sum, "the stream is damaged"),
        ("gzip wrong length", wrong_length, "the stream is damaged"),
        ("gzip bit flip", damaged, "gzip"),
        ("gzip without trailer", packed[..n - 8].to_vec(), "the stream is cut short"),
        ("gzip with half a trailer", packed[..n - 3].to_vec(), "the stream is cut short"),
        ("gzip cut in the data", packed[..n - 20].to_vec(), "cut short"),
        ("gzip with garbage after it", garbage, "that are no gzip"),
        ("gzip with a cut second member", second_cut, "the stream is cut short"),
        ("gzip magic alone", vec![0x1f, 0x8b], "cut short"),
        ("gzip of nothing", gzip(b""), "it has only 0 bytes"),
        ("gzip bomb", gzip(&bomb), "unpacks to more than the 400 bytes"),
    ]
}

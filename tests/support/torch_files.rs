//! PyTorch checkpoints written by hand so that they can be hostile: pickles, and the zip around them.

use std::io::Write;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

/// One entry of a zip.
pub struct ZipEntry {
    pub name: String,
    pub data: Vec<u8>,
    pub deflate: bool,
    /// The uncompressed size to claim, where it is not the true one.
    pub claimed: Option<u32>,
}

impl ZipEntry {
    pub fn stored(name: &str, data: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), data: data.into(), deflate: false, claimed: None }
    }

    pub fn deflated(name: &str, data: impl Into<Vec<u8>>) -> Self {
        Self { deflate: true, ..Self::stored(name, data) }
    }
}

/// A zip of these entries.
pub fn zip(entries: &[ZipEntry]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let mut crc = Crc::new();
        crc.update(&entry.data);
        let body = if entry.deflate {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&entry.data).and_then(|()| encoder.finish()).expect("memory is writable")
        } else {
            entry.data.clone()
        };
        let method: u16 = if entry.deflate { 8 } else { 0 };
        let mut common = Vec::new();
        common.extend([20u16, 0, method, 0, 0].iter().flat_map(|field| field.to_le_bytes()));
        let size = entry.claimed.unwrap_or(entry.data.len() as u32);
        let stored = if entry.deflate { body.len() as u32 } else { size };
        common.extend([crc.sum(), stored, size].iter().flat_map(|field| field.to_le_bytes()));
        common.extend([entry.name.len() as u16, 0].iter().flat_map(|field| field.to_le_bytes()));
        let offset = file.len() as u32;
        file.extend_from_slice(b"PK\x03\x04");
        file.extend_from_slice(&common);
        file.extend_from_slice(entry.name.as_bytes());
        file.extend_from_slice(&body);
        directory.extend_from_slice(b"PK\x01\x02\x14\x00");
        directory.extend_from_slice(&common);
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&offset.to_le_bytes());
        directory.extend_from_slice(entry.name.as_bytes());
    }
    let (start, count) = (file.len() as u32, entries.len() as u16);
    file.extend_from_slice(&directory);
    file.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    file.extend([count, count].iter().flat_map(|field| field.to_le_bytes()));
    file.extend([directory.len() as u32, start].iter().flat_map(|field| field.to_le_bytes()));
    file.extend_from_slice(&[0, 0]);
    file
}

/// A checkpoint with this pickle and one storage of `values` zeros, if any.
pub fn checkpoint(pickle: &[u8], values: usize) -> Vec<u8> {
    zip(&[ZipEntry::stored("a/data.pkl", pickle), ZipEntry::stored("a/data/0", vec![0; 4 * values])])
}

/// A pickle of `body` between its first and last instruction.
pub fn pickle(body: &[u8]) -> Vec<u8> {
    [b"\x80\x02", body, b"."].concat()
}

pub fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

pub fn int(value: u32) -> Vec<u8> {
    [b"J", &value.to_le_bytes()[..]].concat()
}

pub fn tuple(values: &[u32]) -> Vec<u8> {
    let items: Vec<u8> = values.iter().flat_map(|&value| int(value)).collect();
    [b"(", &items[..], b"t"].concat()
}

/// The instructions that rebuild a tensor over the storage `0` of `values` floats.
pub fn tensor(values: u32, shape: &[u32], stride: &[u32]) -> Vec<u8> {
    let storage =
        [b"(", &text("storage")[..], b"ctorch\nFloatStorage\n", &text("0"), &text("cpu"), &int(values), b"tQ"];
    let hooks = b"\x89ccollections\nOrderedDict\n)Rt";
    let call = b"ctorch._utils\n_rebuild_tensor_v2\n(";
    [call, &storage.concat()[..], &int(0), &tuple(shape), &tuple(stride), hooks, b"R"].concat()
}

/// A pickle of a dictionary with one entry.
pub fn dictionary(key: &str, value: &[u8]) -> Vec<u8> {
    pickle(&[b"}", &text(key)[..], value, b"s"].concat())
}

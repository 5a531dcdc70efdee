//! DICOM files made element by element.
use std::collections::BTreeMap;

use unetr_wgpu::volume::Volume;

#[derive(Clone, Copy, PartialEq)]
pub enum Encoding {
    Explicit,
    Implicit,
    Big,
}

#[derive(Clone)]
pub enum Value {
    Bytes(Vec<u8>),
    Short(u16),
    Items(Vec<Dicom>),
    /// Of undefined length: a table of offsets and fragments.
    Fragments(Vec<Vec<u8>>),
}

/// A data set or an item.
#[derive(Clone, Default)]
pub struct Dicom {
    elements: BTreeMap<u32, ([u8; 2], Value)>,
}

pub const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
pub const SIZE: [usize; 2] = [5, 3];

impl Dicom {
    pub fn set(mut self, tag: u32, vr: &str, value: Value) -> Self {
        self.elements.insert(tag, (vr.as_bytes().try_into().expect("two letters"), value));
        self
    }

    pub fn text(self, tag: u32, vr: &str, text: &str) -> Self {
        let pad = if vr == "UI" { '\0' } else { ' ' };
        let mut text = text.to_owned();
        if text.len() % 2 == 1 {
            text.push(pad);
        }
        self.set(tag, vr, Value::Bytes(text.into_bytes()))
    }

    /// With the elements of another.
    pub fn and(mut self, other: Self) -> Self {
        self.elements.extend(other.elements);
        self
    }

    /// Every element under another value representation.
    pub fn all_as(mut self, vr: &str) -> Self {
        let named = vr.as_bytes().try_into().expect("two letters");
        self.elements.values_mut().filter(|(old, _)| old != b"SQ").for_each(|(old, _)| *old = named);
        self
    }

    pub fn short(self, tag: u32, value: u16) -> Self {
        self.set(tag, "US", Value::Short(value))
    }

    pub fn without(mut self, tag: u32) -> Self {
        self.elements.remove(&tag);
        self
    }

    /// A whole file. With `loose`, sequences and items have no stated length.
    pub fn file(&self, encoding: Encoding, loose: bool) -> Vec<u8> {
        let syntax = match encoding {
            Encoding::Explicit => "1.2.840.10008.1.2.1\0",
            Encoding::Implicit => "1.2.840.10008.1.2\0",
            Encoding::Big => "1.2.840.10008.1.2.2\0",
        };
        self.file_of(syntax, encoding, loose)
    }

    pub fn file_of(&self, syntax: &str, encoding: Encoding, loose: bool) -> Vec<u8> {
        let mut bytes = vec![0; 128];
        bytes.extend(b"DICM");
        let meta = Self::default().text(0x0002_0010, "UI", syntax.trim_end_matches('\0'));
        meta.write(&mut bytes, Encoding::Explicit, false);
        self.write(&mut bytes, encoding, loose);
        bytes
    }

    /// The data set alone.
    pub fn write(&self, out: &mut Vec<u8>, encoding: Encoding, loose: bool) {
        let short = |v: u16| if encoding == Encoding::Big { v.to_be_bytes() } else { v.to_le_bytes() };
        let long = |v: u32| if encoding == Encoding::Big { v.to_be_bytes() } else { v.to_le_bytes() };
        let tag = |out: &mut Vec<u8>, tag: u32| {
            out.extend(short((tag >> 16) as u16));
            out.extend(short(tag as u16));
        };
        let delimiter = |out: &mut Vec<u8>, element: u32, length: u32| {
            tag(out, 0xfffe_0000 | element);
            out.extend(long(length));
        };
        for (&id, (vr, value)) in &self.elements {
            let mut body = Vec::new();
            let mut open = false;
            match value {
                Value::Bytes(bytes) => body.extend(bytes),
                Value::Short(v) => body.extend(short(*v)),
                Value::Fragments(fragments) => {
                    open = true;
                    for fragment in fragments {
                        delimiter(&mut body, 0xe000, fragment.len() as u32);
                        body.extend(fragment);
                    }
                }
                Value::Items(items) => {
                    open = loose;
                    for item in items {
                        let mut inner = Vec::new();
                        item.write(&mut inner, encoding, loose);
                        delimiter(&mut body, 0xe000, if loose { u32::MAX } else { inner.len() as u32 });
                        body.extend(inner);
                        if loose {
                            delimiter(&mut body, 0xe00d, 0);
                        }
                    }
                }
            }
            tag(out, id);
            let length = if open { u32::MAX } else { body.len() as u32 };
            if encoding == Encoding::Implicit {
                out.extend(long(length));
            } else if matches!(vr, b"SQ" | b"OB" | b"OD" | b"OF" | b"OV" | b"OW" | b"SV" | b"UN" | b"UV" | b"ZZ") {
                out.extend(vr);
                out.extend([0, 0]);
                out.extend(long(length));
            } else {
                out.extend(vr);
                out.extend(short(length as u16));
            }
            out.extend(body);
            if open {
                delimiter(out, 0xe0dd, 0);
            }
        }
    }
}

/// Words of a frame in the encoding's order.
pub fn words(encoding: Encoding, words: impl IntoIterator<Item = i16>) -> Vec<u8> {
    let order = |w: i16| if encoding == Encoding::Big { w.to_be_bytes() } else { w.to_le_bytes() };
    words.into_iter().flat_map(order).collect()
}

/// What slice `z` holds at (x, y).
pub fn stored(x: usize, y: usize, z: usize) -> i16 {
    (100 * z + 10 * y + x) as i16 - 50
}

pub fn pixels(encoding: Encoding, z: usize) -> Vec<u8> {
    words(encoding, (0..SIZE[0] * SIZE[1]).map(|i| stored(i % SIZE[0], i / SIZE[0], z)))
}

/// An axial CT slice of 5 x 3 pixels of 0.5 x 2 mm (columns, rows), 3 mm apart.
pub fn slice(encoding: Encoding, z: usize) -> Dicom {
    Dicom::default()
        .text(0x0008_0016, "UI", CT)
        .text(0x0008_0018, "UI", &format!("1.2.3.{z}"))
        .text(0x0008_0060, "CS", "CT")
        .text(0x0008_103e, "LO", "thin")
        .text(0x0010_0010, "PN", "Secret^Name")
        .text(0x0010_0020, "LO", "SECRET-ID")
        .text(0x0020_000e, "UI", "1.2.3")
        .text(0x0020_0032, "DS", &format!("10\\-20\\{}", 3 * z))
        .text(0x0020_0037, "DS", "1\\0\\0\\0\\1\\0")
        .short(0x0028_0002, 1)
        .text(0x0028_0004, "CS", "MONOCHROME2")
        .short(0x0028_0010, SIZE[1] as u16)
        .short(0x0028_0011, SIZE[0] as u16)
        .text(0x0028_0030, "DS", "2\\0.5")
        .short(0x0028_0100, 16)
        .short(0x0028_0101, 16)
        .short(0x0028_0102, 15)
        .short(0x0028_0103, 1)
        .text(0x0028_1052, "DS", "-1024")
        .text(0x0028_1053, "DS", &format!("{}", z + 1))
        .set(0x7fe0_0010, "OW", Value::Bytes(pixels(encoding, z)))
}

/// The same slices as frames of one enhanced file; odd frames state their scaling, the others share one.
pub fn enhanced(encoding: Encoding, count: usize) -> Dicom {
    let scaling = |slope: usize| {
        let inner = Dicom::default().text(0x0028_1052, "DS", "-1024").text(0x0028_1053, "DS", &slope.to_string());
        Value::Items(vec![inner])
    };
    let shared = Dicom::default()
        .set(0x0020_9116, "SQ", Value::Items(vec![Dicom::default().text(0x0020_0037, "DS", "1\\0\\0\\0\\1\\0")]))
        .set(0x0028_9110, "SQ", Value::Items(vec![Dicom::default().text(0x0028_0030, "DS", "2\\0.5")]))
        .set(0x0028_9145, "SQ", scaling(1));
    let frame = |z: usize| {
        let place = Dicom::default().text(0x0020_0032, "DS", &format!("10\\-20\\{}", 3 * z));
        let item = Dicom::default().set(0x0020_9113, "SQ", Value::Items(vec![place]));
        if z == 0 { item } else { item.set(0x0028_9145, "SQ", scaling(z + 1)) }
    };
    // Frames need not lie in the order of their places.
    let order: Vec<usize> = (0..count).rev().collect();
    let data = order.iter().flat_map(|&z| pixels(encoding, z)).collect();
    slice(encoding, 0)
        .without(0x0020_0032)
        .without(0x0020_0037)
        .without(0x0028_0030)
        .without(0x0028_1052)
        .without(0x0028_1053)
        .text(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.2.1")
        .text(0x0028_0008, "IS", &count.to_string())
        .set(0x5200_9229, "SQ", Value::Items(vec![shared]))
        .set(0x5200_9230, "SQ", Value::Items(order.iter().map(|&z| frame(z)).collect()))
        .set(0x7fe0_0010, "OW", Value::Bytes(data))
}

/// The files of an MR series with the voxels of a scan that lies along RAS, in whole numbers: rows run to the back, columns to
/// the left, the slices come from the lowest up.
pub fn series(scan: &Volume, uid: &str, description: &str) -> Vec<Vec<u8>> {
    let [nx, ny, nz] = scan.dims;
    let [dx, dy, dz] = scan.affine.spacing();
    let file = |z: usize| {
        let [x, y, height] = scan.affine.apply([nx as f64 - 1.0, ny as f64 - 1.0, z as f64]);
        let at = |i: usize| scan.data[((nx - 1 - i % nx) * ny + ny - 1 - i / nx) * nz + z] as i16;
        Dicom::default()
            .text(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.4")
            .text(0x0008_0018, "UI", &format!("{uid}.{z}"))
            .text(0x0008_0060, "CS", "MR")
            .text(0x0008_103e, "LO", description)
            .text(0x0010_0010, "PN", "Secret^Name")
            .text(0x0010_0020, "LO", "SECRET-ID")
            .text(0x0018_0050, "DS", &dz.to_string())
            .text(0x0020_000d, "UI", "1.2.840.99999.7")
            .text(0x0020_000e, "UI", uid)
            .text(0x0020_0032, "DS", &format!("{}\\{}\\{height}", -x, -y))
            .text(0x0020_0037, "DS", "1\\0\\0\\0\\1\\0")
            .short(0x0028_0002, 1)
            .text(0x0028_0004, "CS", "MONOCHROME2")
            .short(0x0028_0010, ny as u16)
            .short(0x0028_0011, nx as u16)
            .text(0x0028_0030, "DS", &format!("{dy}\\{dx}"))
            .short(0x0028_0100, 16)
            .short(0x0028_0101, 16)
            .short(0x0028_0102, 15)
            .short(0x0028_0103, 1)
            .set(0x7fe0_0010, "OW", Value::Bytes(words(Encoding::Explicit, (0..nx * ny).map(at))))
            .file(Encoding::Explicit, false)
    };
    (0..nz).map(file).collect()
}

//! A data set to be written: explicit little-endian, elements in the order of their tags, sequences of stated length.

use std::collections::BTreeMap;

/// Elements of a data set or an item.
#[derive(Clone, Debug, Default)]
pub(super) struct Object(BTreeMap<u32, ([u8; 2], Value)>);

#[derive(Clone, Debug)]
enum Value {
    Bytes(Vec<u8>),
    Items(Vec<Object>),
}

/// Representations whose length takes four bytes.
const LONG: [&[u8; 2]; 4] = [b"OB", b"OW", b"SQ", b"UT"];
const ITEM: u32 = 0xfffe_e000;

impl Object {
    pub fn bytes(mut self, tag: u32, vr: &[u8; 2], bytes: Vec<u8>) -> Self {
        self.0.insert(tag, (*vr, Value::Bytes(bytes)));
        self
    }

    pub fn text(self, tag: u32, vr: &[u8; 2], text: &str) -> Self {
        self.bytes(tag, vr, text.as_bytes().to_vec())
    }

    pub fn shorts(self, tag: u32, values: &[u16]) -> Self {
        self.bytes(tag, b"US", values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    pub fn longs(self, tag: u32, values: &[u32]) -> Self {
        self.bytes(tag, b"UL", values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// Decimal strings of at most 16 characters.
    pub fn decimals(self, tag: u32, values: &[f64]) -> Self {
        self.text(tag, b"DS", &values.iter().map(|v| decimal(*v)).collect::<Vec<_>>().join("\\"))
    }

    /// Attributes as values: `AT`.
    pub fn tags(self, tag: u32, of: u32) -> Self {
        let words = [(of >> 16) as u16, of as u16];
        self.bytes(tag, b"AT", words.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    pub fn items(mut self, tag: u32, items: Vec<Self>) -> Self {
        self.0.insert(tag, (*b"SQ", Value::Items(items)));
        self
    }

    pub fn item(self, tag: u32, item: Self) -> Self {
        self.items(tag, vec![item])
    }

    /// Writes the elements.
    pub fn write(&self, out: &mut Vec<u8>) {
        for (tag, (vr, value)) in &self.0 {
            let start = header(out, *tag, *vr);
            match value {
                Value::Bytes(bytes) => {
                    out.extend_from_slice(bytes);
                    if bytes.len() % 2 == 1 {
                        out.push(if matches!(vr, b"UI" | b"OB") { 0 } else { b' ' });
                    }
                }
                Value::Items(items) => {
                    for item in items {
                        put_tag(out, ITEM);
                        out.extend([0; 4]);
                        let start = out.len();
                        item.write(out);
                        close(out, start, true);
                    }
                }
            }
            close(out, start, LONG.contains(&vr));
        }
    }
}

/// Header of an element with a length that is filled in when it is known; gives where its value begins.
fn header(out: &mut Vec<u8>, tag: u32, vr: [u8; 2]) -> usize {
    put_tag(out, tag);
    out.extend(vr);
    out.extend(if LONG.contains(&&vr) { &[0; 6][..] } else { &[0; 2] });
    out.len()
}

/// Header of an element whose value of `length` bytes is written elsewhere.
pub(super) fn long_header(tag: u32, vr: [u8; 2], length: u32) -> Vec<u8> {
    let mut out = Vec::new();
    put_tag(&mut out, tag);
    out.extend(vr);
    out.extend([0; 2]);
    out.extend(length.to_le_bytes());
    out
}

fn put_tag(out: &mut Vec<u8>, tag: u32) {
    out.extend(((tag >> 16) as u16).to_le_bytes());
    out.extend((tag as u16).to_le_bytes());
}

/// Fills in the length of the value that begins at `start`.
fn close(out: &mut [u8], start: usize, long: bool) {
    let length = out.len() - start;
    match long {
        true => out[start - 4..start].copy_from_slice(&(length as u32).to_le_bytes()),
        false => out[start - 2..start].copy_from_slice(&(length as u16).to_le_bytes()),
    }
}

/// The most exact decimal number of at most 16 characters.
pub(super) fn decimal(value: f64) -> String {
    // A zero has no sign.
    let value = value + 0.0;
    let plain = value.to_string();
    if plain.len() <= 16 {
        return plain;
    }
    let places = (0..=15).rev().map(|places| format!("{value:.places$}"));
    let powers = (0..=10).rev().map(|places| format!("{value:.places$e}"));
    let near = |text: &String| (text.parse::<f64>().unwrap_or(f64::INFINITY) - value).abs();
    let short = places.chain(powers).filter(|text| text.len() <= 16);
    short.min_by(|a, b| near(a).total_cmp(&near(b))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn decimals_fit_and_lose_little() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (-1.5, "-1.5"),
            (1.0 / 3.0, "0.33333333333333"),
            (-1.0 / 3.0, "-0.3333333333333"),
            (-123.456_789_012_345_67, "-123.45678901235"),
            (1e-9 / 3.0, "3.3333333333e-10"),
            (1e22, "1e22"),
        ] {
            let made = decimal(value);
            assert!(made.len() <= 16, "{made}");
            if value == 1e22 || text.contains('e') {
                assert!((made.parse::<f64>().unwrap_or(0.0) - value).abs() <= 1e-9 * value.abs(), "{made}");
            } else {
                assert_eq!(made, text);
            }
        }
    }
}

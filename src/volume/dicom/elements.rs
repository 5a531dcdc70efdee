//! The elements of a data set, walked in place (PS3.5, 7).

use super::error::DicomError;

/// How elements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Encoding {
    /// Each element names its value representation.
    pub explicit: bool,
    pub big: bool,
}

pub(super) const EXPLICIT_LITTLE: Encoding = Encoding { explicit: true, big: false };
pub(super) const IMPLICIT_LITTLE: Encoding = Encoding { explicit: false, big: false };
pub(super) const EXPLICIT_BIG: Encoding = Encoding { explicit: true, big: true };

impl Encoding {
    pub fn u16(self, bytes: [u8; 2]) -> u16 {
        if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    pub fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    pub fn u64(self, bytes: [u8; 8]) -> u64 {
        if self.big { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) }
    }
}

pub(super) const ITEM: u32 = 0xfffe_e000;
const ITEM_END: u32 = 0xfffe_e00d;
const SEQUENCE_END: u32 = 0xfffe_e0dd;
const UNDEFINED: u32 = u32::MAX;

/// One element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a> {
    pub tag: u32,
    /// Value representation, where it is written.
    pub vr: Option<[u8; 2]>,
    /// The value; of a sequence, its items.
    pub body: &'a [u8],
    /// Its length was not stated: a sequence, or pixels in fragments.
    pub undefined: bool,
    /// Of what lies inside.
    pub encoding: Encoding,
}

/// The elements of a data set or an item, or the items of a sequence, one after another.
#[derive(Debug, Clone)]
pub(super) struct Elements<'a> {
    bytes: &'a [u8],
    at: usize,
    encoding: Encoding,
}

/// Representations whose length takes two bytes.
const SHORT: [&[u8; 2]; 21] = [
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
    b"ST", b"TM", b"UI", b"UL", b"US",
];

struct Header {
    tag: u32,
    vr: Option<[u8; 2]>,
    length: u32,
}

impl Header {
    /// The encoding of what lies inside: unknown sequences are implicit little-endian (PS3.5, 6.2.2).
    fn inner(&self, outer: Encoding) -> Encoding {
        if self.vr == Some(*b"UN") && self.length == UNDEFINED { IMPLICIT_LITTLE } else { outer }
    }
}

/// What the walk to the end of an undefined length is inside of.
#[derive(Clone, Copy, PartialEq)]
enum Inside {
    Sequence,
    Item,
}

impl<'a> Elements<'a> {
    pub fn new(bytes: &'a [u8], encoding: Encoding) -> Self {
        Self { bytes, at: 0, encoding }
    }

    /// Bytes walked.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The tag of the next element, if there is one.
    pub fn peek(&self) -> Option<u32> {
        let mut ahead = self.clone();
        let group = ahead.encoding.u16(ahead.take().ok()?);
        let element = ahead.encoding.u16(ahead.take().ok()?);
        Some(u32::from(group) << 16 | u32::from(element))
    }

    /// The next element; none at the end.
    pub fn next(&mut self) -> Result<Option<Element<'a>>, DicomError> {
        if self.at >= self.bytes.len() {
            return Ok(None);
        }
        let header = self.header(self.encoding)?;
        let encoding = header.inner(self.encoding);
        let start = self.at;
        let undefined = header.length == UNDEFINED;
        let end = if undefined {
            let inside = if header.tag == ITEM { Inside::Item } else { Inside::Sequence };
            self.skip_undefined(inside, encoding)?
        } else {
            self.skip(&header)?;
            self.at
        };
        let body = self.bytes.get(start..end).unwrap_or_default();
        Ok(Some(Element { tag: header.tag, vr: header.vr, body, undefined, encoding }))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], DicomError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some((head, _)) = rest.split_first_chunk::<N>() else {
            let (needed, found) = (N as u64, rest.len() as u64);
            return Err(DicomError::Truncated { what: "the header of an element".into(), needed, found });
        };
        self.at += N;
        Ok(*head)
    }

    fn header(&mut self, encoding: Encoding) -> Result<Header, DicomError> {
        let (group, element) = (encoding.u16(self.take()?), encoding.u16(self.take()?));
        let tag = u32::from(group) << 16 | u32::from(element);
        // Items and delimiters have no value representation in any encoding.
        if !encoding.explicit || group == 0xfffe {
            return Ok(Header { tag, vr: None, length: encoding.u32(self.take()?) });
        }
        let vr: [u8; 2] = self.take()?;
        if SHORT.contains(&&vr) {
            return Ok(Header { tag, vr: Some(vr), length: encoding.u16(self.take()?).into() });
        }
        let more: [u8; 2] = self.take()?;
        let [short, long] = [encoding.u16(more).into(), encoding.u32([vr[0], vr[1], more[0], more[1]])];
        if vr.iter().all(u8::is_ascii_uppercase) {
            // What is newer than this list has the long form (PS3.5, 7.1.2), and `more` is reserved.
            return Ok(Header { tag, vr: Some(vr), length: encoding.u32(self.take()?) });
        }
        // No representation: an implicit element among explicit ones, or one of a short form whose letters are none.
        let fits = |length: u32| length as usize <= self.bytes.len() - self.at;
        let length = if long == UNDEFINED || fits(long) || !fits(short) { long } else { short };
        Ok(Header { tag, vr: None, length })
    }

    /// Jumps over a value of stated length.
    fn skip(&mut self, header: &Header) -> Result<(), DicomError> {
        let found = self.bytes.len() - self.at;
        match usize::try_from(header.length) {
            Ok(length) if length <= found => {
                self.at += length;
                Ok(())
            }
            _ => {
                let what = format!("the value of element ({:04X},{:04X})", header.tag >> 16, header.tag & 0xffff);
                Err(DicomError::Truncated { what, needed: header.length.into(), found: found as u64 })
            }
        }
    }

    /// Walks to the delimiter that ends what has just begun; gives where it begins and stands behind it.
    fn skip_undefined(&mut self, inside: Inside, encoding: Encoding) -> Result<usize, DicomError> {
        let mut open = vec![(inside, encoding)];
        loop {
            let (inside, encoding) = open.last().copied().unwrap_or((Inside::Item, encoding));
            let at = self.at;
            let header = self.header(encoding)?;
            match (inside, header.tag) {
                (Inside::Sequence, SEQUENCE_END) | (Inside::Item, ITEM_END) => {
                    open.pop();
                    if open.is_empty() {
                        return Ok(at);
                    }
                }
                (Inside::Sequence, ITEM) if header.length == UNDEFINED => open.push((Inside::Item, encoding)),
                (Inside::Item, tag) if tag >> 16 != 0xfffe && header.length == UNDEFINED => {
                    open.push((Inside::Sequence, header.inner(encoding)));
                }
                (Inside::Sequence, ITEM) => self.skip(&header)?,
                (Inside::Item, tag) if tag >> 16 != 0xfffe => self.skip(&header)?,
                _ => return Err(DicomError::Damaged { at, problem: "a sequence is not made of items" }),
            }
        }
    }
}

impl<'a> Element<'a> {
    /// The bodies of the items of a sequence, or of the fragments of pixels.
    pub fn items(&self) -> Result<Vec<&'a [u8]>, DicomError> {
        let mut inner = Elements::new(self.body, self.encoding);
        let mut items = Vec::new();
        while let Some(item) = inner.next()? {
            match item.tag {
                ITEM => items.push(item.body),
                // Some writers end a sequence of stated length too.
                SEQUENCE_END => break,
                _ => return Err(DicomError::Damaged { at: inner.at, problem: "a sequence is not made of items" }),
            }
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_thousand_levels_are_walked_without_a_stack() {
        let mut bytes = Vec::new();
        for _ in 0..100_000 {
            bytes.extend([
                8, 0, 0x40, 0x11, b'S', b'Q', 0, 0, 255, 255, 255, 255, 0xfe, 0xff, 0, 0xe0, 255, 255, 255, 255,
            ]);
        }
        assert!(matches!(Elements::new(&bytes, EXPLICIT_LITTLE).next(), Err(DicomError::Truncated { .. })));
        for _ in 0..100_000 {
            bytes.extend([0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0, 0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0]);
        }
        let mut elements = Elements::new(&bytes, EXPLICIT_LITTLE);
        let first = elements.next().ok().flatten().map(|e| (e.tag, e.body.len()));
        assert_eq!(first, Some((0x0008_1140, bytes.len() - 12 - 8)));
        assert!(matches!(elements.next(), Ok(None)));
    }

    #[test]
    fn unknown_sequences_are_implicit_inside() {
        // UN of undefined length, one item, one implicit element of two bytes.
        let mut bytes = vec![9, 0, 1, 0, b'U', b'N', 0, 0, 255, 255, 255, 255];
        bytes.extend([0xfe, 0xff, 0, 0xe0, 255, 255, 255, 255, 9, 0, 2, 0, 2, 0, 0, 0, 7, 7]);
        bytes.extend([0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0, 0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0]);
        let element = Elements::new(&bytes, EXPLICIT_LITTLE).next().ok().flatten();
        let items = element.map(|e| e.items());
        assert!(matches!(items, Some(Ok(items)) if items.len() == 1 && items[0].len() == 10));
    }
}

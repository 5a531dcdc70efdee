//! Typed values of the attributes of a data set or an item.
//!
//! What an element is written as decides how it is read, whatever PS3.6 says that it should be; what is written as bytes
//! (`OB`, `OW`, `UN`) or without a representation is read as PS3.6 says.

use std::collections::BTreeMap;

use super::elements::{Element, Elements, Encoding};
use super::error::DicomError;
use super::tags::{self, Attribute};

/// The elements of [`tags::ALL`] that a data set or an item holds.
#[derive(Debug, Clone, Default)]
pub(super) struct DataSet<'a>(BTreeMap<u32, Element<'a>>);

/// Longer values are no text and no numbers of interest.
const MAX_TEXT: usize = 1024;
/// Sequences in sequences within a functional group.
const DEPTH: usize = 3;

impl<'a> DataSet<'a> {
    /// Reads up to the pixel data, which end what is of interest.
    pub fn read(bytes: &'a [u8], encoding: Encoding) -> Result<Self, DicomError> {
        match Self::read_as_far(bytes, encoding) {
            (data, None) => Ok(data),
            (_, Some(error)) => Err(error),
        }
    }

    /// What can be read before the pixel data, the end, or the error.
    pub fn read_as_far(bytes: &'a [u8], encoding: Encoding) -> (Self, Option<DicomError>) {
        let mut elements = Elements::new(bytes, encoding);
        let mut found = BTreeMap::new();
        loop {
            match elements.next() {
                Ok(Some(element)) => {
                    if tags::ALL.iter().any(|a| a.tag == element.tag) {
                        found.entry(element.tag).or_insert(element);
                    }
                    if tags::PIXELS.iter().any(|a| a.tag == element.tag) {
                        return (Self(found), None);
                    }
                }
                Ok(None) => return (Self(found), None),
                Err(error) => return (Self(found), Some(error)),
            }
        }
    }

    /// The element as it is.
    pub fn element(&self, attribute: &Attribute) -> Option<&Element<'a>> {
        self.0.get(&attribute.tag)
    }

    /// True if there is a value.
    pub fn has(&self, attribute: &Attribute) -> bool {
        self.value(attribute).is_some()
    }

    fn value(&self, attribute: &Attribute) -> Option<&Element<'a>> {
        self.element(attribute).filter(|e| !e.body.is_empty())
    }

    /// Text without padding, values between backslashes; none if it is missing or empty.
    pub fn text(&self, attribute: &Attribute) -> Option<String> {
        let element = self.value(attribute)?;
        let text = match Kind::of(element, attribute) {
            Kind::Text => plain(element.body),
            kind => kind.numbers(element)?.iter().map(ToString::to_string).collect::<Vec<_>>().join("\\"),
        };
        Some(text).filter(|t| !t.is_empty())
    }

    /// All numbers; none if missing or empty.
    pub fn list(&self, attribute: &Attribute) -> Result<Option<Vec<f64>>, DicomError> {
        let Some(element) = self.value(attribute) else { return Ok(None) };
        let wrong = || DicomError::attribute(attribute, "a finite number is needed");
        let all = match Kind::of(element, attribute) {
            Kind::Text => {
                let text = plain(element.body);
                if text.is_empty() {
                    return Ok(None);
                }
                text.trim_end_matches('\\').split('\\').map(number).collect::<Option<Vec<f64>>>()
            }
            kind => kind.numbers(element),
        };
        let all = all.ok_or_else(wrong)?;
        if all.iter().all(|v| v.is_finite()) { Ok(Some(all)) } else { Err(wrong()) }
    }

    /// `N` numbers; none if missing or empty.
    pub fn numbers<const N: usize>(&self, attribute: &Attribute) -> Result<Option<[f64; N]>, DicomError> {
        let wrong = || DicomError::attribute(attribute, format!("{N} finite number(s) are needed"));
        let Some(all) = self.list(attribute).map_err(|_| wrong())? else { return Ok(None) };
        all.try_into().map(Some).map_err(|_| wrong())
    }

    /// One number; none if missing or empty.
    pub fn number(&self, attribute: &Attribute) -> Result<Option<f64>, DicomError> {
        Ok(self.numbers::<1>(attribute)?.map(|[v]| v))
    }

    /// A whole number of 0 or more; none if missing or empty.
    pub fn count(&self, attribute: &Attribute) -> Result<Option<u32>, DicomError> {
        match self.number(attribute)? {
            None => Ok(None),
            Some(v) if v >= 0.0 && v.fract() == 0.0 && v <= f64::from(i32::MAX) => Ok(Some(v as u32)),
            Some(v) => Err(DicomError::attribute(attribute, format!("it is {v}, and a whole number is needed"))),
        }
    }

    /// A whole number that must be there.
    pub fn needed(&self, attribute: &Attribute) -> Result<u32, DicomError> {
        self.count(attribute)?.ok_or_else(|| DicomError::attribute(attribute, "it is missing and needed"))
    }

    /// Each item of a sequence, as data sets; empty if there is none.
    pub fn items(&self, attribute: &Attribute) -> Result<Vec<DataSet<'a>>, DicomError> {
        let Some(element) = self.value(attribute) else { return Ok(Vec::new()) };
        element.items()?.into_iter().map(|body| DataSet::read(body, element.encoding)).collect()
    }

    /// The first item of a sequence; an empty one if there is none.
    pub fn item(&self, attribute: &Attribute) -> Result<DataSet<'a>, DicomError> {
        let Some(element) = self.value(attribute) else { return Ok(DataSet::default()) };
        let first = element.items()?.into_iter().next();
        first.map_or_else(|| Ok(DataSet::default()), |body| DataSet::read(body, element.encoding))
    }

    /// Adds what the first items of its sequences hold, and the sequences in them.
    pub fn flat(&self) -> Result<Self, DicomError> {
        let mut all = self.clone();
        let mut open = vec![self.clone()];
        for _ in 0..DEPTH {
            let mut inner = Vec::new();
            for set in &open {
                for attribute in tags::ALL.iter().filter(|a| a.vr == "SQ" && set.has(a)) {
                    inner.push(set.item(attribute)?);
                }
            }
            for (tag, element) in inner.iter().flat_map(|set| &set.0) {
                if all.0.get(tag).is_none_or(|e| e.body.is_empty()) {
                    all.0.insert(*tag, *element);
                }
            }
            open = inner;
        }
        Ok(all)
    }
}

fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..MAX_TEXT).unwrap_or(bytes));
    text.trim_matches([' ', '\0']).chars().filter(|c| !c.is_control()).collect()
}

/// A decimal number; some writers follow their country and write a comma.
fn number(text: &str) -> Option<f64> {
    let text = text.trim_matches([' ', '\0']);
    text.parse().ok().or_else(|| text.replacen(',', ".", 1).parse().ok())
}

/// How values are written.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Unsigned(usize),
    Signed(usize),
    Float(usize),
}

impl Kind {
    fn named(vr: &[u8]) -> Option<Self> {
        Some(match vr {
            b"US" => Self::Unsigned(2),
            b"UL" => Self::Unsigned(4),
            b"UV" => Self::Unsigned(8),
            b"SS" => Self::Signed(2),
            b"SL" => Self::Signed(4),
            b"SV" => Self::Signed(8),
            b"FL" | b"OF" => Self::Float(4),
            b"FD" | b"OD" => Self::Float(8),
            b"AE" | b"AS" | b"CS" | b"DA" | b"DS" | b"DT" | b"IS" | b"LO" | b"LT" | b"PN" | b"SH" | b"ST" | b"TM"
            | b"UC" | b"UI" | b"UR" | b"UT" => Self::Text,
            _ => return None,
        })
    }

    fn of(element: &Element<'_>, attribute: &Attribute) -> Self {
        let written = element.vr.and_then(|vr| Self::named(&vr));
        written.or_else(|| Self::named(attribute.vr.as_bytes())).unwrap_or(Self::Text)
    }

    fn numbers(self, element: &Element<'_>) -> Option<Vec<f64>> {
        let size = match self {
            Self::Text => return None,
            Self::Unsigned(size) | Self::Signed(size) | Self::Float(size) => size,
        };
        if !element.body.len().is_multiple_of(size) || element.body.len() > MAX_TEXT {
            return None;
        }
        let read = |bytes: &[u8]| {
            // Of the element's order, in eight bytes.
            let mut wide = [0; 8];
            if element.encoding.big {
                wide[8 - size..].copy_from_slice(bytes);
            } else {
                wide[..size].copy_from_slice(bytes);
            }
            let bits = element.encoding.u64(wide);
            match self {
                Self::Float(4) => f64::from(f32::from_bits(bits as u32)),
                Self::Float(_) => f64::from_bits(bits),
                Self::Signed(_) => {
                    let unused = 64 - 8 * size as u32;
                    (((bits << unused) as i64) >> unused) as f64
                }
                _ => bits as f64,
            }
        };
        Some(element.body.chunks_exact(size).map(read).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::elements::{EXPLICIT_BIG, EXPLICIT_LITTLE};
    use super::*;

    fn set(vr: &[u8; 2], body: &[u8], big: bool) -> DataSet<'static> {
        let encoding = if big { EXPLICIT_BIG } else { EXPLICIT_LITTLE };
        let body = body.to_vec().leak();
        let element = Element { tag: tags::ROWS.tag, vr: Some(*vr), body, undefined: false, encoding };
        let mut other = element;
        other.tag = tags::RESCALE_SLOPE.tag;
        DataSet([(tags::ROWS.tag, element), (tags::RESCALE_SLOPE.tag, other)].into())
    }

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for (vr, body, want) in [
            (b"US", &[3, 1][..], 259.0),
            (b"SS", &[0xfe, 0xff], -2.0),
            (b"UL", &[1, 0, 1, 0], 65537.0),
            (b"SL", &[0xff; 4], -1.0),
            (b"UV", &[5, 0, 0, 0, 0, 0, 0, 0], 5.0),
            (b"SV", &[0xff; 8], -1.0),
            (b"FL", &1.5_f32.to_le_bytes(), 1.5),
            (b"FD", &2.5_f64.to_le_bytes(), 2.5),
            (b"IS", b" 44 ", 44.0),
            (b"DS", b"4,5\0", 4.5),
            (b"LO", b"+1.0e1\\", 10.0),
        ] {
            let name = String::from_utf8_lossy(vr);
            assert_eq!(set(vr, body, false).number(&tags::ROWS), Ok(Some(want)), "{name}");
            if !matches!(Kind::named(vr), Some(Kind::Text)) {
                let turned: Vec<u8> = body.iter().rev().copied().collect();
                assert_eq!(set(vr, &turned, true).number(&tags::ROWS), Ok(Some(want)), "{name} big-endian");
            }
        }
        // Bytes, unknown ones and letters that mean nothing: as PS3.6 says of the attribute.
        for vr in [b"UN", b"OB", b"OW", b"ZZ"] {
            assert_eq!(set(vr, &[44, 0], false).number(&tags::ROWS), Ok(Some(44.0)));
            assert_eq!(set(vr, b"0.5 ", false).number(&tags::RESCALE_SLOPE), Ok(Some(0.5)));
        }
        for body in [&b"1.2.3"[..], b"a", b"1\\2", b"inf"] {
            assert!(set(b"DS", body, false).number(&tags::RESCALE_SLOPE).is_err(), "{body:?}");
        }
    }
}

//! Typed values of the attributes of a data set or an item.

use std::collections::BTreeMap;

use super::elements::{Element, Elements, Encoding};
use super::error::DicomError;
use super::tags::{self, Attribute};

/// The elements of [`tags::ALL`] that a data set or an item holds.
#[derive(Debug, Clone, Default)]
pub(super) struct DataSet<'a>(BTreeMap<u32, Element<'a>>);

/// Longer values are no numbers.
const MAX_TEXT: usize = 1024;

impl<'a> DataSet<'a> {
    /// Reads up to the pixel data, which end what is of interest.
    pub fn read(bytes: &'a [u8], encoding: Encoding) -> Result<Self, DicomError> {
        let mut elements = Elements::new(bytes, encoding);
        let mut found = BTreeMap::new();
        while let Some(element) = elements.next()? {
            if tags::ALL.iter().any(|a| a.tag == element.tag) {
                found.entry(element.tag).or_insert(element);
            }
            if element.tag == tags::PIXEL_DATA.tag {
                break;
            }
        }
        Ok(Self(found))
    }

    /// The element as it is.
    pub fn element(&self, attribute: &Attribute) -> Option<&Element<'a>> {
        self.0.get(&attribute.tag)
    }

    /// The value with its representation checked; none if it is missing or empty.
    fn value(&self, attribute: &Attribute) -> Result<Option<&Element<'a>>, DicomError> {
        let Some(element) = self.element(attribute).filter(|e| !e.body.is_empty()) else {
            return Ok(None);
        };
        match element.vr {
            Some(vr) if vr != attribute.vr.as_bytes() && &vr != b"UN" => {
                let found = String::from_utf8_lossy(&vr).into_owned();
                Err(DicomError::attribute(
                    attribute,
                    format!("its value representation is {found} and must be {}", attribute.vr),
                ))
            }
            _ => Ok(Some(element)),
        }
    }

    /// Text without padding; none if it is missing or empty.
    pub fn text(&self, attribute: &Attribute) -> Result<Option<String>, DicomError> {
        let Some(element) = self.value(attribute)? else { return Ok(None) };
        let bytes = element.body.get(..MAX_TEXT).unwrap_or(element.body);
        let text = String::from_utf8_lossy(bytes);
        let text: String = text.trim_matches([' ', '\0']).chars().filter(|c| !c.is_control()).collect();
        Ok(Some(text).filter(|t| !t.is_empty()))
    }

    /// A UID; none if it is missing or empty.
    pub fn uid(&self, attribute: &Attribute) -> Result<Option<String>, DicomError> {
        let text = self.text(attribute)?;
        match &text {
            Some(t) if t.len() > 64 || !t.bytes().all(|b| b.is_ascii_digit() || b == b'.') => {
                Err(DicomError::attribute(attribute, "it is no UID: at most 64 digits and dots"))
            }
            _ => Ok(text),
        }
    }

    /// `N` numbers written as text or, for FD, in eight bytes; none if missing or empty.
    pub fn numbers<const N: usize>(&self, attribute: &Attribute) -> Result<Option<[f64; N]>, DicomError> {
        let Some(element) = self.value(attribute)? else { return Ok(None) };
        let wrong = || DicomError::attribute(attribute, format!("{N} finite number(s) are needed"));
        if attribute.vr == "FD" {
            let (all, rest) = element.body.as_chunks::<8>();
            let read = |b: &[u8; 8]| if element.encoding.big { f64::from_be_bytes(*b) } else { f64::from_le_bytes(*b) };
            let all: Vec<f64> = all.iter().take(N + 1).map(read).collect();
            let all: [f64; N] = all.try_into().map_err(|_| wrong())?;
            return if rest.is_empty() && all.iter().all(|v| v.is_finite()) { Ok(Some(all)) } else { Err(wrong()) };
        }
        let text = str::from_utf8(element.body.get(..MAX_TEXT).unwrap_or(element.body)).map_err(|_| wrong())?;
        let text = text.trim_matches([' ', '\0']);
        if text.is_empty() {
            return Ok(None);
        }
        let mut all = [0.0; N];
        let mut parts = text.split('\\');
        for slot in &mut all {
            let value = parts.next().and_then(|part| part.trim_matches([' ', '\0']).parse::<f64>().ok());
            *slot = value.filter(|v| v.is_finite()).ok_or_else(wrong)?;
        }
        if parts.next().is_some() { Err(wrong()) } else { Ok(Some(all)) }
    }

    /// One number; none if missing or empty.
    pub fn number(&self, attribute: &Attribute) -> Result<Option<f64>, DicomError> {
        Ok(self.numbers::<1>(attribute)?.map(|[v]| v))
    }

    /// A 16-bit number that must be there.
    pub fn u16(&self, attribute: &Attribute) -> Result<u16, DicomError> {
        let element =
            self.value(attribute)?.ok_or_else(|| DicomError::attribute(attribute, "it is missing and needed"))?;
        let bytes: [u8; 2] =
            element.body.try_into().map_err(|_| DicomError::attribute(attribute, "one 16-bit number is needed"))?;
        Ok(element.encoding.u16(bytes))
    }

    /// Each item of a sequence, as data sets; empty if there is none.
    pub fn items(&self, attribute: &Attribute) -> Result<Vec<DataSet<'a>>, DicomError> {
        let Some(element) = self.value(attribute)? else { return Ok(Vec::new()) };
        element.items()?.into_iter().map(|body| DataSet::read(body, element.encoding)).collect()
    }

    /// The first item of a sequence; an empty one if there is none.
    pub fn item(&self, attribute: &Attribute) -> Result<DataSet<'a>, DicomError> {
        let Some(element) = self.value(attribute)? else { return Ok(DataSet::default()) };
        let first = element.items()?.into_iter().next();
        first.map_or_else(|| Ok(DataSet::default()), |body| DataSet::read(body, element.encoding))
    }
}

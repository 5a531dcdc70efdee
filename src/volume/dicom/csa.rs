//! Siemens' own header of an image: tags with names, in one binary value.
//!
//! # Source
//! Not documented by its maker; as nibabel and dcm2niix read it.

use super::elements::EXPLICIT_LITTLE;

const NAME: usize = 64;
/// Of the newer of its two forms.
const MAGIC: &[u8] = b"SV10";
/// No tag has more values.
const MOST: u32 = 1024;

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn number(&mut self) -> Option<u32> {
        self.take(4)?.first_chunk().map(|b| EXPLICIT_LITTLE.u32(*b))
    }
}

/// The values of the tag `name`, as text; none if it is not there or has no value.
pub(super) fn values(header: &[u8], name: &str) -> Option<Vec<String>> {
    let mut rest = Reader(header);
    let new = header.starts_with(MAGIC);
    if new {
        rest.take(8)?;
    }
    let tags = rest.number().filter(|n| (1..=MOST).contains(n))?;
    rest.number()?;
    // The older form counts the lengths of its values from the number of items of the first tag.
    let mut base = None;
    for _ in 0..tags {
        let found = text(rest.take(NAME)?);
        let [_multiplicity, _representation, _type, items, _check] =
            [rest.number()?, rest.number()?, rest.number()?, rest.number()?, rest.number()?];
        if items > MOST {
            return None;
        }
        let base = *base.get_or_insert(items);
        let mut all = Vec::new();
        for _ in 0..items {
            let [first, second, _, _] = [rest.number()?, rest.number()?, rest.number()?, rest.number()?];
            let length = if new { second } else { first.saturating_sub(base) } as usize;
            if length > rest.0.len() {
                break;
            }
            all.push(text(rest.take(length)?));
            rest.take(rest.0.len().min(length.next_multiple_of(4) - length))?;
        }
        if found == name {
            all.retain(|v| !v.is_empty());
            return Some(all).filter(|v| !v.is_empty());
        }
    }
    None
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).trim().to_owned()
}

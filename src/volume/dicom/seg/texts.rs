//! Text in the character set of the object (PS3.3, C.12.1.1.2).

use super::object::Object;
use crate::volume::source::Patient;

const CHARACTER_SET: u32 = 0x0008_0005;
const UTF_8: &str = "ISO_IR 192";
const LATIN_1: &str = "ISO_IR 100";

/// Patient and study in the object's character set: UTF-8 where the source's can be turned into it, else the source's.
pub(super) struct Texts {
    elements: Vec<(u32, [u8; 2], Vec<u8>)>,
    character_set: Vec<u8>,
    /// Text beyond ASCII can be written.
    wide: bool,
}

impl Texts {
    pub fn new(patient: &Patient) -> Self {
        let source = patient.0.iter().find(|(tag, ..)| *tag == CHARACTER_SET);
        let character_set = source.map_or(Vec::new(), |(.., value)| value.clone());
        let named = String::from_utf8_lossy(&character_set).into_owned();
        let elements = patient.0.iter().filter(|(tag, ..)| *tag != CHARACTER_SET).cloned();
        let mut elements: Vec<_> = elements.collect();
        let latin = named == LATIN_1;
        let wide = match &*named {
            LATIN_1 => true,
            UTF_8 => elements.iter().all(|(.., value)| std::str::from_utf8(value).is_ok()),
            "" | "ISO_IR 6" => elements.iter().all(|(.., value)| value.is_ascii()),
            // Others begin with ASCII; what escapes from it is not.
            _ => elements.iter().all(|(.., value)| value.is_ascii() && !value.contains(&0x1b)),
        };
        if latin {
            for (.., value) in &mut elements {
                *value = value.iter().map(|b| char::from(*b)).collect::<String>().into_bytes();
            }
        }
        let character_set = if wide { UTF_8.as_bytes().to_vec() } else { character_set };
        Self { elements, character_set, wide }
    }

    /// The character set, and the elements of patient and study but for those in `left`.
    pub fn add(&self, mut object: Object, left: &[u32]) -> Object {
        if !self.character_set.is_empty() {
            object = object.bytes(CHARACTER_SET, b"CS", self.character_set.clone());
        }
        let taken = self.elements.iter().filter(|(tag, ..)| !left.contains(tag));
        taken.fold(object, |object, (tag, vr, value)| object.bytes(*tag, vr, value.clone()))
    }

    /// An element of the source, in ASCII; empty if it is not there.
    pub fn value(&self, tag: u32) -> &str {
        let found = self.elements.iter().find(|(other, ..)| *other == tag);
        found.and_then(|(.., value)| std::str::from_utf8(value).ok()).unwrap_or_default()
    }

    /// One line of at most `most` characters.
    pub fn line(&self, text: &str, most: usize) -> String {
        let plain = |c: char| match c {
            '\\' => '/',
            c if c.is_control() => ' ',
            c if c.is_ascii() || self.wide => c,
            _ => '?',
        };
        text.trim().chars().take(most).map(plain).collect::<String>().trim().to_owned()
    }
}

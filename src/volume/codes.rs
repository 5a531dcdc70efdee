//! What labels are, in the words of a terminology such as SNOMED CT.

use serde::{Deserialize, Serialize};

/// A concept of a coding scheme, as DICOM has it (PS3.3, 8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// Coding Scheme Designator: `SCT` is SNOMED CT, `DCM` DICOM's own.
    pub scheme: String,
    pub value: String,
    /// The concept in words.
    pub meaning: String,
}

impl Code {
    /// A concept of SNOMED CT.
    #[must_use]
    pub fn sct(value: &str, meaning: &str) -> Self {
        Self { scheme: "SCT".into(), value: value.into(), meaning: meaning.into() }
    }

    /// What keeps it from being written; none if it is sound.
    #[must_use]
    pub fn problem(&self) -> Option<&'static str> {
        let plain = |text: &str, most: usize| {
            (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
        };
        if !plain(&self.scheme, 16) || !plain(&self.value, 16) {
            return Some("scheme and value of a code are 1 to 16 characters without blanks");
        }
        let meaning = self.meaning.trim();
        let sound =
            (1..=64).contains(&meaning.chars().count()) && !meaning.contains(|c: char| c.is_control() || c == '\\');
        (!sound).then_some("the meaning of a code is 1 to 64 characters in one line")
    }
}

/// What a label is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelCodes {
    /// Its kind, such as (SCT, 123037004, Anatomical Structure).
    pub category: Code,
    /// What it is, such as (SCT, 10200004, Liver).
    #[serde(rename = "type")]
    pub kind: Code,
    /// Side or part of it, such as (SCT, 7771000, Left).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modifier: Option<Code>,
    /// Where it lies, if the type does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Code>,
}

impl LabelCodes {
    /// All that can be said of a label whose package gives no codes.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            category: Code::sct("123037004", "Anatomical Structure"),
            kind: Code::sct("85756007", "Tissue"),
            modifier: None,
            region: None,
        }
    }

    /// The first of its codes that cannot be written: its key, and why.
    #[must_use]
    pub fn problem(&self) -> Option<(&'static str, &'static str)> {
        let all = [
            ("category", Some(&self.category)),
            ("type", Some(&self.kind)),
            ("modifier", self.modifier.as_ref()),
            ("region", self.region.as_ref()),
        ];
        all.into_iter().find_map(|(key, code)| Some((key, code?.problem()?)))
    }
}

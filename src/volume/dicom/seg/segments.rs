//! What a segment is: number, name, codes, colour, and the algorithm that made it.

use super::color::cielab;
use super::object::Object;
use super::texts::Texts;
use super::write::SegOptions;
use crate::volume::codes::{Code, LabelCodes};
use crate::volume::nifti::LabelName;

/// Items of a Code Sequence.
pub(super) fn code(code: &Code, texts: &Texts) -> Object {
    Object::default()
        .text(0x0008_0100, b"SH", &texts.line(&code.value, 16))
        .text(0x0008_0102, b"SH", &texts.line(&code.scheme, 16))
        .text(0x0008_0104, b"LO", &texts.line(&code.meaning, 64))
}

pub(super) fn dcm(value: &str, meaning: &str) -> Code {
    Code { scheme: "DCM".into(), value: value.into(), meaning: meaning.into() }
}

/// An item of Segment Sequence.
pub(super) fn segment(number: u16, label: &LabelName, options: &SegOptions<'_>, texts: &Texts) -> Object {
    let unknown = LabelCodes::unknown();
    let codes = label.codes.as_deref().unwrap_or(&unknown);
    let algorithm = Object::default()
        .item(0x0066_002f, code(&dcm("123110", "Artificial Intelligence"), texts))
        .text(0x0066_0036, b"LO", &texts.line(options.algorithm, 64))
        .text(0x0066_0031, b"LO", &texts.line(options.version, 64))
        .text(0x0024_0202, b"LO", concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")));
    let mut kind = code(&codes.kind, texts);
    if let Some(modifier) = &codes.modifier {
        kind = kind.item(0x0062_0011, code(modifier, texts));
    }
    let name = match texts.line(&label.name, 64) {
        name if name.is_empty() => format!("label {}", label.value),
        name => name,
    };
    let mut item = Object::default()
        .item(0x0062_0003, code(&codes.category, texts))
        .shorts(0x0062_0004, &[number])
        .text(0x0062_0005, b"LO", &name)
        .text(0x0062_0006, b"ST", &texts.line(&format!("Label {} of the model. {}", label.value, options.notice), 256))
        .item(0x0062_0007, algorithm)
        .text(0x0062_0008, b"CS", "AUTOMATIC")
        .text(0x0062_0009, b"LO", &texts.line(options.algorithm, 64))
        .shorts(0x0062_000d, &cielab(label.color))
        .item(0x0062_000f, kind);
    if let Some(region) = &codes.region {
        item = item.item(0x0008_2218, code(region, texts));
    }
    item
}

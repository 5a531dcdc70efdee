//! JSON and TOML read strictly: every key is known, or the error names it and the nearest key that is.
//!
//! | module | does |
//! | --- | --- |
//! | [`json`] | parses JSON objects, refusing two equal keys |
//! | [`section`] | reads one object key by key, and refuses what was not asked for |
//! | [`reader`] | any type that `serde` knows, from JSON or TOML, with the path of what is wrong |
//!
//! Types say which keys they have by `#[serde(deny_unknown_fields)]`; [`Section::finish`] does the same for objects that
//! are read by hand.
//!
//! # Errors
//! [`FieldError`], with the path to the key (`input.intensity.nonzero`, `output.labels[2].color`).

mod error;
pub mod json;
mod nearest;
pub mod reader;
pub mod section;

pub use error::{FieldError, Problem};
pub use nearest::{is_slip, nearest};
pub use reader::from_json;
#[cfg(feature = "train")]
pub use reader::from_toml;
pub use section::Section;

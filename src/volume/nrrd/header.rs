//! The text before an NRRD's voxels: fields (`key: value`) and key/value pairs (`key:=value`), to what they say of the voxels.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::FORMAT;
use crate::volume::datatype::{Datatype, Endian};
use crate::volume::stored::{Encoding, Stored, affine_of, lps_to_ras, numbers};
use crate::volume::{Affine, VolumeError};

/// Bytes of the longest header accepted.
const MAX_HEADER: usize = 16 << 20;
/// Axes of the largest array accepted: three of space and one of channels.
const MAX_AXES: usize = 4;

/// A header, its text taken apart.
pub(super) struct Header {
    fields: BTreeMap<String, String>,
    /// Key/value pairs, which the format gives no meaning: 3D Slicer keeps segments there.
    pub pairs: BTreeMap<String, String>,
    /// Bytes of the header and the line that ends it.
    pub bytes: usize,
}

/// The files that hold the voxels.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DataFiles {
    /// The header's own file.
    Attached,
    /// These, beside the header.
    Named(Vec<String>),
}

/// What a header says of the voxels, the axis of channels told from those of space.
pub(super) struct Described {
    pub stored: Stored,
    /// Lines, then bytes, to pass over before the voxels; `None` where the voxels are the end of the file.
    pub line_skip: u64,
    pub byte_skip: Option<u64>,
}

impl Described {
    /// Unpacks the voxels of a file that holds one of `parts` equal parts of them.
    ///
    /// # Errors
    /// As [`Stored::unpack`].
    pub fn unpack<'a>(&mut self, file: &'a [u8], parts: usize, max_bytes: u64) -> Result<Cow<'a, [u8]>, VolumeError> {
        let mut rest = file;
        for _ in 0..self.line_skip {
            let end = rest.iter().position(|b| *b == b'\n');
            let Some(end) = end else { break };
            rest = &rest[end + 1..];
        }
        let bytes = self.stored.bytes()? / parts as u64;
        if self.byte_skip.is_none() {
            rest = &rest[rest.len().saturating_sub(bytes as usize)..];
        }
        self.stored.unpack(rest, self.byte_skip.unwrap_or(0), parts, max_bytes)
    }
}

impl Header {
    /// # Errors
    /// No NRRD, no end of the header, or a line that is neither field nor comment.
    pub fn parse(file: &[u8]) -> Result<Self, VolumeError> {
        let (mut fields, mut pairs) = (BTreeMap::new(), BTreeMap::new());
        let mut data_list = None::<Vec<String>>;
        let mut at = 0;
        let mut number = 0;
        loop {
            let rest = &file[at.min(file.len())..];
            let end = rest.iter().take(MAX_HEADER).position(|b| *b == b'\n');
            let line = &rest[..end.unwrap_or(rest.len().min(MAX_HEADER))];
            let text = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
            at += line.len() + usize::from(end.is_some());
            number += 1;
            if number == 1 {
                let version = text.strip_prefix("NRRD").and_then(|v| v.parse::<u32>().ok());
                if version.is_none_or(|v| v > 5) {
                    return Err(VolumeError::field(FORMAT, "first line", text, "NRRD0001 to NRRD0005 are read"));
                }
            } else if let Some(list) = &mut data_list {
                // The names of `data file: LIST` are the last lines of a header.
                if !text.is_empty() {
                    list.push(text);
                }
            } else if text.is_empty() {
                break;
            } else if text.starts_with('#') {
            } else if let Some((key, value)) = text.split_once(":=") {
                pairs.insert(key.to_owned(), value.replace("\\n", "\n").replace("\\\\", "\\"));
            } else if let Some((key, value)) = text.split_once(": ").or_else(|| text.split_once(':')) {
                let (key, value) = (normal(key), value.trim().to_owned());
                if key == "datafile" && value.split_whitespace().next() == Some("LIST") {
                    data_list = Some(Vec::new());
                }
                if fields.insert(key, value).is_some() {
                    return Err(VolumeError::field(FORMAT, format!("line {number}"), text, "the field is there twice"));
                }
            } else {
                let problem = "a line is `field: value`, `key:=value` or a comment";
                return Err(VolumeError::field(FORMAT, format!("line {number}"), text, problem));
            }
            if end.is_none() || at > MAX_HEADER {
                if fields.contains_key("datafile") {
                    break;
                }
                return Err(VolumeError::field(FORMAT, "end of the header", "missing", "an empty line ends it"));
            }
        }
        if let Some(list) = data_list {
            fields.insert("datafile".to_owned(), format!("LIST\n{}", list.join("\n")));
        }
        Ok(Self { fields, pairs, bytes: at })
    }

    fn get(&self, field: &str) -> Option<&str> {
        self.fields.get(&normal(field)).map(String::as_str)
    }

    fn need(&self, field: &str) -> Result<&str, VolumeError> {
        self.get(field).ok_or_else(|| VolumeError::field(FORMAT, field, "missing", "every NRRD has it"))
    }

    /// Where the voxels are.
    ///
    /// # Errors
    /// A pattern of names that is no pattern, or more names than a volume has slices.
    pub fn data_files(&self) -> Result<DataFiles, VolumeError> {
        let Some(text) = self.get("data file") else {
            return Ok(DataFiles::Attached);
        };
        let refused = |problem| VolumeError::field(FORMAT, "data file", text, problem);
        if let Some((first, names)) = text.split_once('\n') {
            if first != "LIST" && !first.starts_with("LIST 2") {
                return Err(refused("of lists, one of slices is read"));
            }
            return Ok(DataFiles::Named(names.lines().map(str::to_owned).collect()));
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        let [pattern, first, last, step, ..] = words[..] else {
            return Ok(DataFiles::Named(vec![text.to_owned()]));
        };
        let Some(range) = [first, last, step].iter().map(|w| w.parse::<i64>().ok()).collect::<Option<Vec<_>>>() else {
            return Ok(DataFiles::Named(vec![text.to_owned()]));
        };
        let names = numbered(pattern, range[0], range[1], range[2]);
        names.map(DataFiles::Named).ok_or_else(|| refused("a pattern is like slice_%03d.raw 1 20 1"))
    }

    /// The voxels that the fields describe.
    ///
    /// # Errors
    /// A field that is missing, contradicts another, or asks for what one real number a voxel cannot hold.
    pub fn describe(&self) -> Result<Described, VolumeError> {
        let axes = self.axes()?;
        let mut warnings = Vec::new();
        let (affine, affine_source) = self.affine(&axes, &mut warnings)?;
        let datatype = self.datatype()?;
        let endian = match self.get("endian").map(str::to_ascii_lowercase).as_deref() {
            Some("big") => Endian::Big,
            Some("little") => Endian::Little,
            Some(other) => return Err(VolumeError::field(FORMAT, "endian", other, "it is little or big")),
            None if datatype.size() == 1 => Endian::Little,
            None if matches!(self.encoding()?, Encoding::Text) => Endian::Little,
            None => return Err(VolumeError::field(FORMAT, "endian", "missing", "voxels of several bytes need it")),
        };
        let skip = |field| match self.get(field).map(str::parse::<i64>) {
            None => Ok(0),
            Some(Ok(n)) if n >= -1 => Ok(n),
            Some(_) => Err(VolumeError::field(FORMAT, field, self.get(field).unwrap_or(""), "it is a count")),
        };
        let encoding = self.encoding()?;
        let refused = |field| VolumeError::field(FORMAT, field, -1, "it is not negative");
        let line_skip = u64::try_from(skip("line skip")?).map_err(|_| refused("line skip"))?;
        let byte_skip = match skip("byte skip")? {
            -1 if encoding == Encoding::Raw => None,
            n => Some(u64::try_from(n).map_err(|_| refused("byte skip"))?),
        };
        let space = axes.space.map(|a| axes.sizes[a]);
        let stored = Stored {
            dims: space,
            channels: axes.channels.map_or(1, |a| axes.sizes[a]),
            interleaved: axes.channels == Some(0),
            datatype,
            endian,
            encoding,
            tail: false,
            affine,
            affine_source,
            warnings,
        };
        Ok(Described { stored, line_skip, byte_skip })
    }

    fn datatype(&self) -> Result<Datatype, VolumeError> {
        let name = self.need("type")?;
        Ok(match name.to_ascii_lowercase().split_whitespace().collect::<Vec<_>>().join(" ").as_str() {
            "signed char" | "int8" | "int8_t" => Datatype::I8,
            "uchar" | "unsigned char" | "uint8" | "uint8_t" => Datatype::U8,
            "short" | "short int" | "signed short" | "signed short int" | "int16" | "int16_t" => Datatype::I16,
            "ushort" | "unsigned short" | "unsigned short int" | "uint16" | "uint16_t" => Datatype::U16,
            "int" | "signed int" | "int32" | "int32_t" => Datatype::I32,
            "uint" | "unsigned int" | "uint32" | "uint32_t" => Datatype::U32,
            "longlong"
            | "long long"
            | "long long int"
            | "signed long long"
            | "signed long long int"
            | "int64"
            | "int64_t" => Datatype::I64,
            "ulonglong" | "unsigned long long" | "unsigned long long int" | "uint64" | "uint64_t" => Datatype::U64,
            "float" => Datatype::F32,
            "double" => Datatype::F64,
            _ => return Err(VolumeError::field(FORMAT, "type", name, "one number a voxel is needed")),
        })
    }

    fn encoding(&self) -> Result<Encoding, VolumeError> {
        let name = self.need("encoding")?;
        Ok(match name.to_ascii_lowercase().as_str() {
            "raw" => Encoding::Raw,
            "gzip" | "gz" => Encoding::Gzip,
            "txt" | "text" | "ascii" => Encoding::Text,
            "hex" => Encoding::Hex,
            _ => {
                return Err(VolumeError::field(
                    FORMAT,
                    "encoding",
                    name,
                    "raw, gzip, text and hex are read; save it as gzip",
                ));
            }
        })
    }

    /// Directions of all axes, `None` for one that is no direction of space.
    fn directions(&self, count: usize) -> Result<Option<Vec<Option<[f64; 3]>>>, VolumeError> {
        let Some(text) = self.get("space directions") else { return Ok(None) };
        let refused = |problem| VolumeError::field(FORMAT, "space directions", text, problem);
        let mut out = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix("none") {
                out.push(None);
                rest = after.trim_start();
                continue;
            }
            let (vector, after) =
                rest.split_once(')').ok_or_else(|| refused("a direction is like (1,0,0), or none"))?;
            out.push(vector_of(vector).ok_or_else(|| refused("a direction is like (1,0,0), or none"))?);
            rest = after.trim_start();
        }
        if out.len() != count {
            return Err(refused("each axis has one direction, or none"));
        }
        Ok(Some(out))
    }

    /// Which axes are of space.
    fn axes(&self) -> Result<Axes, VolumeError> {
        let dimension = self.need("dimension")?;
        let sizes = self.need("sizes")?;
        let refused = || VolumeError::field(FORMAT, "sizes", sizes, "it has a size of 1 or more for each axis");
        let sizes = sizes.split_whitespace().map(|s| s.parse().ok().filter(|n: &usize| *n > 0));
        let sizes: Vec<usize> = sizes.collect::<Option<_>>().ok_or_else(refused)?;
        if dimension.parse() != Ok(sizes.len()) {
            return Err(VolumeError::field(FORMAT, "dimension", dimension, format!("there are {} sizes", sizes.len())));
        }
        if !(3..=MAX_AXES).contains(&sizes.len()) {
            let problem = "a volume has three axes of space, and one of channels at most";
            return Err(VolumeError::field(FORMAT, "dimension", dimension, problem));
        }
        let directions = self.directions(sizes.len())?;
        let kinds: Vec<String> =
            self.get("kinds").unwrap_or("").split_whitespace().map(str::to_ascii_lowercase).collect();
        if !kinds.is_empty() && kinds.len() != sizes.len() {
            return Err(VolumeError::field(FORMAT, "kinds", kinds.join(" "), "each axis has a kind"));
        }
        if let Some(kind) =
            kinds.iter().find(|k| k.contains("complex") || k.contains("matrix") || k.contains("quaternion"))
        {
            return Err(VolumeError::field(FORMAT, "kinds", kind, "one real number a voxel and channel is needed"));
        }
        let of_space = |axis: usize| match (&directions, kinds.get(axis).map(String::as_str)) {
            (Some(directions), _) => directions[axis].is_some_and(|d| d != [0.0; 3]),
            (None, Some("domain" | "space")) => true,
            (None, Some("???" | "none") | None) => axis < 3,
            (None, Some(_)) => false,
        };
        let (space, other): (Vec<usize>, Vec<usize>) = (0..sizes.len()).partition(|axis| of_space(*axis));
        let Ok(space) = <[usize; 3]>::try_from(space) else {
            let field = if directions.is_some() { "space directions" } else { "kinds" };
            let problem = "three axes of space are needed";
            return Err(VolumeError::field(FORMAT, field, self.get(field).unwrap_or(""), problem));
        };
        let channels = other.first().copied();
        if channels.is_some_and(|c| c != 0 && c != sizes.len() - 1) {
            let problem = "channels are the first axis or the last";
            return Err(VolumeError::field(FORMAT, "kinds", self.get("kinds").unwrap_or(""), problem));
        }
        let directions = directions.map(|d| space.map(|a| d[a].unwrap_or_default()));
        Ok(Axes { sizes, space, channels, directions })
    }

    /// Where voxels lie, and the field that says so.
    fn affine(&self, axes: &Axes, warnings: &mut Vec<String>) -> Result<(Affine, &'static str), VolumeError> {
        let space = self.get("space").map(str::to_ascii_lowercase);
        let name = space.as_deref().map(|s| s.trim_end_matches("-time"));
        let to_ras: fn([f64; 3]) -> [f64; 3] = match name {
            Some("left-posterior-superior" | "lps" | "lpst") => lps_to_ras,
            Some("right-anterior-superior" | "ras" | "rast") => |p| p,
            Some("left-anterior-superior" | "las" | "last") => |[x, y, z]| [-x, y, z],
            Some(other) => {
                let problem = "it says not how the space lies in the patient; save it in left-posterior-superior";
                return Err(VolumeError::field(FORMAT, "space", other, problem));
            }
            None => {
                warnings.push(
                    "the header has no `space`: its axes are taken as leading to the patient's left, back and head, as other \
                     programs take them; which side is left is a guess"
                        .to_owned(),
                );
                lps_to_ras
            }
        };
        let unit = self.millimetres(warnings);
        let (directions, source) = match axes.directions {
            Some(directions) => (directions, "space directions"),
            None => {
                let spacings = match self.get("spacings") {
                    Some(text) => {
                        let all: Option<Vec<f64>> = text.split_whitespace().map(|w| w.parse().ok()).collect();
                        let all = all.filter(|all| all.len() == axes.sizes.len());
                        all.ok_or_else(|| {
                            VolumeError::field(FORMAT, "spacings", text, "each axis has a number, or nan")
                        })?
                    }
                    None => {
                        warnings.push(
                            "the header has no `space directions` and no `spacings`: voxels of 1 mm are assumed".into(),
                        );
                        vec![1.0; axes.sizes.len()]
                    }
                };
                let along = |a: usize| std::array::from_fn(|row| if row == a { spacings[axes.space[a]] } else { 0.0 });
                ([along(0), along(1), along(2)], "spacings")
            }
        };
        let origin = match self.get("space origin") {
            Some(text) => vector_of(text.trim().trim_end_matches(')'))
                .flatten()
                .ok_or_else(|| VolumeError::field(FORMAT, "space origin", text, "it is like (0,0,0)"))?,
            None => [0.0; 3],
        };
        let mm = |v: [f64; 3]| to_ras(v.map(|c| c * unit));
        let affine = affine_of(directions.map(mm), mm(origin));
        affine.check(source)?;
        Ok((affine, source))
    }

    /// Millimetres of a unit of space.
    fn millimetres(&self, warnings: &mut Vec<String>) -> f64 {
        let Some(text) = self.get("space units").or_else(|| self.get("units")) else { return 1.0 };
        let unit = text.split('"').map(str::trim).find(|part| !part.is_empty()).unwrap_or("mm");
        match unit {
            "mm" | "millimeter" | "millimetre" => 1.0,
            "m" | "meter" | "metre" => 1000.0,
            "cm" => 10.0,
            "um" | "µm" | "micron" | "microns" => 1e-3,
            _ => {
                warnings.push(format!("lengths are in {unit:?} by its header, and are taken as millimetres"));
                1.0
            }
        }
    }
}

/// The names that a pattern with `%d` or `%03d` makes of numbers; none where it is no pattern, or makes too many.
pub(in crate::volume) fn numbered(pattern: &str, first: i64, last: i64, step: i64) -> Option<Vec<String>> {
    let (before, after) = pattern.split_once('%')?;
    let (width, after) = after.split_once('d')?;
    let width: usize = if width.is_empty() { 0 } else { width.parse().ok().filter(|width| *width <= 32)? };
    let count = last.checked_sub(first)?.checked_div(step)?.checked_add(1)?;
    let number = |n: i64| first.checked_add(n.checked_mul(step)?);
    let name = |n: i64| Some(format!("{before}{:0width$}{after}", number(n)?));
    (1..=65_536).contains(&count).then(|| (0..count).map(name).collect())?
}

struct Axes {
    sizes: Vec<usize>,
    /// Axes i, j, k.
    space: [usize; 3],
    channels: Option<usize>,
    directions: Option<[[f64; 3]; 3]>,
}

/// A field's name without blanks and capitals: `data file` and `datafile` are one.
fn normal(field: &str) -> String {
    field.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect()
}

/// The first three numbers of `(1,0,0` or, with time, `(1,0,0,0`; `Some(None)` where they are not numbers (`(nan,nan,nan)`).
fn vector_of(text: &str) -> Option<Option<[f64; 3]>> {
    let inner = text.trim().strip_prefix('(')?.replace(',', " ");
    let words: Vec<f64> = inner.split_whitespace().map(|w| w.parse().ok()).collect::<Option<_>>()?;
    if !(3..=4).contains(&words.len()) {
        return None;
    }
    Some(numbers(&inner).and_then(|n| n.first_chunk::<3>().copied()))
}

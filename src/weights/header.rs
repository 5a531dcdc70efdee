//! The JSON header of a safetensors file, read strictly.
//!
//! The `safetensors` crate has the last word on every file; these checks come first because it keeps the last of
//! two equal keys, names no tensor in most errors, and counts sizes in `usize`, so that its verdict depends on
//! the target.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};

use super::dtype::Dtype;
use super::error::{WeightsError, quoted};

/// Largest header accepted. That of a UNETR needs 40 kB.
const MAX_HEADER: usize = 16 << 20;
/// Largest tensor accepted: what a signed 32-bit size can count.
const MAX_TENSOR: u64 = i32::MAX as u64;

/// One tensor's entry, offsets counted from the start of the file.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub start: usize,
    pub end: usize,
}

/// A checked header: its free text entries and its tensors in order of their data.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub metadata: BTreeMap<String, String>,
    pub entries: Vec<Entry>,
}

/// Reads and checks the header of the file `bytes`.
pub(super) fn read(bytes: &[u8]) -> Result<Header, WeightsError> {
    let too_short = || WeightsError::header(format!("{} bytes are too few for a header", bytes.len()));
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(too_short)?;
    let length = u64::from_le_bytes(*length);
    let fits = usize::try_from(length).ok().filter(|&length| length <= MAX_HEADER);
    let Some(length) = fits else {
        return Err(WeightsError::header(format!("it claims a header of {length} bytes, more than {MAX_HEADER}")));
    };
    let Some(text) = rest.get(..length) else {
        let problem = format!("it claims a header of {length} bytes but has {} bytes: truncated?", bytes.len());
        return Err(WeightsError::header(problem));
    };
    if text.first() != Some(&b'{') {
        return Err(WeightsError::header("the header does not start with \"{\""));
    }
    let raw: RawHeader = serde_json::from_slice(text).map_err(|error| WeightsError::header(error.to_string()))?;
    let data_start = 8 + length;
    let mut entries = Vec::with_capacity(raw.tensors.len());
    for (name, tensor) in &raw.tensors {
        entries.push(entry(name, tensor, data_start, bytes.len())?);
    }
    entries.sort_by(|a, b| (a.start, a.end, &a.name).cmp(&(b.start, b.end, &b.name)));
    check_cover(&entries, data_start, bytes.len())?;
    safetensors::SafeTensors::read_metadata(bytes).map_err(|error| WeightsError::header(error.to_string()))?;
    Ok(Header { metadata: raw.metadata, entries })
}

fn entry(name: &str, raw: &RawTensor, data_start: usize, file: usize) -> Result<Entry, WeightsError> {
    let problem = |problem: String| WeightsError::tensor(name, problem);
    let dtype = Dtype::from_name(&raw.dtype)
        .ok_or_else(|| problem(format!("element type {} is not supported", quoted(&raw.dtype))))?;
    // Lengths of zero are left out of the product, so that [0, 2^40] is refused on every target.
    let bytes = raw.shape.iter().try_fold(dtype.size() as u64, |bytes, &length| bytes.checked_mul(length.max(1)));
    if bytes.is_none_or(|bytes| bytes > MAX_TENSOR) {
        return Err(problem(format!("shape {:?} is larger than 2 GiB", raw.shape)));
    }
    let shape: Vec<usize> = raw.shape.iter().filter_map(|&length| usize::try_from(length).ok()).collect();
    let size = shape.iter().product::<usize>() * dtype.size();
    let [start, end] = raw.data_offsets;
    if end.checked_sub(start) != Some(size as u64) {
        let shown = format!("shape {shape:?} of {dtype} needs {size} bytes, its offsets are [{start}, {end}]");
        return Err(problem(shown));
    }
    let inside = |offset: u64| {
        let offset = usize::try_from(offset).ok()?.checked_add(data_start)?;
        (offset <= file).then_some(offset)
    };
    match (inside(start), inside(end)) {
        (Some(start), Some(end)) => Ok(Entry { name: name.to_string(), dtype, shape, start, end }),
        _ => Err(problem(format!("its data ends at byte {end}, beyond the end of the file: truncated?"))),
    }
}

/// The tensors' data must cover the rest of the file without gap or overlap.
fn check_cover(entries: &[Entry], data_start: usize, file: usize) -> Result<(), WeightsError> {
    let mut covered = data_start;
    for entry in entries {
        if entry.start != covered {
            let how = if entry.start < covered { "overlaps the tensor before" } else { "leaves a gap before it" };
            return Err(WeightsError::tensor(&entry.name, format!("its data {how}")));
        }
        covered = entry.end;
    }
    if covered != file {
        return Err(WeightsError::header(format!("{} bytes follow the last tensor", file - covered)));
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTensor {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// The header as written; two equal keys, at any level, are an error.
#[derive(Default)]
struct RawHeader {
    metadata: BTreeMap<String, String>,
    tensors: Vec<(String, RawTensor)>,
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = RawHeader;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
        let mut header = RawHeader::default();
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !seen.insert(name.clone()) {
                return Err(A::Error::custom(format!("duplicate name {}", quoted(&name))));
            }
            if name == "__metadata__" {
                header.metadata = map.next_value_seed(MetadataSeed)?;
                continue;
            }
            let tensor = map.next_value::<RawTensor>();
            let tensor = tensor.map_err(|error| A::Error::custom(format!("tensor {}: {error}", quoted(&name))))?;
            header.tensors.push((name, tensor));
        }
        Ok(header)
    }
}

struct MetadataSeed;

impl<'de> DeserializeSeed<'de> for MetadataSeed {
    type Value = BTreeMap<String, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MetadataSeed {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("__metadata__ as an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut metadata = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value::<String>();
            let value = value.map_err(|error| A::Error::custom(format!("__metadata__ {}: {error}", quoted(&key))))?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(A::Error::custom(format!("duplicate name {} in __metadata__", quoted(&key))));
            }
        }
        Ok(metadata)
    }
}

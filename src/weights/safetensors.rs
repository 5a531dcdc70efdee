//! Safetensors files: a strict reader that keeps the file as it is, and a writer whose output depends only on
//! its input.
//!
//! Layout: u64 little-endian header length, JSON header, the tensors' bytes without gaps. [`Tensors`] owns the
//! file's bytes and decodes one tensor at a time, so a model of 371 MB is held once.
//!
//! # Errors
//! Duplicate names, unknown element types, sizes that overflow or do not fit a 32-bit target, gaps, overlaps,
//! trailing bytes and truncation are refused; see [`WeightsError`].
//!
//! # Source
//! <https://github.com/huggingface/safetensors#format>

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;

use serde_json::{Map, Value, json};

use super::dtype::{self, Dtype};
use super::error::{WeightsError, quoted};
use super::header::{self, Entry};
use crate::tensor::FloatType;

/// Named tensors over one buffer of bytes.
#[derive(Debug)]
pub struct Tensors {
    bytes: Vec<u8>,
    metadata: BTreeMap<String, String>,
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
}

/// One tensor: its little-endian bytes, row-major.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    pub name: &'a str,
    /// Type of its elements.
    pub dtype: Dtype,
    /// Lengths of its axes, outermost first.
    pub shape: &'a [usize],
    pub bytes: &'a [u8],
}

impl TensorView<'_> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its values as f32, rounded where the stored type is wider.
    pub fn to_f32(&self) -> Vec<f32> {
        dtype::decode_f32(self.dtype, self.bytes)
    }

    /// Its values as f64.
    pub fn to_f64(&self) -> Vec<f64> {
        dtype::decode_f64(self.dtype, self.bytes)
    }

    /// Its little-endian bytes in the type asked for, borrowed when it is stored so.
    ///
    /// # Errors
    /// A finite value beyond the range of `to`.
    pub fn to_bytes(&self, to: FloatType) -> Result<Cow<'_, [u8]>, WeightsError> {
        if self.dtype == Dtype::from(to) {
            return Ok(Cow::Borrowed(self.bytes));
        }
        dtype::convert(self.name, self.dtype, self.bytes, to).map(Cow::Owned)
    }

    /// # Errors
    /// The first value that is infinite or not a number.
    pub fn check_finite(&self) -> Result<(), WeightsError> {
        dtype::check_finite(self.name, self.dtype, self.bytes)
    }
}

impl Tensors {
    /// Reads a safetensors file. The bytes are kept, not copied.
    ///
    /// # Errors
    /// Anything the format forbids, and what differs between targets; see the module.
    pub fn read(bytes: Vec<u8>) -> Result<Self, WeightsError> {
        let header = header::read(&bytes)?;
        let by_name = header.entries.iter().enumerate().map(|(at, entry)| (entry.name.clone(), at)).collect();
        Ok(Self { bytes, metadata: header.metadata, entries: header.entries, by_name })
    }

    /// The tensor `name`.
    pub fn get(&self, name: &str) -> Option<TensorView<'_>> {
        self.by_name.get(name).and_then(|&at| self.entries.get(at)).map(|entry| self.view(entry))
    }

    /// The values of the tensor `name` as f32.
    pub fn to_f32(&self, name: &str) -> Option<Vec<f32>> {
        self.get(name).map(|tensor| tensor.to_f32())
    }

    /// Every tensor, in order of its data.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = TensorView<'_>> {
        self.entries.iter().map(|entry| self.view(entry))
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no tensor.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Free text of the header's `__metadata__`.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The whole file, as read.
    pub fn file_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The whole file, given up.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn view<'a>(&'a self, entry: &'a Entry) -> TensorView<'a> {
        // The header's check put every range inside `bytes`.
        let bytes = self.bytes.get(entry.start..entry.end).unwrap_or_default();
        TensorView { name: &entry.name, dtype: entry.dtype, shape: &entry.shape, bytes }
    }
}

/// A safetensors file in the making: tensors are appended, then the file is finished in one piece.
///
/// Tensors keep the order in which they are pushed. The result is a function of the calls alone.
#[derive(Debug, Default)]
pub struct TensorsBuilder {
    data: Vec<u8>,
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
}

impl TensorsBuilder {
    /// An empty file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a tensor.
    ///
    /// # Errors
    /// A name that is already there, or a shape that does not fit the bytes.
    pub fn push(&mut self, name: &str, dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Result<(), WeightsError> {
        let size = shape.iter().try_fold(dtype.size(), |size, &length| size.checked_mul(length));
        if size != Some(bytes.len()) {
            let problem = format!("shape {shape:?} of {dtype} does not fit {} bytes", bytes.len());
            return Err(WeightsError::tensor(name, problem));
        }
        if name == "__metadata__" || self.by_name.contains_key(name) {
            return Err(WeightsError::header(format!("duplicate name {}", quoted(name))));
        }
        self.by_name.insert(name.to_string(), self.entries.len());
        let start = self.data.len();
        self.data.extend_from_slice(bytes);
        let end = self.data.len();
        self.entries.push(Entry { name: name.to_string(), dtype, shape: shape.to_vec(), start, end });
        Ok(())
    }

    /// Appends f32 values in the type asked for.
    ///
    /// # Errors
    /// As [`TensorsBuilder::push`], or a finite value beyond the range of `to`.
    pub fn push_f32(&mut self, name: &str, shape: &[usize], values: &[f32], to: FloatType) -> Result<(), WeightsError> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        match to {
            FloatType::F32 => self.push(name, Dtype::F32, shape, &bytes),
            FloatType::F16 => self.push(name, Dtype::F16, shape, &dtype::convert(name, Dtype::F32, &bytes, to)?),
        }
    }

    /// Writes the file.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn write(&self, metadata: &BTreeMap<String, String>, mut to: impl Write) -> Result<(), WeightsError> {
        to.write_all(&self.header(metadata))?;
        to.write_all(&self.data)?;
        Ok(to.flush()?)
    }

    /// The finished file in memory.
    ///
    /// # Errors
    /// A file that its own reader would refuse: a tensor beyond 2 GiB, a header beyond 16 MiB.
    pub fn finish(mut self, metadata: &BTreeMap<String, String>) -> Result<Tensors, WeightsError> {
        let header = self.header(metadata);
        self.data.splice(0..0, header);
        Tensors::read(self.data)
    }

    fn header(&self, metadata: &BTreeMap<String, String>) -> Vec<u8> {
        let mut object = Map::new();
        if !metadata.is_empty() {
            object.insert("__metadata__".into(), json!(metadata));
        }
        for entry in &self.entries {
            let Entry { dtype, shape, start, end, .. } = entry;
            let tensor = json!({"dtype": dtype.name(), "shape": shape, "data_offsets": [start, end]});
            object.insert(entry.name.clone(), tensor);
        }
        let mut text = Value::Object(object).to_string().into_bytes();
        // Data starts at a multiple of 8, as readers that map the file expect.
        text.resize(text.len().next_multiple_of(8), b' ');
        let mut header = (text.len() as u64).to_le_bytes().to_vec();
        header.append(&mut text);
        header
    }
}

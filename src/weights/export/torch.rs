//! PyTorch's zip container, written: a pickle of plain values and tensors, and a record for each storage.
//!
//! The pickle is of protocol 2 and names what `torch.load` builds tensors with and nothing else, so that `weights_only=True`
//! takes it. Tensors that are stored once, as a module that is registered twice has them, share a storage.
//! Source: PyTorch 2, `torch/serialization.py`, `torch/_utils.py` (`_rebuild_tensor_v2`).

use std::io::{Cursor, Write as _};

use serde_json::Value;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::super::dtype::Dtype;
use super::super::error::WeightsError;
use super::State;

/// What a checkpoint holds.
pub(super) enum Item<'a> {
    /// Plain data.
    Plain(Value),
    /// A state dict.
    State(&'a State),
    /// Named items.
    Dict(Vec<(&'static str, Item<'a>)>),
}

/// A checkpoint whose tensors are all of `state`.
///
/// # Errors
/// A tensor of a type that PyTorch has no storage for, or more than a zip can hold.
pub(super) fn write(item: &Item<'_>, state: &State) -> Result<Vec<u8>, WeightsError> {
    let mut pickle = Pickle(vec![0x80, 2]);
    pickle.item(item)?;
    pickle.0.push(b'.');
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    // Aligned as PyTorch does it, so that the file can be mapped.
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).with_alignment(64);
    let failed = |e: std::io::Error| WeightsError::checkpoint(e.to_string());
    let mut record = |name: &str, bytes: &[u8]| -> Result<(), WeightsError> {
        let options = options.large_file(bytes.len() > u32::MAX as usize);
        zip.start_file(format!("archive/{name}"), options).map_err(|e| failed(e.into()))?;
        zip.write_all(bytes).map_err(failed)
    };
    record("data.pkl", &pickle.0)?;
    record("byteorder", b"little")?;
    for (number, storage) in state.storages.iter().enumerate() {
        record(&format!("data/{number}"), &storage.bytes)?;
    }
    record("version", b"3\n")?;
    Ok(zip.finish().map_err(|e| failed(e.into()))?.into_inner())
}

/// The storage class of a type.
fn storage_class(dtype: Dtype) -> Option<&'static str> {
    Some(match dtype {
        Dtype::F64 => "DoubleStorage",
        Dtype::F32 => "FloatStorage",
        Dtype::F16 => "HalfStorage",
        Dtype::Bf16 => "BFloat16Storage",
        Dtype::I64 => "LongStorage",
        Dtype::I32 => "IntStorage",
        Dtype::I16 => "ShortStorage",
        Dtype::I8 => "CharStorage",
        Dtype::U8 => "ByteStorage",
        Dtype::Bool => "BoolStorage",
        Dtype::U32 | Dtype::U16 => return None,
    })
}

struct Pickle(Vec<u8>);

impl Pickle {
    fn item(&mut self, item: &Item<'_>) -> Result<(), WeightsError> {
        match item {
            Item::Plain(value) => self.value(value),
            Item::State(state) => self.state(state)?,
            Item::Dict(items) => {
                self.0.extend(b"}(");
                for (name, item) in items {
                    self.text(name);
                    self.item(item)?;
                }
                self.0.push(b'u');
            }
        }
        Ok(())
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.0.push(b'N'),
            Value::Bool(true) => self.0.push(0x88),
            Value::Bool(false) => self.0.push(0x89),
            Value::Number(number) => match number.as_i64() {
                Some(whole) => self.whole(whole),
                None => {
                    self.0.push(b'G');
                    self.0.extend(number.as_f64().unwrap_or(f64::NAN).to_be_bytes());
                }
            },
            Value::String(text) => self.text(text),
            Value::Array(items) => {
                self.0.extend(b"](");
                items.iter().for_each(|item| self.value(item));
                self.0.push(b'e');
            }
            Value::Object(map) => {
                self.0.extend(b"}(");
                for (key, value) in map {
                    self.text(key);
                    self.value(value);
                }
                self.0.push(b'u');
            }
        }
    }

    fn whole(&mut self, value: i64) {
        match i32::try_from(value) {
            Ok(small) => {
                self.0.push(b'J');
                self.0.extend(small.to_le_bytes());
            }
            Err(_) => {
                self.0.extend([0x8a, 8]);
                self.0.extend(value.to_le_bytes());
            }
        }
    }

    fn text(&mut self, text: &str) {
        self.0.push(b'X');
        self.0.extend((text.len() as u32).to_le_bytes());
        self.0.extend(text.as_bytes());
    }

    fn global(&mut self, module: &str, name: &str) {
        self.0.extend(format!("c{module}\n{name}\n").as_bytes());
    }

    fn state(&mut self, state: &State) -> Result<(), WeightsError> {
        self.global("collections", "OrderedDict");
        self.0.extend(b")R(");
        for entry in &state.tensors {
            self.text(&entry.name);
            let Some(storage) = state.storages.get(entry.storage) else { continue };
            let class = storage_class(storage.dtype).ok_or_else(|| {
                WeightsError::tensor(&entry.name, format!("PyTorch has no storage for {}", storage.dtype))
            })?;
            self.global("torch._utils", "_rebuild_tensor_v2");
            self.0.extend(b"((");
            self.text("storage");
            self.global("torch", class);
            self.text(&entry.storage.to_string());
            self.text("cpu");
            self.whole((storage.bytes.len() / storage.dtype.size()) as i64);
            self.0.extend(b"tQ");
            self.whole(0);
            let mut strides: Vec<usize> = vec![1; entry.shape.len()];
            for axis in (1..entry.shape.len()).rev() {
                strides[axis - 1] = strides[axis] * entry.shape[axis];
            }
            for lengths in [&entry.shape, &strides] {
                self.0.push(b'(');
                lengths.iter().for_each(|n| self.whole(*n as i64));
                self.0.push(b't');
            }
            // No gradient, no hooks.
            self.0.push(0x89);
            self.global("collections", "OrderedDict");
            self.0.extend(b")RtR");
        }
        self.0.push(b'u');
        Ok(())
    }
}

//! TorchScript files, read for their weights: objects with their attributes as state, as PyTorch's own pickler writes them.

use std::collections::BTreeMap;

use unetr_wgpu::weights::{ImportOptions, Tensors, import};

use crate::support::bundle_files::weights;
use crate::support::torch_files::{ZipEntry, int, pickle, text, tuple, zip};

/// A module: tensors of its own and modules in it.
#[derive(Default)]
struct Module {
    tensors: BTreeMap<String, Vec<u8>>,
    modules: BTreeMap<String, Module>,
}

impl Module {
    fn put(&mut self, path: &str, tensor: Vec<u8>) {
        match path.split_once('.') {
            Some((name, rest)) => self.modules.entry(name.to_owned()).or_default().put(rest, tensor),
            None => {
                self.tensors.insert(path.to_owned(), tensor);
            }
        }
    }

    /// A class, an object of it without arguments, and its state.
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"c__torch__.torch.nn\nModule\n)\x81}(");
        out.extend(text("training"));
        out.push(0x89);
        for (name, tensor) in &self.tensors {
            out.extend(text(name));
            out.extend(tensor);
        }
        for (name, module) in &self.modules {
            out.extend(text(name));
            module.write(out);
        }
        out.extend_from_slice(b"ub");
    }
}

fn script() -> Vec<u8> {
    let state = Tensors::read(weights()).expect("a state dict");
    let mut root = Module::default();
    let mut entries = vec![
        ZipEntry::stored("m/code/__torch__.py", "raise SystemExit"),
        ZipEntry::stored("m/constants.pkl", pickle(b")")),
        ZipEntry::stored("m/version", "3\n"),
    ];
    for (at, tensor) in state.iter().enumerate() {
        let shape: Vec<u32> = tensor.shape.iter().map(|&n| n as u32).collect();
        let stride: Vec<u32> = (0..shape.len()).map(|a| shape[a + 1..].iter().product()).collect();
        let count: u32 = shape.iter().product();
        let key = at.to_string();
        let storage =
            [&b"("[..], &text("storage"), b"ctorch\nFloatStorage\n", &text(&key), &text("cpu"), &int(count), b"tQ"]
                .concat();
        let hooks = b"\x89ccollections\nOrderedDict\n)Rt";
        let call = b"ctorch._utils\n_rebuild_tensor_v2\n(";
        let made = [&call[..], &storage, &int(0), &tuple(&shape), &tuple(&stride), hooks, b"R"].concat();
        root.put(tensor.name, made);
        entries.push(ZipEntry::stored(&format!("m/data/{key}"), tensor.bytes));
    }
    let mut body = Vec::new();
    root.write(&mut body);
    entries.push(ZipEntry::stored("m/data.pkl", pickle(&body)));
    zip(&entries)
}

#[test]
fn a_program_is_read_for_its_weights() {
    let package = r#"{"network": {"strides": [2]}}"#;
    let options = ImportOptions { package: Some(package), ..ImportOptions::default() };
    let from_script = import(script(), &options).expect("a TorchScript file").package;
    let from_state = import(weights(), &options).expect("a state dict").package;
    assert!(from_script.into_file_bytes() == from_state.into_file_bytes(), "other weights");
}

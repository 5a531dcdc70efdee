//! What ends a program from outside: a limit on the size of files, two empty masks to compare.

use std::process::Command;

use unetr_wgpu::volume::{Affine, LabelMap, nifti};

use crate::support::run::{Folder, hippocampus, unetr};

/// `RLIMIT_FSIZE`, which batch systems set: the signal it sends would end the program in the middle of a file.
#[test]
fn a_limit_on_files_is_an_error_that_leaves_nothing() {
    let folder = Folder::new();
    let (_, model) = hippocampus();
    let limited = format!(
        "ulimit -f 16; cd {}; exec {} export {model} -o plain.safetensors",
        folder.path("").display(),
        env!("CARGO_BIN_EXE_unetr")
    );
    let output = Command::new("bash").args(["-c", &limited]).output().expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("plain.safetensors") && said.contains("File too large"), "{said}");
    let left: Vec<_> = std::fs::read_dir(folder.path("")).expect("a folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn two_empty_masks_are_told() {
    let folder = Folder::new();
    let map = LabelMap::new(vec![0; 8], [2; 3], Affine::IDENTITY).expect("labels");
    let mut bytes = Vec::new();
    nifti::write_labels(&mut bytes, &map, &nifti::WriteOptions::default()).expect("written");
    folder.write("a.nii", &bytes);
    let arguments = ["evaluate", "--prediction", "a.nii", "--truth", "a.nii", "--json"];
    let ran = unetr(&folder, &arguments).expect(0);
    assert!(ran.stderr.contains("both are empty"), "{}", ran.stderr);
    assert_eq!(ran.json()["cases"], serde_json::json!([]));
}

//! Scans that can be read but once: stdin and named pipes.
#![cfg(unix)]

use std::process::{Command, Stdio};

use crate::support::run::{Folder, device, hippocampus, labels, on_device, text};

#[test]
fn a_pipe_without_end_that_is_no_scan_is_refused() {
    let folder = Folder::new();
    let ran = on_device(&folder, &["segment", "/dev/zero", "-m", &hippocampus().1, "-o", "x.nii.gz"]).expect(1);
    assert!(ran.stderr.contains("/dev/zero: not a NIfTI file"), "{}", ran.stderr);
}

#[test]
fn a_scan_comes_through_stdin_or_a_named_pipe() {
    let folder = Folder::new();
    let (scan, model) = hippocampus();
    on_device(&folder, &["segment", &scan, "-m", &model, "-o", "file.nii.gz", "--overlap", "0"]).expect(0);
    let expected = labels(&folder.path("file.nii.gz"));

    let arguments = |input: &str, output: &str| {
        let fixed = ["segment", input, "-m", &model, "-o", output, "--overlap", "0"].map(str::to_owned);
        fixed.into_iter().chain(device()).collect::<Vec<_>>()
    };
    let mut cat = Command::new("cat").arg(&scan).stdout(Stdio::piped()).spawn().expect("cat");
    let status = Command::new(env!("CARGO_BIN_EXE_unetr"))
        .args(arguments("/dev/stdin", &text(&folder.path("stdin.nii.gz"))))
        .stdin(cat.stdout.take().expect("a pipe"))
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .status();
    assert!(status.expect("the program").success());
    cat.wait().expect("cat");
    assert_eq!(labels(&folder.path("stdin.nii.gz")), expected);

    let pipe = folder.path("scan.nii.gz");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let mut writer = Command::new("sh").args(["-c", "cat \"$0\" > \"$1\"", &scan]).arg(&pipe).spawn().expect("sh");
    let arguments = arguments("scan.nii.gz", "fifo.nii.gz");
    let ran = crate::support::run::unetr(&folder, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let ran = ran.expect(0);
    writer.wait().expect("the writer");
    assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
    assert_eq!(labels(&folder.path("fifo.nii.gz")), expected);
}

//! Bad input of every kind through the program: the right exit code, a message that says why, no panic, no new file, no
//! file changed, memory bounded.

use crate::support::bad_nifti::{sound, with};
use crate::support::each::each;
use crate::support::raw_models::tiny_package;
use crate::support::run::{Folder, Ran, unetr, unetr_measured};
use crate::support::{bad_checkpoints, bad_lines, bad_models, bad_nifti};

/// The program itself and its threads, before it reads anything.
const PROGRAM_KIB: u64 = 32 << 10;

/// Sound files under names that the cases use, and outputs of an earlier day that must survive.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("scan.nii", &sound());
    folder.write("model.safetensors", &tiny_package());
    for kept in ["old.nii.gz", "old.json", "old.safetensors", "old.png"] {
        folder.write(kept, b"kept from an earlier day");
    }
    folder
}

/// What is wrong with how a run ended; nothing if all is well.
fn faults(
    ran: &Ran,
    code: i32,
    fragment: &str,
    before: &Folder,
    files: &std::collections::BTreeMap<String, Vec<u8>>,
    input: usize,
) -> Vec<String> {
    let mut faults = Vec::new();
    if ran.code != Some(code) {
        faults.push(format!("exit code {:?} instead of {code}", ran.code));
    }
    if !ran.stderr.contains(fragment) || !ran.stderr.contains("error: ") {
        faults.push(format!("the message does not say '{fragment}'"));
    }
    if ran.stderr.contains("panicked") || ran.stdout.contains("panicked") {
        faults.push("a panic".to_owned());
    }
    if ran.stderr.chars().any(|c| c.is_control() && c != '\n') {
        faults.push("control characters in the message".to_owned());
    }
    if before.files() != *files {
        faults.push("files were made, changed or lost".to_owned());
    }
    let allowed = PROGRAM_KIB + 4 * input as u64 / 1024;
    if let Some(peak) = ran.peak_kib.filter(|&p| p > allowed) {
        faults.push(format!("{peak} KiB of memory, {allowed} are allowed"));
    }
    if !faults.is_empty() {
        faults.push(format!("stderr: {}", ran.stderr.trim_end()));
    }
    faults
}

/// Runs every case, on all cores; panics with all faults.
fn check<T: Sync>(cases: &[T], check: impl Fn(&T) -> (String, Vec<String>) + Sync) {
    let failures = std::sync::Mutex::new(Vec::new());
    each(
        cases,
        || (),
        |(), case| {
            let (name, faults) = check(case);
            if !faults.is_empty() {
                failures.lock().expect("no panic above").push(format!("{name}: {}", faults.join("; ")));
            }
        },
    );
    let failures = failures.into_inner().expect("no panic above");
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
    println!("{} cases", cases.len());
}

#[test]
fn malformed_scans() {
    let cases = [bad_nifti::bad_nifti(), bad_nifti::other_formats()].concat();
    assert!(cases.len() >= 60, "only {} cases", cases.len());
    check(&cases, |(name, bytes, fragment)| {
        let folder = folder();
        // A header that belongs to a pair is named as one, so that its partner is looked for.
        let scan = if *name == ".hdr alone" { "bad.hdr" } else { "bad.nii" };
        folder.write(scan, bytes);
        let before = folder.files();
        let arguments =
            ["segment", scan, "-m", "model.safetensors", "-o", "old.nii.gz", "--force", "--preview", "new.png"];
        let ran = unetr_measured(&folder, &arguments);
        ((*name).to_owned(), faults(&ran, 1, fragment, &folder, &before, bytes.len()))
    });
}

#[test]
fn malformed_labels_of_an_evaluation() {
    let cases = bad_nifti::bad_nifti();
    check(&cases[..30], |(name, bytes, _)| {
        let folder = folder();
        folder.write("bad.nii", bytes);
        let before = folder.files();
        let arguments = ["evaluate", "--prediction", "scan.nii", "--truth", "bad.nii", "-o", "old.json", "--force"];
        let ran = unetr_measured(&folder, &arguments);
        ((*name).to_owned(), faults(&ran, 1, "bad", &folder, &before, bytes.len()))
    });
}

#[test]
fn malformed_models() {
    let cases = bad_models::bad_models();
    check(&cases, |(name, bytes, fragment)| {
        let folder = folder();
        folder.write("bad.safetensors", bytes);
        let before = folder.files();
        let mut all = Vec::new();
        // A header may quote its size in names and text several times over before it is refused.
        for arguments in [
            &["info", "bad.safetensors"][..],
            &["segment", "scan.nii", "-m", "bad.safetensors", "-o", "old.nii.gz", "--force"],
            &["export", "bad.safetensors", "-o", "old.safetensors", "--force"],
        ] {
            let ran = unetr_measured(&folder, arguments);
            // The program looks into a zip for a bundle or result folder.
            let fragment = if *name == "zip" { "broken zip" } else { fragment };
            all.extend(faults(&ran, 1, fragment, &folder, &before, bytes.len() * 8));
        }
        ((*name).to_owned(), all)
    });
}

#[test]
fn malformed_checkpoints() {
    let proof = Folder::new();
    let trap = proof.path("pickle-ran");
    let cases = bad_checkpoints::bad_checkpoints(&trap.to_string_lossy());
    check(&cases, |(name, bytes, fragment)| {
        let folder = folder();
        folder.write("bad.pt", bytes);
        let before = folder.files();
        let ran = unetr_measured(&folder, &["import", "bad.pt", "-o", "old.safetensors", "--force"]);
        // The program looks into a zip for a bundle or result folder too.
        let fragment = if *name == "zip-without-pickle" { "a MONAI bundle has" } else { fragment };
        // The checkpoint reader's own bound: 192 MiB and four times the file.
        let mut all = faults(&ran, 1, fragment, &folder, &before, bytes.len() + (48 << 20));
        if trap.exists() {
            all.push("a pickle was run".to_owned());
        }
        ((*name).to_owned(), all)
    });
}

#[test]
fn wrong_command_lines() {
    check(bad_lines::LINES, |(name, arguments, code, fragment)| {
        let folder = folder();
        std::fs::create_dir(folder.path("folder.nii")).expect("a folder");
        let wide: Vec<u8> = [5i16, 3, 2].iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut bytes = with(sound(), &[(42, &wide)]);
        bytes.extend([0; 12]);
        folder.write("wide.nii", &bytes);
        std::fs::create_dir(folder.path("unpacked.nii.gz")).expect("a folder");
        folder.write("unpacked.nii.gz/scan.nii", &sound());
        #[cfg(unix)]
        std::os::unix::fs::symlink("nowhere/at-all.nii", folder.path("dangling.nii")).expect("a link");
        folder.write("moved.nii", &with(sound(), &[(292, &(-1.0f32).to_le_bytes())]));
        folder.write("empty.json", b"{\"training\": []}");
        folder.write("unlabelled.json", b"{\"training\": [\"scan.nii\"]}");
        let before = folder.files();
        let ran = unetr(&folder, arguments);
        let mut all = faults(&ran, *code, fragment, &folder, &before, 0);
        // A bare call shows the help instead of an error.
        if arguments.is_empty() {
            all.retain(|f| !f.starts_with("the message") && !f.starts_with("stderr"));
        }
        ((*name).to_owned(), all)
    });
}

#[test]
fn devices_that_are_not_there() {
    let cases = ["99", "no such adapter", "-1"];
    check(&cases, |name| {
        let folder = folder();
        let before = folder.files();
        let device = format!("--device={name}");
        let arguments = ["segment", "scan.nii", "-m", "model.safetensors", "-o", "new.nii", &device];
        let ran = unetr(&folder, &arguments);
        // On a machine without any adapter the message says that instead.
        let fragment = if ran.stderr.contains("no GPU adapter found") { "no GPU" } else { "no adapter matches" };
        ((*name).to_owned(), faults(&ran, 1, fragment, &folder, &before, 1 << 30))
    });
}

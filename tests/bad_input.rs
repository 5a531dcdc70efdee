//! Bad input of every kind through the program: the right exit code, a message that says why, no panic, no new file, no
//! file changed, memory bounded.

#[path = "support/bad_checkpoints.rs"]
mod bad_checkpoints;
#[path = "support/bad_models.rs"]
mod bad_models;
#[path = "support/bad_nifti.rs"]
mod bad_nifti;
#[path = "support/raw_models.rs"]
mod raw_models;
#[path = "support/run.rs"]
mod run;
#[path = "support/tiny.rs"]
mod tiny;
#[path = "support/torch_files.rs"]
mod torch_files;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bad_nifti::{sound, with};
use raw_models::tiny_package;
use run::{Folder, Ran, unetr, unetr_measured};

/// The program itself and its threads, before it reads anything.
const PROGRAM_KIB: u64 = 64 << 10;

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

/// Runs every case in parallel on a few threads; panics with all faults.
fn check<T: Sync>(cases: &[T], check: impl Fn(&T) -> (String, Vec<String>) + Sync) {
    let next = AtomicUsize::new(0);
    let failures = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, |n| n.get().min(8)) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Relaxed)) {
                    let (name, faults) = check(case);
                    if !faults.is_empty() {
                        failures
                            .lock()
                            .expect("no panic above")
                            .push(format!("{name}: {}", faults.join("; ")));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no panic above");
    assert!(
        failures.is_empty(),
        "{} of {} cases:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
    println!("{} cases", cases.len());
}

#[test]
fn malformed_scans() {
    let cases = bad_nifti::bad_nifti();
    assert!(cases.len() >= 60, "only {} cases", cases.len());
    check(&cases, |(name, bytes, fragment)| {
        let folder = folder();
        // A header that belongs to a pair is named as one, so that its partner is looked for.
        let scan = if *name == ".hdr alone" {
            "bad.hdr"
        } else {
            "bad.nii"
        };
        folder.write(scan, bytes);
        let before = folder.files();
        let arguments = [
            "segment",
            scan,
            "-m",
            "model.safetensors",
            "-o",
            "old.nii.gz",
            "--force",
            "--preview",
            "new.png",
        ];
        let ran = unetr_measured(&folder, &arguments);
        (
            (*name).to_owned(),
            faults(&ran, 1, fragment, &folder, &before, bytes.len()),
        )
    });
}

#[test]
fn malformed_labels_of_an_evaluation() {
    let cases = bad_nifti::bad_nifti();
    check(&cases[..30], |(name, bytes, _)| {
        let folder = folder();
        folder.write("bad.nii", bytes);
        let before = folder.files();
        let arguments = [
            "evaluate",
            "--prediction",
            "scan.nii",
            "--truth",
            "bad.nii",
            "-o",
            "old.json",
            "--force",
        ];
        let ran = unetr_measured(&folder, &arguments);
        (
            (*name).to_owned(),
            faults(&ran, 1, "bad", &folder, &before, bytes.len()),
        )
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
            &[
                "segment",
                "scan.nii",
                "-m",
                "bad.safetensors",
                "-o",
                "old.nii.gz",
                "--force",
            ],
            &[
                "export",
                "bad.safetensors",
                "-o",
                "old.safetensors",
                "--force",
            ],
        ] {
            let ran = unetr_measured(&folder, arguments);
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
        let ran = unetr_measured(
            &folder,
            &["import", "bad.pt", "-o", "old.safetensors", "--force"],
        );
        // Expanding zips is allowed up to the reader's own bound on instructions.
        let mut all = faults(
            &ran,
            1,
            fragment,
            &folder,
            &before,
            bytes.len() + (16 << 20),
        );
        if trap.exists() {
            all.push("a pickle was run".to_owned());
        }
        ((*name).to_owned(), all)
    });
}

type Line = (&'static str, &'static [&'static str], i32, &'static str);

/// Wrong command lines (2), and right ones that cannot succeed (1).
const LINES: &[Line] = &[
    ("no command", &[], 2, "Usage: unetr"),
    (
        "unknown command",
        &["segement"],
        2,
        "unrecognized subcommand",
    ),
    (
        "unknown option",
        &["devices", "--fast"],
        2,
        "unexpected argument",
    ),
    (
        "no scan",
        &["segment", "-m", "model.safetensors", "-o", "new.nii"],
        2,
        "<SCAN>",
    ),
    (
        "no model",
        &["segment", "scan.nii", "-o", "new.nii"],
        2,
        "--model",
    ),
    (
        "no output",
        &["segment", "scan.nii", "-m", "model.safetensors"],
        2,
        "--output",
    ),
    (
        "output is the scan",
        &[
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "scan.nii",
            "--force",
        ],
        2,
        "is an input",
    ),
    (
        "output is the scan by another way",
        &[
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "./scan.nii",
            "--force",
        ],
        2,
        "is an input",
    ),
    (
        "output is the model",
        &[
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "new.nii",
            "--save-logits",
            "model.safetensors",
            "--force",
        ],
        2,
        "is an input",
    ),
    (
        "export onto itself",
        &[
            "export",
            "model.safetensors",
            "-o",
            "model.safetensors",
            "--force",
        ],
        2,
        "is an input",
    ),
    (
        "import onto itself",
        &[
            "import",
            "model.safetensors",
            "-o",
            "model.safetensors",
            "--force",
        ],
        2,
        "is an input",
    ),
    (
        "evaluation over the truth",
        &[
            "evaluate",
            "--prediction",
            "scan.nii",
            "--truth",
            "old.json",
            "-o",
            "old.json",
            "--force",
        ],
        2,
        "is an input",
    ),
    (
        "two outputs of one name",
        &[
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "a.nii",
            "--save-probabilities",
            "a.nii",
        ],
        2,
        "name the same file",
    ),
    (
        "output exists",
        &[
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "old.nii.gz",
        ],
        1,
        "--force",
    ),
    (
        "record exists",
        &[
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "old.nii",
        ],
        1,
        "--force",
    ),
    (
        "preview exists",
        &[
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "new.nii",
            "--preview",
            "old.png",
        ],
        1,
        "--force",
    ),
    (
        "exported file exists",
        &["export", "model.safetensors", "-o", "old.safetensors"],
        1,
        "--force",
    ),
    (
        "imported file exists",
        &["import", "model.safetensors", "-o", "old.safetensors"],
        1,
        "--force",
    ),
    (
        "output of another kind",
        &[
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "new.mha",
        ],
        2,
        "must end in .nii",
    ),
    (
        "output without a stem",
        &[
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            ".nii.gz",
        ],
        2,
        "must end in",
    ),
    (
        "statistics of another kind",
        &[
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "new.nii",
            "--statistics",
            "s.xlsx",
        ],
        2,
        ".json or .csv",
    ),
    (
        "preview of another kind",
        &[
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "new.nii",
            "--preview",
            "p.jpg",
        ],
        2,
        ".png",
    ),
    (
        "logits of another kind",
        &[
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "new.nii",
            "--save-logits",
            "l.npy",
        ],
        2,
        ".safetensors",
    ),
    (
        "figures of another kind",
        &[
            "evaluate",
            "--prediction",
            "scan.nii",
            "--truth",
            "scan.nii",
            "-o",
            "f.txt",
        ],
        2,
        ".csv or .json",
    ),
    (
        "output folder missing",
        &[
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "nowhere/new.nii",
        ],
        1,
        "nowhere",
    ),
    (
        "output is a folder",
        &[
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "folder.nii",
            "--force",
        ],
        1,
        "not a regular file",
    ),
    (
        "scan missing",
        &[
            "segment",
            "nothing.nii",
            "-m",
            "model.safetensors",
            "-o",
            "new.nii",
        ],
        1,
        "nothing.nii: ",
    ),
    (
        "scan is a folder",
        &[
            "segment",
            "folder.nii",
            "-m",
            "model.safetensors",
            "-o",
            "new.nii",
        ],
        1,
        "folder.nii: ",
    ),
    (
        "model missing",
        &[
            "segment",
            "scan.nii",
            "-m",
            "nothing.safetensors",
            "-o",
            "new.nii",
        ],
        1,
        "nothing.safetensors: ",
    ),
    (
        "model is a scan",
        &["segment", "scan.nii", "-m", "scan.nii", "-o", "new.nii"],
        1,
        "scan.nii: ",
    ),
    (
        "scan is a model",
        &[
            "segment",
            "model.safetensors",
            "-m",
            "model.safetensors",
            "-o",
            "new.nii",
        ],
        1,
        "not a NIfTI file",
    ),
    (
        "too many channels",
        &[
            "segment",
            "scan.nii",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "new.nii",
        ],
        1,
        "the model needs 1: CT",
    ),
    (
        "channels of two sizes",
        &[
            "segment",
            "scan.nii",
            "wide.nii",
            "-m",
            "model.safetensors",
            "-o",
            "new.nii",
        ],
        1,
        "scan.nii has [4, 3, 2] voxels and wide.nii has",
    ),
    (
        "channels in two places",
        &[
            "segment",
            "scan.nii",
            "moved.nii",
            "-m",
            "model.safetensors",
            "-o",
            "new.nii",
        ],
        1,
        "scan.nii and moved.nii have the same size but lie",
    ),
    (
        "overlap 1",
        &[
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "new.nii",
            "--overlap",
            "1",
        ],
        2,
        "less than 1",
    ),
    (
        "overlap -0.1",
        &[
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "new.nii",
            "--overlap=-0.1",
        ],
        2,
        "at least 0",
    ),
    (
        "overlap NaN",
        &[
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "new.nii",
            "--overlap",
            "NaN",
        ],
        2,
        "at least 0",
    ),
    (
        "overlap in words",
        &[
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "new.nii",
            "--overlap",
            "half",
        ],
        2,
        "a number is needed",
    ),
    (
        "unknown blend",
        &[
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "new.nii",
            "--blend",
            "linear",
        ],
        2,
        "gaussian, constant",
    ),
    (
        "unknown resampling",
        &[
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "new.nii",
            "--resample",
            "cubic",
        ],
        2,
        "probabilities, labels",
    ),
    (
        "unknown precision",
        &[
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "new.nii",
            "--precision",
            "f64",
        ],
        2,
        "f32, f16",
    ),
    (
        "window of two sizes",
        &[
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "new.nii",
            "--roi",
            "16,16",
        ],
        2,
        "three sizes are needed",
    ),
    (
        "window of size 0",
        &[
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "new.nii",
            "--roi",
            "16,0,16",
        ],
        2,
        "three sizes are needed",
    ),
    (
        "window of -16",
        &[
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "new.nii",
            "--roi=-16,16,16",
        ],
        2,
        "three sizes are needed",
    ),
    (
        "unknown form",
        &[
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "new.nii",
            "--form",
            "best",
        ],
        2,
        "sform, qform",
    ),
    (
        "option twice",
        &[
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "new.nii",
            "-o",
            "b.nii",
        ],
        2,
        "cannot be used multiple times",
    ),
    ("evaluate nothing", &["evaluate"], 2, "required"),
    (
        "prediction without truth",
        &["evaluate", "--prediction", "scan.nii"],
        2,
        "--truth",
    ),
    (
        "dataset without model",
        &["evaluate", "old.json"],
        2,
        "--model",
    ),
    (
        "dataset and prediction",
        &[
            "evaluate",
            "old.json",
            "-m",
            "model.safetensors",
            "--prediction",
            "scan.nii",
            "--truth",
            "scan.nii",
        ],
        2,
        "cannot be used with",
    ),
    (
        "dataset is no JSON",
        &["evaluate", "old.json", "-m", "model.safetensors"],
        1,
        "old.json: ",
    ),
    (
        "dataset without lists",
        &["evaluate", "empty.json", "-m", "model.safetensors"],
        1,
        "no list",
    ),
    (
        "dataset without labels",
        &["evaluate", "unlabelled.json", "-m", "model.safetensors"],
        1,
        "training[0] needs",
    ),
    (
        "prediction on another grid",
        &[
            "evaluate",
            "--prediction",
            "scan.nii",
            "--truth",
            "wide.nii",
        ],
        1,
        "must lie on one grid",
    ),
    (
        "prediction in another place",
        &[
            "evaluate",
            "--prediction",
            "scan.nii",
            "--truth",
            "moved.nii",
        ],
        1,
        "mm apart",
    ),
    (
        "unknown version of MONAI",
        &[
            "export",
            "model.safetensors",
            "-o",
            "new.safetensors",
            "--monai",
            "0.5",
        ],
        2,
        "use 0.6 to 1.6",
    ),
    (
        "unknown type",
        &[
            "export",
            "model.safetensors",
            "-o",
            "new.safetensors",
            "--dtype",
            "int8",
        ],
        2,
        "f32, f16",
    ),
    (
        "package file missing",
        &[
            "import",
            "model.safetensors",
            "-o",
            "new.safetensors",
            "--package",
            "nothing.json",
        ],
        1,
        "nothing.json: ",
    ),
    (
        "package file is no JSON",
        &[
            "import",
            "model.safetensors",
            "-o",
            "new.safetensors",
            "--package",
            "old.json",
        ],
        1,
        "package file",
    ),
    (
        "checkpoint is a scan",
        &["import", "scan.nii", "-o", "new.safetensors"],
        1,
        "neither a safetensors file nor a PyTorch checkpoint",
    ),
    ("info of a scan", &["info", "scan.nii"], 1, "scan.nii: "),
    (
        "info of a size 0",
        &["info", "--size", "0,1,1"],
        2,
        "three sizes are needed",
    ),
    (
        "reference missing",
        &["verify", "--reference", "nothing.safetensors"],
        1,
        "nothing.safetensors: ",
    ),
    ("no repeats", &["bench", "--repeats", "0"], 2, "0 is not in"),
];

#[test]
fn wrong_command_lines() {
    check(LINES, |(name, arguments, code, fragment)| {
        let folder = folder();
        std::fs::create_dir(folder.path("folder.nii")).expect("a folder");
        let wide: Vec<u8> = [5i16, 3, 2].iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut bytes = with(sound(), &[(42, &wide)]);
        bytes.extend([0; 12]);
        folder.write("wide.nii", &bytes);
        folder.write(
            "moved.nii",
            &with(sound(), &[(292, &(-2.9f32).to_le_bytes())]),
        );
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
        let arguments = [
            "segment",
            "scan.nii",
            "-m",
            "model.safetensors",
            "-o",
            "new.nii",
            &device,
        ];
        let ran = unetr(&folder, &arguments);
        // On a machine without any adapter the message says that instead.
        let fragment = if ran.stderr.contains("no GPU adapter found") {
            "no GPU"
        } else {
            "no adapter matches"
        };
        (
            (*name).to_owned(),
            faults(&ran, 1, fragment, &folder, &before, 1 << 30),
        )
    });
}

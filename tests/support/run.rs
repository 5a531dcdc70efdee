//! Runs the program in a folder of its own and says what it did.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use unetr_wgpu::volume::crop::Box3;
use unetr_wgpu::volume::nifti::{self, ReadOptions};
use unetr_wgpu::volume::{LabelMap, Volume};

/// What a run left behind.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// Peak of the resident memory, KiB; `None` where it cannot be measured.
    pub peak_kib: Option<u64>,
}

impl Ran {
    /// Panics with everything said unless the run ended with `code`.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        let Self { stdout, stderr, .. } = &self;
        assert_eq!(self.code, Some(code), "stdout:\n{stdout}\nstderr:\n{stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        self
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e} in:\n{}", self.stdout))
    }
}

/// A folder that vanishes with its files.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).expect("a file");
        path
    }

    /// Every file in it with its content.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = std::fs::read_dir(self.0.path()).expect("a folder");
        let files = entries.map(|e| e.expect("an entry").path()).filter(|p| p.is_file());
        files
            .map(|p| {
                let name = p.file_name().expect("a name").to_string_lossy().into_owned();
                (name, std::fs::read(&p).expect("a file"))
            })
            .collect()
    }
}

/// A file of this repository.
pub fn repository(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// The adapter the tests are to run on, as options.
pub fn device() -> Vec<String> {
    match std::env::var("UNETR_ADAPTER") {
        Ok(name) => vec!["--device".to_owned(), name],
        Err(_) => Vec::new(),
    }
}

/// The program in `folder` with these arguments; relative names are names in the folder.
pub fn unetr(folder: &Folder, arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unetr"));
    command.args(arguments);
    finish(folder, command)
}

/// The same, and its peak memory where GNU time is there to measure it.
pub fn unetr_measured(folder: &Folder, arguments: &[&str]) -> Ran {
    const TIME: &str = "/usr/bin/time";
    if !Path::new(TIME).exists() {
        return unetr(folder, arguments);
    }
    let report = tempfile::NamedTempFile::new().expect("a file");
    let mut command = Command::new(TIME);
    command.args(["-q", "-f", "%M", "-o"]).arg(report.path());
    command.arg(env!("CARGO_BIN_EXE_unetr")).args(arguments);
    let mut ran = finish(folder, command);
    let text = std::fs::read_to_string(report.path()).unwrap_or_default();
    ran.peak_kib = text.lines().last().and_then(|l| l.trim().parse().ok());
    ran
}

/// Where Mesa keeps what it has compiled, unless it is told otherwise.
fn caches() -> Option<PathBuf> {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("MESA_SHADER_CACHE_DIR").or_else(|| named("XDG_CACHE_HOME")).or_else(|| Some(named("HOME")?.join(".cache")))
}

fn finish(folder: &Folder, mut command: Command) -> Ran {
    // What somebody tuned on this machine changes nothing here. The driver keeps its compiled shaders, or each test would
    // wait for them anew.
    command.env("XDG_CACHE_HOME", folder.0.path().join("cache"));
    if let Some(caches) = caches() {
        command.env("MESA_SHADER_CACHE_DIR", caches);
    }
    command.current_dir(folder.0.path()).stdin(Stdio::null());
    let output = command.output().expect("the program");
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        peak_kib: None,
    }
}

/// The scan most tests use.
pub const CASE: &str = "hippocampus";

/// A path as an argument.
pub fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// That scan and the model for it.
pub fn hippocampus() -> (String, String) {
    let scan = repository(&format!("models/samples/{CASE}.nii.gz"));
    (text(&scan), text(&repository("models/hippocampus.safetensors")))
}

/// MONAI's labels of that scan with that model.
pub fn monais_labels() -> PathBuf {
    repository(&format!("tests/golden/samples/{CASE}.nii.gz"))
}

/// The program with these arguments and the tests' adapter.
pub fn on_device(folder: &Folder, arguments: &[&str]) -> Ran {
    let device = device();
    let mut all = arguments.to_vec();
    all.extend(device.iter().map(String::as_str));
    unetr(folder, &all)
}

/// A label file.
pub fn labels(path: &Path) -> LabelMap {
    nifti::read_labels_path(path, &ReadOptions::default()).expect("labels").labels
}

/// A scan.
pub fn volume(path: &Path) -> Volume {
    nifti::read_path(path, &ReadOptions::default()).expect("a scan").volume
}

/// A box cut out of a scan of one channel, where it lies.
pub fn part(scan: &Volume, start: [usize; 3], dims: [usize; 3]) -> Volume {
    let cut = Box3::within(start, dims);
    Volume::new(cut.cut(&scan.data, scan.dims), 1, dims, cut.affine(&scan.affine)).expect("a part")
}

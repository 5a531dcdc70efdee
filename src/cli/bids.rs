//! `unetr segment --bids`: names and tables as the Brain Imaging Data Structure has them for derivatives.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::error::{CliError, Context};
use super::files::file_name;
use super::output::Outputs;
use crate::report::NOTICE;
use crate::report::provenance::ToolRecord;
use crate::volume::nifti::LabelName;
use crate::volume::study;

/// The version of the specification.
const VERSION: &str = "1.10.0";
/// Entities that come before `desc` in a name, in the specification's order.
const BEFORE_DESC: [&str; 22] = [
    "sub", "ses", "sample", "task", "tracksys", "acq", "nuc", "voi", "ce", "trc", "stain", "rec", "dir", "run", "mod",
    "echo", "flip", "inv", "mt", "part", "proc", "space",
];

const DESCRIPTION: &str = "dataset_description.json";
const README: &str = "README";

/// Where the files of a scan go.
pub(super) struct Bids {
    folder: PathBuf,
    /// `derivatives/unetr`.
    root: PathBuf,
    /// Of all names: `sub-01_ses-2_desc-unetr`.
    stem: String,
    /// The scan as BIDS names it, if it lies in the dataset.
    source: Option<String>,
}

impl Bids {
    /// Takes the entities (`sub-`, `ses-`, ...) of the scan's name; without `sub-`, the whole name is the subject's.
    ///
    /// # Errors
    /// `root` is no folder, or the name has no letter or digit.
    pub fn new(root: &Path, scan: &Path) -> Result<Self, CliError> {
        if root.exists() && !root.is_dir() {
            return Err(CliError::usage(format!("--bids {}: a folder is needed, the dataset's", root.display())));
        }
        let name = file_name(scan);
        let entities = entities(study::stem(&name));
        if entities.iter().all(|(_, value)| value.is_empty()) {
            return Err(CliError::usage(format!(
                "--bids: {name} has no letter or digit that a subject could be named by"
            )));
        }
        let derivatives = root.join("derivatives").join("unetr");
        let mut folder = derivatives.clone();
        let of = |key: &str| entities.iter().find(|(k, _)| k == key).map(|(key, value)| format!("{key}-{value}"));
        folder.extend(["sub", "ses"].iter().filter_map(|key| of(key)));
        let datatype = scan.parent().and_then(Path::file_name).and_then(|n| n.to_str());
        folder.push(datatype.filter(|d| ["anat", "func", "dwi", "perf", "pet", "fmap"].contains(d)).unwrap_or("anat"));
        let parts: Vec<String> = entities.iter().map(|(key, value)| format!("{key}-{value}")).collect();
        let relative =
            |root: PathBuf, scan: PathBuf| Some(scan.strip_prefix(root).ok()?.to_string_lossy().replace('\\', "/"));
        let source =
            root.canonicalize().ok().zip(scan.canonicalize().ok()).and_then(|(root, scan)| relative(root, scan));
        Ok(Self { folder, root: derivatives, stem: format!("{}_desc-unetr", parts.join("_")), source })
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}_{ending}", self.stem))
    }

    /// The labels.
    pub fn output(&self) -> PathBuf {
        self.path("dseg.nii.gz")
    }

    /// Makes the folders and announces the files that this adds.
    ///
    /// # Errors
    /// As [`Outputs::plan`], or a folder cannot be made.
    pub fn plan(&self, outputs: &mut Outputs) -> Result<(), CliError> {
        outputs.plan("--bids", &self.path("dseg.tsv"))?;
        self.missing().iter().try_for_each(|name| outputs.plan("--bids", &self.root.join(name)))
    }

    /// Makes the folders.
    ///
    /// # Errors
    /// One cannot be made.
    pub fn make_folders(&self) -> Result<(), CliError> {
        std::fs::create_dir_all(&self.folder).at(&self.folder)
    }

    /// What describes the derivatives and is not there.
    fn missing(&self) -> Vec<&'static str> {
        let there = |names: &[&str]| names.iter().any(|name| self.root.join(name).exists());
        let all = [&[DESCRIPTION][..], &[README, "README.md", "README.rst", "README.txt"]];
        all.into_iter().filter(|names| !there(names)).filter_map(|names| names.first().copied()).collect()
    }

    /// Stages the table of labels, and what describes the derivatives where there is none.
    pub fn write(&self, outputs: &mut Outputs, names: &[LabelName]) -> Result<(), CliError> {
        let mut table = String::from("index\tname\tcolor\tcode\n");
        for name in names {
            let [red, green, blue] = name.color;
            let plain = name.name.replace(|c: char| c.is_control(), " ");
            let code =
                name.codes.as_ref().map_or_else(|| "n/a".into(), |c| format!("{}:{}", c.kind.scheme, c.kind.value));
            table.push_str(&format!("{}\t{plain}\t#{red:02x}{green:02x}{blue:02x}\t{code}\n", name.value));
        }
        outputs.stage_bytes(&self.path("dseg.tsv"), table.as_bytes())?;
        let ToolRecord { name, version } = ToolRecord::this();
        let text = json!({
            "Name": "Labels made by unetr", "BIDSVersion": VERSION, "DatasetType": "derivative", "DatasetLinks": {"raw": "../.."},
            "GeneratedBy": [{"Name": name, "Version": version, "Description": NOTICE}],
        });
        let description = serde_json::to_string_pretty(&text)? + "\n";
        let readme = format!(
            "Label maps of the scans in this dataset, made by models.\n\n{NOTICE}\n\nBeside each label map lie a table of its labels \
             (.tsv) and a record of model, settings and files (.json).\n"
        );
        self.missing().into_iter().try_for_each(|name| {
            outputs.stage_shared(&self.root.join(name), if name == README { &readme } else { &description })
        })
    }

    /// What BIDS asks of the file beside the labels, before the record's own keys.
    pub fn sidecar(&self, record: &str) -> Result<String, CliError> {
        let mut all = Map::new();
        all.insert("Description".into(), json!(format!("Labels made by a model. {NOTICE}")));
        all.insert("SpatialReference".into(), json!("orig"));
        all.insert("code".into(), json!({"Description": "What the label is: terminology and its code"}));
        if let Some(source) = &self.source {
            all.insert("Sources".into(), json!([format!("bids:raw:{source}")]));
        }
        if let Value::Object(record) = serde_json::from_str(record)? {
            all.extend(record);
        }
        Ok(serde_json::to_string_pretty(&Value::Object(all))? + "\n")
    }
}

/// The entities of a name, in the specification's order, with values of letters and digits.
fn entities(stem: &str) -> Vec<(String, String)> {
    let plain = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    let pair = |part: &str| part.split_once('-').map(|(key, value)| (key.to_owned(), plain(value)));
    let found: Vec<(String, String)> =
        stem.split('_').filter_map(pair).filter(|(_, value)| !value.is_empty()).collect();
    if !found.iter().any(|(key, _)| key == "sub") {
        return vec![("sub".into(), plain(stem))];
    }
    let known = BEFORE_DESC.iter().filter_map(|key| found.iter().find(|(k, _)| k == key).cloned());
    known.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_entities_in_order() {
        let name = |scan: &str| {
            let bids = Bids::new(Path::new("study"), Path::new(scan)).expect("a name");
            bids.output().to_string_lossy().replace('\\', "/")
        };
        let at = "study/derivatives/unetr/";
        for (scan, want) in [
            (
                "sub-01/ses-2/anat/sub-01_ses-2_run-1_acq-fine_T1w.nii.gz",
                "sub-01/ses-2/anat/sub-01_ses-2_acq-fine_run-1_desc-unetr_dseg.nii.gz",
            ),
            ("sub-A/dwi/sub-A_dwi.nii", "sub-A/dwi/sub-A_desc-unetr_dseg.nii.gz"),
            ("scans/hippocampus_001.nii.gz", "sub-hippocampus001/anat/sub-hippocampus001_desc-unetr_dseg.nii.gz"),
            ("CT series 5", "sub-CTseries5/anat/sub-CTseries5_desc-unetr_dseg.nii.gz"),
        ] {
            assert_eq!(name(scan), format!("{at}{want}"));
        }
        assert!(Bids::new(Path::new("study"), Path::new("_.nii")).is_err());
    }
}

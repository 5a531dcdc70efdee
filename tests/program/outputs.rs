//! What `unetr segment` writes besides NIfTI labels, from the command line to files that read back.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::dicom_file;
use crate::support::run::{Folder, Ran, hippocampus, labels, on_device, text, unetr, volume};
use unetr_wgpu::volume::study::{LabelFiles, LabelImage};
use unetr_wgpu::volume::{StudyOptions, VoxelGrid};

/// The sample as a DICOM series in a folder.
fn series(folder: &Folder) -> String {
    let path = folder.path("series");
    std::fs::create_dir_all(&path).expect("a folder");
    let sample = volume(Path::new(&hippocampus().0));
    for (i, file) in dicom_file::series(&sample, "1.2.840.99999.11", "HippoCrop").iter().enumerate() {
        std::fs::write(path.join(format!("{i}.dcm")), file).expect("written");
    }
    text(&path)
}

fn segment(folder: &Folder, scan: &str, more: &[&str]) -> Ran {
    let (_, model) = hippocampus();
    on_device(folder, &[&["segment", scan, "-m", &model, "--overlap", "0"], more].concat())
}

fn read(path: PathBuf) -> LabelImage {
    LabelFiles::open(&path).and_then(|files| files.read(&StudyOptions::default())).expect("labels")
}

fn placed(path: PathBuf, grid: &VoxelGrid) -> Vec<u32> {
    read(path).on_grid(grid, ["scan", "labels"]).expect("one grid").0.data
}

fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON")
}

#[test]
fn a_series_gives_a_segmentation_that_is_judged_like_any_labels() {
    let folder = Folder::new();
    let scan = series(&folder);
    segment(&folder, &scan, &["-o", "n.nii.gz"]).expect(0);
    let want = labels(&folder.path("n.nii.gz"));
    let values: Vec<u32> = want.data.iter().map(|v| u32::from(*v)).collect();
    segment(&folder, &scan, &["-o", "a.dcm", "--split-labels"]).expect(0);
    segment(&folder, &scan, &["-o", "b.dcm", "--seg", "labelmap", "--all-frames"]).expect(0);
    let (nifti, _) = hippocampus();
    segment(&folder, &nifti, &["-o", "c.dcm", "--reference", &scan]).expect(0);
    for name in ["a.dcm", "b.dcm", "c.dcm"] {
        assert_eq!(placed(folder.path(name), &want.grid()), values, "{name}");
    }
    let split = placed(folder.path("a.hippocampus_posterior.dcm"), &want.grid());
    assert!(split.iter().zip(&values).all(|(one, all)| (*one == 1) == (*all == 2)));
    let record = json(folder.path("a.json"));
    assert_eq!(record["inputs"][0]["dicom"]["series_instance_uid"], "1.2.840.99999.11");
    for pair in [["a.dcm", "n.nii.gz"], ["n.nii.gz", "b.dcm"], ["a.dcm", "c.dcm"]] {
        let ran = unetr(&folder, &["evaluate", pair[0], pair[1], "--json"]).expect(0);
        let dice: Vec<f64> =
            ran.json()["cases"].as_array().expect("cases").iter().filter_map(|c| c["dice"].as_f64()).collect();
        assert_eq!(dice, [1.0, 1.0], "{pair:?}: {}", ran.stdout);
    }
    let ran = segment(&folder, &nifti, &["-o", "x.dcm"]).expect(2);
    assert!(ran.stderr.contains("a DICOM segmentation is of a DICOM series") && ran.stderr.contains("--reference"));
    let ran = segment(&folder, &nifti, &["-o", "x.nii.gz", "--seg", "labelmap"]).expect(2);
    assert!(ran.stderr.contains("--seg is for an output that ends in .dcm"), "{}", ran.stderr);
    let ran = segment(&folder, &nifti, &["-o", "x.dcm", "--reference", &nifti]).expect(2);
    assert!(ran.stderr.contains("is no DICOM series"), "{}", ran.stderr);
    std::fs::remove_file(folder.path("series/0.dcm")).expect("removed");
    let ran = segment(&folder, &nifti, &["-o", "x.dcm", "--reference", &scan]).expect(1);
    assert!(ran.stderr.contains("must lie on one grid"), "{}", ran.stderr);
    assert!(!folder.path("x.dcm").exists());
}

#[test]
fn surfaces_tables_and_uncertainty_lie_beside_the_labels() {
    let folder = Folder::new();
    let (scan, _) = hippocampus();
    let more = [
        "-o",
        "a.nii.gz",
        "--meshes",
        "surfaces",
        "--mesh-space",
        "lps",
        "--color-table",
        "t.json",
        "--color-table",
        "t.label",
        "--color-table",
        "LUT.txt",
        "--save-uncertainty",
        "u.nii.gz",
        "--save-probabilities",
        "p.nii.gz",
        "--statistics",
        "s.json",
    ];
    segment(&folder, &scan, &more).expect(0);
    let (map, u, p) =
        (labels(&folder.path("a.nii.gz")), volume(&folder.path("u.nii.gz")), volume(&folder.path("p.nii.gz")));
    assert!(map.grid().equals(&u.grid()) && u.channels == 1);
    for at in (0..u.data.len()).step_by(97) {
        let entropy: f64 = (0..3).map(|c| f64::from(p.channel(c)[at])).filter(|p| *p > 0.0).map(|p| -p * p.ln()).sum();
        assert!((entropy / 3.0_f64.ln() - f64::from(u.data[at])).abs() < 1e-4, "voxel {at}");
    }
    let statistics = json(folder.path("s.json"));
    for (value, name) in [(1, "hippocampus_anterior"), (2, "hippocampus_posterior")] {
        let of: Vec<f64> =
            map.data.iter().zip(&u.data).filter(|(l, _)| **l == value).map(|(_, u)| f64::from(*u)).collect();
        let mean = of.iter().sum::<f64>() / of.len() as f64;
        assert!((statistics[name]["uncertainty"].as_f64().expect("a mean") - mean).abs() < 1e-9, "{name}");
        let stl = std::fs::read(folder.path(&format!("surfaces/{name}.stl"))).expect("a surface");
        assert!(stl.starts_with(b"SPACE=LPS"));
        assert!(std::fs::read(folder.path(&format!("surfaces/{name}.glb"))).expect("a surface").starts_with(b"glTF"));
    }
    assert_eq!(json(folder.path("t.json"))["labels"][2], "hippocampus_posterior");
    let read = |name: &str| std::fs::read_to_string(folder.path(name)).expect("a table");
    assert!(read("t.label").contains("ITK-SnAP") && read("LUT.txt").contains("hippocampus_anterior"));
    let ran = segment(&folder, &scan, &["-o", "b.nii.gz", "--color-table", "t.xml"]).expect(2);
    assert!(ran.stderr.contains("--color-table t.xml: the name must end in"), "{}", ran.stderr);
}

#[test]
fn a_dataset_of_bids_gets_derivatives() {
    let folder = Folder::new();
    let (scan, _) = hippocampus();
    let anat = folder.path("study/sub-01/ses-2/anat");
    std::fs::create_dir_all(&anat).expect("folders");
    std::fs::copy(scan, anat.join("sub-01_ses-2_run-1_T1w.nii.gz")).expect("a copy");
    let scan = "study/sub-01/ses-2/anat/sub-01_ses-2_run-1_T1w.nii.gz";
    segment(&folder, scan, &["--bids", "study"]).expect(0);
    let root = folder.path("study/derivatives/unetr");
    let stem = root.join("sub-01/ses-2/anat/sub-01_ses-2_run-1_desc-unetr_dseg");
    let file = |ending: &str| stem.with_extension(ending);
    assert!(labels(&file("nii.gz")).counts().len() == 3);
    let sidecar = json(file("json"));
    assert_eq!(sidecar["Sources"][0], "bids:raw:sub-01/ses-2/anat/sub-01_ses-2_run-1_T1w.nii.gz");
    assert_eq!((&sidecar["SpatialReference"], &sidecar["labels"][0]["value"]), (&"orig".into(), &1.into()));
    let table = std::fs::read_to_string(file("tsv")).expect("a table");
    assert!(table.starts_with("index\tname\tcolor\tcode\n1\thippocampus_anterior\t#e0a040\t"), "{table}");
    let description = json(root.join("dataset_description.json"));
    assert_eq!(description["DatasetType"], "derivative");
    let readme = std::fs::read_to_string(root.join("README")).expect("a README");
    assert!(readme.contains("Research use only"), "{readme}");
    assert_eq!(description["GeneratedBy"][0]["Name"], "unetr-wgpu");
    let ran = segment(&folder, scan, &["--bids", "study"]).expect(1);
    assert!(ran.stderr.contains("exists; --force replaces it"), "{}", ran.stderr);
    segment(&folder, scan, &["--bids", "study", "--force"]).expect(0);
}

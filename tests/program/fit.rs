//! Whether a model fits a scan is said before the work, and whether its labels are plausible after it; nothing is stopped.

use serde_json::{Value, json};
use unetr_wgpu::report::fit::{label_doubts, modality_of, scan_doubts};
use unetr_wgpu::report::{label_names, statistics};
use unetr_wgpu::volume::nifti::{WriteOptions, write_labels, write_volume};
use unetr_wgpu::volume::steps::Step;
use unetr_wgpu::volume::{Affine, LabelMap, Volume, dicom};
use unetr_wgpu::weights::{Metadata, Package};

use crate::support::data;
use crate::support::raw_models::{assemble, tiny_tensors};
use crate::support::run::{Folder, labels, on_device, repository, unetr, volume};
use crate::support::tiny::tiny_json;

fn shipped(name: &str) -> Package {
    Package::read(std::fs::read(repository(&format!("models/{name}.safetensors"))).expect("the model"))
        .expect("a package")
}

/// Voxels of these mm, the first axis from front to back, the second from left to right.
fn affine([x, y, z]: [f64; 3]) -> Affine {
    Affine([[0.0, y, 0.0, -9.0], [-x, 0.0, 0.0, 5.0], [0.0, 0.0, z, 1.0], [0.0, 0.0, 0.0, 1.0]])
}

fn scan(dims: [usize; 3], mm: [f64; 3], value: impl Fn(usize) -> f32) -> Volume {
    Volume::new((0..dims.iter().product()).map(value).collect(), 1, dims, affine(mm)).expect("a volume")
}

fn label_file(folder: &Folder, name: &str, dims: [usize; 3], mm: [f64; 3], counts: &[(u16, usize)]) {
    let mut data: Vec<u16> = counts.iter().flat_map(|&(value, n)| vec![value; n]).collect();
    data.resize(dims.iter().product(), 0);
    let mut bytes = Vec::new();
    let map = LabelMap::new(data, dims, affine(mm)).expect("labels");
    write_labels(&mut bytes, &map, &WriteOptions::default()).expect("a file");
    folder.write(name, &bytes);
}

/// A described tiny model in the folder, and what it was made of.
fn described(folder: &Folder) -> Value {
    let mut package = tiny_json();
    package["input"]["channels"] = json!(["MR"]);
    package["training"] = json!({"recipe": {"data": {"relabel": {"7": 2}}}});
    folder.write("plain.safetensors", &assemble(&tiny_tensors(), Some(&package.to_string())));
    label_file(folder, "a.nii", [20, 30, 10], [1.0, 2.0, 3.0], &[(1, 100), (7, 500)]);
    label_file(folder, "b.nii", [24, 30, 12], [1.0, 2.0, 2.5], &[(1, 300)]);
    let cases = ["a", "b"].map(|n| json!({"image": format!("{n}_image.nii"), "label": format!("{n}.nii")}));
    folder.write("dataset.json", json!({"modality": {"0": "MRI"}, "training": cases}).to_string().as_bytes());
    folder.write("card.md", b"# A card\n\nSeen *two* scans.\n");
    let made = unetr(
        folder,
        &[
            "describe",
            "plain.safetensors",
            "--dataset",
            "dataset.json",
            "--not-for",
            "livers",
            "--not-for",
            "pictures",
            "--card",
            "card.md",
            "-o",
            "model.safetensors",
            "--json",
        ],
    );
    made.expect(0).json()
}

#[test]
fn a_package_is_told_what_its_training_scans_were_like_and_keeps_its_weights() {
    let folder = Folder::new();
    let made = described(&folder);
    // Along right-left, front-back, head-foot; volumes of 6 and 5 mm³ a voxel.
    assert_eq!(
        made["trained_on"],
        json!({
            "cases": 2, "modality": "MR",
            "field_of_view_mm": {"min": [60.0, 20.0, 30.0], "max": [60.0, 24.0, 30.0]},
            "spacing_mm": {"min": [2.0, 1.0, 2.5], "max": [2.0, 1.0, 3.0]},
            "volumes": [{"value": 1, "min_ml": 0.6, "max_ml": 1.5}, {"value": 2, "min_ml": 0.0, "max_ml": 3.0}]
        })
    );
    let read = |name: &str| Package::read(std::fs::read(folder.path(name)).expect("a file")).expect("a package");
    let (before, after) = (read("plain.safetensors"), read("model.safetensors"));
    let tensors = |p: &Package| -> Vec<(String, Vec<u8>)> {
        p.tensors().iter().map(|t| (t.name.to_owned(), t.bytes.to_vec())).collect()
    };
    assert!(tensors(&before) == tensors(&after), "the weights are the same, in the same order");
    let m = after.metadata();
    assert_eq!(
        (m.not_for.join(", "), m.card.as_deref()),
        ("livers, pictures".to_owned(), Some("# A card\n\nSeen *two* scans."))
    );
    let shown = unetr(&folder, &["info", "model.safetensors"]).expect(0).stdout;
    assert!(shown.contains("trained on   2 scans, MR, covering 60 x 20 x 30 to 60 x 24 x 30 mm"), "{shown}");
    assert!(shown.contains("spleen 0.6 to 1.5 ml") && shown.contains("not for      livers; pictures"), "{shown}");
    assert_eq!(
        unetr(&folder, &["info", "model.safetensors", "--card"]).expect(0).stdout,
        "# A card\n\nSeen *two* scans.\n"
    );

    let refused = |arguments: &[&str], code: i32, part: &str| {
        let all = [&["describe", "plain.safetensors", "-o", "x.safetensors"], arguments].concat();
        let ran = unetr(&folder, &all).expect(code);
        assert!(ran.stderr.contains(part), "{}", ran.stderr);
        assert!(!folder.path("x.safetensors").exists());
    };
    refused(&[], 2, "nothing to write: give --name, --model-version, --dataset, --not-for, --card or --codes");
    refused(&["--dataset", "dataset.json", "--modality", "mri"], 2, "DICOM's code is needed, such as MR, CT or PT");
    refused(&["--card", "none.md"], 1, "none.md");
    folder.write("empty.json", br#"{"training": [], "validation": [{"image": "a.nii", "label": "a.nii"}]}"#);
    refused(&["--dataset", "empty.json"], 1, "its list of training cases is empty");
}

#[test]
fn a_section_that_cannot_be_is_refused_by_name() {
    let good = json!({
        "cases": 2, "modality": "MR", "field_of_view_mm": {"min": [1, 1, 1], "max": [2, 2, 2]},
        "spacing_mm": {"min": [1, 1, 1], "max": [1, 1, 1]}, "volumes": [{"value": 1, "min_ml": 0, "max_ml": 1}]
    });
    let read = |path: &str, value: Value| {
        let mut package = tiny_json();
        package["trained_on"] = good.clone();
        *package.pointer_mut(path).expect("a place") = value;
        Package::read(assemble(&tiny_tensors(), Some(&package.to_string()))).map(drop).map_err(|e| e.to_string())
    };
    assert_eq!(read("/trained_on/cases", json!(3)), Ok(()));
    for (path, value, part) in [
        ("/trained_on/cases", json!(0), "trained_on.cases"),
        ("/trained_on/spacing_mm/min", json!([1, 0, 1]), "trained_on.spacing_mm"),
        ("/trained_on/field_of_view_mm/min", json!([3, 1, 1]), "trained_on.field_of_view_mm"),
        ("/trained_on/volumes/0/value", json!(9), "trained_on.volumes[0]"),
        ("/trained_on/volumes/0/min_ml", json!(2), "trained_on.volumes[0]"),
        ("/trained_on/volumes/0", json!({"value": 1, "min": 0, "max": 1}), "min"),
        ("/trained_on", json!(5), "trained_on"),
    ] {
        let error = read(path, value).expect_err(path);
        assert!(error.contains(part), "{path}: {error}");
    }
}

#[test]
fn a_scan_unlike_the_training_scans_is_told_before_and_after_and_recorded() {
    let folder = Folder::new();
    described(&folder);
    // 40 x 20 x 16 mm in voxels of 1 mm with Hounsfield units: too narrow, too flat, and CT.
    let ct = scan([20, 40, 16], [1.0; 3], |i| if i % 3 == 0 { -1000.0 } else { (i % 97) as f32 });
    let mut bytes = Vec::new();
    write_volume(&mut bytes, &ct, &WriteOptions::default()).expect("a file");
    folder.write("ct.nii", &bytes);
    let run = |model: &str, out: &str| on_device(&folder, &["segment", "ct.nii", "-m", model, "-o", out]).expect(0);
    let told = run("model.safetensors", "told.nii").stderr;
    let plain = run("plain.safetensors", "plain.nii").stderr;
    let lines = |stderr: &str| -> Vec<String> {
        stderr
            .lines()
            .filter(|l| l.contains("warning: model and scan:") || l.contains("warning: labels:"))
            .map(str::to_owned)
            .collect()
    };
    let warnings = lines(&told);
    assert_eq!(lines(&plain), Vec::<String>::new(), "a package that says nothing");
    let contains = |part: &str| assert!(warnings.iter().any(|w| w.contains(part)), "no '{part}' in {warnings:#?}");
    contains("values as low as -1000 look like CT in Hounsfield units, and the model was trained on MR");
    contains(
        "the scan covers 40 x 20 x 16 mm (right-left, front-back, head-foot); the 2 training scans covered 60 x 20 x 30 to 60 x 24 x 30 mm",
    );
    contains("the model is not for: livers; pictures");
    let before = told.find("model and scan").expect("before the work");
    assert!(before < told.find("done ").expect("the end") && told.find("labels:").is_none_or(|at| at > before));

    let record: Value = serde_json::from_slice(&folder.files()["told.json"]).expect("JSON");
    let doubts: Vec<&str> = record["doubts"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!(doubts.len(), warnings.len());
    assert!(warnings.iter().zip(&doubts).all(|(w, d)| w.ends_with(d)), "{doubts:?}");
    let silent: Value = serde_json::from_slice(&folder.files()["plain.json"]).expect("JSON");
    assert_eq!(silent.get("doubts"), None);
    assert_eq!(labels(&folder.path("told.nii")).data, labels(&folder.path("plain.nii")).data, "nothing else changes");
}

#[test]
fn what_differs_is_said_in_numbers_and_what_does_not_is_not() {
    let folder = Folder::new();
    described(&folder);
    let package = Package::read(std::fs::read(folder.path("model.safetensors")).expect("a file")).expect("a package");
    let mut m = package.metadata().clone();
    m.not_for.clear();
    let mr = |dims, mm| scan(dims, mm, |i| (i % 97) as f32);
    let doubts = |m: &Metadata, modality: &[&str], scan: &Volume| {
        let modality: Vec<String> = modality.iter().map(|&s| s.to_owned()).collect();
        scan_doubts(m, &modality, scan).expect("a package that tells")
    };
    let fits = mr([22, 30, 11], [1.0, 2.0, 2.8]);
    assert_eq!(doubts(&m, &[], &fits), Vec::<String>::new());
    assert_eq!(doubts(&m, &["MR"], &fits), Vec::<String>::new());
    assert_eq!(doubts(&m, &["CT"], &fits), ["the scan is CT, and the model was trained on MR"]);
    // Half as large again is near enough, more is not.
    assert_eq!(doubts(&m, &["MR"], &mr([36, 45, 15], [1.0, 2.0, 3.0])), Vec::<String>::new());
    let wide = doubts(&m, &["MR"], &mr([22, 46, 11], [1.0, 2.0, 2.8]));
    assert_eq!(wide.len(), 1);
    assert!(wide[0].starts_with("the scan covers 92 x 22 x 30.8 mm"), "{wide:?}");
    // Finer voxels are made the model's own, thicker ones are not there; where it takes voxels as they are both matter.
    let fine = mr([44, 120, 22], [0.5, 0.5, 1.4]);
    assert_eq!(doubts(&m, &["MR"], &fine), Vec::<String>::new());
    let thick = doubts(&m, &["MR"], &mr([22, 30, 6], [1.0, 2.0, 5.0]));
    assert_eq!(
        thick,
        [
            "the scan's voxels are 2 x 1 x 5 mm (right-left, front-back, head-foot); in the 2 training scans they were 2 x 1 x 2.5 to 2 x 1 x 3 mm"
        ]
    );
    m.input.preprocess.steps.retain(|step| !matches!(step, Step::Spacing(_)));
    assert_eq!(doubts(&m, &["MR"], &fine).len(), 1);
    if let Some(seen) = &mut m.trained_on {
        seen.modality = Some("CT".to_owned());
    }
    assert_eq!(
        doubts(&m, &[], &fits),
        ["no value is below 0, and CT in Hounsfield units, on which the model was trained, has air near -1000"]
    );

    let names = label_names(&m.output, m.network.out_channels());
    let label = |ones: usize, twos: usize| {
        let dims = [20, 30, 10];
        let data = [vec![0; 6000 - ones - twos], vec![1; ones], vec![2; twos]].concat();
        let map = LabelMap::new(data, dims, affine([1.0, 2.0, 3.0])).expect("labels");
        let numbers = statistics(&map, &mr(dims, [1.0, 2.0, 3.0]), &names, &[]).expect("numbers");
        label_doubts(&m, &numbers).expect("a package that tells")
    };
    assert_eq!(label(200, 0), Vec::<String>::new());
    assert_eq!(label(500, 1000), Vec::<String>::new(), "twice the largest");
    assert_eq!(label(510, 1), ["spleen is 3.06 ml; in the 2 training scans it was 0.6 to 1.5 ml"]);
    assert_eq!(label(0, 10), ["spleen was not found; in the 2 training scans it was 0.6 to 1.5 ml"]);
    m.trained_on = None;
    assert_eq!(scan_doubts(&m, &[], &fits), None);

    for (names, code) in [
        (&["MRI"][..], Some("MR")),
        (&["FLAIR", "T1w", "t1gd", "T2w"], Some("MR")),
        (&["CT"], Some("CT")),
        (&["PET", "CT"], None),
        (&["ADC map"], Some("MR")),
        (&["channel 1"], None),
        (&["Native"], None),
        (&[], None),
    ] {
        assert_eq!(modality_of(names.iter().copied()), code, "{names:?}");
    }
}

#[test]
fn shipped_models_know_their_scans_from_others() {
    let (hippocampus, brain) = (shipped("hippocampus"), shipped("brain_regions"));
    let seen = |p: &Package| p.metadata().trained_on.clone().expect("what it was trained on");
    assert_eq!((seen(&hippocampus).cases, seen(&brain).cases), (204, 6));
    assert_eq!((seen(&hippocampus).modality, seen(&brain).modality), (Some("MR".to_owned()), Some("MR".to_owned())));
    let doubts = |p: &Package, modality: &str, scan: &Volume| {
        let modality: Vec<String> = Some(modality.to_owned()).filter(|m| !m.is_empty()).into_iter().collect();
        scan_doubts(p.metadata(), &modality, scan).expect("a package that tells")
    };
    let Some(heads) = data::real("ixi-brain-2mm/val") else { return };
    let Some(crops) = data::real("hippocampus/val") else { return };
    let Some(folder) = data::real("hippocampus-dicom/series1") else { return };
    let head = volume(&heads.join("images/IXI034-HH-1260-T1_ds.nii.gz"));
    assert_eq!(doubts(&brain, "", &head), Vec::<String>::new());
    let of_head = doubts(&hippocampus, "", &head).join("\n");
    assert!(of_head.contains("the scan covers") && of_head.contains("not for: whole heads"), "{of_head}");
    for name in ["057", "087", "250", "326"] {
        let crop = volume(&crops.join(format!("images/hippocampus_{name}.nii.gz")));
        assert_eq!(doubts(&hippocampus, "", &crop), Vec::<String>::new(), "{name}");
        assert!(doubts(&brain, "", &crop)[0].contains("the scan covers"), "a crop is no head");
    }
    let series = dicom::read_paths(&[folder], &dicom::ReadOptions::default()).expect("a series");
    assert_eq!(series[0].modality, "MR");
    assert_eq!(doubts(&hippocampus, &series[0].modality, &series[0].volume), Vec::<String>::new());

    // Experts' labels are plausible.
    let m = hippocampus.metadata();
    for name in ["057", "087", "250", "326"] {
        let map = labels(&crops.join(format!("labels/hippocampus_{name}.nii.gz")));
        let crop = volume(&crops.join(format!("images/hippocampus_{name}.nii.gz")));
        let all = label_names(&m.output, m.network.out_channels());
        let numbers = statistics(&map, &crop, &all, &m.input.channels).expect("numbers");
        assert_eq!(label_doubts(m, &numbers), Some(Vec::new()), "{name}");
    }
}

#[test]
fn the_cards_in_shipped_packages_are_those_in_the_repository() {
    let readme = std::fs::read_to_string(repository("models/README.md")).expect("the cards");
    for section in readme.split("\n## ").skip(1) {
        let (title, body) = section.split_once('\n').expect("a title");
        let name = title.trim().trim_end_matches(".safetensors");
        let package = shipped(name);
        let card = package.metadata().card.clone().expect("a card");
        // The hash of a file cannot stand in it, and pictures and links of the repository are not there for its readers.
        let kept = body.lines().filter(|l| !l.starts_with("![") && !l.starts_with("| SHA-256") && !l.is_empty());
        let kept: Vec<String> = kept.map(without_links).collect();
        let lines: Vec<&str> = card.lines().filter(|l| !l.is_empty()).collect();
        assert_eq!(lines.first(), Some(&format!("# {name}").as_str()));
        assert_eq!(lines[1..], kept, "{name}: `unetr describe --card` renews it");
        assert!(body.contains(&package.sha256()), "{name}: its SHA-256 is {}", package.sha256());
        assert!(!package.metadata().not_for.is_empty());
    }
}

/// `[text](../path)` as its text.
fn without_links(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('[') {
        let link = after.split_once("](../").and_then(|(text, tail)| Some((text, tail.split_once(')')?.1)));
        match link.filter(|(text, _)| !text.contains('[')) {
            Some((text, tail)) => (out, rest) = (out + before + text, tail),
            None => (out, rest) = (out + before + "[", after),
        }
    }
    out + rest
}

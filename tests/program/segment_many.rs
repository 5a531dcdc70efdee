//! `unetr segment` of many scans in one call, and what is done with the labels.

use serde_json::Value;

use crate::support::run::{Folder, hippocampus, labels, on_device};

fn scan() -> String {
    hippocampus().0
}

#[test]
fn a_batch_goes_on_past_a_bad_scan_and_is_resumed() {
    let folder = Folder::new();
    let (_, model) = hippocampus();
    folder.write("bad.nii.gz", b"no scan at all");
    let list = format!("case,scan\nfirst,{0}\nbad,bad.nii.gz\nsecond,{0}\n", scan());
    folder.write("list.csv", list.as_bytes());
    let arguments = ["segment", "--batch", "list.csv", "-m", &model, "-o", "out", "--overlap", "0", "-q"];
    let ran = on_device(&folder, &arguments).expect(1);
    assert!(ran.stderr.contains("1 of 3 scans failed"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("windows"), "--quiet tells warnings alone: {}", ran.stderr);
    let report = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let read = || report(&std::fs::read_to_string(folder.path("out/report.json")).expect("a report"));
    let status = |r: &Value| -> Vec<String> {
        let cases = r["cases"].as_array().expect("cases");
        cases.iter().map(|c| c["status"].as_str().expect("a status").to_owned()).collect()
    };
    let first = read();
    assert_eq!(status(&first), ["done", "failed", "done"], "{first}");
    assert!(first["cases"][1]["error"].as_str().is_some_and(|e| e.contains("bad.nii.gz")), "{first}");
    let bytes = |name: &str| std::fs::read(folder.path(&format!("out/{name}.nii.gz"))).expect("labels");
    assert!(bytes("first") == bytes("second"), "the same scan, the same labels");
    assert!(!folder.path("out/bad.nii.gz").exists());
    // Mended, and run again: only what is missing is made.
    std::fs::copy(scan(), folder.path("bad.nii.gz")).expect("a copy");
    let ran = on_device(&folder, &arguments).expect(0);
    let second = read();
    assert_eq!(status(&second), ["kept", "done", "kept"], "{second}\n{}", ran.stderr);
    assert_eq!(second["cases"][0]["labels"], first["cases"][0]["labels"]);
    let csv = std::fs::read_to_string(folder.path("out/report.csv")).expect("a report");
    assert_eq!(csv.lines().count(), 1 + 3 * 2, "{csv}");
    // Other settings would give other labels: nothing is kept for them, nothing overwritten.
    for other in [&["--largest-component"][..], &["--mirror", "y"], &["--accumulate", "f16"]] {
        let ran = on_device(&folder, &[&arguments[..], other].concat()).expect(1);
        let told = "first.nii.gz exists and is not of this scan, model and settings";
        assert!(ran.stderr.contains(told), "{other:?}: {}", ran.stderr);
    }
}

#[test]
fn labels_are_chosen_split_and_cleaned() {
    let folder = Folder::new();
    let (_, model) = hippocampus();
    let scan = scan();
    let arguments = [
        "segment",
        &scan,
        "-m",
        &model,
        "-o",
        "a.nii.gz",
        "--overlap",
        "0",
        "--labels",
        "hippocampus_posterior",
        "--split-labels",
        "--largest-component",
        "--min-size",
        "0.01",
        "-v",
        "--json",
    ];
    let ran = on_device(&folder, &arguments).expect(0);
    assert!(ran.stderr.contains("segmented "), "--verbose tells the time of each part: {}", ran.stderr);
    let all = labels(&folder.path("a.nii.gz"));
    assert_eq!(all.counts().into_keys().collect::<Vec<_>>(), [0, 2]);
    let one = labels(&folder.path("a.hippocampus_posterior.nii.gz"));
    assert!(one.data.iter().zip(&all.data).all(|(one, all)| *one == u16::from(*all == 2)));
    assert!(!folder.path("a.hippocampus_anterior.nii.gz").exists());
    let json = ran.json();
    let steps = &json["provenance"]["postprocessing"];
    assert_eq!(steps[0]["labels"], serde_json::json!(["hippocampus_posterior"]));
    assert_eq!((&steps[1]["connectivity"], &steps[1]["min_size_ml"]), (&26.into(), &0.01.into()));
    assert_eq!(json["labels"].as_object().map(|l| l.len()), Some(1));
    let arguments = ["segment", &scan, "-m", &model, "-o", "b.nii.gz", "--labels", "posterior"];
    let ran = on_device(&folder, &arguments).expect(2);
    assert!(ran.stderr.contains("--labels posterior: no such label; the nearest is hippocampus_"), "{}", ran.stderr);
}

//! `evaluate` against numbers that other tools gave, and a dataset whose names are not the model's.

use serde_json::json;

use crate::support::run::{Folder, hippocampus, labels, monais_labels, on_device, repository, text, unetr};
use unetr_wgpu::volume::LabelMap;
use unetr_wgpu::volume::nifti::{WriteOptions, write_labels};

fn file(name: &str) -> String {
    text(&repository(&format!("tests/data/evaluate/{name}.nii.gz")))
}

/// HD95 and average surface distance of MONAI 1.6.1 on the 2-D masks.
#[test]
fn masks_of_one_slice_are_measured_as_flat() {
    let folder = Folder::new();
    let arguments = ["evaluate", "--prediction", &file("two_d_p"), "--truth", &file("two_d_t"), "--json"];
    let ran = unetr(&folder, &arguments).expect(0);
    assert!(ran.stderr.contains("one of its axes has one voxel"), "{}", ran.stderr);
    let got = ran.json();
    let row = &got["cases"][0];
    for (key, expected) in [("hd95_mm", 2.236), ("assd_mm", 1.370)] {
        assert!((row[key].as_f64().expect("a number") - expected).abs() < 1e-3, "{key}: {row}");
    }
    assert!(got["notes"][0].as_str().is_some_and(|note| note.contains("flat masks")), "{got}");
}

#[test]
fn values_beyond_sixteen_bits_are_compared() {
    let folder = Folder::new();
    let arguments = ["evaluate", "--prediction", &file("label70000_p"), "--truth", &file("label70000_t"), "--json"];
    let got = unetr(&folder, &arguments).expect(0).json();
    let wide = got["cases"].as_array().expect("rows").iter().find(|row| row["label_value"].as_u64() > Some(65_535));
    assert!(wide.expect("a wide label")["dice"].as_f64().is_some_and(|dice| dice > 0.0), "{got}");
}

/// A label map with its axes in another order and direction, on the same centres.
#[test]
fn labels_in_another_order_of_axes_are_compared() {
    use unetr_wgpu::volume::orientation::Turn;
    let folder = Folder::new();
    let truth = monais_labels();
    let map = labels(&truth);
    let turn = Turn { source: [2, 0, 1], flip: [true, false, true] };
    let turned = LabelMap {
        data: turn.apply(&map.data, map.dims),
        dims: turn.dims(map.dims),
        affine: turn.affine(&map.affine, map.dims),
    };
    let mut bytes = Vec::new();
    write_labels(&mut bytes, &turned, &WriteOptions::default()).expect("a file");
    folder.write("turned.nii", &bytes);
    let arguments = ["evaluate", "--prediction", "turned.nii", "--truth", &text(&truth), "--json"];
    let got = unetr(&folder, &arguments).expect(0).json();
    for row in got["cases"].as_array().expect("rows") {
        assert_eq!((row["dice"].as_f64(), row["hd95_mm"].as_f64()), (Some(1.0), Some(0.0)), "{row}");
    }
}

#[test]
fn values_of_a_dataset_follow_the_names_that_it_shares_with_the_model() {
    let folder = Folder::new();
    let (scan, model) = hippocampus();
    let truth = labels(&monais_labels());
    let swapped = truth.data.iter().map(|v| [0, 2, 1][usize::from(*v)]).collect();
    let mut bytes = Vec::new();
    let map = LabelMap::new(swapped, truth.dims, truth.affine).expect("labels");
    write_labels(&mut bytes, &map, &WriteOptions::default()).expect("a file");
    let swapped = text(&folder.write("swapped.nii", &bytes));
    let truth = text(&monais_labels());
    let run = |labels: serde_json::Value, label: &str| {
        let dataset = json!({"labels": labels, "training": [{"image": scan, "label": label}]});
        folder.write("dataset.json", dataset.to_string().as_bytes());
        on_device(&folder, &["evaluate", "-m", &model, "dataset.json", "--json", "--overlap", "0"])
    };
    let plain = run(json!({"1": "hippocampus_anterior", "2": "hippocampus_posterior"}), &truth).expect(0);
    assert!(!plain.stderr.contains("values replaced"), "{}", plain.stderr);
    let named = run(json!({"1": "Hippocampus Posterior", "2": "Hippocampus Anterior"}), &swapped).expect(0);
    assert!(named.stderr.contains("values replaced by the names"), "{}", named.stderr);
    assert!(named.stderr.contains("1 -> 2, 2 -> 1"), "{}", named.stderr);
    assert_eq!(named.json()["cases"], plain.json()["cases"]);
    let refused = run(json!({"1": "amygdala", "2": "hippocampus_anterior"}), &swapped).expect(1);
    assert!(refused.stderr.contains("labels 1 'amygdala' and 2 'hippocampus_anterior'"), "{}", refused.stderr);
}

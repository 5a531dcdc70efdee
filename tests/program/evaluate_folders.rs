//! `unetr evaluate` of folders and of regions.

use unetr_wgpu::volume::{Affine, LabelMap, nifti};

use crate::support::run::{Folder, unetr};

fn write(folder: &Folder, name: &str, data: &[u16]) {
    let map = LabelMap::new(data.to_vec(), [1, 2, data.len() / 2], Affine::IDENTITY).expect("labels");
    let mut bytes = Vec::new();
    let options = nifti::WriteOptions { gzip: nifti::is_gzip_name(name), ..nifti::WriteOptions::default() };
    nifti::write_labels(&mut bytes, &map, &options).expect("written");
    std::fs::create_dir_all(folder.path(name).parent().expect("a folder")).expect("a folder");
    folder.write(name, &bytes);
}

#[test]
fn folders_are_paired_by_file_names() {
    let folder = Folder::new();
    write(&folder, "p/a.nii.gz", &[0, 1, 1, 0]);
    write(&folder, "t/a.nii", &[0, 1, 0, 0]);
    write(&folder, "p/b.nii", &[2, 2, 0, 0]);
    write(&folder, "t/b.nii", &[2, 2, 0, 0]);
    folder.write("p/a.json", b"{}");
    write(&folder, "p/only.nii", &[1, 1, 1, 1]);
    let ran = unetr(&folder, &["evaluate", "p", "t", "--json", "-o", "scores.csv"]).expect(0);
    assert!(ran.stderr.contains("1 prediction(s) have no truth and are left out: only"), "{}", ran.stderr);
    let json = ran.json();
    let rows: Vec<_> = json["cases"].as_array().expect("rows").iter().map(|r| (&r["case"], &r["dice"])).collect();
    let dice = 2.0 / 3.0;
    assert_eq!(rows.len(), 2, "{json}");
    assert_eq!((rows[0].0, rows[1].0), (&"a".into(), &"b".into()));
    assert!((rows[0].1.as_f64().expect("a number") - dice).abs() < 1e-12 && rows[1].1 == 1.0, "{json}");
    // A truth without a prediction is no silent gain.
    write(&folder, "t/c.nii", &[1, 0, 0, 0]);
    let ran = unetr(&folder, &["evaluate", "p", "t", "--json"]).expect(1);
    assert!(ran.stderr.contains("c: no prediction"), "{}", ran.stderr);
    let ran = unetr(&folder, &["evaluate", "p/a.nii.gz", "t/a.nii", "--json"]).expect(0);
    assert_eq!(ran.json()["cases"].as_array().map(Vec::len), Some(1));
    let ran = unetr(&folder, &["evaluate", "p", "t/a.nii"]).expect(2);
    assert!(ran.stderr.contains("two files or two folders"), "{}", ran.stderr);
}

/// The Dice of unions, by hand: WT 2 * 3 / (4 + 4), TC 2 * 2 / (2 + 3), ET 1.
#[test]
fn regions_are_judged_as_training_has_them() {
    let folder = Folder::new();
    write(&folder, "p.nii", &[2, 2, 1, 4, 0, 0]);
    write(&folder, "t.nii", &[0, 2, 1, 4, 1, 0]);
    for regions in ["brats-monai", "WT=1,2,4;TC=1,4;ET=4"] {
        let ran = unetr(&folder, &["evaluate", "p.nii", "t.nii", "--json", "--regions", regions]).expect(0);
        let json = ran.json();
        let got: Vec<(String, f64)> = json["cases"]
            .as_array()
            .expect("rows")
            .iter()
            .map(|r| (r["label"].as_str().expect("a name").to_owned(), r["dice"].as_f64().expect("a number")))
            .collect();
        assert_eq!(got.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["WT", "TC", "ET"]);
        for ((_, dice), right) in got.iter().zip([0.75, 0.8, 1.0]) {
            assert!((dice - right).abs() < 1e-12, "{json}");
        }
    }
    let ran = unetr(&folder, &["evaluate", "p.nii", "t.nii", "--regions", "brats"]).expect(2);
    assert!(ran.stderr.contains("the nearest is brats-"), "{}", ran.stderr);
    let ran = unetr(&folder, &["evaluate", "p.nii", "t.nii", "--regions", "training"]).expect(2);
    assert!(ran.stderr.contains("--model is needed"), "{}", ran.stderr);
}

//! Datasets in the forms of nnU-Net v2 and of MONAI's datalists, with folds and byte-order marks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::cases::{data, sections, write_image, write_labels};
use serde_json::{Value, json};
use unetr_wgpu::dataset::Dataset;
use unetr_wgpu::train::data::{check_names, split};
use unetr_wgpu::volume::Affine;

fn read(path: &Path) -> Dataset {
    Dataset::read(path).unwrap_or_else(|e| panic!("{e}"))
}

fn write(folder: &Path, name: &str, value: &Value) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, value.to_string()).expect("written");
    path
}

/// nnU-Net's folder: two channels and a label for each of `cases`.
fn nnunet(cases: &[&str], change: impl FnOnce(&mut Value)) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["imagesTr", "labelsTr", "imagesTs"] {
        std::fs::create_dir(folder.path().join(name)).expect("a folder");
    }
    for case in cases {
        for channel in 0..2 {
            let name = format!("imagesTr/{case}_{channel:04}.nii.gz");
            write_image(&folder.path().join(name), 1, [4; 3], |_, [x, ..]| (x + channel) as f32);
        }
        write_labels(&folder.path().join(format!("labelsTr/{case}.nii.gz")), [4; 3], Affine::IDENTITY, |_| 1);
    }
    let mut value = json!({
        "channel_names": {"0": "T1", "1": "FLAIR"}, "labels": {"background": 0, "lesion": 1},
        "numTraining": cases.len(), "file_ending": ".nii.gz", "overwrite_image_reader_writer": "SimpleITKIO"
    });
    change(&mut value);
    let path = write(folder.path(), "dataset.json", &value);
    (folder, path)
}

#[test]
fn nnunet_names_cases_by_files() {
    let (folder, path) = nnunet(&["la_003", "la_001"], |_| {});
    let dataset = read(&path);
    assert_eq!(read(folder.path()), dataset, "the folder stands for its dataset.json");
    assert_eq!(dataset.channels, ["T1", "FLAIR"]);
    assert_eq!(dataset.labels[&1], "lesion");
    let names: Vec<&str> = dataset.training.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names, ["la_001", "la_003"]);
    let case = &dataset.training[0];
    let image = |n: usize| folder.path().join(format!("imagesTr/la_001_000{n}.nii.gz"));
    assert_eq!((&case.images, &case.label), (&vec![image(0), image(1)], &folder.path().join("labelsTr/la_001.nii.gz")));
    assert!(dataset.validation.is_empty());
}

#[test]
fn nnunet_may_list_its_files() {
    let (folder, path) = nnunet(&[], |value| {
        value["numTraining"] = 1.into();
        value["dataset"] = json!({"p1": {"images": ["a/t1.nrrd", "/data/flair.nii"], "label": "a/seg.nii"}});
    });
    let case = &read(&path).training[0];
    assert_eq!(case.images, [folder.path().join("a/t1.nrrd"), PathBuf::from("/data/flair.nii")]);
    assert_eq!((case.name.as_str(), &case.label), ("p1", &folder.path().join("a/seg.nii")));
}

#[test]
fn regions_are_lists_of_values() {
    let (_folder, path) = nnunet(&["a"], |value| {
        value["labels"] = json!({"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing": 3});
    });
    let dataset = read(&path);
    assert_eq!(dataset.labels, BTreeMap::from([(0, "background".into()), (3, "enhancing".into())]));
    assert_eq!(dataset.regions, [("whole tumor".into(), vec![1, 2, 3]), ("tumor core".into(), vec![2, 3])]);
}

#[test]
fn a_missing_file_of_nnunet_is_named() {
    let refused = |change: fn(&Path), value: fn(&mut Value)| {
        let (folder, path) = nnunet(&["a", "b"], value);
        change(folder.path());
        Dataset::read(&path).expect_err("refused").to_string()
    };
    let text = refused(|f| std::fs::remove_file(f.join("imagesTr/b_0001.nii.gz")).expect("removed"), |_| {});
    assert!(text.contains("imagesTr/b has no") && text.contains("b_0001.nii.gz"), "{text}");
    let text = refused(|f| std::fs::remove_file(f.join("labelsTr/a.nii.gz")).expect("removed"), |_| {});
    assert!(text.contains("imagesTr/a has no label") && text.contains("labelsTr/a.nii.gz is missing"), "{text}");
    let text = refused(|_| {}, |v| v["numTraining"] = 3.into());
    assert!(text.contains("numTraining is 3, and there are 2 cases"), "{text}");
    let text = refused(|_| {}, |v| v["channel_names"] = json!({"0": "T1"}));
    assert!(text.contains("a_0001.nii.gz, and channel_names has 1 channel(s)"), "{text}");
    let text = refused(|_| {}, |v| v["file_ending"] = ".nrrd".into());
    assert!(text.contains("file_ending is \".nrrd\"") && text.contains("CASE_0000.nrrd"), "{text}");
    let text = refused(|_| {}, |v| v["labels"] = json!({"a": 1, "b": 1}));
    assert!(text.contains("labels.b") && text.contains("'a' has this number too"), "{text}");
    let text = refused(|_| {}, |v| v["labels"] = json!({"a": "liver"}));
    assert!(text.contains("labels.a"), "{text}");
}

fn datalist(folds: &[Option<u32>]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let entry = |(at, fold): (usize, &Option<u32>)| {
        let mut entry = json!({"image": format!("{at}.nii"), "label": format!("{at}_seg.nii")});
        fold.iter().for_each(|fold| entry["fold"] = (*fold).into());
        entry
    };
    let list: Vec<Value> = folds.iter().enumerate().map(entry).collect();
    let path = write(folder.path(), "datalist.json", &json!({"testing": [{"image": "t.nii"}], "training": list}));
    (folder, path)
}

#[test]
fn one_fold_is_judged_by_and_the_others_trained_on() {
    let (_folder, path) = datalist(&[Some(0), Some(1), Some(2), Some(1), Some(0)]);
    let names =
        |cases: &[unetr_wgpu::dataset::Case]| cases.iter().map(|c| c.name.clone()).collect::<Vec<_>>().join(" ");
    let dataset = read(&path).with_fold(1).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((names(&dataset.training), names(&dataset.validation)), ("0 2 4".into(), "1 3".into()));
    // So does the recipe, and it says so once.
    let split = split(&read(&path), &data("fold = 1")).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((split.training, split.validation), (dataset.training, dataset.validation));
    let whole = unetr_wgpu::train::data::split(&read(&path), &data("")).expect("all cases");
    assert_eq!((whole.training.len(), whole.validation.len()), (5, 0));

    let refused = |folds: &[Option<u32>], recipe: &str| {
        let (_folder, path) = datalist(folds);
        unetr_wgpu::train::data::split(&read(&path), &data(recipe)).expect_err("refused").to_string()
    };
    let text = refused(&[Some(0), Some(3)], "fold = 1");
    assert!(text.contains("fold 1") && text.contains("there are 0, 3"), "{text}");
    let text = refused(&[None, None], "fold = 0");
    assert!(text.contains("the cases have no folds"), "{text}");
    let text = refused(&[Some(0), Some(1), None], "fold = 0");
    assert!(text.contains("the case 2 is in no fold"), "{text}");
    let text = refused(&[Some(0), Some(1)], "fold = 0\nval_fraction = 0.5");
    assert!(text.contains("data.fold") && text.contains("val_fraction"), "{text}");
}

#[test]
fn nnunets_splits_are_folds() {
    let (folder, path) = nnunet(&["a", "b", "c", "d"], |_| {});
    let splits = json!([{"train": ["b", "d"], "val": ["a", "c"]}, {"train": ["a", "c"], "val": ["b", "d"]}]);
    write(folder.path(), "splits_final.json", &splits);
    let dataset = read(&path).with_fold(1).unwrap_or_else(|e| panic!("{e}"));
    let names: Vec<&str> = dataset.validation.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names, ["b", "d"]);
}

#[test]
fn byte_order_marks_are_passed_over() {
    let text = json!({"training": [{"image": "a.nii", "label": "ä.nii"}]}).to_string();
    let wide = |join: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(join).collect::<Vec<u8>>();
    let folder = tempfile::tempdir().expect("a folder");
    for bytes in [
        [&[0xef, 0xbb, 0xbf], text.as_bytes()].concat(),
        [&[0xff, 0xfe], &wide(u16::to_le_bytes)[..]].concat(),
        [&[0xfe, 0xff], &wide(u16::to_be_bytes)[..]].concat(),
    ] {
        let path = folder.path().join("dataset.json");
        std::fs::write(&path, bytes).expect("written");
        assert_eq!(read(&path).training[0].label, folder.path().join("ä.nii"));
    }
}

#[test]
fn a_recipe_and_a_dataset_call_channels_and_regions_the_same() {
    let s = sections([16; 3], |package| {
        package["network"]["in_channels"] = 2.into();
        package["input"]["channels"] = json!(["T1", "FLAIR"]);
    });
    let check = |channels: &[&str]| {
        let channels = channels.iter().map(|&c| c.to_owned()).collect();
        check_names(&Dataset { channels, ..Dataset::default() }, &data(""), &s.input, &s.output)
            .map_err(|e| e.to_string())
    };
    for agreed in [&["T1w", "T2_FLAIR"][..], &["mprage", "dark-fluid"], &["MR", "MR2"], &["T1"], &[]] {
        check(agreed).unwrap_or_else(|e| panic!("{agreed:?}: {e}"));
    }
    let text = check(&["FLAIR", "T1w"]).expect_err("another order");
    assert!(text.contains("input.channels") && text.contains("give both the same order"), "{text}");
    let text = check(&["T1", "T2"]).expect_err("another contrast");
    assert!(text.contains("[\"T1\", \"T2\"]: these are others"), "{text}");

    let s = sections([16; 3], |package| {
        package["output"] = json!({"activation": "sigmoid", "labels": [],
            "regions": [{"channel": 0, "value": 1}, {"channel": 1, "value": 2}, {"channel": 2, "value": 3}]});
    });
    let recipe = data(
        "regions = [{channel = 0, values = [1, 2], name = \"Whole-Tumor\"}, {channel = 1, values = [2]}, {channel = 2, values = [3]}]",
    );
    let check = |values: &[u16]| {
        let regions = vec![("whole tumor".to_owned(), values.to_vec())];
        check_names(&Dataset { regions, ..Dataset::default() }, &recipe, &s.input, &s.output).map_err(|e| e.to_string())
    };
    check(&[2, 1]).expect("the same values");
    let text = check(&[1, 2, 3]).expect_err("other values");
    assert!(text.contains("data.regions") && text.contains("'whole tumor'"), "{text}");
}

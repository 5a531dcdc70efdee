//! Result folders of nnU-Net v2: what a package of one says, and what is said of folders that are not whole.

use serde_json::{Value, json};
use unetr_wgpu::volume::steps::Step;
use unetr_wgpu::weights::package::{Activation, Region, Resample, Rule};
use unetr_wgpu::weights::{
    CheckpointKind, FileSet, FloatType, ImportOptions, Imported, Metadata, Package, WeightsError, import_files,
    nnunet_folder,
};

use crate::support::nnunet_folder::{Files, Model};
use crate::support::torch_files::{ZipEntry, zip};

fn import(files: Files, options: &ImportOptions<'_>) -> Result<Imported, WeightsError> {
    import_files(FileSet::from_list("folder", files)?, options)
}

fn imported(model: &Model) -> Imported {
    import(model.files(), &ImportOptions::default()).expect("a whole folder")
}

fn refused(files: Files) -> String {
    import(files, &ImportOptions::default()).map(|_| ()).expect_err("not whole").to_string()
}

#[test]
fn a_folder_is_a_package_that_does_as_nnunet_does() {
    let made = imported(&Model::default());
    let m = made.package.metadata();
    assert_eq!(made.warnings, Vec::<String>::new());
    assert_eq!((m.name.as_str(), m.licence.as_str()), ("Dataset999_Test 3d_fullres", "CC0-1.0"));
    assert_eq!(m.input.channels, ["CT", "PET"]);
    let names: Vec<&str> = m.input.preprocess.steps.iter().map(Step::name).collect();
    assert_eq!(names, ["Transpose", "CropToNonzero", "Normalization", "Resampling"]);
    assert_eq!(m.input.preprocess.spacing(), Some([1.5, 1.25, 1.0]));
    assert_eq!((m.output.activation, m.output.resample), (Activation::Softmax, Resample::Logits));
    let labels: Vec<(u16, &str)> = m.output.labels.iter().map(|l| (l.value, l.name.as_str())).collect();
    assert_eq!(labels, [(1, "organ"), (2, "lesion")]);
    assert_eq!((m.inference.roi_size, m.inference.overlap), ([8; 3], 0.5));
    assert_eq!((m.inference.windows, m.inference.importance), (Rule::Nnunet, Rule::Nnunet));
    assert_eq!(m.inference.mirror_axes, [0, 2]);
    assert_eq!(m.folds, ["0", "1"]);
    let source = m.source.as_ref().expect("a source");
    assert_eq!(source.made_by.as_deref(), Some("nnUNetTrainer__nnUNetPlans__3d_fullres"));
    let files: Vec<&str> = source.files.iter().map(|f| f.file.as_str()).collect();
    let expected = ["dataset.json", "plans.json", "fold_0/checkpoint_final.pth", "fold_1/checkpoint_final.pth"];
    assert_eq!(files, expected);
    assert!(source.files.iter().all(|f| f.sha256.len() == 64));

    // What the folds share is there once.
    assert!(!made.package.has_own(1, "encoder.stages.0.0.convs.0.conv.weight"));
    assert!(made.package.has_own(1, "decoder.seg_layers.0.weight"));
    let again = Package::read(made.package.file_bytes().to_vec()).expect("a good package");
    assert_eq!(again.metadata(), m);
}

#[test]
fn old_plans_and_old_names_say_the_same() {
    let (new, old) = (imported(&Model::default()), imported(&Model::of_old_plans()));
    let (new, old) = (new.package.metadata().to_object(), old.package.metadata().to_object());
    for key in ["network", "input", "output", "inference", "folds"] {
        assert_eq!(new[key], old[key], "{key}");
    }
}

#[test]
fn folds_and_checkpoints_are_chosen() {
    let mut model = Model { folds: vec![("0", 1), ("2", 3), ("all", 4)], ..Model::default() };
    assert_eq!(imported(&model).package.metadata().folds, ["0", "2"], "all is for itself");
    let pick = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let (all, missing) = (pick(&["all"]), pick(&["1"]));
    let options = |folds| ImportOptions { folds: Some(folds), ..ImportOptions::default() };
    let one = import(model.files(), &options(&all[..])).expect("a fold");
    assert_eq!(one.package.metadata().folds, Vec::<String>::new());
    let error = import(model.files(), &options(&missing[..])).map(|_| ()).expect_err("no such fold").to_string();
    assert!(error.contains("fold_1/checkpoint_final.pth") && error.contains("0, 2, all"), "{error}");

    // Whoever chose no folds is told of those that have not ended.
    let mut files = model.files();
    files[3].0 = "fold_2/checkpoint_latest.pth".into();
    let made = import(files.clone(), &ImportOptions::default()).expect("a fold is left");
    assert_eq!(made.warnings, ["the folds without checkpoint_final.pth are left out: 2"]);
    assert_eq!(import(files, &options(&pick(&["0"])[..])).expect("a fold").warnings, Vec::<String>::new());

    let best = ImportOptions { checkpoint: Some(CheckpointKind::Best), ..ImportOptions::default() };
    let error = import(model.files(), &best).map(|_| ()).expect_err("none is best").to_string();
    assert!(error.contains("checkpoint_final.pth; the option `checkpoint` takes it: final"), "{error}");
    model.checkpoint = "checkpoint_best.pth";
    let error = refused(model.files());
    assert!(error.contains("has not ended? the option `checkpoint` takes it: best"), "{error}");
    assert!(import(model.files(), &best).is_ok());
}

#[test]
fn regions_readers_and_mirroring_are_read() {
    let mut model = Model { mirror: None, ..Model::default() };
    model.dataset["labels"] = json!({"background": 0, "all": [1, 2, 3], "core": [2, 3], "small": 3, "ignore": 4});
    model.dataset["regions_class_order"] = json!([1, 2, 3]);
    model.plans["image_reader_writer"] = json!("NibabelIOWithReorient");
    model.plans["transpose_forward"] = json!([2, 0, 1]);
    model.configuration = "3d_fullres_bs4";
    let made = imported(&model);
    let m = made.package.metadata();
    assert_eq!(m.output.activation, Activation::Sigmoid);
    let painted: Vec<(usize, u16)> = m.output.regions.iter().map(|r| (r.channel, r.value)).collect();
    assert_eq!(painted, [(0, 1), (1, 2), (2, 3)]);
    assert_eq!(m.output.label_name(2), "core");
    assert!(m.inference.mirror_axes.is_empty());
    assert!(matches!(&m.input.preprocess.steps[..2],
        [Step::Orient(to), Step::Transpose(by)] if to.axcodes == "RAS" && by.indices == [0, 2, 1]));
    assert_eq!(m.input.preprocess.axcodes().as_deref(), Some("RSA"));
}

#[test]
fn a_trainer_of_others_is_told() {
    let made = imported(&Model { trainer: "nnUNetTrainerOfMine", ..Model::default() });
    assert!(matches!(&made.warnings[..], [w] if w.contains("nnUNetTrainerOfMine is none of nnU-Net's own")));
}

/// The folder after a change of its plans or data set.
fn changed(change: impl FnOnce(&mut Value, &mut Value)) -> Files {
    let mut model = Model::default();
    change(&mut model.plans, &mut model.dataset);
    model.files()
}

#[test]
fn half_right_folders_are_told_what_is_wrong() {
    let full = "/configurations/3d_fullres";
    let plans = |path: &str, value: Value| {
        let path = format!("{full}{path}");
        changed(move |plans, _| *plans.pointer_mut(&path).expect("a key") = value)
    };
    let without = |name: &str| Model::default().files().into_iter().filter(|(path, _)| path != name).collect::<Files>();
    let with = |name: &str, bytes: &[u8]| {
        let mut files = without(name);
        files.push((name.to_owned(), bytes.to_vec()));
        files
    };
    let two_d = Model { configuration: "2d", ..Model::default() }.files();
    let cascade = Model { configuration: "3d_cascade_fullres", ..Model::default() }.files();
    let unknown = Model { configuration: "3d_fulres", ..Model::default() }.files();
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    let whole = &Model::default().files()[3].1;
    let half = whole[..whole.len() / 2].to_vec();
    let code = zip(&[ZipEntry::stored("a/data.pkl", b"\x80\x02cposix\nsystem\n(X\x04\0\0\0truetR.".to_vec())]);
    let (zeros, wide) = (json!([4, 4]), json!([4, 8]));
    for (what, files, words) in [
        ("no plans", without("plans.json"), &["plans.json is missing", "fold_0/checkpoint_final.pth"][..]),
        ("no data set", without("dataset.json"), &["dataset.json", "missing"]),
        (
            "a pointer",
            with("fold_1/checkpoint_final.pth", pointer),
            &["fold_1/checkpoint_final.pth", "Git LFS", "git lfs pull"],
        ),
        ("an empty file", with("plans.json", b""), &["plans.json: it is empty; copy"]),
        (
            "half a checkpoint",
            with("fold_1/checkpoint_final.pth", &half),
            &["fold_1/checkpoint_final.pth", "to its end?"],
        ),
        ("code", with("fold_0/checkpoint_final.pth", &code), &["fold_0/checkpoint_final.pth", "nothing was run"]),
        ("no checkpoint", with("fold_1/checkpoint_final.pth", b"hello"), &["fold_1/checkpoint_final.pth"]),
        ("no JSON", with("plans.json", b"{"), &["plans.json", "not valid JSON"]),
        (
            "v1",
            vec![("plans.pkl".into(), vec![0]), ("fold_0/model_final_checkpoint.model".into(), vec![0])],
            &["nnU-Net v1"],
        ),
        ("2d", two_d, &["2d", "two dimensions"]),
        ("cascade", cascade, &["cascade", "3d_lowres"]),
        ("another configuration", unknown, &["3d_fulres", "nearest is 3d_fullres", "another plan"]),
        (
            "another plan",
            changed(|p, _| p["dataset_name"] = json!("Dataset001_Other")),
            &["dataset_name", "Dataset999_Test"],
        ),
        ("network", plans("/architecture/network_class_name", json!("a.b.Primus")), &["Primus", "PlainConvUNet and"]),
        (
            "scheme",
            plans("/normalization_schemes/0", json!("MyNormalization")),
            &["MyNormalization", "CTNormalization"],
        ),
        ("schemes", plans("/normalization_schemes", json!(["NoNormalization"])), &["1 schemes", "2 channels"]),
        ("resampling", plans("/resampling_fn_data", json!("resample_by_hand")), &["resample_by_hand"]),
        ("shapes", plans("/architecture/arch_kwargs/features_per_stage", wide), &["another plan", "nnUNetTrainer"]),
        ("decoder", plans("/architecture/arch_kwargs/features_per_stage", zeros), &["another plan"]),
        ("classes", changed(|_, d| d["labels"]["more"] = json!(3)), &["another plan", "dataset.json"]),
        ("gap", changed(|_, d| d["labels"]["more"] = json!(7)), &["labels", "gap"]),
        ("no background", changed(|_, d| d["labels"] = json!({"organ": 1})), &["labels.background"]),
        ("regions", changed(|_, d| d["labels"]["whole"] = json!([1, 2])), &["regions_class_order"]),
        (
            "properties",
            changed(|p, _| drop(p["foreground_intensity_properties_per_channel"].take())),
            &["CTNormalization needs"],
        ),
        ("axes", changed(|p, _| p["transpose_forward"] = json!([0, 0, 1])), &["transpose_forward"]),
        ("nothing", vec![("readme.txt".into(), vec![])], &["no model", "readme.txt"]),
    ] {
        let error = refused(files);
        for word in words {
            assert!(error.contains(word), "{what}: {error:?} does not say {word:?}");
        }
    }
    let mut other = Model::default().files();
    let model = Model { configuration: "3d_fullres_bs4", ..Model::default() };
    other.truncate(3);
    other.extend(model.files().into_iter().filter(|(path, _)| path.starts_with("fold_1")));
    assert!(refused(other).contains("no folds of one model"));
    let low = Model::default();
    let mut plans = low.plans.clone();
    plans["configurations"]["3d_lowres"] = plans["configurations"]["3d_fullres"].clone();
    let lowres = imported(&Model { plans, configuration: "3d_lowres", ..low });
    assert!(
        matches!(&lowres.warnings[..], [w] if w.contains("3d_lowres") && w.contains("cascade")),
        "{:?}",
        lowres.warnings
    );
}

#[test]
fn an_exported_folder_is_the_same_model() {
    let regions = {
        let mut model = Model::default();
        model.dataset["labels"] = json!({"background": 0, "whole": [1, 2, 3], "core": [2, 3], "inner": [3]});
        model.dataset["regions_class_order"] = json!([1, 2, 3]);
        model.folds = vec![("all", 3)];
        model
    };
    for model in [Model::default(), Model::of_old_plans(), regions] {
        let first = imported(&model).package;
        let folder = nnunet_folder(&first, FloatType::F32).expect("a folder");
        let again = import(folder.files, &ImportOptions::default()).expect("a whole folder");
        assert_eq!(again.warnings, Vec::<String>::new());
        let (mut old, mut new) = (first.metadata().to_object(), again.package.metadata().to_object());
        for object in [&mut old, &mut new] {
            // The files are others, and nnU-Net has no fields for these.
            for key in ["source", "licence", "citation", "version"] {
                object.remove(key);
            }
        }
        assert_eq!(new, old);
        let names: Vec<&str> = first.tensors().iter().map(|tensor| tensor.name).collect();
        assert_eq!(again.package.tensors().iter().map(|tensor| tensor.name).collect::<Vec<_>>(), names);
        for name in names {
            assert_eq!(again.package.tensors().to_f32(name), first.tensors().to_f32(name), "{name}");
        }
    }
}

#[test]
fn what_nnunet_cannot_say_is_not_exported() {
    let refused = |change: &dyn Fn(&mut Metadata)| {
        let package = imported(&Model::default()).package;
        let mut metadata = package.metadata().clone();
        change(&mut metadata);
        let package = package.with_metadata(&metadata).expect("a good package");
        nnunet_folder(&package, FloatType::F32).expect_err("not nnU-Net's").to_string()
    };
    let steps = refused(&|m| m.input.preprocess.steps.truncate(2));
    assert!(steps.contains("input.steps") && steps.contains("Transpose, CropToNonzero"), "{steps}");
    let one = refused(&|m| {
        let region = Region { channel: 0, value: 1 };
        m.output.regions = vec![region.clone(), Region { channel: 2, value: 2 }, Region { channel: 1, ..region }];
        m.output.labels.clear();
        m.output.activation = Activation::Sigmoid;
    });
    assert!(one.contains("in the order of their channels"), "{one}");
}

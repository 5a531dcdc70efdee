//! Training data from `dataset.json` to batches: forms of datasets, splits without leaks, targets, and batches that depend
//! on nothing but the seed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::support::cases::{augment, case, data, noise, sections, write_case, write_image, write_labels};
use serde_json::{Value, json};
use unetr_wgpu::dataset::{Case, Dataset};
use unetr_wgpu::train::data::{DataError, Loader, split};
use unetr_wgpu::volume::Affine;

fn dataset(value: Value) -> (tempfile::TempDir, Result<Dataset, String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("dataset.json");
    std::fs::write(&path, value.to_string()).expect("written");
    let read = Dataset::read(&path).map_err(|e| e.to_string());
    (folder, read)
}

#[test]
fn datasets_of_all_writers_are_read() {
    let (folder, read) = dataset(json!({
        "name": "MSD", "modality": {"1": "T1w", "0": "FLAIR"}, "labels": {"0": "background", "1": "oedema"},
        "numTraining": 2, "numTest": 1, "test": ["./imagesTs/c.nii.gz"],
        "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"},
                     {"image": ["b/x.nii", "b/y.nii"], "label": "b/seg.nii", "subject": 17, "fold": 2}]
    }));
    let read = read.expect("MSD's form");
    let at = |name: &str| folder.path().join(name);
    assert_eq!(read.channels, ["FLAIR", "T1w"]);
    assert_eq!(read.labels, BTreeMap::from([(0, "background".into()), (1, "oedema".into())]));
    assert_eq!(read.training[0], case("a", vec![at("imagesTr/a.nii.gz")], at("labelsTr/a.nii.gz")));
    let b = case("x", vec![at("b/x.nii"), at("b/y.nii")], at("b/seg.nii"));
    assert_eq!(read.training[1], Case { subject: Some("17".into()), fold: Some(2), ..b });
    assert!(read.validation.is_empty());

    let (_folder, read) = dataset(json!({
        "channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1},
        "train": [{"image": "/data/p1/ct.nii", "label": "p1/seg.nii"}],
        "val": [{"image": "p2/ct.nii", "label": "p2/seg.nii"}]
    }));
    let read = read.expect("other names");
    assert_eq!((read.channels.as_slice(), &read.labels[&1]), (["CT".to_owned()].as_slice(), &"liver".to_owned()));
    assert_eq!(read.training[0].images, [Path::new("/data/p1/ct.nii")]);
    // Equal file names are told apart by their folders.
    assert_eq!((read.training[0].name.as_str(), read.validation[0].name.as_str()), ("/data/p1/ct", "p2/ct"));
    // What is said of cases beyond this is named, not dropped.
    let other = json!({"training": [{"image": "a.nii", "label": "b.nii", "age": 61, "site": "x"}], "relase": "1.0"});
    let read = dataset(other).1.expect("keys of others");
    assert_eq!(read.unused.iter().map(String::as_str).collect::<Vec<_>>(), ["age", "site"]);
}

#[test]
fn a_dataset_that_cannot_be_used_says_where() {
    for (value, words) in [
        (json!([1]), "expected an object, found a list"),
        (json!({"test": ["a"]}), "no list \"training\" of cases with labels"),
        (json!({"training": []}), "no list \"training\""),
        (
            json!({"training": [{"image": "a", "label": "b"}, {"image": "a"}]}),
            "training[1] needs \"image\" and \"label\"",
        ),
        (json!({"val": [{"image": [], "label": "b"}]}), "val[0] has an empty list \"image\""),
        (
            json!({"training": [{"image": "a", "label": "b", "subjet": "17"}]}),
            "training[0] has a key that is misspelt: subjet: unknown key; the nearest known key is `subject`",
        ),
        (
            json!({"training": [{"image": "a", "label": "b"}], "validaton": []}),
            "validaton: unknown key; the only known key is `validation`",
        ),
        (
            json!({"training": [{"image": "a", "label": "b"}], "train": [{"image": "c", "label": "d"}]}),
            "train: \"training\" lists the same cases",
        ),
    ] {
        let (_folder, read) = dataset(value);
        let error = read.expect_err(words);
        assert!(error.contains("dataset.json: ") && error.contains(words), "{error}");
    }
    let error = Dataset::read(Path::new("nowhere/dataset.json")).expect_err("no file").to_string();
    assert!(error.contains("nowhere/dataset.json"), "{error}");
}

fn named(name: &str) -> Case {
    let path = |end: &str| PathBuf::from(format!("data/{name}{end}"));
    let stem = name.rsplit('/').next().expect("a name");
    case(stem, vec![path(".nii.gz")], path("_label.nii.gz"))
}

#[test]
fn subjects_are_found_by_their_names() {
    for (rule, name, subject) in [
        ("{}", "anything", "anything"),
        ("{ pattern = 'sub-{}_*' }", "sub-017_ses-2_T1w", "017"),
        ("{ pattern = '*_{}' }", "msd_task_09", "task_09"),
        ("{ pattern = '{}/*' }", "patients/P3/t1", "P3"),
        ("{ pattern = 'patients/{}/*' }", "patients/P3/t1", "P3"),
        ("{ pattern = 'hippocampus_{}', group = 2 }", "hippocampus_007", "group 3"),
        ("{ pattern = 'hippocampus_{}', group = 2 }", "hippocampus_008", "group 3"),
        ("{ pattern = 'c{}', group = 10, first = 0 }", "c19", "group 1"),
    ] {
        let rule = if rule == "{}" { String::new() } else { format!("subject = {rule}") };
        assert_eq!(data(&rule).subject.of(&named(name)).expect("a subject"), subject, "{rule} of {name}");
    }
    // What the dataset says counts.
    let said = Case { subject: Some("X".into()), ..named("hippocampus_007") };
    assert_eq!(data("subject = { pattern = 'no{}' }").subject.of(&said).expect("a subject"), "X");
    for (rule, name, words) in [
        ("{ pattern = 'sub-{}_*' }", "case-1", "the case case-1 does not look like it"),
        ("{ pattern = 'sub-{}_*' }", "sub-_1", "does not look like it"),
        ("{ pattern = 'sub' }", "sub", "exactly one {}"),
        ("{ pattern = 'h_{}', group = 2 }", "h_left", "\"left\" of the case h_left is none"),
        ("{ pattern = 'h_{}', group = 2 }", "h_0", "numbers from 1 on"),
    ] {
        let error = data(&format!("subject = {rule}")).subject.of(&named(name)).expect_err(words).to_string();
        assert!(error.starts_with("data.subject.") && error.contains(words), "{error}");
    }
}

#[test]
fn splits_keep_subjects_together_whatever_the_order() {
    let rule = "subject = { pattern = 'h_{}', group = 2 }\nval_fraction = 0.2";
    let training: Vec<Case> = (1..=60).map(|n| named(&format!("h_{n:03}"))).collect();
    let mut dataset = Dataset { training, ..Dataset::default() };
    let recipe = data(rule);
    let first = split(&dataset, &recipe).expect("a split");
    assert_eq!((first.training.len(), first.validation.len()), (48, 12));
    let subjects = |cases: &[Case]| -> BTreeSet<String> {
        cases.iter().map(|c| recipe.subject.of(c).expect("a subject")).collect()
    };
    assert!(subjects(&first.training).is_disjoint(&subjects(&first.validation)));
    dataset.training.reverse();
    let again = split(&dataset, &recipe).expect("a split");
    let names = |cases: &[Case]| -> BTreeSet<String> { cases.iter().map(|c| c.name.clone()).collect() };
    assert_eq!(names(&again.validation), names(&first.validation));
    let other = split(&dataset, &data(&format!("{rule}\nsplit_seed = 1"))).expect("a split");
    assert_ne!(names(&other.validation), names(&first.validation));
}

#[test]
fn a_split_that_leaks_or_leaves_nothing_is_refused() {
    let cases = |names: &[&str]| names.iter().map(|n| named(n)).collect::<Vec<_>>();
    let refused = |training: &[&str], validation: &[&str], rule: &str| {
        let dataset = Dataset { training: cases(training), validation: cases(validation), ..Dataset::default() };
        split(&dataset, &data(rule)).expect_err(rule).to_string()
    };
    let pairs = "subject = { pattern = 'h_{}', group = 2 }";
    let error = refused(&["h_1", "h_3"], &["h_5", "h_4"], pairs);
    assert!(error.contains("h_3") && error.contains("h_4") && error.contains("same subject"), "{error}");
    let error = refused(&["a"], &["b"], "val_fraction = 0.5");
    assert!(error.contains("validation list of 1 cases") && error.contains("data.val_fraction 0.5"), "{error}");
    let error = refused(&["h_1", "h_2"], &[], &format!("{pairs}\nval_fraction = 0.5"));
    assert!(error.contains("leaves none to train on"), "{error}");
    assert!(refused(&[], &["a"], "").contains("no list \"training\""));
    let (mut a, mut b) = (named("a"), named("b"));
    (a.subject, b.subject) = (Some("1".into()), Some("2".into()));
    b.images = a.images.clone();
    let dataset = Dataset { training: vec![a], validation: vec![b], ..Dataset::default() };
    let error = split(&dataset, &data("")).expect_err("a shared file").to_string();
    assert!(error.contains("the same file data/a.nii.gz"), "{error}");
}

const WINDOW: [usize; 3] = [16, 16, 16];

#[test]
fn regions_of_four_channels_overlap_as_the_recipe_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let dims = [16, 18, 17];
    let value = |c: usize, [x, y, z]: [usize; 3]| noise(((c * 20 + x) * 20 + y) * 20 + z);
    for c in 0..4 {
        write_image(&at(&format!("{c}.nii")), 1, dims, |_, v| value(c, v));
    }
    write_image(&at("all.nii"), 4, dims, value);
    // BraTS' values: 1 core, 2 oedema, 4 enhancing.
    let truth = |[x, y, _]: [usize; 3]| [0, 1, 2, 4][(x / 3 + y / 2) % 4];
    write_labels(&at("seg.nii"), dims, Affine::IDENTITY, truth);
    let s = sections(WINDOW, |package| {
        package["network"]["in_channels"] = json!(4);
        package["input"]["channels"] = json!(["FLAIR", "T1", "T1ce", "T2"]);
        package["output"] = json!({"activation": "sigmoid", "labels": [],
            "regions": [{"channel": 0, "value": 2}, {"channel": 1, "value": 1}, {"channel": 2, "value": 4}]});
    });
    let recipe = data(
        "method = 'uniform'\nrelabel = { 4 = 3 }\nregions = [{ channel = 1, values = [1, 3] }, \
         { channel = 0, values = [1, 2, 3] }, { channel = 2, values = [3] }]",
    );
    let files = case("files", (0..4).map(|c| at(&format!("{c}.nii"))).collect(), at("seg.nii"));
    let whole = case("whole", vec![at("all.nii")], at("seg.nii"));
    let mut batches = Vec::new();
    for case in [files, whole] {
        let prepared = s.prepared(&[case], &recipe, None).expect("a sound case");
        assert_eq!(prepared.counts().keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3]);
        batches.push(s.sampler(prepared, &recipe, &augment(""), 5).batch(3).expect("a batch"));
    }
    assert_eq!(batches[0], batches[1], "four files or one are the same case");
    let batch = &batches[0];
    assert_eq!((batch.input.len(), batch.label.len()), (4 * 4096, 3 * 4096));
    // Where the window is, by its first voxel.
    let start = (0..=2).flat_map(|y| (0..=1).map(move |z| [0, y, z])).find(|s| value(2, *s) == batch.input[2 * 4096]);
    let start = start.expect("the window lies in the volume");
    for n in 0..4096 {
        let voxel = [n / 256, n / 16 % 16 + start[1], n % 16 + start[2]];
        (0..4).for_each(|c| assert_eq!(batch.input[c * 4096 + n], value(c, voxel)));
        let label = truth(voxel);
        let want = [label > 0, label == 1 || label == 4, label == 4].map(|inside| f32::from(u8::from(inside)));
        assert_eq!([0, 1, 2].map(|c| batch.label[c * 4096 + n]), want, "{label}");
    }
}

#[test]
fn files_are_channels_by_their_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let dims = [16, 18, 17];
    for (c, name) in ["x_t1ce.nii", "x_flair.nii"].into_iter().enumerate() {
        write_image(&at(name), 1, dims, |_, [x, y, z]| noise(((c * 20 + x) * 20 + y) * 20 + z));
    }
    write_labels(&at("seg.nii"), dims, Affine::IDENTITY, |[x, _, _]| u16::from(x > 7));
    let s = sections(WINDOW, |package| {
        package["network"]["in_channels"] = json!(2);
        package["input"]["channels"] = json!(["FLAIR", "T1gd"]);
    });
    let images = |order: [&str; 2]| {
        let case = case("case", order.map(at).to_vec(), at("seg.nii"));
        let prepared = s.prepared(&[case], &data(""), None).expect("a sound case");
        let told: Vec<String> = prepared.warnings().map(str::to_owned).collect();
        (prepared.load(0).expect("the case").image.clone(), told)
    };
    let (right, told) = images(["x_flair.nii", "x_t1ce.nii"]);
    assert_eq!(right[0], noise(20 * 20 * 20), "the second file is FLAIR");
    assert!(told.is_empty(), "{told:?}");
    let (moved, told) = images(["x_t1ce.nii", "x_flair.nii"]);
    assert!(moved == right);
    assert!(told[0].contains("by their names: FLAIR = x_flair.nii, T1gd = x_t1ce.nii"), "{told:?}");
}

#[test]
fn preprocessing_is_the_models() {
    let folder = tempfile::tempdir().expect("a folder");
    let case = write_case(folder.path(), "a", [20, 22, 24]);
    // Stored left to right, foot to head, back to front, 2 mm along i.
    let affine = Affine::from_rows([[-2.0, 0.0, 0.0, 5.0], [0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0]]);
    let dims = [20, 22, 24];
    let volume = unetr_wgpu::volume::Volume::new((0..10560).map(noise).collect(), 1, dims, affine).expect("a volume");
    let file = std::fs::File::create(&case.images[0]).expect("a file");
    unetr_wgpu::volume::nifti::write_volume(file, &volume, &Default::default()).expect("written");
    write_labels(&case.label, dims, affine, |[x, _, _]| u16::from(x > 9));
    let s = sections(WINDOW, |package| {
        package["input"]["spacing"] = json!([1.0, 1.0, 1.0]);
        package["input"]["intensity"] = json!({"kind": "normalize", "nonzero": false, "channel_wise": true});
    });
    let prepared = s.prepared(&[case], &data(""), None).expect("a sound case").load(0).expect("the case");
    let want = s.input.preprocess.apply(&volume).expect("preprocessed");
    assert_eq!((prepared.dims, prepared.spacing), (want.volume.dims, [1.0; 3]));
    assert_eq!(prepared.image, want.volume.data);
    // i runs to the left: what lay at high i is at low x.
    assert_eq!((prepared.label[0], prepared.label.last()), (1, Some(&0)));
}

const EVERYTHING: &str = "flip = [0.5, 0, 0.5]\nrotate90 = { prob = 0.5 }\n\
    affine = { prob = 0.5, rotate_range = [20, 20, 20], scale_range = [0.1, 0.1, 0.1] }\n\
    elastic = { prob = 0.3, spacing = 8, magnitude_range = [0, 2] }\nbias_field = { prob = 0.5, coeff_range = [-0.1, 0.1] }\n\
    adjust_contrast = { prob = 0.5, gamma = [0.7, 1.5] }\ngaussian_smooth = { prob = 0.5, sigma = [0.3, 0.8] }\n\
    gaussian_noise = { prob = 0.5, std = 0.1 }\nscale_intensity = { prob = 0.5, factors = 0.1 }\n\
    shift_intensity = { prob = 0.5, offsets = 0.1 }";

#[test]
fn batches_are_the_same_for_any_threads_cache_and_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let dims = [[20, 17, 18], [12, 30, 16], [16, 16, 16], [25, 14, 20], [18, 18, 40]];
    let cases: Vec<Case> = (0..5).map(|n| write_case(folder.path(), &format!("case{n}"), dims[n])).collect();
    let s = sections(WINDOW, |_| {});
    // 15 windows in an epoch, 4 in a batch: batches cross epochs.
    let base = "samples_per_case = 3\nbatch = 4\n";
    let recipe = data(base);
    let cache = folder.path().join("cache");
    let sampler = |text: &str, seed| {
        let recipe = data(&format!("{base}{text}"));
        let prepared = s.prepared(&cases, &recipe, Some(&cache)).expect("sound cases");
        s.sampler(prepared, &recipe, &augment(EVERYTHING), seed)
    };
    let reference = sampler("", 7);
    let want: Vec<_> = (0..20).map(|n| reference.batch(n).expect("a batch")).collect();
    assert_eq!(reference.cases().in_memory(), 5);
    assert_ne!(want[0].input, sampler("", 8).batch(0).expect("a batch").input, "the seed counts");
    // Each epoch visits every case three times in a row, in another order.
    let visited: Vec<usize> = want.iter().flat_map(|b| b.cases.clone()).collect();
    let mut orders = BTreeSet::new();
    for (n, epoch) in visited.chunks_exact(15).enumerate() {
        assert!(epoch.chunks(3).all(|c| c == [c[0]; 3]), "{epoch:?}");
        assert_eq!(epoch.iter().collect::<BTreeSet<_>>().len(), 5, "{epoch:?}");
        orders.insert(epoch.to_vec());
        assert_eq!(want[(n * 15).div_ceil(4)].epoch, n as u32);
    }
    assert!(orders.len() > 1);
    // Windows of one case differ, and so do epochs.
    let windows: BTreeSet<Vec<u32>> =
        want.iter().flat_map(|b| b.input.chunks(4096)).map(|w| w.iter().map(|v| v.to_bits()).collect()).collect();
    assert_eq!(windows.len(), 80);
    for (threads, prefetch, memory, start) in [(1, 1, 4096, 0), (4, 3, 4096, 0), (3, 8, 0, 0), (2, 2, 0, 11)] {
        let text = format!("threads = {threads}\nprefetch = {prefetch}\nmemory = {memory}");
        let made = sampler(&text, 7);
        assert_eq!(made.cases().in_memory(), if memory == 0 { 0 } else { 5 });
        assert_eq!(made.cases().fingerprint(), reference.cases().fingerprint());
        let mut loader = Loader::new(made, &data(&format!("{base}{text}")), start).expect("threads");
        for (n, want) in want.iter().enumerate().skip(start as usize) {
            assert_eq!(loader.position(), n as u64);
            assert!(loader.next().expect("a batch") == *want, "batch {n} with {text}");
        }
    }
    // A loader that is not used up ends at once, and one over another seed is another run.
    drop(Loader::new(Arc::clone(&reference), &recipe, 0).expect("threads"));
}

#[test]
fn a_file_that_vanishes_is_an_error_and_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let cases = [write_case(folder.path(), "a", [16; 3]), write_case(folder.path(), "b", [16; 3])];
    let s = sections(WINDOW, |_| {});
    let recipe = data("memory = 0\nthreads = 3");
    let cache = folder.path().join("cache");
    let sampler = s.sampler(s.prepared(&cases, &recipe, Some(&cache)).expect("cases"), &recipe, &augment(""), 1);
    std::fs::remove_dir_all(&cache).expect("removed");
    let mut loader = Loader::new(sampler, &recipe, 0).expect("threads");
    let error = loader.next().expect_err("no file");
    assert!(matches!(&error, DataError::Cache { .. }), "{error}");
    assert!(error.to_string().contains(".safetensors: "), "{error}");
    assert!(matches!(loader.next(), Err(DataError::Stopped { .. })));
}

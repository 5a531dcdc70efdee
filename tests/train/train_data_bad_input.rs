//! Training data that cannot be used: each fault is named with its file or field, its value and what to do, before training
//! begins, and nothing is left half-written.

use std::ops::ControlFlow;
use std::path::Path;

use crate::support::cases::{augment, case, data, sections, write_case, write_image, write_labels};
use serde_json::{Value, json};
use unetr_wgpu::dataset::Case;
use unetr_wgpu::train::data::prepared::check;
use unetr_wgpu::train::data::{AugmentRecipe, DataError, DataRecipe};
use unetr_wgpu::volume::Affine;

const WINDOW: [usize; 3] = [16, 16, 32];

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Cases with one fault each, and what is said about it.
fn bad_cases(folder: &Path) -> Vec<(Case, &'static str)> {
    let sound = |name: &str| write_case(folder, name, [16; 3]);
    let shifted = Affine::from_rows([[1.0, 0.0, 0.0, 0.6], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]);
    let missing = case("missing", vec![folder.join("nowhere.nii.gz")], folder.join("nowhere.nii.gz"));
    let no_label = Case { label: folder.join("no_label.nii.gz"), ..sound("unlabelled") };
    let damaged = sound("damaged");
    std::fs::write(&damaged.images[0], b"no NIfTI at all").expect("written");
    let cut = sound("cut");
    let bytes = std::fs::read(&cut.label).expect("read");
    std::fs::write(&cut.label, &bytes[..bytes.len() - 9]).expect("written");
    let small = sound("small");
    write_labels(&small.label, [16, 16, 15], Affine::IDENTITY, |_| 1);
    let moved = sound("moved");
    write_labels(&moved.label, [16; 3], shifted, |_| 1);
    let channels = sound("channels");
    write_image(&channels.images[0], 2, [16; 3], |_, _| 1.0);
    let mut grids = sound("grids");
    let other = sound("other_grid");
    write_image(&other.images[0], 1, [16, 16, 17], |_, _| 1.0);
    grids.images.push(other.images[0].clone());
    let label = sound("label");
    write_labels(&label.label, [16; 3], Affine::IDENTITY, |[x, y, z]| if (x, y) == (3, 4) && z < 6 { 5 } else { 2 });
    let huge = sound("huge");
    write_image(&huge.images[0], 1, [16; 3], |_, [x, ..]| if x == 0 { f32::MAX } else { f32::MIN });
    vec![
        (missing, "nowhere.nii.gz: "),
        (no_label, "no_label.nii.gz: "),
        (damaged, "damaged_image.nii: not a NIfTI file"),
        (cut, "cut_label.nii: the file is cut short"),
        (small, "do not lie on one grid: they have [16, 16, 16] and [16, 16, 15] voxels"),
        (moved, "do not lie on one grid: they have the same size but lie up to 0.600 mm apart"),
        (channels, "channels_image.nii has 2 channel(s), the network takes 1: MR"),
        (grids, "other_grid_image.nii do not lie on one grid"),
        (label, "label_label.nii: label 5 (6 voxels) is not declared: known are 0, 1, 2; declare it"),
        (huge, "huge_image.nii: 4096 voxels are NaN or infinite after preprocessing"),
    ]
}

#[test]
fn every_bad_case_is_named_before_training_begins() {
    let folder = tempfile::tempdir().expect("a folder");
    // Doubles the values: those at the ends of f32's range leave it.
    let s = sections(WINDOW, |package| {
        package["input"]["intensity"] =
            json!({"kind": "scale_range", "a_min": 0, "a_max": 0.5, "b_min": 0, "b_max": 1, "clip": false});
    });
    let bad = bad_cases(folder.path());
    let mut list: Vec<Case> = bad.iter().map(|(case, _)| case.clone()).collect();
    list.insert(3, write_case(folder.path(), "sound", [16; 3]));
    for threads in [1, 4] {
        let error = s.prepared(&list, &data(&format!("threads = {threads}")), None).expect_err("bad cases");
        let DataError::Cases { checked, problems } = &error else {
            panic!("{error}");
        };
        assert_eq!((*checked, problems.len()), (list.len(), bad.len()));
        for (problem, (case, words)) in problems.iter().zip(&bad) {
            assert_eq!(problem.case, case.name);
            assert!(problem.to_string().contains(words), "{problem}\nhas no: {words}");
        }
        let text = error.to_string();
        assert!(text.starts_with("10 of 11 cases cannot be used:\n  missing: "), "{text}");
        assert!(!text.contains("sound:"), "{text}");
        // Cases that are only checked are judged alike.
        let source = s.source(&data(""));
        let checked = check(&list, &source, threads, &|_, _| ControlFlow::Continue(())).expect_err("bad cases");
        assert_eq!(checked.to_string(), text);
        let once = |done, of| {
            assert_eq!((done, of), (1, 1));
            ControlFlow::Break(())
        };
        check(&list[3..4], &source, threads, &once).expect("a stop behind the last case changes nothing");
        let stopped = check(&list[3..], &source, 1, &|_, _| ControlFlow::Break(())).expect_err("not all were checked");
        assert!(matches!(stopped, DataError::Interrupted), "{stopped}");
    }
}

#[test]
fn empty_labels_are_told_or_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (sound, empty) = (write_case(folder.path(), "sound", [16; 3]), write_case(folder.path(), "empty", [16; 3]));
    write_labels(&empty.label, [16; 3], Affine::IDENTITY, |_| 0);
    let s = sections(WINDOW, |_| {});
    let both = [sound, empty.clone()];
    // Whether the case comes from its files or from the cache.
    let cache = folder.path().join("cache");
    for _ in 0..2 {
        let prepared = s.prepared(&both, &data("memory = 0"), Some(&cache)).expect("one labelled case is enough");
        let warnings: Vec<&str> = prepared.warnings().collect();
        assert!(
            matches!(&warnings[..], [one] if one.ends_with("empty_label.nii: no voxel is labelled")),
            "{warnings:?}"
        );
        let error = s.prepared(&both, &data("memory = 0\nallow_empty = false"), Some(&cache)).expect_err("refused");
        assert!(error.to_string().contains("empty_label.nii: no voxel is labelled; remove the case"), "{error}");
    }
    let error = s.prepared(&[empty], &data(""), None).expect_err("nothing to learn");
    assert!(matches!(error, DataError::AllEmpty { cases: 1 }), "{error}");
}

#[test]
fn voxels_that_are_no_numbers_count_as_background() {
    let folder = tempfile::tempdir().expect("a folder");
    let case = write_case(folder.path(), "a", [16; 3]);
    write_image(&case.images[0], 1, [16; 3], |_, [x, y, _]| if (x, y) == (1, 2) { f32::NAN } else { 2.0 });
    let prepared = sections(WINDOW, |_| {}).prepared(&[case], &data(""), None).expect("a sound case");
    assert!(prepared.warnings().any(|text| text.contains("16 voxels are NaN or infinite; they count as background")));
    let case = prepared.load(0).expect("the case");
    assert_eq!(case.image.iter().filter(|v| **v == 0.0).count(), 16);
}

#[test]
fn the_cache_is_used_again_made_anew_or_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let cases = [write_case(folder.path(), "a", [16; 3]), write_case(folder.path(), "b", [17; 3])];
    let s = sections(WINDOW, |_| {});
    let (recipe, cache) = (data("memory = 0"), folder.path().join("run/cache"));
    let first = s.prepared(&cases, &recipe, Some(&cache)).expect("sound cases");
    let want = first.load(0).expect("the case");
    let files = names(&cache);
    assert_eq!(files.len(), 2);
    // A half-written file of a run that was killed goes; a damaged one is made anew.
    std::fs::write(cache.join(".unetr-x.tmp"), b"half").expect("written");
    for name in &files {
        std::fs::write(cache.join(name), b"damaged").expect("written");
    }
    let again = s.prepared(&cases, &recipe, Some(&cache)).expect("made anew");
    assert_eq!((names(&cache), again.load(0).expect("the case")), (files.clone(), want.clone()));
    // What is there is used: neither file is written again.
    let times =
        || files.iter().map(|f| std::fs::metadata(cache.join(f)).and_then(|m| m.modified()).ok()).collect::<Vec<_>>();
    let before = times();
    s.prepared(&cases, &recipe, Some(&cache)).expect("from the cache");
    assert_eq!(times(), before);
    // Another file or another setting is another case.
    let fingerprint = again.fingerprint();
    let other = sections(WINDOW, |package| package["input"]["spacing"] = json!([1.0, 1.0, 2.0]));
    let halved = other.prepared(&cases, &recipe, Some(&cache)).expect("another spacing");
    assert_eq!((names(&cache).len(), halved.load(0).expect("the case").dims), (4, [16, 16, 8]));
    write_image(&cases[1].images[0], 1, [17; 3], |_, _| 3.0);
    let changed = s.prepared(&cases, &recipe, Some(&cache)).expect("another file");
    assert_eq!((names(&cache).len(), changed.load(1).expect("the case").image[0]), (5, 3.0));
    assert!(fingerprint != halved.fingerprint() && fingerprint != changed.fingerprint());
    // Nowhere to write to.
    let file = folder.path().join("file");
    std::fs::write(&file, b"kept").expect("written");
    let error = s.prepared(&cases, &recipe, Some(&file.join("cache"))).expect_err("no folder").to_string();
    assert!(error.contains("file/cache"), "{error}");
    let error = s.prepared(&cases, &recipe, None).expect_err("no folder").to_string();
    assert!(error.contains("data.memory"), "{error}");
}

#[test]
fn what_cannot_be_written_leaves_no_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let cases = [write_case(folder.path(), "a", [16; 3])];
    let s = sections(WINDOW, |_| {});
    // A folder in the place of the file.
    let cache = folder.path().join("cache");
    s.prepared(&cases, &data("memory = 0"), Some(&cache)).expect("sound cases");
    let name = names(&cache).remove(0);
    std::fs::remove_file(cache.join(&name)).expect("removed");
    std::fs::create_dir_all(cache.join(&name).join("full")).expect("a folder");
    let error = s.prepared(&cases, &data("memory = 0"), Some(&cache)).expect_err("not written").to_string();
    assert!(error.contains(&name) && error.contains("free some space, or raise data.memory"), "{error}");
    assert_eq!(names(&cache), [name]);
}

/// What a recipe's sections say about `data` and `augment`; `change` adapts the package.
fn verdict(data_text: &str, augment_text: &str, change: impl FnOnce(&mut Value)) -> Result<(), String> {
    let s = sections(WINDOW, change);
    let recipe: DataRecipe = toml::from_str(data_text).map_err(|e| e.to_string())?;
    let augment: AugmentRecipe = toml::from_str(augment_text).map_err(|e| e.to_string())?;
    recipe.validate(&s.task, &s.input, &s.output).map_err(|e| e.to_string())?;
    augment.validate(&recipe, &s.task, &s.input, &s.output).map_err(|e| e.to_string())
}

fn sigmoid(package: &mut Value) {
    package["output"] = json!({"activation": "sigmoid", "regions": [
        {"channel": 0, "value": 1}, {"channel": 1, "value": 2}, {"channel": 2, "value": 3}],
        "labels": [{"value": 2, "name": "left lung", "color": "#c8563c"}]});
}

#[test]
fn wrong_recipes_name_the_field() {
    for (data_text, augment_text, words) in [
        ("batches = 2", "", "unknown field `batches`"),
        ("", "flips = [1, 1, 1]", "unknown field `flips`"),
        ("", "affine = { prob = 1, rotation = 3 }", "unknown field `rotation`"),
        ("val_fraction = 1.0", "", "data.val_fraction is 1: a fraction from 0 to below 1"),
        ("subject = { pattern = 'a' }", "", "data.subject.pattern is \"a\": exactly one {}"),
        ("subject = { group = 0 }", "", "data.subject.group is 0"),
        ("pos = -1", "", "data.pos is -1"),
        ("pos = 0\nneg = 0", "", "data.pos and data.neg cannot both be 0"),
        ("image_threshold = nan", "", "data.image_threshold is NaN"),
        ("samples_per_case = 0", "", "data.samples_per_case is 0: a number from 1 to 4096"),
        ("batch = 0", "", "data.batch is 0"),
        ("threads = 0", "", "data.threads is 0"),
        ("prefetch = 9999", "", "data.prefetch is 9999"),
        ("relabel = { 5 = 3 }", "", "data.relabel.5 is 3: the network has no such label; known are 0, 1, 2"),
        ("relabel = { x = 1 }", "", "\"x\" is no label"),
        ("regions = [{ channel = 0, values = [1] }]", "", "data.regions is a list of 1: regions belong to"),
        ("", "flip = [0.5, 1.5, 0]", "augment.flip[1] is 1.5: a number from 0 to 1"),
        ("", "mirror_pairs = [[1, 3]]", "augment.mirror_pairs[0] is [1, 3]: 3 is no label"),
        ("", "mirror_pairs = [[1, 2], [2, 1]]", "augment.mirror_pairs[1] is [2, 1]: 1 belongs to another pair"),
        ("", "rotate90 = { prob = 2 }", "augment.rotate90.prob is 2"),
        ("", "rotate90 = { prob = 1, max_k = 4 }", "augment.rotate90.max_k is 4"),
        (
            "",
            "rotate90 = { prob = 1, spatial_axes = [1, 1] }",
            "augment.rotate90.spatial_axes is [1, 1]: two different",
        ),
        ("", "rotate90 = { prob = 1, spatial_axes = [1, 2] }", "16 voxels along axis 1 and 32 along axis 2"),
        ("", "affine = { prob = nan }", "augment.affine.prob is NaN"),
        ("", "affine = { prob = 1, rotate_range = [0, -5, 0] }", "augment.affine.rotate_range[1] is -5"),
        ("", "affine = { prob = 1, scale_range = [0, 0, 1] }", "augment.affine.scale_range[2] is 1"),
        ("", "affine = { prob = 1, shear_range = [0, 0, 0, 0, 0, 1] }", "augment.affine.shear_range[5] is 1"),
        (
            "",
            "elastic = { prob = 1, spacing = 8, magnitude_range = [0, 5] }",
            "augment.elastic.magnitude_range[1] is 5",
        ),
        ("", "bias_field = { prob = 1, degree = 0, coeff_range = [0, 1] }", "augment.bias_field.degree is 0"),
        ("", "bias_field = { prob = 1, coeff_range = [0, 9] }", "augment.bias_field.coeff_range[1] is 9"),
        (
            "",
            "adjust_contrast = { prob = 1, gamma = [2, 1] }",
            "augment.adjust_contrast.gamma is [2.0, 1.0]: the smaller",
        ),
        ("", "gaussian_smooth = { prob = 1, sigma = [0, 1] }", "augment.gaussian_smooth.sigma[0] is 0"),
        ("", "gaussian_noise = { prob = 1, std = -1 }", "augment.gaussian_noise.std is -1"),
        ("", "scale_intensity = { prob = 1, factors = inf }", "augment.scale_intensity.factors is inf"),
        ("", "shift_intensity = { prob = 1, offsets = -0.1 }", "augment.shift_intensity.offsets is -0.1"),
    ] {
        let error = verdict(data_text, augment_text, |_| {}).expect_err(words);
        assert!(error.contains(words), "{error}\nhas no: {words}");
    }
    let all = "{ channel = 0, values = [1] }, { channel = 1, values = [1, 2] }";
    for (regions, words) in [
        (String::new(), "data.regions is empty: a sigmoid network needs a region for each channel"),
        (format!("[{all}]"), "channel 2 of network.out_channels 3 has no region"),
        (
            format!("[{all}, {{ channel = 3, values = [1] }}]"),
            "data.regions[2].channel is 3: network.out_channels is 3",
        ),
        (format!("[{all}, {{ channel = 1, values = [1] }}]"), "data.regions[2].channel is 1: the channel has a region"),
        (format!("[{all}, {{ channel = 2, values = [0] }}]"), "data.regions[2].values is [0]"),
        (format!("[{all}, {{ channel = 2, values = [] }}]"), "data.regions[2].values is []"),
    ] {
        let text = if regions.is_empty() { regions } else { format!("regions = {regions}") };
        let error = verdict(&text, "", sigmoid).expect_err(words);
        assert!(error.contains(words), "{error}\nhas no: {words}");
    }
    // Pairs are of values after relabelling, also of those that are replaced themselves.
    verdict("relabel = { 1 = 2, 2 = 1 }", "mirror_pairs = [[1, 2]]\nflip = [1, 0, 0]", |_| {}).expect("known labels");
    let error = verdict("relabel = { 5 = 2 }", "mirror_pairs = [[1, 5]]", |_| {}).expect_err("5 is gone");
    assert!(error.contains("5 is no label of the network; known are 0, 1, 2"), "{error}");
    // What is written comes back.
    let (recipe, transforms) = (data("relabel = { 7 = 1 }\nbatch = 3"), augment("flip = [0, 0.5, 0]"));
    let text = |e: Result<String, toml::ser::Error>| e.expect("TOML");
    assert_eq!(data(&text(toml::to_string(&recipe))), recipe);
    assert_eq!(augment(&text(toml::to_string(&transforms))), transforms);
}

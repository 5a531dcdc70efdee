//! Whole training runs on small made-up scans: what they write, how they go on after being stopped or killed, what they say
//! when something is wrong.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use unetr_wgpu::dataset::Dataset;
use unetr_wgpu::gpu::{Gpu, GpuOptions};
use unetr_wgpu::train::run::{Checkpoint, Setup, TrainingEvent, TrainingSummary, train};
use unetr_wgpu::train::{Recipe, TrainError};
use unetr_wgpu::volume::nifti::{self, WriteOptions};
use unetr_wgpu::volume::{Affine, LabelMap, Volume};
use unetr_wgpu::weights::Package;

pub(super) fn gpu() -> Gpu {
    let adapter = std::env::var("UNETR_ADAPTER").ok();
    let options = GpuOptions { adapter, default_limits: true, ..GpuOptions::default() };
    pollster::block_on(Gpu::open(&options)).expect("an adapter: see README, 'tests'")
}

const RECIPE: &str = r##"
name = "balls"
[network]
in_channels = 1
out_channels = 2
img_size = [16, 32, 16]
feature_size = 4
hidden_size = 24
mlp_dim = 48
num_heads = 2
[input]
channels = ["MR"]
orientation = "RAS"
intensity = { kind = "normalize", nonzero = false, channel_wise = true }
[output]
activation = "softmax"
labels = [{ value = 1, name = "ball", color = "#e0a040" }]
[run]
steps = 12
checkpoint_every = 4
dropout_rate = 0.1
[optimizer]
learning_rate = 2e-3
average = 0.9
warmup = 2
clip = 1.0
[validation]
every = 6
"##;

/// Noise with a bright ball in it, and the ball.
fn case(folder: &Path, seed: u64) -> serde_json::Value {
    let dims = [20, 34, 18];
    let centre = [8.0 + (seed % 3) as f64, 15.0 + (seed % 5) as f64, 9.0];
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let (mut image, mut label) = (Vec::new(), Vec::new());
    for x in 0..dims[0] {
        for y in 0..dims[1] {
            for z in 0..dims[2] {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let noise = (state >> 40) as f32 / (1u64 << 24) as f32;
                let d2: f64 = [x, y, z].iter().zip(centre).map(|(v, c)| (*v as f64 - c).powi(2)).sum();
                let inside = d2 < 25.0;
                image.push(noise + if inside { 1.5 } else { 0.0 });
                label.push(u16::from(inside));
            }
        }
    }
    let write = |name: &str, bytes: Vec<u8>| {
        std::fs::write(folder.join(name), bytes).expect("a file");
        name.to_owned()
    };
    let options = WriteOptions { gzip: true, ..WriteOptions::default() };
    let mut bytes = Vec::new();
    let volume = Volume::new(image, 1, dims, Affine::IDENTITY).expect("a volume");
    nifti::write_volume(&mut bytes, &volume, &options).expect("an image");
    let image = write(&format!("image_{seed}.nii.gz"), bytes);
    let mut bytes = Vec::new();
    let labels = LabelMap::new(label, dims, Affine::IDENTITY).expect("labels");
    nifti::write_labels(&mut bytes, &labels, &options).expect("labels");
    let label = write(&format!("label_{seed}.nii.gz"), bytes);
    serde_json::json!({"image": image, "label": label})
}

/// Three training and two validation cases.
pub(super) fn dataset(folder: &Path) -> PathBuf {
    let training: Vec<_> = (1..4).map(|seed| case(folder, seed)).collect();
    let validation: Vec<_> = (4..6).map(|seed| case(folder, seed)).collect();
    let path = folder.join("dataset.json");
    let json = serde_json::json!({"training": training, "validation": validation});
    std::fs::write(&path, json.to_string()).expect("a file");
    path
}

fn recipe(change: impl Fn(&mut Recipe)) -> Recipe {
    let mut recipe = Recipe::read(RECIPE).expect("a recipe");
    change(&mut recipe);
    recipe
}

/// Runs until done, or until `stop` steps were made in this call.
pub(super) fn run(
    gpu: &Gpu,
    data: &Path,
    folder: &Path,
    recipe: Option<Recipe>,
    stop: Option<u64>,
    init: Option<&Package>,
) -> Result<TrainingSummary, TrainError> {
    let dataset = Dataset::read(data).expect("a dataset");
    let resume = recipe.is_none();
    let setup = Setup { folder, data_name: "balls", dataset, recipe, resume, init };
    let mut made = 0;
    let observer = &mut |told: TrainingEvent<'_>| {
        if let TrainingEvent::Step(..) = told {
            made += 1;
        }
        if stop.is_some_and(|stop| made >= stop) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    pollster::block_on(train(gpu, setup, observer))
}

pub(super) fn model(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("model.safetensors")).expect("a model")
}

/// Loss of every step in the record.
pub(super) fn losses(folder: &Path) -> Vec<(u64, String)> {
    let text = std::fs::read_to_string(folder.join("metrics.jsonl")).expect("records");
    let lines = text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).expect("JSON"));
    lines
        .filter(|l| l["event"] == "step")
        .map(|l| (l["step"].as_u64().expect("a step"), l["loss"].to_string()))
        .collect()
}

#[test]
fn a_stopped_run_ends_as_one_that_was_not() {
    let (data_folder, a, b) = (folder(), folder(), folder());
    let data = dataset(data_folder.path());
    let (gpu, whole, broken) = (gpu(), a.path().join("run"), b.path().join("run"));
    let first = run(&gpu, &data, &whole, Some(recipe(|_| ())), None, None).expect("a run");
    assert!(first.complete && first.step == 12 && first.best.is_some());

    let stopped = run(&gpu, &data, &broken, Some(recipe(|_| ())), Some(5), None).expect("a stop");
    assert!(!stopped.complete && stopped.step == 5);
    // At a validation and at the last step: these are made up for.
    for (steps, at) in [(1, 6), (6, 12)] {
        let again = run(&gpu, &data, &broken, None, Some(steps), None).expect("a stop");
        assert!(!again.complete && again.step == at, "{again:?}");
    }
    let last = run(&gpu, &data, &broken, None, None, None).expect("the rest");
    assert_eq!((last.step, last.best), (first.step, first.best));

    assert!(model(&whole) == model(&broken), "the same bits");
    assert_eq!(losses(&whole), losses(&broken));
    let [x, y] = [&whole, &broken].map(|f| {
        let mut state = Checkpoint::read(&f.join("checkpoints/last.safetensors")).expect("a checkpoint").state;
        state.seconds = 0.0;
        state
    });
    assert_eq!(x, y);
    let package = Package::read(model(&whole)).expect("a package");
    assert_eq!(package.metadata().name, "balls");
    let seen = package.metadata().trained_on.clone().expect("what it was trained on");
    assert_eq!(seen.cases as u64, package.metadata().training["data"]["training_cases"].as_u64().expect("a number"));
    assert!(!seen.volumes.is_empty() && seen.volumes.iter().all(|v| v.max_ml > 0.0), "{seen:?}");
    assert!(package.metadata().training["validation"]["mean_dice"].as_f64().is_some());
    let loss = |(_, text): &(u64, String)| text.parse::<f64>().expect("a number");
    let all = losses(&whole);
    assert!(loss(&all[11]) < loss(&all[0]), "it learns: {all:?}");
}

#[test]
fn a_killed_run_ends_as_one_that_was_not() {
    let (data_folder, a, b) = (folder(), folder(), folder());
    let data = dataset(data_folder.path());
    let config = data_folder.path().join("recipe.toml");
    std::fs::write(&config, RECIPE).expect("a recipe");
    let (whole, broken) = (a.path().join("run"), b.path().join("run"));
    let command = |out: &Path, resume: bool| {
        let mut c = Command::new(env!("CARGO_BIN_EXE_unetr"));
        c.arg("train").arg(&data).arg("-o").arg(out).stdout(Stdio::null()).stderr(Stdio::null());
        match resume {
            true => c.arg("--resume"),
            false => c.arg("--config").arg(&config),
        };
        c
    };
    assert!(command(&whole, false).status().expect("a program").success());
    // Killed later and later: before the first checkpoint, while writing, while validating.
    for attempt in 0u64.. {
        assert!(attempt < 60, "it must end some time");
        let resume = broken.join("recipe.toml").exists();
        let mut child = command(&broken, resume).spawn().expect("a program");
        let mut waited = 0;
        let ended = loop {
            if let Some(status) = child.try_wait().expect("a status") {
                break Some(status);
            }
            if waited > 300 + 137 * attempt {
                break None;
            }
            std::thread::sleep(Duration::from_millis(20));
            waited += 20;
        };
        match ended {
            Some(status) => {
                assert!(status.success(), "attempt {attempt}");
                break;
            }
            None => {
                child.kill().expect("killed");
                child.wait().expect("gone");
            }
        }
    }
    assert!(model(&whole) == model(&broken), "the same bits");
    assert_eq!(losses(&whole), losses(&broken));
}

#[test]
fn fine_tuning_remakes_only_what_differs() {
    let (data_folder, a, b) = (folder(), folder(), folder());
    let data = dataset(data_folder.path());
    let gpu = gpu();
    let from = a.path().join("run");
    run(&gpu, &data, &from, Some(recipe(|r| r.run.steps = 1)), None, None).expect("a run");
    let package = Package::read(model(&from)).expect("a package");
    let wider = RECIPE.replace("out_channels = 2", "out_channels = 3");
    let mut anew = Vec::new();
    let setup = Setup {
        folder: &b.path().join("run"),
        data_name: "balls",
        dataset: Dataset::read(&data).expect("a dataset"),
        recipe: Some(Recipe::read(&wider).expect("a recipe")),
        resume: false,
        init: Some(&package),
    };
    pollster::block_on(train(&gpu, setup, &mut |told| {
        if let TrainingEvent::Started(started) = &told {
            anew.extend(started.anew.iter().map(|(name, _)| name.clone()));
        }
        if matches!(told, TrainingEvent::Step(..)) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }))
    .expect("a run");
    assert_eq!(anew, ["out.conv.conv.weight", "out.conv.conv.bias"]);
    let heads = Recipe::read(&RECIPE.replace("num_heads = 2", "num_heads = 3")).expect("a recipe");
    let error =
        run(&gpu, &data, &b.path().join("heads"), Some(heads), Some(1), Some(&package)).expect_err("other heads");
    assert!(error.to_string().contains("network.num_heads = 2"), "{error}");
    let other = RECIPE.replace("hidden_size = 24", "hidden_size = 48").replace("feature_size = 4", "feature_size = 8");
    let other = Recipe::read(&other.replace("mlp_dim = 48", "mlp_dim = 52")).expect("a recipe");
    // Only the output layer's bias has the same shape.
    let error = run(&gpu, &data, &b.path().join("other"), Some(other), Some(1), Some(&package)).expect_err("no fit");
    assert!(error.to_string().contains("hidden_size"), "{error}");
    assert!(!b.path().join("other").exists(), "no run was begun");
}

#[test]
fn a_stop_while_cases_are_prepared_leaves_no_run() {
    let (data_folder, a) = (folder(), folder());
    let data = dataset(data_folder.path());
    let run = a.path().join("run");
    let setup = Setup {
        folder: &run,
        data_name: "balls",
        dataset: Dataset::read(&data).expect("a dataset"),
        recipe: Some(recipe(|_| {})),
        resume: false,
        init: None,
    };
    let stopped = pollster::block_on(train(&gpu(), setup, &mut |told| match told {
        TrainingEvent::Preparing(..) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    }));
    let error = stopped.expect_err("stopped");
    assert!(error.to_string().contains("before the first step"), "{error}");
    assert!(!run.exists(), "no run was begun");
}

/// Killed between the first checkpoint and the recipe, which makes the folder a run.
#[test]
fn what_a_program_left_that_was_killed_at_the_start_is_in_nobodys_way() {
    let (data_folder, a) = (folder(), folder());
    let data = dataset(data_folder.path());
    let run_folder = a.path().join("run");
    std::fs::create_dir_all(run_folder.join("checkpoints")).expect("a folder");
    for left in [".lock", "split.json", "checkpoints/last.safetensors"] {
        std::fs::write(run_folder.join(left), "left").expect("a file");
    }
    run(&gpu(), &data, &run_folder, Some(recipe(|r| r.run.steps = 1)), None, None).expect("a run");
    // Without the lock they are somebody's files.
    let other = a.path().join("other");
    std::fs::create_dir_all(&other).expect("a folder");
    std::fs::write(other.join("split.json"), "mine").expect("a file");
    let error = run(&gpu(), &data, &other, Some(recipe(|r| r.run.steps = 1)), None, None).expect_err("not overwritten");
    assert!(error.to_string().contains("split.json"), "{error}");
    assert_eq!(std::fs::read_to_string(other.join("split.json")).expect("kept"), "mine");
}

/// Several batches to a step, stopped between two of them.
#[test]
fn accumulating_runs_can_be_stopped_too() {
    let (data_folder, a, b) = (folder(), folder(), folder());
    let data = dataset(data_folder.path());
    let gpu = gpu();
    let made = || {
        recipe(|r| {
            r.run.steps = 4;
            r.run.accumulate = 2;
            r.run.freeze = vec!["vit.blocks.*".to_owned()];
            r.loss.class_weights = vec![0.5, 2.0];
        })
    };
    let (whole, broken) = (a.path().join("run"), b.path().join("run"));
    run(&gpu, &data, &whole, Some(made()), None, None).expect("a run");
    run(&gpu, &data, &broken, Some(made()), Some(1), None).expect("a stop");
    run(&gpu, &data, &broken, None, None, None).expect("the rest");
    assert!(model(&whole) == model(&broken), "the same bits");
    let error =
        run(&gpu, &data, &a.path().join("other"), Some(recipe(|r| r.run.freeze = vec!["[".to_owned()])), None, None);
    assert!(error.expect_err("no pattern").to_string().contains("run.freeze"));
    for pattern in ["vit", "*"] {
        let frozen = recipe(|r| r.run.freeze = vec![pattern.to_owned()]);
        let error = run(&gpu, &data, &a.path().join("other"), Some(frozen), None, None).expect_err(pattern);
        assert!(error.to_string().contains("run.freeze"), "{error}");
    }
}

#[test]
fn numbers_that_are_not_finite_stop_the_run_and_keep_what_was_good() {
    let (data_folder, a) = (folder(), folder());
    let data = dataset(data_folder.path());
    let (gpu, out) = (gpu(), a.path().join("run"));
    let wild = recipe(|r| {
        r.optimizer.learning_rate = 1e30;
        r.optimizer.clip = 0.0;
        r.run.checkpoint_every = 1;
    });
    let error = run(&gpu, &data, &out, Some(wild), None, None).expect_err("it cannot go well");
    let TrainError::NotFinite { step, saved, .. } = &error else { panic!("{error}") };
    assert_eq!(saved + 1, *step);
    assert!(error.to_string().contains("not finite") && error.to_string().contains("learning_rate"), "{error}");
    let kept = Checkpoint::read(&out.join("checkpoints/last.safetensors")).expect("the checkpoint is still there");
    assert_eq!(kept.state.step, *saved);
    let text = std::fs::read_to_string(out.join("metrics.jsonl")).expect("records");
    assert!(text.lines().last().is_some_and(|l| l.contains("failed") && l.contains("not finite")), "{text}");
}

#[test]
fn folders_that_cannot_be_used_are_named() {
    let (data_folder, a) = (folder(), folder());
    let data = dataset(data_folder.path());
    let (gpu, out) = (gpu(), a.path().join("run"));
    let short = || {
        recipe(|r| {
            r.run.steps = 1;
            r.optimizer.warmup = 0;
        })
    };
    let said = |result: Result<TrainingSummary, TrainError>, words: &str| {
        let text = result.expect_err(words).to_string();
        assert!(text.contains(words), "{text}");
    };
    said(run(&gpu, &data, &out, None, None, None), "no run to resume");
    run(&gpu, &data, &out, Some(short()), None, None).expect("a run");
    said(run(&gpu, &data, &out, Some(short()), None, None), "holds a run already");
    let other = case(data_folder.path(), 9);
    let more = data_folder.path().join("more.json");
    std::fs::write(&more, serde_json::json!({"training": [other]}).to_string()).expect("a file");
    said(run(&gpu, &more, &out, None, None, None), "another set of training cases");
    // A file where the folder should be made.
    let blocked = data_folder.path().join("image_1.nii.gz").join("run");
    let taken = a.path().join("taken");
    std::fs::create_dir(&taken).expect("a folder");
    std::fs::write(taken.join("model.safetensors"), "mine").expect("a file");
    said(run(&gpu, &data, &taken, Some(short()), None, None), "model.safetensors");
    assert_eq!(std::fs::read(taken.join("model.safetensors")).expect("still there"), b"mine");
    said(run(&gpu, &data, &blocked, Some(short()), None, None), "image_1.nii.gz");

    // Of a damaged checkpoint the one before it is taken; with both damaged there is no going on.
    let whole = model(&out);
    let path = out.join("checkpoints/last.safetensors");
    let damage = |path: &Path| {
        let mut bytes = std::fs::read(path).expect("a checkpoint");
        let at = bytes.len() - 5;
        bytes[at] ^= 1;
        std::fs::write(path, bytes).expect("damaged");
    };
    damage(&path);
    assert!(Checkpoint::read(&path).is_err());
    assert!(run(&gpu, &data, &out, None, None, None).expect("the one before").complete);
    assert!(model(&out) == whole && Checkpoint::read(&path).is_ok());
    damage(&path);
    damage(&path.with_extension("previous.safetensors"));
    said(run(&gpu, &data, &out, None, None, None), "damaged");
}

#[test]
fn a_folder_belongs_to_one_program() {
    let (data_folder, a) = (folder(), folder());
    let data = dataset(data_folder.path());
    let (gpu, out) = (gpu(), a.path().join("run"));
    let dataset = || Dataset::read(&data).expect("a dataset");
    let setup = |recipe, resume| Setup { folder: &out, data_name: "", dataset: dataset(), recipe, resume, init: None };
    let mut second = None;
    pollster::block_on(train(&gpu, setup(Some(recipe(|_| ())), false), &mut |told| {
        if let TrainingEvent::Step(..) = told {
            let inner = pollster::block_on(train(&gpu, setup(None, true), &mut |_| ControlFlow::Break(())));
            second = Some(inner.map(|_| ()).map_err(|e| e.to_string()));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }))
    .expect("a run");
    assert!(matches!(&second, Some(Err(text)) if text.contains("another program trains in it")), "{second:?}");
}

/// Batch systems and containers end programs by SIGTERM.
#[cfg(unix)]
#[test]
fn sigterm_saves_as_ctrl_c_does() {
    let (data_folder, a) = (folder(), folder());
    let data = dataset(data_folder.path());
    let config = data_folder.path().join("recipe.toml");
    std::fs::write(&config, RECIPE).expect("a recipe");
    let out = a.path().join("run");
    let child = Command::new(env!("CARGO_BIN_EXE_unetr"))
        .args(["train", "--steps", "100000", "--config"])
        .arg(&config)
        .arg(&data)
        .arg("-o")
        .arg(&out)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a program");
    let begun = || std::fs::read_to_string(out.join("metrics.jsonl")).is_ok_and(|text| text.contains("\"step\":2,"));
    for _ in 0..3000 {
        if begun() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill");
    assert!(killed.success());
    let output = child.wait_with_output().expect("an end");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("stopped after step") && said.contains("--resume"), "{said}");
    assert!(out.join("checkpoints/last.safetensors").is_file(), "{said}");
}

pub(super) fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// The program with files limited to 64 KiB, less than a checkpoint has: as on a disk that is full.
#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "limits are in the units of Linux")]
fn a_full_disk_keeps_what_is_there() {
    let (data_folder, a, b) = (folder(), folder(), folder());
    let data = dataset(data_folder.path());
    let config = data_folder.path().join("recipe.toml");
    std::fs::write(&config, RECIPE).expect("a recipe");
    let (whole, broken) = (a.path().join("run"), b.path().join("run"));
    run(&gpu(), &data, &whole, Some(recipe(|_| ())), None, None).expect("a run");
    run(&gpu(), &data, &broken, Some(recipe(|_| ())), Some(5), None).expect("a stop");
    let files = |folder: &Path| {
        let all = std::fs::read_dir(folder.join("checkpoints")).expect("a folder");
        let mut all: Vec<_> = all.map(|e| e.expect("an entry").path()).collect();
        all.sort();
        all.into_iter().map(|p| (p.clone(), std::fs::read(p).expect("a file"))).collect::<Vec<_>>()
    };
    let before = files(&broken);
    let limited = format!(
        "ulimit -f 64; exec {} train {} -o {} --resume",
        env!("CARGO_BIN_EXE_unetr"),
        data.display(),
        broken.display()
    );
    let output = Command::new("bash").args(["-c", &limited]).output().expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("last.safetensors") || said.contains("model.safetensors"), "{said}");
    let last = |files: &[(PathBuf, Vec<u8>)]| files.iter().find(|(p, _)| p.ends_with("last.safetensors")).cloned();
    assert!(last(&before).is_some() && last(&files(&broken)) == last(&before), "the last checkpoint is as it was");
    run(&gpu(), &data, &broken, None, None, None).expect("the rest, with room");
    assert!(model(&whole) == model(&broken), "the same bits");
}

#[test]
fn bad_cases_are_all_named_and_leave_no_run() {
    let (data_folder, a) = (folder(), folder());
    dataset(data_folder.path());
    let bad = data_folder.path().join("bad.json");
    let entry = |image: &str, label: &str| serde_json::json!({"image": image, "label": label});
    let cases = [
        entry("image_1.nii.gz", "label_1.nii.gz"),
        entry("missing.nii.gz", "label_2.nii.gz"),
        entry("image_3.nii.gz", "dataset.json"),
    ];
    std::fs::write(&bad, serde_json::json!({"training": cases}).to_string()).expect("a file");
    let out = a.path().join("run");
    let output = Command::new(env!("CARGO_BIN_EXE_unetr"))
        .arg("train")
        .arg(&bad)
        .arg("-o")
        .arg(&out)
        .arg("--config")
        .arg({
            let config = data_folder.path().join("recipe.toml");
            std::fs::write(&config, RECIPE).expect("a recipe");
            config
        })
        .output()
        .expect("a program");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for words in ["2 of 3 cases", "missing.nii.gz", "dataset.json"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!out.exists(), "no run was begun");
}

#[test]
fn recipes_say_what_is_wrong_with_them() {
    let bad = |from: &str, to: &str, words: &[&str]| {
        let text = RECIPE.replace(from, to);
        assert_ne!(text, RECIPE, "{from}");
        let said = Recipe::read(&text).expect_err(to).to_string();
        words.iter().for_each(|w| assert!(said.contains(w), "{to}: {said}"));
    };
    bad("learning_rate = 2e-3", "learning_rate = -1.0", &["optimizer.learning_rate", "-1", "above 0"]);
    bad("clip = 1.0", "clipping = 1.0", &["optimizer.clipping: unknown key; the nearest known key is `clip`"]);
    bad("steps = 12", "steps = 0", &["run.steps", "0"]);
    bad("warmup = 2", "warmup = 99", &["optimizer.warmup", "99"]);
    bad("average = 0.9", "average = 1.0", &["optimizer.average"]);
    bad("[validation]", "[validations]", &["validations: unknown key; the nearest known key is `validation`"]);
    bad("num_heads = 2", "num_heads = 5", &["num_heads", "5"]);
    bad("num_heads = 2", "num_heads = 2\nheads = 2", &["network.heads", "unknown key", "num_heads"]);
    bad(
        "color = \"#e0a040\"",
        "color = \"#e0a040\", colour = 1",
        &["output.labels[0].colour", "unknown key; the nearest known key is `color`"],
    );
    bad("every = 6", "every = \"often\"", &["validation.every: invalid type"]);
    bad("[run]", "[loss]\nclass_weights = [1.0]\n[run]", &["loss.class_weights", "one weight per class"]);
    bad("[run]", "[loss]\nclass_weights = [1.0, -1.0]\n[run]", &["loss.class_weights", "negative"]);
    bad("[run]", "[run]\nseed = 1.5", &["run.seed: invalid type"]);
    bad(
        "[run]",
        "[augment]\naffine = { prob = 1, rotation = 3 }\n[run]",
        &["augment.affine.rotation", "`rotate_range`"],
    );
    bad("name = \"balls\"", "name = ", &["TOML"]);
    let recipe = recipe(|_| ());
    let again = Recipe::read(&recipe.to_toml()).expect("its own TOML");
    assert_eq!(again, recipe);
}

//! The records of a training run: JSON lines, TensorBoard events and the report, also after kills and on bad disks.

use std::path::{Path, PathBuf};

use unetr_wgpu::train::log::{
    CaseRecord, CheckpointRecord, Event, LogError, METRICS, OVERLAYS, Outcome, Overlay, REPORT, RunLog, Start,
    StepRecord, Stop, ValidationRecord, Warning, read, write_report,
};

use crate::support::event_file::{fields, tfrecords};
use crate::support::page::check_page;

const CLASSES: [&str; 2] = ["anterior", "posterior"];

fn start() -> Start {
    let classes = CLASSES.map(str::to_owned).to_vec();
    Start { name: "a run".into(), data: "a set".into(), steps: 40, seed: 7, classes, ..Start::default() }
}

fn step(step: u64) -> StepRecord {
    let loss = 2.0 / step as f64;
    StepRecord { step, epoch: step / 10, loss, learning_rate: 1e-4, gradient_norm: 3.0, ..StepRecord::default() }
}

fn validation(step: u64) -> ValidationRecord {
    let case = |i: u64| CaseRecord {
        case: format!("case_{i}"),
        dice: vec![0.5 + (step + i) as f64 / 100.0, 0.6],
        hd95: vec![1.0, f64::NAN],
    };
    ValidationRecord::from_cases(step, &CLASSES.map(str::to_owned), (0..4).map(case).collect(), 1.0)
}

/// A grey PNG of noise, `side` pixels wide and high.
fn png(side: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    let mut seed = 1u32;
    let noise = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    });
    let pixels: Vec<u8> = noise.take((side * side) as usize).collect();
    encoder.write_header().expect("a header").write_image_data(&pixels).expect("pixels");
    bytes
}

fn overlays(record: &ValidationRecord, side: u32) -> Vec<Overlay> {
    let picked = record.examples().into_iter();
    picked
        .map(|(i, title)| Overlay { case: record.cases[i].case.clone(), title: title.into(), png: png(side) })
        .collect()
}

/// Steps `from..=to` with a validation and a checkpoint every tenth.
fn go_on(log: &mut RunLog, from: u64, to: u64) {
    for s in from..=to {
        log.step(&step(s)).expect("a step");
        if s.is_multiple_of(10) {
            log.validation(&validation(s), &overlays(&validation(s), 16)).expect("a validation");
            let file = "checkpoints/last.safetensors".into();
            log.event(Event::Checkpoint(CheckpointRecord { step: s, file, best: true })).expect("a checkpoint");
        }
    }
}

fn finish(log: RunLog) {
    log.finish(Stop { step: 40, outcome: Outcome::Finished, reason: "all steps were made".into() }).expect("an end");
}

fn events(run: &Path) -> Vec<Event> {
    let mut events = Vec::new();
    read(&run.join(METRICS), |line| events.push(line.event)).expect("records");
    events
}

fn report(run: &Path) -> String {
    std::fs::read_to_string(run.join(REPORT)).expect("a report")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn a_resumed_run_has_the_records_of_one_that_was_not_stopped() {
    let (whole, broken) = (folder(), folder());
    let mut log = RunLog::create(whole.path(), &start()).expect("a run");
    go_on(&mut log, 1, 40);
    finish(log);

    let mut log = RunLog::create(broken.path(), &start()).expect("a run");
    go_on(&mut log, 1, 27);
    log.event(Event::Warning(Warning { step: 27, message: "forgotten".into() })).expect("a warning");
    drop(log);
    let mut log = RunLog::resume(broken.path(), 20, 20).expect("resumed");
    go_on(&mut log, 21, 40);
    finish(log);

    let made = |run: &Path| -> Vec<String> {
        let kept = events(run).into_iter().filter(|e| !matches!(e, Event::Resume(_)));
        kept.map(|e| format!("{e:?}")).collect()
    };
    assert_eq!(made(whole.path()), made(broken.path()));
    assert_eq!(events(broken.path()).iter().filter(|e| matches!(e, Event::Resume(_))).count(), 1);
    let page = report(broken.path());
    assert!(page.contains("resumed") && page.contains(">finished<") && !page.contains("forgotten"));
    // Pictures of the best and the latest validation, here the same, are kept.
    let files = |run: &Path| std::fs::read_dir(run.join(OVERLAYS)).expect("pictures").count();
    assert_eq!((files(whole.path()), files(broken.path())), (3, 3));
}

#[test]
fn a_run_killed_within_a_record_resumes() {
    let run = folder();
    let mut log = RunLog::create(run.path(), &start()).expect("a run");
    go_on(&mut log, 1, 12);
    drop(log);
    let path = run.path().join(METRICS);
    let bytes = std::fs::read(&path).expect("records");
    let last = bytes[..bytes.len() - 1].iter().rposition(|b| *b == b'\n').expect("lines") + 1;
    for cut in last..=bytes.len() {
        std::fs::write(&path, &bytes[..cut]).expect("written");
        write_report(run.path()).expect("a report");
        RunLog::resume(run.path(), 11, 11).expect("resumed").step(&step(12)).expect("a step");
        let steps: Vec<u64> =
            events(run.path()).iter().filter(|e| matches!(e, Event::Step(_))).filter_map(Event::step).collect();
        assert_eq!(steps, (1..=12).collect::<Vec<_>>(), "cut at {cut}");
    }
}

#[test]
fn a_run_is_not_begun_over_another() {
    let run = folder();
    let below = run.path().join("new/folder");
    let mut log = RunLog::create(&below, &start()).expect("a run");
    go_on(&mut log, 1, 2);
    let before = std::fs::read(below.join(METRICS)).expect("records");
    let error = RunLog::create(&below, &start()).expect_err("a run is there");
    assert!(matches!(error, LogError::Exists { .. }), "{error}");
    assert!(error.to_string().contains("metrics.jsonl exists: resume this run, or choose another folder"), "{error}");
    assert_eq!(std::fs::read(below.join(METRICS)).expect("records"), before);
}

#[test]
fn bad_disks_are_named_and_lose_nothing() {
    let run = folder();
    let path = run.path().join(METRICS);
    let named = |result: Result<(), LogError>, path: &Path| {
        let text = result.expect_err("an error").to_string();
        assert!(text.contains(&path.display().to_string()), "{text}");
        text
    };
    // Below a file there are no folders.
    let file = run.path().join("file");
    std::fs::write(&file, "").expect("a file");
    named(RunLog::create(&file.join("run"), &start()).map(|_| ()), &file.join("run"));
    named(RunLog::resume(&run.path().join("absent"), 1, 1).map(|_| ()), &run.path().join("absent"));
    named(write_report(&run.path().join("absent")), &run.path().join("absent"));

    let mut log = RunLog::create(run.path(), &start()).expect("a run");
    go_on(&mut log, 1, 10);
    let before = std::fs::read(&path).expect("records");
    let aside = run.path().join("aside");
    let away = || std::fs::rename(&path, &aside).expect("moved");
    let back = || {
        if path.is_dir() {
            std::fs::remove_dir(&path).expect("removed");
        }
        std::fs::rename(&aside, &path).expect("moved back");
        assert_eq!(std::fs::read(&path).expect("records"), before);
    };
    away();
    named(log.step(&step(11)), &path);
    back();
    away();
    std::fs::create_dir(&path).expect("a folder");
    named(log.step(&step(11)), &path);
    named(RunLog::resume(run.path(), 5, 5).map(|_| ()), &path);
    back();
    #[cfg(unix)]
    if Path::new("/dev/full").exists() {
        away();
        std::os::unix::fs::symlink("/dev/full", &path).expect("a link");
        let text = named(log.step(&step(11)), &path);
        assert!(text.contains("No space left") && text.contains("what was recorded before is kept"), "{text}");
        // A device that never ends is not read.
        assert!(named(write_report(run.path()), &path).contains("not a regular file"));
        back();
    }

    // A report or pictures that cannot be written.
    let page = run.path().join(REPORT);
    std::fs::remove_file(&page).expect("removed");
    std::fs::create_dir_all(page.join("in the way")).expect("a folder");
    named(log.validation(&validation(11), &[]), &page);
    std::fs::remove_dir_all(run.path().join(OVERLAYS)).expect("removed");
    std::fs::write(run.path().join(OVERLAYS), "").expect("a file");
    let before = std::fs::read(&path).expect("records");
    named(log.validation(&validation(12), &overlays(&validation(12), 8)), &run.path().join(OVERLAYS));
    let error = log.validation(&validation(12), &[Overlay { case: "c".into(), title: "t".into(), png: vec![1, 2] }]);
    assert!(matches!(error, Err(LogError::Picture { .. })), "{error:?}");
    assert_eq!(std::fs::read(&path).expect("records"), before);
    let leftovers = std::fs::read_dir(run.path()).expect("a folder").map(|e| e.expect("an entry").file_name());
    assert!(leftovers.into_iter().all(|n| !n.to_string_lossy().contains(".tmp")));
}

#[test]
fn the_report_survives_bad_numbers_and_names() {
    let run = folder();
    let evil = "</title><script>alert(1)</script><img src=x onerror=alert(2)> \"'&\u{202e}\0";
    let mut start = Start { name: evil.into(), data: evil.into(), adapter: evil.into(), ..start() };
    start.settings.insert(evil.into(), evil.into());
    start.settings.insert("list".into(), serde_json::json!([1, evil]));
    std::fs::write(run.path().join("recipe.toml"), format!("# {}", evil.replace('\0', ""))).expect("a recipe");
    let mut log = RunLog::create(run.path(), &start).expect("a run");
    check_page(&{
        write_report(run.path()).expect("a report");
        report(run.path())
    });
    for s in 1..=30 {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e308, -1e308, 5e-324, 0.0][s as usize % 7];
        let record = StepRecord { loss: odd, gradient_norm: odd, learning_rate: odd, cases_per_second: odd, ..step(s) };
        log.step(&StepRecord { seconds: odd, ..record }).expect("a step");
    }
    let case = CaseRecord { case: evil.into(), dice: vec![f64::NAN, 0.25, 0.1], hd95: vec![f64::INFINITY] };
    let names = [evil.to_owned(), evil.to_owned()];
    let record = ValidationRecord::from_cases(30, &names, vec![case.clone(), CaseRecord::default()], f64::NAN);
    let picture = Overlay { case: evil.into(), title: evil.into(), png: png(4) };
    log.validation(&record, &[picture]).expect("a validation");
    log.event(Event::Warning(Warning { step: 30, message: evil.repeat(100) })).expect("a warning");
    log.finish(Stop { step: 30, outcome: Outcome::Failed, reason: evil.into() }).expect("an end");
    let page = report(run.path());
    check_page(&page);
    assert!(!page.contains("<script>alert") && !page.contains("<img src=x") && !page.contains('\0'));
    assert!(!page.contains("NaN") && !page.contains(">inf"), "numbers have no place in an axis unless they are finite");
    assert!(page.contains("not a finite number, first at step 1 "));
    // Read back, what was not a number is still none.
    let back = events(run.path());
    assert!(matches!(&back[7], Event::Step(r) if r.loss.is_nan() && r.seconds.is_nan()), "{:?}", back[7]);
    assert!(matches!(&back[1], Event::Step(r) if r.loss == f64::INFINITY), "{:?}", back[1]);
}

#[test]
fn reports_of_long_runs_stay_small() {
    let run = folder();
    let names: Vec<String> = (1..=13).map(|i| format!("organ number {i}")).collect();
    RunLog::create(run.path(), &Start { classes: names.clone(), ..start() }).expect("a run");
    let mut lines = std::fs::read_to_string(run.path().join(METRICS)).expect("records");
    for s in 1..=200_000u64 {
        let loss = 1.0 + (s as f64 * 0.7).sin();
        lines +=
            &format!("{{\"time\":\"t\",\"event\":\"step\",\"step\":{s},\"loss\":{loss},\"gradient_norm\":{loss}}}\n");
    }
    lines = lines.replacen("\"step\":777,\"loss\":", "\"step\":777,\"loss\":9e1,\"was\":", 1);
    std::fs::write(run.path().join(METRICS), lines).expect("written");
    let mut log = RunLog::resume(run.path(), 200_000, 200_000).expect("resumed");
    let case = |i: usize| CaseRecord { case: format!("case {i}"), dice: vec![0.5; 13], hd95: vec![2.0; 13] };
    let record = |s: u64| ValidationRecord::from_cases(s, &names, (0..500).map(case).collect(), 1.0);
    for s in 200_001..200_300 {
        let v = ValidationRecord { cases: Vec::new(), ..record(s) };
        log.event(Event::Validation(v)).expect("a validation");
    }
    let large = ValidationRecord { mean_dice: 0.9, ..record(200_300) };
    // Some 90 kB each, more than there is room for.
    let many: Vec<Overlay> =
        (0..12).map(|i| Overlay { case: format!("case {i}"), title: "example".into(), png: png(300) }).collect();
    log.validation(&large, &many).expect("a validation");
    let page = report(run.path());
    check_page(&page);
    let pictures = page.matches("<img ").count();
    assert_eq!(pictures, 7);
    assert!(page.contains("5 further pictures are too large for this page"));
    assert!(page.contains("The 300 best cases are left out"));
    let words = page.len() - pictures * png(300).len().div_ceil(3) * 4;
    assert!(words < 250_000, "{words} bytes beside the pictures");
    assert!(page.contains(" and 90.0."), "a single peak in 200,000 steps is drawn");
}

#[test]
fn tensorboard_reads_every_step_once() {
    let run = folder();
    let mut log = RunLog::create(run.path(), &start()).expect("a run");
    go_on(&mut log, 1, 15);
    let mut log = RunLog::resume(run.path(), 10, 10).inspect(|_| drop(log)).expect("resumed");
    go_on(&mut log, 11, 20);
    finish(log);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(run.path()).expect("a folder").map(|e| e.expect("one").path()).collect();
    files.retain(|p| p.to_string_lossy().contains("events.out.tfevents."));
    files.sort();
    assert_eq!(files.len(), 2);

    let of = |fields: &[(u64, Vec<u8>)], number: u64| fields.iter().find(|f| f.0 == number).map(|f| f.1.clone());
    let mut shown: Vec<(String, u64, Vec<u8>)> = Vec::new();
    for file in files {
        let bytes = std::fs::read(file).expect("events");
        for (i, record) in tfrecords(&bytes).into_iter().enumerate() {
            let event = fields(record);
            let step = of(&event, 2).map_or(0, |s| u64::from_le_bytes(s.try_into().expect("eight bytes")));
            match i {
                0 => assert_eq!(of(&event, 3).as_deref(), Some(&b"brain.Event:2"[..])),
                // What TensorBoard does at the start of a session.
                1 => {
                    assert_eq!(of(&event, 7), Some(vec![8, 1]));
                    shown.retain(|v| v.1 < step);
                }
                _ => {
                    for (_, value) in fields(&of(&event, 5).expect("a summary")) {
                        let value = fields(&value);
                        let tag = String::from_utf8(of(&value, 1).expect("a tag")).expect("text");
                        shown.push((tag, step, of(&value, 2).or(of(&value, 4)).expect("a value")));
                    }
                }
            }
        }
    }
    let values = |tag: &str| -> Vec<(u64, Vec<u8>)> {
        shown.iter().filter(|v| v.0 == tag).map(|v| (v.1, v.2.clone())).collect()
    };
    let loss = (1..=20).map(|s| (s, (2.0 / s as f32).to_le_bytes().to_vec())).collect::<Vec<_>>();
    assert_eq!(values("loss"), loss);
    for tag in ["learning_rate", "gradient_norm", "cases_per_second"] {
        assert_eq!(values(tag).len(), 20, "{tag}");
    }
    for tag in ["validation/mean_dice", "validation/dice/anterior", "validation/hd95/posterior"] {
        assert_eq!(values(tag).iter().map(|v| v.0).collect::<Vec<_>>(), [10, 20], "{tag}");
    }
    let image = fields(&values("overlay/worst")[0].1);
    assert_eq!([1, 2, 3].map(|n| of(&image, n).expect("a number")[0]), [16, 16, 3]);
    assert_eq!(of(&image, 4), Some(png(16)));
}

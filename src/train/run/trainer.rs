//! The loop: batches in, steps, now and then a validation and a checkpoint.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use globset::{Glob, GlobSet, GlobSetBuilder};
use serde_json::json;

use super::checkpoint::{self, Best, Checkpoint, State};
use super::folder::RunFolder;
use super::package::{package, provenance};
use super::start::{Started, doubts, start};
use super::validate::{Validation, scored};
use super::watch::DivergenceWatch;
use crate::dataset::Dataset;
use crate::digest::sha256;
use crate::gpu::Gpu;
use crate::graph::MemoryReport;
use crate::nets::Parameter;
use crate::report::fit::{SeenScan, modality_of, trained_on};
use crate::train::data::{Checked, Loader, PreparedDataset, Sampler, Source, Split, check, check_names, split};
use crate::train::files::write_atomically;
use crate::train::log::{self, Event, Outcome, RunLog, StepRecord, ValidationRecord};
use crate::train::schedule::Schedule;
use crate::train::{
    BatchRef, OptimizerOptions, Rates, Recipe, RecipeError, StepOutcome, StepSpec, TrainError, TrainingPlan,
};
use crate::weights::Package;
use crate::weights::package::TrainedOn;

/// What a run is asked to do.
pub struct Setup<'a> {
    pub folder: &'a Path,
    /// What the data are called in records.
    pub data_name: &'a str,
    pub dataset: Dataset,
    /// The recipe; while resuming that of the folder must be the same, if one is given.
    pub recipe: Option<Recipe>,
    /// Go on with what is in the folder.
    pub resume: bool,
    /// A model to take first weights from.
    pub init: Option<&'a Package>,
}

/// What a run tells while it goes on.
#[non_exhaustive]
pub enum TrainingEvent<'a> {
    /// The recipe it follows.
    Recipe(&'a Recipe),
    /// Cases read and checked, of how many.
    Preparing(usize, usize),
    /// Training and validation cases, and windows in an epoch.
    Cases(usize, usize, usize),
    /// GPU memory.
    Memory(&'a MemoryReport),
    /// Where the weights come from.
    Started(&'a Started),
    /// It goes on from this step.
    Resumed(u64),
    /// Something to know.
    Warning(&'a str),
    /// A step was made; seconds left.
    Step(&'a StepRecord, f64),
    /// Validation cases done, of how many.
    Validating(usize, usize),
    /// A validation, and whether it is the best so far.
    Validated(&'a ValidationRecord, bool),
    /// A checkpoint of this step is on the disk.
    Saved(u64),
}

/// Hears what is told, and may stop the run: it then saves its state.
pub type TrainingObserver<'a> = dyn FnMut(TrainingEvent<'_>) -> ControlFlow<()> + Send + 'a;

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingSummary {
    /// Steps made.
    pub step: u64,
    /// Whether that is all of them.
    pub complete: bool,
    /// The best validation.
    pub best: Option<Best>,
    /// The last validation, where this call made one.
    pub last: Option<ValidationRecord>,
    /// Seconds spent, over all stops.
    pub seconds: f64,
}

/// Trains, or goes on training.
///
/// # Errors
/// [`TrainError`]; what was on the disk before is still there, and the run can be resumed from its last checkpoint.
pub async fn train(
    gpu: &Gpu,
    setup: Setup<'_>,
    observer: &mut TrainingObserver<'_>,
) -> Result<TrainingSummary, TrainError> {
    let mut run = Run::prepare(gpu, setup, observer).await?;
    let ended = run.steps(observer).await;
    let (outcome, reason) = match &ended {
        Ok(f) if f.complete => (Outcome::Finished, "all steps were made".to_owned()),
        Ok(_) => (Outcome::Interrupted, "stopped by the user".to_owned()),
        Err(e) => (Outcome::Failed, e.to_string()),
    };
    let recorded = run.log.finish(log::Stop { step: run.state.step, outcome, reason });
    let finished = ended?;
    recorded?;
    Ok(finished)
}

struct Run<'a> {
    gpu: &'a Gpu,
    folder: RunFolder,
    recipe: Recipe,
    schedule: Schedule,
    source: Source,
    split: Split,
    plan: TrainingPlan,
    loader: Loader,
    log: RunLog,
    state: State,
    /// Step of the last checkpoint, and whether it is whole.
    saved: u64,
    keep: bool,
    /// Steps made before this call.
    first: u64,
    last: Option<ValidationRecord>,
    data_name: String,
    /// What the training scans are like.
    trained_on: Option<TrainedOn>,
    /// State's seconds are those before this moment.
    begin: Instant,
    before: f64,
}

/// The recipe to follow, and the folder of a run that goes on.
fn folder_and_recipe(
    path: &Path,
    given: Option<Recipe>,
    resume: bool,
) -> Result<(Option<RunFolder>, Recipe), TrainError> {
    let fail = |problem: &str| TrainError::Folder { path: path.to_owned(), problem: problem.to_owned() };
    if !resume {
        return given.map(|recipe| (None, recipe)).ok_or_else(|| fail("a new run needs a recipe"));
    }
    let (folder, begun) = RunFolder::open(path)?;
    match given {
        None => Ok((Some(folder), begun)),
        // What the result does not follow from, such as threads, may change.
        Some(given) if given.sha256() == begun.sha256() => Ok((Some(folder), given)),
        Some(_) => Err(fail("was begun with another recipe: resume without one, or start a new run")),
    }
}

/// The recipe's step on the device.
async fn plan(gpu: &Gpu, recipe: &Recipe) -> Result<TrainingPlan, TrainError> {
    let m = &recipe.metadata;
    let frozen = patterns(recipe)?;
    let decays = |name: &str| recipe.optimizer.decay_all || m.network.parameter(name).is_some_and(Parameter::decays);
    let clip = recipe.optimizer.clip;
    let spec = StepSpec {
        accumulate: recipe.run.accumulate,
        class_weights: &recipe.loss.class_weights,
        dropout: Some(recipe.dropout()),
        frozen: &|name| frozen.is_match(name),
        recompute: recipe.run.recompute,
        optimizer: OptimizerOptions {
            clip: (clip > 0.0).then_some(clip as f32),
            decays: &decays,
            average: recipe.optimizer.average > 0.0,
        },
        ..StepSpec::new(m.inference.roi_size, recipe.data.batch, recipe.dice_ce())
    };
    TrainingPlan::new(gpu, &m.network, &spec).await
}

/// What a run follows from: hashes of recipe and data, and program and adapter.
struct Origin {
    recipe: String,
    data: String,
    made_by: String,
}

impl Origin {
    fn first_state(self) -> State {
        let Self { recipe, data, made_by } = self;
        let watch = DivergenceWatch::default();
        State { step: 0, validated: 0, best: None, watch, seconds: 0.0, recipe, data, made_by }
    }
}

/// The newest checkpoint, restored, what is to be known of it, and whether it is the last that was saved.
fn resumed(
    folder: &RunFolder,
    recipe: &Recipe,
    plan: &TrainingPlan,
    origin: Origin,
) -> Result<(State, Vec<String>, bool), TrainError> {
    let (checkpoint, damaged) = Checkpoint::newest(&folder.last())?;
    let whole = damaged.is_none();
    let mut warnings: Vec<String> =
        damaged.map(|why| format!("{why}; going on from the checkpoint before it")).into_iter().collect();
    checkpoint.check(recipe, &origin.data)?;
    checkpoint.restore(plan)?;
    let mut state = checkpoint.state;
    if state.made_by != origin.made_by {
        let (before, now) = (&state.made_by, &origin.made_by);
        warnings.push(format!("the run was made by {before} and goes on by {now}: it will not end with the same bits"));
        state.made_by = origin.made_by;
    }
    Ok((state, warnings, whole))
}

impl<'a> Run<'a> {
    async fn prepare(gpu: &'a Gpu, setup: Setup<'_>, observer: &mut TrainingObserver<'_>) -> Result<Self, TrainError> {
        let Setup { folder: path, data_name, dataset, recipe, resume, init } = setup;
        let (folder, recipe) = folder_and_recipe(path, recipe, resume)?;
        let _ = observer(TrainingEvent::Recipe(&recipe));
        let m = &recipe.metadata;
        check_names(&dataset, &recipe.data, &m.input, &m.output)?;
        let split = split(&dataset, &recipe.data)?;
        let source = Source::new(&recipe.data, &recipe.task(), &m.input, &m.output)?;
        let mut folder = folder.map_or_else(|| RunFolder::claim(path), Ok)?;
        let (prepared, validation, mut warnings) = Self::cases(&folder, &recipe, &source, &split, observer)?;
        let mut parts = vec![prepared.fingerprint()];
        parts.extend(validation.cases.iter().flat_map(|case| [case.name.clone(), case.fingerprint.clone()]));
        let fingerprint = sha256(parts.join("\n").as_bytes());
        let made_by = format!("unetr {} on {}", env!("CARGO_PKG_VERSION"), gpu.adapter());
        let seen: Vec<SeenScan> = prepared.seen().cloned().collect();
        let names = if dataset.channels.is_empty() { &m.input.channels } else { &dataset.channels };
        let modality = modality_of(names.iter().map(String::as_str));
        let trained_on = trained_on(&seen, modality, &m.output);
        let sampler = Sampler::new(
            Arc::new(prepared),
            (&recipe.data, &recipe.augment),
            &recipe.task(),
            &m.input,
            &m.output,
            recipe.run.seed,
        )?;
        let _ = observer(TrainingEvent::Cases(split.training.len(), split.validation.len(), sampler.epoch_len()));
        let epoch_steps = (sampler.epoch_len() as u64).div_ceil((recipe.data.batch * recipe.run.accumulate) as u64);
        let schedule = recipe.schedule(epoch_steps);

        let plan = plan(gpu, &recipe).await?;
        let _ = observer(TrainingEvent::Memory(&plan.memory()));

        let origin = Origin { recipe: recipe.sha256(), data: fingerprint, made_by };
        let (state, keep, new) = if resume {
            let (state, new, whole) = resumed(&folder, &recipe, &plan, origin)?;
            let _ = observer(TrainingEvent::Resumed(state.step));
            (state, whole, new)
        } else {
            let started = start(&plan, &m.network, recipe.run.seed, init)?;
            let _ = observer(TrainingEvent::Started(&started));
            let state = origin.first_state();
            // Before the folder becomes a run: what `init` gave is needed to resume even before the first steps are saved.
            checkpoint::save(&folder.last(), &plan, &state, false).await?;
            folder.begin(&recipe, &split)?;
            (state, true, init.map(|package| doubts(package.metadata(), m)).unwrap_or_default())
        };
        new.iter().for_each(|text| {
            let _ = observer(TrainingEvent::Warning(text));
        });
        warnings.extend(new);
        let mut log = match resume && folder.path().join(log::METRICS).exists() {
            true => RunLog::resume(folder.path(), state.step, state.validated)?,
            false => RunLog::create(folder.path(), &begin(&recipe, &source, &split, data_name, gpu))?,
        };
        for message in warnings {
            log.event(Event::Warning(log::Warning { step: state.step, message }))?;
        }
        let loader = Loader::new(Arc::new(sampler), &recipe.data, state.step * recipe.run.accumulate as u64)?;
        let (saved, before) = (state.step, state.seconds);
        Ok(Self {
            gpu,
            folder,
            schedule,
            source,
            split,
            plan,
            loader,
            log,
            state,
            saved,
            keep,
            first: saved,
            last: None,
            data_name: data_name.to_owned(),
            trained_on,
            begin: Instant::now(),
            before,
            recipe,
        })
    }

    fn cases(
        folder: &RunFolder,
        recipe: &Recipe,
        source: &Source,
        split: &Split,
        observer: &mut TrainingObserver<'_>,
    ) -> Result<(PreparedDataset, Checked, Vec<String>), TrainError> {
        let total = split.training.len() + split.validation.len();
        let shared = Mutex::new(observer);
        let tell = |done: usize| {
            let mut observer = shared.lock().unwrap_or_else(PoisonError::into_inner);
            observer(TrainingEvent::Preparing(done, total))
        };
        // Validation cases are read again when they are needed; a bad one is found now, not after hours.
        let checked = check(&split.validation, source, recipe.data.threads, &|done, _| tell(done));
        let before = split.validation.len();
        let folder = folder.cache();
        let prepared =
            PreparedDataset::new(&split.training, source, &recipe.data, Some(&folder), &|done, _| tell(before + done));
        let (checked, prepared) = match (checked, prepared) {
            (Ok(checked), Ok(prepared)) => (checked, prepared),
            // All that is wrong at once.
            (Err(a), Err(b)) => return Err(a.join(b).into()),
            (Err(e), _) | (_, Err(e)) => return Err(e.into()),
        };
        let observer = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
        prepared.check_apart(&checked)?;
        let mut warnings: Vec<String> = prepared.warnings().map(str::to_owned).collect();
        warnings.extend(checked.warnings.iter().cloned().chain(prepared.mixed(&checked)));
        warnings.iter().for_each(|warning| {
            let _ = observer(TrainingEvent::Warning(warning));
        });
        Ok((prepared, checked, warnings))
    }

    fn seconds(&self) -> f64 {
        self.before + self.begin.elapsed().as_secs_f64()
    }

    async fn steps(&mut self, observer: &mut TrainingObserver<'_>) -> Result<TrainingSummary, TrainError> {
        let total = self.recipe.run.steps;
        let mut stop = false;
        loop {
            // Also the one that a stop has left undone.
            if !stop && self.due() && self.state.validated < self.state.step {
                stop |= self.validate(self.state.step == total, observer).await?.is_break();
                self.save(observer).await?;
            }
            if stop || self.state.step == total {
                break;
            }
            let clock = Instant::now();
            let (epoch, rate, stepped) = self.step().await?;
            let record = self.record(epoch, rate, stepped, clock.elapsed().as_secs_f64());
            self.log.step(&record)?;
            let pace = self.begin.elapsed().as_secs_f64() / (self.state.step - self.first).max(1) as f64;
            stop |= observer(TrainingEvent::Step(&record, pace * (total - self.state.step) as f64)).is_break();
            let done = self.state.step;
            // A validation that fails must not lose the steps before it.
            if stop || done == total || self.due() || done.is_multiple_of(self.recipe.run.checkpoint_every) {
                self.save(observer).await?;
            }
        }
        let judged = self.split.validation.is_empty() || self.state.validated == total;
        let complete = self.state.step == total && judged;
        if complete && self.split.validation.is_empty() {
            // Nothing to judge by: the last weights are the result.
            self.write_model(None).await?;
        }
        Ok(TrainingSummary {
            step: self.state.step,
            complete,
            best: self.state.best,
            last: self.last.take(),
            seconds: self.seconds(),
        })
    }

    /// Whether the step made last is followed by a validation.
    fn due(&self) -> bool {
        let (done, every) = (self.state.step, self.recipe.validation.every);
        let now = done == self.recipe.run.steps || (every > 0 && done.is_multiple_of(every));
        now && done > 0 && !self.split.validation.is_empty()
    }

    async fn step(&mut self) -> Result<(u32, f64, StepOutcome), TrainError> {
        let rate = self.schedule.rate(self.state.step);
        let t = self.state.step + 1;
        let o = &self.recipe.optimizer;
        let rates = Rates {
            learning_rate: rate,
            weight_decay: o.weight_decay,
            betas: o.betas,
            epsilon: o.epsilon,
            // The first weights are noise: a young average forgets faster.
            average: o.average.min((1.0 + t as f64) / (10.0 + t as f64)),
        };
        let mut batches = Vec::with_capacity(self.recipe.run.accumulate);
        for _ in 0..self.recipe.run.accumulate {
            batches.push(self.loader.next()?);
        }
        let windows: Vec<BatchRef> = batches.iter().map(|b| BatchRef { input: &b.input, label: &b.label }).collect();
        let stepped = self.plan.step(&windows, &rates, t as u32).await?;
        if !stepped.finite || !stepped.loss.is_finite() {
            let what = self.plan.not_finite(&windows, t as u32).await?;
            return Err(TrainError::NotFinite { step: t, what, saved: self.saved });
        }
        let loss = &self.recipe.loss;
        let classes = self.recipe.metadata.network.out_channels().max(2) as f64;
        let ignorance = f64::from(loss.dice) + f64::from(loss.cross_entropy) * classes.ln();
        let labelled = batches.iter().any(|b| b.label.iter().any(|&v| v != 0.0));
        if let Some((beginning, now)) = self.state.watch.add(stepped.loss, ignorance, labelled) {
            return Err(TrainError::Diverged { step: t, beginning, now, saved: self.saved });
        }
        self.state.step = t;
        let epoch = batches.first().map_or(0, |b| b.epoch);
        Ok((epoch, rate, stepped))
    }

    fn record(&self, epoch: u32, rate: f64, stepped: StepOutcome, seconds: f64) -> StepRecord {
        StepRecord {
            step: self.state.step,
            epoch: u64::from(epoch) + 1,
            loss: f64::from(stepped.loss),
            dice_loss: Some(f64::from(stepped.dice)),
            cross_entropy: Some(f64::from(stepped.cross_entropy)),
            learning_rate: rate,
            gradient_norm: f64::from(stepped.gradient_norm),
            cases_per_second: (self.recipe.data.batch * self.recipe.run.accumulate) as f64 / seconds.max(1e-9),
            seconds: self.seconds(),
        }
    }

    async fn validate(
        &mut self,
        last: bool,
        observer: &mut TrainingObserver<'_>,
    ) -> Result<ControlFlow<()>, TrainError> {
        let training = self.training();
        let package = package(&self.plan, &self.recipe, training, self.trained_on.as_ref()).await?;
        let cases = self.split.validation.len();
        let validation = Validation {
            gpu: self.gpu,
            recipe: &self.recipe,
            source: &self.source,
            cases: &self.split.validation,
            surface: last || self.recipe.validation.surface_distance,
        };
        let made = validation
            .run(&package, self.state.step, &mut |done| observer(TrainingEvent::Validating(done, cases)))
            .await?;
        let Some((record, overlays)) = made else {
            return Ok(ControlFlow::Break(()));
        };
        let judged = !record.mean_dice.is_nan();
        let better = judged && self.state.best.is_none_or(|best| record.mean_dice > best.dice);
        if better {
            self.state.best = Some(Best { step: self.state.step, dice: record.mean_dice });
        }
        // Without any label in the truth nothing is better than the latest.
        if better || self.state.best.is_none() {
            self.write_model(Some(&record)).await?;
        }
        self.state.validated = self.state.step;
        self.log.validation(&record, &overlays)?;
        let flow = observer(TrainingEvent::Validated(&record, better));
        self.last = Some(record);
        Ok(flow)
    }

    fn training(&self) -> serde_json::Map<String, serde_json::Value> {
        let cases = [self.split.training.len(), self.split.validation.len()];
        let mut map = provenance(&self.recipe, &self.data_name, cases, &self.gpu.adapter().to_string());
        map.insert("steps".into(), json!(self.state.step));
        map
    }

    async fn write_model(&self, validation: Option<&ValidationRecord>) -> Result<(), TrainError> {
        let mut training = self.training();
        if let Some(record) = validation {
            let classes = record.classes.iter().map(|c| (c.name.clone(), json!(c.dice)));
            let classes: serde_json::Map<_, _> = classes.collect();
            let figures = json!({"mean_dice": record.mean_dice, "dice": classes, "cases": record.cases.len()});
            training.insert("validation".into(), figures);
        }
        let package = package(&self.plan, &self.recipe, training, self.trained_on.as_ref()).await?;
        let path = self.folder.model();
        write_atomically(&path, |out| out.write_all(package.file_bytes()))
            .map_err(|source| TrainError::Io { path: path.clone(), source })
    }

    async fn save(&mut self, observer: &mut TrainingObserver<'_>) -> Result<(), TrainError> {
        self.state.seconds = self.seconds();
        self.log.sync()?;
        // The file of this very step, before its validation, is not the one before.
        let keep = self.keep && self.saved < self.state.step;
        checkpoint::save(&self.folder.last(), &self.plan, &self.state, keep).await?;
        self.keep = true;
        self.saved = self.state.step;
        let best = self.state.best.is_some_and(|best| best.step == self.saved);
        let file = "checkpoints/last.safetensors".to_owned();
        self.log.event(Event::Checkpoint(log::CheckpointRecord { step: self.saved, file, best }))?;
        let _ = observer(TrainingEvent::Saved(self.saved));
        Ok(())
    }
}

/// The patterns of `run.freeze`, where `*` stands for anything. Each has to name something, and something has to be left.
fn patterns(recipe: &Recipe) -> Result<GlobSet, RecipeError> {
    let bad = |value: String, rule| RecipeError::Value { field: "run.freeze", value, rule };
    let names: Vec<&str> =
        recipe.metadata.network.parameters().iter().filter(|p| p.trained()).map(|p| p.name.as_str()).collect();
    let mut set = GlobSetBuilder::new();
    for pattern in &recipe.run.freeze {
        let glob =
            Glob::new(pattern).map_err(|e| bad(format!("{pattern:?}: {e}"), "a pattern such as vit.* is needed"))?;
        let matcher = glob.compile_matcher();
        if !names.iter().any(|name| matcher.is_match(name)) {
            return Err(bad(format!("{pattern:?}"), "it must name parameters of the network, as vit.* does"));
        }
        set.add(glob);
    }
    let set = set.build().map_err(|e| bad(e.to_string(), "patterns such as vit.* are needed"))?;
    if names.iter().all(|name| set.is_match(name)) {
        return Err(bad(format!("{:?}", recipe.run.freeze), "it must leave something to train"));
    }
    Ok(set)
}

fn begin(recipe: &Recipe, source: &Source, split: &Split, data_name: &str, gpu: &Gpu) -> log::Start {
    let m = &recipe.metadata;
    let mut settings = serde_json::Map::new();
    let o = &recipe.optimizer;
    settings.insert("network".into(), json!(m.network.to_string()));
    settings.insert("window".into(), json!(m.inference.roi_size));
    settings.insert("batch".into(), json!(recipe.data.batch * recipe.run.accumulate));
    settings.insert("learning rate".into(), json!(o.learning_rate));
    settings.insert("weight decay".into(), json!(o.weight_decay));
    settings.insert("moving average".into(), json!(o.average));
    log::Start {
        name: m.name.clone(),
        data: data_name.to_owned(),
        training_cases: split.training.len() as u64,
        validation_cases: split.validation.len() as u64,
        classes: scored(recipe, source).into_iter().map(|s| s.name).collect(),
        parameters: m.network.parameter_count() as u64,
        steps: recipe.run.steps,
        seed: recipe.run.seed,
        recipe_sha256: recipe.sha256(),
        adapter: gpu.adapter().to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        settings,
    }
}

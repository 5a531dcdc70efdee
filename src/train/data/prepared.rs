//! All cases of a list on the model's grid: in memory up to a budget, beyond it in files.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::cache::{self, Cache};
use super::error::{CaseError, DataError};
use super::prepare::{PreparedCase, Source};
use super::recipe::DataRecipe;
use crate::dataset::Case;
use crate::digest::hex;
use crate::report::fit::SeenScan;

/// Hears (cases done, of how many) from any of the threads, and may stop the work.
pub type Progress<'a> = dyn Fn(usize, usize) -> ControlFlow<()> + Sync + 'a;

/// Cases that passed every check.
#[derive(Debug)]
pub struct PreparedDataset {
    source: Source,
    /// Which file is which channel, where that was not plain.
    channels: Option<String>,
    cases: Vec<Stored>,
    cache: Option<Cache>,
    /// The cases read last from files: the samples of a case follow each other.
    recent: Mutex<VecDeque<(usize, Arc<PreparedCase>)>>,
    /// How many of them to keep.
    keep: usize,
}

#[derive(Debug)]
struct Stored {
    facts: CaseFacts,
    /// `None`: in a file.
    memory: Option<Arc<PreparedCase>>,
    /// Voxels per label value on the model's grid.
    counts: BTreeMap<u16, u64>,
    seen: SeenScan,
    warnings: Vec<String>,
}

/// What is kept of a case that is not kept itself.
#[derive(Clone, Debug)]
pub struct CaseFacts {
    pub name: String,
    /// 64 hexadecimal digits that change with any of its files or a setting of preprocessing.
    pub fingerprint: String,
    /// As [`PreparedCase::content`].
    content: Vec<[u8; 32]>,
    axis_codes: String,
    spacing: [f64; 3],
}

impl CaseFacts {
    fn new(name: &str, fingerprint: String, case: &PreparedCase) -> Self {
        let (content, axis_codes, spacing) = (case.content(), case.axis_codes.clone(), case.spacing);
        Self { name: name.to_owned(), fingerprint, content, axis_codes, spacing }
    }
}

/// Cases that were read and checked, and not kept.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// What is doubtful about them.
    pub warnings: Vec<String>,
    /// One for each.
    pub cases: Vec<CaseFacts>,
}

impl PreparedDataset {
    /// Reads, checks and preprocesses every case, on `data.threads` threads. `folder` is for those beyond `data.memory`;
    /// what an earlier run left there is used again.
    ///
    /// # Errors
    /// [`DataError::Cases`] names every case that cannot be used; [`DataError::AllEmpty`]; [`DataError::Interrupted`];
    /// a folder that cannot be written to.
    pub fn new(
        cases: &[Case],
        source: &Source,
        data: &DataRecipe,
        folder: Option<&Path>,
        progress: &Progress<'_>,
    ) -> Result<Self, DataError> {
        let cache = folder.map(Cache::open).transpose()?;
        let left = AtomicU64::new(data.memory.saturating_mul(1 << 20));
        let work =
            Preparation { source, cache: cache.as_ref(), budget: data.memory, left, over: AtomicBool::new(false) };
        let results = in_parallel(cases, data.threads, progress, |case| work.store(case))?;
        let stored = all_or_problems(cases, results)?;
        let labelled = |stored: &Stored| stored.counts.keys().any(|value| *value > 0);
        if !stored.iter().any(labelled) {
            return Err(DataError::AllEmpty { cases: cases.len() });
        }
        let keep = data.threads + 1;
        let channels = source.channels_told(cases);
        Ok(Self { source: source.clone(), cases: stored, channels, cache, recent: Mutex::default(), keep })
    }

    /// How many cases there are; at least one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cases.len()
    }

    /// Whether there is no case.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    /// How the cases were read.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// How many cases lie in memory; the others lie in files.
    #[must_use]
    pub fn in_memory(&self) -> usize {
        self.cases.iter().filter(|stored| stored.memory.is_some()).count()
    }

    /// Voxels per label value over all cases, on the model's grid.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<u16, u64> {
        let mut counts = BTreeMap::new();
        for (value, n) in self.cases.iter().flat_map(|stored| &stored.counts) {
            *counts.entry(*value).or_default() += n;
        }
        counts
    }

    /// What each scan is like, in their order.
    pub fn seen(&self) -> impl Iterator<Item = &SeenScan> {
        self.cases.iter().map(|stored| &stored.seen)
    }

    /// What is doubtful about the cases, in their order.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        let cases = self.cases.iter().flat_map(|stored| &stored.warnings);
        self.channels.iter().chain(cases).map(String::as_str)
    }

    /// 64 hexadecimal digits that change with any file, its place in the list, or a setting of preprocessing. A resumed
    /// run is the same run only if this is the same.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        self.cases.iter().for_each(|stored| hash.update(&stored.facts.fingerprint));
        hex(hash.finalize())
    }

    /// Refuses validation cases that show a scan of these cases, whatever their files are called.
    ///
    /// # Errors
    /// [`DataError::Split`], which names both.
    pub fn check_apart(&self, validation: &Checked) -> Result<(), DataError> {
        let contents = |facts: &'_ CaseFacts| facts.content.clone();
        let mine: BTreeMap<[u8; 32], &str> = self
            .cases
            .iter()
            .flat_map(|stored| contents(&stored.facts).into_iter().map(|digest| (digest, stored.facts.name.as_str())))
            .collect();
        for case in &validation.cases {
            if let Some(other) = case.content.iter().find_map(|digest| mine.get(digest)) {
                let problem = format!(
                    "the training case {other} and the validation case {} show the same scan, voxel by voxel: remove one of \
                     them",
                    case.name
                );
                return Err(DataError::Split { problem });
            }
        }
        Ok(())
    }

    /// What is to be told of scans that are stored in different ways, over these cases and those of the validation.
    #[must_use]
    pub fn mixed(&self, validation: &Checked) -> Vec<String> {
        let all = self.cases.iter().map(|stored| &stored.facts).chain(&validation.cases);
        self.source.preprocess.mixed(all.map(|facts| (facts.axis_codes.as_str(), facts.spacing)))
    }

    /// A case, from memory or its file.
    ///
    /// # Errors
    /// No such case, or its file is missing or damaged.
    pub fn load(&self, case: usize) -> Result<Arc<PreparedCase>, DataError> {
        let stored = self.cases.get(case);
        let stored = stored
            .ok_or_else(|| DataError::Stopped { problem: format!("there is no case {case} of {}", self.len()) })?;
        if let Some(memory) = &stored.memory {
            return Ok(Arc::clone(memory));
        }
        let recent = || self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = recent().iter().find(|(number, _)| *number == case) {
            return Ok(Arc::clone(found));
        }
        let cache = self.cache.as_ref();
        let cache =
            cache.ok_or_else(|| DataError::Stopped { problem: format!("{} was not kept", stored.facts.name) })?;
        let read = Arc::new(cache.read(&stored.facts.fingerprint, &self.source)?);
        let mut recent = recent();
        recent.push_back((case, Arc::clone(&read)));
        while recent.len() > self.keep {
            recent.pop_front();
        }
        Ok(read)
    }
}

/// Reads, checks and preprocesses every case without keeping it, on `threads` threads.
///
/// # Errors
/// [`DataError::Cases`] names every case that cannot be used; [`DataError::AllEmpty`]; [`DataError::Interrupted`].
pub fn check(cases: &[Case], source: &Source, threads: usize, progress: &Progress<'_>) -> Result<Checked, DataError> {
    let results = in_parallel(cases, threads, progress, |case| {
        let mut files = source.open(case)?;
        let key = cache::key(source, case, &mut files)?;
        let (prepared, mut warnings) = source.prepare_files(case, files)?;
        let labelled = prepared.label.iter().any(|value| *value > 0);
        if !labelled {
            warnings.push(source.empty(case)?);
        }
        Ok((CaseFacts::new(&case.name, key, &prepared), warnings, labelled))
    })?;
    let checked = all_or_problems(cases, results)?;
    if !cases.is_empty() && !checked.iter().any(|(.., labelled)| *labelled) {
        return Err(DataError::AllEmpty { cases: cases.len() });
    }
    let mut all = Checked { warnings: source.channels_told(cases).into_iter().collect(), cases: Vec::new() };
    for (facts, warnings, _) in checked {
        all.warnings.extend(warnings);
        all.cases.push(facts);
    }
    Ok(all)
}

/// All results, or the problems of all cases that have one.
fn all_or_problems<T>(cases: &[Case], results: Vec<Result<T, DataError>>) -> Result<Vec<T>, DataError> {
    let mut all = Vec::with_capacity(results.len());
    let mut problems = Vec::new();
    for (case, result) in cases.iter().zip(results) {
        match result {
            Ok(done) => all.push(done),
            // The fault of disk or recipe, not of the case.
            Err(error @ (DataError::Cache { .. } | DataError::Recipe { .. })) => return Err(error),
            Err(error) => problems.push(CaseError { case: case.name.clone(), error }),
        }
    }
    if problems.is_empty() { Ok(all) } else { Err(DataError::Cases { checked: cases.len(), problems }) }
}

/// What the threads that prepare cases share.
struct Preparation<'a> {
    source: &'a Source,
    cache: Option<&'a Cache>,
    /// MiB in all.
    budget: u64,
    /// Bytes of the budget that are not used yet.
    left: AtomicU64,
    /// No case can be stored any more.
    over: AtomicBool,
}

impl Preparation<'_> {
    fn store(&self, case: &Case) -> Result<Stored, DataError> {
        if self.over.load(Relaxed) {
            return Err(DataError::Stopped { problem: "an earlier case could not be stored".into() });
        }
        let stored = self.read_and_store(case);
        if matches!(stored, Err(DataError::Cache { .. } | DataError::Recipe { .. })) {
            self.over.store(true, Relaxed);
        }
        stored
    }

    fn read_and_store(&self, case: &Case) -> Result<Stored, DataError> {
        let mut files = self.source.open(case)?;
        let key = cache::key(self.source, case, &mut files)?;
        let cached = self.cache.filter(|cache| cache.path(&key).exists());
        // A damaged file is made anew.
        let cached = cached.and_then(|cache| cache.read(&key, self.source).ok());
        let on_disk = cached.is_some();
        let (prepared, mut warnings) = match cached {
            Some(prepared) => (prepared, Vec::new()),
            None => self.source.prepare_files(case, files)?,
        };
        let counts = count(&prepared.label);
        if counts.keys().all(|value| *value == 0) {
            warnings.push(self.source.empty(case)?);
        }
        let bytes = prepared.bytes();
        let facts = CaseFacts::new(&case.name, key.clone(), &prepared);
        let fits = self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(bytes)).is_ok();
        let memory = match (fits, self.cache) {
            (true, _) => Some(Arc::new(prepared)),
            (false, Some(cache)) => {
                if !on_disk {
                    cache.write(&key, &prepared)?;
                }
                None
            }
            (false, None) => {
                let problem = "the cases need more MiB than this, and there is no folder for the others";
                return Err(DataError::recipe("data.memory", self.budget, problem));
            }
        };
        let seen = self.source.seen(case)?;
        Ok(Stored { facts, memory, counts, seen, warnings })
    }
}

fn count(label: &[u16]) -> BTreeMap<u16, u64> {
    let mut counts = BTreeMap::new();
    for run in label.chunk_by(|a, b| a == b) {
        if let Some(value) = run.first() {
            *counts.entry(*value).or_default() += run.len() as u64;
        }
    }
    counts
}

/// Does `work` for each item on several threads; results in the order of the items.
fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    progress: &Progress<'_>,
    work: impl Fn(&T) -> R + Sync,
) -> Result<Vec<R>, DataError> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let stop = AtomicBool::new(false);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    let at = next.fetch_add(1, Relaxed);
                    let Some(item) = items.get(at) else { break };
                    let result = work(item);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
                    if progress(done.fetch_add(1, Relaxed) + 1, items.len()).is_break() {
                        stop.store(true, Relaxed);
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(at, _)| *at);
    // A stop behind the last item changes nothing.
    if results.len() < items.len() {
        return Err(DataError::Interrupted);
    }
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

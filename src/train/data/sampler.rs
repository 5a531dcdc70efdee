//! Which sample comes when, and how it is made: a pure function of (seed, epoch, case, sample).
//!
//! Each epoch is a random order of the cases, from (seed, epoch), each with its samples one after the other. Epochs
//! follow each other without a gap, and batches are cut from this endless list.

use std::sync::Arc;

use super::augment::{Augment, AugmentRecipe};
use super::crop::Crop;
use super::error::DataError;
use super::prepared::PreparedDataset;
use super::random;
use super::recipe::DataRecipe;
use super::target::Target;
use super::task::Task;
use crate::weights::package::{InputSection, OutputSection};

/// Number of a batch, counted from 0 over the whole run.
pub type BatchIndex = u64;

/// What a training step takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// `(N, C, X, Y, Z)`.
    pub input: Vec<f32>,
    /// Class numbers `(N, 1, X, Y, Z)`, or 0 and 1 per region `(N, K, X, Y, Z)`.
    pub label: Vec<f32>,
    /// The case of each window, in the order of [`PreparedDataset`].
    pub cases: Vec<usize>,
    /// The epoch of the first window.
    pub epoch: u32,
}

/// Makes batches.
#[derive(Debug)]
pub struct Sampler {
    cases: Arc<PreparedDataset>,
    crop: Crop,
    augment: Augment,
    target: Target,
    window: [usize; 3],
    seed: u64,
    samples_per_case: usize,
    batch: usize,
}

impl Sampler {
    /// The sampler of a recipe over prepared cases.
    ///
    /// # Errors
    /// As [`DataRecipe::validate`] and [`AugmentRecipe::validate`]; no cases.
    pub fn new(
        cases: Arc<PreparedDataset>,
        (data, augment): (&DataRecipe, &AugmentRecipe),
        task: &Task,
        input: &InputSection,
        output: &OutputSection,
        seed: u64,
    ) -> Result<Self, DataError> {
        data.validate(task, input, output)?;
        if cases.is_empty() {
            return Err(DataError::Stopped { problem: "there are no cases".into() });
        }
        Ok(Self {
            cases,
            crop: Crop::new(data, task.window),
            augment: Augment::new(augment, data, task, input, output)?,
            target: Target::new(data, task, output)?,
            window: task.window,
            seed,
            samples_per_case: data.samples_per_case,
            batch: data.batch,
        })
    }

    /// The cases it draws from.
    #[must_use]
    pub fn cases(&self) -> &PreparedDataset {
        &self.cases
    }

    /// Windows in an epoch.
    #[must_use]
    pub fn epoch_len(&self) -> usize {
        self.cases.len() * self.samples_per_case
    }

    /// The batch of a number.
    ///
    /// # Errors
    /// A case's file is missing or damaged.
    pub fn batch(&self, index: BatchIndex) -> Result<Batch, DataError> {
        let voxels: usize = self.window.iter().product();
        let channels = self.cases.source().channels.len();
        let mut batch = Batch {
            input: Vec::with_capacity(self.batch * channels * voxels),
            label: Vec::with_capacity(self.batch * self.target.channels() * voxels),
            cases: Vec::with_capacity(self.batch),
            epoch: 0,
        };
        let (per_epoch, samples) = (self.epoch_len() as u64, self.samples_per_case as u64);
        let mut order = (u64::MAX, Vec::new());
        for n in 0..self.batch as u64 {
            let at = index.saturating_mul(self.batch as u64).saturating_add(n);
            let (epoch, within) = (at / per_epoch, at % per_epoch);
            if order.0 != epoch {
                let mut rng = random::keyed("order", &[self.seed, epoch]);
                order = (epoch, random::permutation(&mut rng, self.cases.len()));
            }
            let case = order.1.get((within / samples) as usize).copied().unwrap_or(0);
            if n == 0 {
                batch.epoch = u32::try_from(epoch).unwrap_or(u32::MAX);
            }
            self.sample(epoch, case, within % samples, &mut batch)?;
            batch.cases.push(case);
        }
        Ok(batch)
    }

    /// Appends one window to a batch.
    fn sample(&self, epoch: u64, case: usize, sample: u64, batch: &mut Batch) -> Result<(), DataError> {
        let mut rng = random::keyed("sample", &[self.seed, epoch, case as u64, sample]);
        let case = self.cases.load(case)?;
        let start = self.crop.start(&mut rng, &case.image, &case.label, case.dims, &case.places);
        let first = batch.input.len();
        let label = self.augment.cut(&mut rng, &case, start, &mut batch.input);
        self.target.encode(&label, &mut batch.label);
        self.augment.intensity(&mut rng, batch.input.get_mut(first..).unwrap_or_default());
        Ok(())
    }
}

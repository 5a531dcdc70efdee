//! The recipe's section `[data]`: which cases, how they are cut into windows, and how many at a time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::DataError;
use super::subject::SubjectRule;
use super::target::{RegionLabels, Target};
use super::task::Task;
use crate::weights::package::{InputSection, OutputSection};

/// How training windows are placed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CropMethod {
    /// Around a labelled voxel or around background, in the ratio `pos : neg`, as MONAI's `RandCropByPosNegLabel`.
    #[default]
    PosNeg,
    /// Anywhere with equal probability, as MONAI's `RandSpatialCrop`.
    Uniform,
}

/// Where a volume smaller than the window lies in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pad {
    /// Anywhere with equal probability.
    #[default]
    Random,
    /// In the middle, the odd voxel after it, as MONAI's `SpatialPad` and sliding window do.
    Symmetric,
}

/// The section `[data]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataRecipe {
    /// Fraction of the training cases set apart for validation, by subject; 0 uses the dataset's own validation list.
    pub val_fraction: f64,
    /// The fold to judge by, where the dataset sorts its cases into folds; the others are trained on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<u32>,
    /// Seed of that split, apart from the run's seed so that runs can be compared.
    pub split_seed: u64,
    /// Which cases show the same person; where the dataset names a case's `subject`, that counts.
    pub subject: SubjectRule,
    /// Label values replaced on reading, old to new; values not named stay as they are.
    #[serde(with = "number_keys")]
    pub relabel: BTreeMap<u16, u16>,
    /// For sigmoid networks: the (relabelled) values that make up each channel.
    pub regions: Vec<RegionLabels>,
    /// Accept single cases without any labelled voxel, with a warning.
    pub allow_empty: bool,
    /// How windows are placed.
    pub method: CropMethod,
    /// Weight of windows around labelled voxels.
    pub pos: f64,
    /// Weight of windows around background.
    pub neg: f64,
    /// Background voxels to crop around are above this, after preprocessing, in any channel.
    pub image_threshold: f32,
    /// Where small volumes lie in the window.
    pub pad: Pad,
    /// Windows cut from a case each time it comes up.
    pub samples_per_case: usize,
    /// Windows in a batch.
    pub batch: usize,
    /// Background threads. They do not change the result.
    pub threads: usize,
    /// Batches made in advance.
    pub prefetch: usize,
    /// MiB of memory for preprocessed cases; those beyond it go to files in the run's `cache` folder.
    pub memory: u64,
}

impl Default for DataRecipe {
    fn default() -> Self {
        Self {
            val_fraction: 0.0,
            fold: None,
            split_seed: 0,
            subject: SubjectRule::default(),
            relabel: BTreeMap::new(),
            regions: Vec::new(),
            allow_empty: true,
            method: CropMethod::PosNeg,
            pos: 1.0,
            neg: 1.0,
            image_threshold: 0.0,
            pad: Pad::Random,
            samples_per_case: 1,
            batch: 1,
            threads: 2,
            prefetch: 4,
            memory: 4096,
        }
    }
}

/// Most windows in a batch, threads and batches in advance: beyond these a number is a slip of the pen.
const MOST: usize = 4096;

impl DataRecipe {
    /// Checks the section against the sections it has to fit.
    ///
    /// # Errors
    /// [`DataError::Recipe`], which names the field.
    pub fn validate(&self, task: &Task, input: &InputSection, output: &OutputSection) -> Result<(), DataError> {
        if input.channels.len() != task.channels {
            let problem = format!("network.in_channels is {}", task.channels);
            return Err(DataError::recipe("input.channels", format!("{:?}", input.channels), problem));
        }
        if !(0.0..1.0).contains(&self.val_fraction) {
            let problem = "a fraction from 0 to below 1 is needed";
            return Err(DataError::recipe("data.val_fraction", self.val_fraction, problem));
        }
        if let Some(fold) = self.fold.filter(|_| self.val_fraction != 0.0) {
            let problem =
                format!("data.val_fraction is {}: one of the two chooses the validation cases", self.val_fraction);
            return Err(DataError::recipe("data.fold", fold, problem));
        }
        self.subject.validate()?;
        for (name, weight) in [("data.pos", self.pos), ("data.neg", self.neg)] {
            if !(weight.is_finite() && weight >= 0.0) {
                return Err(DataError::recipe(name, weight, "a weight of at least 0 is needed"));
            }
        }
        if self.pos + self.neg <= 0.0 {
            return Err(DataError::recipe("data.pos", self.pos, "data.pos and data.neg cannot both be 0"));
        }
        if !self.image_threshold.is_finite() {
            return Err(DataError::recipe("data.image_threshold", self.image_threshold, "a finite number is needed"));
        }
        let counts = [
            ("data.samples_per_case", self.samples_per_case),
            ("data.batch", self.batch),
            ("data.threads", self.threads),
            ("data.prefetch", self.prefetch),
        ];
        for (name, count) in counts {
            if !(1..=MOST).contains(&count) {
                return Err(DataError::recipe(name, count, format!("a number from 1 to {MOST} is needed")));
            }
        }
        Target::new(self, task, output).map(|_| ())
    }
}

/// Maps with whole numbers as keys; TOML has text keys only.
mod number_keys {
    use std::collections::BTreeMap;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(map: &BTreeMap<u16, u16>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(map.iter().map(|(key, value)| (key.to_string(), value)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<u16, u16>, D::Error> {
        let map = BTreeMap::<String, u16>::deserialize(deserializer)?;
        let number = |(key, value): (String, u16)| match key.parse() {
            Ok(key) => Ok((key, value)),
            Err(_) => Err(D::Error::custom(format!("\"{key}\" is no label: a number from 0 to 65535 is needed"))),
        };
        map.into_iter().map(number).collect()
    }
}

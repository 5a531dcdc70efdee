//! `recipe.toml`: everything that a run follows from, besides its data.
//!
//! The tables `network`, `input`, `output` and `inference` and the keys `name`, `version`, `licence`, `citation` are those of
//! the model package that the run makes; the others are below. Absent keys have the defaults of the structs, unknown keys
//! are errors.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::data::{AugmentRecipe, DataError, DataRecipe, Task};
use super::schedule::{Decay, Schedule};
use crate::fields::{FieldError, from_toml};
use crate::kernels::dice_ce::{ClassSizes, DiceCe, Focal, Overlap};
use crate::nets::DropoutOptions;
use crate::tensor::FloatType;
use crate::weights::WeightsError;
use crate::weights::package::{Activation, Format, Metadata};

/// Tables and keys that belong to the package.
const PACKAGE: [&str; 8] = ["name", "version", "licence", "citation", "network", "input", "output", "inference"];
/// Tables of its own.
const TABLES: [&str; 6] = ["run", "data", "augment", "loss", "optimizer", "validation"];

/// Why a recipe cannot be followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// It is no TOML.
    #[error("not valid TOML: {0}")]
    Syntax(#[from] toml::de::Error),
    /// A key is unknown, or has a value of a wrong type.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A value is out of range.
    #[error("{field} is {value}: {rule}")]
    Value {
        /// Its path, `optimizer.learning_rate`.
        field: &'static str,
        /// What it is.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
    /// The part that becomes the package.
    #[error(transparent)]
    Package(#[from] WeightsError),
    /// `[data]` or `[augment]`.
    #[error(transparent)]
    Data(#[from] DataError),
}

/// A whole recipe.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// The package to be, without what training will say of itself.
    pub metadata: Metadata,
    /// Length, batch and seed.
    pub run: RunRecipe,
    /// Where windows come from.
    pub data: DataRecipe,
    /// How they are varied.
    pub augment: AugmentRecipe,
    /// What is minimised.
    pub loss: LossRecipe,
    pub optimizer: OptimizerRecipe,
    /// How often and how the result is judged.
    pub validation: ValidationRecipe,
}

/// `[run]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunRecipe {
    /// Every random number follows from it.
    pub seed: u64,
    /// Steps of the optimiser.
    pub steps: u64,
    /// Batches whose gradients are averaged before a step.
    pub accumulate: usize,
    /// Compute activations again in the backward pass instead of keeping them: slower, in less memory, the same bits.
    pub recompute: bool,
    /// Share of activations dropped while training, at the five places where MONAI's `dropout_rate` acts.
    pub dropout_rate: f32,
    /// Steps between two checkpoints.
    pub checkpoint_every: u64,
    /// Patterns of parameters that stay as they are, `vit.*`.
    pub freeze: Vec<String>,
    /// How the package stores its weights; it is judged as it is stored.
    pub dtype: FloatType,
}

impl Default for RunRecipe {
    fn default() -> Self {
        Self {
            seed: 1,
            steps: 10_000,
            accumulate: 1,
            recompute: false,
            dropout_rate: 0.0,
            checkpoint_every: 250,
            freeze: Vec::new(),
            dtype: FloatType::F32,
        }
    }
}

/// `[loss]`: MONAI's `DiceCELoss`, or another of its losses by `overlap` and `focal`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossRecipe {
    /// Factor of the Dice term, `lambda_dice`.
    pub dice: f32,
    /// Factor of the cross entropy, `lambda_ce`.
    pub cross_entropy: f32,
    /// What the Dice term is.
    pub overlap: OverlapKind,
    /// What classes count for in the generalised Dice loss, `w_type`.
    pub w_type: WeightType,
    /// Factor of false positives in the Tversky loss, `alpha`.
    pub tversky_alpha: f32,
    /// Factor of false negatives in the Tversky loss, `beta`.
    pub tversky_beta: f32,
    /// Factor of the focal loss, `lambda_focal`, which then stands in the cross entropy's place.
    pub focal: f32,
    /// Exponent of the focal loss.
    pub gamma: f32,
    /// Balance of the focal loss, `alpha`.
    pub focal_alpha: Option<f32>,
    /// Whether the focal loss is of a softmax, `use_softmax`.
    pub focal_softmax: bool,
    /// Squares in the denominator, `squared_pred`.
    pub squared: bool,
    /// Sums over the batch before the quotient.
    pub batch: bool,
    /// Whether the background counts in the Dice term, `include_background`.
    pub background: bool,
    /// Added to the numerator.
    pub smooth_nr: f32,
    /// Added to the denominator.
    pub smooth_dr: f32,
    /// One factor per class; empty: all 1.
    pub class_weights: Vec<f32>,
}

impl Default for LossRecipe {
    fn default() -> Self {
        let d = DiceCe::default();
        Self {
            dice: d.dice,
            cross_entropy: d.cross_entropy,
            overlap: OverlapKind::Dice,
            w_type: WeightType::Square,
            tversky_alpha: 0.5,
            tversky_beta: 0.5,
            focal: 0.0,
            gamma: 2.0,
            focal_alpha: None,
            focal_softmax: false,
            squared: d.squared,
            batch: d.batch,
            background: d.background,
            smooth_nr: d.smooth_nr,
            smooth_dr: d.smooth_dr,
            class_weights: Vec::new(),
        }
    }
}

/// How prediction and truth are compared over all voxels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverlapKind {
    /// MONAI's `DiceLoss`.
    #[default]
    Dice,
    /// MONAI's `GeneralizedDiceLoss`.
    GeneralizedDice,
    /// MONAI's `TverskyLoss`.
    Tversky,
}

/// What a class counts for in the generalised Dice loss, by the voxels that it has in truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightType {
    /// 1 over their square.
    #[default]
    Square,
    /// 1 over their number.
    Simple,
    /// 1.
    Uniform,
}

/// What one step of the schedule is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interval {
    /// The rate changes with every step.
    #[default]
    Step,
    /// The rate changes with every pass over the training cases.
    Epoch,
}

/// `[optimizer]`: AdamW and its learning rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerRecipe {
    /// The largest learning rate.
    pub learning_rate: f64,
    /// Decoupled decay of the weights.
    pub weight_decay: f64,
    /// Whether norms, biases and the position table decay too, as in the paper's code.
    pub decay_all: bool,
    /// Decays of the gradients' moments.
    pub betas: (f64, f64),
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Length that all gradients together are cut to; 0: never.
    pub clip: f64,
    /// Steps during which the rate rises.
    pub warmup: u64,
    /// After the warm-up.
    pub decay: Decay,
    /// The last rate as a fraction of the largest.
    pub floor: f64,
    /// What the schedule counts.
    pub interval: Interval,
    /// Decay of the weights' moving average, which is what is judged and shipped; 0: none is kept.
    pub average: f64,
}

impl Default for OptimizerRecipe {
    fn default() -> Self {
        Self {
            learning_rate: 1e-4,
            weight_decay: 1e-5,
            decay_all: true,
            betas: (0.9, 0.999),
            epsilon: 1e-8,
            clip: 0.0,
            warmup: 0,
            decay: Decay::Cosine,
            floor: 0.0,
            interval: Interval::Step,
            average: 0.0,
        }
    }
}

/// `[validation]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ValidationRecipe {
    /// Steps between two validations; 0: only at the end.
    pub every: u64,
    /// Fraction of a window shared with the next while validating; absent: the package's.
    pub overlap: Option<f64>,
    /// Also measure surface distances; the last validation does in any case.
    pub surface_distance: bool,
}

impl Default for ValidationRecipe {
    fn default() -> Self {
        Self { every: 500, overlap: None, surface_distance: true }
    }
}

impl Recipe {
    /// Reads and validates a recipe.
    ///
    /// # Errors
    /// The first key that is unknown, missing, of a wrong type or out of range.
    pub fn read(text: &str) -> Result<Self, RecipeError> {
        Self::read_for(text, None)
    }

    /// The same for a run that starts from a model: tables of the package that the recipe has not are the model's. Where the
    /// recipe has an `[output]` of its own and no `[network]`, the model's network gets as many channels as that needs.
    ///
    /// # Errors
    /// As [`Recipe::read`].
    pub fn read_for(text: &str, model: Option<&Metadata>) -> Result<Self, RecipeError> {
        let mut root: toml::Table = toml::from_str(text.strip_prefix('\u{feff}').unwrap_or(text))?;
        let known = || PACKAGE.into_iter().chain(TABLES);
        if let Some(key) = root.keys().find(|key| known().all(|known| known != key.as_str())) {
            return Err(FieldError::unknown("", key, known()).into());
        }
        let mut package = Map::new();
        package.insert("version".to_owned(), json!("1.0.0"));
        package.insert("licence".to_owned(), json!(""));
        for key in PACKAGE {
            if let Some(value) = root.remove(key) {
                package.insert(key.to_owned(), with_nulls(to_json(key, value)?));
            }
        }
        if let Some(model) = model {
            inherit(&mut package, model);
        }
        let format = Format::needed_by(&package);
        package.insert("format".to_owned(), json!(format.name()));
        // TOML has no null: an absent step of the preprocessing is not done.
        if let Some(Value::Object(input)) = package.get_mut("input").filter(|_| format == Format::Fixed) {
            for step in ["orientation", "spacing", "intensity"] {
                input.entry(step).or_insert(Value::Null);
            }
            input.entry("crop_foreground").or_insert(json!(false));
        }
        let metadata = Metadata::from_object(package)?;
        let recipe = Self {
            metadata,
            run: table(&mut root, "run")?,
            data: table(&mut root, "data")?,
            augment: table(&mut root, "augment")?,
            loss: table(&mut root, "loss")?,
            optimizer: table(&mut root, "optimizer")?,
            validation: table(&mut root, "validation")?,
        };
        recipe.validate()?;
        Ok(recipe)
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`RecipeError::Value`] for the first value out of range.
    pub fn validate(&self) -> Result<(), RecipeError> {
        let (r, o, l) = (&self.run, &self.optimizer, &self.loss);
        // In single precision, as the kernels take them.
        let positive = |v: f64| (v as f32).is_normal() && v > 0.0;
        let finite = |v: f64| v >= 0.0 && (v as f32).is_finite();
        let share = |v: f64| (0.0..1.0).contains(&v);
        let classes = self.metadata.network.out_channels();
        let weights_fit = l.class_weights.is_empty() || l.class_weights.len() == classes;
        let rules: [(&'static str, String, bool, &'static str); 27] = [
            ("run.steps", r.steps.to_string(), r.steps > 0 && r.steps < 1 << 24, "1 to 16,777,215 steps are possible"),
            ("run.accumulate", r.accumulate.to_string(), (1..=4096).contains(&r.accumulate), "1 to 4096 are possible"),
            ("run.dropout_rate", r.dropout_rate.to_string(), share(r.dropout_rate.into()), "it must be in [0, 1)"),
            (
                "run.accumulate",
                r.accumulate.to_string(),
                r.steps.saturating_mul(r.accumulate as u64) < 1 << 24,
                "times run.steps it must be below 16,777,216",
            ),
            (
                "run.seed",
                r.seed.to_string(),
                r.seed <= i64::MAX as u64,
                "at most 9,223,372,036,854,775,807 is possible",
            ),
            (
                "validation.overlap",
                format!("{:?}", self.validation.overlap),
                self.validation.overlap.is_none_or(share),
                "it must be in [0, 1)",
            ),
            ("run.checkpoint_every", r.checkpoint_every.to_string(), r.checkpoint_every > 0, "at least 1 is needed"),
            ("optimizer.learning_rate", o.learning_rate.to_string(), positive(o.learning_rate), "it must be above 0"),
            ("optimizer.weight_decay", o.weight_decay.to_string(), finite(o.weight_decay), "it must not be negative"),
            ("optimizer.betas", format!("{:?}", o.betas), share(o.betas.0) && share(o.betas.1), "both lie in [0, 1)"),
            ("optimizer.epsilon", o.epsilon.to_string(), positive(o.epsilon), "it must be above 0"),
            ("optimizer.clip", o.clip.to_string(), finite(o.clip), "it must not be negative"),
            ("optimizer.warmup", o.warmup.to_string(), o.warmup <= r.steps, "it must not be longer than run.steps"),
            ("optimizer.floor", o.floor.to_string(), (0.0..=1.0).contains(&o.floor), "it must be in [0, 1]"),
            ("optimizer.average", o.average.to_string(), share(o.average), "it must be in [0, 1)"),
            ("loss.dice", l.dice.to_string(), l.dice.is_finite() && l.dice >= 0.0, "it must not be negative"),
            (
                "loss.cross_entropy",
                l.cross_entropy.to_string(),
                l.cross_entropy.is_finite() && l.cross_entropy >= 0.0 && l.cross_entropy + l.dice + l.focal > 0.0,
                "it must not be negative, nor 0 where loss.dice and loss.focal are 0",
            ),
            ("loss.focal", l.focal.to_string(), finite(l.focal.into()), "it must not be negative"),
            (
                "loss.focal",
                l.focal.to_string(),
                l.focal == 0.0 || l.cross_entropy == 0.0,
                "it stands in the place of the cross entropy: set loss.cross_entropy to 0",
            ),
            ("loss.gamma", l.gamma.to_string(), finite(l.gamma.into()), "it must not be negative"),
            (
                "loss.focal_alpha",
                format!("{:?}", l.focal_alpha),
                l.focal_alpha.is_none_or(|alpha| (0.0..=1.0).contains(&alpha)),
                "it must be in [0, 1]",
            ),
            (
                "loss.focal_softmax",
                l.focal_softmax.to_string(),
                !l.focal_softmax || (l.background && self.metadata.output.activation == Activation::Softmax),
                "it needs output.activation softmax, and the background",
            ),
            (
                "loss.tversky_alpha",
                format!("{} with a loss.tversky_beta of {}", l.tversky_alpha, l.tversky_beta),
                finite(l.tversky_alpha.into())
                    && finite(l.tversky_beta.into())
                    && l.tversky_alpha + l.tversky_beta > 0.0,
                "both must not be negative, and one must be above 0",
            ),
            (
                "loss.squared",
                l.squared.to_string(),
                !l.squared || l.overlap == OverlapKind::Dice,
                "squares are Dice's alone: use loss.overlap dice",
            ),
            ("loss.smooth_nr", l.smooth_nr.to_string(), finite(l.smooth_nr.into()), "it must not be negative"),
            ("loss.smooth_dr", l.smooth_dr.to_string(), finite(l.smooth_dr.into()), "it must not be negative"),
            (
                "loss.class_weights",
                format!("{:?}", l.class_weights),
                weights_fit,
                "one weight per class is needed, or none",
            ),
        ];
        if let Some((field, value, _, rule)) = rules.into_iter().find(|(_, _, ok, _)| !ok) {
            return Err(RecipeError::Value { field, value, rule });
        }
        if l.class_weights.iter().any(|w| !w.is_finite() || *w < 0.0)
            || l.class_weights.iter().all(|w| *w == 0.0) != l.class_weights.is_empty()
        {
            let value = format!("{:?}", l.class_weights);
            let rule = "weights must not be negative, and one at least must be above 0";
            return Err(RecipeError::Value { field: "loss.class_weights", value, rule });
        }
        let m = &self.metadata;
        self.data.validate(&self.task(), &m.input, &m.output)?;
        self.augment.validate(&self.data, &self.task(), &m.input, &m.output)?;
        Ok(())
    }

    /// What data has to fit.
    pub fn task(&self) -> Task {
        let Metadata { network, inference, .. } = &self.metadata;
        Task { window: inference.roi_size, channels: network.in_channels(), classes: network.out_channels() }
    }

    /// The loss as its kernel takes it.
    pub fn dice_ce(&self) -> DiceCe {
        let l = &self.loss;
        DiceCe {
            sigmoid: self.metadata.output.activation == Activation::Sigmoid,
            dice: l.dice,
            cross_entropy: if l.focal > 0.0 { l.focal } else { l.cross_entropy },
            overlap: match l.overlap {
                OverlapKind::Dice => Overlap::Dice,
                OverlapKind::GeneralizedDice => Overlap::Generalised(match l.w_type {
                    WeightType::Square => ClassSizes::Square,
                    WeightType::Simple => ClassSizes::Simple,
                    WeightType::Uniform => ClassSizes::Uniform,
                }),
                OverlapKind::Tversky => Overlap::Tversky { alpha: l.tversky_alpha, beta: l.tversky_beta },
            },
            focal: (l.focal > 0.0).then_some(Focal { gamma: l.gamma, alpha: l.focal_alpha, softmax: l.focal_softmax }),
            squared: l.squared,
            batch: l.batch,
            background: l.background,
            smooth_nr: l.smooth_nr,
            smooth_dr: l.smooth_dr,
            weighted: !l.class_weights.is_empty(),
            share: 1.0,
        }
    }

    /// Dropout as the network takes it.
    pub fn dropout(&self) -> DropoutOptions {
        DropoutOptions { rate: self.run.dropout_rate, seed: self.run.seed }
    }

    /// The learning rate of each step, where an epoch has `epoch_steps` of them.
    pub fn schedule(&self, epoch_steps: u64) -> Schedule {
        let o = &self.optimizer;
        Schedule {
            base: o.learning_rate,
            warmup: o.warmup,
            total: self.run.steps,
            floor: o.floor,
            decay: o.decay,
            interval: if o.interval == Interval::Epoch { epoch_steps.max(1) } else { 1 },
        }
    }

    /// All of it, defaults included, as JSON.
    pub fn to_json(&self) -> Value {
        let mut object = self.metadata.to_object();
        ["format", "training"].into_iter().for_each(|key| {
            object.remove(key);
        });
        let tables = [
            ("run", json!(self.run)),
            ("data", json!(self.data)),
            ("augment", json!(self.augment)),
            ("loss", json!(self.loss)),
            ("optimizer", json!(self.optimizer)),
            ("validation", json!(self.validation)),
        ];
        object.extend(tables.map(|(key, value)| (key.to_owned(), value)));
        Value::Object(object)
    }

    /// All of it, defaults included, as TOML that [`Recipe::read`] reads back.
    pub fn to_toml(&self) -> String {
        // Every value came from TOML or has a form in it.
        toml::to_string(&without_nulls(self.to_json())).unwrap_or_default()
    }

    /// SHA-256 of all that the result follows from, defaults included: threads and memory may change between stops.
    pub fn sha256(&self) -> String {
        let mut value = self.to_json();
        if let Some(data) = value.get_mut("data").and_then(Value::as_object_mut) {
            ["threads", "prefetch", "memory"].into_iter().for_each(|key| {
                data.remove(key);
            });
        }
        crate::digest::sha256(value.to_string().as_bytes())
    }
}

/// Takes over from a model what the recipe does not say.
fn inherit(package: &mut Map<String, Value>, model: &Metadata) {
    let heads = package.get("output").and_then(heads_of);
    let mut theirs = model.to_object();
    for key in ["network", "input", "output", "inference"] {
        let Some(mut table) = theirs.remove(key).filter(|_| !package.contains_key(key)) else { continue };
        if let (true, Some(heads), Some(network)) = (key == "network", heads, table.as_object_mut())
            && let Some(count) = ["out_channels", "num_classes"].into_iter().find(|key| network.contains_key(*key))
        {
            network.insert(count.to_owned(), json!(heads));
        }
        package.insert(key.to_owned(), table);
    }
}

/// Channels that the labels or regions of an `output` need.
fn heads_of(output: &Value) -> Option<u64> {
    let (list, key) = match output.get("regions") {
        Some(regions) => (regions, "channel"),
        None => (output.get("labels")?, "value"),
    };
    list.as_array()?.iter().filter_map(|entry| entry.get(key)?.as_u64()).max()?.checked_add(1)
}

/// JSON without its nulls, which TOML does not have: what is null is absent, and in a list an empty table.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            Value::Object(map.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect())
        }
        Value::Array(list) => {
            let item = |v: Value| if v.is_null() { Value::Object(Map::new()) } else { without_nulls(v) };
            Value::Array(list.into_iter().map(item).collect())
        }
        other => other,
    }
}

/// The nulls of lists back in their places.
fn with_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(map.into_iter().map(|(k, v)| (k, with_nulls(v))).collect()),
        Value::Array(list) => {
            let empty = |v: &Value| v.as_object().is_some_and(Map::is_empty);
            Value::Array(list.into_iter().map(|v| if empty(&v) { Value::Null } else { with_nulls(v) }).collect())
        }
        other => other,
    }
}

fn to_json(key: &str, value: toml::Value) -> Result<Value, RecipeError> {
    serde_json::to_value(value).map_err(|e| FieldError::value(key, e).into())
}

fn table<T: DeserializeOwned + Default>(root: &mut toml::Table, name: &str) -> Result<T, RecipeError> {
    match root.remove(name) {
        None => Ok(T::default()),
        Some(value) => from_toml(&value).map_err(|e| e.within(name).into()),
    }
}

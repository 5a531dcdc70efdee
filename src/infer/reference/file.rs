//! A reference file in any of its forms: tensors in full, or parameters and inputs by a formula and of the results samples
//! of each, or all logits of some voxels.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use super::StageError;
use super::procedural::{PROJECTIONS, SAMPLES, draw, projections, samples};
use super::voxels::Voxels;
use crate::graph::TensorInfo;
use crate::infer::InferError;
use crate::nets::Architecture;
use crate::tensor::Shape;
use crate::weights::package::network_from_json;
use crate::weights::safetensors::Tensors;

/// Values of the largest input accepted.
const MAX_VALUES: usize = i32::MAX as usize / 4;

/// What parameters and inputs are computed from.
struct Procedural {
    seed: u64,
    kept: Kept,
    /// Shape and bounds of each parameter.
    parameters: BTreeMap<String, (Vec<usize>, f64, f64)>,
}

/// Which results are stored.
enum Kept {
    /// At most so many elements of each tensor.
    Samples(usize),
    /// The logits of some voxels, and statistics over all.
    Voxels(Voxels),
}

/// A reference file: a network, what it is given, and what it must give.
pub struct ReferenceFile {
    tensors: Tensors,
    network: Architecture,
    sigmoid: bool,
    input: Vec<usize>,
    procedural: Option<Procedural>,
}

/// How far a gradient is from the reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distance {
    /// Euclidean length of the difference, or an estimate of it.
    pub error: f64,
    /// Euclidean length of the reference.
    pub length: f64,
}

pub(super) fn fault(problem: impl Into<String>) -> InferError {
    InferError::Reference(problem.into())
}

impl ReferenceFile {
    /// Reads a file.
    ///
    /// # Errors
    /// It is no safetensors file, or its metadata lacks something.
    pub fn read(bytes: Vec<u8>) -> Result<Self, InferError> {
        let tensors = Tensors::read(bytes)?;
        let metadata =
            |key: &str| tensors.metadata().get(key).ok_or_else(|| fault(format!("no '{key}' in its metadata")));
        let text = metadata("config")?;
        let network = network_from_json(text)?;
        let config: Value = json(text, "config")?;
        let procedural = match tensors.metadata().contains_key("formula") {
            true => {
                let kept = match Voxels::read(&tensors, network.out_channels())? {
                    Some(voxels) => Kept::Voxels(voxels),
                    None => Kept::Samples(samples_stored(tensors.metadata().get("samples"))?),
                };
                Some(procedural(metadata("seed")?, kept, metadata("parameters")?, &network)?)
            }
            false => None,
        };
        let input = match &procedural {
            Some(Procedural { kept: Kept::Voxels(voxels), .. }) => {
                let [x, y, z] = network.window().default_size();
                voxels.check(x * y * z)?;
                vec![1, network.in_channels(), x, y, z]
            }
            Some(_) => serde_json::from_value(json(metadata("shapes")?, "shapes")?["input"].clone())
                .map_err(|e| fault(format!("shapes.input: {e}")))?,
            None => tensors.get("input").ok_or_else(|| fault("no tensor 'input'"))?.shape.to_vec(),
        };
        let values = input.iter().try_fold(1usize, |n: usize, &d| n.checked_mul(d));
        if input.len() != 5 || !values.is_some_and(|n| (1..=MAX_VALUES).contains(&n)) {
            return Err(fault(format!("the input's shape {input:?} is no batch of windows")));
        }
        let activation = tensors.metadata().get("activation").cloned();
        let activation = activation.or_else(|| config["activation"].as_str().map(str::to_owned));
        Ok(Self { network, sigmoid: activation.as_deref() == Some("sigmoid"), input, procedural, tensors })
    }

    /// The network.
    pub fn network(&self) -> &Architecture {
        &self.network
    }

    /// Whether the loss is of regions.
    pub fn sigmoid(&self) -> bool {
        self.sigmoid
    }

    /// Windows in the batch.
    pub fn batch(&self) -> usize {
        self.input.first().copied().unwrap_or(0)
    }

    /// Voxels of a window.
    pub fn window(&self) -> [usize; 3] {
        match self.input[..] {
            [_, _, x, y, z] => [x, y, z],
            _ => [0; 3],
        }
    }

    /// Whether there are values of this name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.get(name).is_some()
    }

    /// Names that begin so, in order.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        let mut names: Vec<String> =
            self.tensors.iter().map(|t| t.name.to_owned()).filter(|name| name.starts_with(prefix)).collect();
        names.sort();
        names
    }

    /// The values of a parameter.
    ///
    /// # Errors
    /// There is none of this name and shape.
    pub fn weight(&self, info: &TensorInfo) -> Result<Vec<f32>, InferError> {
        let Some(procedural) = &self.procedural else {
            return self.values(&format!("weight.{}", info.name), &info.shape);
        };
        // A weight with several names got the values of the last one when the state dict was loaded.
        let names = [vec![info.name.clone()], self.network.copies(&info.name)].concat();
        let (name, (shape, lo, hi)) = names
            .iter()
            .rev()
            .find_map(|name| Some((name, procedural.parameters.get(name)?)))
            .ok_or_else(|| fault(format!("no parameter '{}' in its metadata", info.name)))?;
        self.same(&info.name, shape, &info.shape)?;
        let values = draw(name, info.shape.elements(), procedural.seed, (*lo, *hi));
        Ok(values.map(|v| v as f32).collect())
    }

    /// The windows.
    ///
    /// # Errors
    /// They are of another shape.
    pub fn input(&self, shape: &Shape) -> Result<Vec<f32>, InferError> {
        self.same("input", &self.input, shape)?;
        match &self.procedural {
            Some(p) => Ok(draw("input", shape.elements(), p.seed, (-1.0, 1.0)).map(|v| v as f32).collect()),
            None => self.values("input", shape),
        }
    }

    /// What the loss compares with.
    ///
    /// # Errors
    /// It is missing or of another shape.
    pub fn label(&self, shape: &Shape) -> Result<Vec<f32>, InferError> {
        let Some(p) = &self.procedural else {
            return self.values("label", shape);
        };
        let classes = self.network.out_channels() as f64;
        let label = |v: f64| {
            // As it is stored: rounded to single precision.
            let v = f64::from(v as f32);
            if self.sigmoid { f32::from(v >= 0.5) } else { (v * classes).floor() as f32 }
        };
        Ok(draw("label", shape.elements(), p.seed, (0.0, 1.0)).map(label).collect())
    }

    /// The error of what the network gave for `name`, of this shape.
    ///
    /// # Errors
    /// The file has other values of this name than such a tensor's.
    pub fn compare(&self, name: &str, shape: &Shape, got: &[f32]) -> Result<StageError, InferError> {
        let view = self.tensors.get(name).ok_or_else(|| fault(format!("no tensor '{name}'")))?;
        let want = view.to_f64();
        let pick = |at: usize| got.get(at).map_or(f64::NAN, |v| f64::from(*v));
        let got: Vec<f64> = match &self.procedural {
            Some(Procedural { kept: Kept::Samples(most), seed, .. }) => {
                // The logits of training are sampled where those of evaluation are.
                let place = name.strip_prefix("train.").unwrap_or(name);
                samples(place, got.len(), *seed, *most).map(pick).collect()
            }
            Some(Procedural { kept: Kept::Voxels(voxels), .. }) => voxels.places(got.len()).map(pick).collect(),
            None => {
                self.same(name, view.shape, shape)?;
                got.iter().map(|v| f64::from(*v)).collect()
            }
        };
        if want.len() != got.len() {
            return Err(fault(format!("{name} has {} values, the network gives {}", want.len(), got.len())));
        }
        Ok(StageError::of(name, &want, &got))
    }

    /// The errors of what the file tells of all logits.
    ///
    /// # Errors
    /// It is of another form than the logits.
    pub fn statistics(&self, logits: &[f32]) -> Result<Vec<StageError>, InferError> {
        match &self.procedural {
            Some(Procedural { kept: Kept::Voxels(voxels), .. }) => voxels.statistics(&self.tensors, logits),
            _ => Ok(Vec::new()),
        }
    }

    /// The loss, if the file has it.
    ///
    /// # Errors
    /// It is not one number.
    pub fn loss(&self) -> Result<f64, InferError> {
        match self.tensors.get("loss").map(|t| t.to_f64()).as_deref() {
            Some([loss]) => Ok(*loss),
            Some(_) => Err(fault("'loss' is not one number")),
            None => Err(fault("no tensor 'loss'")),
        }
    }

    /// How far a gradient may be from the reference: relative to its length, and to that of all together.
    pub fn gradient_tolerance(&self) -> (f64, f64) {
        if self.procedural.is_some() { (self.network.gradient_tolerance(), 1e-6) } else { (1e-4, 1e-7) }
    }

    /// Length of a gradient of the reference.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn gradient_length(&self, parameter: &str) -> Result<f64, InferError> {
        let values = self.gradient(parameter)?;
        Ok(match &self.procedural {
            Some(_) => values[0],
            None => values.iter().map(|v| v * v).sum::<f64>().sqrt(),
        })
    }

    /// How far a gradient is from the reference. From projections, the largest of what they, the length and the sum tell.
    ///
    /// # Errors
    /// There is none of this name and size.
    pub fn distance(&self, parameter: &str, got: &[f32]) -> Result<Distance, InferError> {
        let want = self.gradient(parameter)?;
        let Some(p) = &self.procedural else {
            if want.len() != got.len() {
                return Err(fault(format!(
                    "grad.{parameter} has {} values, the network gives {}",
                    want.len(),
                    got.len()
                )));
            }
            let square: f64 = got.iter().zip(&want).map(|(g, w)| (f64::from(*g) - w).powi(2)).sum();
            let length = want.iter().map(|v| v * v).sum::<f64>().sqrt();
            return Ok(Distance { error: square.sqrt(), length });
        };
        let made = projections(parameter, got, p.seed);
        let differences: Vec<f64> = made.iter().zip(&want).map(|(m, w)| m - w).collect();
        let mean = differences[2..].iter().map(|d| d * d).sum::<f64>() / PROJECTIONS as f64;
        // The sum of E differences is as large as their length times √E if all have one sign.
        let sum = differences[1].abs() / (got.len().max(1) as f64).sqrt();
        let error = [mean.sqrt(), differences[0].abs(), sum]
            .into_iter()
            .fold(0.0f64, |m, e| if e.is_nan() || m.is_nan() { f64::NAN } else { m.max(e) });
        Ok(Distance { error, length: want[0] })
    }

    fn gradient(&self, parameter: &str) -> Result<Vec<f64>, InferError> {
        let name = format!("grad.{parameter}");
        let values = self.tensors.get(&name).ok_or_else(|| fault(format!("no tensor '{name}'")))?.to_f64();
        if self.procedural.is_some() && values.len() != 2 + PROJECTIONS {
            return Err(fault(format!("{name} has {} values, not {}", values.len(), 2 + PROJECTIONS)));
        }
        Ok(values)
    }

    fn values(&self, name: &str, shape: &Shape) -> Result<Vec<f32>, InferError> {
        let view = self.tensors.get(name).ok_or_else(|| fault(format!("no tensor '{name}'")))?;
        self.same(name, view.shape, shape)?;
        Ok(view.to_f32())
    }

    fn same(&self, name: &str, found: &[usize], wanted: &Shape) -> Result<(), InferError> {
        if found == wanted.dims() {
            return Ok(());
        }
        Err(fault(format!("{name} has shape {}, the network needs {wanted}", Shape::new(found))))
    }
}

fn json(text: &str, what: &str) -> Result<Value, InferError> {
    serde_json::from_str(text).map_err(|e| fault(format!("{what}: {e}")))
}

fn samples_stored(text: Option<&String>) -> Result<usize, InferError> {
    match text.map(|text| text.parse()) {
        None => Ok(SAMPLES),
        Some(Ok(count)) if count > 0 => Ok(count),
        Some(_) => Err(fault("samples in its metadata is no positive number")),
    }
}

fn procedural(seed: &str, kept: Kept, parameters: &str, network: &Architecture) -> Result<Procedural, InferError> {
    let seed = seed.parse().map_err(|_| fault(format!("seed {seed:?} is no number")))?;
    let parameters: BTreeMap<String, (Vec<usize>, f64, f64)> =
        serde_json::from_str(parameters).map_err(|e| fault(format!("parameters: {e}")))?;
    let copies: HashSet<String> = network.parameters().iter().flat_map(|p| network.copies(&p.name)).collect();
    for (name, (_, lo, hi)) in &parameters {
        let counter = name.ends_with(".num_batches_tracked");
        if !counter && network.parameter(name).is_none() && !network.is_unused(name) && !copies.contains(name) {
            return Err(fault(format!("the network has no parameter '{name}'")));
        }
        if !(lo.is_finite() && hi.is_finite() && lo <= hi) {
            return Err(fault(format!("parameter '{name}' is to be drawn from {lo} to {hi}")));
        }
    }
    Ok(Procedural { seed, kept, parameters })
}

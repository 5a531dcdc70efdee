//! The weights a run starts from: drawn anew, or taken from another model where they fit.

use crate::model::{UnetrConfig, parameter_count, parameters};
use crate::train::{Part, TrainError, TrainingPlan, initial};
use crate::weights::{Metadata, Package};

/// What became of each tensor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Started {
    /// Taken from the other model.
    pub taken: usize,
    /// Numbers in them.
    pub values: usize,
    /// Drawn anew, with the reason where another model was given.
    pub anew: Vec<(String, String)>,
}

/// Writes the first weights; the moments start as zeros, the average as the weights.
///
/// With `from`, every tensor of the same name and shape is taken from it: another number of classes remakes the output
/// layer alone, another number of channels the first layers, another window the position table.
///
/// # Errors
/// `from` has another number of heads, which shapes do not show; less than half of the network's numbers could be taken from `from`, or the device failed.
pub fn start(
    plan: &TrainingPlan,
    config: &UnetrConfig,
    seed: u64,
    from: Option<&Package>,
) -> Result<Started, TrainError> {
    let mut started = Started::default();
    let other = from.map(|package| &package.metadata().network);
    if let (Some(package), Some(other)) = (from, other.filter(|other| other.num_heads != config.num_heads)) {
        let (model, theirs, ours) = (package.metadata().name.clone(), other.num_heads, config.num_heads);
        return Err(TrainError::OtherHeads { model, theirs, ours });
    }
    // Another grid may have as many tokens.
    let moved = other.filter(|other| other.img_size != config.img_size).map(|other| other.img_size);
    for spec in parameters(config) {
        let found = from.map(|package| match package.tensors().get(&spec.name) {
            Some(_) if spec.name.ends_with("position_embeddings") && moved.is_some() => {
                Err(format!("the window is {:?} there and {:?} here", moved.unwrap_or_default(), config.img_size))
            }
            Some(tensor) if tensor.shape == spec.shape => Ok(tensor.to_f32()),
            Some(tensor) => Err(format!("it is {:?} there and {:?} here", tensor.shape, spec.shape)),
            None => Err("it is not there".to_owned()),
        });
        let values = match found {
            Some(Ok(values)) => {
                started.taken += 1;
                started.values += values.len();
                values
            }
            other => {
                let reason = other.and_then(Result::err).unwrap_or_default();
                started.anew.push((spec.name.clone(), reason));
                initial(config, &spec, seed)
            }
        };
        plan.write(Part::Weight, &spec.name, &values)?;
        if plan.has(Part::Average, &spec.name) {
            plan.write(Part::Average, &spec.name, &values)?;
        }
    }
    match from {
        // A bias that fits by chance makes no other model this one.
        Some(package) if 2 * started.values < parameter_count(config) => {
            Err(TrainError::NothingFits { model: package.metadata().name.clone(), hidden: config.hidden_size })
        }
        _ => Ok(started),
    }
}

/// Where a model's input is another than the recipe's: its weights have learnt from other values.
pub fn doubts(from: &Metadata, recipe: &Metadata) -> Vec<String> {
    let (a, b) = (&from.input, &recipe.input);
    let fields = [
        ("channels", format!("{:?}", a.channels), format!("{:?}", b.channels)),
        ("orientation", format!("{:?}", a.orientation), format!("{:?}", b.orientation)),
        ("spacing", format!("{:?}", a.spacing), format!("{:?}", b.spacing)),
        ("intensity", format!("{:?}", a.intensity), format!("{:?}", b.intensity)),
    ];
    let differing = fields.into_iter().filter(|(_, a, b)| a != b);
    let text = |(field, a, b)| {
        format!("input.{field} of the model '{}' is {a}, of the recipe {b}: its weights know other values", from.name)
    };
    differing.map(text).collect()
}

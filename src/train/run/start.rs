//! The weights a run starts from: drawn anew, or taken from another model where they fit.

use crate::nets::{Architecture, Kind};
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
/// `from` has another number of heads, say, which shapes do not show; less than half of the network's numbers could be taken from `from`, or the device failed.
pub fn start(
    plan: &TrainingPlan,
    network: &Architecture,
    seed: u64,
    from: Option<&Package>,
) -> Result<Started, TrainError> {
    let mut started = Started::default();
    let other = from.map(|package| &package.metadata().network);
    if let (Some(package), Some(other)) = (from, other) {
        let theirs = other.unshaped();
        let differs = |(name, ours): &(&'static str, usize)| theirs.iter().any(|(n, v)| n == name && v != ours);
        if let Some((field, ours)) = network.unshaped().into_iter().find(differs) {
            let theirs = theirs.iter().find(|(n, _)| *n == field).map_or(0, |(_, v)| *v);
            return Err(TrainError::OtherMeaning { model: package.metadata().name.clone(), field, theirs, ours });
        }
    }
    // Another grid may have as many places.
    let here = network.window().default_size();
    let moved = other.map(|other| other.window().default_size()).filter(|there| *there != here);
    for parameter in network.parameters() {
        let found = from.map(|package| match (package.tensors().get(&parameter.name), moved) {
            (Some(_), Some(there)) if parameter.kind == Kind::Position => {
                Err(format!("the window is {there:?} there and {here:?} here"))
            }
            (Some(tensor), _) if tensor.shape == parameter.shape => Ok(tensor.to_f32()),
            (Some(tensor), _) => Err(format!("it is {:?} there and {:?} here", tensor.shape, parameter.shape)),
            (None, _) => Err("it is not there".to_owned()),
        });
        let values = match found {
            Some(Ok(values)) => {
                started.taken += 1;
                started.values += values.len();
                values
            }
            other => {
                let reason = other.and_then(Result::err).unwrap_or_default();
                started.anew.push((parameter.name.clone(), reason));
                initial(parameter, seed)
            }
        };
        plan.write(Part::Weight, &parameter.name, &values)?;
        if plan.has(Part::Average, &parameter.name) {
            plan.write(Part::Average, &parameter.name, &values)?;
        }
    }
    match from {
        // A bias that fits by chance makes no other model this one.
        Some(package) if 2 * started.values < network.parameter_count() => Err(TrainError::NothingFits {
            model: package.metadata().name.clone(),
            theirs: package.metadata().network.to_string(),
            ours: network.to_string(),
        }),
        _ => Ok(started),
    }
}

/// Where a model's input is another than the recipe's: its weights have learnt from other values.
pub fn doubts(from: &Metadata, recipe: &Metadata) -> Vec<String> {
    let (a, b) = (&from.input, &recipe.input);
    let fields = [
        ("channels", format!("{:?}", a.channels), format!("{:?}", b.channels)),
        ("steps", format!("{:?}", a.preprocess.steps), format!("{:?}", b.preprocess.steps)),
    ];
    let differing = fields.into_iter().filter(|(_, a, b)| a != b);
    let text = |(field, a, b)| {
        format!("input.{field} of the model '{}' is {a}, of the recipe {b}: its weights know other values", from.name)
    };
    differing.map(text).collect()
}

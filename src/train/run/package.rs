//! The package that a run makes: the averaged weights where there is an average, and what is known of the training.

use serde_json::{Map, Value, json};

use crate::train::{Part, Recipe, TrainError, TrainingPlan};
use crate::weights::TensorsBuilder;
use crate::weights::package::{Package, TrainedOn};

/// A package of the weights as they are now.
///
/// # Errors
/// The device failed, or a weight is beyond the range of the recipe's `run.dtype`.
pub(super) async fn package(
    plan: &TrainingPlan,
    recipe: &Recipe,
    training: Map<String, Value>,
    trained_on: Option<&TrainedOn>,
) -> Result<Package, TrainError> {
    let mut tensors = TensorsBuilder::new();
    for spec in recipe.metadata.network.parameters() {
        let part = if plan.has(Part::Average, &spec.name) { Part::Average } else { Part::Weight };
        let values = plan.read(part, &spec.name).await?;
        tensors.push_f32(&spec.name, &spec.shape, &values, recipe.run.dtype)?;
    }
    let mut metadata = recipe.metadata.clone();
    metadata.training = training;
    metadata.trained_on = trained_on.cloned();
    Ok(Package::build(&metadata, tensors)?)
}

/// What the package says of its training before it is judged.
pub(super) fn provenance(recipe: &Recipe, data: &str, cases: [usize; 2], adapter: &str) -> Map<String, Value> {
    let mut map = Map::new();
    let mut recipe = recipe.to_json();
    if let Some(object) = recipe.as_object_mut() {
        // These stand in the package itself.
        for key in ["name", "version", "licence", "citation", "network", "input", "output", "inference"] {
            object.remove(key);
        }
    }
    map.insert("tool".into(), json!(format!("unetr {}", env!("CARGO_PKG_VERSION"))));
    map.insert("adapter".into(), json!(adapter));
    map.insert("data".into(), json!({"name": data, "training_cases": cases[0], "validation_cases": cases[1]}));
    map.insert("recipe".into(), recipe);
    map
}

//! Several models that differ in their weights alone as one, whose logits are the mean of theirs.

use serde_json::{Map, Value, json};

use super::super::error::{WeightsError, quoted};
use super::super::safetensors::TensorsBuilder;
use super::{Metadata, Package, fold_tensor};

impl Package {
    /// One model of several, each with its name for messages. Its folds are numbered in their order, those of one model one
    /// after the other; what a model is and was trained by are the first one's, the others' training is kept as
    /// `training.members`.
    ///
    /// # Errors
    /// No model, or one whose network, input, output or inference is not that of the first.
    pub fn ensemble(models: &[(String, Self)]) -> Result<Self, WeightsError> {
        let Some(((first_name, first), others)) = models.split_first() else {
            return Err(WeightsError::header("an ensemble needs a model"));
        };
        for (name, model) in others {
            if let Some(section) = first.metadata.unlike(&model.metadata) {
                let problem =
                    format!("its {section} is not that of {first_name}: no mean of their logits has a meaning");
                return Err(WeightsError::File { path: name.clone(), problem });
            }
        }
        let mut tensors = TensorsBuilder::new();
        let mut folds = 0;
        for (_, model) in models {
            for set in 0..model.folds() {
                for spec in model.metadata.network.parameters() {
                    let lacking =
                        || WeightsError::MissingTensor { name: quoted(&spec.name), shape: spec.shape.clone() };
                    let own = model.weight(set, &spec.name).ok_or_else(lacking)?;
                    let shared = first.tensors.get(&spec.name).filter(|_| folds > 0);
                    if shared.is_some_and(|shared| shared.dtype == own.dtype && shared.bytes == own.bytes) {
                        continue;
                    }
                    let name = if folds == 0 { spec.name.clone() } else { fold_tensor(&folds.to_string(), &spec.name) };
                    tensors.push(&name, own.dtype, own.shape, own.bytes)?;
                }
                folds += 1;
            }
        }
        let mut metadata = first.metadata.clone();
        if folds > 1 {
            metadata.folds = (0..folds).map(|fold| fold.to_string()).collect();
        }
        if models.len() > 1 {
            let members: Vec<&Map<String, Value>> = models.iter().map(|(_, model)| &model.metadata.training).collect();
            metadata.training = Map::from_iter([("members".to_owned(), json!(members))]);
        }
        Self::build(&metadata, tensors)
    }
}

impl Metadata {
    /// The first section of two models that tells them apart, beside their weights.
    fn unlike(&self, other: &Self) -> Option<&'static str> {
        let sections = [
            ("network", json!(self.network) == json!(other.network)),
            ("input", self.input == other.input),
            ("output", self.output == other.output),
            ("inference", self.inference == other.inference),
        ];
        sections.into_iter().find(|(_, equal)| !equal).map(|(section, _)| section)
    }
}

//! What a checkpoint says besides its weights.

use serde_json::{Map, Value};

use super::super::super::error::WeightsError;
use super::super::plain::Plain;
use super::{PLANS, field};

/// What the names of nnU-Net's own trainers are made of, behind `nnUNetTrainer`: they leave the plans' network as it is, or put
/// batch norms into it.
const WORDS: [&str; 34] = [
    "Benchmark",
    "noDataLoading",
    "onlyMirror01",
    "NoMirroring",
    "DA5Segord0",
    "DA5ord0",
    "DA5",
    "DASegOrd0",
    "DAOrd0",
    "NoDA",
    "noDummy2DDA",
    "CELoss",
    "DiceCELoss",
    "DiceLoss",
    "noSmooth",
    "Topk10LossLS01",
    "Topk10Loss",
    "DiceTopK10Loss",
    "CosAnneal",
    "warmup",
    "BN",
    "NoDeepSupervision",
    "VanillaAdam",
    "Adam",
    "Adan",
    "1en3",
    "3en4",
    "1en1",
    "probabilisticOversampling",
    "033",
    "010",
    "epochs",
    "epoch",
    "ep",
];

/// Whether a trainer is one of nnU-Net's own, by its name.
fn is_own(trainer: &str) -> bool {
    let Some(mut rest) = trainer.strip_prefix("nnUNetTrainer") else {
        return false;
    };
    while !rest.is_empty() {
        let plain = rest.trim_start_matches('_');
        let word = WORDS.iter().find_map(|word| plain.strip_prefix(word));
        let next = word.unwrap_or_else(|| plain.trim_start_matches(|c: char| c.is_ascii_digit()));
        if next.len() == rest.len() {
            return false;
        }
        rest = next;
    }
    true
}

/// Facts of a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Checkpoint {
    pub trainer: String,
    /// The configuration's name, `3d_fullres`.
    pub configuration: String,
    /// Axes that it may be mirrored along.
    pub mirror_axes: Vec<usize>,
    plans_name: Option<String>,
    dataset_name: Option<String>,
}

impl Checkpoint {
    /// # Errors
    /// It is no checkpoint of nnU-Net v2.
    pub fn read(root: &Plain, path: &str) -> Result<Self, WeightsError> {
        let bad = |problem: &str| WeightsError::file(path, problem);
        if root.get("network_weights").is_none() {
            let v1 = root.get("state_dict").is_some() && root.get("plot_stuff").is_some();
            return Err(bad(match v1 {
                true => "it is a checkpoint of nnU-Net v1; those of v2 are imported",
                false => "it has no network_weights: no checkpoint of nnU-Net v2",
            }));
        }
        let arguments = root.get("init_args");
        let text = |value: Option<&Plain>| value.and_then(Plain::text).map(str::to_owned);
        let configuration = text(arguments.and_then(|a| a.get("configuration")));
        let configuration =
            configuration.ok_or_else(|| bad("it does not say its configuration (init_args.configuration)"))?;
        let trainer =
            text(root.get("trainer_name")).ok_or_else(|| bad("it does not say its trainer (trainer_name)"))?;
        let mirror_axes = match root.get("inference_allowed_mirroring_axes") {
            None | Some(Plain::Null) => Vec::new(),
            Some(Plain::List(axes)) => {
                let axis = |axis: &Plain| match axis {
                    Plain::Int(axis @ 0..=2) => Ok(*axis as usize),
                    other => {
                        Err(bad(&format!("inference_allowed_mirroring_axes holds {other:?}: 0, 1 and 2 are axes")))
                    }
                };
                axes.iter().map(axis).collect::<Result<_, _>>()?
            }
            Some(_) => return Err(bad("inference_allowed_mirroring_axes is no list of axes")),
        };
        let plans = arguments.and_then(|a| a.get("plans"));
        Ok(Self {
            trainer,
            configuration,
            mirror_axes,
            plans_name: text(plans.and_then(|p| p.get("plans_name"))),
            dataset_name: text(plans.and_then(|p| p.get("dataset_name"))),
        })
    }

    /// # Errors
    /// This checkpoint is of another model than the first.
    pub fn check_same(&self, first: &Self, path: &str) -> Result<(), WeightsError> {
        let pairs =
            [("configuration", &self.configuration, &first.configuration), ("trainer", &self.trainer, &first.trainer)];
        match pairs.into_iter().find(|(_, own, other)| own != other) {
            None => Ok(()),
            Some((what, own, other)) => {
                let problem = format!(
                    "its {what} is {own}, that of the first fold {other}: they are no folds of one model; the option `folds` takes some of them"
                );
                Err(WeightsError::file(path, problem))
            }
        }
    }

    /// # Errors
    /// The checkpoint was made with other plans than those of the folder.
    pub fn check_plans(&self, plans: &Map<String, Value>, warnings: &mut Vec<String>) -> Result<(), WeightsError> {
        let named = |key: &str| plans.get(key).and_then(Value::as_str);
        for (key, own) in [("dataset_name", &self.dataset_name), ("plans_name", &self.plans_name)] {
            if let (Some(own), Some(other)) = (own.as_deref(), named(key))
                && own != other
            {
                let problem = format!(
                    "it is {other:?}, and the checkpoint was made with {own:?}: these are not its plans; take {PLANS} and dataset.json from \
                     the folder that it was trained in"
                );
                return Err(field(PLANS, key, problem));
            }
        }
        if self.dataset_name.is_none() {
            warnings
                .push(format!("the checkpoint does not say which plans it was made with; {PLANS} is taken for them"));
        }
        Ok(())
    }

    /// What may be another network than the plans say.
    pub fn doubts(&self) -> Option<String> {
        (!is_own(&self.trainer)).then(|| {
            format!("{} is none of nnU-Net's own trainers; its network is taken to be that of the plans", self.trainer)
        })
    }

    /// `trainer, configuration`.
    pub fn made_by(&self) -> String {
        let plans = self.plans_name.as_deref().unwrap_or("nnUNetPlans");
        format!("{}__{plans}__{}", self.trainer, self.configuration)
    }

    /// An error of the weights, with what it may come from.
    pub fn explain(&self, error: WeightsError) -> WeightsError {
        match error {
            WeightsError::MissingTensor { .. }
            | WeightsError::UnexpectedTensor { .. }
            | WeightsError::WrongShape { .. }
            | WeightsError::OtherNetwork { .. } => {
                let problem = format!(
                    "the weights do not fit the network of {PLANS} and dataset.json ({error}): another trainer's network, or a \
                     checkpoint of another plan? It was made by {}",
                    self.made_by()
                );
                WeightsError::file("", problem)
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_own;

    #[test]
    fn trainers_are_known_by_their_names() {
        for own in [
            "nnUNetTrainer",
            "nnUNetTrainer_250epochs_NoMirroring",
            "nnUNetTrainerDA5_10epochs",
            "nnUNetTrainerBN",
            "nnUNetTrainer_onlyMirror01_1500ep",
            "nnUNetTrainerAdanCosAnneal",
            "nnUNetTrainer_4000epochs",
        ] {
            assert!(is_own(own), "{own}");
        }
        for other in ["nnUNetTrainerUMambaBot", "MyTrainer", "nnUNetTrainerPrimus", "nnUNetTrainer_MedNeXt"] {
            assert!(!is_own(other), "{other}");
        }
    }
}

//! The names under which TensorBoard shows a run's numbers.

use super::records::{StepRecord, ValidationRecord};
use super::tensorboard::Shown;

type Values<'a> = Vec<(String, Shown<'a>)>;

/// `loss`, `learning_rate`, `gradient_norm`, `cases_per_second`, and the loss's parts where known.
pub(super) fn of_step(record: &StepRecord) -> Values<'static> {
    let always = [
        ("loss", Some(record.loss)),
        ("dice_loss", record.dice_loss),
        ("cross_entropy", record.cross_entropy),
        ("learning_rate", Some(record.learning_rate)),
        ("gradient_norm", Some(record.gradient_norm)),
        ("cases_per_second", Some(record.cases_per_second)),
    ];
    always.into_iter().filter_map(|(tag, value)| Some((tag.to_owned(), Shown::Scalar(value?)))).collect()
}

/// `validation/mean_dice`, and `validation/dice/CLASS` and `validation/hd95/CLASS` of each class.
pub(super) fn of_validation(record: &ValidationRecord) -> Values<'static> {
    let mut values = vec![("validation/mean_dice".to_owned(), Shown::Scalar(record.mean_dice))];
    for class in &record.classes {
        values.push((format!("validation/dice/{}", class.name), Shown::Scalar(class.dice.mean)));
        if let Some(hd95) = class.hd95 {
            values.push((format!("validation/hd95/{}", class.name), Shown::Scalar(hd95.mean)));
        }
    }
    values
}

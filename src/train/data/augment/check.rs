//! Checks of the recipe's numbers.

use crate::train::data::error::DataError;

/// # Errors
/// `prob` is no probability.
pub(super) fn prob(field: &str, prob: f64) -> Result<(), DataError> {
    if (0.0..=1.0).contains(&prob) {
        return Ok(());
    }
    Err(DataError::recipe(format!("{field}.prob"), prob, "a probability from 0 to 1 is needed"))
}

/// # Errors
/// `value` is not between `low` and `high`, both allowed.
pub(super) fn within(field: String, value: f64, low: f64, high: f64) -> Result<(), DataError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(DataError::recipe(field, value, format!("a number from {low} to {high} is needed")))
}

/// # Errors
/// As [`within`], for each of `values`.
pub(super) fn each_within(field: &str, values: &[f64], low: f64, high: f64) -> Result<(), DataError> {
    values.iter().enumerate().try_for_each(|(at, &value)| within(format!("{field}[{at}]"), value, low, high))
}

/// # Errors
/// As [`each_within`], or the first of the two is the larger.
pub(super) fn range(field: &str, range: [f64; 2], low: f64, high: f64) -> Result<(), DataError> {
    each_within(field, &range, low, high)?;
    if range[0] > range[1] {
        return Err(DataError::recipe(field, format!("{range:?}"), "the smaller number comes first"));
    }
    Ok(())
}

//! Cases that the dataset sorts into folds: MONAI's datalists by `fold`, nnU-Net's by `splits_final.json`.

use std::collections::BTreeSet;

use super::{Dataset, DatasetError};

impl Dataset {
    /// The folds that its training cases have.
    #[must_use]
    pub fn folds(&self) -> BTreeSet<u32> {
        self.training.iter().filter_map(|case| case.fold).collect()
    }

    /// The same cases with one fold to judge by and the others to train on.
    ///
    /// # Errors
    /// There are no folds, or not this one; a case without a fold; a validation list beside the folds.
    pub fn with_fold(mut self, fold: u32) -> Result<Self, DatasetError> {
        let bad = |problem: String| Err(DatasetError::Fold { fold, problem });
        let folds = self.folds();
        if folds.is_empty() {
            let problem =
                "the cases have no folds: give each a key \"fold\", or lay nnU-Net's splits_final.json beside";
            return bad(problem.into());
        }
        if !self.validation.is_empty() {
            return bad(format!(
                "the dataset has a validation list of {} cases beside its folds: remove one of the two",
                self.validation.len()
            ));
        }
        if let Some(case) = self.training.iter().find(|case| case.fold.is_none()) {
            return bad(format!("the case {} is in no fold, or in several", case.name));
        }
        if !folds.contains(&fold) {
            let list = folds.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
            return bad(format!("there is no such fold; there are {list}"));
        }
        (self.validation, self.training) = self.training.into_iter().partition(|case| case.fold == Some(fold));
        Ok(self)
    }
}

//! Which cases show the same person: the rule by which a split keeps them together.
//!
//! ```toml
//! subject = { pattern = "sub-{}_*" }                 # sub-017_ses-2_T1w  ->  017
//! subject = { pattern = "patients/{}/*" }            # with a slash, the image's path is matched from its end
//! subject = { pattern = "hippocampus_{}", group = 2 } # numbers 1 and 2 are one person, 3 and 4 the next
//! ```
//! `{}` stands for the part of the name that tells the subject, `*` for anything; both as little as possible. Without a
//! pattern every case is a subject of its own.

use serde::{Deserialize, Serialize};

use super::error::DataError;
use crate::dataset::{Case, stem};

/// `[data] subject`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SubjectRule {
    /// What a case's name looks like, `{}` being the subject.
    pub pattern: String,
    /// How many consecutive numbers belong to one subject; above 1, `{}` has to be a number.
    pub group: u64,
    /// The number the first group begins with.
    pub first: u64,
}

impl Default for SubjectRule {
    fn default() -> Self {
        Self { pattern: "{}".into(), group: 1, first: 1 }
    }
}

impl SubjectRule {
    pub(super) fn validate(&self) -> Result<(), DataError> {
        if self.pattern.matches("{}").count() != 1 {
            let problem = "exactly one {} is needed, where the subject stands";
            return Err(DataError::recipe("data.subject.pattern", format!("{:?}", self.pattern), problem));
        }
        if self.group == 0 {
            return Err(DataError::recipe("data.subject.group", 0, "a number of at least 1 is needed"));
        }
        Ok(())
    }

    /// The subject of a case.
    ///
    /// # Errors
    /// The case's name does not look like the pattern, or is not numbered where numbers are grouped.
    pub fn of(&self, case: &Case) -> Result<String, DataError> {
        if let Some(subject) = &case.subject {
            return Ok(subject.clone());
        }
        self.validate()?;
        let Some(found) = self.find(case) else {
            let problem =
                format!("the case {} does not look like it; {{}} stands for the subject, * for anything", case.name);
            return Err(DataError::recipe("data.subject.pattern", format!("{:?}", self.pattern), problem));
        };
        if self.group == 1 {
            return Ok(found);
        }
        let number: Option<u64> = found.parse().ok();
        let Some(at) = number.and_then(|number| number.checked_sub(self.first)) else {
            let problem = format!(
                "numbers from {} on can be grouped, and {found:?} of the case {} is none",
                self.first, case.name
            );
            return Err(DataError::recipe("data.subject.group", self.group, problem));
        };
        Ok(format!("group {}", at / self.group))
    }

    /// The part of the case's name (or path) where the pattern has `{}`.
    fn find(&self, case: &Case) -> Option<String> {
        let depth = self.pattern.matches('/').count();
        if depth == 0 && self.pattern == "{}" {
            return Some(case.name.clone());
        }
        let image = case.images.first()?;
        let folders: Vec<_> = image.parent()?.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let mut parts = folders.get(folders.len().checked_sub(depth)?..)?.to_vec();
        parts.push(stem(image));
        let (before, after) = self.pattern.split_once("{}")?;
        capture(&parts.join("/"), before, after).filter(|found| !found.is_empty())
    }
}

/// The shortest text between what matches `before` at the start and `after` up to the end.
fn capture(text: &str, before: &str, after: &str) -> Option<String> {
    let bounds: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    for (n, &start) in bounds.iter().enumerate() {
        if !matches(text.get(..start)?, before) {
            continue;
        }
        // Not empty: a subject without a name would join unrelated cases.
        for &end in bounds.get(n + 1..).unwrap_or_default() {
            if matches(text.get(end..)?, after) {
                return text.get(start..end).map(str::to_owned);
            }
        }
    }
    None
}

/// Whether all of `text` looks like `pattern`, `*` standing for anything.
fn matches(text: &str, pattern: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else {
        return rest.is_empty();
    };
    for piece in pieces {
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

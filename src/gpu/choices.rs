//! Kernel variants that measurement found best on an adapter.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Variants by op and shapes, `linear 216x768 768x768:f16 768`. A number that a kernel does not have means its last variant, so
/// an old list can slow a network down but not break it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Choices(BTreeMap<String, usize>);

impl Choices {
    /// The variant of an op and its shapes, if one was chosen.
    pub fn get(&self, key: &str) -> Option<usize> {
        self.0.get(key).copied()
    }

    /// Chooses a variant.
    pub fn insert(&mut self, key: String, variant: usize) {
        self.0.insert(key, variant);
    }

    /// Forgets a choice.
    pub fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, usize)> {
        self.0.iter().map(|(key, &variant)| (key.as_str(), variant))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was chosen.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

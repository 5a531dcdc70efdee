//! Random numbers that depend on nothing but what they are for.
//!
//! A generator is keyed by SHA-256 of a purpose and whole numbers, and is ChaCha with 8 rounds: no order of calls or
//! threads can change what a sample gets, and the numbers are the same on every platform.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// The generator for one purpose.
pub type Rng = ChaCha8Rng;

/// The generator keyed by `purpose` and `numbers`.
#[must_use]
pub fn keyed(purpose: &str, numbers: &[u64]) -> Rng {
    let mut hash = Sha256::new();
    hash.update((purpose.len() as u64).to_le_bytes());
    hash.update(purpose.as_bytes());
    for number in numbers {
        hash.update(number.to_le_bytes());
    }
    Rng::from_seed(hash.finalize().into())
}

/// Uniform in `[low, high)`; `low` where both are equal.
pub(super) fn uniform(rng: &mut Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

/// Whether something of probability `prob` happens; draws one number in any case.
pub(super) fn happens(rng: &mut Rng, prob: f64) -> bool {
    rng.random::<f64>() < prob
}

/// Uniform among `0..n`; 0 if `n` is 0.
pub(super) fn below(rng: &mut Rng, n: u64) -> u64 {
    if n == 0 { 0 } else { rng.random_range(0..n) }
}

/// A random order of `0..n` (Fisher and Yates).
#[must_use]
pub fn permutation(rng: &mut Rng, n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        let other = below(rng, last as u64 + 1) as usize;
        order.swap(last, other);
    }
    order
}

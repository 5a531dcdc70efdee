//! Where a network in training drops values, as MONAI's `UNETR(dropout_rate=...)`: after the position table, on the attention
//! weights, after the attention's projection, after GELU and after the MLP's second layer; and where its own arguments say so. A
//! network that segments has none.

use crate::graph::{Graph, GraphError, TensorId};
use crate::kernels::dropout::Mask;
use crate::kernels::lazy::Lazy;

/// How much is dropped, and by which random numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DropoutOptions {
    /// Share of the values at each of a transformer's places, in [0, 1); what a network's arguments say is apart from it.
    pub rate: f32,
    /// Another seed, other values.
    pub seed: u64,
}

/// The places of a network in the order they run; each has random numbers of its own.
pub(in crate::nets) struct Sites {
    options: Option<DropoutOptions>,
    step: Option<TensorId>,
    count: u64,
}

impl Sites {
    /// `step` is an input `(1)`; it is added only where something is dropped: by `options`, or because the network `drops`.
    pub fn new(g: &mut Graph, options: Option<DropoutOptions>, drops: bool) -> Self {
        let options = options.filter(|o| o.rate != 0.0 || drops);
        let step = options.map(|_| g.input("dropout.step", [1]));
        Self { options, step, count: 0 }
    }

    pub fn step(&self) -> Option<TensorId> {
        self.step
    }

    /// What the next place of a transformer drops.
    pub fn next(&mut self) -> Option<(Mask, TensorId)> {
        let rate = self.options.map(|o| o.rate).filter(|rate| *rate != 0.0)?;
        self.at(rate)
    }

    /// What the next place drops at the rate that the network's arguments say, or, where that is none, as [`Sites::next`].
    pub fn next_or(&mut self, own: f64) -> Option<(Mask, TensorId)> {
        if own > 0.0 { self.at(own as f32) } else { self.next() }
    }

    /// What the next place drops, at a rate that the network's arguments say.
    pub fn at(&mut self, rate: f32) -> Option<(Mask, TensorId)> {
        let (options, step) = self.options.zip(self.step).filter(|_| rate != 0.0)?;
        self.count += 1;
        Some((Mask { rate, seed: mixed(options.seed, self.count) }, step))
    }

    /// `x` with some values dropped.
    pub fn drop(&mut self, g: &mut Graph, name: &str, x: TensorId) -> Result<TensorId, GraphError> {
        match self.next() {
            Some((mask, step)) => g.dropout(name, x, step, mask, None),
            None => Ok(x),
        }
    }

    /// `x` with some values dropped at the rate that the network's arguments say.
    pub fn drop_at(&mut self, g: &mut Graph, name: &str, x: TensorId, rate: f32) -> Result<TensorId, GraphError> {
        match self.at(rate) {
            Some((mask, step)) => g.dropout(name, x, step, mask, None),
            None => Ok(x),
        }
    }

    /// `value` stored, with some of its values dropped at the rate that the network's arguments say; `None` where none are.
    pub fn drop_value(
        &mut self,
        g: &mut Graph,
        name: &str,
        value: &Lazy,
        rate: f32,
    ) -> Result<Option<TensorId>, GraphError> {
        let Some((mask, step)) = self.at(rate).filter(|_| rate > 0.0) else { return Ok(None) };
        let x = g.store(name, value)?;
        g.dropout(name, x, step, mask, None).map(Some)
    }

    /// `x (N, C, X, Y, Z)` with whole channels dropped at the rate that the network's arguments say.
    pub fn drop_channels(&mut self, g: &mut Graph, name: &str, x: TensorId, rate: f32) -> Result<TensorId, GraphError> {
        match self.at(rate) {
            Some((mask, step)) => g.dropout_channels(name, x, step, mask),
            None => Ok(x),
        }
    }
}

/// The upper half of the `count`-th number of splitmix64 (Steele et al., OOPSLA 2014).
fn mixed(seed: u64, count: u64) -> u32 {
    let mut z = seed.wrapping_add(count.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_place_and_run_has_a_seed_of_its_own() {
        // splitmix64's first number for seed 0 is e220a8397b1dcdaf.
        assert_eq!(mixed(0, 1), 0xe220_a839);
        let seeds: BTreeSet<u32> = (0..20).flat_map(|run| (1..50).map(move |place| mixed(run, place))).collect();
        assert_eq!(seeds.len(), 20 * 49);
    }
}

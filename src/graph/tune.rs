//! Measured choice of kernel variants: no table fits every GPU, and one run of a network in each variant takes seconds.
//!
//! The result depends on the adapter and its driver; whoever keeps it files it under their names. It is plain JSON, and a
//! number that a kernel does not have means its last variant, so an old file can slow a network down but not break it.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::kernel::{Dispatch, Io, VARIANTS};
use super::plan::{Plan, PlanError, PlanOptions, Residents};
use super::{DType, Graph};
use crate::gpu::Gpu;

/// Variants by op and shapes, `linear 216x768 768x768:f16 768`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Choices(BTreeMap<String, usize>);

impl Choices {
    /// What a choice depends on besides the adapter.
    pub fn key(op: &str, io: &Io) -> String {
        let mut key = op.to_owned();
        for input in &io.inputs {
            let dims: Vec<String> = input.shape.dims().iter().map(usize::to_string).collect();
            let dtype = if input.dtype == DType::F16 { ":f16" } else { "" };
            // Writing to a string cannot fail.
            let _ = write!(key, " {}{dtype}", dims.join("x"));
        }
        key
    }

    /// The variant for this op and these shapes, if one was chosen.
    pub fn get(&self, op: &str, io: &Io) -> Option<usize> {
        if self.0.is_empty() { None } else { self.0.get(&Self::key(op, io)).copied() }
    }

    /// Chooses a variant.
    pub fn insert(&mut self, key: String, variant: usize) {
        self.0.insert(key, variant);
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, usize)> {
        self.0.iter().map(|(key, &variant)| (key.as_str(), variant))
    }
}

/// Time of all nodes of one op and shape.
#[derive(Clone, Debug, PartialEq)]
pub struct TunedOp {
    /// As in [`Choices`].
    pub key: String,
    /// How many nodes there are.
    pub nodes: usize,
    /// Billions of operations of all of them.
    pub gflop: f64,
    /// Milliseconds of all of them, as chosen by kind of adapter and shape.
    pub default_ms: f64,
    /// Milliseconds in each variant.
    pub variants_ms: Vec<f64>,
}

impl TunedOp {
    /// The fastest variant, unless the default is about as fast.
    pub fn choice(&self) -> Option<usize> {
        const WORTH_IT: f64 = 0.97;
        let (variant, ms) = self.variants_ms.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1))?;
        (*ms < WORTH_IT * self.default_ms).then_some(variant)
    }
}

/// The variants that are faster than the default.
pub fn choices(measured: &[TunedOp]) -> Choices {
    let chosen = measured.iter().filter_map(|op| Some((op.key.clone(), op.choice()?)));
    Choices(chosen.collect())
}

/// Runs the graph in each variant of its kernels and times the nodes; empty where the device has no timestamps. Inputs
/// are as they are: zeros take as long as a scan.
///
/// # Errors
/// What [`Plan::new`] and [`Plan::profile`] say.
pub async fn tune(gpu: &Gpu, graph: &Graph, residents: &mut Residents) -> Result<Vec<TunedOp>, PlanError> {
    let mut measured: Vec<TunedOp> = Vec::new();
    // What each node does by default, and how long it takes.
    let mut default: Vec<(Vec<Dispatch>, f64)> = Vec::new();
    for variant in std::iter::once(None).chain((0..VARIANTS).map(Some)) {
        let plan = Plan::new(gpu, graph, &PlanOptions { variant, ..PlanOptions::default() }, residents).await?;
        let Some(times) = plan.node_times(3).await? else {
            return Ok(Vec::new());
        };
        for (index, ((node, io), ms)) in plan.nodes().iter().zip(plan.ios()).zip(times).enumerate() {
            let key = Choices::key(node.op, io);
            let at = measured.iter().position(|op| op.key == key).unwrap_or_else(|| {
                let variants_ms = vec![0.0; VARIANTS];
                measured.push(TunedOp { key, nodes: 0, gflop: 0.0, default_ms: 0.0, variants_ms });
                measured.len() - 1
            });
            let op = &mut measured[at];
            let work: Vec<Dispatch> = plan.dispatches(index).cloned().collect();
            match (variant, default.get(index)) {
                // The default once more: a difference would be noise.
                (Some(variant), Some((same, ms))) if *same == work => op.variants_ms[variant] += ms,
                (Some(variant), _) => op.variants_ms[variant] += ms,
                (None, _) => {
                    default.push((work, ms));
                    op.nodes += 1;
                    op.gflop += node.cost.flops * 1e-9;
                    op.default_ms += ms;
                }
            }
        }
    }
    Ok(measured)
}

impl Plan {
    /// Milliseconds of each node, the best of `runs` runs after one that compiles and allocates; `None` where the device has
    /// no timestamps.
    ///
    /// # Errors
    /// What [`Plan::profile`] says.
    pub async fn node_times(&self, runs: usize) -> Result<Option<Vec<f64>>, PlanError> {
        let mut best = vec![f64::INFINITY; self.nodes().len()];
        for run in 0..=runs.max(1) {
            let Some(times) = self.profile().await? else {
                return Ok(None);
            };
            let mut own = vec![0.0; best.len()];
            for (node, time) in self.step_nodes().zip(&times) {
                own[node] += time.milliseconds;
            }
            if run > 0 {
                best.iter_mut().zip(own).for_each(|(best, ms)| *best = best.min(ms));
            }
        }
        Ok(Some(best))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_must_be_worth_it() {
        let op = |default_ms, variants_ms: &[f64]| TunedOp {
            key: "op 1".to_owned(),
            nodes: 1,
            gflop: 1.0,
            default_ms,
            variants_ms: variants_ms.to_vec(),
        };
        assert_eq!(op(1.0, &[2.0, 1.0, 0.99]).choice(), None, "a hundredth may be noise");
        let measured = [op(1.0, &[2.0, 1.0, 0.5])];
        assert_eq!(measured[0].choice(), Some(2));
        let chosen = choices(&measured);
        let json = serde_json::to_string(&chosen).expect("plain data");
        assert_eq!(json, r#"{"op 1":2}"#);
        assert_eq!(serde_json::from_str::<Choices>(&json).expect("what was written"), chosen);
    }
}

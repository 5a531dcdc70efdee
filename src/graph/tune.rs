//! Measured choice of kernel variants: no table fits every GPU. Each distinct op and shape of a graph is timed once, alone, in
//! every variant that works differently.
//!
//! The result depends on the adapter and its driver; whoever keeps it files it under their names.

use std::fmt::Write;

use super::kernel::{Dispatch, Io};
use super::plan::{Plan, PlanError, PlanOptions};
use super::residents::Residents;
use super::{DType, Graph, Node, Role, TensorId};
use crate::gpu::{Choices, Gpu};

/// What a choice depends on besides the adapter: op, and shape and storage of its arguments.
pub fn choice_key(op: &str, io: &Io) -> String {
    let mut key = op.to_owned();
    for input in &io.inputs {
        let dims: Vec<String> = input.shape.dims().iter().map(usize::to_string).collect();
        let dtype = if input.dtype == DType::F16 { ":f16" } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(key, " {}{dtype}", dims.join("x"));
    }
    key
}

/// Times of one op and shape.
#[derive(Clone, Debug, PartialEq)]
pub struct TunedOp {
    /// As in [`Choices`].
    pub key: String,
    /// How many nodes of the graph have it.
    pub nodes: usize,
    /// Billions of operations of one.
    pub gflop: f64,
    /// Milliseconds of one, as chosen by kind of adapter and shape.
    pub default_ms: f64,
    /// Milliseconds in each variant; those that do the same work as an earlier one, or the default, have its time.
    pub variants_ms: Vec<f64>,
}

impl TunedOp {
    /// The fastest variant, unless the default is about as fast.
    pub fn choice(&self) -> Option<usize> {
        const WORTH_IT: f64 = 0.97;
        let (variant, ms) = self.variants_ms.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1))?;
        (*ms < WORTH_IT * self.default_ms).then_some(variant)
    }

    /// Milliseconds with the choice.
    pub fn best_ms(&self) -> f64 {
        self.choice().map_or(self.default_ms, |variant| self.variants_ms[variant])
    }
}

/// The variants that are faster than the default.
pub fn choices(measured: &[TunedOp]) -> Choices {
    let mut choices = Choices::default();
    for op in measured {
        if let Some(variant) = op.choice() {
            choices.insert(op.key.clone(), variant);
        }
    }
    choices
}

impl Graph {
    /// The first node of each op and shape that has variants, as (key, node, nodes like it).
    fn distinct(&self) -> Vec<(String, usize, usize)> {
        let mut found: Vec<(String, usize, usize)> = Vec::new();
        for (index, node) in self.nodes().iter().enumerate().filter(|(_, n)| n.kernel.variants() > 1) {
            let key = choice_key(node.kernel.name(), &self.io(node));
            match found.iter_mut().find(|f| f.0 == key) {
                Some(same) => same.2 += 1,
                None => found.push((key, index, 1)),
            }
        }
        found
    }

    /// One node in a graph of its own: its arguments are inputs.
    fn alone(&self, index: usize) -> Self {
        let Node { name, kernel, inputs, outputs } = &self.nodes()[index];
        let mut graph = Self::new();
        let copy = |graph: &mut Self, id: &TensorId, role| {
            let info = self.tensor(*id);
            graph.add_tensor(info.name.clone(), info.shape.clone(), role, info.layout, info.dtype)
        };
        let inputs = inputs.iter().map(|id| copy(&mut graph, id, Role::Input)).collect();
        let outputs: Vec<TensorId> = outputs.iter().map(|id| copy(&mut graph, id, Role::Intermediate)).collect();
        outputs.iter().for_each(|&id| graph.output(id));
        graph.nodes.push(Node { name: name.clone(), kernel: kernel.clone(), inputs, outputs });
        graph
    }
}

/// Times each distinct op and shape of the graph in every variant. Inputs are zeros, which take as long as a scan.
/// `progress(done, all)` is called after each op.
///
/// # Errors
/// What [`Plan::new`] and [`Plan::profile`] say.
pub async fn tune(gpu: &Gpu, graph: &Graph, progress: &mut dyn FnMut(usize, usize)) -> Result<Vec<TunedOp>, PlanError> {
    // A choice made earlier would pass for the default.
    let gpu = gpu.clone().tuned(Choices::default());
    let distinct = graph.distinct();
    let mut measured = Vec::with_capacity(distinct.len());
    for (done, (key, node, nodes)) in distinct.iter().enumerate() {
        let own = graph.alone(*node);
        let mut seen: Vec<(Vec<Dispatch>, f64)> = Vec::new();
        let mut times = Vec::new();
        let mut gflop = 0.0;
        let variants = graph.nodes()[*node].kernel.variants();
        for variant in std::iter::once(None).chain((0..variants).map(Some)) {
            let options = PlanOptions { variant, ..PlanOptions::default() };
            let plan = Plan::new(&gpu, &own, &options, &mut Residents::default()).await?;
            let work: Vec<Dispatch> = plan.dispatches(0).cloned().collect();
            gflop = plan.nodes()[0].cost.flops * 1e-9;
            let ms = match seen.iter().find(|s| s.0 == work) {
                Some(same) => same.1,
                None => {
                    let best = seen.iter().map(|s| s.1).fold(f64::INFINITY, f64::min);
                    let ms = plan.milliseconds(best).await?;
                    seen.push((work, ms));
                    ms
                }
            };
            times.push(ms);
        }
        let default_ms = times.remove(0);
        measured.push(TunedOp { key: key.clone(), nodes: *nodes, gflop, default_ms, variants_ms: times });
        progress(done + 1, distinct.len());
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

    /// Milliseconds of a run: by timestamps, or by the clock over several runs where the device has none. The best of three after
    /// one that compiles and allocates; one alone if that takes more than twice as long as `best`.
    async fn milliseconds(&self, best: f64) -> Result<f64, PlanError> {
        let mut fastest = f64::INFINITY;
        self.timed().await?;
        for _ in 0..3 {
            fastest = fastest.min(self.timed().await?);
            if fastest > 2.0 * best {
                break;
            }
        }
        Ok(fastest)
    }

    async fn timed(&self) -> Result<f64, PlanError> {
        if let Some(times) = self.profile().await? {
            return Ok(times.iter().map(|t| t.milliseconds).sum());
        }
        const RUNS: u32 = 8;
        let start = std::time::Instant::now();
        for _ in 0..RUNS {
            self.run()?;
        }
        self.finish().await?;
        Ok(start.elapsed().as_secs_f64() * 1e3 / f64::from(RUNS))
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
        assert_eq!((measured[0].choice(), measured[0].best_ms()), (Some(2), 0.5));
        let chosen = choices(&measured);
        let json = serde_json::to_string(&chosen).expect("plain data");
        assert_eq!(json, r#"{"op 1":2}"#);
        assert_eq!(serde_json::from_str::<Choices>(&json).expect("what was written"), chosen);
    }
}

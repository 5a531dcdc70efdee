//! Training on a device: forward, loss, backward and optimiser as plans, with the states that a run is made of.
//!
//! With one batch to a step all is one plan. With several, a plan for each batch adds its gradients up, and a second one,
//! which shares weights and sums with the first, makes the step.

use std::collections::BTreeMap;

use super::graphs::Graphs;
use super::{Optimizer, Rates, StepSpec, TrainError, TrainingGraph, Updated};
use crate::gpu::Gpu;
use crate::graph::{Graph, MemoryReport, Plan, PlanOptions, Residents, TensorId};
use crate::nets::Architecture;
use crate::tensor::Shape;

/// The tensors that belong to one parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    Weight,
    /// Mean of its gradients.
    M,
    /// Mean of their squares.
    V,
    /// Moving average of the weight.
    Average,
}

/// What a step gave.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepOutcome {
    /// The loss, before the step; the mean over its batches.
    pub loss: f32,
    /// Its Dice term, without its factor.
    pub dice: f32,
    /// Its cross entropy, without its factor.
    pub cross_entropy: f32,
    /// Length of all gradients together, before clipping.
    pub gradient_norm: f32,
    /// Whether every gradient was finite; if not, nothing has changed.
    pub finite: bool,
}

/// One batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchRef<'a> {
    /// `(N, C, X, Y, Z)`.
    pub input: &'a [f32],
    /// As [`TrainingGraph::label`].
    pub label: &'a [f32],
}

/// The second plan, where a step has several batches.
struct Update {
    graph: Graph,
    plan: Plan,
    batches: usize,
}

/// A network in training.
pub struct TrainingPlan {
    graph: TrainingGraph,
    plan: Plan,
    optimizer: Optimizer,
    by_name: BTreeMap<String, Updated>,
    weights: BTreeMap<String, TensorId>,
    update: Option<Update>,
}

impl TrainingPlan {
    /// Allocates and compiles everything; weights are written afterwards.
    ///
    /// # Errors
    /// [`TrainError`] if the network cannot be built or has no place on the device.
    pub async fn new(gpu: &Gpu, network: &Architecture, spec: &StepSpec<'_>) -> Result<Self, TrainError> {
        let Graphs { step: graph, update, optimizer } = Graphs::new(network, spec)?;
        let mut shared = Residents::default();
        let plan_options = PlanOptions::default();
        let plan = Plan::new(gpu, &graph.graph, &plan_options, &mut shared).await?;
        let update = match update {
            Some(second) => {
                let plan = Plan::new(gpu, &second, &plan_options, &mut shared).await?;
                Some(Update { graph: second, plan, batches: spec.accumulate })
            }
            None => None,
        };
        if let Some(tensor) = graph.class_weights {
            plan.write(tensor, spec.class_weights)?;
        }
        let updating = update.as_ref().map_or(&graph.graph, |u| &u.graph);
        let name = |u: &Updated| updating.tensor(u.parameter).name.clone();
        let by_name = optimizer.parameters.iter().map(|u| (name(u), *u)).collect();
        let weights = graph.graph.parameters().map(|(id, info)| (info.name.clone(), id)).collect();
        Ok(Self { graph, plan, optimizer, by_name, weights, update })
    }

    /// GPU memory by purpose; what both plans share is counted once.
    pub fn memory(&self) -> MemoryReport {
        let mut all = self.plan.memory().clone();
        if let Some(update) = &self.update {
            let second = update.plan.memory();
            // Sums of gradients are states of both plans, of the size of the weights that are trained.
            all.states += second.states.saturating_sub(second.weights);
            all.inputs += second.inputs;
            all.activations += second.activations;
            all.uniforms += second.uniforms;
            all.activations_unshared += second.activations_unshared;
            all.largest = all.largest.max(second.largest);
        }
        all
    }

    /// Name and shape of every parameter, in the order the layers run.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &Shape)> {
        self.graph.graph.parameters().map(|(_, info)| (info.name.as_str(), &info.shape))
    }

    /// Whether a parameter has this part: frozen ones have only a weight, averages are an option.
    pub fn has(&self, part: Part, name: &str) -> bool {
        self.place(part, name).is_some()
    }

    /// Where a tensor lives.
    fn place(&self, part: Part, name: &str) -> Option<(&Plan, TensorId)> {
        if part == Part::Weight {
            return self.weights.get(name).map(|id| (&self.plan, *id));
        }
        let updated = self.by_name.get(name)?;
        let id = match part {
            Part::Weight | Part::M => updated.m,
            Part::V => updated.v,
            Part::Average => updated.average?,
        };
        Some((self.updating(), id))
    }

    fn updating(&self) -> &Plan {
        self.update.as_ref().map_or(&self.plan, |u| &u.plan)
    }

    fn known(&self, part: Part, name: &str) -> Result<(&Plan, TensorId), TrainError> {
        self.place(part, name).ok_or_else(|| TrainError::NoTensor { part, name: name.to_owned() })
    }

    /// Writes values in natural order.
    ///
    /// # Errors
    /// There is no such tensor, or the number of values is wrong.
    pub fn write(&self, part: Part, name: &str, values: &[f32]) -> Result<(), TrainError> {
        let (plan, id) = self.known(part, name)?;
        Ok(plan.write(id, values)?)
    }

    /// Reads values in natural order.
    ///
    /// # Errors
    /// There is no such tensor, or the device failed.
    pub async fn read(&self, part: Part, name: &str) -> Result<Vec<f32>, TrainError> {
        let (plan, id) = self.known(part, name)?;
        Ok(plan.read(id).await?)
    }

    /// Step `t`, counted from 1, on as many batches as [`StepSpec::accumulate`] says.
    ///
    /// # Errors
    /// [`TrainError`] if sizes do not fit or the device failed.
    pub async fn step(&self, batches: &[BatchRef<'_>], rates: &Rates, t: u32) -> Result<StepOutcome, TrainError> {
        self.updating().write(self.optimizer.rates, &rates.at(t))?;
        let mut stepped = StepOutcome::default();
        let share = 1.0 / batches.len().max(1) as f32;
        for (i, batch) in batches.iter().enumerate() {
            self.write_batch(batch, i, t)?;
            self.plan.run()?;
            stepped.loss += share * self.scalar(&self.plan, self.graph.loss, 0).await?;
            stepped.dice += share * self.scalar(&self.plan, self.graph.loss_parts, 0).await?;
            stepped.cross_entropy += share * self.scalar(&self.plan, self.graph.loss_parts, 1).await?;
        }
        if let Some(update) = &self.update {
            update.plan.run()?;
        }
        stepped.gradient_norm = self.scalar(self.updating(), self.optimizer.clip, 0).await?;
        stepped.finite = self.scalar(self.updating(), self.optimizer.clip, 2).await? == 1.0;
        Ok(stepped)
    }

    fn write_batch(&self, batch: &BatchRef<'_>, index: usize, t: u32) -> Result<(), TrainError> {
        self.plan.write(self.graph.input, batch.input)?;
        self.plan.write(self.graph.label, batch.label)?;
        let batches = self.update.as_ref().map_or(1, |u| u.batches);
        if let Some(first) = self.graph.first {
            self.plan.write(first, &[if index == 0 { 1.0 } else { 0.0 }])?;
        }
        if let Some(step) = self.graph.dropout_step {
            // Every batch drops other values. Below 2^24, which f32 holds exactly.
            self.plan.write(step, &[(t as usize * batches + index) as f32])?;
        }
        Ok(())
    }

    async fn scalar(&self, plan: &Plan, tensor: TensorId, index: usize) -> Result<f32, TrainError> {
        Ok(plan.read(tensor).await?.get(index).copied().unwrap_or(f32::NAN))
    }

    /// What was not finite in the step that was made last, with these batches, and that changed nothing: the first node
    /// that gave such a value, or the parameters whose gradients did.
    ///
    /// # Errors
    /// The device failed.
    pub async fn not_finite(&self, batches: &[BatchRef<'_>], t: u32) -> Result<String, TrainError> {
        for (i, batch) in batches.iter().enumerate() {
            self.write_batch(batch, i, t)?;
            if let Some(found) = self.plan.first_not_finite(&self.graph.graph).await? {
                return Ok(found.to_string());
            }
        }
        let graph = self.update.as_ref().map_or(&self.graph.graph, |u| &u.graph);
        let sums = self.updating().read(self.optimizer.square_sums).await?;
        Ok(format!("the gradient of {} is not finite", self.optimizer.not_finite(graph, &sums).join(", ")))
    }
}

//! Reverse-mode differentiation, graph to graph: the chain rule walks the nodes backwards and lets every op add the nodes
//! of its own gradient. Tensors that a gradient needs stay alive because later nodes use them.

use std::collections::HashMap;

use super::add::Add;
use super::recompute::Recomputation;
use super::{Applied, DType, Graph, GraphError, NodeKernel, Role, TensorId, TensorInfo};

/// Most terms that one `add` node takes.
const TERMS: usize = 4;

/// The gradients of a graph's parameters, and of what else was asked for.
#[derive(Clone, Debug, Default)]
pub struct Gradients(HashMap<TensorId, TensorId>);

impl Gradients {
    /// Gradients that were made elsewhere, as (tensor, gradient).
    pub fn from_pairs(pairs: impl IntoIterator<Item = (TensorId, TensorId)>) -> Self {
        Self(pairs.into_iter().collect())
    }

    /// The gradient of a tensor; `None` if nothing differentiated depends on it.
    pub fn of(&self, tensor: TensorId) -> Option<TensorId> {
        self.0.get(&tensor).copied()
    }

    /// (tensor, gradient), in the order the tensors were added.
    pub fn pairs(&self) -> Vec<(TensorId, TensorId)> {
        let mut pairs: Vec<_> = self.0.iter().map(|(p, g)| (*p, *g)).collect();
        pairs.sort_unstable();
        pairs
    }
}

/// What is done with a gradient as soon as it is complete.
pub type EachGradient<'a> = &'a mut dyn FnMut(&mut Graph, TensorId, TensorId) -> Result<(), GraphError>;

/// The gradients gathered so far, by the tensor they belong to.
type Terms = HashMap<TensorId, Vec<TensorId>>;

impl Graph {
    /// Parameters of these names get no gradient, and what would only serve one is not computed.
    pub fn freeze(&mut self, frozen: impl Fn(&str) -> bool) {
        let ids: Vec<TensorId> = self.parameters().filter(|(_, t)| frozen(&t.name)).map(|(id, _)| id).collect();
        self.frozen.extend(ids);
    }

    /// Adds the nodes that compute the gradient of `Σ seed · tensor` over all `seeds` with respect to every parameter that
    /// is not frozen, and to the inputs `also`.
    ///
    /// # Errors
    /// [`GraphError`] that names the node if a gradient would have to pass through one that is not differentiable, or the
    /// parameter if its weights are stored in 16 bits.
    pub fn backward(&mut self, seeds: &[(TensorId, TensorId)], also: &[TensorId]) -> Result<Gradients, GraphError> {
        self.backward_each(seeds, also, &mut |_, _, _| Ok(()))
    }

    /// [`Graph::backward`], where `each` may use a gradient as soon as it is complete: `each(graph, tensor, gradient)`. What
    /// is consumed there need not stay in memory until all are complete.
    ///
    /// # Errors
    /// As [`Graph::backward`], and what `each` returns.
    pub fn backward_each(
        &mut self,
        seeds: &[(TensorId, TensorId)],
        also: &[TensorId],
        each: EachGradient<'_>,
    ) -> Result<Gradients, GraphError> {
        let varies = self.varying(also)?;
        let mut terms = Terms::new();
        for &(tensor, seed) in seeds {
            if self.shape(tensor) != self.shape(seed) {
                let reason = format!("its gradient {} has another shape than {}", self.shape(seed), self.shape(tensor));
                return Err(GraphError { node: self.tensor(tensor).name.clone(), reason });
            }
            terms.entry(tensor).or_default().push(seed);
        }
        let forward = self.nodes.len();
        let mut complete = self.completed_by(also);
        let mut again = Recomputation::default();
        let mut gradients = Gradients::default();
        for index in (0..forward).rev() {
            self.enter_segment(index, forward, &mut again)?;
            let node = &self.nodes[index];
            let needs: Vec<bool> = node.inputs.iter().map(|i| varies[i.index()]).collect();
            if node.outputs.iter().any(|o| terms.contains_key(o)) && needs.contains(&true) {
                self.through(index, needs, &again, &mut terms)?;
            }
            for tensor in complete.remove(&index).unwrap_or_default() {
                let name = format!("{}.grad", self.tensor(tensor).name);
                if let Some(gradient) = self.collect(&name, tensor, &mut terms)? {
                    self.check_gradient(tensor, gradient)?;
                    gradients.0.insert(tensor, gradient);
                    each(self, tensor, gradient)?;
                }
            }
        }
        self.drop_unused(&again);
        Ok(gradients)
    }

    /// The parameters with gradients and the inputs `also`, by the node after which theirs are complete: the first that
    /// uses them.
    fn completed_by(&self, also: &[TensorId]) -> HashMap<usize, Vec<TensorId>> {
        let wanted = self.parameters().map(|(id, _)| id).filter(|id| !self.frozen.contains(id));
        let mut complete: HashMap<usize, Vec<TensorId>> = HashMap::new();
        for tensor in wanted.chain(also.iter().copied()) {
            if let Some(first) = self.nodes.iter().position(|n| n.inputs.contains(&tensor)) {
                complete.entry(first).or_default().push(tensor);
            }
        }
        complete
    }

    /// For every tensor, whether it depends on a parameter or on one of `also`.
    fn varying(&self, also: &[TensorId]) -> Result<Vec<bool>, GraphError> {
        let trained = |(id, t): (TensorId, &TensorInfo)| t.role == Role::Parameter && !self.frozen.contains(&id);
        let mut varies: Vec<bool> = self.tensors().map(trained).collect();
        also.iter().for_each(|id| varies[id.index()] = true);
        if let Some(half) = self.tensors.iter().find(|t| t.role == Role::Parameter && t.dtype == DType::F16) {
            let reason = "gradients need weights stored in 32 bits".to_owned();
            return Err(GraphError { node: half.name.clone(), reason });
        }
        for node in &self.nodes {
            let any = node.inputs.iter().any(|i| varies[i.index()]);
            for output in node.outputs.iter().filter(|_| any) {
                varies[output.index()] = true;
            }
        }
        Ok(varies)
    }

    /// Adds the gradients of a node's arguments, from those of its results.
    fn through(
        &mut self,
        index: usize,
        needs: Vec<bool>,
        again: &Recomputation,
        terms: &mut Terms,
    ) -> Result<(), GraphError> {
        let node = &self.nodes[index];
        let (name, inputs, outputs) = (node.name.clone(), node.inputs.clone(), node.outputs.clone());
        let NodeKernel::Op(op) = node.kernel.clone() else {
            let reason =
                format!("a gradient would have to pass through '{}', which is not differentiable", node.kernel.name());
            return Err(GraphError { node: name, reason });
        };
        let path = format!("{name}.backward");
        // Paths of nodes are absolute here, whatever scope the caller is in.
        let outer = std::mem::replace(&mut self.scope, vec![path.clone()]);
        let applied = Applied { inputs: again.all(&inputs), outputs: again.all(&outputs), needs };
        let made = self.gradients_of(op.as_ref(), &applied, &outputs, terms);
        self.scope = outer;
        let made = made.map_err(|e| if e.node.is_empty() { GraphError { node: path, ..e } } else { e })?;
        for ((input, gradient), needed) in inputs.into_iter().zip(made).zip(applied.needs) {
            if let (Some(gradient), true) = (gradient, needed) {
                terms.entry(input).or_default().push(gradient);
            }
        }
        Ok(())
    }

    fn gradients_of(
        &mut self,
        op: &dyn super::Op,
        applied: &Applied,
        outputs: &[TensorId],
        terms: &mut Terms,
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        let mut dy = Vec::new();
        for (i, &output) in outputs.iter().enumerate() {
            dy.push(self.collect(&format!("sum.{i}"), output, terms)?);
        }
        op.backward(self, applied, &dy)
    }

    /// The sum of what has been gathered for a tensor.
    fn collect(&mut self, name: &str, tensor: TensorId, terms: &mut Terms) -> Result<Option<TensorId>, GraphError> {
        let terms = terms.remove(&tensor).unwrap_or_default();
        self.total(name, terms)
    }

    /// The sum of tensors of one shape; `None` of none. Gradients do not pass through it.
    ///
    /// # Errors
    /// [`GraphError`] if their shapes differ.
    pub fn total(&mut self, name: &str, mut terms: Vec<TensorId>) -> Result<Option<TensorId>, GraphError> {
        while terms.len() > 1 {
            let first: Vec<TensorId> = terms.drain(..terms.len().min(TERMS)).collect();
            let layout = self.tensor(first[0]).layout;
            let sum = self.add_one(name, Add { terms: first.len(), layout }, &first)?;
            terms.insert(0, sum);
        }
        Ok(terms.pop())
    }

    fn check_gradient(&self, parameter: TensorId, gradient: TensorId) -> Result<(), GraphError> {
        let (p, d) = (self.tensor(parameter), self.tensor(gradient));
        if p.shape == d.shape && p.layout == d.layout {
            return Ok(());
        }
        let reason = format!("its gradient is {} {:?}, the parameter {} {:?}", d.shape, d.layout, p.shape, p.layout);
        Err(GraphError { node: p.name.clone(), reason })
    }
}

//! Reverse-mode differentiation, graph to graph: the chain rule walks the nodes backwards and lets every op add the nodes
//! of its own gradient. Tensors that a gradient needs stay alive because later nodes use them.

use std::collections::HashMap;

use super::add::Add;
use super::{Applied, DType, Graph, GraphError, Role, TensorId, Work};

/// Most terms that one `add` node takes.
const TERMS: usize = 4;

/// The gradients of a graph's parameters, and of what else was asked for.
#[derive(Clone, Debug, Default)]
pub struct Gradients(HashMap<TensorId, TensorId>);

impl Gradients {
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

impl Graph {
    /// Adds the nodes that compute the gradient of `Σ seed · tensor` over all `seeds` with respect to every parameter,
    /// and to the inputs `also`.
    ///
    /// # Errors
    /// [`GraphError`] that names the node if a gradient would have to pass through one that is not differentiable, or the
    /// parameter if its weights are stored in 16 bits.
    pub fn backward(&mut self, seeds: &[(TensorId, TensorId)], also: &[TensorId]) -> Result<Gradients, GraphError> {
        let varies = self.varying(also)?;
        let mut terms: HashMap<TensorId, Vec<TensorId>> = HashMap::new();
        for &(tensor, seed) in seeds {
            if self.shape(tensor) != self.shape(seed) {
                let reason = format!("its gradient {} has another shape than {}", self.shape(seed), self.shape(tensor));
                return Err(GraphError { node: self.tensor(tensor).name.clone(), reason });
            }
            terms.entry(tensor).or_default().push(seed);
        }
        for index in (0..self.nodes.len()).rev() {
            let node = &self.nodes[index];
            let applied = Applied {
                inputs: node.inputs.clone(),
                outputs: node.outputs.clone(),
                needs: node.inputs.iter().map(|i| varies[i.index()]).collect(),
            };
            let reached = applied.outputs.iter().any(|o| terms.contains_key(o));
            if !reached || !applied.needs.contains(&true) {
                continue;
            }
            let (name, work) = (node.name.clone(), node.kernel.clone());
            self.through(&name, &work, &applied, &mut terms)?;
        }
        let parameters: Vec<TensorId> = self.parameters().map(|(id, _)| id).chain(also.iter().copied()).collect();
        let mut gradients = Gradients::default();
        for parameter in parameters {
            let name = format!("{}.grad", self.tensor(parameter).name);
            if let Some(gradient) = self.collect(&name, parameter, &mut terms)? {
                self.check_gradient(parameter, gradient)?;
                gradients.0.insert(parameter, gradient);
            }
        }
        Ok(gradients)
    }

    /// For every tensor, whether it depends on a parameter or on one of `also`.
    fn varying(&self, also: &[TensorId]) -> Result<Vec<bool>, GraphError> {
        let mut varies: Vec<bool> = self.tensors.iter().map(|t| t.role == Role::Parameter).collect();
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

    fn through(
        &mut self,
        name: &str,
        work: &Work,
        applied: &Applied,
        terms: &mut HashMap<TensorId, Vec<TensorId>>,
    ) -> Result<(), GraphError> {
        let Work::Op(op) = work else {
            let reason =
                format!("a gradient would have to pass through '{}', which is not differentiable", work.name());
            return Err(GraphError { node: name.to_owned(), reason });
        };
        let path = format!("{name}.backward");
        // Paths of nodes are absolute here, whatever scope the caller is in.
        let outer = std::mem::replace(&mut self.scope, vec![path.clone()]);
        let made = self.gradients_of(op.as_ref(), applied, terms);
        self.scope = outer;
        let made = made.map_err(|e| if e.node.is_empty() { GraphError { node: path, ..e } } else { e })?;
        for ((&input, gradient), &needed) in applied.inputs.iter().zip(made).zip(&applied.needs) {
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
        terms: &mut HashMap<TensorId, Vec<TensorId>>,
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        let mut dy = Vec::new();
        for (i, &output) in applied.outputs.iter().enumerate() {
            dy.push(self.collect(&format!("sum.{i}"), output, terms)?);
        }
        op.backward(self, applied, &dy)
    }

    /// The sum of what has been gathered for a tensor.
    fn collect(
        &mut self,
        name: &str,
        tensor: TensorId,
        terms: &mut HashMap<TensorId, Vec<TensorId>>,
    ) -> Result<Option<TensorId>, GraphError> {
        let mut rest = terms.remove(&tensor).unwrap_or_default();
        while rest.len() > 1 {
            let first: Vec<TensorId> = rest.drain(..rest.len().min(TERMS)).collect();
            let layout = self.tensor(first[0]).layout;
            let sum = self.add_one(name, Add { terms: first.len(), layout }, &first)?;
            rest.insert(0, sum);
        }
        Ok(rest.pop())
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

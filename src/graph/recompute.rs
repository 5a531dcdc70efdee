//! Gradient checkpointing: what a segment of the forward pass leaves in memory for the backward pass is dropped, and computed
//! again from the segment's arguments when the backward pass gets there. The same kernels on the same values give the same
//! bits. Source: Chen et al., arXiv 1604.06174.

use std::collections::HashMap;

use super::{Graph, GraphError, Node, Role, TensorId};

/// The tensors that were computed again, and the nodes that do it.
#[derive(Debug, Default)]
pub(super) struct Recomputation {
    tensors: HashMap<TensorId, TensorId>,
    nodes: Vec<usize>,
}

impl Recomputation {
    /// The tensor that holds the value now.
    pub(super) fn of(&self, tensor: TensorId) -> TensorId {
        self.tensors.get(&tensor).copied().unwrap_or(tensor)
    }

    pub(super) fn all(&self, tensors: &[TensorId]) -> Vec<TensorId> {
        tensors.iter().map(|t| self.of(*t)).collect()
    }
}

impl Graph {
    /// Ops of this graph keep only what the gradients of other segments need: see [`Graph::segment`].
    pub fn recomputing(mut self, recompute: bool) -> Self {
        self.recompute = recompute;
        self
    }

    /// If the walk from last to first comes to the end of a segment: adds its nodes once more, on new tensors. What later
    /// forward nodes use is in memory anyway.
    pub(super) fn enter_segment(
        &mut self,
        index: usize,
        forward: usize,
        again: &mut Recomputation,
    ) -> Result<(), GraphError> {
        let Some(segment) = self.segments.iter().find(|s| s.end == index + 1 && !s.is_empty()).cloned() else {
            return Ok(());
        };
        let after = &self.nodes[segment.end..forward];
        let kept = |id: &TensorId| self.outputs.contains(id) || after.iter().any(|n| n.inputs.contains(id));
        let kept: Vec<TensorId> =
            self.nodes[segment.clone()].iter().flat_map(|n| &n.outputs).copied().filter(kept).collect();
        for at in segment {
            let Node { name, kernel, inputs, outputs } = &self.nodes[at];
            if outputs.iter().any(|o| self.tensor(*o).role != Role::Intermediate) {
                // What nobody reads here need not be made again, and must not be.
                let own = |n: &Node| n.name != *name && n.inputs.iter().any(|i| outputs.contains(i));
                if !self.nodes[..forward].iter().any(own) {
                    continue;
                }
                let reason = "updates a tensor in place that others read: it cannot be computed again".to_owned();
                return Err(GraphError { node: name.clone(), reason });
            }
            let (name, kernel) = (format!("{name}.again"), kernel.clone());
            let (inputs, outputs) = (again.all(inputs), outputs.clone());
            let mut copies = Vec::with_capacity(outputs.len());
            for output in outputs {
                let like = self.tensor(output).clone();
                let copy =
                    self.add_tensor(format!("{}.again", like.name), like.shape, like.role, like.layout, like.dtype);
                if !kept.contains(&output) {
                    again.tensors.insert(output, copy);
                }
                copies.push(copy);
            }
            again.nodes.push(self.nodes.len());
            self.nodes.push(Node { name, kernel, inputs, outputs: copies });
        }
        Ok(())
    }

    /// Removes nodes that compute again what nobody asked for.
    pub(super) fn drop_unused(&mut self, again: &Recomputation) {
        for &at in again.nodes.iter().rev() {
            let outputs = &self.nodes[at].outputs;
            let used =
                |id: &TensorId| self.outputs.contains(id) || self.nodes[at + 1..].iter().any(|n| n.inputs.contains(id));
            if !outputs.iter().any(used) {
                self.nodes.remove(at);
            }
        }
    }
}

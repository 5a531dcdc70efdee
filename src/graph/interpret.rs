use std::collections::HashMap;

use super::{Graph, TensorId};
use crate::tensor::HostTensor;

/// Runs a graph on the CPU twins in double precision: the oracle of a plan, and the tool to bisect one.
///
/// `values` holds inputs, parameters and states; the results of every node are added to it.
pub fn interpret(graph: &Graph, values: &mut HashMap<TensorId, HostTensor>) {
    for node in graph.nodes() {
        let inputs: Vec<HostTensor> = node
            .inputs
            .iter()
            .map(|id| values.get(id).cloned().unwrap_or_else(|| HostTensor::zeros(graph.shape(*id).clone())))
            .collect();
        let arguments: Vec<&HostTensor> = inputs.iter().collect();
        let results = node.kernel.reference(&arguments);
        values.extend(node.outputs.iter().copied().zip(results));
    }
}

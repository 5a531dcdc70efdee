//! Where a run first leaves the numbers: the tool to explain a loss or a gradient that is not finite.

use std::fmt;

use super::{Graph, Plan, PlanError, Role, TensorId};

/// A tensor that holds NaN or infinity.
#[derive(Clone, Debug, PartialEq)]
pub struct NotFinite {
    /// Its name: of a parameter MONAI's key, of a result its node's path.
    pub tensor: String,
    /// Name and op of the node that made it; `None` if it was given to the graph.
    pub node: Option<(String, &'static str)>,
    /// The first such element, in natural order.
    pub index: usize,
    pub value: f32,
    /// How many there are.
    pub count: usize,
    /// Of how many elements.
    pub elements: usize,
}

impl fmt::Display for NotFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some((name, op)) => write!(f, "{name} ({op}) gives ")?,
            None => write!(f, "{} holds ", self.tensor)?,
        }
        let Self { index, value, count, elements, .. } = self;
        write!(f, "{value} at element {index}; {count} of its {elements} values are not finite")
    }
}

impl Plan {
    /// The first tensor of this graph that is not finite: among inputs and parameters, else among the results of the nodes
    /// in the order they run, else among the states. The nodes run again, one by one, with what the inputs hold; only those
    /// that update parameters are left out, so that after a step that changed nothing this is the same step. Every tensor is
    /// read back: it takes much longer than a step.
    ///
    /// # Errors
    /// What [`Plan::run`] and [`Plan::read`] say.
    pub async fn first_not_finite(&self, graph: &Graph) -> Result<Option<NotFinite>, PlanError> {
        let of = |role: Role| graph.tensors().filter(move |(_, t)| t.role == role).map(|(id, _)| id);
        for tensor in of(Role::Input).chain(of(Role::Parameter)) {
            if let Some(found) = self.not_finite(graph, tensor, None).await? {
                return Ok(Some(found));
            }
        }
        for (index, node) in graph.nodes().iter().enumerate() {
            let role = |t: &TensorId| graph.tensor(*t).role;
            if node.outputs.iter().any(|t| role(t) == Role::Parameter) {
                continue;
            }
            self.run_node(index)?;
            let made = (node.name.clone(), node.kernel.name());
            // A state may hold what an earlier run left in it.
            for &output in node.outputs.iter().filter(|t| role(t) == Role::Intermediate) {
                if let Some(found) = self.not_finite(graph, output, Some(&made)).await? {
                    return Ok(Some(found));
                }
            }
        }
        for tensor in of(Role::State) {
            if let Some(found) = self.not_finite(graph, tensor, None).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn not_finite(
        &self,
        graph: &Graph,
        tensor: TensorId,
        node: Option<&(String, &'static str)>,
    ) -> Result<Option<NotFinite>, PlanError> {
        let values = self.read(tensor).await?;
        let mut bad = values.iter().enumerate().filter(|(_, v)| !v.is_finite());
        Ok(bad.next().map(|(index, value)| NotFinite {
            tensor: graph.tensor(tensor).name.clone(),
            node: node.cloned(),
            index,
            value: *value,
            count: 1 + bad.count(),
            elements: values.len(),
        }))
    }
}

//! One training step as a graph: forward, loss, backward.

use crate::graph::{Gradients, Graph, GraphError, TensorId};
use crate::kernels::dice_ce::DiceCe;
use crate::model::{UnetrConfig, unetr};

/// What is minimised, and on how many windows at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// Windows in a batch.
    pub batch: usize,
    /// The loss.
    pub loss: DiceCe,
}

/// A network with its loss and gradients.
pub struct TrainingGraph {
    /// The nodes.
    pub graph: Graph,
    /// Windows, `(N, C, X, Y, Z)`.
    pub input: TensorId,
    /// Class numbers `(N, 1, X, Y, Z)`, or one channel per region for a sigmoid loss.
    pub label: TensorId,
    /// `(N, K, X, Y, Z)`.
    pub logits: TensorId,
    /// `(1)`; an output.
    pub loss: TensorId,
    /// Of every parameter, and of the input if it was asked for.
    pub gradients: Gradients,
}

impl TrainingGraph {
    /// The graph for a network in batches; `input_gradient` asks for the gradient of the windows too.
    ///
    /// # Errors
    /// [`GraphError`] if the configuration asks for what is not built.
    pub fn new(config: &UnetrConfig, objective: &Objective, input_gradient: bool) -> Result<Self, GraphError> {
        let mut graph = Graph::new().for_training();
        let network = unetr(&mut graph, config, objective.batch)?;
        let logits = graph.head("out", &network.end, network.out.0, network.out.1)?;
        let channels = if objective.loss.sigmoid { config.out_channels } else { 1 };
        let [x, y, z] = config.img_size;
        let label = graph.input("label", [objective.batch, channels, x, y, z]);
        let loss = graph.dice_ce("loss", logits, label, objective.loss)?;
        graph.output(loss);
        let inputs = [network.input];
        let gradients = graph.backward_from(loss, 1.0, if input_gradient { &inputs } else { &[] })?;
        Ok(Self { graph, input: network.input, label, logits, loss, gradients })
    }
}

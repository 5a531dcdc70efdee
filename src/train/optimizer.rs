//! AdamW on every parameter of a graph: lengths of the gradients, clipping, then one update per tensor, all in place on the
//! GPU. What changes from step to step lies in one input of eight numbers, [`Rates::at`].

use crate::graph::{Gradients, Graph, GraphError, Role, TensorId};
use crate::kernels::adamw::AdamW;
use crate::kernels::clip::Clip;
use crate::kernels::square_sum::{GRADIENTS, SquareSum, places};

pub use crate::kernels::adamw::Rates;

/// What stays the same over a training run.
#[derive(Clone, Copy)]
pub struct OptimizerOptions<'a> {
    /// Gradients longer than this, all together, are shortened to it.
    pub clip: Option<f32>,
    /// Whether a parameter of this name decays.
    pub decays: &'a dyn Fn(&str) -> bool,
    /// Keep a moving average of the weights.
    pub average: bool,
}

impl Default for OptimizerOptions<'_> {
    /// As the research code: everything decays, nothing is clipped or averaged.
    fn default() -> Self {
        Self { clip: None, decays: &|_| true, average: false }
    }
}

/// The states of one parameter. They start as zeros; [`Optimizer::parameters`] says what the host has to write first.
#[derive(Clone, Copy, Debug)]
pub struct Updated {
    pub parameter: TensorId,
    /// Mean of its gradients.
    pub m: TensorId,
    /// Mean of their squares.
    pub v: TensorId,
    /// Moving average of the weight; the host writes the first weights into it.
    pub average: Option<TensorId>,
}

/// The nodes that update a graph's parameters.
#[derive(Clone, Debug)]
pub struct Optimizer {
    /// Input `(8)`: write [`Rates::at`] before each step.
    pub rates: TensorId,
    /// Output `(4)`: length of all gradients, the factor they were scaled by, 1 if they were finite (0: no update), 0.
    pub clip: TensorId,
    /// State: sums of the squares of the gradients, many for each, in the order of [`Optimizer::parameters`].
    pub square_sums: TensorId,
    /// In the order of the parameters.
    pub parameters: Vec<Updated>,
}

impl Optimizer {
    /// Adds the update of every parameter that has a gradient.
    ///
    /// # Errors
    /// [`GraphError`] if a gradient does not fit its parameter.
    pub fn new(graph: &mut Graph, gradients: &Gradients, options: &OptimizerOptions<'_>) -> Result<Self, GraphError> {
        let mut pairs = gradients.pairs();
        pairs.retain(|(p, _)| graph.tensor(*p).role == Role::Parameter);
        let rates = graph.input("optimizer.rates", [8]);
        let places_of = |graph: &Graph, some: &[(TensorId, TensorId)]| -> usize {
            some.iter().map(|(_, gradient)| places(graph.shape(*gradient))).sum()
        };
        let sums = graph.state("optimizer.square_sums", [places_of(graph, &pairs).max(1)]);
        let mut first_place = 0;
        for some in pairs.chunks(GRADIENTS) {
            let mut inputs: Vec<_> = some.iter().map(|(_, gradient)| *gradient).collect();
            inputs.push(sums);
            graph.update("optimizer.square_sums", SquareSum { first_place }, &inputs)?;
            first_place += places_of(graph, some);
        }
        let clip = graph.add_one("optimizer.clip", Clip { most: options.clip.unwrap_or(0.0) }, &[sums])?;
        graph.output(clip);
        let mut parameters = Vec::with_capacity(pairs.len());
        for (parameter, gradient) in pairs {
            let name = graph.tensor(parameter).name.clone();
            let m = graph.state_like("optimizer.m", parameter);
            let v = graph.state_like("optimizer.v", parameter);
            let average = options.average.then(|| graph.state_like("optimizer.average", parameter));
            let op = AdamW { decays: (options.decays)(&name), average: options.average };
            let mut targets = vec![parameter, m, v];
            targets.extend(average);
            graph.update_many(&format!("{name}.adamw"), op, &[gradient, rates, clip], &targets)?;
            parameters.push(Updated { parameter, m, v, average });
        }
        Ok(Self { rates, clip, square_sums: sums, parameters })
    }

    /// The parameters whose gradients a step could not use, by what it left in [`Optimizer::square_sums`]: with a value that
    /// is NaN or infinite, or with squares beyond single precision.
    pub fn not_finite<'a>(&self, graph: &'a Graph, square_sums: &[f32]) -> Vec<&'a str> {
        let mut rest = square_sums;
        let bad = self.parameters.iter().filter(|p| {
            let own = places(graph.shape(p.parameter)).min(rest.len());
            let (sums, others) = rest.split_at(own);
            rest = others;
            !sums.iter().sum::<f32>().is_finite()
        });
        bad.map(|p| graph.tensor(p.parameter).name.as_str()).collect()
    }
}

//! Dropout: `y = x / (1 - rate)` with probability `1 - rate`, else 0. What is dropped follows from a hash of the seed, the
//! step and the element's index, so that a step can be repeated and the gradient drops the same.
//!
//! Arguments: `x`, and `step (1)`, a whole number below 2²⁴ that the host raises. Source: `torch.nn.Dropout`; the hash is PCG's.

use super::{bind_read, bind_write, kernel_name};
use crate::graph::{Applied, Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Op, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { count: u32, seed: u32, rate: f32 });

/// The op.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Share that is dropped, in [0, 1).
    pub rate: f32,
    /// A number of this place's own.
    pub seed: u32,
}

fn hash(value: u32) -> u32 {
    let state = value.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
    (word >> 22) ^ word
}

impl Kernel for Dropout {
    kernel_name!("dropout");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        match inputs {
            [x, step] if step.elements() == 1 && (0.0..1.0).contains(&self.rate) => Ok(vec![x.clone()]),
            _ => Err(GraphError::new(format!("dropout {} of {inputs:?}", self.rate))),
        }
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let count = io.input(0).elements();
        vec![Dispatch {
            shader: "dropout",
            entry: "forward",
            constants: Vec::new(),
            params: Params { count: count as u32, seed: self.seed, rate: self.rate }.block(),
            bindings: vec![bind_read(0), bind_read(1), bind_write(0)],
            groups: groups(count.div_ceil(64)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let place = hash(self.seed ^ hash(inputs[1].data[0] as u32));
        let mut y = inputs[0].clone();
        for (i, v) in y.data.iter_mut().enumerate() {
            let share = (hash(i as u32 ^ place) >> 8) as f32 / 16_777_216.0;
            *v = if share >= self.rate { *v / (1.0 - f64::from(self.rate)) } else { 0.0 };
        }
        vec![y]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

impl Op for Dropout {
    fn backward(&self, g: &mut Graph, node: &Applied, dy: &[Option<TensorId>]) -> Result<Vec<Option<TensorId>>, GraphError> {
        let Some(dy) = dy[0] else {
            return Ok(vec![None; 2]);
        };
        Ok(vec![Some(g.add_one("", *self, &[dy, node.inputs[1]])?), None])
    }
}

impl Graph {
    /// Dropout of `x` at step `step (1)`; nothing is added where the rate is 0.
    ///
    /// # Errors
    /// [`GraphError`] if the rate is not in [0, 1).
    pub fn dropout(&mut self, name: &str, x: TensorId, step: TensorId, op: Dropout) -> Result<TensorId, GraphError> {
        if op.rate == 0.0 { Ok(x) } else { self.add_one_op(name, op, &[x, step]) }
    }
}

/// Nothing dropped, some, nearly all; other steps.
pub fn cases() -> Vec<Case> {
    let case = |rate, seed, step: f64| {
        let inputs = vec![HostTensor::noise([50, 61], 3), HostTensor::new([1], vec![step])];
        Case::new(format!("{rate} of seed {seed} at {step}"), Dropout { rate, seed }, inputs)
    };
    vec![case(0.0, 1, 0.0), case(0.1, 2, 5.0), case(0.9, 3, 16_000_000.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_dropped_is_the_rate() {
        let x = HostTensor::zeros([100_000]).map(|_| 1.0);
        let run = |seed, step: f64| {
            let op = Dropout { rate: 0.3, seed };
            op.reference(&[&x, &HostTensor::new([1], vec![step])]).remove(0)
        };
        let share = |y: &HostTensor| y.data.iter().filter(|v| **v == 0.0).count() as f64 / 1e5;
        for (seed, step) in [(0, 0.0), (1, 0.0), (0, 1.0), (7, 9000.0)] {
            // Five standard deviations of a binomial share.
            assert!((share(&run(seed, step)) - 0.3).abs() < 0.0073, "{seed} {step}");
        }
        assert_eq!(run(4, 4.0), run(4, 4.0), "repeatable");
        let both = run(0, 0.0).data.iter().zip(&run(0, 1.0).data).filter(|(a, b)| **a == 0.0 && **b == 0.0).count();
        assert!((both as f64 / 1e5 - 0.09).abs() < 0.005, "steps are independent: {both}");
    }
}

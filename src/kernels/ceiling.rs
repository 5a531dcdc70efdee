//! What an adapter can do at best: a large copy, and multiply-adds that never leave registers. The benchmark divides by
//! these instead of by a data sheet's figures.

use super::{bind_read, bind_write, constant, kernel_name};
use crate::graph::{Case, Cost, Dispatch, GraphError, Io, Kernel, Target};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { count: u32, rounds: u32, factor: f32, summand: f32 });

const FACTOR: f32 = 0.5;
const SUMMAND: f32 = 0.25;

/// The op: a copy of `x`, or `rounds` times 32 multiply-adds on each of its vectors of four.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceiling {
    /// Rounds of arithmetic; `None` copies.
    pub rounds: Option<u32>,
}

impl Kernel for Ceiling {
    kernel_name!("ceiling");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        match inputs {
            [x] if x.elements() % 4 == 0 => Ok(vec![x.clone()]),
            _ => Err(GraphError::new(format!("{inputs:?} is no multiple of four"))),
        }
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let count = io.input(0).elements() / 4;
        vec![Dispatch {
            shader: "ceiling",
            entry: "forward",
            constants: vec![("COPY", constant(self.rounds.is_none()))],
            params: Params { count: count as u32, rounds: self.rounds.unwrap_or(0), factor: FACTOR, summand: SUMMAND }
                .block(),
            bindings: vec![bind_read(0), bind_write(0)],
            groups: groups(count.div_ceil(64)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let Some(rounds) = self.rounds else {
            return vec![inputs[0].clone()];
        };
        let chain = |start: f64| (0..4 * rounds).fold(start, |v, _| v * f64::from(FACTOR) + f64::from(SUMMAND));
        vec![inputs[0].clone().map(|x| (0..8).map(|i| chain(x + f64::from(i))).sum())]
    }

    fn cost(&self, io: &Io) -> Cost {
        let rounds = f64::from(self.rounds.unwrap_or(0));
        Cost { flops: rounds * 64.0 * io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

/// Both kinds, off the group size.
pub fn cases() -> Vec<Case> {
    vec![
        Case::new("copy", Ceiling { rounds: None }, vec![HostTensor::noise([99, 4], 1)]),
        Case::new("arithmetic", Ceiling { rounds: Some(3) }, vec![HostTensor::noise([65, 4], 2)]),
    ]
}

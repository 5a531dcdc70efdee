//! `Σ x²` of gradients, their part of the length of all gradients, as partial sums in some elements of a table; the others stay.
//! A value that is NaN or infinite, by its bits, makes its sum NaN; squares that overflow make theirs infinite.

use super::{bind_read, bind_write, constant, kernel_name};
use crate::graph::{Case, Cost, Dispatch, GraphError, Io, Kernel, Target};
use crate::graph::{groups, params, values};
use crate::tensor::{HostTensor, Shape};

params!(Params { counts: [u32; 8], ends: [u32; 8], first_place: u32, places: u32 });

/// As many gradients as the default limits leave bindings for, beside the table.
pub const GRADIENTS: usize = 7;

/// The op; arguments up to [`GRADIENTS`] gradients, then `sums`, which is updated in place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SquareSum {
    /// The first element of `sums` that is written.
    pub first_place: usize,
}

/// Neighbouring invocations that take values in turn: a line of memory on GPUs, one vector of lanes on software adapters.
const RUN: usize = 8;

/// How many elements of `sums` a gradient of this shape takes: invocations in whole groups, enough that no loop is long for a
/// whole binding.
pub fn places(gradient: &Shape) -> usize {
    gradient.elements().div_ceil(512).next_multiple_of(64).min(8192)
}

impl Kernel for SquareSum {
    kernel_name!("square_sum");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        match inputs.split_last() {
            Some((sums, x))
                if (1..=GRADIENTS).contains(&x.len())
                    && self.first_place + x.iter().map(places).sum::<usize>() <= sums.elements() =>
            {
                Ok(vec![sums.clone()])
            }
            _ => Err(GraphError::new(format!(
                "{inputs:?} are not 1 to {GRADIENTS} gradients and a table with their places from {} on",
                self.first_place
            ))),
        }
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let gradients = io.inputs.len() - 1;
        let wide = io.inputs[..gradients].iter().all(|x| values(x.written()).0);
        let mut params = Params { first_place: self.first_place as u32, ..Default::default() };
        for (i, x) in io.inputs[..gradients].iter().enumerate() {
            params.places += places(&x.shape) as u32;
            params.ends[i] = params.places;
            params.counts[i] = if wide { values(x.written()).1 } else { x.written() } as u32;
        }
        let mut bindings: Vec<_> = (0..gradients).map(bind_read).collect();
        bindings.push(bind_write(0));
        vec![Dispatch {
            shader: "square_sum",
            entry: "forward",
            constants: vec![("WIDE", constant(wide)), ("RUN", RUN as u32), ("GRADIENTS", gradients as u32)],
            params: params.block(),
            bindings,
            groups: groups(params.places as usize / 64),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let Some((sums, gradients)) = inputs.split_last() else {
            return Vec::new();
        };
        let mut sums = (*sums).clone();
        let wide = gradients.iter().all(|x| values(x.data.len()).0);
        let step = if wide { 4 } else { 1 };
        let mut first = self.first_place;
        for x in gradients {
            let places = places(&x.shape);
            let share = RUN * (x.data.len() / step).div_ceil(places);
            let own = &mut sums.data[first..][..places];
            own.fill(0.0);
            for (i, v) in x.data.iter().enumerate() {
                own[i / step / share * RUN + i / step % RUN] += v * v;
            }
            first += places;
        }
        vec![sums]
    }

    fn cost(&self, io: &Io) -> Cost {
        let gradients = &io.inputs[..io.inputs.len() - 1];
        let sum = |of: fn(&Shape) -> usize| gradients.iter().map(|x| of(&x.shape) as f64).sum::<f64>();
        Cost { flops: 2.0 * sum(Shape::elements), bytes: 4.0 * (sum(Shape::elements) + sum(places)) }
    }
}

/// Lengths around a group's share, with the most places and the most gradients, and places before and behind that stay.
pub fn cases() -> Vec<Case> {
    let case = |counts: &[usize], first_place: usize| {
        let mut inputs: Vec<_> = counts.iter().zip(1..).map(|(n, seed)| HostTensor::noise([*n], seed)).collect();
        let end = first_place + inputs.iter().map(|x| places(&x.shape)).sum::<usize>();
        inputs.push(HostTensor::noise([end + 1], 50));
        Case::new(format!("{counts:?} to {first_place}"), SquareSum { first_place }, inputs).updating()
    };
    vec![
        case(&[1], 0),
        case(&[257], 2),
        case(&[2 * 64 * 512, 4], 0),
        case(&[300_001, 8, 3], 1),
        case(&[300, 6, 8, 12], 0),
        case(&[1, 2, 3, 4, 5], 1),
        case(&[600, 64, 7, 4, 4, 1], 0),
        case(&[4, 70_000, 12, 40_000, 64, 1028, 2], 3),
        case(&[4, 70_000, 12, 40_000, 64, 1028, 516], 3),
        case(&[4_500_004], 2),
    ]
}

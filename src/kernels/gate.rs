//! An attention gate's product: `y[n, c, p] = a[n, c, p] b[n, p]`, where `a = act(norm(x))` has any number of channels and
//! `b = act(norm(g))` has one, which all of them share. Neither is stored.
//!
//! Shapes: `x, y (N, C, X, Y, Z)`, `g (N, 1, X, Y, Z)`. Source: MONAI's `AttentionBlock`; Oktay et al., MIDL 2018, equation 1.

use super::lazy::{Activation, Lazy, Term};
use super::{bind_read, bind_write, constant, kernel_name};
use crate::graph::{Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Target, TensorId};
use crate::graph::{groups, params, values};
use crate::tensor::{HostTensor, Shape};

params!(Params { channels: u32, values: u32, own: u32 });

/// The op; arguments those of the gated value, then those of the gate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gate {
    /// The value with many channels.
    pub value: Term,
    /// The value with one.
    pub gate: Term,
}

impl Gate {
    /// Constants of both terms.
    pub(super) fn constants(&self, inputs: &[&Shape]) -> Vec<(&'static str, u32)> {
        let at = self.value.arguments();
        let mut constants = self.value.constants(0, inputs[at - 1].elements());
        constants.extend(self.gate.constants(1, inputs[at + self.gate.arguments() - 1].elements()));
        constants
    }

    /// Whether the first of these arguments are its own.
    pub(super) fn fits(&self, inputs: &[Shape]) -> bool {
        let (at, all) = (self.value.arguments(), self.value.arguments() + self.gate.arguments());
        let volumes = || Some((inputs.first()?.volume()?, inputs.get(at)?.volume()?));
        inputs.len() >= all
            && self.value.fits(&inputs[..at])
            && self.gate.fits(&inputs[at..all])
            && volumes().is_some_and(|((n, _, size), (gates, one, own))| (gates, one, own) == (n, 1, size))
    }

    /// The gated value and the gate at flat index `i` of the first, in double precision.
    pub(super) fn factors(&self, inputs: &[&HostTensor], i: usize) -> (f64, f64) {
        let (_, c, size) = inputs[0].shape.volume().expect("a volume");
        let (voxels, at) = (size.iter().product::<usize>(), self.value.arguments());
        let of_gate = i / (c * voxels) * voxels + i % voxels;
        let gate = &inputs[at..at + self.gate.arguments()];
        (self.value.reference(&inputs[..at], i), self.gate.reference(gate, of_gate))
    }
}

impl Kernel for Gate {
    kernel_name!("gate");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        if inputs.len() != self.value.arguments() + self.gate.arguments() || !self.fits(inputs) {
            return Err(GraphError::new(format!("a value and a gate of one channel do not fit: {inputs:?}")));
        }
        Ok(vec![inputs[0].clone()])
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let (n, c, size) = io.input(0).volume().expect("checked by infer");
        let (wide, values) = values(size.iter().product());
        let mut bindings: Vec<_> = (0..io.inputs.len()).map(bind_read).collect();
        bindings.push(bind_write(0));
        let mut constants = self.constants(&io.shapes());
        constants.extend([("WIDE", constant(wide)), ("RUN", target.run())]);
        vec![Dispatch {
            shader: "gate",
            entry: "forward",
            constants,
            params: Params { channels: (n * c) as u32, values: values as u32, own: c as u32 }.block(),
            bindings,
            groups: groups(n * c * values.div_ceil(512)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let product = |i| {
            let (a, b) = self.factors(inputs, i);
            a * b
        };
        let data = (0..inputs[0].data.len()).map(product).collect();
        vec![HostTensor::new(inputs[0].shape.clone(), data)]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 5.0 * io.output(0).elements() as f64, bytes: io.bytes() }
    }
}

impl Graph {
    /// A value times a gate of one channel. Values that are sums are stored first.
    ///
    /// # Errors
    /// [`GraphError`] if the shapes do not fit.
    pub fn gate(&mut self, name: &str, value: &Lazy, gate: &Lazy) -> Result<TensorId, GraphError> {
        let (value, gate) = (self.without_sum(name, value)?, self.without_sum(name, gate)?);
        let op = Gate { value: value.form().first, gate: gate.form().first };
        self.add_one_op(name, op, &[value.inputs(), gate.inputs()].concat())
    }
}

/// Arguments of a value and a gate.
pub(super) fn example(gate: Gate, n: usize, c: usize, [x, y, z]: [usize; 3]) -> Vec<HostTensor> {
    let mut inputs = Vec::new();
    for (i, (term, channels)) in [(gate.value, c), (gate.gate, 1)].into_iter().enumerate() {
        let seed = 3 * i as u64;
        inputs.push(HostTensor::noise([n, channels, x, y, z], seed));
        inputs.extend(term.norm.then(|| HostTensor::noise([n, channels, 4], seed + 1)));
        inputs.extend((term.slopes() == 1).then(|| HostTensor::noise([channels], seed + 2)));
    }
    inputs
}

/// What cases are made of: AttentionUnet's own, and other kinds of values.
pub(super) fn examples() -> Vec<(Gate, usize, usize, [usize; 3])> {
    let term = |norm, act| Term { norm, act };
    let own = Gate { value: term(true, Activation::LeakyRelu(0.0)), gate: term(true, Activation::Sigmoid) };
    let plain = Gate { value: Term::PLAIN, gate: Term::PLAIN };
    let trained = Gate { value: term(true, Activation::PRelu), gate: term(false, Activation::Gelu) };
    let gate_trained = Gate { value: term(false, Activation::Silu), gate: term(false, Activation::PRelu) };
    vec![
        (plain, 1, 1, [1; 3]),
        (own, 2, 3, [3, 5, 7]),
        (own, 1, 17, [4, 6, 8]),
        (plain, 3, 2, [5, 1, 4]),
        (trained, 2, 5, [2, 3, 4]),
        (gate_trained, 2, 3, [3, 3, 3]),
        (own, 1, 2, [31, 37, 41]),
    ]
}

/// One channel and many, odd extents, batches, every kind of value, more than 65,535 groups.
pub fn cases() -> Vec<Case> {
    let case = |(gate, n, c, size): (Gate, usize, usize, [usize; 3])| {
        Case::new(format!("{n}x{c}x{size:?} {gate:?}"), gate, example(gate, n, c, size))
    };
    let many = (Gate { value: Term::PLAIN, gate: Term::PLAIN }, 330, 200, [1, 1, 3]);
    examples().into_iter().chain([many]).map(case).collect()
}

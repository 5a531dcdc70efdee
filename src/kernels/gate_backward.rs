//! Gradients of an attention gate's product: `da[n, c, p] = dy[n, c, p] b[n, p]`, `db[n, p] = Σ_c dy[n, c, p] a[n, c, p]`.
//!
//! Shapes as in [`super::gate`].

use super::gate::{Gate, example, examples};
use super::lazy::{Activation, Form, Term};
use super::{bind_read, bind_write, kernel_name, residual_backward};
use crate::graph::{Applied, Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Op, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { samples: u32, channels: u32, voxels: u32 });

/// Most channels of a value: llvmpipe ends an invocation after 65,535 iterations.
const MAX_CHANNELS: usize = 32_768;

/// The op; arguments `dy`, then those of the value and of the gate; results `da, db`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GateBackward {
    pub gate: Gate,
}

impl Kernel for GateBackward {
    kernel_name!("gate_backward");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let misfit = || GraphError::new(format!("gradient, value and gate do not fit: {inputs:?}"));
        let (dy, rest) = inputs.split_first().ok_or_else(misfit)?;
        let all = self.gate.value.arguments() + self.gate.gate.arguments();
        if rest.len() != all || !self.gate.fits(rest) || *dy != rest[0] {
            return Err(misfit());
        }
        let channels = dy.dims().get(1).copied().unwrap_or(0);
        if channels > MAX_CHANNELS {
            return Err(GraphError::new(format!("{channels} channels share a gate; at most {MAX_CHANNELS} can")));
        }
        Ok(vec![rest[0].clone(), rest[self.gate.value.arguments()].clone()])
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let (n, c, size) = io.input(0).volume().expect("checked by infer");
        let voxels: usize = size.iter().product();
        let mut bindings: Vec<_> = (0..io.inputs.len()).map(bind_read).collect();
        bindings.extend([bind_write(0), bind_write(1)]);
        let mut constants = self.gate.constants(&io.shapes()[1..]);
        constants.push(("WIDE", 0));
        vec![Dispatch {
            shader: "gate_backward",
            entry: "forward",
            constants,
            params: Params { samples: n as u32, channels: c as u32, voxels: voxels as u32 }.block(),
            bindings,
            groups: groups((n * voxels).div_ceil(64)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (dy, rest) = (inputs[0], &inputs[1..]);
        let (n, c, size) = dy.shape.volume().expect("a volume");
        let voxels: usize = size.iter().product();
        let mut da = HostTensor::zeros(dy.shape.clone());
        let mut db = HostTensor::zeros([n, 1, size[0], size[1], size[2]]);
        for (i, d) in dy.data.iter().enumerate() {
            let (a, b) = self.gate.factors(rest, i);
            da.data[i] = d * b;
            db.data[i / (c * voxels) * voxels + i % voxels] += d * a;
        }
        vec![da, db]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 8.0 * io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

impl Op for Gate {
    fn backward(
        &self,
        g: &mut Graph,
        node: &Applied,
        dy: &[Option<TensorId>],
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        let Some(dy) = dy[0] else {
            return Ok(vec![None; node.inputs.len()]);
        };
        let made = g.add("data", GateBackward { gate: *self }, &[&[dy], node.inputs.as_slice()].concat())?;
        let (value, gate) = node.inputs.split_at(self.value.arguments());
        let form = |first| Form { first, second: None, act: Activation::None };
        let mut gradients = g.scope("value", |g| residual_backward::value(g, form(self.value), made[0], value))?;
        gradients.extend(g.scope("gate", |g| residual_backward::value(g, form(self.gate), made[1], gate))?);
        Ok(gradients)
    }
}

/// As the product's, within eight buffers.
pub fn cases() -> Vec<Case> {
    let case = |(gate, n, c, size): (Gate, usize, usize, [usize; 3])| {
        let mut inputs = vec![HostTensor::noise([n, c, size[0], size[1], size[2]], 50)];
        inputs.extend(example(gate, n, c, size));
        Case::new(format!("{n}x{c}x{size:?} {gate:?}"), GateBackward { gate }, inputs)
    };
    let many = (Gate { value: Term::PLAIN, gate: Term::PLAIN }, 2, 1, [130, 130, 130]);
    examples().into_iter().chain([many]).map(case).collect()
}

//! `sum = first ? s g : sum + s g`: the mean gradient of several batches, one after the other. What `sum` held before the
//! first is not read, so that it may be anything. Elementwise: any layout will do, as long as it is the same.
//!
//! Arguments: gradient, `first (1)`, not 0 for the first batch; then `sum`, updated in place.

use super::{bind_read, bind_write, kernel_name};
use crate::graph::{Case, Cost, Dispatch, GraphError, Io, Kernel, Target};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { count: u32, scale: f32 });

/// The op.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accumulate {
    /// s, one over the number of batches.
    pub scale: f32,
}

impl Kernel for Accumulate {
    kernel_name!("accumulate");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        match inputs {
            [gradient, first, sum] if gradient == sum && first.elements() == 1 => Ok(vec![sum.clone()]),
            _ => Err(GraphError::new(format!("gradient and sum do not fit: {inputs:?}"))),
        }
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let count = io.inputs[0].written();
        vec![Dispatch {
            shader: "accumulate",
            entry: "forward",
            constants: Vec::new(),
            params: Params { count: count as u32, scale: self.scale }.block(),
            bindings: vec![bind_read(0), bind_read(1), bind_write(0)],
            groups: groups(count.div_ceil(256)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (gradient, first) = (inputs[0], inputs[1].data[0] != 0.0);
        let mut sum = inputs[2].clone();
        for (sum, g) in sum.data.iter_mut().zip(&gradient.data) {
            *sum = if first { 0.0 } else { *sum } + f64::from(self.scale) * g;
        }
        vec![sum]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 2.0 * io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

/// The first batch and a later one, off the block, and more than 65,535 groups.
pub fn cases() -> Vec<Case> {
    let case = |shape: [usize; 2], first: f64| {
        let inputs = vec![HostTensor::noise(shape, 1), HostTensor::new([1], vec![first]), HostTensor::noise(shape, 2)];
        Case::new(format!("{shape:?}, first {first}"), Accumulate { scale: 0.25 }, inputs).updating_last(1)
    };
    vec![case([1, 1], 1.0), case([7, 61], 1.0), case([7, 61], 0.0), case([4200, 4001], 0.0)]
}

//! From the sums of squares of all gradients to `(length, factor, finite, 0)`: `factor = min(1, most / (length + 1e-6))`, and
//! whether every gradient is finite, by the bits. Source: `torch.nn.utils.clip_grad_norm_`.

use super::{bind_read, bind_write, kernel_name};
use crate::graph::{Case, Cost, Dispatch, GraphError, Io, Kernel, Target};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { slots: u32, most: f32 });

/// The op; argument `sums`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clip {
    /// The greatest length; none if it is not positive.
    pub most: f32,
}

impl Kernel for Clip {
    kernel_name!("clip");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        if inputs.len() == 1 { Ok(vec![Shape::from([4])]) } else { Err(GraphError::new("one argument is needed")) }
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        vec![Dispatch {
            shader: "clip",
            entry: "forward",
            constants: Vec::new(),
            params: Params { slots: io.input(0).elements() as u32, most: self.most }.block(),
            bindings: vec![bind_read(0), bind_write(0)],
            groups: groups(1),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let sum: f64 = inputs[0].data.iter().sum();
        let most = f64::from(self.most);
        let factor = if most > 0.0 { (most / (sum.sqrt() + 1e-6)).min(1.0) } else { 1.0 };
        vec![HostTensor::new([4], vec![sum.sqrt(), factor, f64::from(u8::from(sum.is_finite())), 0.0])]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

/// Below and above the limit, and without one.
pub fn cases() -> Vec<Case> {
    let sums = HostTensor::noise([170], 1).map(f64::abs);
    [0.0, 1.0, 100.0].map(|most| Case::new(format!("at most {most}"), Clip { most }, vec![sums.clone()])).into()
}

//! From the sums of squares of all gradients to `(length, factor, finite, 0)`: `factor = min(1, most / (length + 1e-6))`, and
//! whether every gradient is finite, by the bits. Source: `torch.nn.utils.clip_grad_norm_`.

use super::{bind_read, bind_write, constant, kernel_name};
use crate::gpu::Access;
use crate::graph::{Case, Cost, Dispatch, GraphError, Io, Kernel, Operand, Target};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { places: u32, parts: u32, most: f32 });

/// The op; argument `sums`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clip {
    /// The greatest length; none if it is not positive.
    pub most: f32,
}

/// Invocations of the first stage; each takes about 256 sums.
fn parts(places: usize) -> usize {
    places.div_ceil(256).clamp(1, 4096)
}

impl Kernel for Clip {
    kernel_name!("clip");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        if inputs.len() == 1 { Ok(vec![Shape::from([4])]) } else { Err(GraphError::new("one argument is needed")) }
    }

    fn scratch(&self, io: &Io, _target: &Target) -> Vec<u64> {
        vec![parts(io.input(0).elements()) as u64 * 4]
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let places = io.input(0).elements();
        let parts = parts(places);
        let stage = |merge: bool, bindings, invocations: usize| Dispatch {
            shader: "clip",
            entry: "forward",
            constants: vec![("MERGE", constant(merge))],
            params: Params { places: places as u32, parts: parts as u32, most: self.most }.block(),
            bindings,
            groups: groups(invocations.div_ceil(64)),
        };
        let partials = Operand::Scratch(0);
        vec![
            stage(false, vec![bind_read(0), (partials, Access::Write)], parts),
            stage(true, vec![(partials, Access::Read), bind_write(0)], 1),
        ]
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

/// Below and above the limit, and without one; few sums, and more than fit one part.
pub fn cases() -> Vec<Case> {
    let case = |places: usize, most| {
        let sums = HostTensor::noise([places], 1).map(f64::abs);
        Case::new(format!("{places}, at most {most}"), Clip { most }, vec![sums])
    };
    vec![case(170, 0.0), case(170, 1.0), case(170, 100.0), case(70_001, 1.0)]
}

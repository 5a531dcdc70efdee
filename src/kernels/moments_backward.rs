//! What the moments of a tensor add to its gradient:
//! `dx[n, c, v] = dy[n, c, v] + dmean[n, c] / V + 2 dvar[n, c] (y[n, c, v] - mean[n, c]) / V`.
//!
//! Shapes: `dy, y, dx (N, C, X, Y, Z)`, `moments, dmoments (N, C, 2)`.

use super::moments::Moments;
use super::{bind_read, bind_write, constant, kernel_name};
use crate::graph::{Applied, Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Op, Target, TensorId};
use crate::graph::{groups, params, values};
use crate::tensor::{HostTensor, Shape};

params!(Params { channels: u32, values: u32, share: f32 });

/// The op; arguments `y, moments, dmoments, [dy]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MomentsBackward {
    /// Whether the output has a gradient of its own.
    pub direct: bool,
}

/// The gradient of a convolution's raw output from those of the output and of its moments, either of which may be absent.
pub(super) fn gradient(
    g: &mut Graph,
    name: &str,
    dy: Option<TensorId>,
    (y, moments): (TensorId, TensorId),
    dmoments: Option<TensorId>,
) -> Result<Option<TensorId>, GraphError> {
    let Some(dmoments) = dmoments else {
        return Ok(dy);
    };
    let mut inputs = vec![y, moments, dmoments];
    inputs.extend(dy);
    g.add_one(name, MomentsBackward { direct: dy.is_some() }, &inputs).map(Some)
}

impl Op for Moments {
    fn backward(
        &self,
        g: &mut Graph,
        node: &Applied,
        dy: &[Option<TensorId>],
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        Ok(vec![gradient(g, "", None, (node.inputs[0], node.outputs[0]), dy[0])?])
    }
}

impl Kernel for MomentsBackward {
    kernel_name!("moments_backward");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let fits = inputs.len() == 3 + usize::from(self.direct)
            && inputs[0].volume().is_some_and(|(n, c, _)| {
                let moments = Shape::from([n, c, 2]);
                inputs[1] == moments && inputs[2] == moments && inputs[3..].iter().all(|d| *d == inputs[0])
            });
        if fits { Ok(vec![inputs[0].clone()]) } else { Err(GraphError::new(format!("moments do not fit: {inputs:?}"))) }
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let (n, c, size) = io.input(0).volume().expect("checked by infer");
        let voxels = size.iter().product::<usize>();
        let (wide, values) = values(voxels);
        let mut bindings: Vec<_> = (0..io.inputs.len()).map(bind_read).collect();
        bindings.push(bind_write(0));
        vec![Dispatch {
            shader: "moments_backward",
            entry: "forward",
            constants: vec![("DIRECT", constant(self.direct)), ("WIDE", constant(wide)), ("RUN", target.run())],
            params: Params { channels: (n * c) as u32, values: values as u32, share: (1.0 / voxels as f64) as f32 }
                .block(),
            bindings,
            groups: groups(n * c * values.div_ceil(512)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (_, _, size) = inputs[0].shape.volume().expect("a volume");
        let voxels = size.iter().product::<usize>();
        let mut dx = inputs[0].clone();
        for (i, v) in dx.data.iter_mut().enumerate() {
            let c = i / voxels * 2;
            let spread = inputs[2].data[c] + 2.0 * inputs[2].data[c + 1] * (*v - inputs[1].data[c]);
            *v = inputs.get(3).map_or(0.0, |dy| dy.data[i]) + spread / voxels as f64;
        }
        vec![dx]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 4.0 * io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

/// With and without a gradient of the output, odd extents, a batch.
pub fn cases() -> Vec<Case> {
    let case = |n, c, size: [usize; 3], direct: bool| {
        let volume = |seed| HostTensor::noise([n, c, size[0], size[1], size[2]], seed);
        let moments = |seed| HostTensor::noise([n, c, 2], seed);
        let mut inputs = vec![volume(1), moments(2), moments(3)];
        inputs.extend(direct.then(|| volume(4)));
        Case::new(format!("{n}x{c}x{size:?} {direct}"), MomentsBackward { direct }, inputs)
    };
    vec![
        case(1, 1, [1, 1, 1], true),
        case(2, 3, [3, 5, 7], true),
        case(1, 5, [4, 3, 2], false),
        case(2, 3, [9, 11, 13], true),
    ]
}

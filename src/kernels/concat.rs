//! Channels of several tensors one after the other: `y = (x_0, x_1, ..)` along the second axis. Convolutions take two sources
//! without it; this is for more.
//!
//! Shapes: `x_i (N, C_i, X, Y, Z)`, `y (N, Σ C_i, X, Y, Z)`. Source: `torch.cat(..., 1)`.

use super::{bind_read, bind_write, kernel_name};
use crate::graph::{Binding, Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { samples: u32, count: u32, voxels: u32, channels_x: u32, first_x: u32, channels_y: u32, first_y: u32 });

/// The op; its arguments are the tensors in order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Concat;

/// Some of a tensor's channels.
#[derive(Clone, Copy)]
pub(super) struct Channels<'a> {
    pub of: &'a Shape,
    pub first: usize,
}

/// (samples, channels, voxels).
fn sizes(shape: &Shape) -> Option<(usize, usize, usize)> {
    shape.volume().map(|(n, c, size)| (n, c, size.iter().product()))
}

/// Copies `count` channels from the first binding to the second.
pub(super) fn copy(from: Channels<'_>, to: Channels<'_>, count: usize, bindings: [Binding; 2]) -> Dispatch {
    let (samples, channels_x, voxels) = sizes(from.of).expect("checked by infer");
    let (_, channels_y, _) = sizes(to.of).expect("checked by infer");
    Dispatch {
        shader: "concat",
        entry: "forward",
        constants: Vec::new(),
        params: Params {
            samples: samples as u32,
            count: count as u32,
            voxels: voxels as u32,
            channels_x: channels_x as u32,
            first_x: from.first as u32,
            channels_y: channels_y as u32,
            first_y: to.first as u32,
        }
        .block(),
        bindings: bindings.to_vec(),
        groups: groups((samples * count * voxels).div_ceil(64)),
    }
}

impl Kernel for Concat {
    kernel_name!("concat");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let misfit = || GraphError::new(format!("samples or sizes differ: {inputs:?}"));
        let (n, _, size) = inputs.first().and_then(Shape::volume).ok_or_else(misfit)?;
        let mut channels = 0;
        for input in inputs {
            let (samples, c, own) = input.volume().ok_or_else(misfit)?;
            if samples != n || own != size {
                return Err(misfit());
            }
            channels += c;
        }
        Ok(vec![Shape::from([n, channels, size[0], size[1], size[2]])])
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let mut first = 0;
        let one = |i: usize| {
            let count = io.input(i).dims()[1];
            let (from, to) = (Channels { of: io.input(i), first: 0 }, Channels { of: io.output(0), first });
            first += count;
            copy(from, to, count, [bind_read(i), bind_write(0)])
        };
        (0..io.inputs.len()).map(one).collect()
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let shapes: Vec<Shape> = inputs.iter().map(|t| t.shape.clone()).collect();
        let shape = self.infer(&shapes).expect("checked by infer").remove(0);
        let (n, _, voxels) = sizes(&shape).expect("checked by infer");
        let row = |sample: usize, x: &HostTensor| {
            let size = x.shape.dims()[1] * voxels;
            x.data[sample * size..][..size].to_vec()
        };
        let data = (0..n).flat_map(|sample| inputs.iter().flat_map(move |x| row(sample, x))).collect();
        vec![HostTensor::new(shape, data)]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 0.0, bytes: io.bytes() }
    }
}

impl Graph {
    /// The channels of several tensors, one after the other.
    ///
    /// # Errors
    /// [`GraphError`] if samples or sizes differ.
    pub fn concat(&mut self, name: &str, inputs: &[TensorId]) -> Result<TensorId, GraphError> {
        self.add_one_op(name, Concat, inputs)
    }
}

/// One to four tensors, a batch, odd extents, more than 65,535 groups.
pub fn cases() -> Vec<Case> {
    let case = |n: usize, channels: &[usize], [x, y, z]: [usize; 3]| {
        let inputs = channels.iter().enumerate().map(|(i, &c)| HostTensor::noise([n, c, x, y, z], i as u64)).collect();
        Case::new(format!("{n} of {channels:?} x {x}x{y}x{z}"), Concat, inputs)
    };
    vec![
        case(1, &[1], [1, 1, 1]),
        case(2, &[3, 5], [2, 3, 5]),
        case(2, &[1, 2, 7, 4], [3, 1, 4]),
        case(1, &[1, 1], [257, 128, 128]),
    ]
}

//! Cuts a volume into cubic patches, one row per token: the first half of the patch embedding, a linear layer being
//! the second.
//!
//! Shapes: `x (N, C, X, Y, Z)`, `y (N, L, C P³)` with token `n = (ix gy + iy) gz + iz`. Row order is
//! `(channel, a, b, c)` for MONAI's `conv` embedding and `(a, b, c, channel)` for `perceptron`.
//! Source: `monai.networks.blocks.PatchEmbeddingBlock`.

use super::{bind_read, bind_write, constant, kernel_name};
use crate::graph::{Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { samples: u32, channels: u32, x: u32, y: u32, z: u32, side: u32 });

/// The op.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Patchify {
    /// Side of a patch.
    pub patch: usize,
    /// Row order of the `perceptron` embedding.
    pub channel_last: bool,
}

impl Patchify {
    /// The shader, from volume `x` to rows or back.
    pub(super) fn dispatch(&self, x: &Shape, backward: bool) -> Dispatch {
        let d = x.dims();
        let wide = !self.channel_last && self.patch.is_multiple_of(4);
        let width = if wide { 4 } else { 1 };
        Dispatch {
            shader: "patchify",
            entry: "forward",
            constants: vec![
                ("CHANNEL_LAST", constant(self.channel_last)),
                ("BACKWARD", constant(backward)),
                ("WIDE", constant(wide)),
                ("WIDTH", width as u32),
            ],
            params: Params {
                samples: d[0] as u32,
                channels: d[1] as u32,
                x: d[2] as u32,
                y: d[3] as u32,
                z: d[4] as u32,
                side: self.patch as u32,
            }
            .block(),
            bindings: vec![bind_read(0), bind_write(0)],
            groups: groups((x.elements() / width).div_ceil(64)),
        }
    }
}

impl Kernel for Patchify {
    kernel_name!("patchify");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let volume = inputs.first().and_then(Shape::volume);
        match volume {
            Some((n, c, size)) if self.patch > 0 && size.iter().all(|s| s % self.patch == 0) => {
                let tokens = size.iter().map(|s| s / self.patch).product();
                Ok(vec![Shape::from([n, tokens, c * self.patch.pow(3)])])
            }
            _ => Err(GraphError::new(format!("{inputs:?} is no volume in multiples of {}", self.patch))),
        }
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        vec![self.dispatch(io.input(0), false)]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let x = inputs[0];
        let (n, c, [sx, sy, sz]) = x.shape.volume().expect("a volume");
        let p = self.patch;
        let (gy, gz) = (sy / p, sz / p);
        let tokens = sx / p * gy * gz;
        let mut y = HostTensor::zeros([n, tokens, c * p * p * p]);
        for (i, &v) in x.data.iter().enumerate() {
            let (z, yy, xx) = (i % sz, i / sz % sy, i / sz / sy % sx);
            let channel = i / (sx * sy * sz) % c;
            let sample = i / (sx * sy * sz) / c;
            let token = (xx / p * gy + yy / p) * gz + z / p;
            let offset = (xx % p * p + yy % p) * p + z % p;
            let q = if self.channel_last { offset * c + channel } else { channel * p * p * p + offset };
            y.data[(sample * tokens + token) * c * p * p * p + q] = v;
        }
        vec![y]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 0.0, bytes: io.bytes() }
    }
}

impl Graph {
    /// Patches of a volume as rows.
    ///
    /// # Errors
    /// [`GraphError`] if an axis is no multiple of the patch.
    pub fn patchify(
        &mut self,
        name: &str,
        x: TensorId,
        patch: usize,
        channel_last: bool,
    ) -> Result<TensorId, GraphError> {
        self.add_one_op(name, Patchify { patch, channel_last }, &[x])
    }
}

/// Both orders, unequal axes, a batch.
pub fn cases() -> Vec<Case> {
    let case = |n, c, size: [usize; 3], patch, channel_last, seed| {
        let x = HostTensor::noise([n, c, size[0], size[1], size[2]], seed);
        Case::new(format!("{n}x{c}x{size:?} by {patch}, {channel_last}"), Patchify { patch, channel_last }, vec![x])
    };
    vec![
        case(1, 1, [1, 1, 1], 1, false, 0),
        case(2, 3, [4, 6, 10], 2, false, 1),
        case(2, 3, [4, 6, 10], 2, true, 2),
        case(1, 2, [32, 16, 48], 16, true, 3),
        case(1, 5, [96, 96, 96], 16, false, 4),
    ]
}

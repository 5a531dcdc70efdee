//! A batch norm in evaluation, from running averages to what a consumer needs to normalise on load:
//! `scale = gamma / sqrt(variance + eps)`, `shift = beta - mean scale`.
//!
//! Shapes: `mean, variance, gamma, beta (C)`, result `(N, C, 4)` of (mean, 1/std, scale, shift), the same for every sample.
//! Source: `torch.nn.BatchNorm3d`, eps 1e-5.

use super::norm_parameters::EPS;
use super::{bind_read, bind_write, constant, kernel_name};
use crate::graph::{Case, Cost, Dispatch, GraphError, Io, Kernel, Target};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { samples: u32, channels: u32, eps: f32 });

/// The op; arguments `mean, variance, [gamma, beta]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunningNorm {
    /// Samples of the batch.
    pub samples: usize,
    /// With gamma and beta.
    pub affine: bool,
}

impl Kernel for RunningNorm {
    kernel_name!("running_norm");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        match inputs {
            [first, rest @ ..]
                if inputs.len() == 2 + 2 * usize::from(self.affine) && rest.iter().all(|s| s == first) =>
            {
                Ok(vec![Shape::from([self.samples, first.elements(), 4])])
            }
            _ => Err(GraphError::new(format!("running averages do not fit: {inputs:?}"))),
        }
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let channels = io.input(0).elements();
        let mut bindings: Vec<_> = (0..io.inputs.len()).map(bind_read).collect();
        bindings.push(bind_write(0));
        vec![Dispatch {
            shader: "running_norm",
            entry: "forward",
            constants: vec![("AFFINE", constant(self.affine))],
            params: Params { samples: self.samples as u32, channels: channels as u32, eps: EPS as f32 }.block(),
            bindings,
            groups: groups((self.samples * channels).div_ceil(64)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let channels = inputs[0].data.len();
        let one = |i: usize| {
            let c = i % channels;
            let (mean, rstd) = (inputs[0].data[c], 1.0 / (inputs[1].data[c] + EPS).sqrt());
            let (gamma, beta) = if self.affine { (inputs[2].data[c], inputs[3].data[c]) } else { (1.0, 0.0) };
            [mean, rstd, gamma * rstd, beta - mean * gamma * rstd]
        };
        let data = (0..self.samples * channels).flat_map(one).collect();
        vec![HostTensor::new([self.samples, channels, 4], data)]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 5.0 * io.output(0).elements() as f64, bytes: io.bytes() }
    }
}

/// With and without gamma and beta, one sample and several, more channels than a group has invocations.
pub fn cases() -> Vec<Case> {
    let case = |samples, channels: usize, affine: bool| {
        let mut inputs =
            vec![HostTensor::noise([channels], 1), HostTensor::noise([channels], 2).map(|v| v.abs() + 0.1)];
        if affine {
            inputs.extend([HostTensor::noise([channels], 3), HostTensor::noise([channels], 4)]);
        }
        Case::new(format!("{samples}x{channels} {affine}"), RunningNorm { samples, affine }, inputs)
    };
    vec![case(1, 1, false), case(2, 67, true), case(3, 5, false), case(1, 33, true)]
}

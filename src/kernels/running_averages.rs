//! What a batch norm keeps of a step in training: `average += momentum (batch - average)` of mean and unbiased variance of the
//! batch, as `torch.nn.BatchNorm3d` with momentum 0.1; and the gradient of [`RunningNorm`], whose averages are no function of
//! the batch.
//!
//! Shapes: `moments (N, C, 2)` of each sample, `mean, variance (C)` updated in place.

use super::norm_parameters::Shared;
use super::norm_parameters_backward::NormParametersBackward;
use super::running_norm::RunningNorm;
use super::{bind_read, bind_write, kernel_name};
use crate::graph::{Applied, Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Op, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { samples: u32, channels: u32, momentum: f32, unbiased: f32 });

/// Share of the batch in the new averages.
const MOMENTUM: f64 = 0.1;

/// The op; arguments `moments, mean, variance`, of which the last two are updated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunningAverages {
    /// Voxels of a sample.
    pub voxels: usize,
}

impl RunningAverages {
    /// Biased to unbiased variance of so many values.
    fn unbiased(self, samples: usize) -> f64 {
        let values = (samples * self.voxels) as f64;
        values / (values - 1.0)
    }
}

impl Kernel for RunningAverages {
    kernel_name!("running_averages");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        match inputs {
            [moments, mean, variance] => match *moments.dims() {
                [n, _, 2] if n * self.voxels < 2 => Err(GraphError::new(
                    "a batch norm cannot be trained on one voxel per channel: take a larger window or batch",
                )),
                [_, c, 2] if mean.elements() == c && variance == mean => Ok(vec![mean.clone(), variance.clone()]),
                _ => Err(GraphError::new(format!("running averages do not fit: {inputs:?}"))),
            },
            _ => Err(GraphError::new(format!("running averages do not fit: {inputs:?}"))),
        }
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let d = io.input(0).dims();
        vec![Dispatch {
            shader: "running_averages",
            entry: "forward",
            constants: Vec::new(),
            params: Params {
                samples: d[0] as u32,
                channels: d[1] as u32,
                momentum: MOMENTUM as f32,
                unbiased: self.unbiased(d[0]) as f32,
            }
            .block(),
            bindings: vec![bind_read(0), bind_write(0), bind_write(1)],
            groups: groups(d[1].div_ceil(64)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (n, c) = (inputs[0].shape.dims()[0], inputs[0].shape.dims()[1]);
        let (mut mean, mut variance) = (inputs[1].clone(), inputs[2].clone());
        for channel in 0..c {
            let own: Vec<&[f64]> = (0..n).map(|s| &inputs[0].data[(s * c + channel) * 2..][..2]).collect();
            let m = own.iter().map(|v| v[0]).sum::<f64>() / n as f64;
            let v = own.iter().map(|v| v[1] + (v[0] - m).powi(2)).sum::<f64>() / n as f64 * self.unbiased(n);
            mean.data[channel] += MOMENTUM * (m - mean.data[channel]);
            variance.data[channel] += MOMENTUM * (v - variance.data[channel]);
        }
        vec![mean, variance]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 4.0 * io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

impl Op for RunningNorm {
    fn backward(
        &self,
        g: &mut Graph,
        node: &Applied,
        dy: &[Option<TensorId>],
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        let mut grads = vec![None; node.inputs.len()];
        if let (Some(sums), Some(&gamma)) = (dy[0], node.inputs.get(2)) {
            let op = NormParametersBackward { shared: Shared::Nothing, affine: true };
            let made = g.add("", op, &[sums, gamma])?;
            (grads[2], grads[3]) = (Some(made[0]), Some(made[1]));
        }
        Ok(grads)
    }
}

/// One sample and several, one channel and many.
pub fn cases() -> Vec<Case> {
    let case = |n: usize, c: usize, voxels| {
        let positive = |seed| HostTensor::noise([n, c, 2], seed).map(|v| v.abs() + 0.1);
        let inputs = vec![positive(1), HostTensor::noise([c], 2), HostTensor::noise([c], 3).map(|v| v.abs() + 0.1)];
        Case::new(format!("{n}x{c} of {voxels} voxels"), RunningAverages { voxels }, inputs).updating_last(2)
    };
    vec![case(1, 1, 2), case(2, 67, 1), case(3, 5, 1000)]
}

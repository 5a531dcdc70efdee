//! From moments to what a consumer needs to normalise on load: `y = scale x + shift`.
//!
//! `scale = gamma / sqrt(var + eps)`, `shift = beta - mean scale`. Channels in groups of `group` share mean and
//! variance: 1 is an instance norm, more a group norm. Shapes: `moments (N, C, 2)`, `gamma, beta (C)`,
//! result `(N, C, 4)` of (mean, 1/std, scale, shift). Source: `torch.nn.InstanceNorm3d`, `GroupNorm`, eps 1e-5.

use super::{bind_read, bind_write, constant, kernel_name};
use crate::graph::{Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { samples: u32, channels: u32, group: u32, eps: f32 });

const EPS: f64 = 1e-5;

/// The op; arguments `moments, [gamma, beta]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormParameters {
    /// Channels that share their statistics.
    pub group: usize,
    /// With gamma and beta.
    pub affine: bool,
}

impl Kernel for NormParameters {
    kernel_name!("norm_parameters");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let fits = |m: &Shape| matches!(m.dims(), [_, c, 2] if self.group > 0 && c % self.group == 0);
        match inputs {
            [m] if fits(m) && !self.affine => Ok(vec![Shape::from([m.dims()[0], m.dims()[1], 4])]),
            [m, g, b] if fits(m) && self.affine && [g, b].iter().all(|p| p.elements() == m.dims()[1]) => {
                Ok(vec![Shape::from([m.dims()[0], m.dims()[1], 4])])
            }
            _ => Err(GraphError::new(format!("{inputs:?} in groups of {}", self.group))),
        }
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let d = io.input(0).dims();
        let mut bindings: Vec<_> = (0..io.inputs.len()).map(bind_read).collect();
        bindings.push(bind_write(0));
        vec![Dispatch {
            shader: "norm_parameters",
            entry: "forward",
            constants: vec![("AFFINE", constant(self.affine))],
            params: Params { samples: d[0] as u32, channels: d[1] as u32, group: self.group as u32, eps: EPS as f32 }
                .block(),
            bindings,
            groups: groups((d[0] * d[1]).div_ceil(64)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let m = inputs[0];
        let (n, c) = (m.shape.dims()[0], m.shape.dims()[1]);
        let mut y = HostTensor::zeros([n, c, 4]);
        for i in 0..n * c {
            let group = &m.data[i / self.group * self.group * 2..][..self.group * 2];
            let mean = group.chunks(2).map(|v| v[0]).sum::<f64>() / self.group as f64;
            let var = group.chunks(2).map(|v| v[1] + (v[0] - mean).powi(2)).sum::<f64>() / self.group as f64;
            let rstd = 1.0 / (var + EPS).sqrt();
            let (gamma, beta) = if self.affine { (inputs[1].data[i % c], inputs[2].data[i % c]) } else { (1.0, 0.0) };
            let scale = gamma * rstd;
            y.data[i * 4..][..4].copy_from_slice(&[mean, rstd, scale, beta - mean * scale]);
        }
        vec![y]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 10.0 * io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

impl Graph {
    /// Normalisation of channels in groups; `affine` is (gamma, beta).
    ///
    /// # Errors
    /// [`GraphError`] if the shapes do not fit.
    pub fn norm_parameters(
        &mut self,
        name: &str,
        moments: TensorId,
        group: usize,
        affine: Option<(TensorId, TensorId)>,
    ) -> Result<TensorId, GraphError> {
        let mut inputs = vec![moments];
        inputs.extend(affine.iter().flat_map(|(g, b)| [*g, *b]));
        self.add_one_op(name, NormParameters { group, affine: affine.is_some() }, &inputs)
    }
}

/// Instance and group norm, plain and affine, and a variance of zero.
pub fn cases() -> Vec<Case> {
    let moments = |n, c, seed| HostTensor::noise([n, c, 2], seed).map(|v| v.abs() + 0.1);
    let case = |name: &str, n, c, group, affine: bool, seed| {
        let mut inputs = vec![moments(n, c, seed)];
        if affine {
            inputs.push(HostTensor::noise([c], seed + 1));
            inputs.push(HostTensor::noise([c], seed + 2));
        }
        Case::new(name, NormParameters { group, affine }, inputs)
    };
    let constant_channel = HostTensor::new([1, 2, 2], vec![3.0, 0.0, 0.0, 1.0]);
    vec![
        case("instance", 2, 67, 1, false, 1),
        case("instance affine", 3, 5, 1, true, 2),
        case("group", 2, 12, 4, false, 3),
        case("group affine", 1, 6, 6, true, 4),
        Case::new("constant channel", NormParameters { group: 1, affine: false }, vec![constant_channel]),
    ]
}

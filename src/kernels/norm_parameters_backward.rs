//! Gradients of a norm's parameters. From `(Σ dt x̂, Σ dt)` per sample and channel (see [`super::residual_backward`]):
//! `dgamma[c] = Σ_n Σ dt x̂`, `dbeta[c] = Σ_n Σ dt`, and with `m`, `r` the mean and 1/std that `G` channels share,
//! `dvar[n, c] = -r²/(2G) Σ_group gamma Σ dt x̂`, `dmean[n, c] = -r/G Σ_group gamma Σ dt + 2 dvar (mean[n, c] - m)`.
//!
//! Shapes: sums `(N, C, 2)`, moments and dmoments `(N, C, 2)`, norm `(N, C, 4)`, gamma, dgamma, dbeta `(C)`.

use super::norm_parameters::NormParameters;
use super::{bind_read, bind_write, constant, kernel_name};
use crate::graph::{Applied, Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Op, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { samples: u32, channels: u32, group: u32 });

/// The op; arguments `sums, moments, norm, [gamma]`, results `dmoments, [dgamma, dbeta]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormParametersBackward {
    /// Channels that share their statistics.
    pub group: usize,
    /// With gamma and beta.
    pub affine: bool,
}

impl Kernel for NormParametersBackward {
    kernel_name!("norm_parameters_backward");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let misfit = || GraphError::new(format!("{inputs:?} in groups of {}", self.group));
        let (n, c) = match inputs.first().map(Shape::dims) {
            Some(&[n, c, 2]) if self.group > 0 && c % self.group == 0 => (n, c),
            _ => return Err(misfit()),
        };
        let fits = inputs.len() == 3 + usize::from(self.affine)
            && inputs[1] == inputs[0]
            && inputs[2] == Shape::from([n, c, 4])
            && inputs[3..].iter().all(|g| g.elements() == c);
        if !fits {
            return Err(misfit());
        }
        let mut results = vec![inputs[0].clone()];
        results.extend(inputs[3..].iter().flat_map(|g| [g.clone(), g.clone()]));
        Ok(results)
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let d = io.input(0).dims();
        let stage = |weights: bool, bindings, invocations: usize| Dispatch {
            shader: "norm_parameters_backward",
            entry: "forward",
            constants: vec![("AFFINE", constant(self.affine)), ("WEIGHTS", constant(weights))],
            params: Params { samples: d[0] as u32, channels: d[1] as u32, group: self.group as u32 }.block(),
            bindings,
            groups: groups(invocations.div_ceil(64)),
        };
        let mut bindings: Vec<_> = (0..io.inputs.len()).map(bind_read).collect();
        bindings.push(bind_write(0));
        let mut work = vec![stage(false, bindings, d[0] * d[1])];
        if self.affine {
            work.push(stage(true, vec![bind_read(0), bind_write(1), bind_write(2)], d[1]));
        }
        work
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (sums, moments, norm) = (inputs[0], inputs[1], inputs[2]);
        let (n, c) = (sums.shape.dims()[0], sums.shape.dims()[1]);
        let mut dmoments = HostTensor::zeros([n, c, 2]);
        for i in 0..n * c {
            let (mut factor, mut offset) = (0.0, 0.0);
            for j in i / self.group * self.group..(i / self.group + 1) * self.group {
                let gamma = inputs.get(3).map_or(1.0, |g| g.data[j % c]);
                factor += gamma * sums.data[j * 2];
                offset += gamma * sums.data[j * 2 + 1];
            }
            let (mean, rstd, group) = (norm.data[i * 4], norm.data[i * 4 + 1], self.group as f64);
            let dvar = -0.5 * rstd * rstd * factor / group;
            dmoments.data[i * 2] = 2.0 * dvar * (moments.data[i * 2] - mean) - rstd * offset / group;
            dmoments.data[i * 2 + 1] = dvar;
        }
        let mut results = vec![dmoments];
        for part in 0..2 * usize::from(self.affine) {
            let mut d = HostTensor::zeros(inputs[3].shape.clone());
            sums.data.iter().skip(part).step_by(2).enumerate().for_each(|(i, v)| d.data[i % c] += v);
            results.push(d);
        }
        results
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 10.0 * io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

impl Op for NormParameters {
    fn backward(
        &self,
        g: &mut Graph,
        node: &Applied,
        dy: &[Option<TensorId>],
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        let Some(sums) = dy[0] else {
            return Ok(vec![None; node.inputs.len()]);
        };
        let mut inputs = vec![sums, node.inputs[0], node.outputs[0]];
        inputs.extend(node.inputs.get(1));
        let op = NormParametersBackward { group: self.group, affine: self.affine };
        Ok(g.add("", op, &inputs)?.into_iter().map(Some).collect())
    }
}

/// Instance and group norm, plain and affine.
pub fn cases() -> Vec<Case> {
    let case = |name: &str, n, c, group, affine: bool, seed| {
        let mut inputs = vec![
            HostTensor::noise([n, c, 2], seed),
            HostTensor::noise([n, c, 2], seed + 1),
            HostTensor::noise([n, c, 4], seed + 2),
        ];
        inputs.extend(affine.then(|| HostTensor::noise([c], seed + 3)));
        Case::new(name, NormParametersBackward { group, affine }, inputs)
    };
    vec![
        case("instance", 2, 67, 1, false, 1),
        case("instance affine", 3, 5, 1, true, 2),
        case("group", 2, 12, 4, false, 3),
        case("group affine", 1, 6, 6, true, 4),
    ]
}

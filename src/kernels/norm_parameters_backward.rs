//! Gradients of a norm's parameters. From `(Σ dt x̂, Σ dt)` per sample and channel (see [`super::residual_backward`]):
//! `dgamma[c] = Σ_n Σ dt x̂`, `dbeta[c] = Σ_n Σ dt`, and with `m`, `r` the mean and 1/std that `G` channels share,
//! `dvar[n, c] = -r²/(2G) Σ_group gamma Σ dt x̂`, `dmean[n, c] = -r/G Σ_group gamma Σ dt + 2 dvar (mean[n, c] - m)`.
//!
//! Shapes: sums `(N, C, 2)`, moments and dmoments `(N, C, 2)`, norm `(N, C, 4)`, gamma, dgamma, dbeta `(C)`.

use super::norm_parameters::{NormParameters, Shared};
use super::{bind_read, bind_write, constant, kernel_name};
use crate::graph::{Applied, Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Op, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { samples: u32, channels: u32, members: u32, step: u32 });

/// The op; arguments `sums, moments, norm, [gamma]`, results `dmoments, [dgamma, dbeta]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormParametersBackward {
    /// What shares its statistics. With nothing the arguments are `sums, gamma` and the results `dgamma, dbeta`.
    pub shared: Shared,
    /// With gamma and beta.
    pub affine: bool,
}

impl Kernel for NormParametersBackward {
    kernel_name!("norm_parameters_backward");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let misfit = || GraphError::new(format!("sums {inputs:?} with {:?}", self.shared));
        let (n, c) = match inputs.first().map(Shape::dims) {
            Some(&[n, c, 2]) if self.shared.members(n, c).is_some() => (n, c),
            _ => return Err(misfit()),
        };
        if self.shared == Shared::Nothing {
            return match inputs {
                [_, gamma] if gamma.elements() == c && self.affine => Ok(vec![gamma.clone(), gamma.clone()]),
                _ => Err(misfit()),
            };
        }
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
        let (members, step) = self.shared.members(d[0], d[1]).expect("checked by infer");
        let stage = |weights: bool, bindings, invocations: usize| Dispatch {
            shader: "norm_parameters_backward",
            entry: "forward",
            constants: vec![
                ("AFFINE", constant(self.affine)),
                ("WEIGHTS", constant(weights)),
                ("BATCH", constant(self.shared == Shared::Samples)),
            ],
            params: Params { samples: d[0] as u32, channels: d[1] as u32, members: members as u32, step: step as u32 }
                .block(),
            bindings,
            groups: groups(invocations.div_ceil(64)),
        };
        if self.shared == Shared::Nothing {
            return vec![stage(true, vec![bind_read(0), bind_write(0), bind_write(1)], d[1])];
        }
        let mut bindings: Vec<_> = (0..io.inputs.len()).map(bind_read).collect();
        bindings.push(bind_write(0));
        let mut work = vec![stage(false, bindings, d[0] * d[1])];
        if self.affine {
            work.push(stage(true, vec![bind_read(0), bind_write(1), bind_write(2)], d[1]));
        }
        work
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let sums = inputs[0];
        let (n, c) = (sums.shape.dims()[0], sums.shape.dims()[1]);
        // Of gamma and beta.
        let weights = |shape: &Shape| {
            [0, 1].map(|part| {
                let mut d = HostTensor::zeros(shape.clone());
                sums.data.iter().skip(part).step_by(2).enumerate().for_each(|(i, v)| d.data[i % c] += v);
                d
            })
        };
        if self.shared == Shared::Nothing {
            return weights(&inputs[1].shape).into();
        }
        let (moments, norm) = (inputs[1], inputs[2]);
        let (members, _) = self.shared.members(n, c).expect("checked by infer");
        let mut dmoments = HostTensor::zeros([n, c, 2]);
        for i in 0..n * c {
            let (mut factor, mut offset) = (0.0, 0.0);
            for j in self.shared.of(i, n, c) {
                let gamma = inputs.get(3).map_or(1.0, |g| g.data[j % c]);
                factor += gamma * sums.data[j * 2];
                offset += gamma * sums.data[j * 2 + 1];
            }
            let (mean, rstd, group) = (norm.data[i * 4], norm.data[i * 4 + 1], members as f64);
            let dvar = -0.5 * rstd * rstd * factor / group;
            dmoments.data[i * 2] = 2.0 * dvar * (moments.data[i * 2] - mean) - rstd * offset / group;
            dmoments.data[i * 2 + 1] = dvar;
        }
        let mut results = vec![dmoments];
        results.extend(inputs[3..].iter().flat_map(|gamma| weights(&gamma.shape)));
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
        let op = NormParametersBackward { shared: self.shared, affine: self.affine };
        Ok(g.add("", op, &inputs)?.into_iter().map(Some).collect())
    }
}

/// Instance, group and batch norm, plain and affine, and of given averages.
pub fn cases() -> Vec<Case> {
    let case = |name: &str, n, c, shared, affine: bool, seed| {
        let mut inputs = vec![
            HostTensor::noise([n, c, 2], seed),
            HostTensor::noise([n, c, 2], seed + 1),
            HostTensor::noise([n, c, 4], seed + 2),
        ];
        inputs.extend(affine.then(|| HostTensor::noise([c], seed + 3)));
        Case::new(name, NormParametersBackward { shared, affine }, inputs)
    };
    let given = NormParametersBackward { shared: Shared::Nothing, affine: true };
    let inputs = vec![HostTensor::noise([3, 67, 2], 8), HostTensor::noise([67], 9)];
    vec![
        case("instance", 2, 67, Shared::Channels(1), false, 1),
        case("instance affine", 3, 5, Shared::Channels(1), true, 2),
        case("group", 2, 12, Shared::Channels(4), false, 3),
        case("group affine", 1, 6, Shared::Channels(6), true, 4),
        case("batch", 3, 67, Shared::Samples, false, 5),
        case("batch affine", 2, 5, Shared::Samples, true, 6),
        Case::new("given averages", given, inputs),
    ]
}

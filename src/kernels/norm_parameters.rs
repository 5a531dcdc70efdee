//! From moments to what a consumer needs to normalise on load: `y = scale x + shift`.
//!
//! `scale = gamma / sqrt(var + eps)`, `shift = beta - mean scale`. Channels of a group share mean and variance: groups of one
//! channel are an instance norm, larger ones a group norm; in a batch norm the samples share them. Shapes:
//! `moments (N, C, 2)`, `gamma, beta (C)`, result `(N, C, 4)` of (mean, 1/std, scale, shift). Source:
//! `torch.nn.InstanceNorm3d`, `GroupNorm`, `BatchNorm3d` in training, eps 1e-5.

use super::running_norm::RunningNorm;
use super::{bind_read, bind_write, constant, kernel_name};
use crate::graph::{Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { samples: u32, channels: u32, members: u32, step: u32, eps: f32 });

pub(super) const EPS: f64 = 1e-5;

/// What shares its mean and variance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shared {
    /// So many neighbouring channels of a sample.
    Channels(usize),
    /// A channel of all samples.
    Samples,
    /// Mean and variance are given, not those of the batch.
    Nothing,
}

impl Shared {
    /// Of (N, C) channels: how many share, and how far apart they lie; `None` if the channels cannot be shared out.
    pub(super) fn members(self, n: usize, c: usize) -> Option<(usize, usize)> {
        match self {
            Self::Channels(group) => (group > 0 && c.is_multiple_of(group)).then_some((group, 1)),
            Self::Samples => Some((n, c)),
            Self::Nothing => Some((1, 1)),
        }
    }

    /// All that share with channel `i` of (N, C).
    pub(super) fn of(self, i: usize, n: usize, c: usize) -> impl Iterator<Item = usize> {
        let (members, step) = self.members(n, c).expect("checked by infer");
        let first = if self == Self::Samples { i % c } else { i / members * members };
        (0..members).map(move |m| first + m * step)
    }
}

/// The op; arguments `moments, [gamma, beta]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormParameters {
    /// What shares its statistics.
    pub shared: Shared,
    /// With gamma and beta.
    pub affine: bool,
}

impl Kernel for NormParameters {
    kernel_name!("norm_parameters");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let fits = |m: &Shape| matches!(*m.dims(), [n, c, 2] if self.shared.members(n, c).is_some());
        match inputs {
            [m] if fits(m) && !self.affine => Ok(vec![Shape::from([m.dims()[0], m.dims()[1], 4])]),
            [m, g, b] if fits(m) && self.affine && [g, b].iter().all(|p| p.elements() == m.dims()[1]) => {
                Ok(vec![Shape::from([m.dims()[0], m.dims()[1], 4])])
            }
            _ => Err(GraphError::new(format!("moments {inputs:?} with {:?}", self.shared))),
        }
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let d = io.input(0).dims();
        let (members, step) = self.shared.members(d[0], d[1]).expect("checked by infer");
        let mut bindings: Vec<_> = (0..io.inputs.len()).map(bind_read).collect();
        bindings.push(bind_write(0));
        vec![Dispatch {
            shader: "norm_parameters",
            entry: "forward",
            constants: vec![("AFFINE", constant(self.affine)), ("BATCH", constant(self.shared == Shared::Samples))],
            params: Params {
                samples: d[0] as u32,
                channels: d[1] as u32,
                members: members as u32,
                step: step as u32,
                eps: EPS as f32,
            }
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
            let own: Vec<[f64; 2]> = self.shared.of(i, n, c).map(|j| [m.data[j * 2], m.data[j * 2 + 1]]).collect();
            let mean = own.iter().map(|v| v[0]).sum::<f64>() / own.len() as f64;
            let var = own.iter().map(|v| v[1] + (v[0] - mean).powi(2)).sum::<f64>() / own.len() as f64;
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

/// A norm in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// Each channel of each sample by itself.
    Instance,
    /// So many groups of channels.
    Group(usize),
    /// Each channel over all samples, with its running averages of mean and variance `(C)`: see [`Graph::buffer`].
    Batch {
        /// Running average of the mean.
        mean: TensorId,
        /// Running average of the unbiased variance.
        variance: TensorId,
    },
}

impl Graph {
    /// What a [`super::lazy::Lazy`] value needs to normalise `x` on load, `(N, C, 4)`; `affine` is (gamma, beta). A batch norm takes
    /// its running averages; in a graph for training it takes the batch's own statistics and updates them.
    ///
    /// # Errors
    /// [`GraphError`] if the channels are no whole groups or shapes do not fit.
    pub fn norm(
        &mut self,
        name: &str,
        x: TensorId,
        norm: Norm,
        affine: Option<(TensorId, TensorId)>,
    ) -> Result<TensorId, GraphError> {
        let shape = self.shape(x).clone();
        let (n, c, size) = shape.volume().ok_or_else(|| GraphError {
            node: self.path(name),
            reason: format!("a norm of {shape}, which is no volume"),
        })?;
        let shared = match norm {
            Norm::Batch { mean, variance } if !self.training() => {
                let mut inputs = vec![mean, variance];
                inputs.extend(affine.iter().flat_map(|(g, b)| [*g, *b]));
                return self.add_one_op(name, RunningNorm { samples: n, affine: affine.is_some() }, &inputs);
            }
            Norm::Instance => Shared::Channels(1),
            Norm::Group(groups) if groups > 0 && c.is_multiple_of(groups) => Shared::Channels(c / groups),
            Norm::Group(groups) => {
                return Err(GraphError {
                    node: self.path(name),
                    reason: format!(
                        "{c} channels in {groups} groups: the number of groups must divide that of channels"
                    ),
                });
            }
            Norm::Batch { .. } => Shared::Samples,
        };
        let moments = self.moments(&format!("{name}.moments"), x)?;
        #[cfg(feature = "train")]
        if let Norm::Batch { mean, variance } = norm {
            let op = super::running_averages::RunningAverages { voxels: size.iter().product() };
            self.update_many(&format!("{name}.averages"), op, &[moments], &[mean, variance])?;
        }
        #[cfg(not(feature = "train"))]
        let _ = size;
        self.shared_norm(name, moments, shared, affine)
    }

    /// Normalisation of channels in groups of so many channels; `affine` is (gamma, beta).
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
        self.shared_norm(name, moments, Shared::Channels(group), affine)
    }

    fn shared_norm(
        &mut self,
        name: &str,
        moments: TensorId,
        shared: Shared,
        affine: Option<(TensorId, TensorId)>,
    ) -> Result<TensorId, GraphError> {
        let mut inputs = vec![moments];
        inputs.extend(affine.iter().flat_map(|(g, b)| [*g, *b]));
        self.add_one_op(name, NormParameters { shared, affine: affine.is_some() }, &inputs)
    }
}

/// Instance, group and batch norm, plain and affine, and a variance of zero.
pub fn cases() -> Vec<Case> {
    let moments = |n, c, seed| HostTensor::noise([n, c, 2], seed).map(|v| v.abs() + 0.1);
    let case = |name: &str, n, c, shared, affine: bool, seed| {
        let mut inputs = vec![moments(n, c, seed)];
        if affine {
            inputs.push(HostTensor::noise([c], seed + 1));
            inputs.push(HostTensor::noise([c], seed + 2));
        }
        Case::new(name, NormParameters { shared, affine }, inputs)
    };
    let constant_channel = HostTensor::new([1, 2, 2], vec![3.0, 0.0, 0.0, 1.0]);
    let instance = Shared::Channels(1);
    vec![
        case("instance", 2, 67, instance, false, 1),
        case("instance affine", 3, 5, instance, true, 2),
        case("group", 2, 12, Shared::Channels(4), false, 3),
        case("group affine", 1, 6, Shared::Channels(6), true, 4),
        case("batch", 3, 67, Shared::Samples, false, 5),
        case("batch affine", 2, 5, Shared::Samples, true, 6),
        case("batch of one", 1, 3, Shared::Samples, true, 7),
        Case::new("constant channel", NormParameters { shared: instance, affine: false }, vec![constant_channel]),
    ]
}

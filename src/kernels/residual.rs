//! The end of a block: `y = leaky_relu(norm(u) + r)` with `r` absent, plain, or normalised too.
//!
//! Shapes: `u, r, y (N, C, X, Y, Z)`, norms `(N, C, 4)` from `norm_parameters`. Source: MONAI's `UnetResBlock` and
//! `UnetBasicBlock`.

use super::{bind_read, bind_write, constant, kernel_name, leaky_relu};
use crate::graph::{Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Target, TensorId};
use crate::graph::{groups, params, values};
use crate::tensor::{HostTensor, Shape};

params!(Params { channels: u32, values: u32 });

/// What is added to the normalised branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortcut {
    /// Nothing: a block without residual connection.
    None,
    /// The block's input.
    Identity,
    /// A 1x1x1 convolution of it, normalised by parameters of its own.
    Normalised,
}

/// A block's branches before its last activation; what the head consumes.
#[derive(Clone, Copy, Debug)]
pub struct BlockEnd {
    /// Raw output of the second convolution and its norm.
    pub u: (TensorId, TensorId),
    /// Shortcut and, if it is normalised, its norm.
    pub r: Option<(TensorId, Option<TensorId>)>,
}

impl BlockEnd {
    /// Which kind of shortcut.
    pub fn shortcut(&self) -> Shortcut {
        match self.r {
            None => Shortcut::None,
            Some((_, None)) => Shortcut::Identity,
            Some((_, Some(_))) => Shortcut::Normalised,
        }
    }

    /// As kernel arguments `u, norm_u, [r, [norm_r]]`.
    pub fn inputs(&self) -> Vec<TensorId> {
        let mut inputs = vec![self.u.0, self.u.1];
        if let Some((r, norm)) = self.r {
            inputs.push(r);
            inputs.extend(norm);
        }
        inputs
    }
}

impl Shortcut {
    /// Number of arguments `u, norm_u, [r, [norm_r]]`.
    pub(crate) fn arguments(self) -> usize {
        match self {
            Self::None => 2,
            Self::Identity => 3,
            Self::Normalised => 4,
        }
    }

    /// Checks these arguments' shapes.
    pub(crate) fn check(self, inputs: &[Shape]) -> Result<(), GraphError> {
        let fits = inputs.len() >= self.arguments()
            && inputs[0].volume().is_some_and(|(n, c, _)| {
                let norm = Shape::from([n, c, 4]);
                inputs[1] == norm
                    && (self == Self::None || inputs[2] == inputs[0])
                    && (self != Self::Normalised || inputs[3] == norm)
            });
        if fits { Ok(()) } else { Err(GraphError::new(format!("branches do not fit: {inputs:?}"))) }
    }

    /// The value at flat index `i` in double precision.
    pub(crate) fn reference(self, inputs: &[&HostTensor], i: usize) -> f64 {
        let (_, _, size) = inputs[0].shape.volume().expect("a volume");
        let channel = i / size.iter().product::<usize>();
        let normed = |x: &HostTensor, n: &HostTensor| x.data[i] * n.data[channel * 4 + 2] + n.data[channel * 4 + 3];
        let branch = normed(inputs[0], inputs[1]);
        leaky_relu(match self {
            Self::None => branch,
            Self::Identity => branch + inputs[2].data[i],
            Self::Normalised => branch + normed(inputs[2], inputs[3]),
        })
    }

    /// Its shader constants.
    pub(crate) fn constants(self) -> [(&'static str, u32); 2] {
        [("RESIDUAL", constant(self != Self::None)), ("NORM_R", constant(self == Self::Normalised))]
    }
}

/// The op; arguments `u, norm_u, [r, [norm_r]]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Residual {
    /// What is added.
    pub shortcut: Shortcut,
}

impl Kernel for Residual {
    kernel_name!("residual");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        self.shortcut.check(inputs)?;
        Ok(vec![inputs[0].clone()])
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let (n, c, size) = io.input(0).volume().expect("checked by infer");
        let (wide, values) = values(size.iter().product());
        let mut bindings: Vec<_> = (0..io.inputs.len()).map(bind_read).collect();
        bindings.push(bind_write(0));
        let mut constants = self.shortcut.constants().to_vec();
        constants.extend([("WIDE", constant(wide)), ("RUN", target.run())]);
        vec![Dispatch {
            shader: "residual",
            entry: "forward",
            constants,
            params: Params { channels: (n * c) as u32, values: values as u32 }.block(),
            bindings,
            groups: groups(n * c * values.div_ceil(512)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let data = (0..inputs[0].data.len()).map(|i| self.shortcut.reference(inputs, i)).collect();
        vec![HostTensor::new(inputs[0].shape.clone(), data)]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 5.0 * io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

impl Graph {
    /// The end of a block as one tensor.
    ///
    /// # Errors
    /// [`GraphError`] if the shapes do not fit.
    pub fn residual(&mut self, name: &str, end: &BlockEnd) -> Result<TensorId, GraphError> {
        self.add_one_op(name, Residual { shortcut: end.shortcut() }, &end.inputs())
    }
}

/// Arguments of a kind, for the cases of this op and of the head.
pub(crate) fn example(shortcut: Shortcut, n: usize, c: usize, size: [usize; 3], seed: u64) -> Vec<HostTensor> {
    let volume = |s| HostTensor::noise([n, c, size[0], size[1], size[2]], s);
    let norm = |s| HostTensor::noise([n, c, 4], s);
    let all = vec![volume(seed), norm(seed + 1), volume(seed + 2), norm(seed + 3)];
    all.into_iter().take(shortcut.arguments()).collect()
}

/// Every kind of shortcut, odd extents, more than 65,535 groups.
pub fn cases() -> Vec<Case> {
    let case = |shortcut, n, c, size, seed| {
        Case::new(format!("{shortcut:?} {n}x{c}x{size:?}"), Residual { shortcut }, example(shortcut, n, c, size, seed))
    };
    vec![
        case(Shortcut::None, 1, 1, [1, 1, 1], 1),
        case(Shortcut::Identity, 2, 3, [3, 5, 7], 2),
        case(Shortcut::Normalised, 2, 5, [4, 3, 2], 3),
        case(Shortcut::Normalised, 1, 17, [64, 64, 64], 4),
        case(Shortcut::Identity, 1, 2, [31, 37, 41], 6),
        case(Shortcut::Normalised, 1, 66_000, [1, 1, 3], 5),
    ]
}

//! Dropout: `y = x / (1 - rate)` with probability `1 - rate`, else 0; then `+ residual`. What is dropped follows from a hash of
//! the seed, the step and the element's index, so that a step can be repeated and the gradient drops the same. Whole channels
//! are dropped where the values of each share a fate.
//!
//! Arguments: `x`, `step (1)`, a whole number below 2²⁴ that the host raises, and a residual of `x`'s shape. Source:
//! `torch.nn.Dropout`, `Dropout3d`; the hash is PCG's.

use super::{bind_read, bind_write, constant, kernel_name};
use crate::graph::{Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { count: u32, together: u32, seed: u32, rate: f32 });

/// What one place of a network drops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mask {
    /// Share that is dropped, in [0, 1).
    pub rate: f32,
    /// A number of this place's own.
    pub seed: u32,
}

/// The op.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// What is dropped.
    pub mask: Mask,
    /// Values side by side that are dropped together: 1, or the voxels of a channel.
    pub together: usize,
    /// Adds a residual last.
    pub residual: bool,
}

fn hash(value: u32) -> u32 {
    let state = value.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
    (word >> 22) ^ word
}

impl Mask {
    /// What element `index` is multiplied by at `step`: 0, or `1 / (1 - rate)`.
    pub(super) fn factors(self, step: &HostTensor) -> impl Fn(usize) -> f64 {
        let key = hash(self.seed ^ hash(step.data[0] as u32));
        move |index| {
            let share = (hash(index as u32 ^ key) >> 8) as f32 / 16_777_216.0;
            if share >= self.rate { 1.0 / (1.0 - f64::from(self.rate)) } else { 0.0 }
        }
    }

    pub(super) fn check(self) -> Result<(), GraphError> {
        match self.rate {
            rate if (0.0..1.0).contains(&rate) => Ok(()),
            rate => Err(GraphError::new(format!("a dropout rate of {rate}: it must be at least 0 and below 1"))),
        }
    }
}

impl Kernel for Dropout {
    kernel_name!("dropout");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        self.mask.check()?;
        if self.together == 0 {
            return Err(GraphError::new("no values that are dropped together"));
        }
        let fits = match (inputs, self.residual) {
            ([x, step], false) => Some(x).filter(|_| step.elements() == 1),
            ([x, step, residual], true) => Some(x).filter(|x| step.elements() == 1 && *x == residual),
            _ => None,
        };
        fits.map(|x| vec![x.clone()])
            .ok_or_else(|| GraphError::new(format!("x, step and residual do not fit: {inputs:?}")))
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let count = io.input(0).elements();
        let mut bindings: Vec<_> = (0..io.inputs.len()).map(bind_read).collect();
        bindings.push(bind_write(0));
        vec![Dispatch {
            shader: "dropout",
            entry: "forward",
            constants: vec![("RESIDUAL", constant(self.residual))],
            params: Params {
                count: count as u32,
                together: self.together as u32,
                seed: self.mask.seed,
                rate: self.mask.rate,
            }
            .block(),
            bindings,
            groups: groups(count.div_ceil(64)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let factor = self.mask.factors(inputs[1]);
        let mut y = inputs[0].clone();
        for (i, v) in y.data.iter_mut().enumerate() {
            *v = *v * factor(i / self.together) + inputs.get(2).map_or(0.0, |residual| residual.data[i]);
        }
        vec![y]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

#[cfg(feature = "train")]
impl crate::graph::Op for Dropout {
    fn backward(
        &self,
        g: &mut Graph,
        node: &crate::graph::Applied,
        dy: &[Option<TensorId>],
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        let mut gradients = vec![None; node.inputs.len()];
        if let Some(dy) = dy[0] {
            if node.needs[0] {
                let op = Self { residual: false, ..*self };
                gradients[0] = Some(g.add_one("", op, &[dy, node.inputs[1]])?);
            }
            if self.residual {
                gradients[2] = Some(dy);
            }
        }
        Ok(gradients)
    }
}

impl Graph {
    /// Dropout of `x` at step `step (1)`, then `+ residual`.
    ///
    /// # Errors
    /// [`GraphError`] if the rate is not in [0, 1) or the residual does not fit.
    pub fn dropout(
        &mut self,
        name: &str,
        x: TensorId,
        step: TensorId,
        mask: Mask,
        residual: Option<TensorId>,
    ) -> Result<TensorId, GraphError> {
        let mut inputs = vec![x, step];
        inputs.extend(residual);
        self.add_one_op(name, Dropout { mask, together: 1, residual: residual.is_some() }, &inputs)
    }

    /// Dropout of whole samples of `x (N, ..)` at step `step (1)`, then `+ residual`: stochastic depth.
    ///
    /// # Errors
    /// [`GraphError`] if the rate is not in [0, 1) or the residual does not fit.
    pub fn dropout_samples(
        &mut self,
        name: &str,
        x: TensorId,
        step: TensorId,
        mask: Mask,
        residual: TensorId,
    ) -> Result<TensorId, GraphError> {
        let shape = self.shape(x);
        let together = shape.elements() / shape.dims().first().copied().unwrap_or(1).max(1);
        self.add_one_op(name, Dropout { mask, together, residual: true }, &[x, step, residual])
    }

    /// Dropout of whole channels of `x (N, C, X, Y, Z)` at step `step (1)`.
    ///
    /// # Errors
    /// [`GraphError`] if the rate is not in [0, 1) or `x` is no volume.
    pub fn dropout_channels(
        &mut self,
        name: &str,
        x: TensorId,
        step: TensorId,
        mask: Mask,
    ) -> Result<TensorId, GraphError> {
        let together = self.shape(x).volume().map_or(0, |(_, _, size)| size.iter().product());
        self.add_one_op(name, Dropout { mask, together, residual: false }, &[x, step])
    }
}

/// Nothing dropped, some, nearly all; other steps; a residual; whole channels and samples.
pub fn cases() -> Vec<Case> {
    let case = |rate, seed, step: f64, together, residual: bool| {
        let mut inputs = vec![HostTensor::noise([50, 60], 3), HostTensor::new([1], vec![step])];
        inputs.extend(residual.then(|| HostTensor::noise([50, 60], 4)));
        let op = Dropout { mask: Mask { rate, seed }, together, residual };
        Case::new(format!("{rate} of seed {seed} at {step}, {together} together, residual {residual}"), op, inputs)
    };
    vec![
        case(0.0, 1, 0.0, 1, false),
        case(0.1, 2, 5.0, 1, true),
        case(0.9, 3, 16_000_000.0, 1, false),
        case(0.4, 4, 2.0, 60, false),
        case(0.5, 5, 3.0, 1500, true),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_dropped_is_the_rate() {
        let x = HostTensor::zeros([100_000]).map(|_| 1.0);
        let run = |seed, step: f64| {
            let op = Dropout { mask: Mask { rate: 0.3, seed }, together: 1, residual: false };
            op.reference(&[&x, &HostTensor::new([1], vec![step])]).remove(0)
        };
        let share = |y: &HostTensor| y.data.iter().filter(|v| **v == 0.0).count() as f64 / 1e5;
        for (seed, step) in [(0, 0.0), (1, 0.0), (0, 1.0), (7, 9000.0)] {
            // Five standard deviations of a binomial share.
            assert!((share(&run(seed, step)) - 0.3).abs() < 0.0073, "{seed} {step}");
        }
        assert_eq!(run(4, 4.0), run(4, 4.0), "repeatable");
        let both = run(0, 0.0).data.iter().zip(&run(0, 1.0).data).filter(|(a, b)| **a == 0.0 && **b == 0.0).count();
        assert!((both as f64 / 1e5 - 0.09).abs() < 0.005, "steps are independent: {both}");
    }
}

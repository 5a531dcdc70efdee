//! The gradient of Dice and cross entropy with respect to the logits: with `q = dDice/dp = a (1 or 2 p) + b g`,
//! `dx = p (q - Σ_c p q)` for a softmax, `dx = q p (1 - p)` for sigmoids, and for the cross entropy
//! `s (softmax(x) Σ w g - w g)`, or `s (p (1 + (w - 1) g) - w g)` of a single class, all times the gradient of the loss; the focal
//! loss has slopes of its own, by the logit or, of a softmax, by its logarithm in place of `-g`. Slopes
//! are `(a, b, s, w)`; where the loss is NaN, so is the gradient.
//!
//! Shapes as in [`super::dice_ce`].

use super::dice_ce::{DiceCe, examples, sizes};
use super::{bind_read, bind_write, kernel_name};
use crate::graph::{Applied, Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Op, Target, TensorId, groups};
use crate::tensor::{HostTensor, Shape};

/// The op; arguments `logits, label, lse, slopes, dloss`. Weights of classes lie in the slopes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiceCeBackward {
    pub loss: DiceCe,
}

impl Kernel for DiceCeBackward {
    kernel_name!("dice_ce_backward");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        if let [logits, label, lse, slopes, dloss] = inputs {
            let unweighted = DiceCe { weighted: false, ..self.loss };
            let made = unweighted.infer(&[logits.clone(), label.clone()])?;
            if made[0] == *dloss && made[1] == *lse && made[2] == *slopes {
                return Ok(vec![logits.clone()]);
            }
        }
        Err(GraphError::new(format!("{inputs:?} do not belong together")))
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let (n, c, voxels, index) = sizes(io.input(0), io.input(1)).expect("checked by infer");
        let mut bindings: Vec<_> = (0..5).map(bind_read).collect();
        bindings.push(bind_write(0));
        vec![Dispatch {
            shader: "dice_ce_backward",
            entry: "forward",
            constants: self.loss.constants(c, index),
            params: self.loss.params(n, c, voxels),
            bindings,
            groups: groups((n * voxels).div_ceil(64)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (logits, label, slopes) = (inputs[0], inputs[1], inputs[3]);
        let (_, c, voxels, _) = sizes(&logits.shape, &label.shape).expect("checked by infer");
        let (p, g, lse) = self.loss.inputs(logits, label);
        let row = |i: usize| &slopes.data[i / voxels * 4..][..4];
        let slope = |i: usize| row(i)[0] * if self.loss.squared { 2.0 * p[i] } else { 1.0 } + row(i)[1] * g[i];
        let mut dx = logits.clone();
        for (i, d) in dx.data.iter_mut().enumerate() {
            let classes = || (0..c).map(|class| (i / voxels / c * c + class) * voxels + i % voxels);
            let log_softmax = |j: usize| logits.data[j] - lse[j / voxels / c * voxels + j % voxels];
            let focal = |focal, j: usize| {
                let voxel = [logits.data[j], g[j], log_softmax(j)];
                row(j)[3] * self.loss.focal_terms(focal, j / voxels % c, c, voxel).1
            };
            let entropy = match (self.loss.focal, c) {
                (Some(f), _) if f.softmax && c > 1 => {
                    focal(f, i) - log_softmax(i).exp() * classes().map(|j| focal(f, j)).sum::<f64>()
                }
                (Some(f), _) => focal(f, i),
                (None, 1) => p[i] * (1.0 + (row(i)[3] - 1.0) * g[i]) - row(i)[3] * g[i],
                _ => {
                    let softmax = log_softmax(i).exp();
                    softmax * classes().map(|j| row(j)[3] * g[j]).sum::<f64>() - row(i)[3] * g[i]
                }
            };
            let dice = match self.loss.sigmoid || c == 1 {
                true => slope(i) * p[i] * (1.0 - p[i]),
                false => p[i] * (slope(i) - classes().map(|j| p[j] * slope(j)).sum::<f64>()),
            };
            *d = (dice + row(i)[2] * entropy) * inputs[4].data[0];
        }
        vec![dx]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 30.0 * io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

impl Op for DiceCe {
    fn backward(
        &self,
        g: &mut Graph,
        node: &Applied,
        dy: &[Option<TensorId>],
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        if dy[1..].iter().any(Option::is_some) || node.needs[1..].contains(&true) {
            return Err(GraphError::new("a loss has a gradient from its value to the logits alone"));
        }
        let Some(dloss) = dy[0] else {
            return Ok(vec![None; node.inputs.len()]);
        };
        let inputs = [node.inputs[0], node.inputs[1], node.outputs[1], node.outputs[2], dloss];
        let mut gradients = vec![None; node.inputs.len()];
        gradients[0] = Some(g.add_one("", DiceCeBackward { loss: *self }, &inputs)?);
        Ok(gradients)
    }
}

/// Every setting.
pub fn cases() -> Vec<Case> {
    examples()
        .into_iter()
        .map(|(name, op, arguments)| {
            let made = op.reference(&arguments.iter().collect::<Vec<_>>());
            let mut inputs = arguments[..2].to_vec();
            inputs.extend([made[1].clone(), made[2].clone(), HostTensor::new([1], vec![0.75])]);
            Case::new(name, DiceCeBackward { loss: op }, inputs)
        })
        .collect()
}

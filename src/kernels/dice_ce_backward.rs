//! The gradient of Dice and cross entropy with respect to the logits: with `q = dDice/dp = a (1 or 2 p) + b g`,
//! `dx = p (q - Σ_c p q)` for a softmax, `dx = q p (1 - p)` for sigmoids, and for the cross entropy
//! `(softmax(x) Σ g - g) / (N V)`, all times the gradient of the loss.
//!
//! Shapes as in [`super::dice_ce`].

use super::dice_ce::{DiceCe, examples, sizes};
use super::{bind_read, bind_write, kernel_name};
use crate::graph::{Applied, Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Op, Target, TensorId, groups};
use crate::tensor::{HostTensor, Shape};

/// The op; arguments `logits, label, lse, slopes, dloss`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiceCeBackward {
    /// The loss.
    pub loss: DiceCe,
}

impl Kernel for DiceCeBackward {
    kernel_name!("dice_ce_backward");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        if let [logits, label, lse, slopes, dloss] = inputs {
            let made = self.loss.infer(&[logits.clone(), label.clone()])?;
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
        let (n, c, voxels, _) = sizes(&logits.shape, &label.shape).expect("checked by infer");
        let (p, g, lse) = self.loss.inputs(logits, label);
        let share = f64::from(self.loss.cross_entropy) / (n * voxels) as f64;
        let slope = |i: usize| {
            let s = &slopes.data[i / voxels * 2..][..2];
            s[0] * if self.loss.squared { 2.0 * p[i] } else { 1.0 } + s[1] * g[i]
        };
        let mut dx = logits.clone();
        for (i, d) in dx.data.iter_mut().enumerate() {
            let classes = || (0..c).map(|class| (i / voxels / c * c + class) * voxels + i % voxels);
            let entropy = match c {
                1 => p[i] - g[i],
                _ => {
                    let softmax = (logits.data[i] - lse[i / voxels / c * voxels + i % voxels]).exp();
                    softmax * classes().map(|j| g[j]).sum::<f64>() - g[i]
                }
            };
            let dice = match self.loss.sigmoid || c == 1 {
                true => slope(i) * p[i] * (1.0 - p[i]),
                false => p[i] * (slope(i) - classes().map(|j| p[j] * slope(j)).sum::<f64>()),
            };
            *d = (dice + share * entropy) * inputs[4].data[0];
        }
        vec![dx]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 30.0 * io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

impl Op for DiceCe {
    fn backward(&self, g: &mut Graph, node: &Applied, dy: &[Option<TensorId>]) -> Result<Vec<Option<TensorId>>, GraphError> {
        if dy[1].is_some() || dy[2].is_some() || node.needs[1] {
            return Err(GraphError::new("a loss has a gradient from its value to the logits alone"));
        }
        let Some(dloss) = dy[0] else {
            return Ok(vec![None; 2]);
        };
        let inputs = [node.inputs[0], node.inputs[1], node.outputs[1], node.outputs[2], dloss];
        Ok(vec![Some(g.add_one("", DiceCeBackward { loss: *self }, &inputs)?), None])
    }
}

/// Every setting.
pub fn cases() -> Vec<Case> {
    examples()
        .into_iter()
        .map(|(name, op, logits, label)| {
            let made = op.reference(&[&logits, &label]);
            let dloss = HostTensor::new([1], vec![0.75]);
            Case::new(name, DiceCeBackward { loss: op }, vec![logits, label, made[1].clone(), made[2].clone(), dloss])
        })
        .collect()
}

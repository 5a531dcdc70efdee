//! Dice loss, cross entropy, or both, of logits, with weights of classes.
//!
//! With `p` the softmax over classes or each class's sigmoid and `g` the truth, over voxels `I = Σ p g`,
//! `D = Σ p + Σ g` (or `Σ p² + Σ g²`): `Dice = mean over (sample, class) of w_c (1 - (2 I + nr) / (D + dr))`; `w` is left out
//! where a single class is left. Cross entropy is `-Σ w_c g_c log softmax_c` over classes and voxels, divided by the sum of the
//! voxels' `w` where labels are class numbers (0 where that is 0) and by the voxels where they are shares. Where there is one
//! class it is the binary one, `w` a factor of its positive part. All this as MONAI has it, whatever the activation.
//!
//! Shapes: logits `(N, C, X, Y, Z)`, label `(N, 1, X, Y, Z)` of class numbers or `(N, C, X, Y, Z)`, weights `(C)`; results
//! the loss `(1)`, the logarithm of the softmax's denominator `(N, X, Y, Z)`, slopes `(N, C, 4)` for the gradient, and Dice and
//! cross entropy without their factors `(2)`; a share of a sum of several losses is a factor of all of them. A logit or label that is not finite, by its bits, or a label that is no class
//! number makes loss, slopes and parts NaN. Source: MONAI's `DiceLoss`, `DiceCELoss`.

use super::{bind_read, bind_write, constant, kernel_name};
use crate::gpu::Access;
use crate::graph::{Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Operand, Params as Block, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params {
    samples: u32,
    classes: u32,
    voxels: u32,
    parts: u32,
    first: u32,
    together: u32,
    dice: f32,
    entropy: f32,
    smooth_nr: f32,
    smooth_dr: f32,
    share: f32,
});

/// The op; arguments `logits, label, [class weights]`, results `loss, lse, slopes, parts`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiceCe {
    /// Every class has a sigmoid of its own, instead of a softmax over all.
    pub sigmoid: bool,
    /// Factor of the Dice term.
    pub dice: f32,
    /// Factor of the cross entropy.
    pub cross_entropy: f32,
    /// Squares in the Dice term's denominator.
    pub squared: bool,
    /// Sums over the batch before the quotient.
    pub batch: bool,
    /// Whether class 0 counts in the Dice term (it always does if it is the only one).
    pub background: bool,
    /// Added to the numerator.
    pub smooth_nr: f32,
    /// Added to the denominator.
    pub smooth_dr: f32,
    /// Classes have weights, not negative.
    pub weighted: bool,
    /// Share of this loss in a sum of several: a factor of all results and of the gradient.
    pub share: f32,
}

impl Default for DiceCe {
    /// MONAI's `DiceCELoss(to_onehot_y=True, softmax=True)`.
    fn default() -> Self {
        Self {
            sigmoid: false,
            dice: 1.0,
            cross_entropy: 1.0,
            squared: false,
            batch: false,
            background: true,
            smooth_nr: 1e-5,
            smooth_dr: 1e-5,
            weighted: false,
            share: 1.0,
        }
    }
}

/// Samples, classes, voxels, and whether labels are class numbers.
pub(super) fn sizes(logits: &Shape, label: &Shape) -> Option<(usize, usize, usize, bool)> {
    let (n, c, size) = logits.volume()?;
    let (ln, lc, lsize) = label.volume()?;
    let voxels = size.iter().product();
    (ln == n && lsize == size && (lc == c || lc == 1)).then_some((n, c, voxels, lc != c))
}

/// Invocations per class and sample; no loop may be long.
fn parts(voxels: usize) -> usize {
    (voxels / 4096).next_power_of_two().clamp(16, 8192)
}

impl DiceCe {
    pub(super) fn params(&self, n: usize, c: usize, voxels: usize) -> Block {
        Params {
            samples: n as u32,
            classes: c as u32,
            voxels: voxels as u32,
            parts: parts(voxels) as u32,
            first: u32::from(self.first(c) == 1),
            together: u32::from(self.batch),
            dice: self.dice * self.share,
            entropy: self.cross_entropy * self.share,
            smooth_nr: self.smooth_nr,
            smooth_dr: self.smooth_dr,
            share: self.share,
        }
        .block()
    }

    /// The switches that forward and backward share.
    pub(super) fn constants(&self, c: usize, index: bool) -> Vec<(&'static str, u32)> {
        vec![
            ("INDEX", constant(index)),
            ("SIGMOID", constant(self.sigmoid || c == 1)),
            ("SQUARED", constant(self.squared)),
            ("BINARY", constant(c == 1)),
            ("WEIGHTED", constant(self.weighted)),
        ]
    }

    fn first(&self, c: usize) -> usize {
        usize::from(!self.background && c > 1)
    }

    /// Weight of each class in the Dice term: MONAI leaves weights out where a single class is left.
    fn dice_weights(&self, weights: &[f64]) -> Vec<f64> {
        if weights.len() - self.first(weights.len()) == 1 { vec![1.0; weights.len()] } else { weights.to_vec() }
    }

    /// Probability and truth of class `c` at every `(n, c, voxel)`, and the logarithms of the denominators.
    pub(super) fn inputs(&self, logits: &HostTensor, label: &HostTensor) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let (n, c, voxels, index) = sizes(&logits.shape, &label.shape).expect("checked by infer");
        let mut lse = vec![0.0; n * voxels];
        for (i, out) in lse.iter_mut().enumerate() {
            let at = |class: usize| logits.data[(i / voxels * c + class) * voxels + i % voxels];
            let most = (0..c).map(at).fold(f64::MIN, f64::max);
            *out = most + (0..c).map(|class| (at(class) - most).exp()).sum::<f64>().ln();
        }
        let total = |i: usize| lse[i / voxels / c * voxels + i % voxels];
        let p = logits.data.iter().enumerate().map(|(i, x)| match self.sigmoid || c == 1 {
            true => 1.0 / (1.0 + (-x).exp()),
            false => (x - total(i)).exp(),
        });
        let truth = |i: usize| match index {
            true => f64::from(u8::from(label.data[i / voxels / c * voxels + i % voxels] == (i / voxels % c) as f64)),
            false => label.data[i],
        };
        let p: Vec<f64> = p.collect();
        let g = (0..logits.data.len()).map(truth).collect();
        (p, g, lse)
    }
}

impl Kernel for DiceCe {
    kernel_name!("dice_ce");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let fits = match (inputs, self.weighted) {
            ([logits, label], false) => sizes(logits, label).map(|s| (s, logits.dims())),
            ([logits, label, weights], true) => {
                sizes(logits, label).filter(|s| weights.elements() == s.1).map(|s| (s, logits.dims()))
            }
            _ => None,
        };
        let ((n, c, ..), d) = fits.ok_or_else(|| {
            let weights = if self.weighted { " and weights of classes" } else { "" };
            GraphError::new(format!("logits, label{weights} do not fit: {inputs:?}"))
        })?;
        Ok(vec![Shape::from([1]), Shape::from([n, d[2], d[3], d[4]]), Shape::from([n, c, 4]), Shape::from([2])])
    }

    fn scratch(&self, io: &Io, _target: &Target) -> Vec<u64> {
        let (n, c, voxels, _) = sizes(io.input(0), io.input(1)).expect("checked by infer");
        vec![(n * c * parts(voxels)) as u64 * 16, (n * c) as u64 * 16]
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let (n, c, voxels, index) = sizes(io.input(0), io.input(1)).expect("checked by infer");
        let (partials, sums) = (Operand::Scratch(0), Operand::Scratch(1));
        let (read, write) = (Access::Read, Access::Write);
        let stage = |number: usize, bindings, invocations: usize| {
            let mut constants = self.constants(c, index);
            let names = ["TO_LSE", "TO_PARTS", "TO_SUMS", "TO_LOSS"];
            constants.extend(names.iter().enumerate().map(|(i, name)| (*name, constant(i == number))));
            Dispatch {
                shader: "dice_ce",
                entry: "forward",
                constants,
                params: self.params(n, c, voxels),
                bindings,
                groups: groups(invocations.div_ceil(64)),
            }
        };
        let lse = Operand::Output(1);
        let mut to_parts = vec![bind_read(0), bind_read(1), (lse, read)];
        to_parts.extend((self.weighted && c == 1).then(|| bind_read(2)));
        to_parts.push((partials, write));
        let mut to_loss = vec![(sums, read)];
        to_loss.extend(self.weighted.then(|| bind_read(2)));
        to_loss.extend([bind_write(0), bind_write(2), bind_write(3)]);
        vec![
            stage(0, vec![bind_read(0), (lse, write)], n * voxels),
            stage(1, to_parts, n * c * parts(voxels)),
            stage(2, vec![(partials, read), (sums, write)], n * c),
            stage(3, to_loss, 1),
        ]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (logits, label) = (inputs[0], inputs[1]);
        let (n, c, voxels, index) = sizes(&logits.shape, &label.shape).expect("checked by infer");
        let weights = inputs.get(2).map_or_else(|| vec![1.0; c], |w| w.data.clone());
        let dice_weights = self.dice_weights(&weights);
        let (p, g, lse) = self.inputs(logits, label);
        let (outer, inner) = if self.batch { (1, n) } else { (n, 1) };
        let items = (outer * (c - self.first(c))) as f64;
        let mut slopes = HostTensor::zeros([n, c, 4]);
        let (mut dice, mut entropy, mut weight) = (0.0, 0.0, 0.0);
        for (item, class) in (0..outer).flat_map(|o| (0..c).map(move |class| (o, class))) {
            let (mut both, mut size) = (0.0, 0.0);
            for i in (0..inner).flat_map(|s| ((item + s) * c + class) * voxels..((item + s) * c + class + 1) * voxels) {
                let (x, w) = (logits.data[i], weights[class]);
                both += p[i] * g[i];
                size += if self.squared { p[i] * p[i] + g[i] * g[i] } else { p[i] + g[i] };
                entropy += match c {
                    1 => (1.0 - g[i]) * x + (1.0 + (w - 1.0) * g[i]) * ((-x).max(0.0) + (-x.abs()).exp().ln_1p()),
                    _ => w * g[i] * (lse[i / voxels / c * voxels + i % voxels] - x),
                };
                weight += if index { w * g[i] } else { 1.0 / c as f64 };
            }
            let quotient = (2.0 * both + f64::from(self.smooth_nr), size + f64::from(self.smooth_dr));
            if class >= self.first(c) {
                dice += dice_weights[class] * (1.0 - quotient.0 / quotient.1) / items;
                let share = f64::from(self.share) * f64::from(self.dice) * dice_weights[class] / items;
                for s in 0..inner {
                    let slope = [share * quotient.0 / quotient.1.powi(2), -2.0 * share / quotient.1];
                    slopes.data[((item + s) * c + class) * 4..][..2].copy_from_slice(&slope);
                }
            }
        }
        let entropy_of = |sum: f64| if weight == 0.0 { 0.0 } else { sum / weight };
        for (i, slope) in slopes.data.chunks_exact_mut(4).enumerate() {
            let factor = f64::from(self.share) * f64::from(self.cross_entropy);
            (slope[2], slope[3]) = (entropy_of(factor), weights[i % c]);
        }
        let (dice, entropy) = (f64::from(self.share) * dice, f64::from(self.share) * entropy_of(entropy));
        let loss = f64::from(self.dice) * dice + f64::from(self.cross_entropy) * entropy;
        let number = |v: &f64| !index || (*v >= 0.0 && *v < c as f64 && v.fract() == 0.0);
        let sound = logits.data.iter().all(|v| v.is_finite()) && label.data.iter().all(|v| v.is_finite() && number(v));
        let mark = |t: HostTensor| t.map(|v| if sound { v } else { f64::NAN });
        let d = logits.shape.dims();
        vec![
            mark(HostTensor::new([1], vec![loss])),
            HostTensor::new([n, d[2], d[3], d[4]], lse),
            mark(slopes),
            mark(HostTensor::new([2], vec![dice, entropy])),
        ]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 30.0 * io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

impl Graph {
    /// The loss `(1)` of logits, and its Dice and cross entropy without their factors `(2)`; of both its share.
    ///
    /// # Errors
    /// [`GraphError`] if the label does not fit, or weights `(C)` are not given exactly where the loss has them.
    pub fn dice_ce(
        &mut self,
        name: &str,
        logits: TensorId,
        label: TensorId,
        class_weights: Option<TensorId>,
        loss: DiceCe,
    ) -> Result<(TensorId, TensorId), GraphError> {
        let mut inputs = vec![logits, label];
        inputs.extend(class_weights);
        let outputs = self.add_op(name, loss, &inputs)?;
        Ok((outputs[0], outputs[3]))
    }
}

/// Settings and arguments for the cases of this op and of its gradient.
pub(super) fn examples() -> Vec<(String, DiceCe, Vec<HostTensor>)> {
    let plain = DiceCe::default();
    let sigmoid = DiceCe { sigmoid: true, ..plain };
    let weighted = DiceCe { weighted: true, ..plain };
    let settings = [
        ("softmax", plain, 2, 3, 1),
        ("squared, no smoothing", DiceCe { squared: true, smooth_nr: 0.0, smooth_dr: 1e-6, ..plain }, 1, 14, 1),
        ("without background", DiceCe { background: false, ..plain }, 2, 4, 1),
        ("batch", DiceCe { batch: true, cross_entropy: 0.0, ..plain }, 3, 2, 1),
        ("cross entropy alone", DiceCe { dice: 0.0, ..plain }, 1, 5, 1),
        ("sigmoid", DiceCe { cross_entropy: 0.0, ..sigmoid }, 2, 3, 3),
        ("sigmoid with cross entropy", sigmoid, 1, 3, 3),
        ("one class", sigmoid, 2, 1, 1),
        ("weighted", weighted, 2, 3, 1),
        ("weighted, squared, batch", DiceCe { squared: true, batch: true, ..weighted }, 2, 5, 1),
        ("weighted, without background", DiceCe { background: false, ..weighted }, 2, 4, 1),
        ("weighted, one class left", DiceCe { background: false, ..weighted }, 2, 2, 1),
        ("weighted, one class", DiceCe { sigmoid: true, ..weighted }, 2, 1, 1),
        ("a share of a sum", DiceCe { share: 0.25, cross_entropy: 0.5, ..plain }, 2, 3, 1),
        ("weighted, shares", DiceCe { sigmoid: true, ..weighted }, 2, 3, 3),
    ];
    let example = |(name, op, n, c, labels): (&str, DiceCe, usize, usize, usize)| {
        let size = [9, 7, 5];
        let logits = HostTensor::noise([n, c, size[0], size[1], size[2]], c as u64).map(|v| v * 6.0);
        let label = HostTensor::noise([n, labels, size[0], size[1], size[2]], 50);
        let classes = if labels == c { 2 } else { c };
        let label = label.map(|v| ((v + 1.0) / 2.0 * classes as f64).floor());
        let mut arguments = vec![logits, label];
        arguments.extend(op.weighted.then(|| HostTensor::noise([c], 51).map(|v| 1.5 + v)));
        (name.to_owned(), op, arguments)
    };
    settings.into_iter().map(example).collect()
}

/// Every setting, logits whose exponentials overflow, and voxels of which none has a weight.
pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> =
        examples().into_iter().map(|(name, op, arguments)| Case::new(name, op, arguments)).collect();
    let (_, op, mut arguments) = examples().remove(0);
    arguments[0] = arguments[0].clone().map(|v| v * 100.0);
    cases.push(Case::new("large logits", op, arguments.clone()));
    arguments[1] = arguments[1].clone().map(|_| 2.0);
    arguments.push(HostTensor::new([3], vec![1.0, 0.5, 0.0]));
    cases.push(Case::new("no voxel has a weight", DiceCe { weighted: true, ..op }, arguments));
    cases
}

//! Dice loss, cross entropy, or both, of logits, with weights of classes; and what stands in their place: the generalised Dice and
//! the Tversky loss, and the focal loss.
//!
//! With `p` the softmax over classes or each class's sigmoid and `g` the truth, over voxels `I = Σ p g`,
//! `D = Σ p + Σ g` (or `Σ p² + Σ g²`): `Dice = mean over (sample, class) of w_c (1 - (2 I + nr) / (D + dr))`; `w` is left out
//! where a single class is left. Cross entropy is `-Σ w_c g_c log softmax_c` over classes and voxels, divided by the sum of the
//! voxels' `w` where labels are class numbers (0 where that is 0) and by the voxels where they are shares. Where there is one
//! class it is the binary one, `w` a factor of its positive part. All this as MONAI has it, whatever the activation.
//!
//! Generalised Dice, of each sample: `1 - (2 Σ_c v_c I_c + nr) / (Σ_c v_c D_c + dr)`, where `v_c` is 1 over the square of `Σ g` of
//! the class, or 1 over it, or 1; classes that the truth lacks take the largest of the others'. Tversky:
//! `1 - (I + nr) / (I + α Σ p (1 - g) + β Σ (1 - p) g + dr)`. Focal, the mean over classes and voxels of `w_c` times
//! `(1 - q)^γ` times a cross entropy: with `q` the probability of what is true, of each class by itself
//! (`Σ (g α + (1 - g)(1 - α))` where there is an α), or of the softmax's class. Neither Tversky nor generalised Dice have `w`.
//!
//! Shapes: logits `(N, C, X, Y, Z)`, label `(N, 1, X, Y, Z)` of class numbers or `(N, C, X, Y, Z)`, weights `(C)`; results
//! the loss `(1)`, the logarithm of the softmax's denominator `(N, X, Y, Z)`, slopes `(N, C, 4)` for the gradient, and Dice and
//! cross entropy without their factors `(2)`; a share of a sum of several losses is a factor of all of them. A logit or label that is not finite, by its bits, or a label that is no class
//! number makes loss, slopes and parts NaN. Source: MONAI's `DiceLoss`, `DiceCELoss`, `GeneralizedDiceLoss`, `TverskyLoss`,
//! `FocalLoss`, `DiceFocalLoss`; Sudre et al., DLMIA 2017; Salehi et al., MLMI 2017; Lin et al., ICCV 2017.

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
    alpha: f32,
    beta: f32,
    gamma: f32,
    focal_alpha: f32,
});

/// How prediction and truth are compared over all voxels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Overlap {
    /// Dice, of each class by itself.
    #[default]
    Dice,
    /// Dice of all classes together.
    Generalised(ClassSizes),
    /// With factors of its own for what is predicted and not true, and for what is true and not predicted.
    Tversky {
        /// Of false positives.
        alpha: f32,
        /// Of false negatives.
        beta: f32,
    },
}

/// What a class counts for in the generalised Dice loss, by the voxels that it has in truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClassSizes {
    /// 1 over their square.
    #[default]
    Square,
    /// 1 over their number.
    Simple,
    /// 1.
    Uniform,
}

impl ClassSizes {
    /// The exponent.
    fn power(self) -> u32 {
        match self {
            Self::Square => 2,
            Self::Simple => 1,
            Self::Uniform => 0,
        }
    }
}

/// The focal loss in place of the cross entropy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Focal {
    /// The exponent, at least 0.
    pub gamma: f32,
    /// Factor of what is true, in [0, 1]; 1 less it is that of what is not, or, of a softmax, that of class 0.
    pub alpha: Option<f32>,
    /// Of the softmax over classes, instead of each class's sigmoid, whatever the overlap is of.
    pub softmax: bool,
}

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
    /// What the Dice term is.
    pub overlap: Overlap,
    /// What takes the cross entropy's place, under its factor.
    pub focal: Option<Focal>,
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
            overlap: Overlap::Dice,
            focal: None,
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
            alpha: self.tversky().0,
            beta: self.tversky().1,
            gamma: self.focal.map_or(0.0, |f| f.gamma),
            focal_alpha: self.focal.and_then(|f| f.alpha).unwrap_or(0.0),
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
            ("GENERALISED", constant(matches!(self.overlap, Overlap::Generalised(_)))),
            ("POWER", if let Overlap::Generalised(sizes) = self.overlap { sizes.power() } else { 0 }),
            ("TVERSKY", constant(matches!(self.overlap, Overlap::Tversky { .. }))),
            ("FOCAL", constant(self.focal.is_some() && !self.focal_of_softmax(c))),
            ("FOCAL_SOFTMAX", constant(self.focal_of_softmax(c))),
            ("FOCAL_ALPHA", constant(self.focal.is_some_and(|f| f.alpha.is_some()))),
        ]
    }

    fn tversky(&self) -> (f32, f32) {
        if let Overlap::Tversky { alpha, beta } = self.overlap { (alpha, beta) } else { (0.0, 0.0) }
    }

    /// A single class has no softmax.
    fn focal_of_softmax(&self, c: usize) -> bool {
        c > 1 && self.focal.is_some_and(|f| f.softmax)
    }

    /// Settings that MONAI's losses do not have.
    fn check(&self) -> Result<(), GraphError> {
        let problem = match (self.overlap, self.focal) {
            (Overlap::Generalised(_) | Overlap::Tversky { .. }, _) if self.squared => {
                "squares in the denominator are Dice's alone"
            }
            (_, Some(focal)) if focal.softmax && !self.background => {
                "the focal loss of a softmax has no form without the background"
            }
            _ => return Ok(()),
        };
        Err(GraphError::new(problem))
    }

    /// Factor of a voxel's focal loss, without its class's weight.
    fn focal_factor(&self, focal: Focal, class: usize, c: usize, g: f64) -> f64 {
        match focal.alpha.map(f64::from) {
            None => 1.0,
            Some(alpha) if self.focal_of_softmax(c) => {
                if class == 0 {
                    1.0 - alpha
                } else {
                    alpha
                }
            }
            Some(alpha) => g * alpha + (1.0 - g) * (1.0 - alpha),
        }
    }

    /// A voxel's focal loss of a class of logit `x`, truth `g` and logarithm `ls` of the softmax; and its slope: by the logit, or
    /// of a softmax by `ls`.
    pub(super) fn focal_terms(&self, focal: Focal, class: usize, c: usize, [x, g, ls]: [f64; 3]) -> (f64, f64) {
        let (gamma, factor) = (f64::from(focal.gamma), self.focal_factor(focal, class, c, g));
        let power = |q: f64, exponent: f64| (exponent * q.max(1e-30).ln()).exp();
        if self.focal_of_softmax(c) {
            let p = ls.exp();
            let slope = gamma * power(1.0 - p, gamma - 1.0) * p * ls - power(1.0 - p, gamma);
            return (-power(1.0 - p, gamma) * ls * g * factor, slope * g * factor);
        }
        let softplus = |v: f64| v.max(0.0) + (-v.abs()).exp().ln_1p();
        let logistic = |v: f64| 1.0 / (1.0 + (-v).exp());
        let sign = 2.0 * g - 1.0;
        let entropy = (1.0 - g) * x + softplus(-x);
        let faded = (-gamma * softplus(x * sign)).exp() * factor;
        (faded * entropy, faded * (logistic(x) - g - gamma * sign * logistic(x * sign) * entropy))
    }

    /// Counts of the classes in the generalised Dice loss; `sizes` are the voxels that each has in truth.
    fn class_counts(sizes: ClassSizes, truth: &[f64]) -> Vec<f64> {
        let counts = |g: &f64| {
            if *g == 0.0 && sizes != ClassSizes::Uniform { 0.0 } else { g.powi(sizes.power() as i32).recip() }
        };
        let most = truth.iter().map(counts).fold(0.0, f64::max);
        truth.iter().map(|g| if *g == 0.0 && sizes != ClassSizes::Uniform { most } else { counts(g) }).collect()
    }

    fn first(&self, c: usize) -> usize {
        usize::from(!self.background && c > 1)
    }

    /// Weight of each class in the Dice term: MONAI leaves weights out where a single class is left, and has none in the other
    /// overlaps.
    fn dice_weights(&self, weights: &[f64]) -> Vec<f64> {
        if self.overlap != Overlap::Dice || weights.len() - self.first(weights.len()) == 1 {
            vec![1.0; weights.len()]
        } else {
            weights.to_vec()
        }
    }

    /// The overlap term of the classes that count, of their sums and weights, and its slopes `(a, b)`.
    fn overlap_of(&self, sums: &[[f64; 3]], weights: &[f64]) -> (f64, Vec<[f64; 2]>) {
        let (nr, dr) = (f64::from(self.smooth_nr), f64::from(self.smooth_dr));
        let each = 1.0 / sums.len() as f64;
        match self.overlap {
            Overlap::Generalised(sizes) => {
                let counts = Self::class_counts(sizes, &sums.iter().map(|sum| sum[2]).collect::<Vec<_>>());
                let of = |value: fn(&[f64; 3]) -> f64| sums.iter().zip(&counts).map(|(s, v)| v * value(s)).sum::<f64>();
                let denominator = of(|s| s[1] + s[2]) + dr;
                let quotient = (2.0 * of(|s| s[0]) + nr) / denominator;
                (1.0 - quotient, counts.iter().map(|v| [v * quotient / denominator, -2.0 * v / denominator]).collect())
            }
            Overlap::Dice | Overlap::Tversky { .. } => {
                let one = |(&[both, p, g], weight): (&[f64; 3], &f64)| {
                    if let Overlap::Tversky { alpha, beta } = self.overlap {
                        let (alpha, beta) = (f64::from(alpha), f64::from(beta));
                        let denominator = both + alpha * (p - both) + beta * (g - both) + dr;
                        let quotient = (both + nr) / denominator;
                        let slope = [quotient * alpha, quotient * (1.0 - alpha - beta) - 1.0];
                        return ((1.0 - quotient) * each, slope.map(|v| v * each / denominator));
                    }
                    let (denominator, share) = (p + g + dr, weight * each);
                    let quotient = (2.0 * both + nr) / denominator;
                    ((1.0 - quotient) * share, [quotient, -2.0].map(|v| v * share / denominator))
                };
                let (values, slopes): (Vec<f64>, Vec<[f64; 2]>) = sums.iter().zip(weights).map(one).unzip();
                (values.iter().sum(), slopes)
            }
        }
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
        self.check()?;
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
        let (first, share) = (self.first(c), f64::from(self.share));
        let mut slopes = HostTensor::zeros([n, c, 4]);
        let (mut dice, mut entropy, mut weight) = (0.0, 0.0, 0.0);
        for item in 0..outer {
            // Of each class: Σ p g, Σ p, Σ g, or their squares.
            let mut sums = vec![[0.0; 3]; c];
            for (class, sum) in sums.iter_mut().enumerate() {
                let rows = (0..inner).map(|s| ((item + s) * c + class) * voxels);
                for i in rows.flat_map(|row| row..row + voxels) {
                    let (x, w) = (logits.data[i], weights[class]);
                    let log_softmax = x - lse[i / voxels / c * voxels + i % voxels];
                    sum[0] += p[i] * g[i];
                    sum[1] += if self.squared { p[i] * p[i] } else { p[i] };
                    sum[2] += if self.squared { g[i] * g[i] } else { g[i] };
                    entropy += match (self.focal, c) {
                        (Some(_), _) if class < first => 0.0,
                        (Some(focal), _) => w * self.focal_terms(focal, class, c, [x, g[i], log_softmax]).0,
                        (None, 1) => {
                            (1.0 - g[i]) * x + (1.0 + (w - 1.0) * g[i]) * ((-x).max(0.0) + (-x.abs()).exp().ln_1p())
                        }
                        _ => -w * g[i] * log_softmax,
                    };
                    weight += match self.focal {
                        Some(_) => f64::from(u8::from(class >= first)),
                        None if index => w * g[i],
                        None => 1.0 / c as f64,
                    };
                }
            }
            let (value, slope) = self.overlap_of(&sums[first..], &dice_weights[first..]);
            dice += value / outer as f64;
            for (class, slope) in slope.into_iter().enumerate() {
                for s in 0..inner {
                    let slope = slope.map(|v| v * share * f64::from(self.dice) / outer as f64);
                    slopes.data[((item + s) * c + first + class) * 4..][..2].copy_from_slice(&slope);
                }
            }
        }
        let entropy_of = |sum: f64| if weight == 0.0 { 0.0 } else { sum / weight };
        for (i, slope) in slopes.data.chunks_exact_mut(4).enumerate() {
            let counts = self.focal.is_none() || i % c >= first;
            let factor = if counts { entropy_of(share * f64::from(self.cross_entropy)) } else { 0.0 };
            (slope[2], slope[3]) = (factor, weights[i % c]);
        }
        let (dice, entropy) = (share * dice, share * entropy_of(entropy));
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

const FOCAL: Focal = Focal { gamma: 2.0, alpha: None, softmax: false };

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
        ("generalised", DiceCe { overlap: Overlap::Generalised(ClassSizes::Square), ..plain }, 2, 4, 1),
        (
            "generalised, batch",
            DiceCe { overlap: Overlap::Generalised(ClassSizes::Simple), batch: true, ..weighted },
            2,
            3,
            1,
        ),
        ("generalised, uniform", DiceCe { overlap: Overlap::Generalised(ClassSizes::Uniform), ..sigmoid }, 2, 3, 3),
        (
            "Tversky",
            DiceCe { overlap: Overlap::Tversky { alpha: 0.3, beta: 0.7 }, background: false, ..plain },
            2,
            4,
            1,
        ),
        (
            "Tversky, batch",
            DiceCe { overlap: Overlap::Tversky { alpha: 0.6, beta: 0.1 }, batch: true, ..sigmoid },
            2,
            2,
            2,
        ),
        ("focal", DiceCe { focal: Some(FOCAL), ..weighted }, 2, 3, 1),
        ("focal, alpha", DiceCe { focal: Some(Focal { gamma: 1.5, alpha: Some(0.3), ..FOCAL }), ..sigmoid }, 2, 3, 3),
        ("focal, without background", DiceCe { focal: Some(FOCAL), background: false, ..weighted }, 2, 4, 1),
        ("focal of a softmax", DiceCe { focal: Some(Focal { softmax: true, ..FOCAL }), ..weighted }, 2, 3, 1),
        (
            "focal of a softmax, alpha, no fading",
            DiceCe { focal: Some(Focal { gamma: 0.0, alpha: Some(0.3), softmax: true }), dice: 0.0, ..plain },
            1,
            3,
            1,
        ),
        ("focal, one class", DiceCe { focal: Some(FOCAL), ..sigmoid }, 2, 1, 1),
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

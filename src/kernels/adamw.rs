//! One step of AdamW on one tensor, in place, and the moving average of its weights.
//!
//! `m = β₁ m + (1 - β₁) g`, `v = β₂ v + (1 - β₂) g²`, `w = (1 - η λ) w - η m̂ / (√v̂ + ε)` with `m̂ = m / (1 - β₁ᵗ)`,
//! `v̂ = v / (1 - β₂ᵗ)`; `average = δ average + (1 - δ) w`. `g` is the gradient times the factor of [`super::clip`]; where the
//! gradients are not finite, nothing changes. Everything is elementwise, so any layout will do, as long as it is the same.
//! Arguments: gradient, rates `(8)`, clip `(4)`, then `w, m, v, [average]`. Source: `torch.optim.AdamW`, arXiv 1711.05101.

use super::{bind_read, bind_write, constant, kernel_name};
use crate::graph::{Case, Cost, Dispatch, GraphError, Io, Kernel, Target};
use crate::graph::{groups, params, values};
use crate::tensor::{HostTensor, Shape};

params!(Params { count: u32, decays: u32 });

/// The op.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Whether this tensor's weights decay.
    pub decays: bool,
    /// With a moving average.
    pub average: bool,
}

/// What changes from step to step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    pub learning_rate: f64,
    /// Decay of the weights.
    pub weight_decay: f64,
    /// Decay of the gradients' mean and of their squares'.
    pub betas: (f64, f64),
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decay of the weights' moving average.
    pub average: f64,
}

impl Default for Rates {
    /// The research code's.
    fn default() -> Self {
        Self { learning_rate: 1e-4, weight_decay: 1e-5, betas: (0.9, 0.999), epsilon: 1e-8, average: 0.999 }
    }
}

impl Rates {
    /// As the kernel takes them, at step `t` counted from 1.
    pub fn at(&self, t: u32) -> [f32; 8] {
        let power = |beta: f64| -f64::exp_m1(f64::from(t.max(1)) * beta.ln());
        [
            self.learning_rate,
            self.weight_decay,
            // Complements are taken here: in single precision 1 - 0.999 has lost five digits.
            1.0 - self.betas.0,
            1.0 - self.betas.1,
            self.epsilon,
            power(self.betas.0),
            power(self.betas.1),
            1.0 - self.average,
        ]
        .map(|v| v as f32)
    }
}

impl Kernel for AdamW {
    kernel_name!("adamw");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let targets = inputs.get(3..).unwrap_or_default();
        let fits = targets.len() == 3 + usize::from(self.average)
            && targets.iter().all(|t| *t == inputs[0])
            && inputs[1].elements() == 8
            && inputs[2].elements() == 4;
        if fits { Ok(targets.to_vec()) } else { Err(GraphError::new(format!("moments do not fit: {inputs:?}"))) }
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let (wide, count) = values(io.inputs[0].written());
        let mut bindings: Vec<_> = (0..3).map(bind_read).collect();
        bindings.extend((0..io.outputs.len()).map(bind_write));
        vec![Dispatch {
            shader: "adamw",
            entry: "forward",
            constants: vec![("AVERAGE", constant(self.average)), ("WIDE", constant(wide)), ("RUN", target.run())],
            params: Params { count: count as u32, decays: u32::from(self.decays) }.block(),
            bindings,
            groups: groups(count.div_ceil(256)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (rates, clip) = (&inputs[1].data, &inputs[2].data);
        let mut targets: Vec<HostTensor> = inputs[3..].iter().map(|t| (*t).clone()).collect();
        if clip[2] == 0.0 {
            return targets;
        }
        for (i, g) in inputs[0].data.iter().enumerate() {
            let g = g * clip[1];
            let m = (1.0 - rates[2]) * targets[1].data[i] + rates[2] * g;
            let v = (1.0 - rates[3]) * targets[2].data[i] + rates[3] * g * g;
            let decay = if self.decays { 1.0 - rates[0] * rates[1] } else { 1.0 };
            let w = targets[0].data[i] * decay - rates[0] * (m / rates[5]) / ((v / rates[6]).sqrt() + rates[4]);
            (targets[0].data[i], targets[1].data[i], targets[2].data[i]) = (w, m, v);
            if let Some(average) = targets.get_mut(3) {
                average.data[i] = (1.0 - rates[7]) * average.data[i] + rates[7] * w;
            }
        }
        targets
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 14.0 * io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

/// With and without decay and average, the first step, a clipped one, and one that is not taken.
pub fn cases() -> Vec<Case> {
    let case = |name: &str, decays, average: bool, t: u32, clip: [f64; 4]| {
        let noise = |seed| HostTensor::noise(if average { [3, 7, 5] } else { [4, 7, 13] }, seed);
        let rates = Rates { learning_rate: 0.01, weight_decay: 0.1, ..Rates::default() }.at(t);
        let mut inputs = vec![noise(1), HostTensor::from_f32([8], &rates), HostTensor::new([4], clip.to_vec())];
        inputs.extend([noise(2), noise(3), noise(4).map(f64::abs)]);
        inputs.extend(average.then(|| noise(5)));
        Case::new(name, AdamW { decays, average }, inputs).updating_last(3 + usize::from(average))
    };
    // Gradients, moments and weights as they are after some steps.
    let small = |shape: [usize; 3]| {
        let noise = |seed, size: f64| HostTensor::noise(shape, seed).map(|v| v * size);
        let rates = Rates { learning_rate: 1e-3, ..Rates::default() }.at(5);
        let mut inputs =
            vec![noise(1, 1e-4), HostTensor::from_f32([8], &rates), HostTensor::new([4], vec![1.0, 1.0, 1.0, 0.0])];
        inputs.extend([noise(2, 0.1), noise(3, 4e-5), noise(4, 1e-4).map(|v| 5e-3 * v * v)]);
        Case::new(format!("small {shape:?}"), AdamW { decays: true, average: false }, inputs).updating_last(3)
    };
    vec![
        small([3, 7, 5]),
        small([4, 7, 13]),
        case("first", true, false, 1, [1.0, 1.0, 1.0, 0.0]),
        case("clipped, averaged", false, true, 7, [4.0, 0.25, 1.0, 0.0]),
        case("not finite", true, true, 3, [1.0, 1.0, 0.0, 0.0]),
    ]
}

//! Multi-head self-attention with a running softmax: `o = softmax(q kᵀ / √d) v` per head, no token x token matrix.
//!
//! Shapes: `qkv (N, T, 3 h d)` with a row `[q | k | v]`, each `(heads, d)`; `o (N, T, h d)`; `lse (N, h, T)`, the
//! logarithm of each softmax's denominator, from which a backward pass recomputes the weights. In training, dropout may be
//! applied to the normalised weights, numbered as `(N, h, query, key)`; `lse` is that of the weights before it.
//! Source: MONAI's `SABlock`; the running softmax is FlashAttention's (arXiv 2307.08691).

use super::dropout::Mask;
use super::{bind_read, bind_write, constant, kernel_name};
use crate::graph::{Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { samples: u32, tokens: u32, heads: u32, d: u32, scale: f32, rate: f32, seed: u32 });

impl Params {
    /// For a checked `qkv`.
    pub(super) fn of(qkv: &Shape, op: &Attention) -> Self {
        let (dims, d) = (qkv.dims(), qkv.last() / 3 / op.heads);
        let mask = op.dropout.unwrap_or(Mask { rate: 0.0, seed: 0 });
        Self {
            samples: dims[0] as u32,
            tokens: dims[1] as u32,
            heads: op.heads as u32,
            d: d as u32,
            scale: (1.0 / (d as f64).sqrt()) as f32,
            rate: mask.rate,
            seed: mask.seed,
        }
    }
}

/// The op; arguments `qkv`, with dropout also `step (1)`; results `o, lse`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    pub heads: usize,
    /// What of the weights is dropped.
    pub dropout: Option<Mask>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Variant {
    /// Without workgroup memory: query rows per invocation.
    Registers(u32),
    /// With workgroup memory: rows and keys of each of a group's 8 x 8 invocations.
    Tiled { rows: usize, keys: usize },
}

/// The first suits software adapters, whose barriers are slow.
const VARIANTS: &[Variant] = &[
    Variant::Registers(2),
    Variant::Tiled { rows: 2, keys: 4 },
    Variant::Tiled { rows: 4, keys: 2 },
    Variant::Registers(1),
];

/// Bytes of workgroup memory of a tile: queries, keys or values, largest scores, weights.
fn tile_bytes(rows: usize, keys: usize, d4: usize) -> usize {
    8 * (rows + keys) * (d4 | 1) * 16 + 8 * rows * 8 * 4 + 8 * rows * 9 * keys * 4
}

impl Attention {
    /// Samples, tokens and head dimension.
    fn sizes(&self, qkv: &Shape) -> Option<(usize, usize, usize)> {
        match qkv.dims() {
            &[n, t, width] if self.heads > 0 && width % (3 * self.heads) == 0 => Some((n, t, width / 3 / self.heads)),
            _ => None,
        }
    }
}

impl Kernel for Attention {
    kernel_name!("attention");

    fn variants(&self) -> usize {
        VARIANTS.len()
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        self.dropout.map_or(Ok(()), Mask::check)?;
        let step = usize::from(self.dropout.is_some());
        let fits = inputs.len() == 1 + step && inputs[1..].iter().all(|s| s.elements() == 1);
        match inputs.first().filter(|_| fits).and_then(|s| self.sizes(s)) {
            Some((n, t, d)) => Ok(vec![Shape::from([n, t, self.heads * d]), Shape::from([n, self.heads, t])]),
            None => {
                Err(GraphError::new(format!("{inputs:?} is no qkv of {} heads with {step} step numbers", self.heads)))
            }
        }
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let (n, t, d) = self.sizes(io.input(0)).expect("checked by infer");
        let d4 = d.div_ceil(4);
        let most = target.workgroup_bytes as usize;
        let variant = match *target.choose(VARIANTS) {
            Variant::Tiled { rows, keys } if d % 4 != 0 || tile_bytes(rows, keys, d4) > most => Variant::Registers(1),
            other => other,
        };
        let heads = n * self.heads;
        let (shader, mut constants, count) = match variant {
            Variant::Registers(queries) => {
                let constants = vec![("QUERIES", queries), ("D4", d4 as u32), ("SCALAR", constant(d % 4 != 0))];
                ("attention", constants, (heads * t.div_ceil(queries as usize)).div_ceil(64))
            }
            Variant::Tiled { rows, keys } => {
                let pieces = d4.div_ceil(8);
                let constants =
                    vec![("ROWS", rows as u32), ("KEYS", keys as u32), ("D4", d4 as u32), ("PIECES", pieces as u32)];
                ("attention_tiled", constants, heads * t.div_ceil(8 * rows))
            }
        };
        constants.push(("DROPOUT", constant(self.dropout.is_some())));
        let mut bindings: Vec<_> = (0..io.inputs.len()).map(bind_read).collect();
        bindings.extend([bind_write(0), bind_write(1)]);
        vec![Dispatch {
            shader,
            entry: "forward",
            constants,
            params: Params::of(io.input(0), self).block(),
            bindings,
            groups: groups(count),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let qkv = inputs[0];
        let (n, t, d) = self.sizes(&qkv.shape).expect("checked by infer");
        let width = self.heads * d;
        let factor = self.dropout.map(|mask| mask.factors(inputs[1]));
        let mut o = HostTensor::zeros([n, t, width]);
        let mut lse = HostTensor::zeros([n, self.heads, t]);
        for (sample, head) in (0..n).flat_map(|s| (0..self.heads).map(move |h| (s, h))) {
            let row = |token: usize, part: usize| {
                &qkv.data[(sample * t + token) * 3 * width + part * width + head * d..][..d]
            };
            for query in 0..t {
                let scores: Vec<f64> = (0..t)
                    .map(|key| {
                        row(query, 0).iter().zip(row(key, 1)).map(|(a, b)| a * b).sum::<f64>() / (d as f64).sqrt()
                    })
                    .collect();
                let most = scores.iter().copied().fold(f64::MIN, f64::max);
                let sum: f64 = scores.iter().map(|s| (s - most).exp()).sum();
                for (key, score) in scores.iter().enumerate() {
                    let weight = ((sample * self.heads + head) * t + query) * t + key;
                    let p = (score - most).exp() / sum * factor.as_ref().map_or(1.0, |f| f(weight));
                    let out = &mut o.data[(sample * t + query) * width + head * d..][..d];
                    out.iter_mut().zip(row(key, 2)).for_each(|(o, v)| *o += p * v);
                }
                lse.data[(sample * self.heads + head) * t + query] = most + sum.ln();
            }
        }
        vec![o, lse]
    }

    fn cost(&self, io: &Io) -> Cost {
        let t = io.input(0).dims()[1] as f64;
        Cost { flops: 4.0 * t * io.output(0).elements() as f64, bytes: io.bytes() }
    }
}

impl Graph {
    /// Self-attention; gives `(o, lse)`. Dropout of its weights needs the step's number `(1)`.
    ///
    /// # Errors
    /// [`GraphError`] if the width is no multiple of three times the heads or the rate not in [0, 1).
    pub fn attention(
        &mut self,
        name: &str,
        qkv: TensorId,
        heads: usize,
        dropout: Option<(Mask, TensorId)>,
    ) -> Result<(TensorId, TensorId), GraphError> {
        let mut inputs = vec![qkv];
        inputs.extend(dropout.map(|(_, step)| step));
        let outputs = self.add_op(name, Attention { heads, dropout: dropout.map(|(mask, _)| mask) }, &inputs)?;
        Ok((outputs[0], outputs[1]))
    }
}

/// One token, odd counts, head sizes that are no multiple of four, scores large enough to overflow a plain softmax,
/// 4,096 tokens, and dropout.
pub fn cases() -> Vec<Case> {
    let case = |name: &str, n, t, heads, d, scale: f64, seed| {
        let qkv = HostTensor::noise([n, t, 3 * heads * d], seed).map(|v| v * scale);
        Case::new(format!("{name} {n}x{t}x{heads}x{d}"), Attention { heads, dropout: None }, vec![qkv])
    };
    let dropped = |rate, n, t, heads, d| {
        let inputs = vec![HostTensor::noise([n, t, 3 * heads * d], 9), HostTensor::new([1], vec![3.0])];
        let op = Attention { heads, dropout: Some(Mask { rate, seed: 5 }) };
        Case::new(format!("dropout {rate} {n}x{t}x{heads}x{d}"), op, inputs)
    };
    vec![
        case("one", 1, 1, 1, 1, 1.0, 1),
        case("odd", 2, 13, 3, 5, 2.0, 2),
        case("vector", 2, 27, 2, 8, 2.0, 3),
        case("large scores", 1, 9, 2, 4, 30.0, 4),
        case("base", 1, 216, 2, 64, 1.5, 5),
        case("a tile's edges", 2, 33, 2, 36, 2.0, 7),
        case("beyond a tile's memory", 1, 20, 1, 128, 1.5, 8),
        case("many tokens", 1, 4096, 1, 4, 2.0, 6),
        dropped(0.3, 2, 13, 3, 5),
        dropped(0.1, 2, 33, 2, 36),
    ]
}

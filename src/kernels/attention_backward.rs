//! Gradients of self-attention without a token x token matrix: with `P = exp(s - lse)` recomputed, `M` the factors of dropout
//! and `D = rowsum(dO O)`, `dV = (M P)ᵀ dO`, `dS = P (M dO Vᵀ - D)`, `dQ = dS K / √d`, `dK = dSᵀ Q / √d`. One pass over the
//! keys for each query, one over the queries for each key: no two invocations write the same element.
//!
//! Shapes as in [`super::attention`]. Source: FlashAttention-2 (arXiv 2307.08691).

use super::attention::{Attention, Params};
use super::dropout::Mask;
use super::{bind_read, bind_write, constant, kernel_name};
use crate::gpu::Access;
use crate::graph::{
    Applied, Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Op, Operand, Target, TensorId, groups,
};
use crate::tensor::{HostTensor, Shape};

/// The op; arguments `qkv, o, lse, do`, with dropout also `step (1)`; result `dqkv`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionBackward {
    pub forward: Attention,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Variant {
    /// Without workgroup memory: a token per invocation, all of its head in registers.
    Registers,
    /// With workgroup memory: own tokens and others of each of a group's 8 x 8 invocations.
    Tiled { rows: usize, others: usize },
}

/// The first suits software adapters, whose barriers are slow; a head of 64 takes more registers there than most GPUs have.
const VARIANTS: &[Variant] = &[
    Variant::Registers,
    Variant::Tiled { rows: 1, others: 2 },
    Variant::Tiled { rows: 2, others: 2 },
    Variant::Tiled { rows: 2, others: 1 },
];

/// Bytes of workgroup memory of a tile: two values of each own and other token, and two scores of each pair.
fn tile_bytes(rows: usize, others: usize, d4: usize) -> usize {
    2 * 8 * (rows + others) * (d4 | 1) * 16 + 2 * 8 * rows * (8 * others + 1) * 4
}

impl Kernel for AttentionBackward {
    kernel_name!("attention_backward");

    fn variants(&self) -> usize {
        VARIANTS.len()
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        if let [qkv, o, lse, d, step @ ..] = inputs {
            let made = self.forward.infer(&[std::slice::from_ref(qkv), step].concat())?;
            if made[0] == *o && made[1] == *lse && o == d {
                return Ok(vec![qkv.clone()]);
            }
        }
        Err(GraphError::new(format!("{inputs:?} do not belong together")))
    }

    fn scratch(&self, io: &Io, _target: &Target) -> Vec<u64> {
        vec![io.input(2).elements() as u64 * 4]
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let params = Params::of(io.input(0), &self.forward);
        let (tokens, d) = (params.tokens as usize, params.d as usize);
        let (d4, scalar) = (d.div_ceil(4), !d.is_multiple_of(4));
        let most = target.workgroup_bytes as usize;
        let variant = match *target.choose(VARIANTS) {
            Variant::Tiled { rows, others } if scalar || tile_bytes(rows, others, d4) > most => Variant::Registers,
            other => other,
        };
        let delta = Operand::Scratch(0);
        let stage = |first: bool, keys: bool, bindings| {
            let mut constants = vec![
                ("KEYS", constant(keys)),
                ("D4", d4 as u32),
                ("DROPOUT", constant(self.forward.dropout.is_some())),
            ];
            let (shader, count) = match variant {
                Variant::Tiled { rows, others } if !first => {
                    let pieces = d4.div_ceil(8) as u32;
                    constants.extend([("ROWS", rows as u32), ("OTHERS", others as u32), ("PIECES", pieces)]);
                    ("attention_backward_tiled", io.input(2).elements() / tokens * tokens.div_ceil(8 * rows))
                }
                _ => {
                    constants.extend([("FIRST", constant(first)), ("SCALAR", constant(scalar))]);
                    ("attention_backward", io.input(2).elements().div_ceil(64))
                }
            };
            let groups = groups(count);
            Dispatch { shader, entry: "forward", constants, params: params.block(), bindings, groups }
        };
        let mut pass = vec![bind_read(0), bind_read(2), bind_read(3), (delta, Access::Read)];
        pass.extend((4..io.inputs.len()).map(bind_read));
        pass.push(bind_write(0));
        vec![
            stage(true, false, vec![bind_read(1), bind_read(3), (delta, Access::Write)]),
            stage(false, false, pass.clone()),
            stage(false, true, pass),
        ]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (qkv, o, lse, dout) = (inputs[0], inputs[1], inputs[2], inputs[3]);
        let (n, t) = (qkv.shape.dims()[0], qkv.shape.dims()[1]);
        let width = qkv.shape.last() / 3;
        let heads = self.forward.heads;
        let d = width / heads;
        let factor = self.forward.dropout.map(|mask| mask.factors(inputs[4]));
        let scale = 1.0 / (d as f64).sqrt();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut dqkv = HostTensor::zeros(qkv.shape.clone());
        for (sample, head) in (0..n).flat_map(|s| (0..heads).map(move |h| (s, h))) {
            let at = |token: usize, part: usize| (sample * t + token) * 3 * width + part * width + head * d;
            let row = |token, part| &qkv.data[at(token, part)..][..d];
            for query in 0..t {
                let own = (sample * t + query) * width + head * d;
                let (od, dod) = (&o.data[own..][..d], &dout.data[own..][..d]);
                let delta = dot(od, dod);
                let index = (sample * heads + head) * t + query;
                for key in 0..t {
                    let p = (scale * dot(row(query, 0), row(key, 1)) - lse.data[index]).exp();
                    let factor = factor.as_ref().map_or(1.0, |f| f(index * t + key));
                    let ds = p * (factor * dot(dod, row(key, 2)) - delta) * scale;
                    for (i, dout) in dod.iter().enumerate() {
                        dqkv.data[at(query, 0) + i] += ds * row(key, 1)[i];
                        dqkv.data[at(key, 1) + i] += ds * row(query, 0)[i];
                        dqkv.data[at(key, 2) + i] += factor * p * dout;
                    }
                }
            }
        }
        vec![dqkv]
    }

    fn cost(&self, io: &Io) -> Cost {
        let t = io.input(0).dims()[1] as f64;
        Cost { flops: 14.0 * t * io.input(1).elements() as f64, bytes: io.bytes() }
    }
}

impl Op for Attention {
    fn backward(
        &self,
        g: &mut Graph,
        node: &Applied,
        dy: &[Option<TensorId>],
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        if dy[1].is_some() {
            return Err(GraphError::new("the softmax's denominators have no gradient"));
        }
        let Some(dy) = dy[0] else {
            return Ok(vec![None; node.inputs.len()]);
        };
        let mut inputs = vec![node.inputs[0], node.outputs[0], node.outputs[1], dy];
        inputs.extend(&node.inputs[1..]);
        let mut gradients = vec![None; node.inputs.len()];
        gradients[0] = Some(g.add_one("", AttentionBackward { forward: *self }, &inputs)?);
        Ok(gradients)
    }
}

/// One token, odd counts, head sizes that are no multiple of four, large scores, many tokens, dropout.
pub fn cases() -> Vec<Case> {
    let build = |name: &str, n, t, forward: Attention, d, scale: f64, seed| {
        let heads = forward.heads;
        let mut arguments = vec![HostTensor::noise([n, t, 3 * heads * d], seed).map(|v| v * scale)];
        arguments.extend(forward.dropout.map(|_| HostTensor::new([1], vec![4.0])));
        let mut inputs = forward.reference(&arguments.iter().collect::<Vec<_>>());
        inputs.insert(0, arguments.remove(0));
        inputs.push(HostTensor::noise([n, t, heads * d], seed + 10));
        inputs.append(&mut arguments);
        Case::new(format!("{name} {n}x{t}x{heads}x{d}"), AttentionBackward { forward }, inputs)
    };
    let case =
        |name: &str, n, t, heads, d, scale, seed| build(name, n, t, Attention { heads, dropout: None }, d, scale, seed);
    let dropped = |n, t, heads, d| {
        let dropout = Some(Mask { rate: 0.3, seed: 11 });
        build("dropout", n, t, Attention { heads, dropout }, d, 2.0, 7)
    };
    vec![
        case("one", 1, 1, 1, 1, 1.0, 1),
        case("odd", 2, 13, 3, 5, 2.0, 2),
        case("vector", 2, 27, 2, 8, 2.0, 3),
        case("large scores", 1, 9, 2, 4, 8.0, 4),
        case("base", 1, 216, 2, 64, 1.5, 5),
        case("a tile's edges", 2, 33, 2, 36, 2.0, 7),
        case("beyond a tile's memory", 1, 20, 1, 80, 1.5, 8),
        case("many tokens", 1, 1000, 1, 4, 2.0, 6),
        dropped(2, 13, 3, 5),
        dropped(1, 40, 2, 8),
        dropped(2, 33, 2, 36),
    ]
}

//! Gradients of attention within windows, its weights `P = exp(s - lse)` recomputed: with `M` the factors of dropout and
//! `D = rowsum(dO O)`, `dV = (M P)ᵀ dO`, `dS = P (M dO Vᵀ - D)`, `dQ = dS K / √d`, `dK = dSᵀ Q / √d`; a distance of the table gets the
//! sum of `dS` over the pairs that lie so far apart, the projection's bias the rows that the padding's keys and values would get.
//!
//! One pass over the keys for each query, one over the queries for each key, one over the pairs for each distance, whose sums
//! take two stages of fixed order: no two invocations write the same element. Shapes as in [`super::window_attention`];
//! `statistics (N, h, cells, 2)` holds `lse` and `D`.

use super::channel_sums::ChannelSums;
use super::sum_parts::Parts;
use super::window_attention::{WindowAttention, example, examples};
use super::{bind_read, bind_write, constant, kernel_name};
use crate::gpu::Access;
use crate::graph::{Applied, Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Op, Operand, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(StatisticsParams { samples: u32, cells: u32, heads: u32, d: u32 });

/// `statistics[n, h, c] = (lse, Σ_i dO O)`; arguments `o, lse, do`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    pub heads: usize,
}

impl Kernel for Statistics {
    kernel_name!("window_attention_statistics");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        match inputs {
            [o, lse, dout] if o == dout => match (o.dims(), lse.dims()) {
                (&[n, cells, width], &[_, heads, _])
                    if heads == self.heads
                        && heads > 0
                        && width % heads == 0
                        && *lse == Shape::from([n, heads, cells]) =>
                {
                    Ok(vec![Shape::from([n, heads, cells, 2])])
                }
                _ => Err(GraphError::new(format!("{inputs:?} are not of {} heads", self.heads))),
            },
            _ => Err(GraphError::new(format!("{inputs:?} do not belong together"))),
        }
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let o = io.input(0).dims();
        vec![Dispatch {
            shader: "window_attention_statistics",
            entry: "forward",
            constants: Vec::new(),
            params: StatisticsParams {
                samples: o[0] as u32,
                cells: o[1] as u32,
                heads: self.heads as u32,
                d: (o[2] / self.heads) as u32,
            }
            .block(),
            bindings: vec![bind_read(0), bind_read(1), bind_read(2), bind_write(0)],
            groups: groups(io.input(1).elements().div_ceil(64)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (o, lse, dout) = (inputs[0], inputs[1], inputs[2]);
        let (n, cells, d) = (o.shape.dims()[0], o.shape.dims()[1], o.shape.last() / self.heads);
        let mut y = HostTensor::zeros([n, self.heads, cells, 2]);
        for (i, lse) in lse.data.iter().enumerate() {
            let (cell, head, sample) = (i % cells, i / cells % self.heads, i / cells / self.heads);
            let at = ((sample * cells + cell) * self.heads + head) * d;
            y.data[2 * i] = *lse;
            y.data[2 * i + 1] = o.data[at..][..d].iter().zip(&dout.data[at..]).map(|(a, b)| a * b).sum();
        }
        vec![y]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 2.0 * io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

/// Which gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gradient {
    /// `dqkv (N, cells, 3 h d)`.
    Qkv,
    /// `dtable (distances, h)`.
    Table,
    /// The rows `(N, padding, 3 h d)` of the padding, whose sum is the bias's share.
    Padding,
}

/// One of the gradients; arguments `qkv, table, [bias], do, statistics, [step]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowAttentionBackward {
    pub forward: WindowAttention,
    pub of: Gradient,
}

impl WindowAttentionBackward {
    /// Windows that one invocation of the table's gradient runs through, so that no loop is long, and how many such parts.
    fn parts(&self, qkv: &Shape) -> (usize, usize) {
        let windows = &self.forward.windows;
        let (n, _) = self.forward.sizes(qkv).expect("checked by infer");
        let span = (40_000 / windows.tokens().max(1)).clamp(1, 8);
        (span, (n * windows.windows()).div_ceil(span))
    }

    fn table_values(&self) -> usize {
        self.forward.windows.distances() * self.forward.heads
    }
}

impl Kernel for WindowAttentionBackward {
    kernel_name!("window_attention_backward");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let (forward, weights) = (&self.forward, self.forward.weights());
        let misfit = || GraphError::new(format!("{inputs:?} do not belong together"));
        if inputs.len() < weights + 2 {
            return Err(misfit());
        }
        let made = forward.infer(&[&inputs[..weights], &inputs[weights + 2..]].concat())?;
        let [n, heads, cells] = *made[1].dims() else { return Err(misfit()) };
        if inputs[weights] != made[0] || inputs[weights + 1] != Shape::from([n, heads, cells, 2]) {
            return Err(misfit());
        }
        match self.of {
            Gradient::Qkv => Ok(vec![inputs[0].clone()]),
            Gradient::Table => Ok(vec![inputs[1].clone()]),
            Gradient::Padding if forward.windows.padding() > 0 => {
                Ok(vec![Shape::from([n, forward.windows.padding(), inputs[0].last()])])
            }
            Gradient::Padding => Err(GraphError::new("there is no padding")),
        }
    }

    fn scratch(&self, io: &Io, _target: &Target) -> Vec<u64> {
        let mut scratch = vec![self.forward.windows.places_bytes()];
        if self.of == Gradient::Table {
            scratch.push((self.parts(io.input(0)).1 * self.table_values()) as u64 * 4);
        }
        scratch
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let (n, d) = self.forward.sizes(io.input(0)).expect("checked by infer");
        let (windows, heads) = (&self.forward.windows, self.forward.heads);
        let mut read = self.forward.bindings();
        read.extend((self.forward.weights()..io.inputs.len()).map(bind_read));
        let mut work = vec![windows.places(Operand::Scratch(0))];
        if self.of == Gradient::Table {
            let (span, parts) = self.parts(io.input(0));
            let count = self.table_values();
            let (to, second) = Parts { count, parts }.finish(Operand::Scratch(1), Operand::Output(0));
            read.push((to, Access::Write));
            work.push(Dispatch {
                shader: "window_attention_table",
                entry: "forward",
                constants: self.forward.constants(d),
                params: self.forward.params(io.input(0), span).block(),
                bindings: read,
                groups: groups((parts * count).div_ceil(64)),
            });
            work.extend(second);
            return work;
        }
        read.push(bind_write(0));
        let padding = self.of == Gradient::Padding;
        let stage = |keys: bool| {
            let mut constants = self.forward.constants(d);
            constants.extend([("KEYS", constant(keys)), ("PADDING", constant(padding))]);
            Dispatch {
                shader: "window_attention_backward",
                entry: "forward",
                constants,
                // Rows of the result for each sample.
                params: self.forward.params(io.input(0), io.output(0).dims()[1]).block(),
                bindings: read.clone(),
                groups: groups((n * windows.windows() * heads * windows.tokens()).div_ceil(64)),
            }
        };
        work.extend((!padding).then(|| stage(false)));
        work.push(stage(true));
        work
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let forward = &self.forward;
        let weights = forward.weights();
        let (dout, statistics) = (inputs[weights], inputs[weights + 1]);
        let (n, d) = forward.sizes(&inputs[0].shape).expect("checked by infer");
        let (cells, heads) = (forward.windows.cells(), forward.heads);
        let factor = forward.dropout.map(|mask| mask.factors(inputs[weights + 2]));
        let rows = cells + forward.windows.padding();
        let width = 3 * heads * d;
        let mut dqkv = HostTensor::zeros([n, rows, width]);
        let mut dtable = HostTensor::zeros(inputs[1].shape.clone());
        let scale = 1.0 / (d as f64).sqrt();
        forward.pairs(inputs, |pair| {
            let own = (pair.sample, pair.head);
            let at = 2 * ((pair.sample * heads + pair.head) * cells + pair.query);
            let p = (pair.score - statistics.data[at]).exp();
            let factor = factor.as_ref().map_or(1.0, |f| f(pair.number));
            let dout = |i: usize| dout.data[((pair.sample * cells + pair.query) * heads + pair.head) * d + i];
            let dp: f64 = (0..d).map(|i| dout(i) * forward.element(inputs, own, (pair.key, 2, i))).sum();
            let ds = p * (factor * dp - statistics.data[at + 1]);
            dtable.data[pair.distance * heads + pair.head] += ds;
            let place =
                |token: usize, part: usize| (pair.sample * rows + token) * width + part * heads * d + pair.head * d;
            for i in 0..d {
                dqkv.data[place(pair.query, 0) + i] += ds * scale * forward.element(inputs, own, (pair.key, 1, i));
                dqkv.data[place(pair.key, 1) + i] += ds * scale * forward.element(inputs, own, (pair.query, 0, i));
                dqkv.data[place(pair.key, 2) + i] += factor * p * dout(i);
            }
        });
        let part = |range: std::ops::Range<usize>| {
            let rows =
                dqkv.data.chunks(rows * width).flat_map(|sample| &sample[range.start * width..range.end * width]);
            HostTensor::new([n, range.len(), width], rows.copied().collect())
        };
        vec![match self.of {
            Gradient::Qkv => part(0..cells),
            Gradient::Table => dtable,
            Gradient::Padding => part(cells..rows),
        }]
    }

    fn cost(&self, io: &Io) -> Cost {
        let pairs = self.forward.windows.tokens() as f64 * io.input(0).elements() as f64 / 3.0;
        let products = match self.of {
            Gradient::Qkv => 14.0,
            Gradient::Table => 4.0,
            Gradient::Padding => 8.0 * self.forward.windows.padding() as f64 / self.forward.windows.cells() as f64,
        };
        Cost { flops: products * pairs, bytes: io.bytes() }
    }
}

impl Op for WindowAttention {
    fn backward(
        &self,
        g: &mut Graph,
        node: &Applied,
        dy: &[Option<TensorId>],
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        if dy[1].is_some() {
            return Err(GraphError::new("the softmax's denominators have no gradient"));
        }
        let mut gradients = vec![None; node.inputs.len()];
        let Some(dy) = dy[0] else {
            return Ok(gradients);
        };
        let arguments = [node.outputs[0], node.outputs[1], dy];
        let statistics = g.add_one("statistics", Statistics { heads: self.heads }, &arguments)?;
        let mut inputs = node.inputs[..self.weights()].to_vec();
        inputs.extend([dy, statistics]);
        inputs.extend(&node.inputs[self.weights()..]);
        let gradient = |of| WindowAttentionBackward { forward: *self, of };
        if node.needs[0] {
            gradients[0] = Some(g.add_one("qkv", gradient(Gradient::Qkv), &inputs)?);
        }
        if node.needs[1] {
            gradients[1] = Some(g.add_one("table", gradient(Gradient::Table), &inputs)?);
        }
        if self.bias && node.needs[2] && self.windows.padding() > 0 {
            let rows = g.add_one("padding", gradient(Gradient::Padding), &inputs)?;
            gradients[2] = Some(g.add_one("bias", ChannelSums { last: true }, &[rows])?);
        }
        Ok(gradients)
    }
}

/// Every gradient of the cases of attention within windows, and the statistics.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (seed, (name, forward, n, d)) in (0..).zip(examples()) {
        let mut inputs = example(forward, n, d, 10 * seed);
        let made = forward.reference(&inputs.iter().collect::<Vec<_>>());
        let dout = HostTensor::noise(made[0].shape.clone(), 10 * seed + 5);
        let statistics = Statistics { heads: forward.heads };
        let rows = statistics.reference(&[&made[0], &made[1], &dout]).remove(0);
        let step = inputs.split_off(forward.weights());
        cases.push(Case::new(format!("statistics, {name}"), statistics, [made, vec![dout.clone()]].concat()));
        inputs.extend([dout, rows]);
        inputs.extend(step);
        for of in [Gradient::Qkv, Gradient::Table, Gradient::Padding] {
            if of != Gradient::Padding || forward.windows.padding() > 0 {
                let op = WindowAttentionBackward { forward, of };
                cases.push(Case::new(format!("{of:?}, {name}"), op, inputs.clone()));
            }
        }
    }
    cases
}

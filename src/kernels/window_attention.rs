//! Multi-head self-attention within windows of a grid, with relative position bias: per window and head
//! `o = softmax(q kᵀ / √d + B + M) v`, `B` the table's value for a pair's distance, `M` -100 where a moved grid brings together
//! what lies apart. Tokens of the padding are keys like others: the row of a zero is the projection's bias.
//!
//! Shapes: `qkv (N, cells, 3 h d)` with a row `[q | k | v]`, each `(heads, d)`; `table (distances, h)`; `bias (3 h d)`;
//! `o (N, cells, h d)`; `lse (N, h, cells)`, the logarithm of each softmax's denominator. Windows, shift and padding are
//! indices: nothing is copied. In training, dropout may be applied to the normalised weights, numbered as
//! `(N, windows, h, query, key)`. Source: MONAI `WindowAttention`, `SwinTransformerBlock`; Liu et al., arXiv 2103.14030.

mod windows;

pub use windows::Windows;

use super::dropout::Mask;
use super::{bind_read, bind_write, constant, kernel_name};
use crate::gpu::Access;
use crate::graph::{Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Operand, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params {
    samples: u32,
    windows: u32,
    tokens: u32,
    cells: u32,
    heads: u32,
    d: u32,
    middle: u32,
    scale: f32,
    rate: f32,
    seed: u32,
    full_x: u32,
    full_y: u32,
    full_z: u32,
    span: u32,
});

/// What is added to the score of a pair whose tokens lie apart.
const MASKED: f64 = -100.0;

/// The op; arguments `qkv, table`, with a bias `bias`, with dropout `step (1)`; results `o, lse`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowAttention {
    /// The grid and its windows.
    pub windows: Windows,
    pub heads: usize,
    /// Whether the projection has a bias, which is the padding's row.
    pub bias: bool,
    /// What of the weights is dropped.
    pub dropout: Option<Mask>,
}

/// How many queries an invocation takes, and whether keys pass through workgroup memory.
const VARIANTS: &[(u32, bool)] = &[(4, false), (1, true), (2, true), (1, false)];

/// As many queries, at most `most`, as leave registers for wide heads.
fn registers(most: u32, d4: usize) -> u32 {
    most.min(64 / d4 as u32).max(1)
}

/// Keys at a time through workgroup memory, as far as they fit.
fn tile(d4: usize, bytes: u32) -> Option<u32> {
    [32, 16, 8].into_iter().find(|keys| keys * (2 * d4 as u32 * 16 + 4) <= bytes)
}

/// A query and a key of one window, with what the twins need.
pub(super) struct Pair {
    pub sample: usize,
    pub head: usize,
    /// Of the grid; queries of the padding are left out.
    pub query: usize,
    /// Of the grid or, from its number of tokens on, of the padding.
    pub key: usize,
    /// Row of the table.
    #[cfg_attr(not(feature = "train"), expect(dead_code, reason = "the table's gradient reads it"))]
    pub distance: usize,
    pub score: f64,
    /// Of the weight, for dropout.
    pub number: usize,
}

impl WindowAttention {
    /// Samples and head dimension.
    pub(super) fn sizes(&self, qkv: &Shape) -> Option<(usize, usize)> {
        match qkv.dims() {
            &[n, cells, width] if self.heads > 0 && width > 0 && width % (3 * self.heads) == 0 => {
                Some((n, width / 3 / self.heads)).filter(|_| self.windows.valid() && cells == self.windows.cells())
            }
            _ => None,
        }
    }

    /// Number of arguments before those of a gradient: `qkv, table, [bias]`.
    pub(super) fn weights(&self) -> usize {
        2 + usize::from(self.bias)
    }

    pub(super) fn params(&self, qkv: &Shape, span: usize) -> Params {
        let (n, d) = self.sizes(qkv).expect("checked by infer");
        let mask = self.dropout.unwrap_or(Mask { rate: 0.0, seed: 0 });
        let w = &self.windows;
        Params {
            samples: n as u32,
            windows: w.windows() as u32,
            tokens: w.tokens() as u32,
            cells: w.cells() as u32,
            heads: self.heads as u32,
            d: d as u32,
            middle: w.middle() as u32,
            scale: (1.0 / (d as f64).sqrt()) as f32,
            rate: mask.rate,
            seed: mask.seed,
            full_x: w.window[0] as u32,
            full_y: w.window[1] as u32,
            full_z: w.window[2] as u32,
            span: span as u32,
        }
    }

    /// Constants that all of its shaders take.
    pub(super) fn constants(&self, d: usize) -> Vec<(&'static str, u32)> {
        vec![
            ("D4", d.div_ceil(4) as u32),
            ("SCALAR", constant(!d.is_multiple_of(4))),
            ("BIAS", constant(self.bias)),
            ("DROPOUT", constant(self.dropout.is_some())),
        ]
    }

    /// The places, and the arguments that every shader reads.
    pub(super) fn bindings(&self) -> Vec<(Operand, Access)> {
        let mut bindings = vec![(Operand::Scratch(0), Access::Read)];
        bindings.extend((0..self.weights()).map(bind_read));
        bindings
    }

    /// Element `i` of part `part` (query, key, value) of a token's row for a head.
    pub(super) fn element(
        &self,
        inputs: &[&HostTensor],
        (sample, head): (usize, usize),
        (token, part, i): (usize, usize, usize),
    ) -> f64 {
        let width = inputs[0].shape.last();
        let at = part * (width / 3) + head * (width / 3 / self.heads) + i;
        match token < self.windows.cells() {
            true => inputs[0].data[(sample * self.windows.cells() + token) * width + at],
            false if self.bias => inputs[2].data[at],
            false => 0.0,
        }
    }

    /// Every pair of a query of the grid and a key of its window, all keys of a query in a row.
    pub(super) fn pairs(&self, inputs: &[&HostTensor], mut each: impl FnMut(Pair)) {
        let (n, d) = self.sizes(&inputs[0].shape).expect("checked by infer");
        let (w, heads) = (&self.windows, self.heads);
        let tokens = w.tokens();
        for window in 0..w.windows() {
            let places: Vec<_> = (0..tokens).map(|token| w.place(window, token)).collect();
            for (sample, head) in (0..n).flat_map(|s| (0..heads).map(move |h| (s, h))) {
                for (q, query) in places.iter().enumerate().filter(|(_, place)| place.cell < w.cells()) {
                    for (k, key) in places.iter().enumerate() {
                        let element = |token, part, i| self.element(inputs, (sample, head), (token, part, i));
                        let dot: f64 = (0..d).map(|i| element(query.cell, 0, i) * element(key.cell, 1, i)).sum();
                        let distance = w.distance(q, k);
                        let mask = if query.region == key.region { 0.0 } else { MASKED };
                        each(Pair {
                            sample,
                            head,
                            query: query.cell,
                            key: key.cell,
                            distance,
                            score: dot / (d as f64).sqrt() + inputs[1].data[distance * heads + head] + mask,
                            number: (((sample * w.windows() + window) * heads + head) * tokens + q) * tokens + k,
                        });
                    }
                }
            }
        }
    }
}

impl Kernel for WindowAttention {
    kernel_name!("window_attention");

    fn variants(&self) -> usize {
        VARIANTS.len()
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        self.dropout.map_or(Ok(()), Mask::check)?;
        let misfit = || GraphError::new(format!("{inputs:?} do not fit {:?} of {} heads", self.windows, self.heads));
        let weights = self.weights();
        let (n, d) = inputs.first().and_then(|qkv| self.sizes(qkv)).ok_or_else(misfit)?;
        let fits = inputs.len() == weights + usize::from(self.dropout.is_some())
            && inputs[1] == Shape::from([self.windows.distances(), self.heads])
            && (!self.bias || inputs[2] == Shape::from([3 * self.heads * d]))
            && inputs[weights..].iter().all(|step| step.elements() == 1);
        if !fits {
            return Err(misfit());
        }
        let cells = self.windows.cells();
        Ok(vec![Shape::from([n, cells, self.heads * d]), Shape::from([n, self.heads, cells])])
    }

    fn scratch(&self, _io: &Io, _target: &Target) -> Vec<u64> {
        vec![self.windows.places_bytes()]
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let (n, d) = self.sizes(io.input(0)).expect("checked by infer");
        let (most, shared) = *target.choose(VARIANTS);
        let queries = registers(most, d.div_ceil(4));
        let keys = tile(d.div_ceil(4), target.workgroup_bytes).filter(|_| shared);
        let each = queries as usize * if keys.is_some() { 64 } else { 1 };
        let count = n * self.windows.windows() * self.heads * self.windows.tokens().div_ceil(each);
        let mut constants = self.constants(d);
        constants.extend([("QUERIES", queries), ("SHARED", constant(keys.is_some()))]);
        constants.extend(keys.map(|keys| ("KEYS", keys)));
        let mut bindings = self.bindings();
        bindings.extend((self.weights()..io.inputs.len()).map(bind_read));
        bindings.extend([bind_write(0), bind_write(1)]);
        let attention = Dispatch {
            shader: "window_attention",
            entry: "forward",
            constants,
            params: self.params(io.input(0), 1).block(),
            bindings,
            groups: groups(if keys.is_some() { count } else { count.div_ceil(64) }),
        };
        vec![self.windows.places(Operand::Scratch(0)), attention]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (n, d) = self.sizes(&inputs[0].shape).expect("checked by infer");
        let (cells, heads) = (self.windows.cells(), self.heads);
        let factor = self.dropout.map(|mask| mask.factors(inputs[self.weights()]));
        let row = |pair: &Pair| (pair.sample * heads + pair.head) * cells + pair.query;
        let mut most = vec![f64::MIN; n * heads * cells];
        self.pairs(inputs, |pair| most[row(&pair)] = most[row(&pair)].max(pair.score));
        let mut sums = vec![0.0; most.len()];
        self.pairs(inputs, |pair| sums[row(&pair)] += (pair.score - most[row(&pair)]).exp());
        let lse: Vec<f64> = most.iter().zip(&sums).map(|(most, sum)| most + f64::ln(*sum)).collect();
        let mut o = HostTensor::zeros([n, cells, heads * d]);
        self.pairs(inputs, |pair| {
            let p = (pair.score - lse[row(&pair)]).exp() * factor.as_ref().map_or(1.0, |f| f(pair.number));
            for i in 0..d {
                let v = self.element(inputs, (pair.sample, pair.head), (pair.key, 2, i));
                o.data[(pair.sample * cells + pair.query) * heads * d + pair.head * d + i] += p * v;
            }
        });
        vec![o, HostTensor::new([n, heads, cells], lse)]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 4.0 * self.windows.tokens() as f64 * io.output(0).elements() as f64, bytes: io.bytes() }
    }
}

impl Graph {
    /// Self-attention within windows; gives `o`. `bias` is that of the projection that made `qkv`; dropout of the weights needs
    /// the step's number `(1)`.
    ///
    /// # Errors
    /// [`GraphError`] if the shapes do not fit or the rate is not in [0, 1).
    pub fn window_attention(
        &mut self,
        name: &str,
        [qkv, table]: [TensorId; 2],
        bias: Option<TensorId>,
        windows: Windows,
        heads: usize,
        dropout: Option<(Mask, TensorId)>,
    ) -> Result<TensorId, GraphError> {
        let op = WindowAttention { windows, heads, bias: bias.is_some(), dropout: dropout.map(|(mask, _)| mask) };
        let mut inputs = vec![qkv, table];
        inputs.extend(bias);
        inputs.extend(dropout.map(|(_, step)| step));
        self.add_one_op(name, op, &inputs)
    }
}

/// Arguments of an op for samples of heads of `d`.
pub(super) fn example(op: WindowAttention, n: usize, d: usize, seed: u64) -> Vec<HostTensor> {
    let width = 3 * op.heads * d;
    let mut inputs = vec![
        HostTensor::noise([n, op.windows.cells(), width], seed).map(|v| v * 2.0),
        HostTensor::noise([op.windows.distances(), op.heads], seed + 1),
    ];
    inputs.extend(op.bias.then(|| HostTensor::noise([width], seed + 2).map(|v| v * 2.0)));
    inputs.extend(op.dropout.map(|_| HostTensor::new([1], vec![3.0])));
    inputs
}

/// One token, windows that the grid fills, does not fill and is smaller than along an axis, moved and not, with and without
/// bias, heads that are no multiple of four and so wide that fewer keys and queries fit,
/// dropout.
pub(super) fn examples() -> Vec<(String, WindowAttention, usize, usize)> {
    let case = |name: &str, n, grid, window, shifted, heads, d, bias| {
        let op = WindowAttention { windows: Windows { grid, window, shifted }, heads, bias, dropout: None };
        (format!("{name} {n}x{grid:?} by {window:?}, {heads} heads of {d}"), op, n, d)
    };
    let dropped = |(name, op, n, d): (String, WindowAttention, usize, usize)| {
        (format!("dropout, {name}"), WindowAttention { dropout: Some(Mask { rate: 0.3, seed: 5 }), ..op }, n, d)
    };
    vec![
        case("one", 1, [1, 1, 1], [1, 1, 1], false, 1, 1, false),
        case("filled", 2, [4, 4, 4], [2, 2, 2], false, 2, 4, true),
        case("moved", 1, [4, 6, 4], [2, 3, 2], true, 2, 8, false),
        case("padded", 2, [5, 3, 7], [3, 2, 3], false, 3, 5, true),
        case("padded and moved", 2, [5, 4, 7], [3, 3, 4], true, 3, 4, true),
        case("padded with zeros", 1, [5, 4, 7], [3, 3, 4], true, 1, 6, false),
        case("smaller than a window", 1, [4, 4, 2], [7, 7, 7], true, 2, 4, true),
        case("smaller along one axis", 1, [8, 9, 3], [4, 7, 7], true, 1, 4, true),
        case("usual", 1, [8, 8, 8], [7, 7, 7], true, 1, 16, true),
        case("wide heads", 1, [4, 3, 4], [3, 3, 3], false, 1, 72, true),
        dropped(case("odd", 2, [3, 4, 5], [2, 3, 3], true, 3, 5, true)),
        dropped(case("smaller", 1, [4, 4, 2], [7, 7, 7], true, 2, 8, false)),
    ]
}

/// The test cases.
pub fn cases() -> Vec<Case> {
    let case = |(seed, (name, op, n, d)): (u64, (String, WindowAttention, usize, usize))| {
        Case::new(name, op, example(op, n, d, 10 * seed))
    };
    (0..).zip(examples()).map(case).collect()
}

//! A convolution's weight as the weights of parts of its channels: where a volume is too large for one binding, its channels lie
//! in several tensors, and each part of the result is a sum over parts of the source.
//!
//! Shapes: `w (K, C, taps..)` stored [`Layout::TapMajor`] to `outs x ins` weights `(K / outs, C / ins, taps..)`, all parts of the
//! source of a part of the result in a row; a transposed convolution's `w (C, K, taps..)` in natural order to
//! `outs` weights `(C, K / outs, taps..)`; a vector `(K)`, of biases or of a norm, to `outs` vectors `(K / outs)`. The gradient puts
//! the parts' together again.

use super::pack_weights::Pack;
use super::{bind_read, bind_write, kernel_name};
use crate::graph::{Case, Cost, DType, Dispatch, Graph, GraphError, Io, Kernel, Layout, Target, TensorId};
use crate::tensor::{HostTensor, Shape};

/// A vector as the only row of a weight.
fn row(w: &Shape) -> Shape {
    match w.dims() {
        [k] => Shape::from([1, *k]),
        _ => w.clone(),
    }
}

/// The op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitWeights {
    /// Parts of the result's channels.
    pub outs: usize,
    /// Parts of the source's channels.
    pub ins: usize,
    /// How the weight lies in memory, and its parts.
    pub layout: Layout,
}

impl SplitWeights {
    /// Shape of a part.
    pub(super) fn part(&self, w: &Shape) -> Option<Shape> {
        let mut dims = w.dims().to_vec();
        let [first, second, ..] = &mut dims[..] else { return None };
        let (k, c) = match self.layout {
            Layout::TapMajor => (first, second),
            Layout::Natural => (second, first),
        };
        let even = self.outs > 0 && self.ins > 0 && k.is_multiple_of(self.outs) && c.is_multiple_of(self.ins);
        // What lies behind the last of a whole weight's channels would have no gradient.
        let whole = match self.layout {
            Layout::TapMajor => self.outs == 1 || k.is_multiple_of(4),
            Layout::Natural => self.ins == 1,
        };
        (*k, *c) = (*k / self.outs.max(1), *c / self.ins.max(1));
        (even && whole && w.elements() > 0).then(|| Shape::new(&dims))
    }

    /// Each part among the whole weight's elements.
    pub(super) fn packs(&self, w: &Shape, half: u32) -> Vec<Pack> {
        let w = &row(w);
        let part = self.part(w).expect("checked by infer");
        let (a, b) = (w.dims()[0], w.dims()[1]);
        let taps: usize = w.dims().iter().skip(2).product();
        let one = |i: usize| {
            let (out, source) = (i / self.ins, i % self.ins);
            match self.layout {
                Layout::TapMajor => {
                    let padded = a.next_multiple_of(4);
                    let (k, c) = (part.dims()[0], part.dims()[1]);
                    Pack {
                        rows: c,
                        // A single part takes the padding along.
                        columns: if self.outs == 1 { padded } else { k },
                        taps,
                        first: source * c * taps * padded + out * k,
                        offset: 0,
                        strides: [taps * padded, 1, padded],
                        flip: false,
                        half,
                    }
                }
                Layout::Natural => {
                    let columns = part.dims()[1] * taps;
                    Pack {
                        rows: a,
                        columns,
                        taps: 1,
                        first: out * columns,
                        offset: 0,
                        strides: [b * taps, 1, 0],
                        flip: false,
                        half,
                    }
                }
            }
        };
        (0..self.outs * self.ins).map(one).collect()
    }

    /// For each part, the whole weight's element that each of its own is, both in natural order.
    pub(super) fn sources(&self, w: &Shape) -> Vec<Vec<usize>> {
        let w = &row(w);
        let part = self.part(w).expect("checked by infer");
        let b = w.dims()[1];
        let taps: usize = w.dims().iter().skip(2).product();
        let (own_a, own_b) = (part.dims()[0], part.dims()[1]);
        let one = |i: usize| {
            let (out, source) = (i / self.ins, i % self.ins);
            let first = match self.layout {
                Layout::TapMajor => [out * own_a, source * own_b],
                Layout::Natural => [0, out * own_b],
            };
            let whole = |i: usize| {
                let (row, column, tap) = (i / taps / own_b, i / taps % own_b, i % taps);
                ((first[0] + row) * b + first[1] + column) * taps + tap
            };
            (0..part.elements()).map(whole).collect()
        };
        (0..self.outs * self.ins).map(one).collect()
    }
}

impl Kernel for SplitWeights {
    kernel_name!("split_weights");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let one = inputs.first().filter(|_| inputs.len() == 1);
        match one.and_then(|w| Some((w, self.part(&row(w))?))) {
            // A part in natural order is a whole number of blocks of four.
            Some((w, part))
                if self.layout == Layout::TapMajor || (part.elements() / part.dims()[0]).is_multiple_of(4) =>
            {
                let part = if w.rank() == 1 { Shape::from([part.elements()]) } else { part };
                Ok(vec![part; self.outs * self.ins])
            }
            _ => Err(GraphError::new(format!("{inputs:?} is no weight of {} x {} parts", self.outs, self.ins))),
        }
    }

    fn output_layout(&self, _i: usize) -> Layout {
        self.layout
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let packs = self.packs(io.input(0), io.half(0));
        packs.iter().enumerate().map(|(i, pack)| pack.dispatch(bind_read(0), bind_write(i))).collect()
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let part = self.infer(&[inputs[0].shape.clone()]).expect("checked before").swap_remove(0);
        let sources = self.sources(&inputs[0].shape).into_iter();
        let values = |from: Vec<usize>| from.into_iter().map(|i| inputs[0].data[i]).collect();
        sources.map(|from| HostTensor::new(part.clone(), values(from))).collect()
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 0.0, bytes: io.bytes() }
    }
}

impl Graph {
    /// The parts of a vector that has a number for each channel.
    ///
    /// # Errors
    /// [`GraphError`] if the channels cannot be divided so.
    pub fn split_vector(&mut self, name: &str, v: TensorId, outs: usize) -> Result<Vec<TensorId>, GraphError> {
        self.add_op(name, SplitWeights { outs, ins: 1, layout: Layout::Natural }, &[v])
    }

    /// The weights of `outs` parts of a convolution's result, each over `ins` parts of its source.
    ///
    /// # Errors
    /// [`GraphError`] if the channels cannot be divided so.
    pub fn split_weights(
        &mut self,
        name: &str,
        w: TensorId,
        outs: usize,
        ins: usize,
    ) -> Result<Vec<Vec<TensorId>>, GraphError> {
        let layout = self.tensor(w).layout;
        let parts = self.add_op(name, SplitWeights { outs, ins, layout }, &[w])?;
        Ok(parts.chunks(ins.max(1)).map(<[TensorId]>::to_vec).collect())
    }
}

/// Weights and how they are split.
pub(super) fn examples() -> Vec<(SplitWeights, Shape)> {
    let case = |outs, ins, layout, shape: [usize; 5]| (SplitWeights { outs, ins, layout }, Shape::from(shape));
    let vector = |outs, k: usize| (SplitWeights { outs, ins: 1, layout: Layout::Natural }, Shape::from([k]));
    let (major, natural) = (Layout::TapMajor, Layout::Natural);
    vec![
        case(1, 1, major, [1, 1, 1, 1, 1]),
        case(2, 3, major, [12, 6, 3, 3, 3]),
        case(1, 2, major, [5, 4, 1, 1, 1]),
        case(2, 1, major, [4, 3, 1, 3, 3]),
        case(3, 1, natural, [5, 6, 2, 2, 2]),
        case(2, 1, natural, [3, 8, 1, 1, 1]),
        vector(1, 4),
        vector(3, 24),
    ]
}

/// One channel, channels that are no multiple of four, both orders, both storages.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (seed, (op, shape)) in (0..).zip(examples()) {
        let w = HostTensor::noise(shape.clone(), seed);
        let half = w.clone().map(|v| f64::from(half::f16::from_f64(v)));
        cases.push(Case::new(format!("{op:?} of {shape}"), op, vec![w]).stored(0, op.layout, DType::F32));
        cases.push(Case::new(format!("{op:?} of {shape} f16"), op, vec![half]).stored(0, op.layout, DType::F16));
    }
    cases
}

//! Gradients of layer norm over the last axis: with `x̂ = (x - mean) / std`,
//! `dx = (w dy - mean(w dy) - x̂ mean(w dy x̂)) / std`, `dw = Σ_rows dy x̂`, `db = Σ_rows dy`.
//!
//! Shapes: `x, dy, dx (..., E)`, `w, dw, db (E)`. Sums over rows in two stages of fixed order.

use super::layer_norm::{EPS, LayerNorm, SHARED};
use super::sum_parts::Parts;
use super::{bind_read, bind_write, constant, kernel_name};
use crate::gpu::Access;
use crate::graph::{Applied, Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Op, Operand, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { rows: u32, width: u32, parts: u32, eps: f32 });

/// The op; arguments `dy, x`, if affine `w`; results `dx`, if affine `dw, db`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNormBackward {
    /// Whether the norm has a weight and a bias.
    pub affine: bool,
}

/// Invocations per column; each takes about 32 rows.
fn parts(rows: usize) -> usize {
    rows.div_ceil(32).clamp(1, 4096)
}

impl Kernel for LayerNormBackward {
    kernel_name!("layer_norm_backward");

    fn variants(&self) -> usize {
        SHARED.len()
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        match inputs {
            [dy, x, w] if self.affine && dy == x && w.elements() == x.last() => {
                Ok(vec![x.clone(), w.clone(), w.clone()])
            }
            [dy, x] if !self.affine && dy == x => Ok(vec![x.clone()]),
            _ => Err(GraphError::new(format!("gradient, x and weight do not fit: {inputs:?}"))),
        }
    }

    fn scratch(&self, io: &Io, _target: &Target) -> Vec<u64> {
        let (rows, width) = (io.input(0).rows(), io.input(0).last());
        let partials = (parts(rows) * width) as u64 * 4;
        if self.affine { vec![rows as u64 * 8, partials, partials] } else { Vec::new() }
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let (rows, width) = (io.input(0).rows(), io.input(0).last());
        let parts = parts(rows);
        let shared = *target.choose(SHARED);
        let stage = |weights: bool, bindings, needed: usize| Dispatch {
            shader: "layer_norm_backward",
            entry: "forward",
            constants: vec![
                ("WEIGHTS", constant(weights)),
                ("SHARED", constant(shared)),
                ("AFFINE", constant(self.affine)),
            ],
            params: Params { rows: rows as u32, width: width as u32, parts: parts as u32, eps: EPS as f32 }.block(),
            bindings,
            groups: groups(needed),
        };
        let (read, write) = (Access::Read, Access::Write);
        let row_groups = if shared { rows } else { rows.div_ceil(64) };
        if !self.affine {
            return vec![stage(false, vec![bind_read(0), bind_read(1), bind_write(0)], row_groups)];
        }
        let at = Operand::Scratch(0);
        let sums = Parts { count: width, parts };
        let (factors, first) = sums.finish(Operand::Scratch(1), Operand::Output(1));
        let (offsets, second) = sums.finish(Operand::Scratch(2), Operand::Output(2));
        let data = vec![bind_read(0), bind_read(1), bind_read(2), (at, write), bind_write(0)];
        let weights = vec![bind_read(0), bind_read(1), (at, read), (factors, write), (offsets, write)];
        let mut work = vec![stage(false, data, row_groups), stage(true, weights, (width * parts).div_ceil(64))];
        work.extend(first);
        work.extend(second);
        work
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (dy, x) = (inputs[0], inputs[1]);
        let width = x.shape.last();
        let ones = HostTensor::new([width], vec![1.0; width]);
        let w = if self.affine { inputs[2] } else { &ones };
        let mut dx = x.clone();
        let (mut dw, mut db) = (HostTensor::zeros(w.shape.clone()), HostTensor::zeros(w.shape.clone()));
        for (row, d) in dx.data.chunks_mut(width).zip(dy.data.chunks(width)) {
            let over = |sum: f64| sum / width as f64;
            let mean = over(row.iter().sum());
            let rstd = 1.0 / (over(row.iter().map(|v| (v - mean).powi(2)).sum()) + EPS).sqrt();
            row.iter_mut().for_each(|v| *v = (*v - mean) * rstd);
            let plain = over(d.iter().zip(&w.data).map(|(d, w)| d * w).sum());
            let scaled = over(d.iter().zip(&w.data).zip(&*row).map(|((d, w), v)| d * w * v).sum());
            for (i, v) in row.iter_mut().enumerate() {
                dw.data[i] += d[i] * *v;
                db.data[i] += d[i];
                *v = rstd * (d[i] * w.data[i] - plain - *v * scaled);
            }
        }
        if self.affine { vec![dx, dw, db] } else { vec![dx] }
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 20.0 * io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

impl Op for LayerNorm {
    fn backward(
        &self,
        g: &mut Graph,
        node: &Applied,
        dy: &[Option<TensorId>],
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        let Some(dy) = dy[0] else {
            return Ok(vec![None; node.inputs.len()]);
        };
        let mut inputs = vec![dy, node.inputs[0]];
        inputs.extend(self.affine.then(|| node.inputs[1]));
        let made = g.add("", LayerNormBackward { affine: self.affine }, &inputs)?;
        Ok(made.into_iter().map(Some).collect())
    }
}

/// Narrow and wide rows, many rows, and a mean far from zero; with weights and without.
pub fn cases() -> Vec<Case> {
    let case = |rows, width, seed, affine: bool| {
        let mut inputs = vec![
            HostTensor::noise([rows, width], seed + 40),
            HostTensor::noise([rows, width], seed).map(|v| v * 3.0 + 5.0),
        ];
        inputs.extend(affine.then(|| HostTensor::noise([width], seed + 50)));
        let without = if affine { "" } else { " without weights" };
        Case::new(format!("{rows}x{width}{without}"), LayerNormBackward { affine }, inputs)
    };
    let sizes = [(1, 1), (3, 7), (5, 64), (2, 65), (70_000, 3), (54, 768)];
    let affine = sizes.iter().zip(0..).map(|(&(rows, width), seed)| case(rows, width, seed, true));
    affine.chain([case(3, 7, 6, false), case(2, 65, 7, false)]).collect()
}

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

/// The op; arguments `dy, x, w`, results `dx, dw, db`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNormBackward;

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
            [dy, x, w] if dy == x && w.elements() == x.last() => Ok(vec![x.clone(), w.clone(), w.clone()]),
            _ => Err(GraphError::new(format!("gradient, x and weight do not fit: {inputs:?}"))),
        }
    }

    fn scratch(&self, io: &Io, _target: &Target) -> Vec<u64> {
        let (rows, width) = (io.input(0).rows(), io.input(0).last());
        let partials = (parts(rows) * width) as u64 * 4;
        vec![rows as u64 * 8, partials, partials]
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let (rows, width) = (io.input(0).rows(), io.input(0).last());
        let parts = parts(rows);
        let shared = *target.choose(SHARED);
        let stage = |weights: bool, bindings, needed: usize| Dispatch {
            shader: "layer_norm_backward",
            entry: "forward",
            constants: vec![("WEIGHTS", constant(weights)), ("SHARED", constant(shared))],
            params: Params { rows: rows as u32, width: width as u32, parts: parts as u32, eps: EPS as f32 }.block(),
            bindings,
            groups: groups(needed),
        };
        let (read, write) = (Access::Read, Access::Write);
        let at = Operand::Scratch(0);
        let sums = Parts { count: width, parts };
        let (factors, first) = sums.finish(Operand::Scratch(1), Operand::Output(1));
        let (offsets, second) = sums.finish(Operand::Scratch(2), Operand::Output(2));
        let data = vec![bind_read(0), bind_read(1), bind_read(2), (at, write), bind_write(0)];
        let weights = vec![bind_read(0), bind_read(1), (at, read), (factors, write), (offsets, write)];
        let mut work = vec![
            stage(false, data, if shared { rows } else { rows.div_ceil(64) }),
            stage(true, weights, (width * parts).div_ceil(64)),
        ];
        work.extend(first);
        work.extend(second);
        work
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (dy, x, w) = (inputs[0], inputs[1], inputs[2]);
        let width = x.shape.last();
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
        vec![dx, dw, db]
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
            return Ok(vec![None; 3]);
        };
        let made = g.add("", LayerNormBackward, &[dy, node.inputs[0], node.inputs[1]])?;
        Ok(made.into_iter().map(Some).collect())
    }
}

/// Narrow and wide rows, many rows, and a mean far from zero.
pub fn cases() -> Vec<Case> {
    [(1, 1), (3, 7), (5, 64), (2, 65), (70_000, 3), (54, 768)]
        .iter()
        .zip(0..)
        .map(|(&(rows, width), seed)| {
            let dy = HostTensor::noise([rows, width], seed + 40);
            let x = HostTensor::noise([rows, width], seed).map(|v| v * 3.0 + 5.0);
            let w = HostTensor::noise([width], seed + 50);
            Case::new(format!("{rows}x{width}"), LayerNormBackward, vec![dy, x, w])
        })
        .collect()
}

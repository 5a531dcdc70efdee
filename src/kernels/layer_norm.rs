//! `y = (x - mean) / sqrt(var + eps) * w + b` over the last axis, biased variance; or without `w` and `b`.
//!
//! Shapes: `x, y (..., E)`, `w, b (E)`. Source: `torch.nn.LayerNorm`, `torch.nn.functional.layer_norm`, eps 1e-5.

use super::{bind_read, bind_write, constant, kernel_name};
use crate::graph::{Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { rows: u32, width: u32, eps: f32 });

pub(super) const EPS: f64 = 1e-5;

/// The op; arguments `x`, if affine `w, b`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNorm {
    /// Whether it has a weight and a bias.
    pub affine: bool,
}

/// One invocation per row, or one group of 64 with workgroup memory.
pub(super) const SHARED: &[bool] = &[false, true];

impl Kernel for LayerNorm {
    kernel_name!("layer_norm");

    fn variants(&self) -> usize {
        SHARED.len()
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        match inputs {
            [x, w, b] if self.affine && w.elements() == x.last() && b.elements() == x.last() => Ok(vec![x.clone()]),
            [x] if !self.affine => Ok(vec![x.clone()]),
            _ => Err(GraphError::new(format!("x, weight and bias do not fit: {inputs:?}"))),
        }
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let x = io.input(0);
        let shared = *target.choose(SHARED);
        let rows = x.rows();
        let mut bindings: Vec<_> = (0..io.inputs.len()).map(bind_read).collect();
        bindings.push(bind_write(0));
        vec![Dispatch {
            shader: "layer_norm",
            entry: "forward",
            constants: vec![("SHARED", constant(shared)), ("AFFINE", constant(self.affine))],
            params: Params { rows: rows as u32, width: x.last() as u32, eps: EPS as f32 }.block(),
            bindings,
            groups: groups(if shared { rows } else { rows.div_ceil(64) }),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let x = inputs[0];
        let weights = self.affine.then(|| (inputs[1], inputs[2]));
        let width = x.shape.last();
        let mut y = x.clone();
        for row in y.data.chunks_mut(width) {
            let mean = row.iter().sum::<f64>() / width as f64;
            let var = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / width as f64;
            for (i, v) in row.iter_mut().enumerate() {
                let (w, b) = weights.map_or((1.0, 0.0), |(w, b)| (w.data[i], b.data[i]));
                *v = (*v - mean) / (var + EPS).sqrt() * w + b;
            }
        }
        vec![y]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 8.0 * io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

impl Graph {
    /// Layer norm over the last axis.
    ///
    /// # Errors
    /// [`GraphError`] if the shapes do not fit.
    pub fn layer_norm(&mut self, name: &str, x: TensorId, w: TensorId, b: TensorId) -> Result<TensorId, GraphError> {
        self.add_one_op(name, LayerNorm { affine: true }, &[x, w, b])
    }

    /// Layer norm over the last axis without weight and bias.
    ///
    /// # Errors
    /// [`GraphError`] never.
    pub fn plain_layer_norm(&mut self, name: &str, x: TensorId) -> Result<TensorId, GraphError> {
        self.add_one_op(name, LayerNorm { affine: false }, &[x])
    }
}

/// Widths around the group size, many rows, and a mean far from zero; with weights and without.
pub fn cases() -> Vec<Case> {
    let case = |rows, width, seed, affine| {
        let mut inputs = vec![HostTensor::noise([rows, width], seed).map(|v| v * 3.0 + 20.0)];
        if affine {
            inputs.extend([HostTensor::noise([width], seed + 50), HostTensor::noise([width], seed + 60)]);
        }
        let without = if affine { "" } else { " without weights" };
        Case::new(format!("{rows}x{width}{without}"), LayerNorm { affine }, inputs)
    };
    let sizes = [(1, 1), (3, 7), (5, 64), (2, 65), (70_000, 3), (27, 768)];
    let affine = sizes.iter().zip(0..).map(|(&(rows, width), seed)| case(rows, width, seed, true));
    affine.chain([case(3, 7, 6, false), case(2, 65, 7, false)]).collect()
}

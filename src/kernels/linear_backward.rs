//! Gradients of the linear layer `y = gelu(x Wᵀ + b) + residual`: with `dz = dy gelu'(z)`, `dx = dz W`, `dW = dzᵀ x`,
//! `db` the sum of `dz` over its rows, and `dy` itself for the residual (summed where it was repeated).
//!
//! Shapes: `dy, dz (..., N)`, `x, dx (..., K)`, `W, dW (N, K...)`.

use super::channel_sums::ChannelSums;
use super::linear::{Linear, erf};
use super::sum_parts::{Parts, SumRepeats};
use super::{bind_read, bind_write, constant, kernel_name};
use crate::gpu::Access;
use crate::graph::{Applied, Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Op, Operand, Target, TensorId};
use crate::graph::{groups, params, values};
use crate::tensor::{HostTensor, Shape};

params!(Params { rows: u32, columns: u32, depth: u32, part: u32 });
params!(GeluParams { count: u32 });

/// A product of the gradient; arguments `dy, w` (gradient of `x`) or `dy, x` (gradient of the weight).
#[derive(Clone, Debug, PartialEq)]
pub struct LinearBackward {
    /// The weight's shape: its gradient is wanted. Otherwise that of `x`.
    pub weight: Option<Shape>,
}

/// `dx = dy gelu'(x)`; arguments `dy, x`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeluBackward;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Variant {
    /// Four values per load where rows in memory are whole blocks of four; elsewhere 8 rows and 2 blocks.
    Wide,
    /// Results per invocation, rows x blocks of four columns.
    Registers(usize, usize),
}

/// The first suits software adapters, whose loads cost more than arithmetic.
const VARIANTS: &[Variant] = &[
    Variant::Wide,
    Variant::Registers(4, 1),
    Variant::Registers(8, 4),
    Variant::Registers(4, 2),
    Variant::Registers(8, 2),
];

/// Rows of results per invocation with long loads: as few beyond the last as may be, as each block of rows costs.
fn wide_rows(rows: usize, transposed: bool) -> usize {
    let choices: &[usize] = if transposed { &[16, 12, 8, 4] } else { &[18, 12, 9, 8, 6, 4, 3, 2, 1] };
    choices.iter().copied().min_by_key(|c| rows.div_ceil(*c) * (c + 12)).unwrap_or(4)
}

/// Rows of the depth that are summed one after the other; more of them are summed in parts, so that no loop is long.
const PART: usize = 8192;
/// llvmpipe ends every invocation after 65,535 loop iterations.
const MOST_DEPTH: usize = 65_000;

impl LinearBackward {
    /// Rows, columns and depth of the product.
    fn sizes(&self, dy: &Shape, other: &Shape) -> (usize, usize, usize) {
        match &self.weight {
            Some(_) => (dy.last(), other.last(), dy.rows()),
            None => (dy.rows(), other.elements() / dy.last().max(1), dy.last()),
        }
    }

    /// Parts in which a weight's gradient is summed over its many rows.
    fn parts(&self, depth: usize) -> usize {
        if self.weight.is_some() { depth.div_ceil(PART) } else { 1 }
    }
}

impl Kernel for LinearBackward {
    kernel_name!("linear_backward");

    fn variants(&self) -> usize {
        VARIANTS.len()
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let [dy, other] = inputs else {
            return Err(GraphError::new("a gradient and another factor are needed"));
        };
        let (rows, columns, depth) = self.sizes(dy, other);
        if self.weight.is_none() && depth > MOST_DEPTH {
            return Err(GraphError::new(format!(
                "a gradient sums over {depth} columns, at most {MOST_DEPTH} are possible"
            )));
        }
        let misfit = || GraphError::new(format!("gradient {dy} and {other} do not fit"));
        match &self.weight {
            Some(w) if w.elements() == rows * columns && other.rows() == depth => Ok(vec![w.clone()]),
            None if other.dims().first() == Some(&depth) => {
                let mut dims = dy.dims().to_vec();
                *dims.last_mut().ok_or_else(misfit)? = columns;
                Ok(vec![Shape::new(&dims)])
            }
            _ => Err(misfit()),
        }
    }

    fn scratch(&self, io: &Io, _target: &Target) -> Vec<u64> {
        let (rows, columns, depth) = self.sizes(io.input(0), io.input(1));
        match self.parts(depth) {
            1 => Vec::new(),
            parts => vec![(parts * rows * columns) as u64 * 4],
        }
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let (rows, columns, depth) = self.sizes(io.input(0), io.input(1));
        let parts = self.parts(depth);
        let part = depth.div_ceil(parts);
        let sums = Parts { count: rows * columns, parts };
        let (to, second) = sums.finish(Operand::Scratch(0), Operand::Output(0));
        let transposed = self.weight.is_some();
        let blocks = columns.is_multiple_of(4) && if transposed { rows } else { depth }.is_multiple_of(4);
        let (wide, tile_rows, quads) = match *target.choose(VARIANTS) {
            Variant::Wide if blocks => (true, wide_rows(rows, transposed), if transposed { 4 } else { 3 }),
            Variant::Wide => (false, 8, 2),
            Variant::Registers(rows, quads) => (false, rows, quads),
        };
        let tile_rows = if wide { tile_rows } else { tile_rows.min(rows.next_power_of_two()) };
        let quads = quads.min(columns.div_ceil(4));
        let tiles = rows.div_ceil(tile_rows) * columns.div_ceil(4 * quads);
        let mut constants =
            vec![("ROWS", tile_rows as u32), ("QUADS", quads as u32), ("TRANSPOSED", constant(transposed))];
        // Small groups, so that a few tokens occupy several cores.
        let lanes = if wide { 8 } else { 64 };
        if wide {
            constants.extend([("ROWS4", tile_rows as u32 / 4), ("LANES", lanes as u32)]);
        } else {
            constants.push(("SCALAR", constant(columns % 4 != 0)));
        }
        let mut work = vec![Dispatch {
            shader: if wide { "linear_backward_wide" } else { "linear_backward" },
            entry: "forward",
            constants,
            params: Params { rows: rows as u32, columns: columns as u32, depth: depth as u32, part: part as u32 }
                .block(),
            bindings: vec![bind_read(0), bind_read(1), (to, Access::Write)],
            groups: groups((parts * tiles).div_ceil(lanes)),
        }];
        work.extend(second);
        work
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (dy, other) = (inputs[0], inputs[1]);
        let (rows, columns, depth) = self.sizes(&dy.shape, &other.shape);
        let shape = self.infer(&[dy.shape.clone(), other.shape.clone()]).expect("checked by infer").remove(0);
        let mut y = HostTensor::zeros(shape);
        for (row, r) in (0..rows).flat_map(|row| (0..depth).map(move |r| (row, r))) {
            let a = if self.weight.is_some() { dy.data[r * rows + row] } else { dy.data[row * depth + r] };
            let out = &mut y.data[row * columns..][..columns];
            out.iter_mut().zip(&other.data[r * columns..]).for_each(|(y, b)| *y += a * b);
        }
        vec![y]
    }

    fn cost(&self, io: &Io) -> Cost {
        let (rows, columns, depth) = self.sizes(io.input(0), io.input(1));
        Cost { flops: 2.0 * rows as f64 * columns as f64 * depth as f64, bytes: io.bytes() }
    }
}

impl Kernel for GeluBackward {
    kernel_name!("gelu_backward");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        match inputs {
            [dy, x] if dy == x => Ok(vec![x.clone()]),
            _ => Err(GraphError::new(format!("gradient and argument do not fit: {inputs:?}"))),
        }
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let (wide, count) = values(io.input(0).elements());
        vec![Dispatch {
            shader: "gelu_backward",
            entry: "forward",
            constants: vec![("WIDE", constant(wide))],
            params: GeluParams { count: count as u32 }.block(),
            bindings: vec![bind_read(0), bind_read(1), bind_write(0)],
            groups: groups(count.div_ceil(64)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let mut dx = inputs[0].clone();
        for (d, &x) in dx.data.iter_mut().zip(&inputs[1].data) {
            let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
            *d *= 0.5 * (1.0 + erf(x / std::f64::consts::SQRT_2)) + x * density;
        }
        vec![dx]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 30.0 * io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

impl Op for Linear {
    fn backward(
        &self,
        g: &mut Graph,
        node: &Applied,
        dy: &[Option<TensorId>],
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        let mut grads = vec![None; node.inputs.len()];
        let Some(dy) = dy[0] else {
            return Ok(grads);
        };
        let last = node.inputs.len() - 1;
        if self.residual && node.needs[last] {
            let shape = g.shape(node.inputs[last]).clone();
            let same = shape == *g.shape(dy);
            grads[last] = Some(if same { dy } else { g.add_one("residual", SumRepeats { shape }, &[dy])? });
        }
        let dz = match (self.gelu, node.outputs.get(1)) {
            (false, _) => dy,
            (true, Some(&argument)) => g.add_one("gelu", GeluBackward, &[dy, argument])?,
            (true, None) => {
                return Err(GraphError::new("the argument of GELU was not kept: build the graph for training"));
            }
        };
        let (x, w) = (node.inputs[0], node.inputs[1]);
        if node.needs[0] {
            grads[0] = Some(g.add_one("input", LinearBackward { weight: None }, &[dz, w])?);
        }
        if node.needs[1] {
            let shape = g.shape(w).clone();
            grads[1] = Some(g.add_one("weight", LinearBackward { weight: Some(shape) }, &[dz, x])?);
        }
        if self.bias && node.needs[2] {
            grads[2] = Some(g.add_one("bias", ChannelSums { last: true }, &[dz])?);
        }
        Ok(grads)
    }
}

/// Both products with shapes around every tile's edge, and GELU where its exponential vanishes.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (seed, (rows, columns, depth)) in [
        (1, 1, 1),
        (3, 5, 7),
        (13, 17, 12),
        (27, 96, 48),
        (216, 31, 64),
        (37, 20, 72),
        (2, 40, 8),
        (20_011, 8, 4),
        (8193, 3, 5),
    ]
    .into_iter()
    .enumerate()
    {
        let dy = HostTensor::noise([rows, columns], seed as u64);
        let w = HostTensor::noise([columns, depth], seed as u64 + 10);
        let x = HostTensor::noise([rows, depth], seed as u64 + 20);
        let weight = Some(w.shape.clone());
        let name = format!("{rows}x{columns}x{depth}");
        cases.push(Case::new(format!("input {name}"), LinearBackward { weight: None }, vec![dy.clone(), w]));
        cases.push(Case::new(format!("weight {name}"), LinearBackward { weight }, vec![dy, x]));
    }
    let patches = LinearBackward { weight: Some(Shape::from([6, 2, 2, 2, 2])) };
    cases.push(Case::new(
        "a convolution's weight",
        patches,
        vec![HostTensor::noise([2, 9, 6], 1), HostTensor::noise([2, 9, 16], 2)],
    ));
    let wide = HostTensor::noise([41, 9], 3).map(|v| v * 40.0);
    let near = HostTensor::noise([40, 9], 4).map(|v| v * 3.0);
    let (odd, even) = (HostTensor::noise([41, 9], 5), HostTensor::noise([40, 9], 5));
    cases.push(Case::new("gelu of large values", GeluBackward, vec![odd, wide]));
    cases.push(Case::new("gelu", GeluBackward, vec![even, near]));
    cases
}

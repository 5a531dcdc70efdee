//! `y = x Wᵀ + b`, then GELU, then `+ residual`: every matrix product of the transformer.
//!
//! Shapes: `x (..., K)`, `W (N, K...)`, `b (N)`, `residual` of `y`'s trailing shape (repeated over the leading axis),
//! `y (..., N)`. Source: `torch.nn.Linear`, `torch.nn.GELU` (erf form).

mod tiled;

use super::{bind_read, bind_write, constant, kernel_name};
use crate::gpu::AdapterClass;
use crate::graph::{Case, Cost, DType, Dispatch, Graph, GraphError, Io, Kernel, Layout, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { rows: u32, columns: u32, depth: u32, residual_rows: u32 });

/// The op; arguments `x, w, [b], [residual]`, results `y, [argument of gelu]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Linear {
    /// Adds a bias.
    pub bias: bool,
    /// Applies GELU after the bias.
    pub gelu: bool,
    /// Adds a residual last.
    pub residual: bool,
    /// Gives the argument of GELU as a second result, for the gradient.
    pub keep: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Variant {
    /// Without workgroup memory: results per invocation, rows x columns.
    Registers(u32, u32),
    /// With workgroup memory, as [`tiled::choose`] finds best for the shape.
    ByShape,
    /// With this tile and number of parts of the depth.
    Tiled(tiled::Tile, usize),
}

/// The first suits software adapters, whose loads cost more than arithmetic and whose barriers are slow.
const VARIANTS: &[Variant] = &[
    Variant::Registers(12, 12),
    Variant::ByShape,
    Variant::Tiled(tiled::T32X32, 1),
    Variant::Tiled(tiled::T32X64, 1),
    Variant::Tiled(tiled::T64X64, 1),
    Variant::Tiled(tiled::T128X64, 1),
    Variant::Tiled(tiled::T32X64, 4),
    Variant::Registers(4, 4),
];

impl Linear {
    fn params(&self, io: &Io) -> Params {
        let residual = self.residual.then(|| io.input(io.inputs.len() - 1).rows());
        Params {
            rows: io.input(0).rows() as u32,
            columns: io.output(0).last() as u32,
            depth: io.input(0).last() as u32,
            residual_rows: residual.unwrap_or(1) as u32,
        }
    }

    /// The tile and the number of parts of the depth, or the results per invocation.
    fn variant(io: &Io, target: &Target) -> Result<(tiled::Tile, usize), (u32, u32)> {
        let (rows, columns, depth) = (io.input(0).rows(), io.output(0).last(), io.input(0).last());
        match *target.choose(VARIANTS) {
            Variant::Registers(rows, columns) => Err((rows, columns)),
            // Only the kernel without workgroup memory gives the argument of GELU too.
            _ if io.outputs.len() > 1 || !tiled::fits(columns, depth) => Err((4, 4)),
            Variant::ByShape => Ok(tiled::choose(target, rows, columns, depth)),
            Variant::Tiled(tile, split) => Ok((tile, split)),
        }
    }
}

impl Kernel for Linear {
    kernel_name!("linear");

    fn variants(&self) -> usize {
        VARIANTS.len()
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let want = 2 + usize::from(self.bias) + usize::from(self.residual);
        let [x, w, rest @ ..] = inputs else {
            return Err(GraphError::new("x and w are needed"));
        };
        let columns = w.dims().first().copied().unwrap_or(0);
        // A patch embedding's weight keeps its convolution's shape: every axis but the first counts as depth.
        if inputs.len() != want || w.elements() != columns * x.last() {
            return Err(GraphError::new(format!(
                "x {x} and weight {w} do not fit, or {want} arguments were not given"
            )));
        }
        let mut dims = x.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = columns;
        }
        let y = Shape::new(&dims);
        if self.bias && rest[0].elements() != columns {
            return Err(GraphError::new(format!("bias {} for {columns} columns", rest[0])));
        }
        if let (true, Some(r)) = (self.residual, rest.last())
            && (r.last() != columns || r.rows() == 0 || !y.rows().is_multiple_of(r.rows()))
        {
            return Err(GraphError::new(format!("residual {r} for result {y}")));
        }
        Ok(vec![y; 1 + usize::from(self.keep)])
    }

    fn scratch(&self, io: &Io, target: &Target) -> Vec<u64> {
        Self::variant(io, target).map_or_else(|_| Vec::new(), |(_, split)| tiled::scratch(io, split))
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let params = self.params(io);
        let (tile_rows, tile_columns) = match Self::variant(io, target) {
            Ok(choice) => return tiled::dispatches(self, &params, io, choice),
            Err(results) => results,
        };
        // Small groups, so that a few tokens occupy several cores of a software adapter.
        let lanes = if target.class == AdapterClass::Software { 8 } else { 64 };
        let tile_rows = tile_rows.min(params.rows.next_power_of_two());
        let tiles = params.rows.div_ceil(tile_rows) as usize * params.columns.div_ceil(tile_columns) as usize;
        let mut bindings = vec![bind_read(0), bind_read(1)];
        bindings.extend((2..io.inputs.len()).map(bind_read));
        bindings.extend((0..io.outputs.len()).map(bind_write));
        vec![Dispatch {
            shader: "linear",
            entry: "forward",
            constants: vec![
                ("ROWS", tile_rows),
                ("COLUMNS", tile_columns),
                ("LANES", lanes as u32),
                ("SCALAR", constant(!params.depth.is_multiple_of(4))),
                ("HALF", io.half(1)),
                ("BIAS", constant(self.bias)),
                ("GELU", constant(self.gelu)),
                ("RESIDUAL", constant(self.residual)),
                ("KEEP", constant(self.keep)),
            ],
            params: params.block(),
            bindings,
            groups: groups(tiles.div_ceil(lanes)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (x, w) = (inputs[0], inputs[1]);
        let (rows, columns, depth) = (x.shape.rows(), w.shape.dims()[0], x.shape.last());
        let mut dims = x.shape.dims().to_vec();
        *dims.last_mut().expect("x has an axis") = columns;
        let mut y = HostTensor::zeros(Shape::new(&dims));
        let mut argument = y.clone();
        for row in 0..rows {
            for column in 0..columns {
                let a = &x.data[row * depth..][..depth];
                let b = &w.data[column * depth..][..depth];
                let mut v: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                if self.bias {
                    v += inputs[2].data[column];
                }
                argument.data[row * columns + column] = v;
                if self.gelu {
                    v = gelu(v);
                }
                if self.residual {
                    let r = inputs[inputs.len() - 1];
                    v += r.data[(row % r.shape.rows()) * columns + column];
                }
                y.data[row * columns + column] = v;
            }
        }
        if self.keep { vec![y, argument] } else { vec![y] }
    }

    fn cost(&self, io: &Io) -> Cost {
        let products = io.output(0).elements() as f64 * io.input(0).last() as f64;
        Cost { flops: 2.0 * products, bytes: io.bytes() }
    }
}

/// `0.5 x (1 + erf(x / sqrt 2))` in double precision.
pub(crate) fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2))
}

/// Error function to 1e-15: Taylor series near 0, continued fraction of erfc beyond.
pub(super) fn erf(x: f64) -> f64 {
    let a = x.abs();
    let value = if a < 2.5 {
        let (mut term, mut sum) = (a, a);
        for n in 1..80 {
            let n = f64::from(n);
            term *= -a * a / n;
            sum += term / (2.0 * n + 1.0);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    } else {
        let mut fraction = 0.0;
        for n in (1..60).rev() {
            fraction = f64::from(n) / 2.0 / (a + fraction);
        }
        1.0 - (-a * a).exp() / ((a + fraction) * std::f64::consts::PI.sqrt())
    };
    value.copysign(x)
}

impl Graph {
    /// `x Wᵀ + b`, optional parts as given.
    ///
    /// # Errors
    /// [`GraphError`] if the shapes do not fit.
    pub fn linear(
        &mut self,
        name: &str,
        x: TensorId,
        w: TensorId,
        b: Option<TensorId>,
        gelu: bool,
        residual: Option<TensorId>,
    ) -> Result<TensorId, GraphError> {
        let keep = gelu && self.training();
        let op = Linear { bias: b.is_some(), gelu, residual: residual.is_some(), keep };
        let mut inputs = vec![x, w];
        inputs.extend(b);
        inputs.extend(residual);
        self.add_one_op(name, op, &inputs)
    }
}

/// Shapes around every tile's edge, all options, both storages.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let sizes = [
        (1, 1, 1),
        (3, 5, 7),
        (8, 8, 16),
        (13, 17, 12),
        (27, 96, 48),
        (9, 70_001, 4),
        (216, 31, 64),
        (33, 68, 36),
        (131, 100, 528),
    ];
    for (i, &(rows, columns, depth)) in sizes.iter().enumerate() {
        let seed = 10 * i as u64;
        let x = HostTensor::noise([rows, depth], seed);
        let w = HostTensor::noise([columns, depth], seed + 1);
        let b = HostTensor::noise([columns], seed + 2);
        let r = HostTensor::noise([rows, columns], seed + 3);
        let name = format!("{rows}x{columns}x{depth}");
        let plain = Linear { bias: false, gelu: false, residual: false, keep: false };
        let full = Linear { bias: true, gelu: true, residual: true, keep: false };
        cases.push(Case::new(name.clone(), plain, vec![x.clone(), w.clone()]));
        cases.push(Case::new(format!("{name} bias gelu residual"), full, vec![x.clone(), w.clone(), b, r]));
        let half = w.map(|v| f64::from(half::f16::from_f64(v)));
        cases.push(Case::new(format!("{name} f16"), plain, vec![x, half]).stored(1, Layout::Natural, DType::F16));
    }
    let wide = HostTensor::noise([5, 8], 99).map(|v| v * 40.0);
    let identity = HostTensor::new([8, 8], (0..64).map(|i| f64::from(u8::from(i % 9 == 0))).collect());
    let gelu = Linear { bias: false, gelu: true, residual: false, keep: false };
    cases.push(Case::new("gelu of large values", gelu, vec![wide.clone(), identity.clone()]));
    cases.push(Case::new("argument of gelu kept", Linear { keep: true, ..gelu }, vec![wide, identity]));
    let x = HostTensor::noise([2, 6, 8], 7);
    let w = HostTensor::noise([4, 8], 8);
    let position = HostTensor::noise([1, 6, 4], 9);
    let repeated = Linear { bias: false, gelu: false, residual: true, keep: false };
    cases.push(Case::new("residual repeated over the batch", repeated, vec![x, w, position]));
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_values() {
        // From mpmath to 15 digits.
        for (x, want) in
            [(0.5, 0.520_499_877_813_046_5), (1.0, 0.842_700_792_949_714_9), (3.0, 0.999_977_909_503_001_4)]
        {
            assert!((erf(x) - want).abs() < 1e-14, "erf({x}) = {}", erf(x));
            assert!((erf(-x) + want).abs() < 1e-14, "erf is odd");
        }
    }
}

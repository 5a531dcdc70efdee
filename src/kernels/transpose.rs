//! `y[n, j, i] = x[n, i, j]`: tokens `(N, L, E)` to channels first. Source: `UNETR.proj_feat`.

use super::{bind_read, bind_write, kernel_name};
use crate::graph::{Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { samples: u32, rows: u32, columns: u32 });

/// The op: `x (N, L, E)` to `y (N, E, grid...)`, whose grid has L elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Transpose {
    /// Extents that replace L.
    pub grid: Vec<usize>,
}

/// The shader for `samples` matrices.
pub(super) fn dispatch(samples: usize, rows: usize, columns: usize) -> Dispatch {
    Dispatch {
        shader: "transpose",
        entry: "forward",
        constants: Vec::new(),
        params: Params { samples: samples as u32, rows: rows as u32, columns: columns as u32 }.block(),
        bindings: vec![bind_read(0), bind_write(0)],
        groups: groups((samples * rows * columns).div_ceil(64)),
    }
}

impl Kernel for Transpose {
    kernel_name!("transpose");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let [x] = inputs else {
            return Err(GraphError::new("one argument is needed"));
        };
        match x.dims() {
            &[n, l, e] if self.grid.iter().product::<usize>() == l => {
                let mut dims = vec![n, e];
                dims.extend(&self.grid);
                Ok(vec![Shape::new(&dims)])
            }
            _ => Err(GraphError::new(format!("{x} does not fit the grid {:?}", self.grid))),
        }
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let x = io.input(0).dims();
        vec![dispatch(x[0], x[1], x[2])]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let x = inputs[0];
        let d = x.shape.dims();
        let (n, l, e) = (d[0], d[1], d[2]);
        let mut dims = vec![n, e];
        dims.extend(&self.grid);
        let mut y = HostTensor::zeros(Shape::new(&dims));
        for (i, &v) in x.data.iter().enumerate() {
            let (s, row, column) = (i / (l * e), i / e % l, i % e);
            y.data[(s * e + column) * l + row] = v;
        }
        vec![y]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 0.0, bytes: io.bytes() }
    }
}

impl Graph {
    /// Tokens to a volume of `grid`, channels first.
    ///
    /// # Errors
    /// [`GraphError`] if the grid has another number of tokens.
    pub fn transpose(&mut self, name: &str, x: TensorId, grid: &[usize]) -> Result<TensorId, GraphError> {
        self.add_one_op(name, Transpose { grid: grid.to_vec() }, &[x])
    }
}

/// Odd extents, a batch, and more than 65,535 groups.
pub fn cases() -> Vec<Case> {
    let case = |n, grid: [usize; 3], e, seed| {
        let x = HostTensor::noise([n, grid.iter().product(), e], seed);
        Case::new(format!("{n}x{grid:?}x{e}"), Transpose { grid: grid.to_vec() }, vec![x])
    };
    vec![case(1, [1, 1, 1], 1, 0), case(2, [2, 3, 5], 7, 1), case(1, [61, 31, 23], 100, 2)]
}

//! Joins the tokens of each 2 x 2 x 2 cell of a grid, one after the other, as one token: the first part of Swin's merging of
//! patches, a layer norm and a linear layer being the others.
//!
//! Shapes: `x (N, X Y Z, E)`, `y (N, X/2 Y/2 Z/2, 8 E)`. `y[n, p, (i, e)] = x[n, 2 p + o_i, e]`, `o_i` the order's i-th corner.
//! Source: MONAI `PatchMerging`, `PatchMergingV2`.

use super::{bind_read, bind_write, constant, kernel_name};
use crate::graph::{Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { samples: u32, x: u32, y: u32, z: u32, width: u32, order: u32 });

/// The corners of a cell in the order in which they are joined, as offsets along X, Y, Z.
pub type Corners = [[usize; 3]; 8];

/// The op.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PatchMerging {
    /// Tokens along X, Y, Z.
    pub grid: [usize; 3],
    /// Which corners are joined: each once, or, as in networks of old, some twice and others never.
    pub corners: Corners,
}

impl PatchMerging {
    /// Samples and width of a token.
    fn sizes(&self, x: &Shape) -> Option<(usize, usize)> {
        let even = self.grid.iter().all(|s| *s > 0 && s.is_multiple_of(2));
        let corners = self.corners.iter().flatten().all(|o| *o < 2);
        match x.dims() {
            &[n, cells, width] if even && corners && cells == self.grid.iter().product::<usize>() => Some((n, width)),
            _ => None,
        }
    }

    /// Shape of the result.
    pub(super) fn joined(&self, x: &Shape) -> Option<Shape> {
        let cells = self.grid.iter().product::<usize>() / 8;
        self.sizes(x).map(|(n, width)| Shape::from([n, cells, 8 * width]))
    }

    /// The shader, from tokens `x` to cells or back.
    pub(super) fn dispatch(&self, x: &Shape, backward: bool) -> Dispatch {
        let (n, width) = self.sizes(x).expect("checked by infer");
        let wide = width.is_multiple_of(4);
        let step = if wide { 4 } else { 1 };
        let code = |[x, y, z]: [usize; 3]| (x * 4 + y * 2 + z) as u32;
        let order = self.corners.iter().enumerate().map(|(i, corner)| code(*corner) << (3 * i)).sum();
        Dispatch {
            shader: "patch_merging",
            entry: "forward",
            constants: vec![("BACKWARD", constant(backward)), ("WIDE", constant(wide))],
            params: Params {
                samples: n as u32,
                x: self.grid[0] as u32,
                y: self.grid[1] as u32,
                z: self.grid[2] as u32,
                width: (width / step) as u32,
                order,
            }
            .block(),
            bindings: vec![bind_read(0), bind_write(0)],
            groups: groups((x.elements() / step).div_ceil(64)),
        }
    }

    /// For each element of the result, the one of `x` that it is.
    pub(super) fn sources(&self, x: &Shape) -> Vec<usize> {
        let (n, width) = self.sizes(x).expect("checked by infer");
        let [gx, gy, gz] = self.grid;
        let source = |i: usize| {
            let (e, corner, cell) = (i % width, i / width % 8, i / width / 8);
            let (sx, sy, sz) = (gx / 2, gy / 2, gz / 2);
            let at = [cell / sz / sy % sx, cell / sz % sy, cell % sz];
            let [x, y, z] = [0, 1, 2].map(|a| 2 * at[a] + self.corners[corner][a]);
            (((cell / sz / sy / sx * gx + x) * gy + y) * gz + z) * width + e
        };
        (0..n * gx * gy * gz * width).map(source).collect()
    }
}

impl Kernel for PatchMerging {
    kernel_name!("patch_merging");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let joined = inputs.first().filter(|_| inputs.len() == 1).and_then(|x| self.joined(x));
        joined
            .map(|y| vec![y])
            .ok_or_else(|| GraphError::new(format!("{inputs:?} are no tokens of an even grid {:?}", self.grid)))
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        vec![self.dispatch(io.input(0), false)]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let x = inputs[0];
        let shape = self.joined(&x.shape).expect("checked by infer");
        vec![HostTensor::new(shape, self.sources(&x.shape).into_iter().map(|i| x.data[i]).collect())]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 0.0, bytes: io.bytes() }
    }
}

impl Graph {
    /// Tokens joined by eight.
    ///
    /// # Errors
    /// [`GraphError`] if the grid is odd or another one.
    pub fn patch_merging(
        &mut self,
        name: &str,
        x: TensorId,
        grid: [usize; 3],
        corners: Corners,
    ) -> Result<TensorId, GraphError> {
        self.add_one_op(name, PatchMerging { grid, corners }, &[x])
    }
}

/// Every corner once, and some twice.
pub(super) const ORDERS: [Corners; 2] = [
    [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 1, 1]],
    [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 1]],
];

/// One cell, unequal axes, a batch, widths that are no multiple of four, more than 65,535 groups; both kinds of order.
pub fn cases() -> Vec<Case> {
    let case = |n, grid: [usize; 3], width, order: usize| {
        let x = HostTensor::noise([n, grid.iter().product(), width], order as u64);
        Case::new(format!("{n}x{grid:?}x{width} {order}"), PatchMerging { grid, corners: ORDERS[order] }, vec![x])
    };
    vec![
        case(1, [2, 2, 2], 1, 0),
        case(2, [4, 6, 10], 3, 1),
        case(2, [6, 2, 4], 8, 0),
        case(1, [10, 4, 2], 12, 1),
        case(1, [64, 64, 64], 17, 0),
    ]
}

//! The matrix product with workgroup memory, for GPUs.

use super::{Linear, Params};
use crate::gpu::{Access, AdapterClass};
use crate::graph::{Dispatch, Io, Operand, Target, groups};
use crate::kernels::{bind_read, bind_write, constant};

/// How a group of `lanes` shares a tile: `lane_columns` of them side by side, each with `r x c` blocks of 4 x 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    lanes: usize,
    lane_columns: usize,
    r: usize,
    c: usize,
}

/// 32 x 32, 16 sums per invocation, 4 KiB of workgroup memory.
pub(super) const T32X32: Tile = Tile { lanes: 64, lane_columns: 8, r: 1, c: 1 };
/// 32 x 64, 16 sums, 6 KiB: for one window's 216 tokens.
pub(super) const T32X64: Tile = Tile { lanes: 128, lane_columns: 16, r: 1, c: 1 };
/// 64 x 64, 32 sums, 8 KiB.
pub(super) const T64X64: Tile = Tile { lanes: 128, lane_columns: 16, r: 2, c: 1 };
/// 128 x 64, 64 sums, 12 KiB: for several windows at once on GPUs with many registers.
pub(super) const T128X64: Tile = Tile { lanes: 128, lane_columns: 8, r: 2, c: 2 };

/// Rows from which on the larger tiles are filled well.
const MANY_ROWS: usize = 512;
/// Groups that keep a large GPU busy.
const ENOUGH_GROUPS: usize = 256;

impl Tile {
    /// Workgroups without a split of the depth.
    fn groups(self, rows: usize, columns: usize) -> usize {
        let height = self.lanes / self.lane_columns * self.r * 4;
        rows.div_ceil(height) * columns.div_ceil(self.lane_columns * self.c * 4)
    }

    /// 4 x 4 blocks that each lane brings into workgroup memory per step.
    fn items(self) -> usize {
        let quads = self.lanes / self.lane_columns * self.r + self.lane_columns * self.c;
        (4 * quads).div_ceil(self.lanes)
    }
}

/// Tile and number of parts of the depth for this shape.
pub(super) fn choose(target: &Target, rows: usize, columns: usize, depth: usize) -> (Tile, usize) {
    match target.class {
        AdapterClass::Discrete if rows >= MANY_ROWS => (if target.many_registers() { T128X64 } else { T64X64 }, 1),
        AdapterClass::Discrete => {
            // A part is at least 256 deep, so that writing sums stays cheap beside making them.
            let most = (depth / 256).clamp(1, 4);
            (T32X64, (ENOUGH_GROUPS / T32X64.groups(rows, columns).max(1)).clamp(1, most))
        }
        AdapterClass::Integrated | AdapterClass::Software if rows >= MANY_ROWS => (T64X64, 1),
        AdapterClass::Integrated | AdapterClass::Software => (T32X64, 1),
    }
}

/// Whether these kernels can do it: everything is loaded by fours.
pub(super) fn fits(columns: usize, depth: usize) -> bool {
    columns.is_multiple_of(4) && depth.is_multiple_of(4)
}

/// Bytes of the sums of each part.
pub(super) fn scratch(io: &Io, split: usize) -> Vec<u64> {
    if split > 1 { vec![(split * io.output(0).elements()) as u64 * 4] } else { Vec::new() }
}

/// The product, and the sum over its parts if there are several.
pub(super) fn dispatches(op: &Linear, params: &Params, io: &Io, (tile, split): (Tile, usize)) -> Vec<Dispatch> {
    let (rows, columns) = (params.rows as usize, params.columns as usize);
    let ends = [
        ("BIAS", constant(op.bias)),
        ("GELU", constant(op.gelu)),
        ("RESIDUAL", constant(op.residual)),
        ("SPLIT", split as u32),
    ];
    let mut constants = vec![
        ("LANES", tile.lanes as u32),
        ("LANE_COLUMNS", tile.lane_columns as u32),
        ("R", tile.r as u32),
        ("C", tile.c as u32),
        ("ITEMS", tile.items() as u32),
        // Long enough to hide loads, short enough for the instruction caches.
        ("UNROLL", if tile.r * tile.c > 2 { 8 } else { 16 }),
        ("HALF", io.half(1)),
        ("SCALAR", 0),
        ("PARTIAL", constant(split > 1)),
    ];
    constants.extend(ends);
    let sums = |access: Access| (Operand::Scratch(0), access);
    let mut bindings = vec![bind_read(0), bind_read(1)];
    let end: Vec<_> = (2..io.inputs.len()).map(bind_read).chain([bind_write(0)]).collect();
    if split > 1 {
        bindings.push(sums(Access::Write));
    } else {
        bindings.extend(&end);
    }
    let mut work = vec![Dispatch {
        shader: "linear_tiled",
        entry: "forward",
        constants,
        params: params.block(),
        bindings,
        groups: groups(tile.groups(rows, columns) * split),
    }];
    if split > 1 {
        let mut bindings = vec![sums(Access::Read)];
        bindings.extend(end);
        work.push(Dispatch {
            shader: "linear_merge",
            entry: "forward",
            constants: ends.to_vec(),
            params: params.block(),
            bindings,
            groups: groups((rows * columns / 4).div_ceil(64)),
        });
    }
    work
}

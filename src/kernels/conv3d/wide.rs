//! The convolution without workgroup memory for rows of whole blocks of four voxels, which software adapters get: they run
//! a load lane after lane, so that one of four values costs as much as two of one, and hundreds of multiply-adds.
//!
//! One dispatch per source; the second adds to the first's result. The last leaves the moments of its tiles.

use super::correlation::{Branch, Source, bindings};
use crate::gpu::Access;
use crate::graph::{Dispatch, Operand, groups, params};
use crate::kernels::constant;
use crate::tensor::Shape;

params!(Params { x: u32, y: u32, z: u32, channels: u32, k: u32, tiles: u32, groups: u32, n: u32, first: u32 });

/// Whether the rows of this volume are whole blocks.
pub(super) fn fits(y: &Shape) -> bool {
    y.last().is_multiple_of(4)
}

/// Rows and voxels along Z of an invocation.
const TILES: &[(usize, usize)] =
    &[(4, 12), (3, 16), (6, 8), (4, 8), (2, 12), (2, 16), (2, 8), (6, 4), (4, 4), (2, 4), (1, 12), (1, 8), (1, 4)];

/// Multiply-adds that take as long as a load.
const LOAD: usize = 40;

/// What an invocation holds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Tile {
    rows: usize,
    voxels: usize,
    quads: usize,
}

impl Tile {
    /// The tile that takes least time: loads are saved by large ones, arithmetic by those that fit.
    fn new(y: &Shape) -> Self {
        let (_, k, _) = y.volume().expect("a volume");
        let quads = k.div_ceil(4).min(2);
        let time = |&(rows, voxels): &(usize, usize)| {
            let loads = (rows + 2) * (voxels / 4 + 1) + 9 * quads;
            count(y, (rows, voxels)) * (loads * LOAD + 36 * rows * voxels * quads)
        };
        let (rows, voxels) = TILES.iter().copied().min_by_key(time).unwrap_or((1, 4));
        Self { rows, voxels, quads }
    }
}

/// Tiles of a channel.
fn count(y: &Shape, (rows, voxels): (usize, usize)) -> usize {
    let (_, _, [sx, sy, sz]) = y.volume().expect("a volume");
    sx * sy.div_ceil(rows) * sz.div_ceil(voxels)
}

/// Parts in which the moments of a result are left; `None` where so many would make the merging loop too long.
pub(super) fn parts(y: &Shape) -> Option<usize> {
    let tile = Tile::new(y);
    Some(count(y, (tile.rows, tile.voxels))).filter(|&tiles| tiles <= 32_768)
}

/// The convolution of all sources.
pub(super) fn dispatches(y: &Shape, sources: &[Source], main: &Branch, moments: Option<Operand>) -> Vec<Dispatch> {
    let (n, k, [sx, sy, sz]) = y.volume().expect("a volume");
    let Tile { rows, voxels, quads } = Tile::new(y);
    let tiles = count(y, (rows, voxels));
    let spatial = tiles.div_ceil(64);
    let (mut work, mut first) = (Vec::new(), 0);
    for (s, source) in sources.iter().enumerate() {
        let moments = moments.filter(|_| s + 1 == sources.len());
        let branch = Branch { bias: main.bias.filter(|_| s == 0), ..*main };
        let mut bindings = bindings(std::slice::from_ref(source), &branch);
        bindings.extend(moments.map(|m| (m, Access::Write)));
        let mut constants = source.term.constants(0, source.slopes);
        constants.extend([
            ("ROWS", rows as u32),
            ("SPAN", rows as u32 + 2),
            ("VOX", voxels as u32),
            ("VOX4", voxels as u32 / 4),
            ("QUADS", quads as u32),
            ("CUBE", constant(source.taps == 27)),
            ("BIAS", constant(branch.bias.is_some())),
            ("ADD", constant(s > 0)),
            ("MOMENTS", constant(moments.is_some())),
            ("HALF", branch.half),
            ("SCALAR", 0),
        ]);
        work.push(Dispatch {
            shader: "conv3d_wide",
            entry: "forward",
            constants,
            params: Params {
                x: sx as u32,
                y: sy as u32,
                z: sz as u32,
                channels: source.channels as u32,
                k: k as u32,
                tiles: tiles as u32,
                groups: spatial as u32,
                n: n as u32,
                first: first as u32,
            }
            .block(),
            bindings,
            groups: groups(n * k.div_ceil(4 * quads) * spatial),
        });
        first += source.channels * source.taps * k.div_ceil(4);
    }
    work
}

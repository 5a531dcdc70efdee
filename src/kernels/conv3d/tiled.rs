//! The 3x3x3 convolution with workgroup memory, for GPUs: norm and activation once per loaded value, the shortcut's 1x1x1
//! convolution on the same values, and the moments of each tile from registers.

use super::Conv3d;
use crate::gpu::{Access, AdapterClass};
use crate::graph::{Dispatch, Io, Operand, Target, groups, params};
use crate::kernels::{bind_read, bind_write, constant, moments};
use crate::tensor::Shape;

params!(Params { x: u32, y: u32, z: u32, n: u32, channels_0: u32, channels_1: u32, k: u32, blocks: u32 });

/// Voxels of a group along X and Y.
const SIDE: usize = 4;
const LANES: usize = 64;
/// Groups that keep a large GPU busy.
const ENOUGH_GROUPS: usize = 400;

/// A group's 4 x 4 x `extent` voxels; its 64 invocations each have 4 voxels of 4 `quads` output channels, of the
/// shortcut too if it is `fused`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub extent: usize,
    pub quads: usize,
    pub fused: bool,
}

impl Tile {
    fn count(self, y: &Shape) -> usize {
        let (_, _, [sx, sy, sz]) = y.volume().expect("checked by infer");
        sx.div_ceil(SIDE) * sy.div_ceil(SIDE) * sz.div_ceil(self.extent)
    }

    /// Output channels of a group: lanes that the voxels leave over take further blocks.
    fn channels(self) -> usize {
        4 * self.quads * (LANES / SIDE / self.extent)
    }

    fn groups(self, y: &Shape) -> usize {
        let (n, k, _) = y.volume().expect("checked by infer");
        n * self.count(y) * k.div_ceil(self.channels())
    }

    /// Words of a plane of the tile with its margin: the four planes that neighbouring lanes read meet no bank of
    /// workgroup memory twice.
    fn plane(self) -> usize {
        match self.extent {
            16 => 112,
            8 => 72,
            _ => 36,
        }
    }

    /// Input channels staged at a time: two, or one where their weights would fill the memory.
    fn depth(self, channels: usize) -> usize {
        if self.channels() > 32 { 1 } else { channels.min(2) }
    }
}

/// The tile that wastes least of the volume, with as many output channels per invocation as leave enough groups.
pub(super) fn choose(class: AdapterClass, y: &Shape, shortcut: bool) -> Tile {
    let (_, k, [_, _, z]) = y.volume().expect("checked by infer");
    // Voxels computed, and those of the margin beside them.
    let waste = |&extent: &usize| z.div_ceil(extent) * (extent + 1);
    let extent = [16, 8, 4].into_iter().min_by_key(waste).unwrap_or(16);
    let tile = |quads| Tile { extent, quads, fused: shortcut };
    // A shortcut doubles the sums that an invocation holds.
    let most = if class == AdapterClass::Discrete && !shortcut { 4 } else { 2 };
    let wanted = k.div_ceil(4 * LANES / SIDE / extent).next_power_of_two();
    let enough = if class == AdapterClass::Discrete { ENOUGH_GROUPS } else { ENOUGH_GROUPS / 8 };
    let fits = |&quads: &usize| quads <= most.min(wanted) && tile(quads).groups(y) >= enough;
    tile([4, 2, 1].into_iter().find(fits).unwrap_or(1))
}

/// Bytes of the moments of each tile of a result.
pub(super) fn scratch(tile: Tile, y: &Shape) -> u64 {
    moments::parts_bytes(y, tile.count(y))
}

impl Conv3d {
    /// The main convolution and, if the tile says so, the shortcut's; and their moments.
    pub(super) fn tiled(&self, io: &Io, target: &Target, tile: Tile) -> Vec<Dispatch> {
        let (sources, weight) = self.positions();
        let (n, k, [x, y, z]) = io.output(0).volume().expect("checked by infer");
        let channels: Vec<usize> = sources.iter().map(|&i| io.input(i).dims()[1]).collect();
        let branches = 1 + usize::from(tile.fused);
        let mut bindings: Vec<_> = (0..weight).map(bind_read).collect();
        for i in 0..branches {
            bindings.extend([bind_read(weight + i), bind_write(2 * i), (Operand::Scratch(i), Access::Write)]);
        }
        let params = Params {
            x: x as u32,
            y: y as u32,
            z: z as u32,
            n: n as u32,
            channels_0: channels[0] as u32,
            channels_1: channels.get(1).copied().unwrap_or(0) as u32,
            k: k as u32,
            blocks: k.div_ceil(tile.channels()) as u32,
        };
        let mut work = vec![Dispatch {
            shader: "conv3d_tiled",
            entry: "forward",
            constants: self.tiled_constants(tile, channels.iter().sum(), io.half(weight)),
            params: params.block(),
            bindings,
            groups: groups(tile.groups(io.output(0))),
        }];
        let parts = tile.count(io.output(0));
        work.extend((0..branches).map(|i| moments::merge(io.output(2 * i), 2 * i + 1, i, parts, target)));
        work
    }

    fn tiled_constants(&self, tile: Tile, channels: usize, half: u32) -> Vec<(&'static str, u32)> {
        let norm = |s: usize| constant(self.sources.get(s) == Some(&true));
        vec![
            ("EXTENT", tile.extent as u32),
            ("PLANE", tile.plane() as u32),
            ("LOADS", (6 * tile.plane()).div_ceil(LANES) as u32),
            ("QUADS", tile.quads as u32),
            ("DEPTH", tile.depth(channels) as u32),
            ("SECOND", constant(self.sources.len() > 1)),
            ("NORM_0", norm(0)),
            ("NORM_1", norm(1)),
            ("SHORTCUT", constant(tile.fused)),
            ("BRANCHES", 1 + constant(tile.fused)),
            ("HALF", half),
            ("SCALAR", 0),
        ]
    }
}

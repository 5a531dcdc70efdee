//! The 3x3x3 convolution with workgroup memory, for GPUs: norm and activation once per loaded value, the shortcut's 1x1x1
//! convolution on the same values, and the moments of each tile from registers.

use super::correlation::{Correlation, Source, bindings};
use crate::gpu::{Access, AdapterClass};
use crate::graph::{Dispatch, Operand, Target, groups, params};
use crate::kernels::lazy::Term;
use crate::kernels::{constant, moments};
use crate::tensor::Shape;

params!(Params { x: u32, y: u32, z: u32, n: u32, channels_0: u32, channels_1: u32, k: u32, blocks: u32 });

/// Voxels of a group along X and Y.
const SIDE: usize = 4;
const LANES: usize = 64;
/// Groups that keep a large GPU busy.
const ENOUGH_GROUPS: usize = 400;

/// A group's 4 x 4 x `extent` voxels; its 64 invocations each have 4 voxels of 4 `quads` output channels, of the
/// shortcut too if it is `fused`. They load `staged` vectors of weights at once, each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernels) struct Tile {
    pub extent: usize,
    pub quads: usize,
    pub fused: bool,
    pub staged: usize,
}

impl Tile {
    /// Tiles of a channel.
    pub(super) fn count(self, y: &Shape) -> usize {
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
pub(super) fn choose(target: &Target, y: &Shape, shortcut: bool) -> Tile {
    let class = target.class;
    let (_, k, [_, _, z]) = y.volume().expect("checked by infer");
    // Voxels computed, and those of the margin beside them.
    let waste = |&extent: &usize| z.div_ceil(extent) * (extent + 1);
    let extent = [16, 8, 4].into_iter().min_by_key(waste).unwrap_or(16);
    // A shortcut doubles the sums that an invocation holds; where registers are few it gets a dispatch of its own.
    let fused = shortcut && target.many_registers();
    let staged = if target.many_registers() { 4 } else { 1 };
    let tile = |quads| Tile { extent, quads, fused, staged };
    let most = if class == AdapterClass::Discrete && target.many_registers() && !fused { 4 } else { 2 };
    let wanted = k.div_ceil(4 * LANES / SIDE / extent).next_power_of_two();
    let enough = if class == AdapterClass::Discrete { ENOUGH_GROUPS } else { ENOUGH_GROUPS / 8 };
    let fits = |&quads: &usize| quads <= most.min(wanted) && tile(quads).groups(y) >= enough;
    tile([4, 2, 1].into_iter().find(fits).unwrap_or(1))
}

/// Bytes of the moments of each tile of a result.
pub(super) fn scratch(tile: Tile, y: &Shape) -> u64 {
    moments::parts_bytes(y, tile.count(y))
}

/// The main convolution and, if the tile says so, the shortcut's.
pub(super) fn dispatch(all: &Correlation<'_>, sources: &[Source], tile: Tile) -> Dispatch {
    let (n, k, [x, y, z]) = all.y.volume().expect("checked by infer");
    let branches = [Some(&all.main), all.shortcut.as_ref().map(|(_, b)| b).filter(|_| tile.fused)];
    let mut bound = bindings(sources, &all.main);
    for (i, branch) in branches.into_iter().flatten().enumerate() {
        if i > 0 {
            bound.extend([branch.weights, (branch.y, Access::Write)]);
        }
        bound.extend(branch.moments.map(|(_, scratch)| (Operand::Scratch(scratch), Access::Write)));
    }
    let channels: usize = sources.iter().map(|s| s.channels).sum();
    let mut constants = vec![
        ("EXTENT", tile.extent as u32),
        ("PLANE", tile.plane() as u32),
        ("LOADS", (6 * tile.plane()).div_ceil(LANES) as u32),
        ("QUADS", tile.quads as u32),
        ("DEPTH", tile.depth(channels) as u32),
        ("STAGED", tile.staged as u32),
        ("SOURCES", sources.len() as u32),
        ("SECOND", constant(sources.len() > 1)),
        ("BIAS", constant(all.main.bias.is_some())),
        ("MOMENTS", constant(all.main.moments.is_some())),
        ("SHORTCUT", constant(tile.fused)),
        ("BRANCHES", 1 + constant(tile.fused)),
        ("HALF", all.main.half),
        ("SCALAR", 0),
    ];
    constants.extend(sources[0].term.constants(0, sources[0].slopes));
    constants.extend(sources.get(1).map_or_else(|| Term::PLAIN.constants(1, 1), |s| s.term.constants(1, s.slopes)));
    Dispatch {
        shader: "conv3d_tiled",
        entry: "forward",
        constants,
        params: Params {
            x: x as u32,
            y: y as u32,
            z: z as u32,
            n: n as u32,
            channels_0: sources[0].channels as u32,
            channels_1: sources.get(1).map_or(0, |s| s.channels as u32),
            k: k as u32,
            blocks: k.div_ceil(tile.channels()) as u32,
        }
        .block(),
        bindings: bound,
        groups: groups(tile.groups(all.y)),
    }
}

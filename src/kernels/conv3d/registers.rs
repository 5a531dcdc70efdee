//! The 3x3x3 or 1x1x1 convolution without workgroup memory.

use super::correlation::{BUFFERS, Branch, Correlation, Source, bindings};
use crate::graph::{Dispatch, groups, params};
use crate::kernels::constant;
use crate::kernels::lazy::Term;
use crate::tensor::Shape;

params!(Params {
    x: u32,
    y: u32,
    z: u32,
    channels_0: u32,
    channels_1: u32,
    k: u32,
    tiles: u32,
    groups: u32,
    n: u32,
    first: u32,
});

/// A long block only where it fits rows of `z` voxels.
fn block(voxels: u32, z: usize) -> u32 {
    [voxels, 8, 6].into_iter().find(|&v| v <= voxels && z.is_multiple_of(v as usize)).unwrap_or(4)
}

/// All sources in one dispatch, or one after the other where they need too many buffers.
pub(super) fn dispatches(all: &Correlation<'_>, size: (u32, u32)) -> Vec<Dispatch> {
    if bindings(&all.sources, &all.main).len() <= BUFFERS {
        return vec![dispatch(all.y, &all.sources, &all.main, size, None)];
    }
    let mut first = 0;
    let one = |(s, source): (usize, &Source)| {
        let work = dispatch(all.y, std::slice::from_ref(source), &all.main, size, (s > 0).then_some(first));
        first += source.channels * source.taps;
        work
    };
    all.sources.iter().enumerate().map(one).collect()
}

/// The shader for one or two sources and the result `y`; it adds to what is there if `add` says from which row of weights on.
pub(super) fn dispatch(
    y: &Shape,
    sources: &[Source],
    branch: &Branch,
    (voxels, quads): (u32, u32),
    add: Option<usize>,
) -> Dispatch {
    let (n, k, [sx, sy, sz]) = y.volume().expect("a volume");
    let voxels = block(voxels, sz);
    let quads = quads.min(k.div_ceil(4) as u32);
    let tiles = sx * sy * sz.div_ceil(voxels as usize);
    let spatial = tiles.div_ceil(64);
    let second = sources.get(1);
    let taps = |s: usize| sources.get(s).map_or(1, |s| s.taps as u32);
    let branch = Branch { bias: branch.bias.filter(|_| add.is_none()), ..*branch };
    let mut constants = vec![
        ("VOX", voxels),
        ("SPAN", voxels + 2),
        ("QUADS", quads),
        ("TAPS_0", taps(0)),
        ("TAPS_1", taps(1)),
        ("CUBE_0", constant(taps(0) == 27)),
        ("CUBE_1", constant(taps(1) == 27)),
        ("SOURCES", sources.len() as u32),
        ("SECOND_0", 0),
        ("SECOND_1", 1),
        ("BIAS", constant(branch.bias.is_some())),
        ("ADD", constant(add.is_some())),
        ("HALF", branch.half),
        ("SCALAR", 0),
    ];
    constants.extend(sources[0].term.constants(0, sources[0].slopes));
    constants.extend(second.map_or_else(|| Term::PLAIN.constants(1, 1), |s| s.term.constants(1, s.slopes)));
    Dispatch {
        shader: "conv3d",
        entry: "forward",
        constants,
        params: Params {
            x: sx as u32,
            y: sy as u32,
            z: sz as u32,
            channels_0: sources[0].channels as u32,
            channels_1: second.map_or(0, |s| s.channels as u32),
            k: k as u32,
            tiles: tiles as u32,
            groups: spatial as u32,
            n: n as u32,
            first: (add.unwrap_or(0) * k.div_ceil(4)) as u32,
        }
        .block(),
        bindings: bindings(sources, &branch),
        groups: groups(n * k.div_ceil(4 * quads as usize) * spatial),
    }
}

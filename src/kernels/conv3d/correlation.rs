//! The plan of a convolution's forward product, whether of a network's layer or of its gradient: which shader runs, in how
//! many dispatches, and where moments of the result come from.

use super::geometry::Geometry;
use super::{gather, registers, tiled, wide};
use crate::gpu::Access;
use crate::graph::{Binding, Dispatch, Operand, Target};
use crate::kernels::lazy::Term;
use crate::kernels::moments;
use crate::tensor::Shape;

/// How a convolution is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::kernels) enum Variant {
    /// Without workgroup memory, four values per load, where rows are whole blocks; elsewhere 12 voxels and 4 blocks.
    Wide,
    /// Without workgroup memory: voxels along Z and blocks of four output channels per invocation.
    Registers(u32, u32),
    /// With workgroup memory, as [`tiled::choose`] finds best for the shape.
    ByShape,
    /// With workgroup memory and this tile.
    Tiled(tiled::Tile),
}

/// The first suits software adapters, whose loads cost more than arithmetic and whose barriers are slow.
pub(in crate::kernels) const VARIANTS: &[Variant] = &[
    Variant::Wide,
    Variant::ByShape,
    Variant::Tiled(tiled::Tile { extent: 16, quads: 4, fused: true, staged: 4 }),
    Variant::Tiled(tiled::Tile { extent: 16, quads: 2, fused: true, staged: 1 }),
    Variant::Tiled(tiled::Tile { extent: 16, quads: 2, fused: false, staged: 1 }),
    Variant::Tiled(tiled::Tile { extent: 8, quads: 4, fused: true, staged: 4 }),
    Variant::Tiled(tiled::Tile { extent: 8, quads: 2, fused: true, staged: 4 }),
    Variant::Tiled(tiled::Tile { extent: 4, quads: 4, fused: true, staged: 4 }),
    Variant::Tiled(tiled::Tile { extent: 4, quads: 1, fused: true, staged: 1 }),
    Variant::Registers(4, 2),
];

/// Storage buffers that WebGPU grants a shader.
pub(super) const BUFFERS: usize = 8;

/// A source: its channels, what its values are made of, and its buffers.
#[derive(Clone, Debug)]
pub(in crate::kernels) struct Source {
    pub channels: usize,
    /// Taps of its weights; those of the first source are the geometry's.
    pub taps: usize,
    pub term: Term,
    /// How many trained slopes there are.
    pub slopes: usize,
    /// `x, [norm], [slopes]`
    pub bindings: Vec<Binding>,
}

/// A result of the sources and weights of its own.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernels) struct Branch {
    pub weights: Binding,
    pub half: u32,
    pub bias: Option<Binding>,
    pub y: Operand,
    /// Result that holds its moments, and the temporary for them.
    pub moments: Option<(usize, usize)>,
}

/// `y[n, k, p] = b[k] + Σ_{sources, c, t} w[k, c, t] a[n, c, p stride + t - padding]`, and beside it the same sources through
/// a 1x1x1 convolution.
#[derive(Debug)]
pub(in crate::kernels) struct Correlation<'a> {
    pub y: &'a Shape,
    /// Voxels of the sources.
    pub input: [usize; 3],
    pub geometry: Geometry,
    pub sources: Vec<Source>,
    pub main: Branch,
    pub shortcut: Option<(&'a Shape, Branch)>,
}

/// The shader of one branch.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Choice {
    Tiled(tiled::Tile),
    Wide,
    Registers(u32, u32),
    Gather(usize, usize),
}

impl Correlation<'_> {
    /// Buffers of the sources.
    fn inputs(&self) -> usize {
        self.sources.iter().map(|s| s.bindings.len()).sum()
    }

    /// Sources that the tiles take; a gradient's second may be one of a 1x1x1 convolution, which is added afterwards.
    fn tiled_sources(&self) -> usize {
        self.sources.iter().filter(|s| s.taps == 27).count()
    }

    fn choice(&self, target: &Target) -> Choice {
        if !self.geometry.is_cube(3) && !self.geometry.is_cube(1) {
            let &(voxels, quads) = target.choose(gather::VARIANTS);
            return Choice::Gather(voxels, quads);
        }
        match *target.choose(VARIANTS) {
            Variant::Wide if wide::fits(self.y) => Choice::Wide,
            Variant::Wide => Choice::Registers(12, 4),
            Variant::Registers(voxels, quads) => Choice::Registers(voxels, quads),
            Variant::ByShape | Variant::Tiled(_) if !self.tiles() => Choice::Registers(4, 2),
            Variant::ByShape => self.with_limits(tiled::choose(target, self.y, self.shortcut.is_some())),
            Variant::Tiled(tile) => self.with_limits(tile),
        }
    }

    /// Whether the kernel with workgroup memory can make the main branch.
    fn tiles(&self) -> bool {
        let own = 2 + usize::from(self.main.bias.is_some()) + usize::from(self.main.moments.is_some());
        self.geometry.is_cube(3) && self.sources[0].taps == 27 && self.inputs() + own <= BUFFERS
    }

    /// No more output channels than there are; and the shortcut's convolution can only be made beside the main one if
    /// WebGPU's eight buffers are enough.
    fn with_limits(&self, tile: tiled::Tile) -> Choice {
        let own = |b: &Branch| 2 + usize::from(b.bias.is_some()) + usize::from(b.moments.is_some());
        let beside = self.shortcut.as_ref().is_some_and(|(shape, branch)| {
            *shape == self.y && self.inputs() + own(&self.main) + own(branch) <= BUFFERS
        });
        let wanted = self.y.dims()[1].div_ceil(4).next_power_of_two();
        Choice::Tiled(tiled::Tile { fused: tile.fused && beside, quads: tile.quads.min(wanted), ..tile })
    }

    /// The shortcut's convolution as one of its own.
    fn separate(&self) -> Option<Correlation<'_>> {
        let (y, branch) = self.shortcut.as_ref()?;
        let sources = self.sources.iter().map(|s| Source { taps: 1, ..s.clone() }).collect();
        Some(Correlation {
            y,
            input: self.input,
            geometry: Geometry::same([1; 3]),
            sources,
            main: *branch,
            shortcut: None,
        })
    }

    /// Bytes of the temporaries for moments, main branch first.
    pub(in crate::kernels) fn scratch(&self, target: &Target) -> Vec<u64> {
        let choice = self.choice(target);
        let own = |y: &Shape, branch: &Branch| {
            branch.moments.map(|_| match choice {
                Choice::Tiled(tile) => tiled::scratch(tile, y),
                Choice::Wide => {
                    wide::parts(y).map_or_else(|| moments::scratch(y, target), |p| moments::parts_bytes(y, p))
                }
                Choice::Registers(..) | Choice::Gather(..) => moments::scratch(y, target),
            })
        };
        let mut bytes: Vec<u64> = own(self.y, &self.main).into_iter().collect();
        match (choice, &self.shortcut) {
            (Choice::Tiled(tile), Some((y, branch))) if tile.fused => bytes.extend(own(y, branch)),
            _ => bytes.extend(self.separate().into_iter().flat_map(|s| s.scratch(target))),
        }
        bytes
    }

    /// The work.
    pub(in crate::kernels) fn dispatches(&self, target: &Target) -> Vec<Dispatch> {
        let mut work = Vec::new();
        let choice = self.choice(target);
        // How many parts of each channel's moments the convolution itself leaves.
        let mut parts = None;
        match choice {
            Choice::Tiled(tile) => {
                let (taken, rest) = self.sources.split_at(self.tiled_sources());
                work.push(tiled::dispatch(self, taken, tile));
                work.extend(rest.iter().map(|s| {
                    let first = taken.iter().map(|t| t.channels * 27).sum();
                    registers::dispatch(self.y, std::slice::from_ref(s), &self.main, (4, 2), Some(first))
                }));
                parts = Some(tile.count(self.y));
            }
            Choice::Wide => {
                parts = wide::parts(self.y);
                let moments =
                    self.main.moments.filter(|_| parts.is_some()).map(|(_, scratch)| Operand::Scratch(scratch));
                work.extend(wide::dispatches(self.y, &self.sources, &self.main, moments));
            }
            Choice::Registers(voxels, quads) => work.extend(registers::dispatches(self, (voxels, quads))),
            Choice::Gather(voxels, quads) => work.extend(gather::dispatches(self, (voxels, quads))),
        }
        let fused = matches!(choice, Choice::Tiled(tile) if tile.fused);
        let mut finish = |y: &Shape, branch: &Branch| match (branch.moments, parts) {
            (Some((result, scratch)), Some(parts)) => work.push(moments::merge(y, result, scratch, parts, target)),
            (Some((result, scratch)), None) => work.extend(moments::dispatches(y, branch.y, result, scratch, target)),
            (None, _) => {}
        };
        finish(self.y, &self.main);
        match &self.shortcut {
            Some((y, branch)) if fused => finish(y, branch),
            Some(_) => work.extend(self.separate().into_iter().flat_map(|s| s.dispatches(target))),
            None => {}
        }
        work
    }
}

/// Bindings of sources, weights, bias and result.
pub(super) fn bindings(sources: &[Source], branch: &Branch) -> Vec<Binding> {
    let mut bindings: Vec<Binding> = sources.iter().flat_map(|s| s.bindings.iter().copied()).collect();
    bindings.push(branch.weights);
    bindings.extend(branch.bias);
    bindings.push((branch.y, Access::Write));
    bindings
}

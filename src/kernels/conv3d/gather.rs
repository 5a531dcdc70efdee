//! Convolution with any kernel, stride, padding and dilation, and its transposed product; without workgroup memory, one dispatch per
//! source.

use std::ops::Range;

use super::correlation::{Branch, Correlation, Source, bindings};
use super::geometry::{Extents, Geometry};
use crate::graph::{Dispatch, groups, params};
use crate::kernels::constant;
use crate::tensor::Shape;

params!(Params { g: Extents, k: u32, n: u32, first: u32, begin: u32, end: u32, tiles: u32, groups: u32 });

/// Voxels along Z and blocks of four output channels per invocation. The first suits software adapters.
pub(in crate::kernels) const VARIANTS: &[(usize, usize)] = &[(8, 4), (4, 2), (4, 1), (2, 4), (8, 2)];

/// Half of the loop iterations after which llvmpipe ends an invocation.
const ITERATIONS: usize = 32_768;

/// A product with the input's size, the result's shape and the extra constants.
struct Product<'a> {
    geometry: &'a Geometry,
    input: [usize; 3],
    y: &'a Shape,
    voxels: usize,
    quads: usize,
    span: usize,
    /// Constants `OFFSET` and `BEFORE` of the transposed product.
    scatter: Option<(usize, usize)>,
}

impl Product<'_> {
    /// A dispatch for each source, and of one with very many channels for each part of them; all but the first add.
    fn dispatches(&self, sources: &[Source], main: &Branch) -> Vec<Dispatch> {
        let [kx, ky, _] = self.geometry.kernel;
        let most = ITERATIONS / (1 + kx * ky);
        let (mut first, mut work) = (0, Vec::new());
        for source in sources {
            for begin in (0..source.channels).step_by(most) {
                let part = begin..source.channels.min(begin + most);
                work.push(self.dispatch(source, first, part, main, !work.is_empty()));
            }
            first += source.channels;
        }
        work
    }

    /// The channels `part` of a source whose weights begin at channel `first` of all.
    fn dispatch(&self, source: &Source, first: usize, part: Range<usize>, main: &Branch, add: bool) -> Dispatch {
        let (n, k, out) = self.y.volume().expect("a volume");
        let quads = self.quads.min(k.div_ceil(4));
        let tiles = out[0] * out[1] * out[2].div_ceil(self.voxels);
        let spatial = tiles.div_ceil(64);
        let branch = Branch { bias: main.bias.filter(|_| !add), ..*main };
        let (offset, before) = self.scatter.unwrap_or((0, 0));
        let mut constants = vec![
            ("VOX", self.voxels as u32),
            ("QUADS", quads as u32),
            ("KERNEL", self.geometry.kernel[2] as u32),
            ("STRIDE", self.geometry.stride[2] as u32),
            ("DILATION", self.geometry.dilation[2] as u32),
            ("DILATED", constant(self.geometry.dilation[2] > 1)),
            ("SPAN", self.span as u32),
            ("SCATTER", constant(self.scatter.is_some())),
            ("OFFSET", offset as u32),
            ("BEFORE", before as u32),
            ("BIAS", constant(branch.bias.is_some())),
            ("ADD", constant(add)),
            ("HALF", branch.half),
            ("SCALAR", 0),
        ];
        constants.extend(source.term.constants(0, source.slopes));
        Dispatch {
            shader: "conv3d_general",
            entry: "forward",
            constants,
            params: Params {
                g: self.geometry.extents(source.channels, self.input, out),
                k: k as u32,
                n: n as u32,
                first: first as u32,
                begin: part.start as u32,
                end: part.end as u32,
                tiles: tiles as u32,
                groups: spatial as u32,
            }
            .block(),
            bindings: bindings(std::slice::from_ref(source), &branch),
            groups: groups(n * k.div_ceil(4 * quads) * spatial),
        }
    }
}

/// The convolution.
pub(super) fn dispatches(all: &Correlation<'_>, (voxels, quads): (usize, usize)) -> Vec<Dispatch> {
    let geometry = &all.geometry;
    let span = (voxels - 1) * geometry.stride[2] + geometry.kernel[2];
    Product { geometry, input: all.input, y: all.y, voxels, quads, span, scatter: None }
        .dispatches(&all.sources, &all.main)
}

/// The transposed product of a volume of `input` voxels; weights are stored `[C][tap, last first][K padded to 4]`.
pub(in crate::kernels) fn scatter(
    geometry: &Geometry,
    input: [usize; 3],
    y: &Shape,
    sources: &[Source],
    main: &Branch,
    (voxels, quads): (usize, usize),
) -> Vec<Dispatch> {
    let (reach, stride, padding) = (geometry.reach(2), geometry.stride[2], geometry.padding[2]);
    // Blocks start at a multiple of the stride, so that each voxel's taps are known when the shader is made.
    let voxels = voxels.next_multiple_of(stride);
    let before = (reach - 1).saturating_sub(padding).div_ceil(stride);
    let offset = padding + before * stride + 1 - reach;
    let span = (voxels - 1 + reach - 1 + offset) / stride + 1;
    Product { geometry, input, y, voxels, quads, span, scatter: Some((offset, before)) }.dispatches(sources, main)
}

//! Convolution with any kernel, stride and padding, and its transposed product; without workgroup memory, one dispatch per
//! source.

use super::correlation::{Branch, Correlation, Source, bindings};
use super::geometry::Geometry;
use crate::graph::{Dispatch, groups, params};
use crate::kernels::constant;
use crate::tensor::Shape;

params!(Params {
    x: u32,
    y: u32,
    z: u32,
    channels: u32,
    out_x: u32,
    out_y: u32,
    out_z: u32,
    k: u32,
    kernel_x: u32,
    kernel_y: u32,
    stride_x: u32,
    stride_y: u32,
    padding_x: u32,
    padding_y: u32,
    padding_z: u32,
    first: u32,
    n: u32,
    tiles: u32,
    groups: u32,
});

/// Voxels along Z and blocks of four output channels per invocation. The first suits software adapters.
pub(in crate::kernels) const VARIANTS: &[(usize, usize)] = &[(8, 4), (4, 2), (4, 1), (2, 4), (8, 2)];

/// A product with the input's size, the result's shape and the extra constants.
struct Product<'a> {
    shader: &'static str,
    geometry: &'a Geometry,
    input: [usize; 3],
    y: &'a Shape,
    voxels: usize,
    quads: usize,
    constants: Vec<(&'static str, u32)>,
}

impl Product<'_> {
    fn dispatches(&self, sources: &[Source], main: &Branch) -> Vec<Dispatch> {
        let (n, k, out) = self.y.volume().expect("a volume");
        let quads = self.quads.min(k.div_ceil(4));
        let tiles = out[0] * out[1] * out[2].div_ceil(self.voxels);
        let spatial = tiles.div_ceil(64);
        let (g, mut first, mut work) = (self.geometry, 0, Vec::new());
        for (s, source) in sources.iter().enumerate() {
            let branch = Branch { bias: main.bias.filter(|_| s == 0), ..*main };
            let mut constants = vec![
                ("VOX", self.voxels as u32),
                ("QUADS", quads as u32),
                ("KERNEL", g.kernel[2] as u32),
                ("STRIDE", g.stride[2] as u32),
                ("BIAS", constant(branch.bias.is_some())),
                ("ADD", constant(s > 0)),
                ("HALF", branch.half),
                ("SCALAR", 0),
            ];
            constants.extend(&self.constants);
            constants.extend(source.term.constants(0, source.slopes));
            work.push(Dispatch {
                shader: self.shader,
                entry: "forward",
                constants,
                params: Params {
                    x: self.input[0] as u32,
                    y: self.input[1] as u32,
                    z: self.input[2] as u32,
                    channels: source.channels as u32,
                    out_x: out[0] as u32,
                    out_y: out[1] as u32,
                    out_z: out[2] as u32,
                    k: k as u32,
                    kernel_x: g.kernel[0] as u32,
                    kernel_y: g.kernel[1] as u32,
                    stride_x: g.stride[0] as u32,
                    stride_y: g.stride[1] as u32,
                    padding_x: g.padding[0] as u32,
                    padding_y: g.padding[1] as u32,
                    padding_z: g.padding[2] as u32,
                    first: first as u32,
                    n: n as u32,
                    tiles: tiles as u32,
                    groups: spatial as u32,
                }
                .block(),
                bindings: bindings(std::slice::from_ref(source), &branch),
                groups: groups(n * k.div_ceil(4 * quads) * spatial),
            });
            first += source.channels;
        }
        work
    }
}

/// The convolution.
pub(super) fn dispatches(all: &Correlation<'_>, (voxels, quads): (usize, usize)) -> Vec<Dispatch> {
    let g = &all.geometry;
    let span = (voxels - 1) * g.stride[2] + g.kernel[2];
    let constants = vec![("SPAN", span as u32)];
    Product { shader: "conv3d_gather", geometry: g, input: all.input, y: all.y, voxels, quads, constants }
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
    let (kernel, stride, padding) = (geometry.kernel[2], geometry.stride[2], geometry.padding[2]);
    // Blocks start at a multiple of the stride, so that each voxel's taps are known when the shader is made.
    let voxels = voxels.next_multiple_of(stride);
    let before = (kernel - 1).saturating_sub(padding).div_ceil(stride);
    let offset = padding + before * stride + 1 - kernel;
    let span = (voxels - 1 + kernel - 1 + offset) / stride + 1;
    let constants = vec![("SPAN", span as u32), ("OFFSET", offset as u32), ("BEFORE", before as u32)];
    Product { shader: "conv3d_scatter", geometry, input, y, voxels, quads, constants }.dispatches(sources, main)
}

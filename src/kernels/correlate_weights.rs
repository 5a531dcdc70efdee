//! The weight gradient of convolutions and transposed convolutions with any kernel, stride, padding and dilation: no op of its
//! own but the first stage of theirs. `dw[c, t, k] = Σ_{n, p} large[n, c, p stride + t dilation - padding] small[n, k, p]`, stored
//! `[c][t][k padded to 4]` for each part.

use super::conv3d::{Extents, Geometry, Source};
use crate::gpu::{Access, AdapterClass};
use crate::graph::{Dispatch, Operand, Target, groups, params};
use crate::tensor::Shape;

params!(Params { g: Extents, k: u32, n: u32, first: u32, parts: u32, total: u32 });

/// Channels of the large volume and voxels along Z of an invocation. The first suits software adapters.
pub(super) const VARIANTS: &[(usize, usize)] = &[(4, 4), (4, 2), (2, 4), (1, 4)];

/// Vectors of four of a pair's weights.
pub(super) fn vectors(geometry: &Geometry, (large, small): &(Source, Source)) -> usize {
    large.channels * geometry.taps() * small.channels.div_ceil(4)
}

/// The two volumes; one dispatch for each pair of (large, small) sources.
pub(super) struct Operands<'a> {
    pub geometry: Geometry,
    pub large: &'a Shape,
    pub small: &'a Shape,
    pub sources: Vec<(Source, Source)>,
}

impl Operands<'_> {
    /// Channels and voxels that an invocation holds: the taps of a channel fill registers.
    fn tile(&self, target: &Target) -> (usize, usize) {
        let &(held, step) = target.choose(VARIANTS);
        // Nine vectors of sums leave room for the rest in 128 registers, twelve do not.
        let few = target.class != AdapterClass::Software && !target.many_registers();
        (held.min(if few { 9 } else { 12 } / self.geometry.kernel[2]).max(1), step)
    }

    fn blocks(&self, held: usize, (large, small): &(Source, Source)) -> usize {
        let areas = self.geometry.kernel[0] * self.geometry.kernel[1];
        large.channels.div_ceil(held) * small.channels.div_ceil(4) * areas
    }

    /// Vectors of four of one part.
    pub(super) fn total(&self) -> usize {
        self.sources.iter().map(|pair| vectors(&self.geometry, pair)).sum()
    }

    /// Invocations per block of weights: enough to fill the machine, in at most 32 MiB of partial sums, none with more than
    /// half of the 65,535 loop iterations after which llvmpipe ends an invocation, and all with about as many.
    pub(super) fn parts(&self, target: &Target) -> usize {
        let wanted = if target.class == AdapterClass::Software { 1024 } else { 16_384 };
        let (held, step) = self.tile(target);
        let (n, _, [x, y, z]) = self.small.volume().expect("a volume");
        let blocks: usize = self.sources.iter().map(|s| self.blocks(held, s)).sum();
        let (items, iterations) = (n * x * y, z.div_ceil(step) + 1);
        let most = (8 << 20) / (4 * self.total()).max(1);
        let least = (items * iterations).div_ceil(32_768);
        let parts = (wanted / blocks.max(1)).min(most).max(least).clamp(1, items);
        items.div_ceil(items.div_ceil(parts))
    }

    /// The parts' sums into `to`.
    pub(super) fn dispatches(&self, target: &Target, parts: usize, to: Operand) -> Vec<Dispatch> {
        let (n, _, input) = self.large.volume().expect("a volume");
        let (_, _, out) = self.small.volume().expect("a volume");
        let (held, step) = self.tile(target);
        let (g, mut first, mut work) = (&self.geometry, 0, Vec::new());
        for pair in &self.sources {
            let (large, small) = pair;
            let held = held.min(large.channels);
            let mut constants = vec![
                ("HELD", held as u32),
                ("STEP", step as u32),
                ("KERNEL", g.kernel[2] as u32),
                ("STRIDE", g.stride[2] as u32),
                ("DILATION", g.dilation[2] as u32),
                ("DILATED", u32::from(g.dilation[2] > 1)),
                ("SPAN", ((step - 1) * g.stride[2] + g.kernel[2]) as u32),
            ];
            constants.extend(large.term.constants(0, large.slopes));
            constants.extend(small.term.constants(1, small.slopes));
            let mut bindings = large.bindings.clone();
            bindings.extend(&small.bindings);
            bindings.push((to, Access::Write));
            work.push(Dispatch {
                shader: "conv3d_weights",
                entry: "forward",
                constants,
                params: Params {
                    g: g.extents(large.channels, input, out),
                    k: small.channels as u32,
                    n: n as u32,
                    first: first as u32,
                    parts: parts as u32,
                    total: self.total() as u32,
                }
                .block(),
                bindings,
                groups: groups((self.blocks(held, pair) * parts).div_ceil(64)),
            });
            first += vectors(&self.geometry, pair);
        }
        work
    }
}

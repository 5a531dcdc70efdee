//! Gradients of the convolution.
//!
//! With respect to a source's activation: `da[n, c, q] = Σ w[k, c, t] dy[n, k, p] + Σ_k v[k, c] dr[n, k, q]` over `k, t, p` with
//! `p stride + t dilation - padding = q`, with `v` and `dr` of the shortcut; where the size is kept that is a convolution of the
//! gradients by swapped and reversed weights, planned as the forward one. With respect to the weights:
//! `dw[k, c, t] = Σ_{n, p} a[n, c, p stride + t dilation - padding] dy[n, k, p]`, in two stages of fixed order, the value on load
//! recomputed. Shapes as in [`super::conv3d`].

use super::channel_sums::ChannelSums;
use super::conv3d::{self, Branch, Conv3d, Correlation, Geometry, NORMED, PRELU, Source, activated};
use super::correlate_weights::{self, Operands};
use super::lazy::Term;
use super::pack_weights::Pack;
use super::sum_parts::Parts;
use super::{bind_read, constant, kernel_name, moments_backward, residual_backward};
use crate::gpu::{Access, AdapterClass};
use crate::graph::{
    Applied, Case, Cost, DType, Dispatch, Graph, GraphError, Io, Kernel, Layout, Op, Operand, Target, TensorId,
};
use crate::graph::{groups, params, values};
use crate::tensor::{HostTensor, Shape};

params!(Params { x: u32, y: u32, z: u32, channels: u32, k: u32, n: u32, parts: u32, first: u32, total: u32 });

/// Gradient of the activations of the channels `first..first + channels`; arguments `dy, w, [dr, w_shortcut]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv3dData {
    pub geometry: Geometry,
    /// Voxels of the source.
    pub size: [usize; 3],
    /// First channel of the source among all.
    pub first: usize,
    /// Channels of the source.
    pub channels: usize,
    /// With a shortcut's gradient and weights.
    pub shortcut: bool,
}

/// Gradient of a weight; arguments those of each source, then `dy`.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv3dWeights {
    /// What each source's values are made of.
    pub sources: Vec<Term>,
    pub geometry: Geometry,
}

/// How the first stage of a weight's gradient is made.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Variant {
    /// All taps along Y and Z of a tap along X, for blocks as [`Form::new`] has them.
    Columns,
    /// Taps along Z alone, with the longest steps that an adapter's registers hold.
    ByRegisters,
    /// Taps along Z alone, for so many input channels and blocks of four output channels per invocation.
    Rows(usize, usize),
    /// The same in short steps.
    ShortRows(usize, usize),
}

/// The first suits software adapters, whose loads cost more than arithmetic.
const VARIANTS: &[Variant] = &[
    Variant::Columns,
    Variant::ByRegisters,
    Variant::Rows(4, 1),
    Variant::Rows(8, 2),
    Variant::Rows(4, 2),
    Variant::Rows(8, 1),
    Variant::ShortRows(4, 1),
];

/// What an invocation of the first stage holds: input channels and blocks of four output channels, of so many taps.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Form {
    columns: bool,
    held: usize,
    quads: usize,
    taps: usize,
    short: bool,
}

impl Form {
    fn new(side: usize, target: &Target) -> Self {
        let columns = |held, quads, taps| Self { columns: true, held, quads, taps, short: false };
        let rows = |held, quads, short| Self { columns: false, held, quads, taps: side, short };
        match *target.choose(VARIANTS) {
            // Nine taps fill the registers sooner than one.
            Variant::Columns if side == 3 => columns(4, 1, 9),
            Variant::Columns => columns(8, 2, 1),
            Variant::ByRegisters => rows(4, 1, !target.many_registers()),
            Variant::Rows(held, quads) => rows(held, quads, false),
            Variant::ShortRows(held, quads) => rows(held, quads, true),
        }
    }

    /// Voxels along Z that an invocation takes at a time.
    fn step(self, z: usize) -> usize {
        match (self.columns, self.short) {
            // A divisor of the row; a pointwise convolution does not care for rows.
            (true, _) if self.taps == 1 => 1,
            (true, _) => [4, 3, 5, 2].into_iter().find(|s| z.is_multiple_of(*s)).unwrap_or(1),
            // As many as fit a row.
            (false, false) => [4, 6].into_iter().find(|s| z.is_multiple_of(*s)).unwrap_or(4),
            (false, true) => (2 / self.quads).max(1),
        }
    }

    /// For a source of so many channels: few leave room for more output channels.
    fn of(self, channels: usize, k: usize) -> Self {
        let most = if self.short { 2 } else { 4 };
        let quads = self.quads.max(most / channels).min(k.div_ceil(4));
        Self { held: self.held.min(channels), quads, ..self }
    }

    /// Blocks of weights that `channels` input and `k` output channels make.
    fn blocks(self, channels: usize, k: usize, side: usize) -> usize {
        channels.div_ceil(self.held) * k.div_ceil(4 * self.quads) * (side.pow(3) / self.taps)
    }
}

impl Conv3dData {
    /// Whether it is a convolution itself.
    fn keeps_size(&self) -> bool {
        self.geometry.is_cube(3) || self.geometry.is_cube(1)
    }

    /// The gradients as sources, their weights swapped and reversed, one after the other in temporary 0.
    fn sources(&self, io: &Io) -> (Vec<Dispatch>, Vec<Source>) {
        let padded = self.channels.next_multiple_of(4);
        let (mut work, mut sources, mut offset) = (Vec::new(), Vec::new(), 0);
        for i in 0..=usize::from(self.shortcut) {
            let k = io.input(2 * i + 1).dims()[0];
            let taps = if i == 0 { self.geometry.taps() } else { 1 };
            let row = k.next_multiple_of(4);
            work.push(
                Pack {
                    rows: k,
                    columns: self.channels,
                    taps,
                    first: self.first * taps * row,
                    offset,
                    strides: [1, taps * row, row],
                    flip: true,
                    half: 0,
                }
                .dispatch(bind_read(2 * i + 1), (Operand::Scratch(0), Access::Write)),
            );
            offset += k * taps * padded;
            sources.push(Source { channels: k, taps, term: Term::PLAIN, slopes: 1, bindings: vec![bind_read(2 * i)] });
        }
        (work, sources)
    }
}

impl Kernel for Conv3dData {
    kernel_name!("conv3d_data");

    fn variants(&self) -> usize {
        if self.keeps_size() { conv3d::VARIANTS.len() } else { conv3d::SCATTER.len() }
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let misfit = || GraphError::new(format!("gradients and weights do not fit: {inputs:?}"));
        self.geometry.check().map_err(GraphError::new)?;
        if inputs.len() != 2 + 2 * usize::from(self.shortcut)
            || self.channels == 0
            || (self.shortcut && !self.keeps_size())
        {
            return Err(misfit());
        }
        let (n, ..) = inputs[0].volume().ok_or_else(misfit)?;
        for (i, pair) in inputs.chunks(2).enumerate() {
            let geometry = if i == 0 { self.geometry } else { Geometry::same([1; 3]) };
            let (pn, k, size) = pair[0].volume().ok_or_else(misfit)?;
            let (wk, c, kernel) = pair[1].volume().ok_or_else(misfit)?;
            let fits = wk == k && kernel == geometry.kernel && self.first + self.channels <= c;
            if !fits || pn != n || geometry.output(self.size) != Some(size) {
                return Err(misfit());
            }
        }
        Ok(vec![Shape::from([n, self.channels, self.size[0], self.size[1], self.size[2]])])
    }

    fn scratch(&self, io: &Io, _target: &Target) -> Vec<u64> {
        let padded = self.channels.next_multiple_of(4);
        let second = if self.shortcut { io.input(3).dims()[0] } else { 0 };
        vec![((io.input(1).dims()[0] * self.geometry.taps() + second) * padded) as u64 * 4]
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let (mut work, sources) = self.sources(io);
        let weights = (Operand::Scratch(0), Access::Read);
        let main = Branch { weights, half: 0, bias: None, y: Operand::Output(0), moments: None };
        let (_, _, input) = io.input(0).volume().expect("checked by infer");
        if self.keeps_size() {
            let correlation =
                Correlation { y: io.output(0), input, geometry: self.geometry, sources, main, shortcut: None };
            work.extend(correlation.dispatches(target));
        } else {
            let &tile = target.choose(conv3d::SCATTER);
            work.extend(conv3d::scatter(&self.geometry, input, io.output(0), &sources, &main, tile));
        }
        work
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (n, ..) = inputs[0].shape.volume().expect("a volume");
        let shape = Shape::from([n, self.channels, self.size[0], self.size[1], self.size[2]]);
        let mut sum = self.geometry.spread(inputs[0], inputs[1], &shape, self.first);
        if self.shortcut {
            let term = Geometry::same([1; 3]).spread(inputs[2], inputs[3], &shape, self.first);
            sum.data.iter_mut().zip(&term.data).for_each(|(s, t)| *s += t);
        }
        vec![sum]
    }

    fn cost(&self, io: &Io) -> Cost {
        let products = |dy: usize, taps: usize| (io.input(dy).elements() * taps * self.channels) as f64;
        let shortcut = if self.shortcut { products(2, 1) } else { 0.0 };
        Cost { flops: 2.0 * (products(0, self.geometry.taps()) + shortcut), bytes: io.bytes() }
    }
}

impl Conv3dWeights {
    /// Cubes that keep the size have shaders of their own, by their side.
    fn side(&self) -> Option<usize> {
        [1, 3].into_iter().find(|&side| self.geometry.is_cube(side))
    }

    fn dy(&self) -> usize {
        self.sources.iter().map(|t| t.arguments()).sum()
    }

    /// Invocations per block of weights: enough to fill the machine, in at most 32 MiB of partial sums, none with more
    /// than half of the 65,535 loop iterations after which llvmpipe ends an invocation, and all with about as many.
    fn parts(&self, side: usize, weight: &Shape, dy: &Shape, target: &Target) -> usize {
        let wanted = if target.class == AdapterClass::Software { 1024 } else { 16_384 };
        let (n, k, [x, y, z]) = dy.volume().expect("a volume");
        let form = Form::new(side, target);
        let blocks = form.blocks(weight.dims()[1], k, side).max(1);
        // What is divided among the parts, and the iterations that each of it takes.
        let (items, iterations) = match (form.columns, side) {
            (true, 3) => (n * x * z / form.step(z), y + 2),
            (true, _) => (n * values(x * y * z).1, 1),
            (false, _) => (n * x * y, z.div_ceil(form.step(z)) + 1),
        };
        let most = (8 << 20) / Layout::TapMajor.stored_elements(weight);
        let least = (items * iterations).div_ceil(32_768);
        let parts = (wanted / blocks).min(most).max(least).clamp(1, items);
        items.div_ceil(items.div_ceil(parts))
    }

    /// The first stage for a cube that keeps the size: one dispatch per source.
    fn cube(&self, side: usize, io: &Io, target: &Target, parts: usize, to: Operand) -> Vec<Dispatch> {
        let dy = self.dy();
        let (n, k, [x, y, z]) = io.input(dy).volume().expect("checked by infer");
        let stored = Layout::TapMajor.stored_elements(io.output(0));
        let cube = side == 3;
        let form = Form::new(side, target);
        let (wide, _) = if cube { values(z) } else { values(x * y * z) };
        let (mut work, mut first) = (Vec::new(), 0);
        for source in conv3d::sources(&self.sources, &io.shapes(), side.pow(3)) {
            let form = form.of(source.channels, k);
            let step = form.step(z);
            let blocks = form.blocks(source.channels, k, side);
            let mut constants = vec![
                ("CHANNELS", form.held as u32),
                ("QUADS", form.quads as u32),
                ("TAPS", side.pow(3) as u32),
                ("CUBE", constant(cube)),
                ("STEP", step as u32),
            ];
            constants.extend(source.term.constants(0, source.slopes));
            if form.columns {
                let width = if wide { 4 } else { 1 };
                constants.extend([
                    ("HELD_TAPS", form.taps as u32),
                    ("VALUES", (step / width).max(1) as u32),
                    ("WIDTH", width as u32),
                    ("WIDE", constant(wide)),
                ]);
            }
            let mut bindings = source.bindings.clone();
            bindings.extend([bind_read(dy), (to, Access::Write)]);
            work.push(Dispatch {
                shader: if form.columns { "conv3d_columns" } else { "conv3d_backward" },
                entry: "forward",
                constants,
                params: Params {
                    x: x as u32,
                    y: y as u32,
                    z: z as u32,
                    channels: source.channels as u32,
                    k: k as u32,
                    n: n as u32,
                    parts: parts as u32,
                    first: first as u32,
                    total: (stored / 4) as u32,
                }
                .block(),
                bindings,
                groups: groups((blocks * parts).div_ceil(64)),
            });
            first += source.channels;
        }
        work
    }

    /// Any other kernel, stride and padding.
    fn operands<'a>(&self, io: &'a Io) -> Operands<'a> {
        let (dy, shapes) = (self.dy(), io.shapes());
        let taps = self.geometry.taps();
        let small = Source {
            channels: io.input(dy).dims()[1],
            taps,
            term: Term::PLAIN,
            slopes: 1,
            bindings: vec![bind_read(dy)],
        };
        Operands {
            geometry: self.geometry,
            large: io.input(0),
            small: io.input(dy),
            sources: conv3d::sources(&self.sources, &shapes, taps).into_iter().map(|s| (s, small.clone())).collect(),
        }
    }

    fn all_parts(&self, io: &Io, target: &Target) -> usize {
        match self.side() {
            Some(side) => self.parts(side, io.output(0), io.input(self.dy()), target),
            None => self.operands(io).parts(target),
        }
    }
}

impl Kernel for Conv3dWeights {
    kernel_name!("conv3d_weights");

    fn variants(&self) -> usize {
        if self.side().is_some() { VARIANTS.len() } else { correlate_weights::VARIANTS.len() }
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let misfit = || GraphError::new(format!("sources and gradient do not fit: {inputs:?}"));
        self.geometry.check().map_err(GraphError::new)?;
        let dy = self.dy();
        let (n, channels, size) = conv3d::check_sources(&self.sources, inputs).ok_or_else(misfit)?;
        let (dn, k, out) = inputs.get(dy).and_then(Shape::volume).ok_or_else(misfit)?;
        if inputs.len() != dy + 1 || dn != n || self.geometry.output(size) != Some(out) {
            return Err(misfit());
        }
        let [x, y, z] = self.geometry.kernel;
        Ok(vec![Shape::from([k, channels, x, y, z])])
    }

    fn output_layout(&self, _i: usize) -> Layout {
        Layout::TapMajor
    }

    fn scratch(&self, io: &Io, target: &Target) -> Vec<u64> {
        vec![(self.all_parts(io, target) * Layout::TapMajor.stored_elements(io.output(0))) as u64 * 4]
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let parts = self.all_parts(io, target);
        let count = Layout::TapMajor.stored_elements(io.output(0));
        let (to, second) = Parts { count, parts }.finish(Operand::Scratch(0), Operand::Output(0));
        let mut work = match self.side() {
            Some(side) => self.cube(side, io, target, parts, to),
            None => self.operands(io).dispatches(target, parts, to),
        };
        work.extend(second);
        work
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        vec![self.geometry.weights(&activated(&self.sources, inputs), inputs[inputs.len() - 1])]
    }

    fn cost(&self, io: &Io) -> Cost {
        let dy = io.input(io.inputs.len() - 1);
        let per_voxel = io.output(0).elements() / dy.dims()[1].max(1);
        Cost { flops: 2.0 * per_voxel as f64 * dy.elements() as f64, bytes: io.bytes() }
    }
}

impl Op for Conv3d {
    fn backward(
        &self,
        g: &mut Graph,
        node: &Applied,
        dy: &[Option<TensorId>],
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        let (positions, first) = self.positions();
        let mut grads = vec![None; node.inputs.len()];
        let mut through = Vec::new();
        for (i, at) in self.weights().into_iter().enumerate() {
            let y = self.result(i);
            let name = ["", "shortcut."][i];
            let gradient = if self.moments {
                let made = (node.outputs[y], node.outputs[y + 1]);
                moments_backward::gradient(g, &format!("{name}moments"), dy[y], made, dy[y + 1])?
            } else {
                dy[y]
            };
            let Some(dy) = gradient else { continue };
            let geometry = if i == 0 { self.geometry } else { Geometry::same([1; 3]) };
            through.push((geometry, dy, node.inputs[at]));
            if node.needs[at] {
                let mut arguments = node.inputs[..first].to_vec();
                arguments.push(dy);
                let op = Conv3dWeights { sources: self.sources.clone(), geometry };
                grads[at] = Some(g.add_one(&format!("{name}weight"), op, &arguments)?);
            }
            if self.bias && i == 0 && node.needs[at + 1] {
                grads[at + 1] = Some(g.add_one("bias", ChannelSums { last: false }, &[dy])?);
            }
        }
        let Some(&(geometry, ..)) = through.first() else {
            return Ok(grads);
        };
        let mut channel = 0;
        for (s, (&at, term)) in positions.iter().zip(&self.sources).enumerate() {
            let (_, channels, size) = g.shape(node.inputs[at]).volume().expect("checked by infer");
            let end = at + term.arguments();
            if node.needs[at..end].contains(&true) {
                let op = Conv3dData { geometry, size, first: channel, channels, shortcut: through.len() > 1 };
                let arguments: Vec<TensorId> = through.iter().flat_map(|(_, dy, w)| [*dy, *w]).collect();
                let da = g.add_one(&format!("source.{s}"), op, &arguments)?;
                let made = residual_backward::term(g, &format!("norm.{s}"), *term, da, &node.inputs[at..end])?;
                grads[at..end].copy_from_slice(&made);
            }
            channel += channels;
        }
        Ok(grads)
    }
}

/// Samples, output channels, (first, own, all) channels, and the source's size.
type DataForm = (usize, usize, (usize, usize, usize), [usize; 3]);

fn data_case(
    name: &str,
    geometry: Geometry,
    (n, k, (first, channels, all), size): DataForm,
    shortcut: Option<usize>,
) -> Case {
    let [x, y, z] = geometry.output(size).expect("a case fits its kernel");
    let [kx, ky, kz] = geometry.kernel;
    let seed = (n + k * 7 + x * 31) as u64;
    let mut inputs = vec![HostTensor::noise([n, k, x, y, z], seed), HostTensor::noise([k, all, kx, ky, kz], seed + 1)];
    if let Some(k) = shortcut {
        inputs.extend([HostTensor::noise([n, k, x, y, z], seed + 2), HostTensor::noise([k, all, 1, 1, 1], seed + 3)]);
    }
    let op = Conv3dData { geometry, size, first, channels, shortcut: shortcut.is_some() };
    let case = Case::new(format!("data, {name}"), op, inputs).stored(1, Layout::TapMajor, DType::F32);
    if shortcut.is_some() { case.stored(3, Layout::TapMajor, DType::F32) } else { case }
}

fn weights_case(
    name: &str,
    geometry: Geometry,
    n: usize,
    sources: &[(usize, Term)],
    k: usize,
    size: [usize; 3],
) -> Case {
    let [x, y, z] = geometry.output(size).expect("a case fits its kernel");
    let seed = (n + k * 7 + x * 31 + sources.len() * 1009) as u64;
    let mut inputs = conv3d::source_arguments(n, sources, size, seed);
    inputs.push(HostTensor::noise([n, k, x, y, z], seed + 20));
    let op = Conv3dWeights { sources: sources.iter().map(|s| s.1).collect(), geometry };
    Case::new(format!("weights, {name}"), op, inputs)
}

/// Both gradients: extents of 1, odd and off the tile; channels off the block; one and two sources, every kind of value, all
/// kernels and strides, and as many voxels as make an invocation's loops long.
pub fn cases() -> Vec<Case> {
    const PLAIN: Term = Term::PLAIN;
    let cube = |side| Geometry::same([side; 3]);
    let data =
        |name, n, k, channels, size, shortcut, side| data_case(name, cube(side), (n, k, channels, size), shortcut);
    let weights =
        |name, n, sources: &[(usize, Term)], k, size, side| weights_case(name, cube(side), n, sources, k, size);
    let down = Geometry::new([3; 3], [2; 3], [1; 3]);
    let slices = Geometry::new([1, 3, 3], [1, 2, 2], [0, 1, 1]);
    let other = Geometry::new([3, 1, 5], [2, 1, 1], [1, 0, 2]);
    let patches = Geometry::new([2; 3], [2; 3], [0; 3]);
    let seven = Geometry::new([7; 3], [1, 2, 2], [3; 3]);
    let mut cases = vec![
        data("one voxel", 1, 1, (0, 1, 1), [1, 1, 1], None, 3),
        data("odd", 2, 5, (0, 3, 3), [3, 5, 7], None, 3),
        data("second source", 1, 8, (3, 5, 8), [4, 3, 6], None, 3),
        data("shortcut", 2, 6, (1, 17, 20), [4, 3, 5], Some(6), 3),
        data("blocks of four voxels", 2, 6, (1, 9, 11), [3, 5, 8], Some(6), 3),
        data("pointwise", 1, 14, (0, 4, 4), [3, 3, 5], None, 1),
        data("several tiles", 1, 5, (2, 33, 37), [9, 6, 19], Some(3), 3),
        weights("one voxel", 1, &[(1, PLAIN)], 1, [1, 1, 1], 3),
        weights("odd", 2, &[(3, PLAIN)], 5, [3, 5, 7], 3),
        weights("norm", 1, &[(4, NORMED)], 8, [6, 4, 8], 3),
        weights("two sources", 1, &[(3, PLAIN), (5, NORMED)], 17, [5, 6, 9], 3),
        weights("pointwise, two sources", 2, &[(2, NORMED), (6, PLAIN)], 14, [3, 2, 5], 1),
        weights("blocks of four voxels", 2, &[(5, NORMED), (2, PLAIN)], 9, [3, 4, 8], 3),
        weights("one row, one channel", 1, &[(1, PLAIN)], 17, [2, 1, 4], 3),
        weights("pointwise blocks", 2, &[(9, NORMED)], 10, [3, 2, 4], 1),
        weights("columns of three and five", 1, &[(2, NORMED)], 5, [3, 4, 15], 3),
        weights("columns of two", 2, &[(5, NORMED)], 3, [2, 3, 10], 3),
        weights("pointwise, no blocks", 1, &[(3, NORMED)], 6, [3, 5, 7], 1),
        weights("many columns", 1, &[(6, PLAIN)], 4, [40, 36, 20], 3),
        weights("many channels", 1, &[(33, PLAIN)], 34, [3, 2, 4], 3),
        weights("many voxels", 1, &[(1, PLAIN)], 1, [64, 64, 300], 1),
        weights("trained slopes", 2, &[(3, PRELU), (2, PRELU)], 5, [3, 4, 8], 3),
        weights("trained slopes, pointwise", 2, &[(3, PRELU)], 5, [3, 4, 5], 1),
        weights_case("many rows", slices, 1, &[(1, PLAIN)], 1, [65, 130, 70]),
    ];
    // More loop iterations than llvmpipe runs in an invocation.
    let areas = Geometry::new([7, 7, 1], [1, 1, 2], [3, 3, 0]);
    cases.push(data_case("very many channels", areas, (1, 1400, (0, 1, 1), [1, 1, 2]), None));
    let dilated = Geometry { dilation: [1, 2, 3], ..Geometry::new([3; 3], [1; 3], [1, 2, 3]) };
    let both = Geometry { dilation: [2, 1, 3], ..Geometry::new([2, 3, 3], [1, 2, 2], [0, 1, 4]) };
    for (name, geometry) in [
        ("down by two", down),
        ("slices", slices),
        ("other axes", other),
        ("patches", patches),
        ("seven", seven),
        ("dilated", dilated),
        ("dilated, down by two", both),
    ] {
        cases.push(data_case(name, geometry, (2, 5, (0, 3, 3), [5, 8, 9]), None));
        cases.push(data_case(&format!("{name}, second source"), geometry, (1, 6, (3, 18, 21), [8, 7, 12]), None));
        cases.push(weights_case(name, geometry, 2, &[(3, NORMED)], 5, [5, 8, 9]));
        cases.push(weights_case(
            &format!("{name}, two sources"),
            geometry,
            1,
            &[(2, PLAIN), (5, PRELU)],
            6,
            [8, 7, 12],
        ));
    }
    cases
}

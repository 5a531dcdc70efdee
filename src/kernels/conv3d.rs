//! 3-D convolution with what surrounds it in UNETR: normalise on load, two-source input, statistics of the output, and
//! the shortcut's 1x1x1 convolution beside the main one.
//!
//! `y[n, k, p] = Σ w[k, c, t] a[n, c, p + t - 1]`, stride 1, zero padding, no bias; `a = leaky_relu(scale x + shift)` for
//! a source with a norm (padding comes after the activation), else `a = x`. Channels of two sources follow one another:
//! the concatenation is never stored.
//!
//! Shapes: `x_s (N, C_s, X, Y, Z)`, `norm_s (N, C_s, 4)`, `w (K, C, 3, 3, 3)` or `(K, C, 1, 1, 1)` stored
//! [`Layout::TapMajor`], `y (N, K, X, Y, Z)`, moments `(N, K, 2)` of (mean, biased variance) over the voxels.
//! Source: `torch.nn.Conv3d`, MONAI's `UnetResBlock`.

mod tiled;
pub(super) mod wide;

use super::{bind_read, bind_write, constant, kernel_name, leaky_relu, moments};
use crate::graph::{
    Binding, Case, Cost, DType, Dispatch, Graph, GraphError, Io, Kernel, Layout, Operand, Target, TensorId,
};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

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
    pad_0: u32,
    pad_1: u32,
    pad_2: u32,
});

/// An input of a convolution: a tensor, and the norm to apply on load if it is a raw convolution output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Values.
    pub x: TensorId,
    /// From `norm_parameters`.
    pub norm: Option<TensorId>,
}

impl Source {
    /// A tensor as it is.
    pub fn plain(x: TensorId) -> Self {
        Self { x, norm: None }
    }
}

/// Raw output of a convolution and its moments.
#[derive(Clone, Copy, Debug)]
pub struct Convolved {
    /// Values before the norm.
    pub y: TensorId,
    /// (mean, variance) per sample and channel.
    pub moments: TensorId,
}

/// The op; arguments `x_0, [norm_0], [x_1, [norm_1]], w, [w_shortcut]`, results `y, moments, [r, moments of r]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv3d {
    /// For each source, whether it has a norm.
    pub sources: Vec<bool>,
    /// With a 1x1x1 convolution of the same sources.
    pub shortcut: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Variant {
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
const VARIANTS: &[Variant] = &[
    Variant::Wide,
    Variant::ByShape,
    Variant::Tiled(tiled::Tile { extent: 16, quads: 4, fused: true }),
    Variant::Tiled(tiled::Tile { extent: 16, quads: 2, fused: true }),
    Variant::Tiled(tiled::Tile { extent: 16, quads: 2, fused: false }),
    Variant::Tiled(tiled::Tile { extent: 8, quads: 4, fused: true }),
    Variant::Tiled(tiled::Tile { extent: 8, quads: 2, fused: true }),
    Variant::Tiled(tiled::Tile { extent: 4, quads: 4, fused: true }),
    Variant::Tiled(tiled::Tile { extent: 4, quads: 1, fused: true }),
    Variant::Registers(4, 2),
];

/// How the kernel without workgroup memory works for results of this shape on this target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Untiled {
    /// See [`wide`].
    Wide,
    /// Voxels along Z and blocks of output channels per invocation.
    Registers(u32, u32),
}

impl Untiled {
    pub(super) fn new(y: &Shape, target: &Target) -> Self {
        match *target.choose(VARIANTS) {
            Variant::Wide if wide::fits(y) => Self::Wide,
            Variant::Wide => Self::Registers(12, 4),
            Variant::Registers(voxels, quads) => Self::Registers(voxels, quads),
            Variant::ByShape | Variant::Tiled(_) => Self::Registers(4, 2),
        }
    }
}

/// A long block only where it fits rows of `z` voxels.
fn block(voxels: u32, z: usize) -> u32 {
    [voxels, 8, 6].into_iter().find(|&v| v <= voxels && z.is_multiple_of(v as usize)).unwrap_or(4)
}

/// One source of the shader.
pub(super) struct Side {
    pub channels: usize,
    pub taps: usize,
    pub norm: bool,
}

/// The shader for one or two sources and the result `y`.
pub(super) fn dispatch(
    y: &Shape,
    sources: &[Side],
    half: u32,
    bindings: Vec<Binding>,
    (voxels, quads): (u32, u32),
) -> Dispatch {
    let (n, k, [sx, sy, sz]) = y.volume().expect("a volume");
    let voxels = block(voxels, sz);
    let quads = quads.min(k.div_ceil(4) as u32);
    let tiles = sx * sy * sz.div_ceil(voxels as usize);
    let spatial = tiles.div_ceil(64);
    let second = sources.get(1);
    let taps = |s: usize| sources.get(s).map_or(1, |s| s.taps as u32);
    let norm = |s: usize| constant(sources.get(s).is_some_and(|s| s.norm));
    Dispatch {
        shader: "conv3d",
        entry: "forward",
        constants: vec![
            ("VOX", voxels),
            ("SPAN", voxels + 2),
            ("QUADS", quads),
            ("TAPS_0", taps(0)),
            ("TAPS_1", taps(1)),
            ("CUBE_0", constant(taps(0) == 27)),
            ("CUBE_1", constant(taps(1) == 27)),
            ("SOURCES", sources.len() as u32),
            ("SECOND", constant(second.is_some())),
            ("SECOND_0", 0),
            ("SECOND_1", 1),
            ("NORM_0", norm(0)),
            ("NORM_1", norm(1)),
            ("HALF", half),
            ("SCALAR", 0),
        ],
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
            ..Params::default()
        }
        .block(),
        bindings,
        groups: groups(n * k.div_ceil(4 * quads as usize) * spatial),
    }
}

impl Conv3d {
    /// Argument positions of each source's values, and of the first weight.
    pub(super) fn positions(&self) -> (Vec<usize>, usize) {
        let mut at = 0;
        let mut sources = Vec::new();
        for &norm in &self.sources {
            sources.push(at);
            at += 1 + usize::from(norm);
        }
        (sources, at)
    }

    pub(super) fn channels(&self, shapes: &[&Shape]) -> Vec<usize> {
        self.positions().0.iter().map(|&i| shapes[i].dims()[1]).collect()
    }

    fn weights(&self) -> impl Iterator<Item = usize> {
        let first = self.positions().1;
        first..first + 1 + usize::from(self.shortcut)
    }

    /// The tile for this shape, if it gets the kernel with workgroup memory.
    fn tile(&self, io: &Io, target: &Target) -> Option<tiled::Tile> {
        match *target.choose(VARIANTS) {
            _ if io.input(self.positions().1).dims()[2] != 3 => None,
            Variant::Wide | Variant::Registers(..) => None,
            Variant::ByShape => Some(self.with_limits(tiled::choose(target.class, io.output(0), self.shortcut), io)),
            Variant::Tiled(tile) => Some(self.with_limits(tile, io)),
        }
    }

    /// No more output channels than there are; and the shortcut's convolution can only be made beside the main one if
    /// WebGPU's eight buffers are enough.
    fn with_limits(&self, tile: tiled::Tile, io: &Io) -> tiled::Tile {
        let buffers = self.positions().1 + 6;
        let fused = tile.fused && self.shortcut && buffers <= 8 && io.output(0) == io.output(2);
        let wanted = io.output(0).dims()[1].div_ceil(4).next_power_of_two();
        tiled::Tile { fused, quads: tile.quads.min(wanted), ..tile }
    }

    /// Where the convolution without workgroup memory leaves the moments of its tiles: how many parts, if it does.
    fn parts(io: &Io, target: &Target, index: usize) -> Option<usize> {
        let y = io.output(2 * index);
        if Untiled::new(y, target) == Untiled::Wide { wide::parts(y) } else { None }
    }

    /// A convolution without workgroup memory, and its moments.
    fn separate(&self, io: &Io, target: &Target, index: usize) -> Vec<Dispatch> {
        let y = io.output(2 * index);
        let parts = Self::parts(io, target, index);
        let mut work = match Untiled::new(y, target) {
            Untiled::Wide => self.wide(io, index, parts.map(|_| Operand::Scratch(index))),
            Untiled::Registers(voxels, quads) => vec![self.convolution(io, (voxels, quads), index)],
        };
        match parts {
            Some(parts) => work.push(moments::merge(y, 2 * index + 1, index, parts, target)),
            None => work.extend(moments::dispatches(y, 2 * index, 2 * index + 1, index, target)),
        }
        work
    }

    fn wide(&self, io: &Io, index: usize, moments: Option<Operand>) -> Vec<Dispatch> {
        let (positions, first) = self.positions();
        let weight = first + index;
        let taps = io.input(weight).dims()[2].pow(3);
        let sources: Vec<wide::Source> = positions
            .iter()
            .zip(&self.sources)
            .map(|(&at, &norm)| wide::Source {
                channels: io.input(at).dims()[1],
                taps,
                bindings: (at..=at + usize::from(norm)).map(bind_read).collect(),
            })
            .collect();
        let (weights, half) = (bind_read(weight), io.half(weight));
        let ends = wide::Ends { weights, half, y: Operand::Output(2 * index), moments };
        wide::dispatches(io.output(2 * index), &sources, &ends)
    }

    fn convolution(&self, io: &Io, block: (u32, u32), index: usize) -> Dispatch {
        let weight = self.positions().1 + index;
        let taps = io.input(weight).dims()[2].pow(3);
        let shapes: Vec<&Shape> = io.inputs.iter().map(|t| &t.shape).collect();
        let sources: Vec<Side> = self
            .channels(&shapes)
            .into_iter()
            .zip(&self.sources)
            .map(|(channels, &norm)| Side { channels, taps, norm })
            .collect();
        let mut bindings: Vec<_> = (0..self.positions().1).map(bind_read).collect();
        bindings.extend([bind_read(weight), bind_write(2 * index)]);
        dispatch(io.output(2 * index), &sources, io.half(weight), bindings, block)
    }

    /// The sources activated and concatenated, in double precision.
    pub(super) fn activated(&self, inputs: &[&HostTensor]) -> HostTensor {
        let shapes: Vec<&Shape> = inputs.iter().map(|t| &t.shape).collect();
        let channels = self.channels(&shapes);
        let (n, _, size) = inputs[0].shape.volume().expect("a volume");
        let voxels: usize = size.iter().product();
        let total: usize = channels.iter().sum();
        let mut a = HostTensor::zeros([n, total, size[0], size[1], size[2]]);
        let mut first = 0;
        for ((&at, &count), &norm) in self.positions().0.iter().zip(&channels).zip(&self.sources) {
            for i in 0..n * count {
                let out = (i / count * total + first + i % count) * voxels;
                for v in 0..voxels {
                    let x = inputs[at].data[i * voxels + v];
                    let p = |j: usize| inputs[at + 1].data[i * 4 + j];
                    a.data[out + v] = if norm { leaky_relu(x * p(2) + p(3)) } else { x };
                }
            }
            first += count;
        }
        a
    }
}

/// Plain convolution in double precision, "same" zero padding.
pub(crate) fn convolve(a: &HostTensor, w: &HostTensor) -> HostTensor {
    let (n, c, [sx, sy, sz]) = a.shape.volume().expect("a volume");
    let (k, side) = (w.shape.dims()[0], w.shape.dims()[2]);
    let reach = (side / 2) as isize;
    let mut y = HostTensor::zeros([n, k, sx, sy, sz]);
    let voxels = sx * sy * sz;
    let inside = |at: usize, offset: usize, size: usize| {
        let q = at as isize + offset as isize - reach;
        (0..size as isize).contains(&q).then_some(q as usize)
    };
    for (sample, out) in (0..n).flat_map(|s| (0..k).map(move |o| (s, o))) {
        for p in 0..voxels {
            let (x, yy, z) = (p / sz / sy, p / sz % sy, p % sz);
            let mut sum = 0.0;
            for t in 0..side.pow(3) {
                let (Some(qx), Some(qy), Some(qz)) =
                    (inside(x, t / side / side, sx), inside(yy, t / side % side, sy), inside(z, t % side, sz))
                else {
                    continue;
                };
                let q = (qx * sy + qy) * sz + qz;
                for channel in 0..c {
                    let weight = w.data[(out * c + channel) * side.pow(3) + t];
                    sum += weight * a.data[(sample * c + channel) * voxels + q];
                }
            }
            y.data[(sample * k + out) * voxels + p] = sum;
        }
    }
    y
}

impl Kernel for Conv3d {
    kernel_name!("conv3d");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let misfit = || GraphError::new(format!("sources and weights do not fit: {inputs:?}"));
        let (positions, first) = self.positions();
        if inputs.len() != first + 1 + usize::from(self.shortcut) || !(1..=2).contains(&positions.len()) {
            return Err(misfit());
        }
        let (n, _, size) = inputs[0].volume().ok_or_else(misfit)?;
        let mut channels = 0;
        for (&at, &norm) in positions.iter().zip(&self.sources) {
            let (sn, c, ssize) = inputs[at].volume().ok_or_else(misfit)?;
            if sn != n || ssize != size || (norm && inputs[at + 1] != Shape::from([n, c, 4])) {
                return Err(misfit());
            }
            channels += c;
        }
        let mut outputs = Vec::new();
        for (i, at) in self.weights().enumerate() {
            let side = if i == 0 { inputs[at].dims().get(2).copied().unwrap_or(0) } else { 1 };
            let k = inputs[at].dims()[0];
            if ![1, 3].contains(&side) || inputs[at] != Shape::from([k, channels, side, side, side]) {
                return Err(misfit());
            }
            outputs.extend([Shape::from([n, k, size[0], size[1], size[2]]), Shape::from([n, k, 2])]);
        }
        Ok(outputs)
    }

    fn scratch(&self, io: &Io, target: &Target) -> Vec<u64> {
        let tile = self.tile(io, target);
        (0..=usize::from(self.shortcut))
            .map(|i| match (tile, Self::parts(io, target, i)) {
                (Some(tile), _) if i == 0 || tile.fused => tiled::scratch(tile, io.output(2 * i)),
                (_, Some(parts)) => moments::parts_bytes(io.output(2 * i), parts),
                _ => moments::scratch(io.output(2 * i), target),
            })
            .collect()
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let tile = self.tile(io, target);
        let mut work = match tile {
            Some(tile) => self.tiled(io, target, tile),
            None => self.separate(io, target, 0),
        };
        if self.shortcut && !tile.is_some_and(|t| t.fused) {
            work.extend(self.separate(io, target, 1));
        }
        work
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let a = self.activated(inputs);
        self.weights()
            .flat_map(|w| {
                let y = convolve(&a, inputs[w]);
                let m = moments::reference(&y);
                [y, m]
            })
            .collect()
    }

    fn cost(&self, io: &Io) -> Cost {
        let flops = self
            .weights()
            .enumerate()
            .map(|(i, w)| {
                let per_voxel = io.input(w).elements() / io.input(w).dims()[0].max(1);
                2.0 * per_voxel as f64 * io.output(2 * i).elements() as f64
            })
            .sum();
        Cost { flops, bytes: io.bytes() }
    }
}

impl Graph {
    /// Convolution of the sources with `w`, and with `shortcut` if given.
    ///
    /// # Errors
    /// [`GraphError`] if the shapes do not fit.
    pub fn conv3d(
        &mut self,
        name: &str,
        sources: &[Source],
        w: TensorId,
        shortcut: Option<TensorId>,
    ) -> Result<(Convolved, Option<Convolved>), GraphError> {
        let mut inputs = Vec::new();
        for source in sources {
            inputs.push(source.x);
            inputs.extend(source.norm);
        }
        inputs.push(w);
        inputs.extend(shortcut);
        let op = Conv3d { sources: sources.iter().map(|s| s.norm.is_some()).collect(), shortcut: shortcut.is_some() };
        let outputs = self.add_op(name, op, &inputs)?;
        let convolved = |i: usize| Convolved { y: outputs[i], moments: outputs[i + 1] };
        Ok((convolved(0), shortcut.map(|_| convolved(2))))
    }
}

/// What a case is made of: samples, (channels, norm) of each source, output channels, size, shortcut, kernel, storage.
type Form<'a> = (usize, &'a [(usize, bool)], usize, [usize; 3], bool, usize, DType);

fn case(name: &str, (n, sources, k, size, shortcut, side, dtype): Form<'_>) -> Case {
    let seed = (n + k * 7 + size[0] * 31 + size[2] * 101 + sources.len() * 1009) as u64;
    let [x, y, z] = size;
    let mut inputs = Vec::new();
    for (i, &(c, norm)) in sources.iter().enumerate() {
        inputs.push(HostTensor::noise([n, c, x, y, z], seed + i as u64));
        if norm {
            inputs.push(HostTensor::noise([n, c, 4], seed + 10 + i as u64));
        }
    }
    let channels: usize = sources.iter().map(|s| s.0).sum();
    let rounded = |t: HostTensor| match dtype {
        DType::F32 => t,
        DType::F16 => t.map(|v| f64::from(half::f16::from_f64(v))),
    };
    let first = inputs.len();
    inputs.push(rounded(HostTensor::noise([k, channels, side, side, side], seed + 20)));
    if shortcut {
        inputs.push(rounded(HostTensor::noise([k, channels, 1, 1, 1], seed + 21)));
    }
    let weights = first..inputs.len();
    let op = Conv3d { sources: sources.iter().map(|s| s.1).collect(), shortcut };
    weights.fold(Case::new(name, op, inputs), |case, w| case.stored(w, Layout::TapMajor, dtype))
}

/// Extents of 1, odd and off the tile; channels off the block; one and two sources, with and without norms; both
/// kernel sizes and storages; more than 65,535 groups.
pub fn cases() -> Vec<Case> {
    use DType::{F16, F32};
    vec![
        case("long rows", (1, &[(2, true)], 6, [2, 3, 24], true, 3, F32)),
        case("rows of eight", (1, &[(2, false)], 5, [3, 2, 16], false, 3, F32)),
        case("rows of six", (1, &[(3, true), (1, false)], 18, [2, 2, 6], true, 3, F32)),
        case("one voxel", (1, &[(1, false)], 1, [1, 1, 1], false, 3, F32)),
        case("odd", (2, &[(3, false)], 5, [3, 5, 7], false, 3, F32)),
        case("norm", (1, &[(4, true)], 8, [6, 4, 8], false, 3, F32)),
        case("shortcut", (2, &[(2, false)], 9, [4, 3, 6], true, 3, F32)),
        case("two sources", (1, &[(3, false), (5, false)], 16, [5, 6, 9], true, 3, F32)),
        case("two sources with norms", (2, &[(2, true), (3, true)], 7, [2, 3, 5], true, 3, F32)),
        case("second norm only", (1, &[(2, false), (3, true)], 17, [4, 4, 4], false, 3, F32)),
        case("pointwise", (1, &[(6, true)], 3, [3, 3, 5], false, 1, F32)),
        case("pointwise, two sources", (1, &[(2, false), (2, false)], 6, [2, 2, 2], false, 1, F32)),
        case("rows of sixteen", (2, &[(3, true), (2, false)], 9, [2, 7, 16], true, 3, F32)),
        case("a row of four", (1, &[(2, true)], 3, [2, 1, 4], true, 3, F16)),
        case("many channels", (1, &[(33, false)], 34, [3, 2, 4], true, 3, F32)),
        case("f16", (1, &[(3, true), (2, false)], 10, [4, 3, 5], true, 3, F16)),
        case("a tile's edges", (1, &[(3, true)], 18, [5, 4, 17], true, 3, F32)),
        case("norms and a shortcut", (1, &[(2, true), (1, true)], 4, [3, 6, 5], true, 3, F16)),
        case("several tiles", (2, &[(5, false), (4, false)], 33, [9, 6, 19], true, 3, F32)),
        case("one channel", (1, &[(1, false)], 16, [12, 8, 24], false, 3, F32)),
        case("many groups", (1, &[(1, false)], 1, [257, 256, 256], false, 1, F32)),
    ]
}

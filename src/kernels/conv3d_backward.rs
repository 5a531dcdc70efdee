//! Gradients of the convolution.
//!
//! With respect to a source's activation: `da[n, c, p] = Σ_{k, t} w[k, c, t] dy[n, k, p - t + 1] + Σ_k v[k, c] dr[n, k, p]`
//! with `v` and `dr` of the shortcut: a convolution of the gradients by swapped and reversed weights, run by the forward
//! shader. With respect to the weights: `dw[k, c, t] = Σ_{n, p} a[n, c, p + t - 1] dy[n, k, p]`, in two stages of fixed
//! order, the norm on load recomputed. Shapes as in [`super::conv3d`].

use super::conv3d::{self, Conv3d, Side, Untiled, convolve, wide};
use super::residual::Shortcut;
use super::residual_backward::ResidualBackward;
use super::sum_parts::Parts;
use super::{bind_read, bind_write, constant, kernel_name, moments_backward};
use crate::gpu::{Access, AdapterClass};
use crate::graph::{
    Applied, Case, Cost, DType, Dispatch, Graph, GraphError, Io, Kernel, Layout, Op, Operand, Target, TensorId,
};
use crate::graph::{groups, params, values};
use crate::tensor::{HostTensor, Shape};

params!(FlipParams { k: u32, channels: u32, first: u32, offset: u32 });
params!(Params { x: u32, y: u32, z: u32, channels: u32, k: u32, n: u32, parts: u32, first: u32, total: u32 });

/// Gradient of the activations of the channels `first..first + channels`; arguments `dy, w, [dr, w_shortcut]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv3dData {
    /// First channel of the source among all.
    pub first: usize,
    /// Channels of the source.
    pub channels: usize,
    /// With a shortcut's gradient and weights.
    pub shortcut: bool,
}

/// Gradient of a weight; arguments `x_0, [norm_0], [x_1, [norm_1]], dy`.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv3dWeights {
    /// For each source, whether it has a norm.
    pub sources: Vec<bool>,
    /// Side of the weight: 3 or 1.
    pub side: usize,
}

/// How the first stage of a weight's gradient is made.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Variant {
    /// All taps along Y and Z of a tap along X, for blocks as [`Form::new`] has them.
    Columns,
    /// Taps along Z alone, for so many input channels and blocks of four output channels per invocation.
    Rows(usize, usize),
}

/// The first suits software adapters, whose loads cost more than arithmetic.
const VARIANTS: &[Variant] =
    &[Variant::Columns, Variant::Rows(4, 1), Variant::Rows(8, 2), Variant::Rows(4, 2), Variant::Rows(8, 1)];

/// What an invocation of the first stage holds: input channels and blocks of four output channels, of so many taps.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Form {
    columns: bool,
    held: usize,
    quads: usize,
    taps: usize,
}

impl Form {
    fn new(side: usize, target: &Target) -> Self {
        match *target.choose(VARIANTS) {
            // Nine taps fill the registers sooner than one.
            Variant::Columns if side == 3 => Self { columns: true, held: 4, quads: 1, taps: 9 },
            Variant::Columns => Self { columns: true, held: 8, quads: 2, taps: 1 },
            Variant::Rows(held, quads) => Self { columns: false, held, quads, taps: side },
        }
    }

    /// For a source of so many channels: few leave room for more output channels.
    fn of(self, channels: usize, k: usize) -> Self {
        let quads = self.quads.max(4 / channels).min(k.div_ceil(4));
        Self { held: self.held.min(channels), quads, ..self }
    }

    /// Blocks of weights that `channels` input and `k` output channels make.
    fn blocks(self, channels: usize, k: usize, side: usize) -> usize {
        channels.div_ceil(self.held) * k.div_ceil(4 * self.quads) * (side.pow(3) / self.taps)
    }
}

/// Voxels along Z that an invocation takes at a time: as many as fit a row.
fn step(z: usize) -> usize {
    [4, 6].into_iter().find(|s| z.is_multiple_of(*s)).unwrap_or(4)
}

/// Width of a column: a divisor of the row.
fn column(z: usize) -> usize {
    [4, 3, 5, 2].into_iter().find(|s| z.is_multiple_of(*s)).unwrap_or(1)
}

impl Conv3dData {
    /// Taps of the main weight.
    fn taps(io: &Io) -> usize {
        io.input(1).dims()[2].pow(3)
    }
}

impl Kernel for Conv3dData {
    kernel_name!("conv3d_data");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let misfit = || GraphError::new(format!("gradients and weights do not fit: {inputs:?}"));
        if inputs.len() != 2 + 2 * usize::from(self.shortcut) || self.channels == 0 {
            return Err(misfit());
        }
        let (n, _, [x, y, z]) = inputs[0].volume().ok_or_else(misfit)?;
        for (i, pair) in inputs.chunks(2).enumerate() {
            let (pn, k, size) = pair[0].volume().ok_or_else(misfit)?;
            let fits = match *pair[1].dims() {
                [wk, c, a, b, d] => {
                    wk == k && a == b && b == d && (a == 1 || (a == 3 && i == 0)) && self.first + self.channels <= c
                }
                _ => false,
            };
            if !fits || pn != n || size != [x, y, z] {
                return Err(misfit());
            }
        }
        Ok(vec![Shape::from([n, self.channels, x, y, z])])
    }

    fn scratch(&self, io: &Io, _target: &Target) -> Vec<u64> {
        let padded = self.channels.next_multiple_of(4);
        let second = if self.shortcut { io.input(3).dims()[0] } else { 0 };
        vec![((io.input(1).dims()[0] * Self::taps(io) + second) * padded) as u64 * 4]
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let padded = self.channels.next_multiple_of(4);
        let (mut work, mut sides, mut offset) = (Vec::new(), Vec::new(), 0);
        for i in 0..=usize::from(self.shortcut) {
            let k = io.input(2 * i + 1).dims()[0];
            let taps = if i == 0 { Self::taps(io) } else { 1 };
            work.push(Dispatch {
                shader: "conv3d_flip",
                entry: "forward",
                constants: vec![("TAPS", taps as u32)],
                params: FlipParams {
                    k: k as u32,
                    channels: self.channels as u32,
                    first: self.first as u32,
                    offset: offset as u32,
                }
                .block(),
                bindings: vec![bind_read(2 * i + 1), (Operand::Scratch(0), Access::Write)],
                groups: groups((k * padded).div_ceil(64)),
            });
            offset += k * taps * padded;
            sides.push(Side { channels: k, taps, norm: false });
        }
        let weights = (Operand::Scratch(0), Access::Read);
        match Untiled::new(io.output(0), target) {
            Untiled::Wide => {
                let source = |(i, side): (usize, &Side)| wide::Source {
                    channels: side.channels,
                    taps: side.taps,
                    bindings: vec![bind_read(2 * i)],
                };
                let sources: Vec<wide::Source> = sides.iter().enumerate().map(source).collect();
                let ends = wide::Ends { weights, half: 0, y: Operand::Output(0), moments: None };
                work.extend(wide::dispatches(io.output(0), &sources, &ends));
            }
            Untiled::Registers(voxels, quads) => {
                let mut bindings: Vec<_> = (0..sides.len()).map(|i| bind_read(2 * i)).collect();
                bindings.extend([weights, bind_write(0)]);
                work.push(conv3d::dispatch(io.output(0), &sides, 0, bindings, (voxels, quads)));
            }
        }
        work
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let mut sum: Option<HostTensor> = None;
        for pair in inputs.chunks(2) {
            let d = pair[1].shape.dims();
            let (k, c, side, taps) = (d[0], d[1], d[2], d[2].pow(3));
            let mut flipped = HostTensor::zeros([self.channels, k, side, side, side]);
            for (i, v) in flipped.data.iter_mut().enumerate() {
                let (channel, o, t) = (i / taps / k, i / taps % k, i % taps);
                *v = pair[1].data[(o * c + self.first + channel) * taps + taps - 1 - t];
            }
            let term = convolve(pair[0], &flipped);
            match &mut sum {
                Some(sum) => sum.data.iter_mut().zip(&term.data).for_each(|(s, t)| *s += t),
                None => sum = Some(term),
            }
        }
        sum.into_iter().collect()
    }

    fn cost(&self, io: &Io) -> Cost {
        let terms = io.input(1).dims()[0] * Self::taps(io) + if self.shortcut { io.input(3).dims()[0] } else { 0 };
        Cost { flops: 2.0 * terms as f64 * io.output(0).elements() as f64, bytes: io.bytes() }
    }
}

impl Conv3dWeights {
    fn conv(&self) -> Conv3d {
        Conv3d { sources: self.sources.clone(), shortcut: false }
    }

    /// Sources' arguments and channels, argument of `dy`.
    fn sources(&self, shapes: &[&Shape]) -> (Vec<(usize, usize)>, usize) {
        let conv = self.conv();
        let (positions, dy) = conv.positions();
        (positions.into_iter().zip(conv.channels(shapes)).collect(), dy)
    }

    /// Invocations per block of weights: enough to fill the machine, in at most 32 MiB of partial sums, none with more
    /// than half of the 65,535 loop iterations after which llvmpipe ends an invocation, and all with about as many.
    fn parts(&self, weight: &Shape, dy: &Shape, target: &Target) -> usize {
        let wanted = if target.class == AdapterClass::Software { 1024 } else { 16_384 };
        let (n, k, [x, y, z]) = dy.volume().expect("a volume");
        let form = Form::new(self.side, target);
        let blocks = form.blocks(weight.dims()[1], k, self.side).max(1);
        // What is divided among the parts, and the iterations that each of it takes.
        let (items, iterations) = match (form.columns, self.side) {
            (true, 3) => (n * x * z / column(z), y + 2),
            (true, _) => (n * values(x * y * z).1, 1),
            (false, _) => (n * x * y, z.div_ceil(step(z)) + 1),
        };
        let most = (8 << 20) / Layout::TapMajor.stored_elements(weight);
        let least = (items * iterations).div_ceil(32_768);
        let parts = (wanted / blocks).min(most).max(least).clamp(1, items);
        items.div_ceil(items.div_ceil(parts))
    }
}

impl Kernel for Conv3dWeights {
    kernel_name!("conv3d_weights");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let misfit = || GraphError::new(format!("sources and gradient do not fit: {inputs:?}"));
        let (k, rank) = inputs.last().map_or((0, 0), |d| (d.dims().get(1).copied().unwrap_or(0), d.rank()));
        let count = self.sources.len() + self.sources.iter().filter(|n| **n).count() + 1;
        if inputs.len() != count || rank != 5 || ![1, 3].contains(&self.side) || inputs.iter().any(|i| i.rank() < 2) {
            return Err(misfit());
        }
        let shapes: Vec<&Shape> = inputs.iter().collect();
        let (sources, dy) = self.sources(&shapes);
        let weight = Shape::from([k, sources.iter().map(|s| s.1).sum(), self.side, self.side, self.side]);
        let mut forward = inputs[..dy].to_vec();
        forward.push(weight.clone());
        let made = self.conv().infer(&forward)?;
        if made[0] == inputs[dy] { Ok(vec![weight]) } else { Err(misfit()) }
    }

    fn output_layout(&self, _i: usize) -> Layout {
        Layout::TapMajor
    }

    fn scratch(&self, io: &Io, target: &Target) -> Vec<u64> {
        let weight = io.output(0);
        let dy = io.input(io.inputs.len() - 1);
        vec![(self.parts(weight, dy, target) * Layout::TapMajor.stored_elements(weight)) as u64 * 4]
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let shapes: Vec<&Shape> = io.inputs.iter().map(|t| &t.shape).collect();
        let (sources, dy) = self.sources(&shapes);
        let weight = io.output(0);
        let (n, k, [x, y, z]) = io.input(dy).volume().expect("checked by infer");
        let parts = self.parts(weight, io.input(dy), target);
        let stored = Layout::TapMajor.stored_elements(weight);
        let cube = self.side == 3;
        let (to, second) = Parts { count: stored, parts }.finish(Operand::Scratch(0), Operand::Output(0));
        let form = Form::new(self.side, target);
        // A pointwise convolution does not care for rows.
        let (step, (wide, _)) = match (form.columns, cube) {
            (true, true) => (column(z), values(z)),
            (true, false) => (1, values(x * y * z)),
            (false, _) => (step(z), values(1)),
        };
        let (mut work, mut first) = (Vec::new(), 0);
        for (&(at, channels), &norm) in sources.iter().zip(&self.sources) {
            let form = form.of(channels, k);
            let blocks = form.blocks(channels, k, self.side);
            let mut constants = vec![
                ("CHANNELS", form.held as u32),
                ("QUADS", form.quads as u32),
                ("TAPS", self.side.pow(3) as u32),
                ("CUBE", constant(cube)),
                ("NORM", constant(norm)),
            ];
            constants.push(("STEP", step as u32));
            if form.columns {
                let width = if wide { 4 } else { 1 };
                constants.extend([
                    ("HELD_TAPS", form.taps as u32),
                    ("VALUES", (step / width).max(1) as u32),
                    ("WIDTH", width as u32),
                    ("WIDE", constant(wide)),
                ]);
            }
            let mut bindings = vec![bind_read(at)];
            bindings.extend(norm.then(|| bind_read(at + 1)));
            bindings.extend([bind_read(dy), (to, Access::Write)]);
            work.push(Dispatch {
                shader: if form.columns { "conv3d_columns" } else { "conv3d_backward" },
                entry: "forward",
                constants,
                params: Params {
                    x: x as u32,
                    y: y as u32,
                    z: z as u32,
                    channels: channels as u32,
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
            first += channels;
        }
        work.extend(second);
        work
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let dy = inputs[inputs.len() - 1];
        vec![weights_reference(&self.conv().activated(inputs), dy, self.side)]
    }

    fn cost(&self, io: &Io) -> Cost {
        let dy = io.input(io.inputs.len() - 1);
        let per_voxel = io.output(0).elements() / dy.dims()[1].max(1);
        Cost { flops: 2.0 * per_voxel as f64 * dy.elements() as f64, bytes: io.bytes() }
    }
}

fn weights_reference(a: &HostTensor, dy: &HostTensor, side: usize) -> HostTensor {
    let (n, c, [sx, sy, sz]) = a.shape.volume().expect("a volume");
    let (k, taps, reach) = (dy.shape.dims()[1], side.pow(3), (side / 2) as isize);
    let voxels = sx * sy * sz;
    let shift = |p: usize, t: usize, size: usize| {
        let q = p as isize + t as isize - reach;
        (0..size as isize).contains(&q).then_some(q as usize)
    };
    let mut dw = HostTensor::zeros([k, c, side, side, side]);
    for t in 0..taps {
        for p in 0..voxels {
            let (x, y, z) = (p / sz / sy, p / sz % sy, p % sz);
            let (Some(qx), Some(qy), Some(qz)) =
                (shift(x, t / side / side, sx), shift(y, t / side % side, sy), shift(z, t % side, sz))
            else {
                continue;
            };
            let q = (qx * sy + qy) * sz + qz;
            for i in 0..n * k * c {
                let (s, o, channel) = (i / c / k, i / c % k, i % c);
                dw.data[(o * c + channel) * taps + t] +=
                    a.data[(s * c + channel) * voxels + q] * dy.data[(s * k + o) * voxels + p];
            }
        }
    }
    dw
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
        for (i, name) in ["moments", "shortcut.moments"].into_iter().enumerate().take(1 + usize::from(self.shortcut)) {
            let (y, moments) = (node.outputs[2 * i], node.outputs[2 * i + 1]);
            if let Some(dy) = moments_backward::gradient(g, name, dy[2 * i], (y, moments), dy[2 * i + 1])? {
                through.push((dy, node.inputs[first + i]));
                if node.needs[first + i] {
                    let mut arguments = node.inputs[..first].to_vec();
                    arguments.push(dy);
                    let side = g.shape(node.inputs[first + i]).dims()[2];
                    let op = Conv3dWeights { sources: self.sources.clone(), side };
                    grads[first + i] = Some(g.add_one(["weight", "shortcut.weight"][i], op, &arguments)?);
                }
            }
        }
        if through.is_empty() {
            return Ok(grads);
        }
        let mut channel = 0;
        for (s, (&at, &norm)) in positions.iter().zip(&self.sources).enumerate() {
            let x = node.inputs[at];
            let channels = g.shape(x).dims()[1];
            if node.needs[at] {
                let op = Conv3dData { first: channel, channels, shortcut: through.len() > 1 };
                let arguments: Vec<TensorId> = through.iter().flat_map(|(dy, w)| [*dy, *w]).collect();
                let da = g.add_one(&format!("source.{s}"), op, &arguments)?;
                if norm {
                    let op = ResidualBackward { shortcut: Shortcut::None };
                    let made = g.add(&format!("norm.{s}"), op, &[da, x, node.inputs[at + 1]])?;
                    (grads[at], grads[at + 1]) = (Some(made[0]), Some(made[1]));
                } else {
                    grads[at] = Some(da);
                }
            }
            channel += channels;
        }
        Ok(grads)
    }
}

fn data_case(
    name: &str,
    n: usize,
    k: usize,
    (first, channels, all): (usize, usize, usize),
    size: [usize; 3],
    shortcut: Option<usize>,
    side: usize,
) -> Case {
    let [x, y, z] = size;
    let seed = (n + k * 7 + x * 31) as u64;
    let mut inputs =
        vec![HostTensor::noise([n, k, x, y, z], seed), HostTensor::noise([k, all, side, side, side], seed + 1)];
    if let Some(k) = shortcut {
        inputs.extend([HostTensor::noise([n, k, x, y, z], seed + 2), HostTensor::noise([k, all, 1, 1, 1], seed + 3)]);
    }
    let case = Case::new(format!("data, {name}"), Conv3dData { first, channels, shortcut: shortcut.is_some() }, inputs);
    let case = case.stored(1, Layout::TapMajor, DType::F32);
    if shortcut.is_some() { case.stored(3, Layout::TapMajor, DType::F32) } else { case }
}

fn weights_case(name: &str, n: usize, sources: &[(usize, bool)], k: usize, size: [usize; 3], side: usize) -> Case {
    let [x, y, z] = size;
    let seed = (n + k * 7 + x * 31 + sources.len() * 1009) as u64;
    let mut inputs = Vec::new();
    for (i, &(c, norm)) in sources.iter().enumerate() {
        inputs.push(HostTensor::noise([n, c, x, y, z], seed + i as u64));
        inputs.extend(norm.then(|| HostTensor::noise([n, c, 4], seed + 10 + i as u64)));
    }
    inputs.push(HostTensor::noise([n, k, x, y, z], seed + 20));
    let op = Conv3dWeights { sources: sources.iter().map(|s| s.1).collect(), side };
    Case::new(format!("weights, {name}"), op, inputs)
}

/// Both gradients: extents of 1, odd and off the tile; channels off the block; one and two sources, norms, both kernel
/// sizes, and as many voxels as make an invocation's loops long.
pub fn cases() -> Vec<Case> {
    vec![
        data_case("one voxel", 1, 1, (0, 1, 1), [1, 1, 1], None, 3),
        data_case("odd", 2, 5, (0, 3, 3), [3, 5, 7], None, 3),
        data_case("second source", 1, 8, (3, 5, 8), [4, 3, 6], None, 3),
        data_case("shortcut", 2, 6, (1, 17, 20), [4, 3, 5], Some(6), 3),
        data_case("blocks of four voxels", 2, 6, (1, 9, 11), [3, 5, 8], Some(6), 3),
        data_case("pointwise", 1, 14, (0, 4, 4), [3, 3, 5], None, 1),
        weights_case("one voxel", 1, &[(1, false)], 1, [1, 1, 1], 3),
        weights_case("odd", 2, &[(3, false)], 5, [3, 5, 7], 3),
        weights_case("norm", 1, &[(4, true)], 8, [6, 4, 8], 3),
        weights_case("two sources", 1, &[(3, false), (5, true)], 17, [5, 6, 9], 3),
        weights_case("pointwise, two sources", 2, &[(2, true), (6, false)], 14, [3, 2, 5], 1),
        weights_case("blocks of four voxels", 2, &[(5, true), (2, false)], 9, [3, 4, 8], 3),
        weights_case("one row, one channel", 1, &[(1, false)], 17, [2, 1, 4], 3),
        weights_case("pointwise blocks", 2, &[(9, true)], 10, [3, 2, 4], 1),
        weights_case("columns of three and five", 1, &[(2, true)], 5, [3, 4, 15], 3),
        weights_case("columns of two", 2, &[(5, true)], 3, [2, 3, 10], 3),
        weights_case("pointwise, no blocks", 1, &[(3, true)], 6, [3, 5, 7], 1),
        weights_case("many columns", 1, &[(6, false)], 4, [40, 36, 20], 3),
        weights_case("many channels", 1, &[(33, false)], 34, [3, 2, 4], 3),
        weights_case("many voxels", 1, &[(1, false)], 1, [64, 64, 300], 1),
    ]
}

//! Gradients of the transposed convolution: `da[n, c, p] = Σ_{k, t} w[c, k, t] dy[n, k, p stride + t - padding]`, which is a
//! convolution, and `dw[c, k, t] = Σ_{n, p} a[n, c, p] dy[n, k, p stride + t - padding]` in two stages of fixed order.
//! [`ConvTranspose3dBackward`] makes both for a kernel of 2x2x2 with stride 2 and a source as it is.
//!
//! Shapes: `a, da (N, C, X, Y, Z)`, `w, dw (C, K, kx, ky, kz)`, `dy (N, K, ..)`.

use super::channel_sums::ChannelSums;
use super::conv_transpose3d::ConvTranspose3d;
use super::conv3d::{self, Branch, Correlation, Geometry, NORMED, PRELU, Source, activated};
use super::correlate_weights::{self, Operands, vectors};
use super::lazy::Term;
use super::pack_weights::Pack;
use super::sum_parts::Parts;
use super::{bind_read, bind_write, constant, kernel_name, residual_backward};
use crate::gpu::{Access, AdapterClass};
use crate::graph::{Applied, Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Op, Operand, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { samples: u32, channels: u32, k: u32, x: u32, y: u32, z: u32, parts: u32 });

/// A gradient; arguments `dy, w` (gradient of `x`) or `dy, x` (gradient of the weight).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvTranspose3dBackward {
    /// The weight's gradient is wanted, not that of `x`.
    pub weight: bool,
}

/// Samples, channels, output channels and input extents.
fn sizes(weight: bool, dy: &Shape, other: &Shape) -> Option<(usize, usize, usize, [usize; 3])> {
    let (n, k, size) = dy.volume()?;
    if size.iter().any(|s| s % 2 != 0) {
        return None;
    }
    let half = size.map(|s| s / 2);
    match *other.dims() {
        [c, wk, 2, 2, 2] if !weight && wk == k => Some((n, c, k, half)),
        [xn, c, x, y, z] if weight && xn == n && [x, y, z] == half => Some((n, c, k, half)),
        _ => None,
    }
}

/// Input channels per invocation, and whether four values are loaded at a time where rows are whole blocks of four
/// voxels. The first suits software adapters, whose loads cost more than arithmetic.
const VARIANTS: &[(usize, bool)] = &[(8, true), (4, false), (8, false)];

/// Whether rows of `z` voxels get long loads on this target.
fn wide(z: usize, target: &Target) -> bool {
    target.choose(VARIANTS).1 && z.is_multiple_of(4)
}

/// Invocations per block of weights; each takes at least 64 voxels, and few enough iterations for llvmpipe.
fn parts(voxels: usize, channels: usize, k: usize, target: &Target) -> usize {
    let wanted = if target.class == AdapterClass::Software { 1024 } else { 8192 };
    let blocks = channels.div_ceil(target.choose(VARIANTS).0) * k.div_ceil(2);
    (wanted / blocks.max(1)).min(voxels / 64).max(voxels.div_ceil(32_768)).max(1)
}

impl Kernel for ConvTranspose3dBackward {
    kernel_name!("conv_transpose3d_backward");

    fn variants(&self) -> usize {
        VARIANTS.len()
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let made = match inputs {
            [dy, other] => sizes(self.weight, dy, other),
            _ => None,
        };
        let (n, c, k, [x, y, z]) =
            made.ok_or_else(|| GraphError::new(format!("gradient and factor do not fit: {inputs:?}")))?;
        Ok(vec![if self.weight { Shape::from([c, k, 2, 2, 2]) } else { Shape::from([n, c, x, y, z]) }])
    }

    fn scratch(&self, io: &Io, target: &Target) -> Vec<u64> {
        let (n, c, k, [x, y, z]) = sizes(self.weight, io.input(0), io.input(1)).expect("checked by infer");
        if self.weight { vec![(parts(n * x * y * z, c, k, target) * c * k * 8) as u64 * 4] } else { Vec::new() }
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let (n, c, k, [x, y, z]) = sizes(self.weight, io.input(0), io.input(1)).expect("checked by infer");
        let parts = parts(n * x * y * z, c, k, target);
        let (partials, held, wide) = (Operand::Scratch(0), target.choose(VARIANTS).0, wide(z, target));
        let (sums, second) = Parts { count: c * k * 8, parts }.finish(partials, Operand::Output(0));
        let (to, invocations) = if self.weight {
            ((sums, Access::Write), parts * c.div_ceil(held) * k.div_ceil(2))
        } else {
            (bind_write(0), n * (x * y * z).div_ceil(if wide { 8 } else { 4 }) * c.div_ceil(held))
        };
        let first = Dispatch {
            shader: if wide { "conv_transpose3d_backward_wide" } else { "conv_transpose3d_backward" },
            entry: "forward",
            constants: vec![("WEIGHTS", constant(self.weight)), ("HELD", held as u32)],
            params: Params {
                samples: n as u32,
                channels: c as u32,
                k: k as u32,
                x: x as u32,
                y: y as u32,
                z: z as u32,
                parts: parts as u32,
            }
            .block(),
            bindings: vec![bind_read(0), bind_read(1), to],
            groups: groups(invocations.div_ceil(64)),
        };
        let mut work = vec![first];
        work.extend(second.filter(|_| self.weight));
        work
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (dy, other) = (inputs[0], inputs[1]);
        let shapes = [dy.shape.clone(), other.shape.clone()];
        let (_, c, k, [sx, sy, sz]) = sizes(self.weight, &shapes[0], &shapes[1]).expect("checked by infer");
        let mut result = HostTensor::zeros(self.infer(&shapes).expect("checked by infer").remove(0));
        let voxels = sx * sy * sz;
        for (i, &d) in dy.data.iter().enumerate() {
            let (z, y, x) = (i % (2 * sz), i / (2 * sz) % (2 * sy), i / (4 * sz * sy) % (2 * sx));
            let (sample, o) = (i / (8 * voxels) / k, i / (8 * voxels) % k);
            let voxel = (x / 2 * sy + y / 2) * sz + z / 2;
            let phase = (x % 2 * 2 + y % 2) * 2 + z % 2;
            for channel in 0..c {
                let (at, weight) = ((sample * c + channel) * voxels + voxel, (channel * k + o) * 8 + phase);
                if self.weight {
                    result.data[weight] += d * other.data[at];
                } else {
                    result.data[at] += d * other.data[weight];
                }
            }
        }
        vec![result]
    }

    fn cost(&self, io: &Io) -> Cost {
        let (_, c, _, _) = sizes(self.weight, io.input(0), io.input(1)).expect("checked by infer");
        Cost { flops: 2.0 * io.input(0).elements() as f64 * c as f64, bytes: io.bytes() }
    }
}

/// Gradient of the activations of the channels `first..first + channels`; arguments `dy, w`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvTranspose3dData {
    pub geometry: Geometry,
    /// Voxels of the source.
    pub size: [usize; 3],
    /// First channel of the source among all.
    pub first: usize,
    /// Channels of the source.
    pub channels: usize,
}

impl ConvTranspose3dData {
    fn correlation<'a>(&self, io: &'a Io) -> Correlation<'a> {
        let (_, k, input) = io.input(0).volume().expect("checked by infer");
        let taps = self.geometry.taps();
        let weights = (Operand::Scratch(0), Access::Read);
        Correlation {
            y: io.output(0),
            input,
            geometry: self.geometry,
            sources: vec![Source { channels: k, taps, term: Term::PLAIN, slopes: 1, bindings: vec![bind_read(0)] }],
            main: Branch { weights, half: 0, bias: None, y: Operand::Output(0), moments: None },
            shortcut: None,
        }
    }
}

impl Kernel for ConvTranspose3dData {
    kernel_name!("conv_transpose3d_data");

    fn variants(&self) -> usize {
        conv3d::VARIANTS.len()
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let misfit = || GraphError::new(format!("gradient and weight do not fit: {inputs:?}"));
        self.geometry.check().map_err(GraphError::new)?;
        let [dy, w] = inputs else { return Err(misfit()) };
        let (n, k, out) = dy.volume().ok_or_else(misfit)?;
        let (c, wk, kernel) = w.volume().ok_or_else(misfit)?;
        let reached = self.geometry.output(out) == Some(self.size);
        if wk != k || kernel != self.geometry.kernel || self.first + self.channels > c || self.channels == 0 || !reached
        {
            return Err(misfit());
        }
        Ok(vec![Shape::from([n, self.channels, self.size[0], self.size[1], self.size[2]])])
    }

    fn scratch(&self, io: &Io, _target: &Target) -> Vec<u64> {
        let k = io.input(1).dims()[1];
        vec![(k * self.geometry.taps() * self.channels.next_multiple_of(4)) as u64 * 4]
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let k = io.input(1).dims()[1];
        let taps = self.geometry.taps();
        let pack = Pack {
            rows: k,
            columns: self.channels,
            taps,
            first: self.first * k * taps,
            offset: 0,
            strides: [taps, k * taps, 1],
            flip: false,
            half: 0,
        };
        let mut work = vec![pack.dispatch(bind_read(1), (Operand::Scratch(0), Access::Write))];
        work.extend(self.correlation(io).dispatches(target));
        work
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let d = inputs[1].shape.dims();
        let each = inputs[1].data.len() / d[0];
        let own = inputs[1].data[self.first * each..(self.first + self.channels) * each].to_vec();
        let w = HostTensor::new([self.channels, d[1], d[2], d[3], d[4]], own);
        vec![self.geometry.convolve(inputs[0], &w)]
    }

    fn cost(&self, io: &Io) -> Cost {
        let products = io.output(0).elements() * io.input(1).dims()[1] * self.geometry.taps();
        Cost { flops: 2.0 * products as f64, bytes: io.bytes() }
    }
}

/// Gradient of the weight; arguments those of each source, then `dy`.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvTranspose3dWeights {
    /// What each source's values are made of.
    pub sources: Vec<Term>,
    pub geometry: Geometry,
}

impl ConvTranspose3dWeights {
    fn operands<'a>(&self, io: &'a Io) -> Operands<'a> {
        let dy = io.inputs.len() - 1;
        let taps = self.geometry.taps();
        let large = Source {
            channels: io.input(dy).dims()[1],
            taps,
            term: Term::PLAIN,
            slopes: 1,
            bindings: vec![bind_read(dy)],
        };
        Operands {
            geometry: self.geometry,
            large: io.input(dy),
            small: io.input(0),
            sources: conv3d::sources(&self.sources, &io.shapes(), taps)
                .into_iter()
                .map(|s| (large.clone(), s))
                .collect(),
        }
    }
}

impl Kernel for ConvTranspose3dWeights {
    kernel_name!("conv_transpose3d_weights");

    fn variants(&self) -> usize {
        correlate_weights::VARIANTS.len()
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let misfit = || GraphError::new(format!("sources and gradient do not fit: {inputs:?}"));
        self.geometry.check().map_err(GraphError::new)?;
        let (n, channels, size) = conv3d::check_sources(&self.sources, inputs).ok_or_else(misfit)?;
        let (dn, k, out) = inputs.last().and_then(Shape::volume).ok_or_else(misfit)?;
        let arguments: usize = self.sources.iter().map(|t| t.arguments()).sum();
        let reached = self.geometry.output(out) == Some(size);
        if dn != n || inputs.len() != arguments + 1 || !reached {
            return Err(misfit());
        }
        let [x, y, z] = self.geometry.kernel;
        Ok(vec![Shape::from([channels, k, x, y, z])])
    }

    fn scratch(&self, io: &Io, target: &Target) -> Vec<u64> {
        let operands = self.operands(io);
        let total = operands.total() as u64 * 16;
        vec![operands.parts(target) as u64 * total, total]
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let operands = self.operands(io);
        let (parts, packed) = (operands.parts(target), Operand::Scratch(1));
        let (to, second) = Parts { count: operands.total() * 4, parts }.finish(Operand::Scratch(0), packed);
        let mut work = operands.dispatches(target, parts, to);
        work.extend(second);
        let (k, taps) = (io.output(0).dims()[1], self.geometry.taps());
        let (mut first, mut offset) = (0, 0);
        for pair in &operands.sources {
            let columns = pair.1.channels;
            let pack = Pack {
                rows: k,
                columns,
                taps,
                first: first * k * taps,
                offset,
                strides: [taps, k * taps, 1],
                flip: false,
                half: 0,
            };
            work.push(pack.unpack((packed, Access::Read), bind_write(0)));
            first += columns;
            offset += 4 * vectors(&self.geometry, pair);
        }
        work
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        vec![self.geometry.weights(inputs[inputs.len() - 1], &activated(&self.sources, inputs))]
    }

    fn cost(&self, io: &Io) -> Cost {
        let (n, _, size) = io.input(0).volume().expect("checked by infer");
        let products = n * size.iter().product::<usize>() * io.output(0).elements();
        Cost { flops: 2.0 * products as f64, bytes: io.bytes() }
    }
}

impl Op for ConvTranspose3d {
    fn backward(
        &self,
        g: &mut Graph,
        node: &Applied,
        dy: &[Option<TensorId>],
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        let mut grads = vec![None; node.inputs.len()];
        let Some(dy) = dy[0] else {
            return Ok(grads);
        };
        let at = self.weight();
        let w = node.inputs[at];
        let (mut start, mut channel) = (0, 0);
        for (s, term) in self.sources.iter().enumerate() {
            let end = start + term.arguments();
            let own = &node.inputs[start..end];
            let (_, channels, size) = g.shape(own[0]).volume().expect("checked by infer");
            if node.needs[start..end].contains(&true) {
                let name = format!("source.{s}");
                let da = if self.doubles() {
                    g.add_one(&name, ConvTranspose3dBackward { weight: false }, &[dy, w])?
                } else {
                    let op = ConvTranspose3dData { geometry: self.geometry, size, first: channel, channels };
                    g.add_one(&name, op, &[dy, w])?
                };
                grads[start..end].copy_from_slice(&residual_backward::term(g, &format!("norm.{s}"), *term, da, own)?);
            }
            channel += channels;
            start = end;
        }
        if node.needs[at] {
            grads[at] = Some(if self.doubles() && self.sources[0] == Term::PLAIN {
                g.add_one("weight", ConvTranspose3dBackward { weight: true }, &[dy, node.inputs[0]])?
            } else {
                let op = ConvTranspose3dWeights { sources: self.sources.clone(), geometry: self.geometry };
                g.add_one("weight", op, &[&node.inputs[..at], &[dy]].concat())?
            });
        }
        if self.bias && node.needs[at + 1] {
            grads[at + 1] = Some(g.add_one("bias", ChannelSums { last: false }, &[dy])?);
        }
        Ok(grads)
    }
}

/// Both gradients: channel counts off the block, odd extents, a batch, many voxels; all kernels and strides, every kind of
/// value.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let sizes: [(usize, usize, usize, [usize; 3]); 7] = [
        (1, 1, 1, [1, 1, 1]),
        (2, 3, 5, [3, 2, 5]),
        (1, 7, 2, [6, 6, 6]),
        (1, 2, 3, [13, 11, 7]),
        (1, 1, 1, [40, 40, 41]),
        (2, 9, 3, [3, 1, 4]),
        (1, 10, 4, [2, 15, 12]),
    ];
    for (i, (n, c, k, s)) in sizes.into_iter().enumerate() {
        let seed = 7 * i as u64;
        let dy = HostTensor::noise([n, k, 2 * s[0], 2 * s[1], 2 * s[2]], seed);
        let x = HostTensor::noise([n, c, s[0], s[1], s[2]], seed + 1);
        let w = HostTensor::noise([c, k, 2, 2, 2], seed + 2);
        let name = format!("{n}x{c}to{k}x{s:?}");
        cases.push(Case::new(format!("input {name}"), ConvTranspose3dBackward { weight: false }, vec![dy.clone(), w]));
        cases.push(Case::new(format!("weight {name}"), ConvTranspose3dBackward { weight: true }, vec![dy, x]));
    }
    let double = Geometry::new([2; 3], [2; 3], [0; 3]);
    let forms: [(&str, Geometry, [usize; 3]); 6] = [
        ("double", double, [0; 3]),
        ("overlapping", Geometry::new([3; 3], [2; 3], [1; 3]), [1; 3]),
        ("mixed strides", Geometry::new([3; 3], [1, 2, 2], [1; 3]), [0, 1, 1]),
        ("slices", Geometry::new([1, 2, 2], [1, 2, 2], [0; 3]), [0; 3]),
        ("by four", Geometry::new([4; 3], [4; 3], [0; 3]), [0; 3]),
        ("odd", Geometry::new([5, 1, 7], [3, 1, 2], [2, 0, 3]), [2, 0, 1]),
    ];
    for (i, (name, geometry, output_padding)) in forms.into_iter().enumerate() {
        let (n, k, size) = (1 + i % 2, 5, [3, 2, 5]);
        let [x, y, z] = geometry.transposed(size, output_padding).expect("a case fits its kernel");
        let [kx, ky, kz] = geometry.kernel;
        let sources = [(3, PRELU), (6, NORMED)];
        let dy = HostTensor::noise([n, k, x, y, z], 50 + i as u64);
        let w = HostTensor::noise([9, k, kx, ky, kz], 60 + i as u64);
        let data = ConvTranspose3dData { geometry, size, first: 3, channels: 6 };
        cases.push(Case::new(format!("data, {name}"), data, vec![dy.clone(), w]));
        let mut inputs = conv3d::source_arguments(n, &sources, size, 70 + i as u64);
        inputs.push(dy);
        let weights = ConvTranspose3dWeights { sources: sources.iter().map(|s| s.1).collect(), geometry };
        cases.push(Case::new(format!("weights, {name}"), weights, inputs));
    }
    cases
}

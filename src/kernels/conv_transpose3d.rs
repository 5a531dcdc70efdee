//! Transposed convolution: `y[n, k, p stride + t - padding] = b[k] + Σ_{c, t, p} w[c, k, t] a[n, c, p]`, `a = act(norm(x))`;
//! channels of two sources follow one another.
//!
//! Shapes: `x (N, C, X, Y, Z)`, `w (C, K, kx, ky, kz)`, `b (K)`, `y (N, K, ..)` of
//! `(size - 1) stride - 2 padding + kernel + output padding` voxels. A kernel of 2x2x2 with stride 2, whose outputs do not
//! overlap, has shaders of its own. Source: `torch.nn.ConvTranspose3d`.

use super::conv3d::{self, Branch, Geometry, NORMED, PRELU, add_bias};
use super::lazy::{Lazy, Term};
use super::pack_weights::Pack;
use super::{bind_read, bind_write, constant, kernel_name};
use crate::gpu::{Access, AdapterClass};
use crate::graph::{Case, Cost, DType, Dispatch, Graph, GraphError, Io, Kernel, Layout, Operand, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { samples: u32, channels: u32, k: u32, x: u32, y: u32, z: u32 });

#[derive(Clone, Copy, Debug, PartialEq)]
enum Variant {
    /// Without workgroup memory, four values per load where rows are whole blocks of four voxels.
    Wide,
    /// Without workgroup memory.
    Registers,
    /// With workgroup memory, as [`by_shape`] finds best.
    ByShape,
    /// With workgroup memory: voxels and output channels of an invocation.
    Tiled { voxels: usize, outputs: usize },
}

/// The first suits software adapters, whose barriers are slow.
const VARIANTS: &[Variant] = &[
    Variant::Wide,
    Variant::ByShape,
    Variant::Tiled { voxels: 4, outputs: 2 },
    Variant::Tiled { voxels: 4, outputs: 1 },
    Variant::Tiled { voxels: 2, outputs: 1 },
    Variant::Registers,
];

/// Blocks of four voxels, and output channels, of an invocation with long loads.
const WIDE: (usize, usize) = (2, 2);

/// Groups that keep a large GPU busy.
const ENOUGH_GROUPS: usize = 512;

fn tiled_groups(n: usize, voxels: usize, k: usize, (own_voxels, outputs): (usize, usize)) -> usize {
    n * voxels.div_ceil(16 * own_voxels) * k.div_ceil(4 * outputs)
}

/// Few registers on integrated GPUs; elsewhere as large a tile as leaves enough groups.
fn by_shape(class: AdapterClass, n: usize, voxels: usize, k: usize) -> (usize, usize) {
    let enough = if class == AdapterClass::Discrete { ENOUGH_GROUPS } else { ENOUGH_GROUPS / 8 };
    let fits = |tile: &(usize, usize)| tiled_groups(n, voxels, k, *tile) >= enough;
    let tiles = if class == AdapterClass::Discrete && k > 4 { &[(4, 2), (4, 1)][..] } else { &[(4, 1)] };
    tiles.iter().copied().find(fits).unwrap_or((2, 1))
}

/// A transposed convolution in a network.
#[derive(Clone, Copy, Debug)]
pub struct ConvTranspose {
    /// Weight `(C, K, kx, ky, kz)`.
    pub w: TensorId,
    /// Bias `(K)`.
    pub bias: Option<TensorId>,
    /// Voxels along X, Y and Z from one input voxel to the next.
    pub stride: [usize; 3],
    /// Voxels cut off before the first and after the last.
    pub padding: [usize; 3],
    /// Voxels added after the last.
    pub output_padding: [usize; 3],
}

impl ConvTranspose {
    /// Outputs that do not overlap: the stride is the kernel.
    pub fn without_overlap(g: &Graph, w: TensorId, bias: Option<TensorId>) -> Self {
        let stride = g.shape(w).volume().map_or([1; 3], |(_, _, kernel)| kernel);
        Self { w, bias, stride, padding: [0; 3], output_padding: [0; 3] }
    }
}

/// The op; arguments those of each source's value, then `w, [b]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvTranspose3d {
    /// What each source's values are made of.
    pub sources: Vec<Term>,
    /// Kernel size, stride and padding.
    pub geometry: Geometry,
    /// Voxels added after the last.
    pub output_padding: [usize; 3],
    /// With a bias.
    pub bias: bool,
}

impl ConvTranspose3d {
    /// Whether the shaders for 2x2x2 can make it.
    pub(super) fn doubles(&self) -> bool {
        self.geometry == Geometry::new([2; 3], [2; 3], [0; 3])
            && self.output_padding == [0; 3]
            && self.sources.len() == 1
    }

    /// Argument of the weight.
    pub(super) fn weight(&self) -> usize {
        self.sources.iter().map(|t| t.arguments()).sum()
    }

    fn doubling(&self, io: &Io, target: &Target) -> Dispatch {
        let (n, c, [x, y, z]) = io.input(0).volume().expect("checked by infer");
        let at = self.weight();
        let k = io.input(at).dims()[1];
        let voxels = x * y * z;
        let tile = match *target.choose(VARIANTS) {
            Variant::Wide | Variant::Registers => None,
            Variant::ByShape => Some(by_shape(target.class, n, voxels, k)),
            Variant::Tiled { voxels, outputs } => Some((voxels, outputs)),
        };
        let mut constants = vec![("BIAS", constant(self.bias)), ("HALF", io.half(at)), ("SCALAR", 0)];
        constants.extend(self.sources[0].constants(0, io.input(at - 1).elements()));
        constants.extend(tile.into_iter().flat_map(|(v, o)| [("VOXELS", v as u32), ("OUTPUTS", o as u32)]));
        let wide = *target.choose(VARIANTS) == Variant::Wide && z.is_multiple_of(4);
        let (shader, count) = match tile {
            Some(tile) => ("conv_transpose3d_tiled", tiled_groups(n, voxels, k, tile)),
            None if wide => {
                constants.extend([("FOURS", WIDE.0 as u32), ("OUTPUTS", WIDE.1 as u32)]);
                ("conv_transpose3d_wide", (n * (voxels / 4).div_ceil(WIDE.0) * k.div_ceil(WIDE.1)).div_ceil(64))
            }
            None => ("conv_transpose3d", (n * voxels.div_ceil(4) * k.div_ceil(2)).div_ceil(64)),
        };
        let mut bindings: Vec<_> = (0..io.inputs.len()).map(bind_read).collect();
        bindings.push(bind_write(0));
        Dispatch {
            shader,
            entry: "forward",
            constants,
            params: Params {
                samples: n as u32,
                channels: c as u32,
                k: k as u32,
                x: x as u32,
                y: y as u32,
                z: z as u32,
            }
            .block(),
            bindings,
            groups: groups(count),
        }
    }

    /// Weights in the order of the transposed product, then that.
    fn scattering(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let (_, _, input) = io.input(0).volume().expect("checked by infer");
        let at = self.weight();
        let (channels, k) = (io.input(at).dims()[0], io.input(at).dims()[1]);
        let taps = self.geometry.taps();
        let packed = (Operand::Scratch(0), Access::Write);
        let pack = Pack {
            rows: channels,
            columns: k,
            taps,
            first: 0,
            offset: 0,
            strides: [k * taps, taps, 1],
            flip: true,
            half: io.half(at),
        };
        let main = Branch {
            weights: (Operand::Scratch(0), Access::Read),
            half: 0,
            bias: self.bias.then(|| bind_read(at + 1)),
            y: Operand::Output(0),
            moments: None,
        };
        let sources = conv3d::sources(&self.sources, &io.shapes(), taps);
        let &tile = target.choose(conv3d::SCATTER);
        let mut work = vec![pack.dispatch(bind_read(at), packed)];
        work.extend(conv3d::scatter(&self.geometry, input, io.output(0), &sources, &main, tile));
        work
    }
}

impl Kernel for ConvTranspose3d {
    kernel_name!("conv_transpose3d");

    fn variants(&self) -> usize {
        if self.doubles() { VARIANTS.len() } else { conv3d::SCATTER.len() }
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let misfit = || GraphError::new(format!("input and weight do not fit: {inputs:?}"));
        self.geometry.check().map_err(GraphError::new)?;
        if (0..3).any(|a| self.output_padding[a] >= self.geometry.stride[a]) {
            let reason = format!("output padding {:?}: it must be less than the stride", self.output_padding);
            return Err(GraphError::new(reason));
        }
        let at = self.weight();
        let (n, channels, size) = conv3d::check_sources(&self.sources, inputs).ok_or_else(misfit)?;
        let (c, k, kernel) = inputs.get(at).and_then(Shape::volume).ok_or_else(misfit)?;
        let bias = inputs.len() == at + 1 + usize::from(self.bias) && (!self.bias || inputs[at + 1].elements() == k);
        let out = self.geometry.transposed(size, self.output_padding).ok_or_else(misfit)?;
        if c != channels || kernel != self.geometry.kernel || !bias {
            return Err(misfit());
        }
        Ok(vec![Shape::from([n, k, out[0], out[1], out[2]])])
    }

    fn scratch(&self, io: &Io, _target: &Target) -> Vec<u64> {
        let weight = io.input(self.weight()).dims();
        let packed = weight[0] * self.geometry.taps() * weight[1].next_multiple_of(4);
        if self.doubles() { Vec::new() } else { vec![packed as u64 * 4] }
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        if self.doubles() { vec![self.doubling(io, target)] } else { self.scattering(io, target) }
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let shapes: Vec<Shape> = inputs.iter().map(|t| t.shape.clone()).collect();
        let shape = self.infer(&shapes).expect("checked by infer").remove(0);
        let at = self.weight();
        let mut y = self.geometry.spread(&conv3d::activated(&self.sources, inputs), inputs[at], &shape, 0);
        if self.bias {
            add_bias(&mut y, inputs[at + 1]);
        }
        vec![y]
    }

    fn cost(&self, io: &Io) -> Cost {
        let (_, _, size) = io.input(0).volume().expect("checked by infer");
        let n = io.input(0).dims()[0];
        let products = (n * size.iter().product::<usize>() * io.input(self.weight()).elements()) as f64;
        Cost { flops: 2.0 * products, bytes: io.bytes() }
    }
}

impl Graph {
    /// Transposed convolution of one source or two, whose channels follow one another. A source that is a sum is stored
    /// first.
    ///
    /// # Errors
    /// [`GraphError`] if the shapes do not fit.
    pub fn conv_transpose3d(
        &mut self,
        name: &str,
        sources: &[Lazy],
        conv: &ConvTranspose,
    ) -> Result<TensorId, GraphError> {
        let (terms, mut inputs) = self.terms(name, sources)?;
        inputs.push(conv.w);
        inputs.extend(conv.bias);
        let op = ConvTranspose3d {
            sources: terms,
            geometry: Geometry::new(self.kernel_size(name, conv.w)?, conv.stride, conv.padding),
            output_padding: conv.output_padding,
            bias: conv.bias.is_some(),
        };
        self.add_one_op(name, op, &inputs)
    }
}

/// What a case is made of: samples, (channels, value) of each source, output channels, size.
type Form<'a> = (usize, &'a [(usize, Term)], usize, [usize; 3]);

fn case(name: &str, geometry: Geometry, output_padding: [usize; 3], bias: bool, form: Form<'_>, dtype: DType) -> Case {
    let (n, sources, k, size) = form;
    let seed = (n + k * 7 + size[0] * 31 + size[2] * 101) as u64;
    let mut inputs = conv3d::source_arguments(n, sources, size, seed);
    let channels: usize = sources.iter().map(|s| s.0).sum();
    let [x, y, z] = geometry.kernel;
    let w = HostTensor::noise([channels, k, x, y, z], seed + 20);
    inputs.push(if dtype == DType::F16 { w.map(|v| f64::from(half::f16::from_f64(v))) } else { w });
    inputs.extend(bias.then(|| HostTensor::noise([k], seed + 21)));
    let op = ConvTranspose3d { sources: sources.iter().map(|s| s.1).collect(), geometry, output_padding, bias };
    let at = op.weight();
    let case = Case::new(format!("{name} {n}x{channels}to{k}x{size:?} {dtype:?}"), op, inputs);
    if dtype == DType::F16 { case.stored(at, Layout::Natural, dtype) } else { case }
}

/// Channel counts that are not multiples of the block, odd extents, a batch, both storages, every kind of value, all kernels
/// and strides, more than 65,535 groups. (Of 2x2x2 so many would write more than one binding holds.)
pub fn cases() -> Vec<Case> {
    const PLAIN: Term = Term::PLAIN;
    let mut cases = Vec::new();
    let double = Geometry::new([2; 3], [2; 3], [0; 3]);
    let sizes: [(usize, usize, usize, [usize; 3]); 7] = [
        (1, 1, 1, [1, 1, 1]),
        (2, 3, 5, [3, 2, 5]),
        (1, 7, 2, [6, 6, 6]),
        (1, 2, 3, [13, 11, 7]),
        (2, 37, 11, [3, 5, 9]),
        (2, 5, 3, [3, 1, 4]),
        (1, 6, 4, [2, 5, 12]),
    ];
    for (n, c, k, s) in sizes {
        for dtype in [DType::F32, DType::F16] {
            cases.push(case("double", double, [0; 3], false, (n, &[(c, PLAIN)], k, s), dtype));
        }
        cases.push(case("double, bias and value", double, [0; 3], true, (n, &[(c, PRELU)], k, s), DType::F32));
    }
    let overlapping = Geometry::new([3; 3], [2; 3], [1; 3]);
    let mixed = Geometry::new([3; 3], [1, 2, 2], [1; 3]);
    let slices = Geometry::new([1, 2, 2], [1, 2, 2], [0; 3]);
    let four = Geometry::new([4; 3], [4; 3], [0; 3]);
    let odd = Geometry::new([5, 1, 7], [3, 1, 2], [2, 0, 3]);
    let forms: [(&str, Geometry, [usize; 3]); 6] = [
        ("double, two sources", double, [0; 3]),
        ("overlapping", overlapping, [1; 3]),
        ("mixed strides", mixed, [0, 1, 1]),
        ("slices", slices, [0; 3]),
        ("by four", four, [0; 3]),
        ("odd", odd, [2, 0, 1]),
    ];
    for (name, geometry, output_padding) in forms {
        cases.push(case(
            name,
            geometry,
            output_padding,
            true,
            (2, &[(3, PRELU), (2, NORMED)], 5, [3, 2, 5]),
            DType::F32,
        ));
        cases.push(case(
            name,
            geometry,
            output_padding,
            false,
            (1, &[(4, NORMED), (1, PLAIN)], 18, [1, 3, 4]),
            DType::F16,
        ));
    }
    cases.push(case("one voxel", overlapping, [0; 3], true, (1, &[(1, PLAIN)], 1, [1; 3]), DType::F32));
    let many = Geometry::new([1, 1, 3], [1; 3], [0, 0, 1]);
    cases.push(case("many groups", many, [0; 3], false, (66_000, &[(1, PLAIN)], 1, [1, 1, 2]), DType::F32));
    cases
}

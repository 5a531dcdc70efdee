//! 3-D convolution with what surrounds it: values that are normalised and activated on load, two-source input, bias,
//! statistics of the output, and a shortcut's 1x1x1 convolution beside the main one.
//!
//! `y[n, k, p] = b[k] + Σ w[k, c, t] a[n, c, p stride + t dilation - padding]` with zero padding; `a = act(norm(x))` for each source
//! (padding comes after the activation). Channels of two sources follow one another: the concatenation is never stored.
//!
//! Shapes: `x_s (N, C_s, X, Y, Z)`, `norm_s (N, C_s, 4)`, `w (K, C, kx, ky, kz)` stored [`Layout::TapMajor`], `b (K)`,
//! `y (N, K, ..)`, moments `(N, K, 2)` of (mean, biased variance) over the voxels. Kernels of 3x3x3 and 1x1x1 that keep the
//! size have shaders of their own. Source: `torch.nn.Conv3d`, MONAI's `UnetResBlock`.

mod correlation;
mod gather;
mod geometry;
mod registers;
mod tiled;
mod wide;

use super::lazy::{Activation, Lazy, Term};
use super::{bind_read, kernel_name, moments};
use crate::graph::{Case, Cost, DType, Dispatch, Graph, GraphError, Io, Kernel, Layout, Operand, Target, TensorId};
use crate::tensor::{HostTensor, Shape};

pub(super) use correlation::{Branch, Correlation, Source, VARIANTS};
pub(super) use gather::{VARIANTS as SCATTER, scatter};
pub(crate) use geometry::Extents;
pub use geometry::Geometry;

/// A convolution in a network.
#[derive(Clone, Copy, Debug)]
pub struct Conv {
    /// Weight `(K, C, kx, ky, kz)`, stored [`Layout::TapMajor`].
    pub w: TensorId,
    /// Bias `(K)`.
    pub bias: Option<TensorId>,
    /// Voxels along X, Y and Z from one output voxel to the next.
    pub stride: [usize; 3],
    /// Zeros before the first voxel and after the last; `None` is half of what the kernel covers, which keeps the size of odd
    /// ones.
    pub padding: Option<[usize; 3]>,
    /// Voxels from one tap to the next along X, Y and Z.
    pub dilation: [usize; 3],
    /// Leaves the moments of its result for a norm that follows, where they cost least: see [`Graph::moments`].
    pub moments: bool,
}

impl Conv {
    /// Stride 1, no bias, no dilation, padding that keeps the size, no norm to follow.
    pub fn new(w: TensorId) -> Self {
        Self { w, bias: None, stride: [1; 3], padding: None, dilation: [1; 3], moments: false }
    }

    /// With a norm that follows.
    pub fn before_norm(w: TensorId) -> Self {
        Self { moments: true, ..Self::new(w) }
    }
}

/// The op; arguments those of each source's value, then `w, [b], [w_shortcut]`; results `y, [moments], [r, [moments of r]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv3d {
    /// What each source's values are made of.
    pub sources: Vec<Term>,
    /// Kernel size, stride, padding and dilation.
    pub geometry: Geometry,
    /// With a bias.
    pub bias: bool,
    /// With a 1x1x1 convolution of the same sources.
    pub shortcut: bool,
    /// With moments of each result.
    pub moments: bool,
}

impl Conv3d {
    /// Argument position of each source's values, and of the first weight.
    pub(super) fn positions(&self) -> (Vec<usize>, usize) {
        let mut at = 0;
        let mut sources = Vec::new();
        for term in &self.sources {
            sources.push(at);
            at += term.arguments();
        }
        (sources, at)
    }

    /// Argument position of each weight.
    pub(super) fn weights(&self) -> Vec<usize> {
        let first = self.positions().1;
        let mut weights = vec![first];
        weights.extend(self.shortcut.then_some(first + 1 + usize::from(self.bias)));
        weights
    }

    /// Result `y` or `r`.
    pub(super) fn result(&self, branch: usize) -> usize {
        branch * (1 + usize::from(self.moments))
    }

    fn branch(&self, io: &Io, index: usize) -> Branch {
        let weight = self.weights()[index];
        let y = self.result(index);
        Branch {
            weights: bind_read(weight),
            half: io.half(weight),
            bias: (self.bias && index == 0).then(|| bind_read(weight + 1)),
            y: Operand::Output(y),
            moments: self.moments.then_some((y + 1, index)),
        }
    }

    fn correlation<'a>(&self, io: &'a Io) -> Correlation<'a> {
        let sources = sources(&self.sources, &io.shapes(), self.geometry.taps());
        let (_, _, input) = io.input(0).volume().expect("checked by infer");
        Correlation {
            y: io.output(0),
            input,
            geometry: self.geometry,
            sources,
            main: self.branch(io, 0),
            shortcut: self.shortcut.then(|| (io.output(self.result(1)), self.branch(io, 1))),
        }
    }
}

/// The sources of a product, whose values are its first arguments.
pub(super) fn sources(terms: &[Term], shapes: &[&Shape], taps: usize) -> Vec<Source> {
    let mut at = 0;
    let one = |term: &Term| {
        let first = at;
        at += term.arguments();
        Source {
            channels: shapes[first].dims()[1],
            taps,
            term: *term,
            slopes: shapes[at - 1].elements(),
            bindings: (first..at).map(bind_read).collect(),
        }
    };
    terms.iter().map(one).collect()
}

/// Samples, channels of all sources and their size, if the sources' arguments fit together.
pub(super) fn check_sources(terms: &[Term], inputs: &[Shape]) -> Option<(usize, usize, [usize; 3])> {
    let (n, _, size) = inputs.first()?.volume()?;
    let (mut at, mut channels) = (0, 0);
    for term in terms {
        let own = inputs.get(at..at + term.arguments())?;
        let (own_n, c, own_size) = own[0].volume()?;
        if own_n != n || own_size != size || !term.fits(own) {
            return None;
        }
        channels += c;
        at += term.arguments();
    }
    (1..=2).contains(&terms.len()).then_some((n, channels, size))
}

/// The sources activated and concatenated, in double precision.
pub(super) fn activated(terms: &[Term], inputs: &[&HostTensor]) -> HostTensor {
    let (n, _, size) = inputs[0].shape.volume().expect("a volume");
    let voxels: usize = size.iter().product();
    let mut at = 0;
    let mut parts = Vec::new();
    for term in terms {
        let own = &inputs[at..at + term.arguments()];
        parts.push((
            own[0].shape.dims()[1],
            (0..own[0].data.len()).map(|i| term.reference(own, i)).collect::<Vec<f64>>(),
        ));
        at += term.arguments();
    }
    let mut data = Vec::new();
    for sample in 0..n {
        for (channels, values) in &parts {
            data.extend(&values[sample * channels * voxels..][..channels * voxels]);
        }
    }
    let channels: usize = parts.iter().map(|p| p.0).sum();
    HostTensor::new([n, channels, size[0], size[1], size[2]], data)
}

impl Kernel for Conv3d {
    kernel_name!("conv3d");

    fn variants(&self) -> usize {
        if self.geometry.is_cube(3) || self.geometry.is_cube(1) { VARIANTS.len() } else { gather::VARIANTS.len() }
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let misfit = || GraphError::new(format!("sources and weights do not fit: {inputs:?}"));
        self.geometry.check().map_err(GraphError::new)?;
        let weights = self.weights();
        if inputs.len() != weights[weights.len() - 1] + 1 + usize::from(self.bias && !self.shortcut) {
            return Err(misfit());
        }
        let (n, channels, size) = check_sources(&self.sources, inputs).ok_or_else(misfit)?;
        let mut outputs = Vec::new();
        for (i, &at) in weights.iter().enumerate() {
            let geometry = if i == 0 { self.geometry } else { Geometry::same([1; 3]) };
            let k = inputs[at].dims()[0];
            let [x, y, z] = geometry.kernel;
            let out = geometry.output(size).ok_or_else(|| {
                GraphError::new(format!("a kernel of {:?} on a volume of {size:?} voxels", geometry.kernel))
            })?;
            if inputs[at] != Shape::from([k, channels, x, y, z]) {
                return Err(misfit());
            }
            outputs.push(Shape::from([n, k, out[0], out[1], out[2]]));
            outputs.extend(self.moments.then(|| Shape::from([n, k, 2])));
        }
        let one = self.geometry.is_cube(3) || self.geometry.is_cube(1);
        let bias = !self.bias || inputs[weights[0] + 1].elements() == inputs[weights[0]].dims()[0];
        if !bias || (self.shortcut && !one) { Err(misfit()) } else { Ok(outputs) }
    }

    fn moments_of(&self, output: usize) -> Option<usize> {
        (self.moments && output.is_multiple_of(2)).then_some(output + 1)
    }

    fn scratch(&self, io: &Io, target: &Target) -> Vec<u64> {
        self.correlation(io).scratch(target)
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        self.correlation(io).dispatches(target)
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let a = activated(&self.sources, inputs);
        let mut results = Vec::new();
        for (i, w) in self.weights().into_iter().enumerate() {
            let geometry = if i == 0 { self.geometry } else { Geometry::same([1; 3]) };
            let mut y = geometry.convolve(&a, inputs[w]);
            if self.bias && i == 0 {
                add_bias(&mut y, inputs[w + 1]);
            }
            let m = self.moments.then(|| moments::reference(&y));
            results.push(y);
            results.extend(m);
        }
        results
    }

    fn cost(&self, io: &Io) -> Cost {
        let flops = self
            .weights()
            .into_iter()
            .enumerate()
            .map(|(i, w)| {
                let per_voxel = io.input(w).elements() / io.input(w).dims()[0].max(1);
                2.0 * per_voxel as f64 * io.output(self.result(i)).elements() as f64
            })
            .sum();
        Cost { flops, bytes: io.bytes() }
    }
}

/// Adds a bias `(K)` to each channel of `y`.
pub(super) fn add_bias(y: &mut HostTensor, bias: &HostTensor) {
    let (_, k, size) = y.shape.volume().expect("a volume");
    let voxels: usize = size.iter().product();
    y.data.iter_mut().enumerate().for_each(|(i, v)| *v += bias.data[i / voxels % k]);
}

impl Graph {
    /// Convolution of one source or two, whose channels follow one another. A source that is a sum is stored first, since each
    /// of its voxels is read many times.
    ///
    /// # Errors
    /// [`GraphError`] if the shapes do not fit.
    pub fn conv3d(&mut self, name: &str, sources: &[Lazy], conv: &Conv) -> Result<TensorId, GraphError> {
        Ok(self.convolution(name, sources, conv, None)?.0)
    }

    /// The same with a shortcut beside it, a 1x1x1 convolution of the same sources: `(y, r)`.
    ///
    /// # Errors
    /// As [`Graph::conv3d`].
    pub fn conv3d_with_shortcut(
        &mut self,
        name: &str,
        sources: &[Lazy],
        conv: &Conv,
        shortcut: TensorId,
    ) -> Result<(TensorId, TensorId), GraphError> {
        self.convolution(name, sources, conv, Some(shortcut))
    }

    fn convolution(
        &mut self,
        name: &str,
        sources: &[Lazy],
        conv: &Conv,
        shortcut: Option<TensorId>,
    ) -> Result<(TensorId, TensorId), GraphError> {
        let (terms, mut inputs) = self.terms(name, sources)?;
        inputs.push(conv.w);
        inputs.extend(conv.bias);
        inputs.extend(shortcut);
        let kernel = self.kernel_size(name, conv.w)?;
        let half = |axis: usize| kernel[axis] / 2 * conv.dilation[axis];
        let padding = conv.padding.unwrap_or_else(|| [0, 1, 2].map(half));
        let op = Conv3d {
            sources: terms,
            geometry: Geometry { kernel, stride: conv.stride, padding, dilation: conv.dilation },
            bias: conv.bias.is_some(),
            shortcut: shortcut.is_some(),
            moments: conv.moments,
        };
        let last = op.result(usize::from(op.shortcut));
        let outputs = self.add_op(name, op, &inputs)?;
        Ok((outputs[0], outputs[last]))
    }

    /// Extents of a weight's kernel.
    pub(super) fn kernel_size(&self, name: &str, w: TensorId) -> Result<[usize; 3], GraphError> {
        match self.shape(w).volume() {
            Some((_, _, kernel)) => Ok(kernel),
            None => Err(GraphError {
                node: self.path(name),
                reason: format!("a convolution's weight has five axes, not {}", self.shape(w)),
            }),
        }
    }

    /// Sources as an op takes them, sums stored, and its first arguments.
    pub(super) fn terms(&mut self, name: &str, sources: &[Lazy]) -> Result<(Vec<Term>, Vec<TensorId>), GraphError> {
        let (mut terms, mut inputs) = (Vec::new(), Vec::new());
        for source in sources {
            let source = self.without_sum(name, source)?;
            terms.push(source.form().first);
            inputs.extend(source.inputs());
        }
        Ok((terms, inputs))
    }
}

/// Values of a source with a norm and UNETR's activation, as they are, and with trained slopes.
pub(super) const NORMED: Term = Term { norm: true, act: Activation::LeakyRelu(0.01) };
pub(super) const PRELU: Term = Term { norm: true, act: Activation::PRelu };

/// Arguments of sources of so many channels; trained slopes are one where there are channels in pairs, else one per channel.
pub(super) fn source_arguments(
    n: usize,
    sources: &[(usize, Term)],
    [x, y, z]: [usize; 3],
    seed: u64,
) -> Vec<HostTensor> {
    let mut inputs = Vec::new();
    for (i, &(c, term)) in sources.iter().enumerate() {
        inputs.push(HostTensor::noise([n, c, x, y, z], seed + i as u64));
        inputs.extend(term.norm.then(|| HostTensor::noise([n, c, 4], seed + 10 + i as u64)));
        let slopes = if c.is_multiple_of(2) { 1 } else { c };
        inputs.extend((term.slopes() == 1).then(|| HostTensor::noise([slopes], seed + 15 + i as u64)));
    }
    inputs
}

/// What a case is made of: samples, (channels, value) of each source, output channels, size, storage.
type Form<'a> = (usize, &'a [(usize, Term)], usize, [usize; 3], DType);

fn case(
    name: &str,
    geometry: Geometry,
    (bias, shortcut, moments): (bool, bool, bool),
    (n, sources, k, size, dtype): Form<'_>,
) -> Case {
    let seed = (n + k * 7 + size[0] * 31 + size[2] * 101 + sources.len() * 1009) as u64;
    let mut inputs = source_arguments(n, sources, size, seed);
    let channels: usize = sources.iter().map(|s| s.0).sum();
    let rounded = |t: HostTensor| match dtype {
        DType::F32 => t,
        DType::F16 => t.map(|v| f64::from(half::f16::from_f64(v))),
    };
    let [x, y, z] = geometry.kernel;
    inputs.extend([rounded(HostTensor::noise([k, channels, x, y, z], seed + 20))]);
    inputs.extend(bias.then(|| HostTensor::noise([k], seed + 22)));
    inputs.extend(shortcut.then(|| rounded(HostTensor::noise([k, channels, 1, 1, 1], seed + 21))));
    let op = Conv3d { sources: sources.iter().map(|s| s.1).collect(), geometry, bias, shortcut, moments };
    let weights = op.weights();
    weights.into_iter().fold(Case::new(name, op, inputs), |case, w| case.stored(w, Layout::TapMajor, dtype))
}

/// Extents of 1, odd and off the tile; channels off the block; one and two sources, every kind of value; all kernels, strides
/// and storages; more than 65,535 groups.
pub fn cases() -> Vec<Case> {
    use DType::{F16, F32};
    const PLAIN: Term = Term::PLAIN;
    let cube = |name: &str, shortcut: bool, side: usize, form: Form<'_>| {
        case(name, Geometry::same([side; 3]), (false, shortcut, true), form)
    };
    let other = |name: &str, kernel, stride, padding, bias, form: Form<'_>| {
        case(name, Geometry::new(kernel, stride, padding), (bias, false, false), form)
    };
    let gelu = Term { norm: false, act: Activation::Gelu };
    vec![
        cube("long rows", true, 3, (1, &[(2, NORMED)], 6, [2, 3, 24], F32)),
        cube("rows of eight", false, 3, (1, &[(2, PLAIN)], 5, [3, 2, 16], F32)),
        cube("rows of six", true, 3, (1, &[(3, NORMED), (1, PLAIN)], 18, [2, 2, 6], F32)),
        cube("one voxel", false, 3, (1, &[(1, PLAIN)], 1, [1, 1, 1], F32)),
        cube("odd", false, 3, (2, &[(3, PLAIN)], 5, [3, 5, 7], F32)),
        cube("norm", false, 3, (1, &[(4, NORMED)], 8, [6, 4, 8], F32)),
        cube("shortcut", true, 3, (2, &[(2, PLAIN)], 9, [4, 3, 6], F32)),
        cube("two sources", true, 3, (1, &[(3, PLAIN), (5, PLAIN)], 16, [5, 6, 9], F32)),
        cube("two sources with norms", true, 3, (2, &[(2, NORMED), (3, NORMED)], 7, [2, 3, 5], F32)),
        cube("second norm only", false, 3, (1, &[(2, PLAIN), (3, NORMED)], 17, [4, 4, 4], F32)),
        cube("pointwise", false, 1, (1, &[(6, NORMED)], 3, [3, 3, 5], F32)),
        cube("pointwise, two sources", false, 1, (1, &[(2, PLAIN), (2, PLAIN)], 6, [2, 2, 2], F32)),
        cube("rows of sixteen", true, 3, (2, &[(3, NORMED), (2, PLAIN)], 9, [2, 7, 16], F32)),
        cube("a row of four", true, 3, (1, &[(2, NORMED)], 3, [2, 1, 4], F16)),
        cube("many channels", true, 3, (1, &[(33, PLAIN)], 34, [3, 2, 4], F32)),
        cube("f16", true, 3, (1, &[(3, NORMED), (2, PLAIN)], 10, [4, 3, 5], F16)),
        cube("a tile's edges", true, 3, (1, &[(3, NORMED)], 18, [5, 4, 17], F32)),
        cube("norms and a shortcut", true, 3, (1, &[(2, NORMED), (1, NORMED)], 4, [3, 6, 5], F16)),
        cube("several tiles", true, 3, (2, &[(5, PLAIN), (4, PLAIN)], 33, [9, 6, 19], F32)),
        cube("one channel", false, 3, (1, &[(1, PLAIN)], 16, [12, 8, 24], F32)),
        cube("many groups", false, 1, (1, &[(1, PLAIN)], 1, [257, 256, 256], F32)),
        case("bias", Geometry::same([3; 3]), (true, false, true), (2, &[(3, NORMED)], 5, [3, 5, 7], F32)),
        case(
            "bias, no moments",
            Geometry::same([3; 3]),
            (true, false, false),
            (1, &[(3, PLAIN), (2, NORMED)], 6, [2, 5, 8], F16),
        ),
        case("bias and shortcut", Geometry::same([3; 3]), (true, true, true), (1, &[(3, PRELU)], 6, [2, 5, 8], F32)),
        case(
            "trained slopes",
            Geometry::same([3; 3]),
            (false, false, true),
            (2, &[(3, PRELU), (2, PRELU)], 9, [4, 3, 5], F32),
        ),
        case("one trained slope", Geometry::same([3; 3]), (true, false, true), (1, &[(4, PRELU)], 3, [4, 3, 12], F32)),
        case(
            "two sources with trained slopes, pointwise",
            Geometry::same([1; 3]),
            (true, false, false),
            (1, &[(3, PRELU), (2, PRELU)], 5, [2, 3, 4], F32),
        ),
        case("gelu", Geometry::same([3; 3]), (false, false, false), (1, &[(3, gelu)], 4, [2, 3, 4], F32)),
        other("down by two", [3; 3], [2; 3], [1; 3], true, (2, &[(3, PRELU)], 5, [5, 6, 7], F32)),
        other("down by two, even", [3; 3], [2; 3], [1; 3], false, (1, &[(4, NORMED), (3, PLAIN)], 18, [4, 6, 8], F16)),
        other("slices", [1, 3, 3], [1, 2, 2], [0, 1, 1], true, (1, &[(3, NORMED)], 4, [3, 5, 9], F32)),
        other("other axes", [3, 1, 5], [2, 1, 1], [1, 0, 2], false, (1, &[(2, PLAIN), (2, PRELU)], 3, [5, 4, 6], F32)),
        other("patches", [2; 3], [2; 3], [0; 3], true, (2, &[(2, PLAIN)], 6, [4, 6, 10], F32)),
        other("pointwise, down by two", [1; 3], [2; 3], [0; 3], false, (1, &[(5, PLAIN)], 4, [3, 5, 7], F32)),
        other("seven", [7; 3], [1, 2, 2], [3; 3], true, (1, &[(1, PLAIN)], 5, [4, 9, 11], F32)),
        other("five, one voxel", [5; 3], [1; 3], [2; 3], false, (1, &[(2, gelu)], 1, [1, 1, 1], F32)),
        case(
            "dilated",
            Geometry { dilation: [2, 3, 2], ..Geometry::new([3; 3], [1; 3], [2, 3, 2]) },
            (true, false, false),
            (2, &[(3, NORMED), (2, PLAIN)], 5, [7, 6, 9], F32),
        ),
        case(
            "dilated, down by two",
            Geometry { dilation: [1, 2, 3], ..Geometry::new([3, 2, 4], [2; 3], [1, 0, 5]) },
            (false, false, true),
            (1, &[(4, PRELU)], 6, [5, 8, 11], F16),
        ),
        other("four, by four", [4; 3], [4; 3], [0; 3], true, (1, &[(2, PLAIN)], 3, [8, 4, 12], F32)),
        case(
            "down by two, with moments",
            Geometry::new([3; 3], [2; 3], [1; 3]),
            (true, false, true),
            (2, &[(3, PLAIN)], 5, [5, 6, 7], F32),
        ),
        // More loop iterations than llvmpipe runs in an invocation.
        other("very many channels", [7, 7, 1], [1, 1, 2], [3, 3, 0], true, (1, &[(1400, PLAIN)], 1, [1, 1, 2], F32)),
        other("many groups by slices", [1, 1, 3], [1; 3], [0, 0, 1], false, (66_000, &[(1, PLAIN)], 1, [1, 1, 2], F32)),
    ]
}

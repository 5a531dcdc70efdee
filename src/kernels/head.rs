//! The network's last layers in one: the last value, the 1x1x1 output convolution, and either the logits or
//! their weighted sum over the windows of a volume.
//!
//! `logits[k] = b[k] + Σ_c w[k, c] a[c]`, `a` a value that is not stored yet. Shapes: `x_s (N, C, X, Y, Z)`,
//! `w (K, C, 1, 1, 1)` stored [`Layout::TapMajor`], `b (K)`, `y (N, K, X, Y, Z)`.
//! Accumulating (`N = 1`): `axes (X + Y + Z)` window weights along each axis, weight = max(product, floor);
//! `acc (classes, RX, RY, RZ)` a ring of planes along one axis over the whole volume, for the classes of one part.
//! Source: MONAI's `UnetOutBlock`, `sliding_window_inference`.

use super::lazy::{Form, Lazy};
use super::residual::{ends, example, others};
use super::{bind_read, bind_write, constant, kernel_name};
use crate::gpu::AdapterClass;
use crate::graph::{Case, Cost, DType, Dispatch, Graph, GraphError, Io, Kernel, Layout, NodeId, Target, TensorId};
use crate::graph::{groups, params, values};
use crate::tensor::{HostTensor, Shape};

params!(Params {
    samples: u32,
    channels: u32,
    k: u32,
    first_quad: u32,
    x: u32,
    y: u32,
    z: u32,
    floor: f32,
    start_x: u32,
    start_y: u32,
    start_z: u32,
    ring: u32,
    volume_y: u32,
    volume_z: u32,
    classes: u32,
    first_class: u32,
    mirrored: u32,
});

/// Blocks of four classes in one dispatch.
const QUADS: usize = 4;

/// Where a window adds to the volume.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Placement {
    /// First voxel of the window in the volume.
    pub start: [usize; 3],
    /// Least weight of a voxel.
    pub floor: f32,
    /// First class of this part.
    pub first_class: usize,
    /// Axes along which the network saw the window mirrored: its logits are mirrored back.
    pub mirrored: [bool; 3],
}

impl Placement {
    /// A bit for each mirrored axis.
    pub(super) fn mirror_bits(&self) -> u32 {
        self.mirrored.iter().enumerate().map(|(a, &mirrored)| u32::from(mirrored) << a).sum()
    }

    /// Where voxel `p` of a window of `size` voxels, as the network saw it, lies in the window.
    pub(super) fn place(&self, p: [usize; 3], size: [usize; 3]) -> [usize; 3] {
        std::array::from_fn(|a| if self.mirrored[a] { size[a] - 1 - p[a] } else { p[a] })
    }
}

/// Logits; arguments those of the value, then `w, b`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Head {
    /// What the last value is made of.
    pub form: Form,
}

/// Adds a window's weighted logits to a ring; arguments those of [`Head`], then `axes, acc`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadAccumulate {
    /// What the last value is made of.
    pub form: Form,
    pub at: Placement,
    /// Whether the bias is added: of the parts of a value whose channels lie in several tensors, one adds it.
    pub biased: bool,
}

/// (samples, channels, classes, size) from the arguments.
fn sizes(form: Form, inputs: &[&Shape]) -> Option<(usize, usize, usize, [usize; 3])> {
    let (n, c, size) = inputs[0].volume()?;
    let at = form.arguments();
    let k = inputs.get(at)?.dims()[0];
    let fits = *inputs[at] == Shape::from([k, c, 1, 1, 1]) && inputs.get(at + 1)?.elements() == k;
    fits.then_some((n, c, k, size))
}

fn check(form: Form, inputs: &[Shape]) -> Result<(usize, usize, usize, [usize; 3]), GraphError> {
    if !form.fits(inputs) {
        return Err(GraphError::new(format!("branches do not fit: {inputs:?}")));
    }
    let shapes: Vec<&Shape> = inputs.iter().collect();
    sizes(form, &shapes).ok_or_else(|| GraphError::new(format!("head weights do not fit: {inputs:?}")))
}

/// One dispatch per block of classes, from class `first` to `first + classes`.
fn dispatches(form: Form, io: &Io, target: &Target, place: Option<&Placement>, biased: bool) -> Vec<Dispatch> {
    let shapes: Vec<&Shape> = io.inputs.iter().map(|t| &t.shape).collect();
    let (n, c, k, size) = sizes(form, &shapes).expect("checked by infer");
    let software = target.class == AdapterClass::Software;
    let (wide, values) = values(size.iter().product());
    // A volume's rows start anywhere: on GPUs neighbours had better write neighbouring voxels.
    let wide = wide && (software || place.is_none());
    let (width, values) = if wide { (4, values) } else { (1, size.iter().product()) };
    let span = if wide && software { 2 } else { 1 };
    let first = place.map_or(0, |p| p.first_class);
    let ring = io.output(0).dims();
    let classes = if place.is_some() { ring[0] } else { k };
    let quads: Vec<usize> = (first / 4..(first + classes).div_ceil(4)).collect();
    quads
        .chunks(QUADS)
        .map(|block| {
            let mut params = Params {
                samples: n as u32,
                channels: c as u32,
                k: k as u32,
                first_quad: block[0] as u32,
                x: size[0] as u32,
                y: size[1] as u32,
                z: size[2] as u32,
                classes: classes as u32,
                first_class: first as u32,
                ..Params::default()
            };
            if let Some(p) = place {
                params.floor = p.floor;
                params.mirrored = p.mirror_bits();
                [params.start_x, params.start_y, params.start_z] = p.start.map(|v| v as u32);
                [params.ring, params.volume_y, params.volume_z] = [ring[1], ring[2], ring[3]].map(|v| v as u32);
            }
            let reads = io.inputs.len() - usize::from(place.is_some());
            let mut bindings: Vec<_> = (0..reads).map(bind_read).collect();
            bindings.push(bind_write(0));
            let mut constants = form.constants(&shapes);
            constants.extend([
                ("QUADS", block.len() as u32),
                ("HALF", io.half(form.arguments())),
                ("SCALAR", 0),
                ("ACCUMULATE", constant(place.is_some())),
                ("BIAS", constant(biased)),
                ("WIDE", constant(wide)),
                ("WIDTH", width),
                ("SPAN", span),
                ("RUN", target.run()),
            ]);
            Dispatch {
                shader: "head",
                entry: "forward",
                constants,
                params: params.block(),
                bindings,
                groups: groups(n * values.div_ceil(64 * span as usize)),
            }
        })
        .collect()
}

fn logits(form: Form, inputs: &[&HostTensor], biased: bool) -> HostTensor {
    let shapes: Vec<&Shape> = inputs.iter().map(|t| &t.shape).collect();
    let (n, c, k, size) = sizes(form, &shapes).expect("checked by infer");
    let voxels: usize = size.iter().product();
    let (w, b) = (inputs[form.arguments()], inputs[form.arguments() + 1]);
    let mut y = HostTensor::zeros([n, k, size[0], size[1], size[2]]);
    for i in 0..n * c * voxels {
        let (sample, channel, voxel) = (i / voxels / c, i / voxels % c, i % voxels);
        let a = form.reference(inputs, i);
        for class in 0..k {
            y.data[(sample * k + class) * voxels + voxel] += w.data[class * c + channel] * a;
        }
    }
    for (i, v) in y.data.iter_mut().enumerate() {
        *v += if biased { b.data[i / voxels % k] } else { 0.0 };
    }
    y
}

fn cost(form: Form, io: &Io, classes: usize) -> Cost {
    let u = io.input(0).elements() as f64;
    let merge = form.flops() * u;
    Cost { flops: merge + 2.0 * u * classes as f64, bytes: io.bytes() }
}

impl Kernel for Head {
    kernel_name!("head");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let (n, _, k, s) = check(self.form, inputs)?;
        Ok(vec![Shape::from([n, k, s[0], s[1], s[2]])])
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        dispatches(self.form, io, target, None, true)
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        vec![logits(self.form, inputs, true)]
    }

    fn cost(&self, io: &Io) -> Cost {
        cost(self.form, io, io.output(0).dims()[1])
    }
}

impl Kernel for HeadAccumulate {
    kernel_name!("head");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let (n, _, _, s) = check(self.form, inputs)?;
        let at = self.form.arguments() + 2;
        match inputs.get(at..) {
            Some([axes, acc]) if n == 1 && axes.elements() == s.iter().sum::<usize>() && acc.rank() == 4 => {
                Ok(vec![acc.clone()])
            }
            _ => Err(GraphError::new(format!("window weights and sums do not fit: {inputs:?}"))),
        }
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        dispatches(self.form, io, target, Some(&self.at), self.biased)
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let y = logits(self.form, inputs, self.biased);
        let at = self.form.arguments() + 2;
        let (axes, mut acc) = (inputs[at], inputs[at + 1].clone());
        let (_, k, s) = y.shape.volume().expect("a volume");
        let d: Vec<usize> = acc.shape.dims().to_vec();
        let voxels = s[0] * s[1] * s[2];
        for class in 0..d[0].min(k - self.at.first_class) {
            for v in 0..voxels {
                let p = self.at.place([v / s[2] / s[1], v / s[2] % s[1], v % s[2]], s);
                let product = axes.data[p[0]] * axes.data[s[0] + p[1]] * axes.data[s[0] + s[1] + p[2]];
                let q = [0, 1, 2].map(|a| p[a] + self.at.start[a]);
                let out = ((class * d[1] + q[0] % d[1]) * d[2] + q[1] % d[2]) * d[3] + q[2] % d[3];
                acc.data[out] +=
                    product.max(f64::from(self.at.floor)) * y.data[(self.at.first_class + class) * voxels + v];
            }
        }
        vec![acc]
    }

    fn cost(&self, io: &Io) -> Cost {
        cost(self.form, io, io.output(0).dims()[0])
    }
}

/// Whether the value's tensors, weights, bias, axes and sums are within WebGPU's eight buffers.
fn fits(value: &Lazy) -> bool {
    value.inputs().len() <= 4
}

/// What [`Graph::head`] takes of a value: a stored tensor where the value is made of too many.
pub fn taken(value: &Lazy) -> Form {
    if fits(value) { value.form() } else { Form::default() }
}

impl Graph {
    /// Logits from the last block.
    ///
    /// # Errors
    /// [`GraphError`] if the shapes do not fit.
    pub fn head(&mut self, name: &str, value: &Lazy, w: TensorId, b: TensorId) -> Result<TensorId, GraphError> {
        let value = self.for_head(name, value)?;
        let mut inputs = value.inputs();
        inputs.extend([w, b]);
        self.add_one_op(name, Head { form: value.form() }, &inputs)
    }

    /// The value, stored where it is made of too many tensors.
    fn for_head(&mut self, name: &str, value: &Lazy) -> Result<Lazy, GraphError> {
        if fits(value) { Ok(*value) } else { self.store(&format!("{name}.value"), value).map(Lazy::from) }
    }

    /// Adds the last block's logits to `acc` for the classes from `first_class` on; the node is moved from window to
    /// window by `Plan::set_kernel`.
    ///
    /// # Errors
    /// [`GraphError`] if the shapes do not fit.
    #[expect(clippy::too_many_arguments, reason = "the op's arguments, in its order")]
    pub fn head_accumulate(
        &mut self,
        name: &str,
        value: &Lazy,
        w: TensorId,
        b: TensorId,
        axes: TensorId,
        acc: TensorId,
        op: (Placement, bool),
    ) -> Result<NodeId, GraphError> {
        let value = self.for_head(name, value)?;
        let mut inputs = value.inputs();
        inputs.extend([w, b, axes, acc]);
        let (at, biased) = op;
        self.update(name, HeadAccumulate { form: value.form(), at, biased }, &inputs)
    }
}

fn arguments(form: Form, n: usize, c: usize, k: usize, size: [usize; 3]) -> Vec<HostTensor> {
    let seed = (c * 13 + k * 3 + size[2]) as u64;
    let mut inputs = example(form, n, c, size, c, seed);
    inputs.push(HostTensor::noise([k, c, 1, 1, 1], seed + 5).map(|v| f64::from(half::f16::from_f64(v))));
    inputs.push(HostTensor::noise([k], seed + 6));
    inputs
}

/// Class counts off the block and beyond one dispatch, windows that wrap around the ring, classes in parts.
pub fn cases() -> Vec<Case> {
    let plain = |form: Form, n, c, k, size: [usize; 3], dtype| {
        Case::new(format!("{form:?} {n}x{c}to{k}x{size:?} {dtype:?}"), Head { form }, arguments(form, n, c, k, size))
            .stored(form.arguments(), Layout::TapMajor, dtype)
    };
    let window = |form: Form, size: [usize; 3], k, part: usize, at: Placement, ring: [usize; 3]| {
        let mut inputs = arguments(form, 1, 3, k, size);
        inputs.push(HostTensor::noise([size.iter().sum()], 77).map(|v| v.abs()));
        inputs.push(HostTensor::noise([part, ring[0], ring[1], ring[2]], 78));
        Case::new(
            format!("{part} of {k} classes at {:?} in {ring:?}", at.start),
            HeadAccumulate { form, at, biased: part != 2 },
            inputs,
        )
        .stored(form.arguments(), Layout::TapMajor, DType::F32)
        .updating()
    };
    let at = |start, floor, first_class| Placement { start, floor, first_class, mirrored: [false; 3] };
    let mirrored = |start, mirrored| Placement { mirrored, ..at(start, 0.05, 0) };
    let [none, identity, normalised] = ends();
    let mut cases = vec![
        plain(normalised, 1, 1, 1, [1, 1, 1], DType::F32),
        plain(identity, 2, 5, 3, [3, 5, 2], DType::F32),
        plain(none, 1, 4, 14, [4, 4, 4], DType::F16),
        plain(normalised, 1, 3, 37, [2, 3, 4], DType::F32),
        plain(normalised, 2, 3, 5, [5, 4, 7], DType::F32),
        plain(none, 1, 1, 2, [163, 161, 161], DType::F32),
        window(normalised, [4, 3, 5], 5, 5, at([0, 0, 0], 0.3, 0), [6, 4, 7]),
        window(identity, [4, 3, 5], 5, 2, at([9, 1, 2], 0.0, 3), [5, 4, 7]),
        window(identity, [4, 3, 5], 5, 5, at([1, 1, 6], 0.3, 0), [6, 4, 7]),
        window(normalised, [3, 3, 5], 3, 3, at([1, 1, 1], 0.1, 0), [6, 4, 6]),
        window(none, [4, 3, 5], 21, 20, at([3, 0, 0], 0.01, 0), [4, 3, 5]),
        window(none, [4, 3, 5], 3, 3, mirrored([1, 0, 1], [true, false, true]), [5, 3, 7]),
        window(identity, [4, 4, 8], 3, 3, mirrored([2, 0, 0], [false, true, true]), [5, 4, 8]),
    ];
    // Every activation; sums of two trained ones are stored first.
    for form in others().into_iter().filter(|f| f.arguments() <= 4) {
        let at = at([1, 1, 1], 0.1, 0);
        cases.push(match cases.len() % 2 {
            0 => plain(form, 2, 3, 5, [3, 2, 4], DType::F32),
            _ => window(form, [4, 3, 5], 3, 3, at, [6, 4, 6]),
        });
    }
    cases
}

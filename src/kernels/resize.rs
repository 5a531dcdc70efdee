//! Resampling to any size, of values that are not stored yet: the nearest voxel, or trilinear without aligned corners.
//!
//! Along an axis of `I` voxels that become `O`, voxel `o` lies at `(o + 1/2) I / O - 1/2`, beyond the first and last centre these
//! are repeated; the nearest is `⌊o I / O⌋`. Positions are whole numbers over `2 O`, so that no rounding moves them.
//!
//! Shapes: `x (N, C, X, Y, Z)`, `y (N, C, ..)`. Source: `torch.nn.functional.interpolate(size=..., mode="nearest")` and
//! `mode="trilinear", align_corners=False`. Trilinear resampling by whole factors is [`super::resample`].

use super::lazy::{Form, Lazy};
use super::residual::{ends, example, others};
use super::{bind_read, bind_write, constant, kernel_name};
use crate::graph::{Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { rows: u32, own: u32, x: u32, y: u32, z: u32, out_x: u32, out_y: u32, out_z: u32 });

/// What a voxel takes of its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// The value of one.
    Nearest,
    /// Shares by distance.
    Trilinear,
}

/// Longest axis; twice a product of two of them is a 32-bit number.
pub(super) const MOST: usize = 16_384;

impl Sampling {
    /// The neighbours of output voxel `o` along an axis, and the share of the second.
    pub(super) fn between(self, o: usize, size: usize, out: usize) -> (usize, usize, f64) {
        if self == Self::Nearest {
            let at = o * size / out;
            return (at, at, 0.0);
        }
        let at = ((2 * o + 1) * size).saturating_sub(out);
        let low = at / (2 * out);
        (low, (low + 1).min(size - 1), (at % (2 * out)) as f64 / (2 * out) as f64)
    }

    /// (row, output voxel, input voxel, share) of everything that is not 0 by its place.
    pub(super) fn shares(
        self,
        rows: usize,
        size: [usize; 3],
        out: [usize; 3],
        mut each: impl FnMut(usize, usize, f64),
    ) {
        let (voxels, all): (usize, usize) = (size.iter().product(), out.iter().product());
        for i in 0..rows * all {
            let (row, p) = (i / all, i % all);
            let at = [p / out[2] / out[1], p / out[2] % out[1], p % out[2]];
            let b: [_; 3] = std::array::from_fn(|a| self.between(at[a], size[a], out[a]));
            for corner in 0..8 {
                let (mut from, mut share) = (0, 1.0);
                for a in 0..3 {
                    let high = corner >> a & 1 == 1;
                    from = from * size[a] + if high { b[a].1 } else { b[a].0 };
                    share *= if high { b[a].2 } else { 1.0 - b[a].2 };
                }
                each(i, row * voxels + from, share);
            }
        }
    }
}

/// The op; arguments those of the value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resize {
    /// What the value is made of.
    pub form: Form,
    /// Voxels along each axis.
    pub size: [usize; 3],
    /// What a voxel takes of its neighbours.
    pub sampling: Sampling,
}

/// Whether axes are within what is built.
pub(super) fn fits(size: [usize; 3]) -> bool {
    size.iter().all(|side| (1..=MOST).contains(side))
}

impl Kernel for Resize {
    kernel_name!("resize");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let misfit = || GraphError::new(format!("{inputs:?} at {:?} voxels", self.size));
        if inputs.len() != self.form.arguments() || !self.form.fits(inputs) || !fits(self.size) {
            return Err(misfit());
        }
        let (n, c, size) = inputs[0].volume().ok_or_else(misfit)?;
        let [x, y, z] = self.size;
        if fits(size) { Ok(vec![Shape::from([n, c, x, y, z])]) } else { Err(misfit()) }
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let (n, c, [x, y, z]) = io.input(0).volume().expect("checked by infer");
        let [out_x, out_y, out_z] = self.size.map(|side| side as u32);
        let mut constants = self.form.constants(&io.shapes());
        constants.extend([("WIDE", 0), ("NEAREST", constant(self.sampling == Sampling::Nearest))]);
        let mut bindings: Vec<_> = (0..io.inputs.len()).map(bind_read).collect();
        bindings.push(bind_write(0));
        let (rows, own) = ((n * c) as u32, c as u32);
        vec![Dispatch {
            shader: "resize",
            entry: "forward",
            constants,
            params: Params { rows, own, x: x as u32, y: y as u32, z: z as u32, out_x, out_y, out_z }.block(),
            bindings,
            groups: groups(io.output(0).elements().div_ceil(64)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (n, c, size) = inputs[0].shape.volume().expect("a volume");
        let [x, y, z] = self.size;
        let mut made = HostTensor::zeros([n, c, x, y, z]);
        self.sampling.shares(n * c, size, self.size, |to, from, share| {
            made.data[to] += share * self.form.reference(inputs, from);
        });
        vec![made]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 15.0 * io.output(0).elements() as f64, bytes: io.bytes() }
    }
}

impl Graph {
    /// A value at `size` voxels.
    ///
    /// # Errors
    /// [`GraphError`] if an axis has no voxel or more than 16,384, or the shapes do not fit.
    pub fn resize(
        &mut self,
        name: &str,
        value: &Lazy,
        size: [usize; 3],
        sampling: Sampling,
    ) -> Result<TensorId, GraphError> {
        match self.shape(value.x).volume() {
            Some((_, _, from)) if from == size => self.store(name, value),
            _ => self.add_one_op(name, Resize { form: value.form(), size, sampling }, &value.inputs()),
        }
    }
}

/// Larger and smaller, whole factors and others; one voxel; every kind of value; more than 65,535 groups.
pub fn cases() -> Vec<Case> {
    let case = |sampling, form, n, c, from: [usize; 3], size: [usize; 3]| {
        let name = format!("{sampling:?} {n}x{c}x{from:?} to {size:?} {form:?}");
        Case::new(name, Resize { form, size, sampling }, example(form, n, c, from, c, 3))
    };
    let plain = Form::default();
    let mut cases = Vec::new();
    for sampling in [Sampling::Nearest, Sampling::Trilinear] {
        cases.extend([
            case(sampling, plain, 1, 1, [1, 1, 1], [3, 1, 2]),
            case(sampling, plain, 2, 3, [3, 5, 4], [7, 5, 6]),
            case(sampling, plain, 1, 2, [9, 7, 5], [2, 3, 4]),
            case(sampling, plain, 1, 2, [4, 6, 3], [8, 3, 12]),
        ]);
        for form in ends().into_iter().chain(others().into_iter().step_by(3)) {
            cases.push(case(sampling, form, 2, 3, [2, 3, 4], [3, 2, 5]));
        }
    }
    cases.push(case(Sampling::Trilinear, plain, 1, 1, [80, 81, 79], [161, 163, 162]));
    cases
}

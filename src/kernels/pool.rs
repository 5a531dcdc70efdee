//! Pooling of values that are not stored yet: `y[n, c, p]` is the largest, or the mean, of `a[n, c, p stride + t - padding]` over
//! the window's `t`. Padding is no value for the largest, and zeros for the mean.
//!
//! Shapes: `x (N, C, X, Y, Z)`, `y (N, C, ..)`. Source: `torch.nn.MaxPool3d`, `AvgPool3d`.

use super::conv3d::{Extents, Geometry};
use super::lazy::{Form, Lazy};
use super::residual::{ends, example, others};
use super::{bind_read, bind_write, constant, kernel_name};
use crate::graph::{Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { g: Extents, rows: u32 });

/// What is taken of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The largest value.
    Max,
    /// The mean.
    Average,
}

/// The op; arguments those of the value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pool {
    /// What the value is made of.
    pub form: Form,
    /// What is taken of a window.
    pub pooling: Pooling,
    pub geometry: Geometry,
}

/// (output voxel, input voxel) of every tap of every window, in order.
pub(super) fn taps(geometry: &Geometry, size: [usize; 3]) -> Vec<Vec<usize>> {
    let out = geometry.output(size).expect("checked by infer");
    let [kx, ky, kz] = geometry.kernel;
    let one = |p: usize| {
        let at = [p / out[2] / out[1], p / out[2] % out[1], p % out[2]];
        let tap = |t: usize| {
            let tap = [t / kz / ky, t / kz % ky, t % kz];
            let from = |a: usize| {
                (at[a] * geometry.stride[a] + tap[a]).checked_sub(geometry.padding[a]).filter(|&q| q < size[a])
            };
            Some((from(0)? * size[1] + from(1)?) * size[2] + from(2)?)
        };
        (0..kx * ky * kz).filter_map(tap).collect()
    };
    (0..out.iter().product()).map(one).collect()
}

impl Pool {
    /// The pooled volume of a stored one, in double precision.
    fn pooled(&self, x: &HostTensor) -> HostTensor {
        let (n, c, size) = x.shape.volume().expect("a volume");
        let out = self.geometry.output(size).expect("checked by infer");
        let windows = taps(&self.geometry, size);
        let voxels: usize = size.iter().product();
        let mut data = Vec::with_capacity(n * c * windows.len());
        for row in 0..n * c {
            for window in &windows {
                let values = window.iter().map(|q| x.data[row * voxels + q]);
                data.push(match self.pooling {
                    Pooling::Max => values.fold(f64::NEG_INFINITY, f64::max),
                    Pooling::Average => values.sum::<f64>() / self.geometry.taps() as f64,
                });
            }
        }
        HostTensor::new([n, c, out[0], out[1], out[2]], data)
    }
}

impl Kernel for Pool {
    kernel_name!("pool");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let g = &self.geometry;
        g.check().map_err(GraphError::new)?;
        let misfit = || GraphError::new(format!("pooling {inputs:?} by {g:?}"));
        // A window of padding alone has no largest value.
        if inputs.len() != self.form.arguments()
            || !self.form.fits(inputs)
            || (0..3).any(|a| 2 * g.padding[a] > g.kernel[a] || g.dilation[a] != 1)
        {
            return Err(misfit());
        }
        let (n, c, size) = inputs[0].volume().ok_or_else(misfit)?;
        let [x, y, z] = g.output(size).ok_or_else(misfit)?;
        Ok(vec![Shape::from([n, c, x, y, z])])
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let (n, c, size) = io.input(0).volume().expect("checked by infer");
        let (_, _, out) = io.output(0).volume().expect("checked by infer");
        let mut constants = self.form.constants(&io.shapes());
        constants.extend([("WIDE", 0), ("MAX", constant(self.pooling == Pooling::Max))]);
        let mut bindings: Vec<_> = (0..io.inputs.len()).map(bind_read).collect();
        bindings.push(bind_write(0));
        vec![Dispatch {
            shader: "pool",
            entry: "forward",
            constants,
            params: Params { g: self.geometry.extents(c, size, out), rows: (n * c) as u32 }.block(),
            bindings,
            groups: groups(io.output(0).elements().div_ceil(64)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let data = (0..inputs[0].data.len()).map(|i| self.form.reference(inputs, i)).collect();
        vec![self.pooled(&HostTensor::new(inputs[0].shape.clone(), data))]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: (self.geometry.taps() * io.output(0).elements()) as f64, bytes: io.bytes() }
    }
}

impl Graph {
    /// The largest or mean value of each window of a value; the stride is often the kernel.
    ///
    /// # Errors
    /// [`GraphError`] if a window could lie in padding alone, or shapes do not fit.
    pub fn pool(
        &mut self,
        name: &str,
        value: &Lazy,
        pooling: Pooling,
        geometry: Geometry,
    ) -> Result<TensorId, GraphError> {
        self.add_one_op(name, Pool { form: value.form(), pooling, geometry }, &value.inputs())
    }
}

/// Windows that meet, overlap and leave voxels over; padding; one voxel; every kind of value; more than 65,535 groups.
pub fn cases() -> Vec<Case> {
    let case = |form, pooling, n, c, size: [usize; 3], geometry| {
        let name = format!("{pooling:?} {n}x{c}x{size:?} {geometry:?} {form:?}");
        Case::new(name, Pool { form, pooling, geometry }, example(form, n, c, size, c, 3))
    };
    let plain = Form::default();
    let mut cases = Vec::new();
    for pooling in [Pooling::Max, Pooling::Average] {
        cases.extend([
            case(plain, pooling, 1, 1, [1; 3], Geometry::same([1; 3])),
            case(plain, pooling, 2, 3, [4, 6, 8], Geometry::new([2; 3], [2; 3], [0; 3])),
            case(plain, pooling, 1, 2, [5, 3, 7], Geometry::new([3; 3], [2; 3], [1; 3])),
            case(plain, pooling, 1, 2, [3, 5, 7], Geometry::new([1, 2, 3], [1, 2, 1], [0, 0, 1])),
            case(plain, pooling, 66_000, 1, [1, 1, 128], Geometry::new([1, 1, 2], [1, 1, 2], [0; 3])),
        ]);
    }
    let halve = Geometry::new([2; 3], [2; 3], [0; 3]);
    for form in ends().into_iter().chain(others().into_iter().step_by(3)) {
        cases.push(case(form, Pooling::Max, 2, 3, [2, 4, 5], halve));
    }
    cases
}

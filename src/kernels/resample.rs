//! Trilinear resampling by whole factors, of values that are not stored yet: output voxel `o` along an axis lies at
//! `(o + 1/2) / factor - 1/2`, and beyond the first and last voxel centre these are repeated.
//!
//! Shapes: `x (N, C, X, Y, Z)`, `y (N, C, X fx, Y fy, Z fz)`. Source: `torch.nn.Upsample(mode="trilinear",
//! align_corners=False)`.

use super::lazy::{Form, Lazy};
use super::residual::{ends, example, others};
use super::{bind_read, bind_write, kernel_name};
use crate::graph::{Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { rows: u32, own: u32, x: u32, y: u32, z: u32, factor_x: u32, factor_y: u32 });

/// The op; arguments those of the value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resample {
    /// What the value is made of.
    pub form: Form,
    /// Output voxels per voxel along each axis.
    pub factor: [usize; 3],
}

/// The neighbours of output voxel `o` along an axis, and the share of the second.
pub(super) fn between(o: usize, factor: usize, size: usize) -> (usize, usize, f64) {
    let at = ((o as f64 + 0.5) / factor as f64 - 0.5).max(0.0);
    let low = at as usize;
    (low, (low + 1).min(size - 1), at - low as f64)
}

impl Resample {
    /// The resampled volume of a stored one, in double precision.
    fn resampled(&self, x: &HostTensor) -> HostTensor {
        let (n, c, size) = x.shape.volume().expect("a volume");
        let out: [usize; 3] = std::array::from_fn(|a| size[a] * self.factor[a]);
        let voxels: usize = size.iter().product();
        let mut y = HostTensor::zeros([n, c, out[0], out[1], out[2]]);
        let each: usize = out.iter().product();
        for (i, v) in y.data.iter_mut().enumerate() {
            let (row, p) = (i / each, i % each);
            let at = [p / out[2] / out[1], p / out[2] % out[1], p % out[2]];
            let b: [_; 3] = std::array::from_fn(|a| between(at[a], self.factor[a], size[a]));
            for corner in 0..8 {
                let (mut from, mut share) = (0, 1.0);
                for a in 0..3 {
                    let high = corner >> a & 1 == 1;
                    from = from * size[a] + if high { b[a].1 } else { b[a].0 };
                    share *= if high { b[a].2 } else { 1.0 - b[a].2 };
                }
                *v += share * x.data[row * voxels + from];
            }
        }
        y
    }
}

impl Kernel for Resample {
    kernel_name!("resample");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        if inputs.len() != self.form.arguments() || !self.form.fits(inputs) || self.factor.contains(&0) {
            return Err(GraphError::new(format!("resampling {inputs:?} by {:?}", self.factor)));
        }
        let (n, c, [x, y, z]) = inputs[0].volume().expect("the value fits");
        let [fx, fy, fz] = self.factor;
        Ok(vec![Shape::from([n, c, x * fx, y * fy, z * fz])])
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let (n, c, [x, y, z]) = io.input(0).volume().expect("checked by infer");
        let [fx, fy, fz] = self.factor;
        let mut constants = self.form.constants(&io.shapes());
        constants.extend([("WIDE", 0), ("FACTOR", fz as u32)]);
        let mut bindings: Vec<_> = (0..io.inputs.len()).map(bind_read).collect();
        bindings.push(bind_write(0));
        vec![Dispatch {
            shader: "resample",
            entry: "forward",
            constants,
            params: Params {
                rows: (n * c) as u32,
                own: c as u32,
                x: x as u32,
                y: y as u32,
                z: z as u32,
                factor_x: fx as u32,
                factor_y: fy as u32,
            }
            .block(),
            bindings,
            groups: groups((n * c * x * fx * y * fy * (z + 1)).div_ceil(64)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let data = (0..inputs[0].data.len()).map(|i| self.form.reference(inputs, i)).collect();
        vec![self.resampled(&HostTensor::new(inputs[0].shape.clone(), data))]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 15.0 * io.output(0).elements() as f64, bytes: io.bytes() }
    }
}

impl Graph {
    /// A value at `factor` times as many voxels along each axis, trilinear.
    ///
    /// # Errors
    /// [`GraphError`] if a factor is zero or the shapes do not fit.
    pub fn resample(&mut self, name: &str, value: &Lazy, factor: [usize; 3]) -> Result<TensorId, GraphError> {
        if factor == [1; 3] {
            return self.store(name, value);
        }
        self.add_one_op(name, Resample { form: value.form(), factor }, &value.inputs())
    }
}

/// Factors of 1, even and odd; one voxel; every kind of value; more than 65,535 groups.
pub fn cases() -> Vec<Case> {
    let case = |form, n, c, size: [usize; 3], factor: [usize; 3]| {
        let name = format!("{n}x{c}x{size:?} by {factor:?} {form:?}");
        Case::new(name, Resample { form, factor }, example(form, n, c, size, c, 3))
    };
    let plain = Form::default();
    let mut cases = vec![
        case(plain, 1, 1, [1, 1, 1], [2, 2, 2]),
        case(plain, 2, 3, [3, 5, 4], [2, 2, 2]),
        case(plain, 1, 2, [2, 3, 5], [3, 1, 4]),
        case(plain, 1, 2, [3, 2, 2], [16, 16, 16]),
        case(plain, 1, 5, [2, 4, 3], [1, 5, 2]),
        case(plain, 1, 1, [80, 80, 160], [2, 2, 1]),
    ];
    for form in ends().into_iter().chain(others().into_iter().step_by(2)) {
        cases.push(case(form, 2, 3, [2, 3, 4], [2, 1, 3]));
    }
    cases
}

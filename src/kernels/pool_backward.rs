//! Gradient of pooling: `dx[n, c, q] = Σ dy[n, c, p]` over the windows `p` whose first largest value is that at `q`, or for the mean
//! over all that hold `q`, divided by the window's voxels.
//!
//! Shapes as in [`super::pool`].

use super::conv3d::{Extents, Geometry};
use super::lazy::Form;
use super::pool::{Pool, Pooling, taps};
use super::residual::Residual;
use super::{bind_read, bind_write, constant, kernel_name, residual_backward};
use crate::graph::{Applied, Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Op, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { g: Extents, rows: u32 });

/// The op; arguments `dy` and, for the largest, `a`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoolBackward {
    /// What was taken of a window.
    pub pooling: Pooling,
    pub geometry: Geometry,
    /// Voxels before pooling.
    pub size: [usize; 3],
}

impl Kernel for PoolBackward {
    kernel_name!("pool_backward");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let misfit = || GraphError::new(format!("a gradient {inputs:?} of pooling by {:?}", self.geometry));
        self.geometry.check().map_err(GraphError::new)?;
        let (n, c, out) = inputs.first().and_then(Shape::volume).ok_or_else(misfit)?;
        let dx = Shape::from([n, c, self.size[0], self.size[1], self.size[2]]);
        let fits = match (self.pooling, inputs) {
            (Pooling::Max, [_, a]) => *a == dx,
            (Pooling::Average, [_]) => true,
            _ => false,
        };
        if fits && self.geometry.output(self.size) == Some(out) { Ok(vec![dx]) } else { Err(misfit()) }
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let (n, c, out) = io.input(0).volume().expect("checked by infer");
        let mut bindings: Vec<_> = (0..io.inputs.len()).map(bind_read).collect();
        bindings.push(bind_write(0));
        vec![Dispatch {
            shader: "pool_backward",
            entry: "forward",
            constants: vec![
                ("MAX", constant(self.pooling == Pooling::Max)),
                ("KERNEL", self.geometry.kernel[2] as u32),
            ],
            params: Params { g: self.geometry.extents(c, self.size, out), rows: (n * c) as u32 }.block(),
            bindings,
            groups: groups(io.output(0).elements().div_ceil(64)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let dy = inputs[0];
        let (n, c, _) = dy.shape.volume().expect("a volume");
        let windows = taps(&self.geometry, self.size);
        let voxels: usize = self.size.iter().product();
        let mut dx = HostTensor::zeros([n, c, self.size[0], self.size[1], self.size[2]]);
        for (i, d) in dy.data.iter().enumerate() {
            let (row, window) = (i / windows.len(), &windows[i % windows.len()]);
            let to = window.iter().map(|q| row * voxels + q);
            match self.pooling {
                Pooling::Max => {
                    let a = &inputs[1].data;
                    if let Some(q) = to.reduce(|best, q| if a[q] > a[best] { q } else { best }) {
                        dx.data[q] += d;
                    }
                }
                Pooling::Average => to.for_each(|q| dx.data[q] += d / self.geometry.taps() as f64),
            }
        }
        vec![dx]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: (self.geometry.taps() * io.input(0).elements()) as f64, bytes: io.bytes() }
    }
}

impl Op for Pool {
    fn backward(
        &self,
        g: &mut Graph,
        node: &Applied,
        dy: &[Option<TensorId>],
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        let Some(dy) = dy[0] else {
            return Ok(vec![None; node.inputs.len()]);
        };
        let (_, _, size) = g.shape(node.inputs[0]).volume().expect("checked by infer");
        let op = PoolBackward { pooling: self.pooling, geometry: self.geometry, size };
        let da = match self.pooling {
            Pooling::Average => g.add_one("data", op, &[dy])?,
            Pooling::Max => {
                let stored = self.form == Form::default();
                let a = if stored {
                    node.inputs[0]
                } else {
                    g.add_one("value", Residual { form: self.form }, &node.inputs)?
                };
                g.add_one("data", op, &[dy, a])?
            }
        };
        residual_backward::value(g, self.form, da, &node.inputs)
    }
}

/// Windows that meet, overlap and leave voxels over; padding; ties; more than 65,535 groups.
pub fn cases() -> Vec<Case> {
    let case = |pooling, n, c, size: [usize; 3], geometry: Geometry, steps: f64| {
        let [x, y, z] = geometry.output(size).expect("a case fits its kernel");
        let mut inputs = vec![HostTensor::noise([n, c, x, y, z], 5)];
        if pooling == Pooling::Max {
            inputs.push(HostTensor::noise([n, c, size[0], size[1], size[2]], 6).map(|v| (v * steps).round() / steps));
        }
        let name = format!("{pooling:?} {n}x{c}x{size:?} {geometry:?}");
        Case::new(name, PoolBackward { pooling, geometry, size }, inputs)
    };
    let mut cases = Vec::new();
    for pooling in [Pooling::Max, Pooling::Average] {
        cases.extend([
            case(pooling, 1, 1, [1; 3], Geometry::same([1; 3]), 1024.0),
            case(pooling, 2, 3, [4, 6, 8], Geometry::new([2; 3], [2; 3], [0; 3]), 1024.0),
            case(pooling, 1, 2, [5, 3, 7], Geometry::new([3; 3], [2; 3], [1; 3]), 1024.0),
            case(pooling, 1, 2, [3, 5, 7], Geometry::new([1, 2, 3], [1, 2, 1], [0, 0, 1]), 2.0),
            case(pooling, 66_000, 1, [1, 1, 128], Geometry::new([1, 1, 2], [1, 1, 2], [0; 3]), 1024.0),
        ]);
    }
    let seven = Geometry::new([7; 3], [1; 3], [3; 3]);
    cases.push(case(Pooling::Max, 1, 1, [8; 3], seven, 1024.0));
    cases
}
